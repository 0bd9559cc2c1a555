"""A call made slower on purpose, by a known share: `bench calibrate` asks whether the gate finds it. No suite can."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from torch import Tensor

from bench.stats import median_interval
from bench.worker import timing
from bench.worker.devices import Device, QueueDevice
from bench.worker.subject import Subject

CALLS = 9
"""Warm calls whose median says how long a queue is held."""


def slowed(subject: Subject) -> Subject:
    """The subject, each of its calls longer by `job.infer["slowdown"]` (0.05: 5 %); as it was where that is not set.

    The device must be warm: where it works through a queue, a call is timed once, here.
    """
    share = subject.job.infer.get("slowdown", 0.0)
    if not share:
        return subject
    if isinstance(subject.clock, QueueDevice):
        return replace(subject, call=_held(subject, subject.clock, share))
    return replace(subject, call=_spinning(subject.call, subject.clock, share))


def _spinning(call: Callable[[Tensor], Any], clock: Device, share: float) -> Callable[[Tensor], Any]:
    """The call, after which the host spins for a share of what this very call took: its noise is lengthened alike."""
    now = clock.now

    def longer(image: Tensor) -> Any:
        start = now()
        output = call(image)
        taken = now() - start
        end = start + taken + share * taken
        while now() < end:
            pass
        return output

    return longer


def _held(subject: Subject, clock: QueueDevice, share: float) -> Callable[[Tensor], Any]:
    """The call, behind which the device is held for a share of what a warm one takes; nothing waits for it.

    A hold stands at the end of the queue, so that it lengthens a call that is launch-bound too. Back to back, such
    calls may hide it: throughput is not slowed by as much.
    """
    call, once = subject.call, subject.rotating()
    seconds = share * median_interval([timing.timed(once, clock)[1] for _ in range(CALLS)]).value
    clock.hold(seconds)  # the first one measures how fast the device spins, and waits for that
    clock.synchronize()

    def longer(image: Tensor) -> Any:
        output = call(image)
        clock.hold(seconds)
        return output

    return longer
