"""The whole forward recorded once as a CUDA graph and replayed: one launch instead of one for each kernel.

Inference alone. A training step as a graph needs a step of its own (static targets, a learning rate that is a tensor,
no loss scale), which the training loop does not have. The graph's memory is a pool that a replay fills without the
allocator: `peak_memory.reserved` holds it, the headline `peak_memory` does not.

Has not run on a GPU yet.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import torch
from torch import Tensor

from bench.errors import Unavailable
from bench.worker.numerics import SAME, relative_l2
from bench.worker.subject import Subject, as_list

ORDER = 50
PHASES = ("infer",)
EXCLUDES: tuple[str, ...] = ()

WARM_UPS = 3
"""Calls on a side stream before the capture, in which cuDNN searches and libraries allocate (torch's own example)."""

OWN_GRAPHS = ("reduce-overhead", "max-autotune")
"""Modes of torch.compile that make CUDA graphs themselves, which cannot be captured once more."""

Call = Callable[[Tensor], Any]


def probe() -> str | None:
    """CUDA graphs are CUDA's."""
    return None if torch.cuda.is_available() else "no CUDA device"


def apply(subject: Subject, option: Literal[True]) -> Subject:
    """Wrap the call; each shape and memory order of images gets a graph of its own, when it comes for the first time.

    The copy into the graph's input is part of each call. An answer is overwritten by the next call.

    Raises:
        Unavailable: the job does not run on CUDA, or the compiler makes graphs of its own.
    """
    if subject.device.type != "cuda":
        raise Unavailable(f"no CUDA device (this job runs on {subject.device.type})")
    if makes_graphs(subject.job.modes.get("compile")):
        raise Unavailable("compile makes CUDA graphs of its own under this setting")
    # No hook runs in a replay: proofs that look into layers see the call that is captured.
    return replace(subject, call=Graphed(subject.call), eager=subject.eager or subject.call)


def makes_graphs(option: Any) -> bool:
    """Whether the compile mode, with this option, makes CUDA graphs."""
    table = option if isinstance(option, dict) else {"mode": option}
    return table.get("mode") in OWN_GRAPHS or bool(table.get("options", {}).get("triton.cudagraphs"))


def prove(subject: Subject) -> str | None:
    """A replay on an image that no capture saw must write its outputs anew and agree with the call that was captured.

    The outputs are filled with NaN before each replay, so that a stale buffer shows; and the network's own Python code
    must not run.
    """
    graphed = subject.call
    if not isinstance(graphed, Graphed):
        return "mode not applied (the network is called without a graph)"
    image = subject.inputs[0]
    other = torch.empty_like(image).copy_(-image.flip(-1))
    with torch.no_grad():
        subject.forward(image)  # captured by now, whatever came before
        runs: list[int] = []
        handle = subject.model.register_forward_pre_hook(lambda *_: runs.append(1))
        try:
            first, second = (poisoned(graphed, each) for each in (image, other))
        finally:
            handle.remove()
        wanted = [out.clone() for out in as_list(graphed.call(other))]
    if runs:
        return f"mode not applied (the network's code ran {len(runs)} times in two replays)"
    if not all(bool(torch.isfinite(out).all()) for out in (*first, *second)):
        return "mode not applied (a replay does not write all of its outputs)"
    if relative_l2(second[-1].double(), first[-1].double()) <= SAME:
        return "mode not applied (the same output for two different images: a stale buffer)"
    errors = [relative_l2(out.double(), right.double()) for out, right in zip(second, wanted, strict=True)]
    if max(errors) > subject.tolerance:
        return f"a replay differs from the call that was captured: relative L2 {max(errors):.1e}"
    return None


@dataclass(frozen=True, slots=True)
class Graph:
    """A captured call: the memory that it reads, what it puts out, and what runs it."""

    image: Tensor
    output: Any
    replay: Callable[[], None]


@dataclass(frozen=True, slots=True)
class Graphed:
    """An image batch -> the outputs of a graph's replay, which the next call overwrites; `call` is what is captured."""

    call: Call
    graphs: dict[Any, Graph] = field(default_factory=dict)

    def __call__(self, image: Tensor) -> Any:
        """Copy the image into the graph's input and replay; captures first where this is the first of its kind."""
        graph = self.of(image)
        graph.image.copy_(image)
        graph.replay()
        return graph.output

    def of(self, image: Tensor) -> Graph:
        """The graph for images of this shape, type and memory order."""
        key = (image.shape, image.stride(), image.dtype)
        if key not in self.graphs:
            self.graphs[key] = capture(self.call, image)
        return self.graphs[key]


def capture(call: Call, image: Tensor) -> Graph:
    """Warm up on a side stream, then record the call on it."""
    with torch.cuda.device(image.device):
        with torch.inference_mode(False):  # an inference tensor could not be filled outside inference mode
            static = torch.empty_like(image).copy_(image)
        here, side = torch.cuda.current_stream(), torch.cuda.Stream()
        side.wait_stream(here)
        with torch.cuda.stream(side):
            for _ in range(WARM_UPS):
                call(static)
        here.wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, stream=side):
            output = call(static)
    return Graph(static, output, graph.replay)


def poisoned(graphed: Graphed, image: Tensor) -> list[Tensor]:
    """A replay's outputs, copied; they held NaN before it."""
    for out in as_list(graphed.of(image).output):
        out.fill_(float("nan"))
    return [out.clone() for out in as_list(graphed(image))]
