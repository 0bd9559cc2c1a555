"""A CUDA graph: recorded after warm-ups on a side stream, replayed on new inputs, proved by outputs written anew.

There are no CUDA graphs on a CPU. Stand-ins replay by calling a copy of the network, so that its own code does not run.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from copy import deepcopy
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from jobs import tiny
from torch import Tensor, nn

from bench.errors import Unavailable
from bench.worker.measures import accuracy
from bench.worker.modes import amp, channels_last, cudagraph
from bench.worker.modes.cudagraph import Graph, Graphed
from bench.worker.subject import Subject, as_list, prepare

Capture = Callable[[Callable[[Tensor], Any], Tensor], Graph]


def copied(outputs: Any) -> list[Tensor]:
    return [out.clone() for out in as_list(outputs)]


def graph_of(model: nn.Module, *, reads_input: bool = True, writes: bool = True) -> Capture:
    """A capture like CUDA's: static input, static outputs, a replay that computes the one from the other.

    Args:
        reads_input: it computes from the graph's own input; otherwise from the image that was captured.
        writes: it computes at all.
    """
    twin = deepcopy(model)

    def capture(call: Callable[[Tensor], Any], image: Tensor) -> Graph:
        static, first = image.clone(), image.clone()
        outputs = copied(call(static))

        def replay() -> None:
            for out, new in zip(
                outputs, as_list(twin(static if reads_input else first)) if writes else [], strict=writes
            ):
                out.copy_(new)

        return Graph(static, outputs, replay)

    return capture


@pytest.fixture
def subject(monkeypatch: pytest.MonkeyPatch) -> Iterator[Subject]:
    """Wrapped on a device that calls itself CUDA, put back on the CPU; within it, inference as in an infer job."""
    plain = prepare(tiny("infer", modes={"cudagraph": True}))
    monkeypatch.setattr(cudagraph, "capture", graph_of(plain.model))
    with torch.inference_mode():
        yield wrapped(plain)


def wrapped(plain: Subject) -> Subject:
    return replace(cudagraph.apply(replace(plain, device=torch.device("cuda")), True), device=plain.device)


def test_every_answer_is_the_networks_own(subject: Subject) -> None:
    for image in subject.inputs:
        assert torch.allclose(subject.forward(image)[-1], subject.model(image)[-1], atol=1e-6)


def test_one_graph_for_each_shape_type_and_order(subject: Subject) -> None:
    image = subject.inputs[0]
    for each in (image, image + 1, image[:1], image.to(memory_format=torch.channels_last)):
        subject.forward(each)
    assert isinstance(subject.call, Graphed)
    assert len(subject.call.graphs) == 3


def test_the_next_call_answers_in_the_same_memory(subject: Subject) -> None:
    first, second = (subject.forward(image)[-1] for image in subject.inputs[:2])
    assert first is second


def test_replays_on_new_inputs_prove_it(subject: Subject) -> None:
    assert cudagraph.prove(subject) is None
    subject.forward(subject.inputs[0])
    assert cudagraph.prove(subject) is None, "warm as well as cold"


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ({"writes": False}, "mode not applied (a replay does not write all of its outputs)"),
        ({"reads_input": False}, "mode not applied (the same output for two different images: a stale buffer)"),
    ],
    ids=str,
)
def test_stale_buffers_are_found_out(
    subject: Subject, monkeypatch: pytest.MonkeyPatch, fault: dict[str, bool], words: str
) -> None:
    monkeypatch.setattr(cudagraph, "capture", graph_of(subject.model, **fault))
    assert cudagraph.prove(subject) == words


def test_a_graph_of_another_network_is_found_out(subject: Subject, monkeypatch: pytest.MonkeyPatch) -> None:
    other = deepcopy(subject.model)
    for parameter in other.parameters():
        parameter.data = parameter.data * 1.01
    monkeypatch.setattr(cudagraph, "capture", graph_of(other))
    assert str(cudagraph.prove(subject)).startswith("a replay differs from the call that was captured: relative L2 ")


def test_a_graph_that_calls_the_network_again_is_none(subject: Subject, monkeypatch: pytest.MonkeyPatch) -> None:
    def capture(call: Callable[[Tensor], Any], image: Tensor) -> Graph:
        static = image.clone()
        outputs = copied(call(static))
        return Graph(static, outputs, lambda: [a.copy_(b) for a, b in zip(outputs, call(static), strict=True)] and None)

    monkeypatch.setattr(cudagraph, "capture", capture)
    assert cudagraph.prove(subject) == "mode not applied (the network's code ran 2 times in two replays)"


def test_a_network_that_is_called_plainly_is_not_taken_for_it() -> None:
    subject = prepare(tiny("infer", modes={"cudagraph": True}))
    assert cudagraph.prove(subject) == "mode not applied (the network is called without a graph)"


def test_other_modes_are_proved_on_the_call_that_was_captured(monkeypatch: pytest.MonkeyPatch) -> None:
    modes = {"channels_last": True, "amp": "bfloat16", "cudagraph": True}
    plain = prepare(tiny("infer", modes=modes))
    subject = wrapped(amp.apply(channels_last.apply(plain, True), "bfloat16"))
    monkeypatch.setattr(cudagraph, "capture", lambda *_: pytest.fail("a proof's hooks would be captured"))
    assert channels_last.prove(subject) is None
    assert amp.prove(subject) is None
    assert cudagraph.prove(replace(subject, call=plain.call))


@pytest.mark.parametrize(
    ("compiled", "graphs"),
    [
        ("default", False),
        ("freezing", False),
        ("reduce-overhead", True),
        ("max-autotune", True),
        ({"mode": "max-autotune", "freezing": True}, True),
        ({"options": {"triton.cudagraphs": True}}, True),
        ({"freezing": True}, False),
    ],
    ids=str,
)
def test_a_compiler_that_makes_graphs_leaves_none_to_make(compiled: Any, graphs: bool) -> None:
    subject = prepare(tiny("infer", modes={"compile": compiled, "cudagraph": True}))
    with pytest.raises(Unavailable, match="compile makes CUDA graphs of its own") if graphs else nullcontext():
        wrapped(subject)


def test_where_it_cannot_run(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(Unavailable, match=r"no CUDA device \(this job runs on cpu\)"):
        cudagraph.apply(prepare(tiny("infer")), True)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert cudagraph.probe() == "no CUDA device"


def test_the_capture_follows_three_calls_on_a_side_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    """Against torch's own recipe: the side stream waits, warms up, is waited for, and only then is recorded."""
    log: list[str] = []

    class Stream:
        def __init__(self, name: str = "side") -> None:
            self.name = name

        def wait_stream(self, other: "Stream") -> None:
            log.append(f"{self.name} waits for {other.name}")

    @contextmanager
    def within(what: str) -> Iterator[None]:
        log.append(what)
        yield
        log.append(f"end of {what}")

    fake = SimpleNamespace(
        device=lambda _: within("device"),
        current_stream=lambda: Stream("main"),
        Stream=Stream,
        stream=lambda stream: within(stream.name),
        CUDAGraph=lambda: SimpleNamespace(replay=lambda: log.append("replay")),
        graph=lambda _, stream: within(f"recording on {stream.name}"),
    )
    monkeypatch.setattr(torch, "cuda", fake)
    seen: list[Tensor] = []

    def call(image: Tensor) -> Tensor:
        log.append("call")
        seen.append(image)
        return image + 1

    image = torch.rand(2, 3, 4, 4).to(memory_format=torch.channels_last)
    with torch.inference_mode():
        graph = cudagraph.capture(call, image)
    graph.replay()
    warm = ["side", "call", "call", "call", "end of side"]
    record = ["recording on side", "call", "end of recording on side"]
    waits = ["side waits for main"], ["main waits for side"]
    assert log == ["device", *waits[0], *warm, *waits[1], *record, "end of device", "replay"]
    assert all(each is graph.image for each in seen)
    assert torch.equal(graph.image, image) and graph.image.stride() == image.stride()
    assert not graph.image.is_inference()


def test_a_flip_test_keeps_both_answers(subject: Subject) -> None:
    """Two calls of one graph answer in the same memory."""
    plain = replace(subject, call=subject.model)
    ours, theirs = (accuracy.flip_tested(each).forward(each.inputs[0])[-1] for each in (subject, plain))
    assert torch.allclose(ours, theirs, atol=1e-6)
