"""Warm-up, events and the stopping rule: the only code that times anything."""

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from math import ceil
from typing import TypeVar

from bench.record import Protocol
from bench.stats import FEWEST, Interval, autocorrelation, correlated, median_interval
from bench.worker.devices import Device, Pressure, QueueDevice, device_for
from bench.worker.samples import CONVERGED, LIMIT, PLATEAU, Samples, StopRule, Window, assemble, disturbed, narrow

__all__ = [
    "CONVERGED",
    "LIMIT",
    "PLATEAU",
    "Device",
    "Pressure",
    "Samples",
    "WarmUp",
    "Window",
    "device_for",
    "device_latency",
    "first_calls",
    "latency",
    "launch_bound",
    "no_garbage",
    "throughput",
    "timed",
    "warm_up",
]

Call = Callable[[], object]
T = TypeVar("T")

WINDOW = 0.25
"""Seconds between snapshots of pressure: four a second, of 30 us each on a CPU, cost 0.01 % and touch no sample."""

RETRIES, COOL_FIRST, COOL_FACTOR, COOL_LONGEST = 3, 2.0, 1.5, 30.0
"""Passes repeated on a throttled device, and the rests before them in seconds; nvbench filters throttled samples
without end, and its users got empty tables (NVIDIA/nvbench#231)."""

CLOCK_AGREEMENT = 0.02
"""Two warm-up windows whose SM clocks differ by more have not settled."""

FIRST_CALLS = 3
"""A compiled call's: the first one compiles, the second one may once more, and CUDA graphs are warmed up, recorded and
replayed in one each (pytorch/pytorch#120309)."""

ENQUEUES = 5
HOLDS = (1.5, 3.0, 6.0)
"""Multiples of the enqueue time for which the device is held; the larger ones are for a host that was interrupted."""
HOLD_LEAST = 20e-6
"""Seconds: launching an event takes a few microseconds of its own."""

UNCOVERED_SHARE = 0.05
"""Share of samples with possible gaps above which the figure is flagged."""

LAUNCH_SHARE, LAUNCH_RATIO = 0.8, 1.15
"""A device waits for its host where queuing takes more than 0.8 of its own time (trtexec's rule), or where the caller
waits for 1.15 times that long."""


@dataclass(frozen=True, slots=True)
class WarmUp:
    """What the warm-up saw; times in seconds, clocks in MHz.

    Attributes:
        calls: all of them; seconds: of all but the first.
        first_call_seconds: the first call, which compiles, tunes and allocates.
        medians, clocks: of each window; a clock is None where the device does not tell it.
    """

    calls: int
    seconds: float
    converged: bool
    first_call_seconds: float
    medians: tuple[float, ...]
    clocks: tuple[float | None, ...]

    @property
    def flags(self) -> tuple[str, ...]:
        """`warmup_unconverged` where the limit ended it."""
        return () if self.converged else ("warmup_unconverged",)


def warm_up(call: Call, device: Device, protocol: Protocol) -> WarmUp:
    """Call until two successive windows agree in their median and in the device's clock, or the limit is reached.

    The protocol's seconds count from the end of the first call, since that may compile for longer than the limit.
    """
    take = _request(call, device)
    first = take()
    calls, start = 1, device.now()
    while calls < protocol.warmup_calls or _since(start, device) < protocol.warmup_seconds:
        take()
        calls += 1
    medians: list[float] = []
    clocks: list[float | None] = []
    converged = False
    while not converged and _since(start, device) < protocol.warmup_limit:
        window = _calls_for(take, device, protocol.warmup_window)
        calls += len(window)
        medians.append(median_interval(window).value)
        clocks.append(device.pressure().clock)
        converged = len(medians) > 1 and _settled(medians, clocks, protocol.warmup_agreement)
    return WarmUp(calls, _since(start, device), converged, first, tuple(medians), tuple(clocks))


def timed(call: Callable[[], T], device: Device) -> tuple[T, float]:
    """What a call returns, and the seconds from an idle device before it to an idle device after it."""
    device.synchronize()
    start = device.now()
    result = call()
    device.synchronize()
    return result, (device.now() - start) / 1e9


def first_calls(call: Call, device: Device) -> tuple[float, ...]:
    """Seconds of each of the first calls of something that is compiled when it is called."""
    return tuple(timed(call, device)[1] for _ in range(FIRST_CALLS))


def latency(call: Call, device: Device, protocol: Protocol) -> Samples:
    """What a caller waits for one call: synchronise, clock, call, synchronise, clock; seconds.

    The call takes no argument and cycles its own inputs. Garbage is not collected meanwhile.
    """
    return _timed(_request(call, device), device, protocol)


def device_latency(call: Call, device: Device, protocol: Protocol) -> Samples | None:
    """The time for which the device is busy with one call, in seconds; None where the host is the device.

    The device spins while the host queues the whole call, so that no gap between launches is counted. A call that
    waits for the device cannot be queued like that: its gaps are counted, and it is flagged `host_sync`. A call of
    more kernels than the launch queue holds (about a thousand) blocks too, though it leaves no gaps: torch tells the
    two apart.
    """
    if not isinstance(device, QueueDevice):
        return None
    enqueue = median_interval([_queued(call, device) for _ in range(ENQUEUES)]).value
    hold = next((hold for share in HOLDS if _held(call, device, hold := share * enqueue + HOLD_LEAST)[1]), 0.0)
    synced = not hold and device.waits(call)
    if not hold and not synced:
        hold = HOLDS[0] * enqueue + HOLD_LEAST
    covered: list[bool] = []

    def take() -> float:
        seconds, held = _held(call, device, 0.0 if synced else hold)
        covered.append(held)
        return seconds

    taken = _timed(take, device, protocol)
    flags = set(taken.flags)
    if synced:
        flags.add("host_sync")
    elif enqueue > LAUNCH_SHARE * taken.interval.value:
        flags.add("launch_bound")
    uncovered = covered[-len(taken.samples) :].count(False)
    if not synced and uncovered > UNCOVERED_SHARE * len(taken.samples):
        flags.add("uncovered")
    return replace(taken, flags=tuple(sorted(flags)), enqueue=enqueue, uncovered=uncovered)


def launch_bound(request: Samples, busy: Samples) -> bool:
    """Whether the device waits for the host, given what `latency` and `device_latency` found of the same call."""
    if "host_sync" in busy.flags:
        return False
    return "launch_bound" in busy.flags or request.interval.value > LAUNCH_RATIO * busy.interval.value


def throughput(call: Call, images_per_call: int, device: Device, protocol: Protocol) -> Samples:
    """Sustained images per second: calls back to back in windows, synchronised at their ends only.

    The figure is all images by all time, never a mean of rates; its bounds are the slowest and the fastest window.
    """
    take = _request(call, device)
    period = take()

    def once() -> Samples:
        return _sustained(call, images_per_call, device, protocol, period)

    return _unthrottled(once, lambda: _calls_for(take, device, protocol.warmup_window), device)


def _request(call: Call, device: Device) -> Callable[[], float]:
    """One synchronised call that returns its seconds; between the readings of the clock there is nothing else."""
    now, synchronize = device.now, device.synchronize

    def take() -> float:
        synchronize()
        start = now()
        call()
        synchronize()
        return (now() - start) / 1e9

    return take


def _queued(call: Call, device: Device) -> float:
    """Seconds until the call returns, whether or not its work is done."""
    device.synchronize()
    start = device.now()
    call()
    return (device.now() - start) / 1e9


def _held(call: Call, device: QueueDevice, hold: float) -> tuple[float, bool]:
    """Device seconds of one call behind a hold of so many seconds, and whether it was queued before the hold ended."""
    device.synchronize()
    if hold:
        device.hold(hold)
    begin = device.mark()
    call()
    end = device.mark()
    covered = bool(hold) and not device.reached(begin)
    device.synchronize()
    return device.elapsed(begin, end), covered


def _timed(take: Callable[[], float], device: Device, protocol: Protocol) -> Samples:
    """Samples until the stopping rule is content, on a device that does not throttle, where that can be had."""

    def once() -> Samples:
        with no_garbage():
            return _pass(take, device, protocol)

    def warm() -> None:
        # A device that rested lowers its clocks, and the first samples would tell of that.
        _calls_for(take, device, protocol.warmup_window)

    return _unthrottled(once, warm, device)


def _unthrottled(once: Callable[[], Samples], warm: Call, device: Device) -> Samples:
    """The first pass in which the device did not throttle; after the last retry the pass that is there, labelled."""
    set_aside: list[tuple[float, ...]] = []
    taken = once()
    while "throttled" in taken.flags and len(set_aside) < RETRIES:
        device.sleep(min(COOL_LONGEST, COOL_FIRST * COOL_FACTOR ** len(set_aside)))
        set_aside.append(taken.samples)
        warm()
        taken = once()
    return replace(taken, set_aside=tuple(set_aside))


def _pass(take: Callable[[], float], device: Device, protocol: Protocol) -> Samples:
    """One pass of the stopping rule; pressure is read between samples."""
    rule = StopRule(protocol)
    seconds: list[float] = []
    windows: list[Window] = []
    before, first = device.pressure(), 0
    start = opened = device.now()
    stopped = ""
    while not stopped:
        seconds.append(take())
        now = device.now()
        stopped = rule.ask(seconds, (now - start) / 1e9)
        if stopped or now - opened >= WINDOW * 1e9:
            after = device.pressure()
            windows.append(Window(len(seconds) - first, before, after))
            before, first, opened = after, len(seconds), device.now()
    interval = median_interval(seconds)
    flags = disturbed(windows)
    if len(seconds) < FEWEST or not narrow(interval, protocol.half_width):
        flags.add("noisy")
    if len(seconds) >= FEWEST and correlated(autocorrelation(seconds), len(seconds)):
        flags.add("drift")
    return assemble(seconds, interval, stopped, windows, flags)


def _sustained(call: Call, images: int, device: Device, protocol: Protocol, period: float) -> Samples:
    """Back-to-back windows; `period` is the expected seconds of a call, learnt anew from every window."""
    rates: list[float] = []
    windows: list[Window] = []
    total_calls, total_seconds = 0, 0.0
    before = device.pressure()
    with no_garbage():
        for _ in range(max(1, protocol.windows)):
            calls, seconds = _back_to_back(call, device, protocol.window_seconds, period)
            after = device.pressure()
            windows.append(Window(1, before, after))
            before, period = after, seconds / calls
            rates.append(images * calls / seconds)
            total_calls, total_seconds = total_calls + calls, total_seconds + seconds
    rate = images * total_calls / total_seconds
    bounds = (min(rates), max(rates)) if len(rates) > 1 else (None, None)
    how = f"{total_calls * images} images by {total_seconds:.3g} s, in {len(rates)} windows"
    return assemble(rates, Interval(rate, *bounds), how, windows, disturbed(windows))


def _back_to_back(call: Call, device: Device, least: float, period: float) -> tuple[int, float]:
    """Calls and seconds of one window of at least so many seconds.

    Calls are counted out rather than watched by the clock: a host that runs ahead would queue seconds of work. Where
    they end too soon, some more follow.
    """
    device.synchronize()
    start, calls, seconds = device.now(), 0, 0.0
    while not calls or seconds < least:
        more = max(1, ceil((least - seconds) / period))
        for _ in range(more):
            call()
        device.synchronize()
        calls, seconds = calls + more, _since(start, device)
    return calls, seconds


def _settled(medians: list[float], clocks: list[float | None], agreement: float) -> bool:
    old, new = clocks[-2:]
    steady = old is None or new is None or abs(new - old) <= CLOCK_AGREEMENT * old
    return steady and abs(medians[-1] - medians[-2]) <= agreement * medians[-2]


def _calls_for(take: Callable[[], T], device: Device, seconds: float) -> list[T]:
    """At least one call, and more until so many seconds have passed; what they returned."""
    start = device.now()
    results = [take()]
    while _since(start, device) < seconds:
        results.append(take())
    return results


def _since(start: int, device: Device) -> float:
    return (device.now() - start) / 1e9


@contextmanager
def no_garbage() -> Iterator[None]:
    """No garbage collection within; as it was, after."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()
