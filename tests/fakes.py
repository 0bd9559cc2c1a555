"""Scripted stand-ins: devices whose clock moves only when their call is made, they rest or their queue drains; NVML."""

import random
from collections.abc import Callable, Container, Iterator
from itertools import chain, count, repeat
from types import SimpleNamespace
from typing import Any

from bench.worker.devices import Pressure, flags_between

Stream = Iterator[float]


def constant(seconds: float) -> Stream:
    """Every call the same."""
    return repeat(seconds)


def noisy(seconds: float, spread: float, seed: int = 0) -> Stream:
    """Log-normal with this relative spread."""
    rng = random.Random(seed)
    return (seconds * rng.lognormvariate(0, spread) for _ in count())


def bimodal(fast: float, slow: float, seed: int = 0) -> Stream:
    """One of two levels, by a fair coin."""
    rng = random.Random(seed)
    return (rng.choice((fast, slow)) for _ in count())


def drifting(seconds: float, per_call: float) -> Stream:
    """Each call slower than the last by this share of the first."""
    return (seconds * (1 + per_call * i) for i in count())


def spiky(stream: Stream, share: float, factor: float, seed: int = 0) -> Stream:
    """A stream in which a share of the calls take this many times as long."""
    rng = random.Random(seed)
    return (value * factor if rng.random() < share else value for value in stream)


def slow_start(first: list[float], then: Stream) -> Stream:
    """First calls that compile and tune."""
    return chain(first, then)


class FakeDevice:
    """Seconds of successive calls come from a stream, disturbances from the number of the snapshot, from 0.

    Attributes:
        others: cores' worth of work that other processes do all the time.
        throttled, capped: snapshots at which the device throttles, or is at its power limit.
        clocks: the device's clock in MHz by snapshot; the last one stays.
        rests: what `sleep` was asked for, seconds.
        syncs: how often it was synchronised.
    """

    def __init__(
        self,
        stream: Stream,
        *,
        others: float = 0.0,
        throttled: Container[int] = (),
        capped: Container[int] = (),
        clocks: tuple[float, ...] = (1500.0,),
    ) -> None:
        self.name = "fake"
        self.stream, self.others, self.throttled, self.capped, self.clocks = stream, others, throttled, capped, clocks
        self.time, self.calls, self.snapshots, self.syncs = 0, 0, 0, 0
        self.rests: list[float] = []

    def call(self) -> None:
        """The call that is timed."""
        self.calls += 1
        self.time += round(next(self.stream) * 1e9)

    def now(self) -> int:
        return self.time

    def sleep(self, seconds: float) -> None:
        self.rests.append(seconds)
        self.time += round(seconds * 1e9)

    def synchronize(self) -> None:
        self.syncs += 1

    def mark(self) -> int:
        return self.time

    def elapsed(self, a: int, b: int) -> float:
        return (b - a) / 1e9

    def pressure(self) -> Pressure:
        number = self.snapshots
        self.snapshots += 1
        return Pressure(
            at=self.time,
            others=self.others * self.time / 1e9,
            stolen=0.0,
            throttled=number in self.throttled,
            power_capped=number in self.capped,
            clock=self.clocks[min(number, len(self.clocks) - 1)],
        )

    def flags_since(self, before: Pressure) -> list[str]:
        return flags_between(before, self.pressure())


class FakeQueue(FakeDevice):
    """A device that works through a queue: the stream gives device seconds, the host needs `enqueue` to queue a call.

    Attributes:
        syncing: the call waits for its own result, and torch can see that.
        full: the launch queue is too short for the call, so that queuing it waits until the hold is over.
    """

    def __init__(self, stream: Stream, *, enqueue: float, syncing: bool = False, full: bool = False) -> None:
        super().__init__(stream)
        self.enqueue, self.syncing, self.full = enqueue, syncing, full
        self.busy_until, self.held_until, self.holds = 0, 0, 0

    def call(self) -> None:
        self.calls += 1
        begin = max(self.time, self.busy_until)
        self.time += round(self.enqueue * 1e9)
        # Without a hold the last kernel can start only when the host has queued it.
        self.busy_until = max(begin + round(next(self.stream) * 1e9), self.time)
        if self.full:
            self.time = max(self.time, self.held_until)
        if self.syncing:
            self.synchronize()

    def synchronize(self) -> None:
        self.syncs += 1
        self.time = max(self.time, self.busy_until)

    def hold(self, seconds: float) -> None:
        self.holds += 1
        self.busy_until = self.held_until = max(self.time, self.busy_until) + round(seconds * 1e9)

    def mark(self) -> int:
        return max(self.time, self.busy_until)

    def reached(self, mark: int) -> bool:
        return mark <= self.time

    def waits(self, call: Callable[[], object]) -> bool:
        call()
        return self.syncing


class NvmlError(Exception):
    """Stands in for pynvml.NVMLError."""


def refuse(*_: object) -> int:
    """A call that this driver does not support."""
    raise NvmlError("Not Supported")


def nvml_stub(**answers: Callable[..., Any]) -> SimpleNamespace:
    """The part of pynvml that is used, hot and at its power limit; answers replace single calls, by name."""
    stub = SimpleNamespace(
        NVMLError=NvmlError,
        NVML_CLOCK_SM=1,
        nvmlInit=lambda: None,
        nvmlDeviceGetHandleByUUID=lambda uuid: uuid,
        nvmlDeviceGetCurrentClocksEventReasons=lambda handle: 0x20 | 0x4,
        nvmlDeviceGetCurrentClocksThrottleReasons=lambda handle: 0x1,
        nvmlDeviceGetClockInfo=lambda handle, kind: 1980,
        nvmlClocksEventReasonHwSlowdown=0x8,
        nvmlClocksEventReasonSwThermalSlowdown=0x20,
        nvmlClocksEventReasonHwThermalSlowdown=0x40,
        nvmlClocksEventReasonHwPowerBrakeSlowdown=0x80,
        nvmlClocksEventReasonSwPowerCap=0x4,
    )
    stub.__dict__.update(answers)
    return stub
