"""What is measured: a model, its inputs, its device, and how it is called."""

import ctypes
import gc
import importlib
import importlib.util
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from bench import plugins
from bench.errors import Failed
from bench.record import Job
from bench.worker import checkpoint
from bench.worker.timing import Device, device_for

# Mean RGB of MPII, which the hourglass ports subtract; they do not divide by the deviation.
MEAN_RGB = (0.4404, 0.4440, 0.4327)

TF32_OVERRIDES = ("NVIDIA_TF32_OVERRIDE", "TORCH_ALLOW_TF32_CUBLAS_OVERRIDE")
"""Environment variables that turn float32 into TF32 behind every setting."""

INPUTS = 4
"""Distinct input batches that timed calls cycle through, so that no call repeats the last one's data."""


class Dataset(Protocol):
    """What a file in datasets/ loads."""

    def __len__(self) -> int: ...

    def batch(self, indices: Sequence[int], device: torch.device) -> dict[str, Tensor]:
        """See bench/worker/datasets/random.py."""


@dataclass(frozen=True, slots=True)
class Subject:
    """A network ready to be measured. Modes return a changed copy; measures only read it.

    Attributes:
        call: image batch -> outputs; modes wrap it.
        inputs: distinct image batches on the device, B C H W, in the mode's memory order.
        clock: what times this device.
        layout: memory order of images.
        tolerance: relative L2 error against strict fp32 eager that the modes allow themselves.
        scale_loss: gradients need loss scaling (float16).
        step: one training step on a batch, after train.start; None outside the train phase.
        baseline: bytes in use on the device (resident, on the CPU) before the network was built.
        warm_flags: flags that the warm-up earned, for every value that is timed after it.
        eager: the call as it was before a mode compiled it, which proofs that look into layers run: compiled code
            calls no hooks; None where nothing is compiled.
        steady: entered around timed calls; a mode that compiles makes it an error there to compile once more.
        cache: `cold` or `warm`, of the compiler's caches before it ran; empty where no mode compiles.
        built: seconds that modes spent in `apply` on compiling.
        first_calls: seconds of the first calls (or steps), which compile; empty where no mode compiles.
    """

    job: Job
    model: nn.Module
    call: Callable[[Tensor], Any]
    device: torch.device
    clock: Device
    inputs: tuple[Tensor, ...]
    layout: torch.memory_format = torch.contiguous_format
    tolerance: float = 1e-5
    scale_loss: bool = False
    step: Callable[[dict[str, Tensor]], Any] | None = None
    baseline: int = 0
    warm_flags: tuple[str, ...] = ()
    eager: Callable[[Tensor], Any] | None = None
    steady: Callable[[], AbstractContextManager[Any]] = nullcontext
    cache: str = ""
    built: float = 0.0
    first_calls: tuple[float, ...] = ()

    def forward(self, image: Tensor) -> list[Tensor]:
        """The network's outputs for an image batch, the last is the prediction."""
        return as_list(self.call(image))

    def place(self, image: Tensor) -> Tensor:
        """An image batch on the device in the mode's memory order."""
        return image.to(self.device).to(memory_format=self.layout) if image.dim() == 4 else image.to(self.device)

    def with_inputs(self, inputs: Sequence[Tensor]) -> "Subject":
        """A copy whose inputs are these, placed."""
        return replace(self, inputs=tuple(self.place(image) for image in inputs))

    def rotating(self) -> Callable[[], Any]:
        """A call without arguments that feeds one input after the other: what is timed."""
        call, inputs, state = self.call, self.inputs, [0]
        count = len(inputs)

        def once() -> Any:
            state[0] = i = (state[0] + 1) % count
            return call(inputs[i])

        return once


def as_list(output: Any) -> list[Tensor]:
    """A network's output as the list that the contract asks for; a bare tensor is one output."""
    if isinstance(output, Tensor):
        return [output]
    if isinstance(output, dict):
        output = list(output.values())
    if isinstance(output, list | tuple) and output and all(isinstance(item, Tensor) for item in output):
        return list(output)
    raise Failed(f"forward returned {type(output).__name__}: return a tensor or a list of tensors, the prediction last")


def as_float(image: Tensor) -> Tensor:
    """uint8 images N C H W in [0, 255] as floats with the mean taken off."""
    return image.float().div(255).sub(_mean(image.shape[1], image.device))


@cache
def _mean(channels: int, device: torch.device) -> Tensor:
    """The mean as C 1 1, made once per device, since each copy to a GPU would wait for it."""
    return torch.tensor(MEAN_RGB if channels == len(MEAN_RGB) else [0.5] * channels, device=device)[:, None, None]


def size_of(data: dict[str, Any]) -> tuple[int, int]:
    """(H, W) of the suite's `size`."""
    size = data.get("size", 256)
    return (size, size) if isinstance(size, int) else (size[0], size[1])


def load_dataset(job: Job, split: str, least: int = 1) -> Dataset:
    """The job's data set; its length is the suite's `train` or `val`, and `least` where it can be that long.

    The test split is as long as the validation split.
    """
    module = importlib.import_module(f"bench.worker.datasets.{job.data.get('use', 'random')}")
    options = dict(job.data.get("options", {}))
    count = max(job.data.get("val" if split == "test" else split) or 1, least)
    dataset: Dataset = module.load(split, size=size_of(job.data), count=count, **options)
    return dataset


def find_first(job: Job) -> None:
    """Have the job's own folders looked in first by every import from now on."""
    for path in reversed(job.paths):
        if path not in sys.path:
            sys.path.insert(0, path)


def module_of(job: Job) -> Any:
    """The module in which the job's architecture is defined; its `check` may be called without building."""
    find_first(job)
    if ":" in job.arch:
        return importlib.import_module(job.arch.partition(":")[0])
    spec = importlib.util.spec_from_file_location(f"archs.{job.arch}", job.arch_file)
    if spec is None or spec.loader is None:
        raise Failed(f"{job.arch_file}: not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def build(job: Job) -> nn.Module:
    """The job's network, on the device that is current, with seeded weights."""
    torch.manual_seed(job.seed)
    if not job.arch:
        module = torch.load(job.weights, weights_only=False, map_location="cpu")
        return _checked(module)
    function = getattr(module_of(job), job.arch.partition(":")[2] or "build")
    model = _checked(function(**job.options))
    if job.weights:
        checkpoint.load_weights(model, Path(job.weights), job.weights_without)
    return model


def _checked(model: Any) -> nn.Module:
    if not isinstance(model, nn.Module):
        raise Failed(f"the builder returned {type(model).__name__}, not a torch.nn.Module")
    return model


def prepare(job: Job) -> Subject:
    """Build the network and its inputs for the infer or train phase, in strict fp32, no mode applied."""
    device = torch.device(job.device)
    # What draws or reads images holds memory of its own, which is not the network's; what it freed is given back
    # first, or the network would fill it unseen.
    images = list(make_inputs(job, INPUTS if job.phase == "infer" else 1))
    give_back()
    baseline = memory_in_use(device)
    model = build(job).to(device)
    strict_fp32()  # after the network's own module was imported, which may have set them otherwise
    torch.set_num_threads(job.threads)
    if not job.weights and job.phase != "accuracy":
        unsettle_norms(model, job.seed)
    model.train(job.phase in ("train", "accuracy"))
    subject = Subject(
        job=job, model=model, call=model, device=device, clock=device_for(device), inputs=(), baseline=baseline
    )
    return subject.with_inputs(images)


def prepare_static(job: Job) -> Subject:
    """The network on the meta device with one meta image, in eval mode: shapes and counts without arithmetic."""
    meta = torch.device("meta")
    with meta:
        model = build(job).to(meta).eval()
    image = torch.empty(1, job.data.get("options", {}).get("channels", 3), *size_of(job.data), device=meta)
    return Subject(job=job, model=model, call=model, device=meta, clock=device_for("cpu"), inputs=(image,))


def give_back() -> None:
    """Return memory that was freed to the system, where the C library can."""
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def memory_in_use(device: torch.device) -> int:
    """Bytes in use: of the whole CUDA device, or resident in this process."""
    if device.type == "cuda":
        free, total = torch.cuda.mem_get_info(device)
        return total - free
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def make_inputs(job: Job, count: int, first: int = 0) -> Iterator[Tensor]:
    """Float image batches of the infer phase on the CPU, batch by batch through the validation split."""
    batch = job.infer.get("batch", 1)
    dataset = load_dataset(job, "val", least=(first + count) * batch)
    for i in range(first, first + count):
        indices = [k % len(dataset) for k in range(i * batch, (i + 1) * batch)]
        yield as_float(dataset.batch(indices, torch.device("cpu"))["image"])


def strict_fp32() -> None:
    """No TF32 anywhere: torch's own default lets CUDA convolutions use it.

    Each backend is set by itself, since before torch 2.12 the global switch does not reach convolutions.
    """
    torch.backends.cuda.matmul.fp32_precision = "ieee"
    torch.backends.cudnn.conv.fp32_precision = "ieee"  # type: ignore[attr-defined]
    torch.backends.cudnn.rnn.fp32_precision = "ieee"  # type: ignore[attr-defined]
    torch.backends.cudnn.benchmark = True


def loosened(job: Job) -> str:
    """Which of the settings under which figures are taken was changed by the network itself; empty where none was."""
    flags = {
        "cuda.matmul.fp32_precision": torch.backends.cuda.matmul.fp32_precision,
        "cudnn.conv.fp32_precision": torch.backends.cudnn.conv.fp32_precision,  # type: ignore[attr-defined]
        "cudnn.rnn.fp32_precision": torch.backends.cudnn.rnn.fp32_precision,  # type: ignore[attr-defined]
    }
    asked = fp32_precision(job)
    moved = [f"{name} is {value}" for name, value in flags.items() if value != asked]
    if torch.get_num_threads() != job.threads:
        moved.append(f"threads are {torch.get_num_threads()}, not {job.threads}")
    moved += [f"the environment sets {name}" for name in TF32_OVERRIDES if os.environ.get(name) not in (None, "", "0")]
    return ", ".join(moved)


def fp32_precision(job: Job) -> str:
    """What torch's switches must say: "ieee", or what one of the job's modes asks for in its FP32_PRECISION."""
    asked = (getattr(plugins.load("mode", name), "FP32_PRECISION", "") for name in job.modes)
    return next(filter(None, asked), "ieee")


def grad_mode(job: Job) -> str:
    """How inference goes without gradients: `inference_mode`, or what one of the job's modes asks for in its GRAD."""
    asked = (getattr(plugins.load("mode", name), "GRAD", "") for name in job.modes)
    return next(filter(None, asked), "inference_mode")


def without_grad(job: Job) -> AbstractContextManager[Any]:
    """What every inference of the job runs in; one for all, since a compiled call is compiled anew in another."""
    return torch.no_grad() if grad_mode(job) == "no_grad" else torch.inference_mode()


def storages(tensors: Iterable[Tensor]) -> dict[int, tuple[int, int]]:
    """Storage -> (elements, bytes), each storage once however many tensors view it."""
    found: dict[int, tuple[int, int]] = {}
    for tensor in tensors:
        held = tensor.untyped_storage().nbytes()
        found[tensor.untyped_storage()._cdata] = (held // tensor.element_size(), held)
    return found


def unsettle_norms(model: nn.Module, seed: int) -> None:
    """Random statistics for every batch norm of an untrained network.

    At initialisation they are an identity in eval mode, which would hide a norm that a mode dropped or swapped.
    """
    generator = torch.Generator().manual_seed(seed + 1)
    for module in model.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm) and module.running_mean is not None:
            shape = module.running_mean.shape
            mean, variance = torch.randn(shape, generator=generator), torch.rand(shape, generator=generator)
            module.running_mean.copy_(0.1 * mean)
            if module.running_var is not None:
                module.running_var.copy_(0.5 + variance)


def enliven(model: nn.Module, seed: int) -> None:
    """Weights of convolutions and linear layers that pass on what they get: normal, variance 2 / fan-in.

    Torch's own are smaller, so that in a deep network without norms every image fades to one answer. Source: He et al.
    2015, https://arxiv.org/abs/1502.01852. For timing and numerics of untrained networks alone.
    """
    generator = torch.Generator().manual_seed(seed + 2)
    for module in model.modules():
        if isinstance(module, PRODUCTS) and isinstance(module.weight, Tensor):
            fresh = torch.empty(module.weight.shape)
            nn.init.kaiming_normal_(fresh, nonlinearity="relu", generator=generator)
            module.weight.data.copy_(fresh)


CONVOLUTIONS: tuple[type[nn.Module], ...] = (nn.modules.conv._ConvNd,)
PRODUCTS: tuple[type[nn.Module], ...] = (*CONVOLUTIONS, nn.Linear)


def watch(
    subject: Subject, kinds: tuple[type[nn.Module], ...], look: Callable[[str, nn.Module, Tensor, Tensor], None]
) -> int:
    """Run one forward and show `look(name, module, input, output)` every layer of these kinds; returns how many ran.

    Of a compiled network the call runs that was compiled: its layers show what the compiler was given.
    """
    seen = 0
    handles = []

    def hook(name: str) -> Callable[[nn.Module, tuple[Tensor, ...], Tensor], None]:
        def called(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            nonlocal seen
            seen += 1
            look(name, module, inputs[0], output)

        return called

    for name, module in subject.model.named_modules():
        if isinstance(module, kinds):
            handles.append(module.register_forward_hook(hook(name)))
    try:
        with evaluating(subject.model), without_grad(subject.job):
            (subject.eager or subject.call)(subject.inputs[0])
    finally:
        for handle in handles:
            handle.remove()
    return seen


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """The model in eval mode within, as it was before after: a proof in a training job must not move statistics."""
    was = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(was)


def builder_file(job: Job) -> str:
    """Where the architecture's code really lies; the file of the weights where a whole module is stored there."""
    return str(Path(module_of(job).__file__ or job.arch_file).resolve() if job.arch else Path(job.weights))


def builder_path(job: Job) -> str:
    """The builder's file, relative to the project where it lies within it.

    Kept in the record, because provenance can stamp the wrong checkout.
    """
    path = Path(builder_file(job))
    for root in job.paths:
        if path.is_relative_to(Path(root).resolve()):
            return str(path.relative_to(Path(root).resolve()))
    return str(path)
