"""A stand-in for torch_tensorrt that behaves like its sources from 2.11 to 2.14, where the mode depends on them.

A test copies this file to a folder as a package, beside a file VERSION. An engine runs the network in PyTorch and tells
of its layers as TensorRT's inspector does.
"""

import contextlib
import json
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, fx, nn

__version__ = (Path(__file__).parent / "VERSION").read_text()

OLD = __version__.startswith(("2.11", "2.12"))
"""The dialect that still has enabled_precisions and use_explicit_typing."""

WORDS = {
    torch.float32: "Row major linear FP32",
    torch.float16: "Channel major FP16 format where channel % 8 == 0",
    torch.bfloat16: "BFloat16",
}

calls: list[dict[str, Any]] = []
"""Arguments of every compilation."""

behaviour: dict[str, Any] = {}
"""What a test asks for: engine_type, engines, left."""

_state: dict[str, Any] = {"debugger": None, "cudagraphs": False}


class Engine(nn.Module):
    """TorchTensorRTModule: runs the network, tells of its layers."""

    def __init__(self, run: Any, layers: list[dict[str, Any]]) -> None:
        super().__init__()
        self.run = (run,)  # in a tuple: the real one holds no PyTorch graph
        self.shape: torch.Size | None = None
        self.serialized_engine = b"engine"
        debugger = _state["debugger"]
        self.profiling = bool(debugger and debugger["save_engine_profile"])
        detailed = self.profiling if __version__.startswith("2.11") else debugger is not None
        # ProfilingVerbosity.LAYER_NAMES_ONLY is what both dialects build with otherwise.
        self.layers = layers if detailed else [layer["Name"] for layer in layers]

    def forward(self, image: Tensor) -> Any:
        assert self.shape in (None, image.shape), "an engine takes one shape"
        self.shape = image.shape
        return self.run[0](image)

    def get_layer_info(self) -> str:
        return json.dumps({"Layers": self.layers, "Bindings": []})

    def disable_profiling(self) -> None:
        self.profiling = False


def layers_of(program: Any, dtype: torch.dtype) -> list[dict[str, Any]]:
    """A copy of the input, and a layer for each convolution, fused with what follows it."""
    tensor = {"Name": "x", "Dimensions": [1], "Format/Datatype": WORDS[dtype]}
    names = [node.name for node in program.graph.nodes if "conv" in str(node.target)]
    copy = {"Name": f"Reformatting CopyNode for Input Tensor 0 to [CONVOLUTION]-[{names[0]}]", "LayerType": "Reformat"}
    return [copy | {"Inputs": [tensor | {"Format/Datatype": WORDS[torch.float32]}]}] + [
        {
            "Name": f"[CONVOLUTION]-[aten_ops.convolution.default]-[{name}] + [RELU]-[aten_ops.relu.default]-[relu]",
            "LayerType": "CaskConvolution",
            "Inputs": [tensor],
            "Outputs": [tensor],
            "ParameterType": "Convolution",
            "Weights": {"Type": "Float", "Count": 27},
        }
        for name in names
    ]


def partitioned(program: Any, example: Tensor) -> fx.GraphModule:
    """A graph of engines, the first of which does all the work, and of what a test wants left in PyTorch."""
    dtype = behaviour.get("engine_type", example.dtype)
    run = program.module(check_guards=False)
    root = nn.Module()
    graph = fx.Graph()
    value: Any = graph.placeholder("x")
    for number in range(behaviour.get("engines", 1)):
        setattr(root, f"_run_on_acc_{number}", Engine(run if not number else nn.Identity(), layers_of(program, dtype)))
        value = graph.call_module(f"_run_on_acc_{number}", (value,))
    if behaviour.get("engines", 1) == 0:
        root.whole = run
        value = graph.call_module("whole", (value,))
    if behaviour.get("left"):
        inner = fx.Graph()
        x = inner.placeholder("x")
        for target in behaviour["left"]:
            inner.call_function(target, (x,))
        inner.output(x)
        root._run_on_gpu_1 = fx.GraphModule({}, inner)
        value = graph.call_module("_run_on_gpu_1", (value,))
    graph.output(value)
    return fx.GraphModule(root, graph)


def _compiled(program: Any, arg_inputs: Sequence[Tensor] | None, settings: dict[str, Any]) -> fx.GraphModule:
    if arg_inputs is None:
        raise AssertionError("'arg_inputs', 'kwarg_inputs' and 'inputs' should not all be None.")
    calls.append(settings | {"debugger": _state["debugger"]})
    assert not torch.is_inference_mode_enabled() and not torch.is_grad_enabled()
    return partitioned(program, arg_inputs[0])


def compile_old(
    exported_program: Any,
    inputs: Any = None,
    *,
    arg_inputs: Any = None,
    device: Any = None,
    disable_tf32: bool = False,
    enabled_precisions: Any = frozenset({torch.float32}),
    workspace_size: int = 0,
    require_full_compilation: bool = False,
    min_block_size: int = 5,
    torch_executed_ops: Any = None,
    optimization_level: int | None = None,
    timing_cache_path: str = "",
    cache_built_engines: bool = False,
    reuse_cached_engines: bool = False,
    engine_cache_dir: str = "",
    use_explicit_typing: bool = True,
    immutable_weights: bool = True,
    **kwargs: Any,
) -> fx.GraphModule:
    """2.11 and 2.12: typed by the model, and an assertion where somebody asks for precisions all the same."""
    settings = {name: value for name, value in locals().items() if name != "exported_program"}
    if not kwargs.get("use_explicit_typing", False):
        warnings.warn("`use_explicit_typing` is deprecated.", DeprecationWarning, stacklevel=2)
    if use_explicit_typing and set(enabled_precisions) != {torch.float32}:
        raise AssertionError("use_explicit_typing was set to True, however found that enabled_precisions was also ...")
    return _compiled(exported_program, arg_inputs, settings)


def compile_new(
    exported_program: Any,
    inputs: Any = None,
    *,
    arg_inputs: Any = None,
    device: Any = None,
    disable_tf32: bool = False,
    workspace_size: int = 0,
    require_full_compilation: bool = False,
    min_block_size: int = 5,
    torch_executed_ops: Any = None,
    optimization_level: int | None = None,
    timing_cache_path: str = "",
    cache_built_engines: bool = False,
    reuse_cached_engines: bool = False,
    engine_cache_dir: str = "",
    immutable_weights: bool = True,
    fallback_data_dependent_ops: bool = False,
    **kwargs: Any,
) -> fx.GraphModule:
    """2.13 and 2.14: enabled_precisions lands in kwargs and is never looked at."""
    settings = {name: value for name, value in locals().items() if name != "exported_program"}
    return _compiled(exported_program, arg_inputs, settings)


@contextlib.contextmanager
def debugger(
    log_level: str = "debug",
    save_engine_profile: bool = False,
    engine_builder_monitor: bool = True,
    logging_dir: str = "",
) -> Iterator[None]:
    """Debugger: the engines built within have detailed verbosity, on 2.11 only where they are profiled too."""
    _state["debugger"] = {"save_engine_profile": save_engine_profile, "logging_dir": logging_dir}
    try:
        yield
    finally:
        _state["debugger"] = None


class EnableCudagraphs:
    """enable_cudagraphs: one setting for the process, put back on leaving."""

    def __init__(self, graph: nn.Module) -> None:
        self.graph = graph

    def __enter__(self) -> nn.Module:
        _state["cudagraphs"] = True
        return self.graph

    def __exit__(self, *_: object) -> None:
        _state["cudagraphs"] = False


dynamo = SimpleNamespace(compile=compile_old if OLD else compile_new, Debugger=debugger)
runtime = SimpleNamespace(
    enable_cudagraphs=EnableCudagraphs,
    set_cudagraphs_mode=lambda mode: _state.update(cudagraphs=mode),
    get_cudagraphs_mode=lambda: _state["cudagraphs"],
    get_whole_cudagraphs_mode=lambda: False,
)
