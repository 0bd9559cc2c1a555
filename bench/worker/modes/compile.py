"""Compiled by torch.compile: the whole network as one graph of generated kernels, never a fallback to eager.

`freezing` also makes the weights constants, which folds batch norms and casts; `reduce-overhead` replays CUDA graphs.
"""

import importlib.util
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Literal

import torch
import torch._dynamo
import torch._inductor.compile_fx  # else the first call would import it, and that is no compiling
from torch import Tensor
from torch._dynamo.utils import counters
from torch._inductor import config, list_mode_options
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils._python_dispatch import TorchDispatchMode

from bench.errors import Failed, Unavailable, first_line, nearest
from bench.worker.numerics import relative_l2
from bench.worker.subject import Subject, as_list, evaluating, without_grad

ORDER = 40
PHASES = ("infer", "train")
EXCLUDES: tuple[str, ...] = ()
GRAD = "no_grad"  # freezing needs it, and inputs that were not made under inference_mode would be compiled for anew
COMPILES = True

# The same sums in another order; measured at most 4.9e-7 on the one-stack hourglass. Other modes set their own.
TOLERANCE = 1e-5

MODES = ("default", "reduce-overhead", "max-autotune")
KEYS = ("mode", "freezing", "options")

GRAPHS = "triton.cudagraphs"

FIRST_CAPABILITY = (7, 0)
"""Of Triton, which makes inductor's kernels on CUDA."""

RECOMPILED = "Detected recompile"
"""Beginning of what torch raises under the stance `fail_on_recompile`."""

PRODUCTS = ("convolution", "mm", "linear")
"""Parts of the names of operators whose type says in which precision a network runs."""

Call = Callable[[Tensor], Any]


def probe() -> str | None:
    """Every torch has it; which compiler is wanted depends on the device, which `apply` sees."""
    return None


def apply(
    subject: Subject, option: Literal["default", "reduce-overhead", "max-autotune", "freezing"] | dict[str, Any]
) -> Subject:
    """Compile the call with all that the modes before it wrapped around it; the first call does the work.

    A table has `mode`, `freezing` (true or false) and `options`, inductor's own by name.

    Raises:
        Unavailable: there is no compiler for the device, or the setting is not for it or for this phase.
        Failed: a key or an option of inductor is not known.
    """
    options = inductor_options(option)
    if reason := lacking(subject.device) or misfit(subject, option, options):
        raise Unavailable(reason)
    if subject.device.type != "cuda":
        options.pop(GRAPHS, None)
    torch._dynamo.reset()
    counters.clear()
    torch._dynamo.config.suppress_errors = False
    # For the process: as an option of torch.compile it comes too late to make the weights constants (torch 2.13).
    config.freezing = bool(options.pop("freezing", False))
    return replace(
        subject,
        call=compiled(subject.call, options),
        eager=subject.call,
        steady=no_recompiling,
        tolerance=max(subject.tolerance, TOLERANCE),
    )


def compiled(call: Call, options: dict[str, Any]) -> Call:
    """The call as one graph for exactly these shapes; a graph break raises."""
    try:
        fast: Call = torch.compile(call, fullgraph=True, dynamic=False, options=options)
    except RuntimeError as error:  # a value of the wrong type
        raise Failed(f"compile.options: {first_line(error)}") from None
    if not options.get(GRAPHS):
        return fast

    def stepping(image: Tensor) -> Any:
        torch.compiler.cudagraph_mark_step_begin()  # what the last call put out may be overwritten
        return fast(image)

    return stepping


def inductor_options(option: str | dict[str, Any]) -> dict[str, Any]:
    """What inductor is told: its own options, those of the mode first.

    Raises:
        Failed: a key, a mode or an option is not known.
    """
    table: dict[str, Any] = {"freezing": True} if option == "freezing" else {"mode": option}
    if isinstance(option, dict):
        table = option
    for key in table:
        if key not in KEYS:
            raise Failed(f"compile: unknown key '{key}'; {nearest(key, KEYS)}")
    mode, freezing, own = table.get("mode", "default"), table.get("freezing", False), table.get("options", {})
    if mode not in MODES:
        raise Failed(f"compile: unknown mode '{mode}'; {nearest(str(mode), MODES)}")
    if not isinstance(freezing, bool) or not isinstance(own, dict):
        raise Failed("compile: freezing is true or false, and options is a table of inductor's options")
    known = config.get_config_copy()
    for name in own:
        if name not in known:
            raise Failed(f"compile.options: inductor has no option '{name}'; {_hint(name, known)}")
    of_mode = {} if mode == "default" else list_mode_options(mode)
    return {**of_mode, **({"freezing": True} if freezing else {}), **own}


def _hint(name: str, known: dict[str, Any]) -> str:
    """The nearest of the several hundred names; all of them would be no help."""
    hint = nearest(name, known)
    return hint if hint.startswith("did you mean") else "torch._inductor.config lists them"


def lacking(device: torch.device) -> str | None:
    """Which compiler is not there for this device, cheapest question first."""
    if device.type == "cpu":
        names = [name for name in config.cpp.cxx if name]
        if not any(map(shutil.which, names)):
            return f"no C++ compiler for inductor on CPU ({', '.join(names)} not found)"
        return None
    if importlib.util.find_spec("triton") is None:
        return f"no Triton for inductor on {device.type} (triton not installed)"
    if device.type == "cuda" and (found := torch.cuda.get_device_capability(device)) < FIRST_CAPABILITY:
        return f"compute capability {found[0]}.{found[1]} < {'.'.join(map(str, FIRST_CAPABILITY))} (Triton)"
    return None


def misfit(subject: Subject, option: str | dict[str, Any], options: dict[str, Any]) -> str | None:
    """Why these settings would be silently left out here."""
    mode = option.get("mode") if isinstance(option, dict) else option
    if mode == "reduce-overhead" and subject.device.type != "cuda":
        return f"reduce-overhead replays CUDA graphs, and this job runs on {subject.device.type}"
    if options.get("freezing") and subject.model.training:
        return "freezing makes the weights constants: for inference only"
    return None


@contextmanager
def no_recompiling() -> Iterator[None]:
    """Within, compiling once more is an error: what is timed would be the compiler.

    Raises:
        Failed: the compiler was wanted.
    """
    before = graphs()
    with torch.compiler.set_stance("fail_on_recompile"):
        try:
            yield
        except RuntimeError as error:
            if not str(error).startswith(RECOMPILED):
                raise
            guards = [line.strip() for line in str(error).splitlines() if line.strip().startswith("- ")]
            why = guards[0].partition(": ")[2] if guards else "no graph fits the call"
            raise Failed(f"recompiled during timing ({why})") from error
    if graphs() != before:
        raise Failed(f"recompiled during timing ({graphs()} graphs, {before} before)")


def graphs() -> int:
    """Graphs that were compiled since `apply`."""
    return int(counters["stats"]["unique_graphs"])


def prove(subject: Subject) -> str | None:
    """There must be a graph and no break in one, and what ran must be what the modes and options promise.

    The products' type is read from the operators that ran, as far as they are torch's; frozen weights from that a
    batch norm's statistics can be changed without the answer changing; CUDA graphs from inductor's own count.
    """
    image = subject.inputs[0]
    with evaluating(subject.model), without_grad(subject.job):
        if not graphs():  # nothing was called yet, as before a training for accuracy
            subject.call(image)
        if reason := _incomplete():
            return reason
        if subject.step is not None:
            return None  # answers in eval mode would be compiled for the proof alone
        if reason := _other_types(subject, image):
            return reason
        frozen = inductor_options(subject.job.modes["compile"]).get("freezing")
        return _thawed(subject, image) if frozen else None


def _incomplete() -> str | None:
    """Why the counters of torch tell of less than one graph for all."""
    if not graphs():
        return "mode not applied (no graph was compiled)"
    if broken := sum(counters["graph_break"].values()):
        return f"{broken} graph breaks, first: {next(iter(counters['graph_break'])).splitlines()[0]}"
    if skipped := counters["inductor"]["cudagraph_skips"]:
        return f"mode not applied ({skipped} graphs are run without CUDA graphs)"
    return None


class Seen(TorchDispatchMode):
    """Counts the types of the products that torch's operators put out within."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.types: Counter[torch.dtype] = Counter()

    @classmethod
    def ignore_compile_internals(cls) -> bool:
        """Lets compiled code run within as it would without."""
        return True

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        output = func(*args, **(kwargs or {}))
        if isinstance(output, Tensor) and any(part in func.name() for part in PRODUCTS):
            self.types[output.dtype] += 1
        return output


def types_of(call: Call, image: Tensor) -> Counter[torch.dtype]:
    """Type -> products of that type in one call."""
    seen = Seen()
    with seen:
        call(image)
    return seen.types


def _other_types(subject: Subject, image: Tensor) -> str | None:
    """That compiled products run in a type that the network's own do not. Those in generated kernels are not seen."""
    assert subject.eager is not None
    ran, given = types_of(subject.call, image), types_of(subject.eager, image)
    for dtype in ran.keys() - given.keys():
        return f"{ran[dtype]} of {ran.total()} products ran in {str(dtype).removeprefix('torch.')}"
    return None


def _thawed(subject: Subject, image: Tensor) -> str | None:
    """That a batch norm's variance is still read when the network is called; None where there is no batch norm."""
    norms = [m for m in subject.model.modules() if isinstance(m, _BatchNorm) and m.running_var is not None]
    kept = [norm.running_var.data for norm in norms if norm.running_var is not None]
    before = [out.clone() for out in as_list(subject.call(image))]
    try:
        for norm in norms:
            assert norm.running_var is not None
            norm.running_var.data = 4 * norm.running_var.data
        after = [out.clone() for out in as_list(subject.call(image))]
    finally:
        for norm, data in zip(norms, kept, strict=True):
            assert norm.running_var is not None
            norm.running_var.data = data
    if relative_l2(after[-1].double(), before[-1].double()) > 0:
        return "mode not applied (batch norms still read their statistics)"
    return None
