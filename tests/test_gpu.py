"""What needs a CUDA device, from end to end: run with `pytest -m gpu` on a machine that has one."""

from collections.abc import Iterator

import pytest
import torch
from jobs import RECIPE, tiny

from bench import plugins
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


ACCURACY = {
    "data": {"use": "synthetic", "size": 64, "train": 64, "val": 16, "options": {}},
    "train": {"batch": 8, "samples": 160, "validations": 5, "recipe": {**RECIPE, "optimizer": "adam", "lr": 1e-3}},
    "modes": {"channels_last": True, "amp": "bfloat16"},
    "metrics": ["pckh"],
    "checks": {"half": {"amp": "float16"}},
}


def test_a_training_is_the_same_twice_and_every_mode_is_checked_on_its_weights() -> None:
    records = [work(tiny("accuracy", "accuracy", device="cuda", **ACCURACY)) for _ in range(2)]
    assert [(record.status, record.reason) for record in records] == [("ok", "")] * 2
    one, other = (by_name(record) for record in records)
    assert one["loss.train"].details["curve"] == other["loss.train"].details["curve"]
    assert one["pckh.total"].value == other["pckh.total"].value
    assert one["pckh_change.half"].value is not None


def test_synthetic_people_are_the_same_on_both_devices_but_for_a_few_pixels() -> None:
    dataset = plugins.load("dataset", "synthetic").load("train", size=(128, 128), count=64)
    ours, theirs = (dataset.batch(range(16), torch.device(name)) for name in ("cuda", "cpu"))
    assert all(tensor.is_cuda for tensor in ours.values())
    assert torch.allclose(ours["joints"].cpu(), theirs["joints"], atol=1e-3)
    assert (ours["part"].cpu() != theirs["part"]).float().mean() < 1e-3
    assert (ours["image"].cpu() != theirs["image"]).float().mean() < 1e-2


def test_what_the_driver_does_not_tell_is_said() -> None:
    pressure = device_for("cuda").pressure()
    readings = (pressure.throttled, pressure.power_capped, pressure.clock)
    assert all(reading is not None for reading in readings) or pressure.unknown
