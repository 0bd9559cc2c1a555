import sys
import warnings
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import pytest
from fakes import nvml_stub

from bench.errors import Unavailable, UsageError
from bench.worker.devices import CudaDevice, Pressure, QueueDevice, device_for, flags_between, host_load


def test_flags_need_evidence() -> None:
    def at(seconds: float, others: float | None, stolen: float = 0.0) -> Pressure:
        return Pressure(at=round(seconds * 1e9), others=others, stolen=stolen)

    assert flags_between(at(0, 5.0), at(1, 5.2)) == ["contended"]
    assert flags_between(at(0, 5.0), at(1, 5.0, stolen=0.2)) == ["contended"]
    assert flags_between(at(0, 5.0), at(1, 5.05)) == []
    assert flags_between(at(0, 5.0), at(0.1, 5.04)) == []  # four ticks prove nothing
    assert flags_between(at(0, None), at(1, 9.0)) == []


def test_the_cpu_reads_its_load() -> None:
    device = device_for("cpu")
    before = device.pressure()
    assert before.others is not None or before.unknown
    assert (before.throttled, before.clock) == (None, None)
    assert set(device.flags_since(before)) <= {"contended"}
    a = device.mark()
    device.sleep(0.001)
    device.synchronize()
    assert 0.001 <= device.elapsed(a, device.mark()) < 1
    assert not isinstance(device, QueueDevice)


def stat_of(busy: int, stolen: int = 0) -> str:
    rows = "".join(f"cpu{n} {busy} 0 0 0 0 0 0 {stolen} 0 0\n" for n in range(2048))
    return f"cpu  1 1 1 1 1 1 1 1 1 1\n{rows}intr 1 2 3\n"


def test_load_counts_our_cores_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0, 3}, raising=False)
    monkeypatch.setattr("os.sysconf", lambda _: 100)
    monkeypatch.setattr("os.times", lambda: SimpleNamespace(user=3.0, system=1.0))
    stat = tmp_path / "stat"
    stat.write_text(stat_of(500, stolen=25))
    assert host_load(stat) == (6.0, 0.5, ())


def test_load_that_cannot_be_read_has_a_reason(tmp_path: Path) -> None:
    others, stolen, (reason,) = host_load(tmp_path / "absent")
    assert (others, stolen) == (None, None)
    assert "No such file" in reason
    (tmp_path / "empty").write_text("cpu 1 2 3\n")
    assert "does not list our cores" in host_load(tmp_path / "empty")[2][0]


def test_a_device_is_named_as_torch_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    torch = SimpleNamespace(cuda=SimpleNamespace(is_available=lambda: False))
    monkeypatch.setitem(sys.modules, "torch", torch)
    with pytest.raises(UsageError, match="write cpu, cuda or cuda:1"):
        device_for("mps")
    with pytest.raises(UsageError, match="cuda:x"):
        device_for("cuda:x")
    with pytest.raises(Unavailable, match="no CUDA device"):
        device_for("cuda:0")
    torch.cuda = SimpleNamespace(is_available=lambda: True, device_count=lambda: 1)
    with pytest.raises(Unavailable, match="no device cuda:3: there are 1"):
        device_for("cuda:3")


class StubEvent:
    """A CUDA event on a clock of milliseconds that the stub of torch.cuda moves."""

    clock = 0.0

    def __init__(self, enable_timing: bool) -> None:
        assert enable_timing

    def record(self, stream: str) -> None:
        assert stream == "stream of 0"
        self.at = StubEvent.clock

    def elapsed_time(self, other: "StubEvent") -> float:
        return other.at - self.at

    def query(self) -> bool:
        return True


def test_cuda_speaks_to_torch_and_nvml(monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[int] = []

    def sleep(cycles: int) -> None:
        slept.append(cycles)
        StubEvent.clock += cycles / 2e6  # 2 GHz

    cuda = SimpleNamespace(
        is_available=lambda: True,
        device_count=lambda: 1,
        current_device=lambda: 0,
        get_device_properties=lambda index: SimpleNamespace(uuid="1234"),
        synchronize=lambda index: None,
        current_stream=lambda index: f"stream of {index}",
        device=lambda index: nullcontext(),
        Event=StubEvent,
        _sleep=sleep,
    )
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(cuda=cuda))
    monkeypatch.setitem(sys.modules, "pynvml", nvml_stub())
    device = device_for("cuda")
    assert isinstance(device, CudaDevice) and isinstance(device, QueueDevice)
    assert device.name == "cuda:0"
    a = device.mark()
    device.hold(0.001)
    device.hold(0.003)
    assert slept[1:] == [2_000_000, 6_000_000]
    assert device.elapsed(a, device.mark()) == pytest.approx(0.004 + slept[0] / 2e9)
    assert device.reached(a)
    pressure = device.pressure()
    assert (pressure.throttled, pressure.power_capped, pressure.clock) == (True, True, 1980.0)
    assert {"throttled", "power_capped"} <= set(device.flags_since(pressure))


@pytest.mark.parametrize(("message", "found"), [("called a synchronizing CUDA operation", True), ("other", False)])
def test_cuda_counts_only_warnings_of_the_call(message: str, found: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    modes: list[object] = []

    def set_mode(mode: object) -> None:
        modes.append(mode)
        warnings.warn("Synchronization debug mode does not yet detect all synchronizing operations", stacklevel=1)

    device = CudaDevice.__new__(CudaDevice)
    device._cuda = SimpleNamespace(get_sync_debug_mode=lambda: 0, set_sync_debug_mode=set_mode)
    assert device.waits(lambda: warnings.warn(message, stacklevel=1)) is found
    assert modes == ["warn", 0]
