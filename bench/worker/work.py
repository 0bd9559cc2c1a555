"""One job from start to finish: build, apply the modes, prove them, measure; a record comes back whatever happens."""

import math
import os
import platform
import traceback
from collections.abc import Callable, Iterable
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from importlib import import_module
from inspect import signature
from pathlib import Path
from typing import Any

import msgspec
import torch

from bench import plugins
from bench.errors import Failed, Unavailable, first_line
from bench.record import Job, Record, Value, fingerprints
from bench.worker import checkpoint, compiling, export, graph, network, numerics, timing, train
from bench.worker.apply import apply_modes, compiles, prove_modes
from bench.worker.slowed import slowed
from bench.worker.subject import (
    Subject,
    builder_path,
    enliven,
    find_first,
    grad_mode,
    load_dataset,
    loosened,
    make_inputs,
    module_of,
    prepare,
    prepare_static,
    size_of,
    without_grad,
)

ROUNDED = 2**-7
"""Relative difference that rounding an image to bfloat16, which has 8 bits, stays below."""

CHECKS = 2
"""Inputs on which a mode's answers are compared; they are not among those that are timed."""

KEPT_VARIABLES = (
    *("OMP_", "GOMP_", "KMP_", "MKL_", "ONEDNN_", "DNNL_", "ATEN_", "MALLOC_", "LD_PRELOAD"),
    *("CUDA_", "CUBLAS_", "CUDNN_", "NVIDIA_", "PYTORCH_", "TORCH_", "TORCHINDUCTOR_", "TORCHDYNAMO_", "TRITON_"),
    "CXX",
)
"""Prefixes of environment variables that change speed or results, kept in the record."""


def work(job: Job) -> Record:
    """Do the job. Never raises: what went wrong is the record's status and reason."""
    values: list[Value] = []
    checks: list[Value] = []
    environment: dict[str, Any] = {}
    status, reason = attempt(lambda: run(job, values, checks, environment), job.modes)
    values += checks  # behind what was asked for: tables show columns in this order
    if any("mismatch" in value.flags for value in checks):
        values = [msgspec.structs.replace(value, flags=sorted({*value.flags, "mismatch"})) for value in values]
    return Record(
        job=job,
        id=job.id,
        status=status,
        reason=reason,
        values=[finite(value) for value in values],
        fingerprints=fingerprints(job),
        environment=environment,
        artefacts=checkpoint.hashes(job),
    )


def finite(value: Value) -> Value:
    """The value, or a reason instead of a number that JSON cannot hold; its flags stay."""
    numbers = [n for n in (value.value, *value.samples) if n is not None]
    broken = next((n for n in numbers if not math.isfinite(n)), None)
    if broken is None:
        return value
    reason = value.reason or f"not a finite number ({broken})"
    return msgspec.structs.replace(value, value=None, low=None, high=None, samples=[], reason=reason)


def attempt(call: Callable[[], object], modes: Iterable[str] = ()) -> tuple[str, str]:
    """Status and reason of a call that may fail in any way; the whole traceback goes to the log."""
    try:
        call()
    except Unavailable as reason:
        return "skipped", str(reason)
    except (torch.OutOfMemoryError, MemoryError) as error:
        return "oom", first_line(error)
    except Failed as reason:
        return "failed", str(reason)
    except Exception as error:  # noqa: BLE001 - the boundary: whatever a network raises is this job's result
        traceback.print_exc()
        # torch's CPU allocator raises a plain RuntimeError.
        kind = "oom" if "can't allocate memory" in str(error) else "failed"
        if kind == "failed" and compiles(modes):
            return kind, compiling.described(error)
        return kind, f"{type(error).__name__}: {first_line(error)}"
    return "ok", ""


def run(job: Job, values: list[Value], checks: list[Value], environment: dict[str, Any]) -> None:
    """Fill `values`, `checks` and `environment`. A measure that fails loses its own cells only."""
    torch.set_num_threads(job.threads)
    require(job)
    subject = READY[job.phase](job, checks, environment)
    if subject is None:
        return
    problems: list[tuple[str, str]] = []
    with without_grad(job) if job.phase == "infer" else nullcontext():
        for name in job.measures:
            status, reason = attempt(partial(measure, name, subject, values), job.modes)
            if status == "oom":
                raise MemoryError(f"{name}: {reason}")
            if status != "ok":
                problems.append((status, f"{name}: {reason}"))
    changed = loosened(job) if job.phase in ("infer", "train", "accuracy") else ""
    if changed:
        problems.append(("failed", f"not what the protocol says: {changed}"))
    if problems:
        kind = Failed if any(status == "failed" for status, _ in problems) else Unavailable
        raise kind("; ".join(reason for _, reason in problems))


def require(job: Job) -> None:
    """Import the packages that the architecture's file says it needs, before the file itself.

    An import that fails anywhere else is the architecture's own failure.

    Raises:
        Unavailable: one cannot be imported. It may be absent, or raise anything at all: a torchvision that was built
            for another torch is a RuntimeError.
    """
    find_first(job)
    for package, line in plugins.needs(Path(job.arch_file)).items() if job.arch_file else ():
        status, reason = attempt(partial(import_module, package))
        if status != "ok":
            raise Unavailable(f"unavailable: {package} cannot be imported ({reason}); {line}")


def measure(name: str, subject: Subject, values: list[Value]) -> None:
    """Add what a measure yields, one by one, so that what came before a failure is kept."""
    for value in plugins.load("measure", name).measure(subject):
        values.append(value)


def ready_check(job: Job, _: list[Value], environment: dict[str, Any]) -> Subject:
    """A network that can be built, on this device and for this data: what is checked before a run writes anything."""
    module = module_of(job) if job.arch else None
    objection = getattr(module, "check", None)
    problem = objection(dict(job.options), size_of(job.data)) if objection else None
    if problem:
        raise Failed(problem)
    if job.device.startswith("cuda") and not torch.cuda.is_available():
        raise Failed(f"device {job.device}: torch {torch.__version__} sees no CUDA device; use --device cpu")
    if job.device.startswith("cuda:") and int(job.device.partition(":")[2]) >= torch.cuda.device_count():
        raise Failed(f"device {job.device}: there are {torch.cuda.device_count()} CUDA devices, numbered from 0")
    subject = prepare_static(job)
    environment["network"] = network.fingerprint(subject)[0]
    batch = load_dataset(job, "val").batch([0], torch.device("cpu"))
    for name in job.metrics:
        metric = plugins.load("metric", name)
        missing = [key for key in metric.KEYS if key not in batch]
        if missing:
            raise Failed(f"data set '{job.data['use']}' has no {', '.join(missing)}: metric '{name}' needs them")
        if hasattr(metric, "check"):
            with torch.no_grad():
                outputs = subject.forward(subject.inputs[0])
            if problem := metric.check(outputs, batch):
                raise Failed(f"data set '{job.data['use']}': {problem}")
    if "joints" in batch:
        builder = getattr(module, job.arch.partition(":")[2] or "build", None)
        takes_joints = builder is not None and "joints" in signature(builder).parameters
        segments = bool(job.options.get("classes"))  # of a network that can do either
        if "pckh" in job.metrics or (takes_joints and not segments and not job.metrics):
            check_joints(subject, batch["joints"].shape[1], takes_joints=takes_joints)
    return subject


def check_joints(subject: Subject, joints: int, *, takes_joints: bool) -> None:
    """That the prediction has as many joints as the data, and every output a map for each where it is to be scored.

    Raises:
        Failed: an output is another one; the reason begins with the option that is wrong, where that is known.
    """
    data, scored = f"data set '{subject.job.data['use']}' has {joints} joints", bool(subject.job.metrics)
    with torch.no_grad():
        outputs = subject.forward(subject.inputs[0])
    for output in outputs if scored else outputs[-1:]:
        maps = output.dim() == 4
        if output.shape[1:2] == (joints,) and (maps or not scored):
            continue
        if takes_joints and maps:
            raise Failed(f"joints = {output.shape[1]}: {data}; write joints = {joints}")
        found = " ".join(map(str, output.shape[1:]))
        raise Failed(f"an output is N {found}, not N {joints} h w: {data}; build the network with a map for each")


def ready_graph(job: Job, _: list[Value], environment: dict[str, Any]) -> None:
    """The hashes by which a network is known again in another checkout."""
    environment["graph"] = graph.fingerprint(job)


def ready_static(job: Job, _: list[Value], environment: dict[str, Any]) -> Subject:
    """The network on the meta device: shapes without numbers."""
    environment |= facts(job)
    return prepare_static(job)


def ready_infer(job: Job, checks: list[Value], environment: dict[str, Any]) -> Subject:
    """Build, answer in strict fp32, apply the modes, answer again, compare, warm up, prove."""
    subject = prepare(job)
    environment |= facts(job)
    with without_grad(job):
        images = list(make_inputs(job, CHECKS, first=len(subject.inputs)))
        reference, timed = answers(subject, images), subject.inputs
        if not job.weights and numerics.alike(reference):
            environment["weights"] = "He et al. 2015: with those it begins with it answers all images alike"
            enliven(subject.model, job.seed)
            reference = answers(subject, images)
        subject = apply_modes(subject)
        if not same_images(timed, subject.inputs):
            raise Failed("mismatch: a mode changed the images that are timed, not only their type or memory order")
        if subject.cache:  # before any other call, and the answers are those of later calls, which are timed
            taken = timing.first_calls(subject.rotating(), subject.clock)
            subject = replace(subject, first_calls=taken)
        # In the type of the inputs that are timed, for which a compiled network or a CUDA graph is made.
        same = [image.to(subject.inputs[0].dtype) for image in images]
        answer = answers(subject, same, poison=True) if job.modes else None
        checks.extend(numerics.compare(reference, answer, subject.tolerance))
        if subject.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(subject.device)  # the cold peak is the mode's own, not its reference's
        warm = timing.warm_up(subject.rotating(), subject.clock, job.protocol)
        prove_modes(subject)
        environment |= switches()
        notes = noted(subject)
        subject = slowed(subject)
    environment["warm_up"] = msgspec.to_builtins(warm)
    if notes:
        environment["modes"] = notes
    partly = [flag for note in notes.values() for flag in note.get("flags", ())]
    return replace(subject, warm_flags=(*warm.flags, *partly))


def same_images(before: Iterable[torch.Tensor], after: Iterable[torch.Tensor]) -> bool:
    """Whether image batches are the same but for their type and memory order: zeros, say, are faster than images."""
    pairs = list(zip(before, after, strict=True))
    alike = all(one.shape == other.shape for one, other in pairs)
    return alike and all(numerics.relative_l2(other.double(), one.double()) <= ROUNDED for one, other in pairs)


def answers(subject: Subject, images: list[torch.Tensor], *, poison: bool = False) -> list[torch.Tensor]:
    """The prediction for each image batch, copied, so that a mode that reuses its output buffer is caught.

    Args:
        poison: fill each output with NaN once it is copied.
    """
    found = []
    for each in images:
        image = subject.place(each)
        output = subject.forward(image)[-1]
        found.append(output.detach().cpu().clone())
        if poison:
            numerics.poison(output, [image, *subject.model.parameters(), *subject.model.buffers()])
    return found


def ready_train(job: Job, _: list[Value], environment: dict[str, Any]) -> Subject:
    """Build, apply the modes, take the first steps, prove."""
    subject, step = train.start(apply_modes(prepare(job)))
    environment |= facts(job)
    source = train.batches(subject, load_dataset(job, "train"))
    if subject.cache:
        subject = replace(subject, first_calls=timing.first_calls(partial(step, next(source)), subject.clock))
    train.settle(subject, step, source)
    prove_modes(subject)
    return subject


def noted(subject: Subject) -> dict[str, Any]:
    """Mode -> what it has to say of how it was applied, of those that have a `notes(subject)`.

    `flags` in it stand on every figure of the job: of an engine for a part of the network, `partial`.
    """
    modules = {name: plugins.load("mode", name) for name in subject.job.modes}
    return {name: module.notes(subject) for name, module in modules.items() if hasattr(module, "notes")}


def switches() -> dict[str, Any]:
    """Torch's own settings as they are now; a mode may have set them."""
    return {
        "fp32_precision": {
            "matmul": torch.backends.cuda.matmul.fp32_precision,
            "conv": torch.backends.cudnn.conv.fp32_precision,  # type: ignore[attr-defined]
        },
        "cudnn_benchmark": torch.backends.cudnn.benchmark,
    }


def facts(job: Job) -> dict[str, Any]:
    """What was in effect while the job ran; observed, not identity."""
    cuda = torch.cuda.is_available()
    return {
        "python": platform.python_version(),
        "torch": str(torch.__version__),
        "cuda": torch.version.cuda,
        "cudnn": torch.backends.cudnn.version() if cuda else None,
        "threads": torch.get_num_threads(),
        "affinity": sorted(os.sched_getaffinity(0)),
        "load": os.getloadavg(),
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        **switches(),
        "gpu": gpu(job),
        "grad": grad_mode(job) if job.phase == "infer" else "grad",
        "module": builder_path(job),
        "environment": {name: value for name, value in os.environ.items() if counts(name)},
    }


def counts(variable: str) -> bool:
    """Whether an environment variable may change speed or results; folders are nobody's business."""
    return variable.startswith(KEPT_VARIABLES) and not variable.endswith(("_DIR", "_PATH", "_HOME"))


def gpu(job: Job) -> dict[str, Any]:
    """The device that did the work, where it is a GPU."""
    if not (job.device.startswith("cuda") and torch.cuda.is_available()):
        return {}
    found = torch.cuda.get_device_properties(torch.device(job.device))
    return {"name": found.name, "uuid": str(found.uuid), "multiprocessors": found.multi_processor_count}


def ready_accuracy(job: Job, _: list[Value], environment: dict[str, Any]) -> Subject:
    """Build, apply the modes, prove: the same job gives the same curves, so that nothing may be searched or raced."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # read when CUDA starts
    torch.use_deterministic_algorithms(True, warn_only=True)
    subject = apply_modes(prepare(job))
    torch.backends.cudnn.benchmark = False  # prepare has set it, for speed
    environment |= facts(job)
    prove_modes(subject)
    return subject


READY: dict[str, Callable[[Job, list[Value], dict[str, Any]], Subject | None]] = {
    "check": ready_check,
    "graph": ready_graph,
    "data": export.export,
    "static": ready_static,
    "infer": ready_infer,
    "train": ready_train,
    "accuracy": ready_accuracy,
}
"""Phase -> what makes its subject; None where the job ends with that, since there is nothing to measure."""
