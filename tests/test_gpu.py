"""What needs a CUDA device, from end to end: run with `pytest -m gpu` on a machine that has one."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import torch
from jobs import RECIPE, tiny

from bench import plugins
from bench.record import Record, Value
from bench.worker.modes import cudagraph, tf32
from bench.worker.subject import Subject, prepare, strict_fp32
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


REDUCED = {"channels_last": True, "half": "bfloat16"}

INFER_MODES = [
    {"fold": True},
    {"half": "bfloat16"},
    {"half": "float16", "channels_last": True},
    {"tf32": True},
    {"tf32": True, "channels_last": True, "fold": True},
    {"cudagraph": True},
    {"cudagraph": True, "tf32": True},
    {"cudagraph": True, "channels_last": True, "amp": "float16"},
    {"cudagraph": True, "fold": True} | REDUCED,
]


@pytest.mark.parametrize("modes", INFER_MODES, ids=str)
def test_inference_modes_are_proved_and_within_their_tolerance(modes: dict[str, Any]) -> None:
    record = work(tiny("infer", "infer", "eval_time", "memory", device="cuda", modes=modes))
    assert (record.status, record.reason) == ("ok", "")
    assert not any("mismatch" in value.flags for value in record.values)


@pytest.mark.parametrize("optimizer", ["rmsprop", "adam", "sgd"])
@pytest.mark.parametrize("modes", [{}, {"tf32": True}, {"channels_last": True, "amp": "float16"}], ids=str)
def test_training_modes_are_proved(optimizer: str, modes: dict[str, Any]) -> None:
    table = {"batch": 2, "recipe": RECIPE | {"optimizer": optimizer}}
    record = work(tiny("train", "train_time", "memory", device="cuda", modes={"fused": True} | modes, train=table))
    assert (record.status, record.reason) == ("ok", "")


def test_a_graph_takes_less_of_a_small_networks_time() -> None:
    """One image at a time, the hourglass of one level waits for the host between its hundred kernels."""
    plain, graphed = (
        by_name(work(tiny("infer", "infer", device="cuda", infer={"batch": 1}, modes=modes)))["latency"].value
        for modes in ({}, {"cudagraph": True})
    )
    assert plain is not None and graphed is not None
    assert graphed < 0.7 * plain


def graphed() -> Subject:
    """In a graph, captured: the mode's own call on the device."""
    subject = cudagraph.apply(prepare(tiny("infer", device="cuda", modes={"cudagraph": True})), True)
    with torch.inference_mode():
        subject.forward(subject.inputs[0])
    return subject


def test_a_replay_is_bit_for_bit_the_call_that_was_captured() -> None:
    subject = graphed()
    assert isinstance(subject.call, cudagraph.Graphed)
    with torch.inference_mode():
        for image in subject.inputs:
            wanted = [out.clone() for out in subject.model(image)]
            assert all(torch.equal(a, b) for a, b in zip(subject.forward(image), wanted, strict=True))


def test_a_graph_whose_input_is_not_filled_is_found_out() -> None:
    subject = graphed()
    assert isinstance(subject.call, cudagraph.Graphed)
    with torch.inference_mode():
        assert cudagraph.prove(subject) is None
        graphs = subject.call.graphs
        for key, graph in graphs.items():
            graphs[key] = replace(graph, image=graph.image.clone())
        assert cudagraph.prove(subject) == (
            "mode not applied (the same output for two different images: a stale buffer)"
        )


def test_tf32_that_was_switched_off_is_found_out() -> None:
    subject = tf32.apply(prepare(tiny("infer", device="cuda", modes={"tf32": True})), True)
    assert tf32.prove(subject) is None
    with tf32.strictly():
        assert str(tf32.prove(subject)).startswith("mode not applied (cuda.matmul.fp32_precision is ieee")
    strict_fp32()


def test_the_parts_of_a_step_are_the_step() -> None:
    record = work(tiny("train", "train_time", device="cuda"))
    assert (record.status, record.reason) == ("ok", "")
    shares = by_name(record)["train_step"].details["shares"]
    assert sum(shares.values()) == pytest.approx(1)
    assert all(share > 0 for share in shares.values())


ACCURACY: dict[str, Any] = {
    "data": {"use": "synthetic", "size": 64, "train": 64, "val": 16, "options": {}},
    "train": {"batch": 8, "samples": 160, "validations": 5, "recipe": {**RECIPE, "optimizer": "adam", "lr": 1e-3}},
    "modes": {"channels_last": True, "amp": "bfloat16"},
    "metrics": ["pckh"],
    "checks": {
        "half": {"amp": "float16"},
        "tensor-cores": {"tf32": True},
        "graph": {"cudagraph": True} | REDUCED,
    },
}


def test_a_training_is_the_same_twice_and_every_mode_is_checked_on_its_weights() -> None:
    records = [work(tiny("accuracy", "accuracy", device="cuda", **ACCURACY)) for _ in range(2)]
    assert [(record.status, record.reason) for record in records] == [("ok", "")] * 2
    one, other = (by_name(record) for record in records)
    assert one["loss.train"].details["curve"] == other["loss.train"].details["curve"]
    assert one["pckh.total"].value == other["pckh.total"].value
    for name in ACCURACY["checks"]:
        change = one[f"pckh_change.{name}"]
        assert (change.value is not None, change.reason) == (True, "")


def test_a_training_in_tf32_is_scored_in_strict_fp32_and_keeps_the_protocol() -> None:
    job = tiny("accuracy", "accuracy", device="cuda", **ACCURACY | {"modes": {"tf32": True}})
    record = work(job)
    assert (record.status, record.reason) == ("ok", "")


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
