"""What needs a CUDA device, from end to end: run with `pytest -m gpu` on a machine that has one."""

from collections.abc import Iterator

import pytest
import torch
from jobs import tiny

from bench.record import Record, Value
from bench.worker.subject import strict_fp32
from bench.worker.timing import device_for
from bench.worker.work import work

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here"),
]


def by_name(record: Record) -> dict[str, Value]:
    return {value.quantity.name: value for value in record.values}


@pytest.fixture(scope="module")
def infer() -> Record:
    return work(tiny("infer", "infer", "eval_time", "memory", device="cuda"))


@pytest.fixture
def values(infer: Record) -> Iterator[dict[str, Value]]:
    assert (infer.status, infer.reason) == ("ok", "")
    yield by_name(infer)


def test_fp32_is_strict() -> None:
    strict_fp32()
    a, b = (torch.randn(512, 512, device="cuda") for _ in range(2))
    exact = a.double() @ b.double()
    assert float(((a @ b).double() - exact).norm() / exact.norm()) < 1e-6  # TF32 would leave 3e-4
    kernel = torch.randn(64, 64, 3, 3, device="cuda")
    image = torch.randn(1, 64, 32, 32, device="cuda")
    exact = torch.nn.functional.conv2d(image.double(), kernel.double())
    ours = torch.nn.functional.conv2d(image, kernel).double()
    assert float((ours - exact).norm() / exact.norm()) < 1e-5


def test_the_device_is_busy_no_longer_than_the_caller_waits(values: dict[str, Value]) -> None:
    latency, busy = values["latency"], values["device_latency"]
    assert latency.value is not None and busy.value is not None
    assert 0 < busy.value <= 1.05 * latency.value


def test_the_ledger_holds_the_weights_and_is_held_by_the_allocator(values: dict[str, Value]) -> None:
    peak, reserved = values["peak_memory"], values["peak_memory.reserved"]
    assert peak.value is not None and reserved.value is not None
    assert peak.details["weights"] <= peak.value <= reserved.value


@pytest.mark.parametrize("option", ["bfloat16", "float16"])
@pytest.mark.parametrize("phase", ["infer", "train"])
def test_modes_are_proved_on_the_device(phase: str, option: str) -> None:
    measures = {"infer": ("infer",), "train": ("train_time", "memory")}[phase]
    record = work(tiny(phase, *measures, device="cuda", modes={"channels_last": True, "amp": option}))
    assert (record.status, record.reason) == ("ok", "")
    assert not any("mismatch" in value.flags for value in record.values)


def test_the_parts_of_a_step_are_the_step() -> None:
    record = work(tiny("train", "train_time", device="cuda"))
    assert (record.status, record.reason) == ("ok", "")
    shares = by_name(record)["train_step"].details["shares"]
    assert sum(shares.values()) == pytest.approx(1)
    assert all(share > 0 for share in shares.values())


def test_what_the_driver_does_not_tell_is_said() -> None:
    pressure = device_for("cuda").pressure()
    readings = (pressure.throttled, pressure.power_capped, pressure.clock)
    assert all(reading is not None for reading in readings) or pressure.unknown
