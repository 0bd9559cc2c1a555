"""Peak memory: the allocator's ledger on CUDA, resident memory above the bare worker on the CPU."""

import ctypes
import gc
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import torch

from bench.errors import Unavailable
from bench.record import Quantity, Value
from bench.worker import train
from bench.worker.subject import Subject, load_dataset, storages

PHASE = ("infer", "train")

PEAK = Quantity(name="peak_memory", unit="byte", better="lower", title="peak memory")
RESERVED = Quantity(
    name="peak_memory.reserved", unit="byte", better="lower", title="peak held by the allocator", headline=False
)
OUTSIDE = Quantity(
    name="peak_memory.process", unit="byte", better="lower", title="device memory in use after the pass", headline=False
)

_STATUS = Path("/proc/self/status")
_CLEAR = Path("/proc/self/clear_refs")


def measure(subject: Subject) -> Iterator[Value]:
    """A pass of its own after the timed ones: reset the peak, a few calls (or steps), read the peak."""
    once = caller(subject)
    if subject.device.type == "cuda":
        yield from cuda_ledger(subject, once)
    else:
        yield cpu_peak(subject, once)


def caller(subject: Subject) -> Callable[[], object]:
    """One call, or one training step on the next batch."""
    if subject.step is None:
        return subject.rotating()
    step, source = subject.step, train.batches(subject, load_dataset(subject.job, "train"))
    return lambda: step(next(source))


def cpu_peak(subject: Subject, once: Callable[[], object]) -> Value:
    """Peak resident memory above the worker's own before the network was built; weights are in it."""
    try:
        settle()
        _CLEAR.write_text("5")  # resets VmHWM to the present resident size (man 5 proc)
        before = status("VmRSS")
        for _ in range(subject.job.protocol.memory_calls):
            once()
        peak = status("VmHWM")
    except (OSError, KeyError) as error:
        return Value(quantity=PEAK, reason=f"this system does not let a process reset its peak ({error})")
    details = {"baseline": subject.baseline, "before": before, "peak": peak, "idle_inputs": idle_inputs(subject)}
    held = peak - subject.baseline - idle_inputs(subject)
    if held <= 0:
        reason = "smaller than what the worker had freed before: too small a network to be seen this way"
        return Value(quantity=PEAK, reason=reason, details=details)
    how = "resident memory above the worker before the network was built"
    return Value(quantity=PEAK, value=held, how=how, details=details)


def idle_inputs(subject: Subject) -> int:
    """Bytes of the input batches that wait for their turn: bench holds them, a caller would not."""
    return sum(image.nbytes for image in subject.inputs[1:])


def settle() -> None:
    """Give freed memory back, so that the peak is of this pass and not of an earlier one."""
    gc.collect()
    try:
        ctypes.CDLL("libc.so.6").malloc_trim(0)
    except OSError as error:
        raise Unavailable(f"no malloc_trim in this C library ({error}): the peak would hold earlier passes") from None


def status(name: str) -> int:
    """A field of /proc/self/status in bytes."""
    for line in _STATUS.read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * 1024
    raise KeyError(name)


def cuda_ledger(subject: Subject, once: Callable[[], object]) -> Iterator[Value]:
    """Peak allocated (the headline), peak reserved, and what the device holds in all, in bytes."""
    device = subject.device
    gc.collect()
    torch.cuda.synchronize(device)
    cold = torch.cuda.max_memory_allocated(device)
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats(device)
    for _ in range(subject.job.protocol.memory_calls):
        once()
    torch.cuda.synchronize(device)
    idle = idle_inputs(subject)
    allocated, reserved = torch.cuda.max_memory_allocated(device) - idle, torch.cuda.max_memory_reserved(device)
    free, total = torch.cuda.mem_get_info(device)
    weights = sum(size for _, size in storages(subject.model.parameters()).values())
    ledger: dict[str, float] = {"cold_peak": cold, "weights": weights, "idle_inputs": idle}
    ledger["fragmentation"] = 1 - (allocated + idle) / reserved if reserved else 0.0
    yield Value(quantity=PEAK, value=allocated, how="torch's allocator, after warm-up", details=ledger)
    yield Value(quantity=RESERVED, value=reserved, how="torch's allocator")
    used = total - free - subject.baseline
    how = "device memory in use above its use before the network was built; the CUDA context is not in it"
    yield Value(quantity=OUTSIDE, value=used, how=how, details={"non_torch": used - reserved, "pid": os.getpid()})
