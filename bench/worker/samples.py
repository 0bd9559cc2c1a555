"""A timed pass: its samples, what disturbed them, and the rule by which it stops."""

from dataclasses import dataclass, field
from math import ceil
from typing import Any

from bench.record import Protocol
from bench.stats import Interval, median_interval
from bench.worker.devices import Pressure, flags_between, lost_between

CONVERGED = "median, timed until its interval was narrow enough"
PLATEAU = "median, timed until more samples no longer narrowed its interval"
LIMIT = "median, timed up to the limit"

GROWTH = 1.25
"""The stopping rule is asked at sample counts that grow by this factor, so that sorting costs O(n log n) in all."""

PLATEAU_SAMPLES = 64
PLATEAU_GAIN = 0.95
"""The interval of twice as many samples is 0.71 as wide; above 0.95 of the old one, more samples do not help (nvbench
likewise stops when its estimate of the noise is stable over 64 samples)."""


@dataclass(frozen=True, slots=True)
class Window:
    """Successive samples between two snapshots of pressure."""

    samples: int
    before: Pressure
    after: Pressure

    @property
    def flags(self) -> list[str]:
        """What disturbed the device in this window."""
        return flags_between(self.before, self.after)

    def plain(self) -> dict[str, Any]:
        """As plain data: samples, nanoseconds, CPU seconds lost to others, MHz."""
        facts: dict[str, Any] = {"samples": self.samples, "start_ns": self.before.at, "end_ns": self.after.at}
        facts |= {"lost": lost_between(self.before, self.after), "clock": self.after.clock, "flags": self.flags}
        return {name: fact for name, fact in facts.items() if fact is not None and fact != []}


@dataclass(frozen=True, slots=True, kw_only=True)
class Samples:
    """A timed pass.

    Attributes:
        samples: every sample in the order taken: seconds, or images per second; none is ever dropped.
        interval: the figure with its 95 % interval, in the samples' unit.
        flags: names from record.FLAGS.
        stopped: why no more samples were taken, as a phrase.
        start, end: the device's clock, nanoseconds.
        windows: the samples in succession, with what disturbed them.
        set_aside: earlier passes in which the device throttled, whole.
        unknown: what could not be read, and why.
        enqueue: seconds that the host needs to queue the call, where that was measured.
        uncovered: samples before which the device ran out of work, so that they contain gaps.
    """

    samples: tuple[float, ...]
    interval: Interval
    stopped: str
    start: int
    end: int
    windows: tuple[Window, ...]
    flags: tuple[str, ...] = ()
    set_aside: tuple[tuple[float, ...], ...] = ()
    unknown: tuple[str, ...] = ()
    enqueue: float | None = None
    uncovered: int = 0

    @property
    def details(self) -> dict[str, Any]:
        """Everything beside the figure, as plain data for a record."""
        windows = [window.plain() for window in self.windows]
        facts = {"start_ns": self.start, "end_ns": self.end, "windows": windows}
        aside = [list(samples) for samples in self.set_aside]
        extra = {
            "set_aside": aside,
            "unknown": list(self.unknown),
            "enqueue": self.enqueue,
            "uncovered": self.uncovered,
        }
        return facts | {name: fact for name, fact in extra.items() if fact}


def assemble(values: list[float], interval: Interval, stopped: str, windows: list[Window], flags: set[str]) -> Samples:
    """The samples of a pass with what its windows say."""
    snapshots = (windows[0].before, *(window.after for window in windows))
    return Samples(
        samples=tuple(values),
        interval=interval,
        stopped=stopped,
        start=snapshots[0].at,
        end=snapshots[-1].at,
        windows=tuple(windows),
        flags=tuple(sorted(flags)),
        unknown=tuple(dict.fromkeys(why for snapshot in snapshots for why in snapshot.unknown)),
    )


def disturbed(windows: list[Window]) -> set[str]:
    """Heat and power of any window; other processes over the whole pass, since a short burst moves no median."""
    device = {flag for window in windows for flag in window.flags if flag != "contended"}
    return device | set(flags_between(windows[0].before, windows[-1].after))


@dataclass(slots=True)
class StopRule:
    """When to stop; remembers when it was asked last and how wide the interval was."""

    protocol: Protocol
    asked: list[tuple[int, float]] = field(default_factory=list)
    due: int = 0

    def ask(self, seconds: list[float], elapsed: float) -> str:
        """Why to stop after these samples; empty to go on."""
        protocol, n = self.protocol, len(seconds)
        if n >= max(protocol.min_samples, self.due) and elapsed >= protocol.min_seconds:
            self.due = ceil(n * GROWTH)
            interval = median_interval(seconds)
            if narrow(interval, protocol.half_width):
                return CONVERGED
            if self._flat(n, interval.half_width or 0.0):
                return PLATEAU
        return LIMIT if elapsed >= protocol.max_seconds else ""

    def _flat(self, n: int, width: float) -> bool:
        """Whether the last half of the samples, and at least 64, did not narrow the interval."""
        earlier = [then for count, then in self.asked if count <= min(n - PLATEAU_SAMPLES, n / 2)]
        self.asked.append((n, width))
        return bool(earlier) and width > PLATEAU_GAIN * earlier[-1]


def narrow(interval: Interval, relative: float) -> bool:
    """Whether the half-width is at most so large a share of the value."""
    return interval.half_width is not None and interval.half_width <= relative * interval.value
