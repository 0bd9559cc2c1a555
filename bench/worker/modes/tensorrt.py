"""TensorRT: the network compiled to engines by Torch-TensorRT, in float32, float16 or bfloat16.

Not run on a GPU yet: written from the sources of Torch-TensorRT 2.11 to 2.14 and tested against a fake of both of its
dialects (docs/tensorrt.md). They differ in how a type is asked for. 2.11 and 2.12 assert that `enabled_precisions` is
left alone (pytorch/TensorRT#4070), 2.13 and 2.14 drop it silently and would build a float32 engine. What all of them
obey is the type of the model, so that model and input are cast, and the engines' layers are asked afterwards.
"""

import atexit
import contextlib
import importlib
import importlib.metadata
import importlib.util
import inspect
import os
import re
import shutil
import subprocess
import sys
import tempfile
import warnings
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from bench.errors import Failed, Unavailable, nearest
from bench.worker import timing
from bench.worker.engines_of_tensorrt import (
    NamesOnly,
    engines_of,
    layers_of,
    left_in_torch,
    operators_in,
    partial_note,
    types_that_ran,
)
from bench.worker.subject import Subject, as_list

ORDER = 70
PHASES = ("infer",)
# TensorRT plans layouts and types by itself: a channels-last input would be copied in every call. Its engines are
# compiled and have CUDA graphs of their own. Torch's switch for TF32 does not reach them: `disable_tf32 = false` does.
EXCLUDES = ("amp", "half", "channels_last", "tf32", "compile", "cudagraph")
GRAD = "no_grad"  # as torch-tensorrt's own examples run it; an export under inference_mode makes inference tensors

DEVICE = "cuda"

TENSORRT = {"2.11": "10.15", "2.12": "10.16", "2.13": "11.0", "2.14": "11.1"}
"""Torch-TensorRT -> the TensorRT it requires (METADATA of its wheels); the torch it requires has its own number."""

# Amp's, which were measured on the eight-stack hourglass, and 1e-2 more: weights and sums are rounded too. TF32 has
# float16's ten bits of mantissa, with sums in float32. Without TF32 sums are only ordered otherwise: less than the 3e-4
# that TF32 leaves in a product (tests/test_gpu.py). All are starting values that no GPU has confirmed yet.
TOLERANCES = {"float16": 2e-2, "bfloat16": 4e-2}
TF32_TOLERANCE, FLOAT32_TOLERANCE = 5e-3, 1e-4

LIMIT = 120.0
"""Seconds in which torch_tensorrt must have been imported."""

# An import without TensorRT's libraries raises a bare Exception and prints (2.13), hence a process of its own. A
# builder is made too, since it alone needs the library of the GPU's own kernels.
IMPORT = """
import sys, torch_tensorrt
tensorrt = sys.modules.get("tensorrt")
if tensorrt:
    tensorrt.Builder(tensorrt.Logger(tensorrt.Logger.ERROR))
"""

TIMINGS = "timing.bin"
"""Where TensorRT remembers how long each kernel took that it has tried."""

OURS = {"exported_program", "inputs", "arg_inputs", "kwarg_inputs", "device", "dryrun", "custom_engine_cache", "kwargs"}
"""Arguments of dynamo.compile that are no option."""

TYPED_BY_MODEL = ("enabled_precisions", "use_explicit_typing")


def probe() -> str | None:
    """Why it cannot run here, cheapest question first; torch_tensorrt is never imported into this process."""
    if not torch.cuda.is_available():
        return "no CUDA device"
    if importlib.util.find_spec("torch_tensorrt") is None:
        return f"torch_tensorrt not installed ({_remedy()})"
    return _unpaired() or _not_imported()


def _remedy() -> str:
    ours = minor(torch.__version__)
    if ours not in TENSORRT:
        return f"there is none for torch {ours}; {_known()} are supported"
    return f"pip install torch-tensorrt=={ours}.* for torch {ours}"


def _known() -> str:
    return f"{min(TENSORRT)} to {max(TENSORRT)}"


def minor(version: str) -> str:
    """`2.13` of `2.13.0+cpu`."""
    return ".".join(str(version).partition("+")[0].split(".")[:2])


def _unpaired() -> str | None:
    """Why the versions that are installed do not go together."""
    try:
        found = importlib.metadata.version("torch_tensorrt")
    except importlib.metadata.PackageNotFoundError:
        return "torch_tensorrt is not of the distribution torch-tensorrt (torch-tensorrt-rtx is another runtime)"
    needed = minor(found)
    if needed not in TENSORRT:
        return f"torch_tensorrt {found} is not supported, {_known()} are"
    if needed != minor(torch.__version__):
        return f"torch_tensorrt {found} needs torch {needed}, found {torch.__version__.partition('+')[0]}"
    try:
        libraries = importlib.metadata.version("tensorrt")
    except importlib.metadata.PackageNotFoundError:
        return None  # installed without pip, perhaps: the import will tell
    if minor(libraries) != TENSORRT[needed]:
        return f"torch_tensorrt {found} needs TensorRT {TENSORRT[needed]}, found {libraries}"
    return None


def _not_imported() -> str | None:
    """Why a process of its own, which looks where this one does, cannot import it and make a builder."""
    command = [sys.executable, "-c", IMPORT]
    places = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    try:
        done = subprocess.run(
            command, env=places, stdin=subprocess.DEVNULL, capture_output=True, errors="replace", timeout=LIMIT
        )
    except subprocess.TimeoutExpired:
        return f"torch_tensorrt was not imported within {LIMIT:.0f} s"
    if done.returncode < 0:
        return f"the import of torch_tensorrt was killed by signal {-done.returncode}"
    return _said(done.stderr) if done.returncode else None


def _said(text: str) -> str:
    """The reason in what a failed import left on stderr."""
    if resource := re.search(r"libnvinfer_builder_resource_(sm\w+)\.so", text):
        return f"no builder resource for {resource[1]} ({resource[0]})"
    if library := re.search(r"lib(?:nvinfer|nvonnxparser)\w*\.so(?:\.\d+)*", text):
        return f"TensorRT libraries missing ({library[0]} not found)"
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return f"torch_tensorrt cannot be imported ({lines[-1] if lines else 'it says nothing'})"


@dataclass(frozen=True, slots=True)
class Asked:
    """The mode's option, taken apart; `settings` are arguments of dynamo.compile."""

    dtype: str
    cudagraph: bool
    settings: dict[str, Any]

    @property
    def tolerance(self) -> float:
        """Relative L2 error that the type is allowed."""
        strict = self.settings.get("disable_tf32", True)
        return TOLERANCES.get(self.dtype, FLOAT32_TOLERANCE if strict else TF32_TOLERANCE)


def ask(option: str | dict[str, Any]) -> Asked:
    """The option, checked as far as it can be without torch_tensorrt.

    Raises:
        Failed: it has no known dtype, or a setting that the dialects do not share.
    """
    table = dict(option) if isinstance(option, dict) else {"dtype": option}
    dtype, cudagraph = table.pop("dtype", None), table.pop("cudagraph", False)
    if dtype not in ("float32", *TOLERANCES):
        raise Failed(f"tensorrt: dtype = {dtype!r}: write float32, float16 or bfloat16")
    if not isinstance(cudagraph, bool):
        raise Failed(f"tensorrt: cudagraph = {cudagraph!r}: write true or false")
    for name in TYPED_BY_MODEL:
        if name in table:
            raise Failed(f"tensorrt: {name} is refused by 2.11 and ignored by 2.13; dtype says the type")
    return Asked(dtype, cudagraph, table)


class Engines(nn.Module):
    """The compiled network, called like the network itself; its weights are in the engines.

    An engine takes one shape. Another number of images goes through it in parts, the last one filled up: so it is in
    the last batch of a set, never in what `infer` times.
    """

    def __init__(self, graph: nn.Module, example: Tensor) -> None:
        super().__init__()
        self.graph = graph
        self.runner = graph
        self.dtype, self.images = example.dtype, example.shape[0]
        self.kept: contextlib.ExitStack | None = None
        self.left: Counter[str] = Counter()
        self.operators = 0

    def forward(self, image: Tensor) -> Any:
        """The network's outputs; an image that already has the engines' type and order is not copied."""
        image = image.to(self.dtype).contiguous()
        if len(image) == self.images:
            return self.runner(image)
        missing = -len(image) % self.images
        filled = torch.cat([image, image[-1:].expand(missing, *image.shape[1:])])
        parts = [as_list(self.runner(part.contiguous())) for part in filled.split(self.images)]
        return [torch.cat(same)[: len(image)] for same in zip(*parts, strict=True)]

    def train(self, mode: bool = True) -> "Engines":
        """Engines have no training mode, and the graphs of an export refuse to be asked for one."""
        self.training = mode
        return self


def apply(subject: Subject, option: Literal["float32", "float16", "bfloat16"] | dict[str, Any]) -> Subject:
    """Cast, export and compile; a table has `dtype`, `cudagraph` and any setting of torch_tensorrt.dynamo.compile.

    Raises:
        Unavailable: the job's device is none that TensorRT runs on.
        Failed: the option has a setting that there is not. What export and compilation raise is not caught.
    """
    if subject.device.type != DEVICE:
        raise Unavailable(f"TensorRT needs a CUDA device, the job's is {subject.device}")
    asked = ask(option)
    package = importlib.import_module("torch_tensorrt")
    folder = _folder(subject)
    cache = "warm" if (folder / TIMINGS).exists() else "cold"
    with torch.inference_mode(False), torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # 2.11 warns of every call that leaves use_explicit_typing alone
        engines, seconds = timing.timed(lambda: build(subject, asked, package, folder), subject.clock)
        inputs = tuple(image.to(engines.dtype).contiguous() for image in subject.inputs)
    changed = replace(subject, model=engines, call=engines, inputs=inputs, cache=cache)
    return replace(changed, built=subject.built + seconds, tolerance=max(subject.tolerance, asked.tolerance))


def build(subject: Subject, asked: Asked, package: Any, folder: Path) -> Engines:
    """The engines for the shape of the subject's inputs."""
    dtype = getattr(torch, asked.dtype)
    model = subject.model.eval().to(dtype).requires_grad_(False)
    example = subject.inputs[0].to(dtype).contiguous()
    arguments = arguments_for(asked, folder, subject.device)
    _check_settings(asked, package)
    with tf32_agreed():
        program = torch.export.export(model, (example,), strict=False)
        with detailed(package, folder):
            graph = package.dynamo.compile(program, arg_inputs=[example], **arguments)
        engines = Engines(graph, example)
        engines.left = left_in_torch(graph)
        engines.operators = operators_in(program) if engines.left else 0
    if _profiles(package):
        for engine in engines_of(graph):
            engine.disable_profiling()  # type: ignore[operator]  # a method of each engine
    package.runtime.set_cudagraphs_mode(False)  # it is one setting for the process: an earlier mode may have left it on
    if asked.cudagraph:
        stack = contextlib.ExitStack()
        engines.runner = stack.enter_context(package.runtime.enable_cudagraphs(graph))
        engines.kept = stack  # never left: it would put the setting back
    return engines


@contextlib.contextmanager
def tf32_agreed() -> Iterator[None]:
    """Torch's old switch for TF32 says within what the new ones say; they are as they were after.

    torch.export and a decomposition read the old one and write it back. Torch 2.13 raises where the new ones alone were
    set, as bench does, and writing the old one empties the new ones.
    """
    backends: tuple[Any, ...] = (torch.backends.cudnn.conv, torch.backends.cudnn.rnn)  # type: ignore[attr-defined]
    before = [backend.fp32_precision for backend in backends]
    torch.backends.cudnn.allow_tf32 = before[0] == "tf32"
    try:
        yield
    finally:
        for backend, precision in zip(backends, before, strict=True):
            backend.fp32_precision = precision


def _folder(subject: Subject) -> Path:
    """Where caches go: beside the job's log, else to a folder that goes with this process.

    Each job has its own, so that each round builds its own engine: which kernels TensorRT picks varies from build to
    build (NVIDIA/TensorRT#4730), and a timing cache would freeze the first choice, or another network's.
    """
    if subject.job.artefacts:
        return Path(subject.job.artefacts) / "tensorrt" / subject.job.id
    folder = tempfile.mkdtemp(prefix="bench-tensorrt-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Path(folder)


def arguments_for(asked: Asked, folder: Path, device: torch.device) -> dict[str, Any]:
    """Arguments of dynamo.compile that every dialect takes; the option's settings win.

    Blocks of one operator go to an engine too, and what is left outside is listed rather than refused. Engines are
    cached where `immutable_weights = false` allows it; the timing cache always is.
    """
    defaults: dict[str, Any] = {
        "min_block_size": 1,
        "require_full_compilation": False,
        "optimization_level": 3,
        "workspace_size": 1 << 30,
        "disable_tf32": asked.dtype == "float32",
        "immutable_weights": True,
        "cache_built_engines": True,
        "reuse_cached_engines": True,
        "engine_cache_dir": str(folder / "engines"),
        "timing_cache_path": str(folder / TIMINGS),
    }
    if device.index is not None:
        defaults["device"] = device
    return defaults | asked.settings


def _check_settings(asked: Asked, package: Any) -> None:
    """Raise Failed for a setting that dynamo.compile does not name: its **kwargs would swallow it."""
    known = set(inspect.signature(package.dynamo.compile).parameters) - OURS - set(TYPED_BY_MODEL)
    for name in asked.settings:
        if name not in known:
            version = package.__version__
            raise Failed(f"tensorrt: torch_tensorrt {version} has no setting '{name}'; {nearest(name, known)}")


def _profiles(package: Any) -> bool:
    """Whether this version tells types only of an engine that it also profiles; of the four, 2.11 alone does so."""
    return minor(package.__version__) == "2.11"


@contextlib.contextmanager
def detailed(package: Any, folder: Path) -> Iterator[None]:
    """Engines built within tell the types of their layers: the one way to that is torch_tensorrt's debugger."""
    options = {"log_level": "error", "engine_builder_monitor": False, "logging_dir": str(folder)}
    with package.dynamo.Debugger(save_engine_profile=_profiles(package), **options):
        yield


def prove(subject: Subject) -> str | None:
    """There must be an engine, at least half of the convolutions in engines must run in the type that was asked for."""
    asked, found = ask(subject.job.modes["tensorrt"]), subject.model
    engines = engines_of(found)
    if not isinstance(found, Engines) or not engines:
        return "mode not applied (0 engines)"
    try:
        what, types = types_that_ran([layer for engine in engines for layer in layers_of(engine)])
    except NamesOnly:
        return "not proved (the engine inspector names layers without their types)"
    if 2 * types[asked.dtype] < types.total() or not types:
        return f"mode not applied ({types[asked.dtype]} of {types.total()} {what} in {asked.dtype})"
    runtime = importlib.import_module("torch_tensorrt").runtime
    if asked.cudagraph and not (runtime.get_cudagraphs_mode() or runtime.get_whole_cudagraphs_mode()):
        return "mode not applied (CUDA graphs are off)"
    return None


def notes(subject: Subject) -> dict[str, Any]:
    """What the record should tell of engines that were proved; `flags` are for every value that is measured on them."""
    found = subject.model
    if not isinstance(found, Engines):
        return {}
    engines = engines_of(found)
    what, types = types_that_ran([layer for engine in engines for layer in layers_of(engine)])
    package, libraries = importlib.import_module("torch_tensorrt"), sys.modules.get("tensorrt")
    return {
        "note": partial_note(len(engines), found.left, found.operators) if found.left else "",
        "flags": ["partial"] if found.left else [],
        "engines": len(engines),
        "engine_bytes": sum(len(getattr(engine, "serialized_engine", None) or b"") for engine in engines),
        "left_in_torch": dict(found.left),
        "types": {what: dict(types)},
        "torch_tensorrt": str(package.__version__),
        "tensorrt": getattr(libraries, "__version__", None),
    }
