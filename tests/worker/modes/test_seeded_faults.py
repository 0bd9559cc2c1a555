"""Faults that made other benchmarks wrong, put into a mode, a network, a data set or a timer: each is found out.

A fault of the mode's making is a job that failed, without any figure; an answer that is wrong is a mismatch on each.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from fakes import FakeQueue, constant
from jobs import QUICK, RECIPE, own_network, tiny
from torch import Tensor

from bench import plugins
from bench.errors import Failed
from bench.record import Record, Value
from bench.worker import numerics, timing, train
from bench.worker.measures import infer
from bench.worker.modes import cudagraph
from bench.worker.modes.cudagraph import Graph, Graphed
from bench.worker.subject import Subject, prepare
from bench.worker.work import work

MODES: dict[str, Any] = {
    "amp": "bfloat16",
    "channels_last": True,
    "cudagraph": True,
    "fold": True,
    "half": "bfloat16",
    "tf32": True,
}
"""Inference modes, with an option of each."""

Call = Callable[[Tensor], Any]


@pytest.fixture(autouse=True)
def switches() -> Iterator[None]:
    """Torch's own precision switches are put back."""
    backends: tuple[Any, ...] = (torch.backends.cuda.matmul, torch.backends.cudnn.conv, torch.backends.cudnn.rnn)
    before = [backend.fp32_precision for backend in backends]
    yield
    for backend, precision in zip(backends, before, strict=True):
        backend.fp32_precision = precision


@pytest.fixture
def seed(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Record]:
    """Measures a job whose only mode is the named one, with another `apply`; its proof is its own unless told."""

    def measured(name: str, apply: Callable[[Subject], Subject], *, proved: bool = True) -> Record:
        plugin = plugins.load("mode", name)
        monkeypatch.setattr(plugin, "probe", lambda: None)
        monkeypatch.setattr(plugin, "apply", lambda subject, _: apply(subject))
        if not proved:
            monkeypatch.setattr(plugin, "prove", lambda _: None)
        return work(tiny("infer", "infer", mode="fast", modes={name: MODES[name]}))

    return measured


def by_name(record: Record) -> dict[str, Value]:
    return {value.quantity.name: value for value in record.values}


def not_applied(record: Record, name: str) -> str:
    """The rest of the reason of a job that failed since its mode was not applied; no figure was taken."""
    assert record.status == "failed"
    assert not {"latency", "throughput"} & by_name(record).keys()
    begin = f"{name}: mode not applied ("
    assert record.reason.startswith(begin), record.reason
    return record.reason.removeprefix(begin).removesuffix(")")


def mismatched(record: Record) -> str:
    """Why every figure of a job is marked."""
    assert (record.status, record.reason) == ("ok", "")
    assert {"latency", "throughput", "error"} <= by_name(record).keys()
    assert all("mismatch" in value.flags for value in record.values)
    error = by_name(record)["error"]
    return error.reason or error.how


@pytest.mark.parametrize("name", MODES)
def test_a_mode_that_silently_does_nothing(seed: Callable[..., Record], name: str) -> None:
    not_applied(seed(name, lambda subject: subject), name)


@pytest.mark.parametrize("optimizer", ["rmsprop", "adam", "sgd"])
def test_an_optimizer_that_is_silently_the_plain_one(monkeypatch: pytest.MonkeyPatch, optimizer: str) -> None:
    monkeypatch.setattr(train, "implementation", lambda *_: {})
    recipe = RECIPE | {"optimizer": optimizer}
    record = work(tiny("train", "train_time", modes={"fused": True}, train={"batch": 2, "recipe": recipe}))
    assert record.status == "failed"
    assert record.reason.startswith("fused: mode not applied (")
    assert record.values == []


@pytest.mark.parametrize("name", ["amp", "half"])
def test_a_wrong_dtype(seed: Callable[..., Record], name: str) -> None:
    """float16 where bfloat16 is written above the figures: near enough for any tolerance, and another speed."""
    apply = plugins.load("mode", name).apply
    assert "in bfloat16" in not_applied(seed(name, lambda subject: apply(subject, "float16")), name)


def test_inputs_in_the_reduced_type_alone(seed: Callable[..., Record]) -> None:
    """The weights stay in float32: a cast that a network undoes in its first layer."""

    def apply(subject: Subject) -> Subject:
        return replace(subject, call=lambda image: subject.call(image.bfloat16().float()), tolerance=1.0)

    assert "weights are not in bfloat16" in not_applied(seed("half", apply), "half")


def stale(call: Call, image: Tensor) -> Graph:
    """A graph whose input nobody reads: what was captured is what every replay shows."""
    outputs = [out.clone() for out in call(image)]
    return Graph(image.clone(), outputs, lambda: None)


@pytest.mark.parametrize("proved", [True, False])
def test_a_stale_graph_buffer(seed: Callable[..., Record], monkeypatch: pytest.MonkeyPatch, proved: bool) -> None:
    """Found twice: by the mode's proof, and without it by answers that stay what they were made after the last one."""
    monkeypatch.setattr(cudagraph, "capture", stale)

    def apply(subject: Subject) -> Subject:
        return replace(subject, call=Graphed(subject.call))

    record = seed("cudagraph", apply, proved=proved)
    if proved:
        assert not_applied(record, "cudagraph") == "a replay does not write all of its outputs"
    else:
        assert mismatched(record) == f"mismatch: the output holds NaN or infinity {numerics.STALE}"


def training(subject: Subject) -> Subject:
    subject.model.train()
    return subject


def bgr(subject: Subject) -> Subject:
    return replace(subject, call=lambda image: subject.call(image.flip(1)))


def transposed(subject: Subject) -> Subject:
    return replace(subject, call=lambda image: subject.call(image.transpose(2, 3)))


def joints_swapped(subject: Subject) -> Subject:
    return replace(subject, call=lambda image: [out.roll(1, 1) for out in subject.call(image)])


def zeros(subject: Subject) -> Subject:
    return replace(subject, call=lambda image: subject.call(torch.zeros_like(image)))


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (training, "relative L2"),
        (bgr, "relative L2"),
        (transposed, "relative L2"),
        (joints_swapped, "relative L2"),
        (zeros, "the same output for two different images"),
    ],
    ids=["batch norm left in training", "BGR", "transposed", "channels of the output", "zeros"],
)
@pytest.mark.parametrize("name", ["channels_last", "amp"])
def test_a_mode_that_answers_something_else(
    seed: Callable[..., Record], name: str, fault: Callable[[Subject], Subject], words: str
) -> None:
    """With amp it must stand out from the rounding that is allowed there."""
    apply = plugins.load("mode", name).apply
    assert words in mismatched(seed(name, lambda subject: fault(apply(subject, MODES[name])), proved=False))


def test_zeros_as_images(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a data set, in every mode: no check on them could tell anything, and a device draws less power."""
    dataset = plugins.load("dataset", "random")
    draw = dataset.RandomPeople.batch

    def blank(self: Any, *asked: Any) -> dict[str, Tensor]:
        batch: dict[str, Tensor] = draw(self, *asked)
        return batch | {"image": torch.zeros_like(batch["image"])}

    monkeypatch.setattr(dataset.RandomPeople, "batch", blank)
    record = work(tiny("infer", "infer"))
    assert record.status == "failed"
    assert record.reason.startswith("in strict fp32: the same output for two different images")


LOOSENS = """
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
    def forward(self, image):
        torch.backends.{switch}.fp32_precision = "tf32"
        return self.conv(image)
"""


def test_a_mode_that_is_timed_on_zeros(seed: Callable[..., Record]) -> None:
    """Its answers to other images are right, and it is fast on none."""
    apply = plugins.load("mode", "channels_last").apply

    def emptied(subject: Subject) -> Subject:
        changed = apply(subject, True)
        return replace(changed, inputs=tuple(torch.zeros_like(image) for image in changed.inputs))

    record = seed("channels_last", emptied)
    said = "mismatch: a mode changed the images that are timed, not only their type or memory order"
    assert (record.status, record.reason) == ("failed", said)


@pytest.mark.parametrize("switch", ["cudnn.conv", "cudnn.rnn", "cuda.matmul"])
def test_tf32_left_on(tmp_path: Path, switch: str) -> None:
    record = work(tiny("infer", "infer", **own_network(tmp_path, LOOSENS.format(switch=switch))))
    assert (record.status, record.reason) == ("failed", f"not what the protocol says: {switch}.fp32_precision is tf32")


def test_tf32_that_a_mode_leaves_on_without_saying_so(seed: Callable[..., Record]) -> None:
    apply = plugins.load("mode", "channels_last").apply

    def loosening(subject: Subject) -> Subject:
        torch.backends.cudnn.conv.fp32_precision = "tf32"  # type: ignore[attr-defined]
        changed: Subject = apply(subject, True)
        return changed

    record = seed("channels_last", loosening)
    assert (record.status, record.reason) == (
        "failed",
        "not what the protocol says: cudnn.conv.fp32_precision is tf32",
    )


def test_a_call_that_returns_before_its_work_is_done() -> None:
    """What a stopwatch around it takes for its time is the launch: 1 ms of 20. None of our figures is that."""
    device = FakeQueue(constant(0.020), enqueue=0.001)
    start = device.now()
    device.call()
    assert (device.now() - start) / 1e9 == pytest.approx(0.001)
    assert timing.latency(device.call, device, QUICK).interval.value == pytest.approx(0.020)
    assert timing.timed(device.call, device)[1] == pytest.approx(0.020)
    busy = timing.device_latency(device.call, device, QUICK)
    assert busy is not None and busy.interval.value == pytest.approx(0.020)
    rate = timing.throughput(device.call, 1, device, QUICK).interval.value
    assert rate == pytest.approx(1 / 0.020, rel=0.05)


class Hurried(FakeQueue):
    """Does not wait for its queue."""

    def synchronize(self) -> None:
        pass


def test_a_timer_that_does_not_wait_for_the_device() -> None:
    device = Hurried(constant(0.020), enqueue=0.001)
    subject = replace(prepare(tiny("infer")), call=lambda _: device.call(), clock=device)
    with pytest.raises(Failed, match=r"^the timer does not wait for the device: 1 ms a call"):
        list(infer.measure(subject))
