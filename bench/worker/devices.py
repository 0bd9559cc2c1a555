"""Devices: their clock, their events, and what disturbs them, behind one protocol that a test can script."""

import os
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from bench.errors import Unavailable, UsageError
from bench.worker.nvml import Nvml

if TYPE_CHECKING:
    import torch

CONTENDED = 0.1
"""Cores' worth of other processes' work, on the cores that we may use, above which a timing is `contended`."""

EVIDENCE = 0.05
"""CPU seconds of others below which nothing is concluded: the kernel counts in ticks of 0.01 s."""

PROBE_CYCLES = 10_000_000
"""Length of the spin that calibrates `hold`: some 5 ms, against which an event's resolution of 0.5 us is nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pressure:
    """A snapshot of what disturbs a timing. What could not be read is None, and `unknown` says why.

    Attributes:
        at: the device's `now`, nanoseconds.
        others: CPU seconds since boot that other processes used on the cores that we may use; our own children
            (loaders, compile workers) count as others while they live.
        stolen: CPU seconds since boot that the hypervisor gave to other guests.
        throttled: the device slows itself down for heat or power brake at this moment.
        power_capped: the device is at its power limit at this moment.
        clock: the device's clock, MHz.
    """

    at: int
    others: float | None = None
    stolen: float | None = None
    throttled: bool | None = None
    power_capped: bool | None = None
    clock: float | None = None
    unknown: tuple[str, ...] = ()


class Device(Protocol):
    """What timing needs of a device. The clock is the host's, so that host and device times can be set side by side."""

    name: str

    def now(self) -> int:
        """Nanoseconds on a clock that only goes forward."""
        ...

    def sleep(self, seconds: float) -> None:
        """Let the device rest."""
        ...

    def synchronize(self) -> None:
        """Wait until all queued work is done."""
        ...

    def mark(self) -> Any:
        """A point in the device's work, without waiting for it."""
        ...

    def elapsed(self, a: Any, b: Any) -> float:
        """Seconds from mark a to mark b; both must have been passed (synchronize first)."""
        ...

    def pressure(self) -> Pressure:
        """What disturbs the device now; takes 30 us and more, so never call it within a timed region."""
        ...

    def flags_since(self, before: Pressure) -> list[str]:
        """Flags for what was timed between a snapshot and now."""
        ...


@runtime_checkable
class QueueDevice(Device, Protocol):
    """A device that works through a queue while the host runs ahead, so that its own time can be told apart."""

    def hold(self, seconds: float) -> None:
        """Keep the queue busy for about so long, so that what is queued next runs without gaps."""
        ...

    def reached(self, mark: Any) -> bool:
        """Whether the device has passed the mark."""
        ...

    def waits(self, call: Callable[[], object]) -> bool:
        """Whether the call itself waits for the device, as far as torch sees it; makes the call."""
        ...


def flags_between(before: Pressure, after: Pressure) -> list[str]:
    """Names from record.FLAGS for what was timed between two snapshots; what is not known raises no flag.

    Heat and power are read at the ends only: a window should be short, and a pass has many.
    """
    flags = []
    wall, lost = (after.at - before.at) / 1e9, lost_between(before, after)
    if lost is not None and lost > max(CONTENDED * wall, EVIDENCE):
        flags.append("contended")
    if before.throttled or after.throttled:
        flags.append("throttled")
    if before.power_capped or after.power_capped:
        flags.append("power_capped")
    return flags


def lost_between(before: Pressure, after: Pressure) -> float | None:
    """CPU seconds that went to other processes and other guests between two snapshots."""
    if before.others is None or after.others is None or before.stolen is None or after.stolen is None:
        return None
    # Ticks of the total and the exact time of our own run apart by a tick or two.
    return max(0.0, after.others - before.others) + after.stolen - before.stolen


class CpuDevice:
    """The host's processor: calls return when their work is done, so marks are readings of the clock."""

    now = staticmethod(time.perf_counter_ns)
    sleep = staticmethod(time.sleep)

    def __init__(self) -> None:
        self.name = "cpu"

    def synchronize(self) -> None:
        """Nothing to wait for."""

    def mark(self) -> int:
        """The clock, nanoseconds."""
        return time.perf_counter_ns()

    def elapsed(self, a: int, b: int) -> float:
        """Seconds between two marks."""
        return (b - a) / 1e9

    def pressure(self) -> Pressure:
        """Other processes and the hypervisor. Heat and power of processors are not read."""
        others, stolen, unknown = host_load()
        return Pressure(at=self.now(), others=others, stolen=stolen, unknown=unknown)

    def flags_since(self, before: Pressure) -> list[str]:
        """Flags for what was timed between a snapshot and now."""
        return flags_between(before, self.pressure())


class CudaDevice:
    """An NVIDIA device through torch, with NVML beside it for clocks and heat.

    Raises:
        Unavailable: torch sees no such device.
    """

    now = staticmethod(time.perf_counter_ns)
    sleep = staticmethod(time.sleep)

    def __init__(self, index: int | None = None) -> None:
        import torch

        if not torch.cuda.is_available():
            raise Unavailable("no CUDA device")
        if index is not None and index >= torch.cuda.device_count():
            raise Unavailable(f"no device cuda:{index}: there are {torch.cuda.device_count()}")
        self._cuda: Any = torch.cuda  # its events are not annotated
        self._index = torch.cuda.current_device() if index is None else index
        self._cycles = 0.0
        self.name = f"cuda:{self._index}"
        self._nvml = Nvml(str(torch.cuda.get_device_properties(self._index).uuid))

    def synchronize(self) -> None:
        """Wait for all streams of the device."""
        self._cuda.synchronize(self._index)

    def mark(self) -> Any:
        """An event on the stream on which torch now works."""
        event = self._cuda.Event(enable_timing=True)
        event.record(self._cuda.current_stream(self._index))
        return event

    def elapsed(self, a: Any, b: Any) -> float:
        """Seconds between two events that have been passed; resolution 0.5 us."""
        return float(a.elapsed_time(b)) / 1e3

    def pressure(self) -> Pressure:
        """Other processes on the host, and the device's clock and clocks-event reasons."""
        others, stolen, host = host_load()
        throttled, capped, why_reasons = self._nvml.reasons()
        clock, why_clock = self._nvml.clock()
        unknown = (*host, *(why for why in (why_reasons, why_clock) if why))
        return Pressure(
            at=self.now(),
            others=others,
            stolen=stolen,
            throttled=throttled,
            power_capped=capped,
            clock=clock,
            unknown=tuple(dict.fromkeys(unknown)),
        )

    def flags_since(self, before: Pressure) -> list[str]:
        """Flags for what was timed between a snapshot and now."""
        return flags_between(before, self.pressure())

    def hold(self, seconds: float) -> None:
        """Spin on the device: finite, so that a call that waits for the device is slow but no deadlock."""
        if not self._cycles:
            self.synchronize()
            a = self.mark()
            self._spin(PROBE_CYCLES)
            b = self.mark()
            self.synchronize()
            self._cycles = PROBE_CYCLES / self.elapsed(a, b)
        self._spin(round(seconds * self._cycles))

    def _spin(self, cycles: int) -> None:
        with self._cuda.device(self._index):
            self._cuda._sleep(cycles)

    def reached(self, mark: Any) -> bool:
        """Whether the device has passed the event."""
        return bool(mark.query())

    def waits(self, call: Callable[[], object]) -> bool:
        """Whether torch warns of a synchronising operation in the call; what other libraries do it cannot see."""
        before = self._cuda.get_sync_debug_mode()
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            self._cuda.set_sync_debug_mode("warn")
            try:
                call()
            finally:
                self._cuda.set_sync_debug_mode(before)
        return any("called a synchronizing CUDA operation" in str(warning.message) for warning in caught)


def device_for(device: "torch.device | str") -> Device:
    """The device that times what runs on `cpu`, `cuda` or `cuda:1`.

    Raises:
        UsageError: another kind of device.
        Unavailable: torch sees no such device.
    """
    kind, _, index = str(device).partition(":")
    if kind == "cpu":
        return CpuDevice()
    if kind == "cuda" and (not index or index.isdecimal()):
        return CudaDevice(int(index) if index else None)
    raise UsageError(f"device '{device}': write cpu, cuda or cuda:1")


def host_load(stat: Path = Path("/proc/stat")) -> tuple[float | None, float | None, tuple[str, ...]]:
    """CPU seconds of other processes and of other guests since boot, on our cores; None and why where not readable."""
    try:
        lines = stat.read_text().splitlines()
        cores = {f"cpu{core}" for core in os.sched_getaffinity(0)}
    except (OSError, AttributeError) as error:  # sched_getaffinity exists on Linux only
        return None, None, (f"load of other processes: {error}",)
    rows = [[int(ticks) for ticks in line.split()[1:]] for line in lines if line.split(" ", 1)[0] in cores]
    if not rows or any(len(row) < 8 for row in rows):
        return None, None, (f"load of other processes: {stat} does not list our cores",)
    tick = os.sysconf("SC_CLK_TCK")
    own = os.times()
    # user nice system idle iowait irq softirq steal; the guests' time that follows is contained in user.
    busy = sum(sum(row[:3]) + row[5] + row[6] for row in rows) / tick
    return busy - own.user - own.system, sum(row[7] for row in rows) / tick, ()
