"""Peak memory of a pass, and of that pass only."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from jobs import tiny
from torch import Tensor

from bench.errors import Unavailable
from bench.worker import train
from bench.worker.measures import memory
from bench.worker.subject import Subject, memory_in_use, prepare

MEBIBYTE = 2**20


def allocating(mebibytes: int) -> Callable[[Tensor], Any]:
    """A network that needs that much for a moment, and touches all of it."""

    def call(image: Tensor) -> Tensor:
        return image + torch.ones(mebibytes * MEBIBYTE // 4).mean()

    return call


def peak(subject: Subject, mebibytes: int) -> float:
    memory.settle()
    cold = memory_in_use(torch.device("cpu"))
    (value,) = memory.measure(replace(subject, call=allocating(mebibytes), baseline=cold))
    assert value.value is not None
    assert value.quantity.unit == "byte"
    return value.value / MEBIBYTE


def test_a_pass_needs_what_it_allocates_and_an_earlier_peak_is_forgotten() -> None:
    subject = prepare(tiny("infer"))
    assert peak(subject, 96) == pytest.approx(96, abs=24)
    assert peak(subject, 8) < 48
    assert peak(subject, 48) == pytest.approx(48, abs=24)


def test_what_was_allocated_since_the_baseline_counts() -> None:
    subject = prepare(tiny("infer"))
    memory.settle()
    cold = memory_in_use(torch.device("cpu"))
    weights = torch.ones(64 * MEBIBYTE // 4)
    (value,) = memory.measure(replace(subject, baseline=cold))
    assert (value.value or 0) / MEBIBYTE == pytest.approx(64, abs=16)
    assert value.details["peak"] - value.details["baseline"] - value.details["idle_inputs"] == value.value
    assert weights.sum() > 0


def test_in_training_a_pass_is_whole_steps() -> None:
    subject, step = train.start(prepare(tiny("train")))
    steps: list[object] = []

    def counting(batch: dict[str, Tensor]) -> object:
        steps.append(batch)
        return step(batch)

    list(memory.measure(replace(subject, step=counting)))
    assert len(steps) == subject.job.protocol.memory_calls


def test_a_system_that_does_not_tell_is_a_reason(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(memory, "_CLEAR", tmp_path / "none" / "clear_refs")
    (value,) = memory.measure(prepare(tiny("infer")))
    assert value.value is None
    assert value.reason.startswith("this system does not let a process reset its peak (")


def test_a_status_without_the_field_is_a_reason(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "status").write_text("Name:\tpython\n")
    monkeypatch.setattr(memory, "_STATUS", tmp_path / "status")
    (value,) = memory.measure(prepare(tiny("infer")))
    assert value.reason.startswith("this system does not let a process reset its peak (")


def test_another_c_library_is_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise OSError(f"{name}: no such file")

    monkeypatch.setattr(memory.ctypes, "CDLL", missing)
    with pytest.raises(Unavailable, match=r"no malloc_trim in this C library \(libc\.so\.6"):
        memory.settle()


def test_a_status_field_is_in_bytes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "status").write_text("VmHWM:\t    12 kB\nVmRSS:\t     7 kB\n")
    monkeypatch.setattr(memory, "_STATUS", tmp_path / "status")
    assert (memory.status("VmHWM"), memory.status("VmRSS")) == (12 * 1024, 7 * 1024)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_on_cuda_the_allocators_ledger_is_read() -> None:
    subject = prepare(tiny("infer", device="cuda"))

    def call(image: Tensor) -> Tensor:
        return image + torch.ones(64 * MEBIBYTE // 4, device="cuda").mean()

    found = {value.quantity.name: value for value in memory.measure(replace(subject, call=call))}
    assert found.keys() == {"peak_memory", "peak_memory.reserved", "peak_memory.process"}
    assert (found["peak_memory"].value or 0) / MEBIBYTE == pytest.approx(64, abs=8)
    assert (found["peak_memory.reserved"].value or 0) >= (found["peak_memory"].value or 0)
