import gc
import time
from itertools import cycle, pairwise
from typing import Any

import pytest
from fakes import FakeDevice, FakeQueue, Stream, bimodal, constant, drifting, noisy, slow_start, spiky
from hypothesis import given
from hypothesis import strategies as st

from bench.record import FLAGS, Protocol
from bench.worker import timing
from bench.worker.devices import CpuDevice, Pressure, QueueDevice
from bench.worker.samples import StopRule

PROTOCOL = Protocol()


def run(stream: Stream, protocol: Protocol = PROTOCOL, **script: Any) -> tuple[timing.Samples, FakeDevice]:
    device = FakeDevice(stream, **script)
    return timing.latency(device.call, device, protocol), device


def seconds_of(taken: timing.Samples) -> float:
    return (taken.end - taken.start) / 1e9


# The stopping rule


def test_a_constant_stream_stops_at_the_minimum() -> None:
    taken, device = run(constant(0.02))
    assert taken.stopped == timing.CONVERGED
    assert len(taken.samples) == device.calls == 50  # 1 s of 20 ms; 30 samples would be enough
    assert (taken.interval.value, taken.interval.low, taken.interval.high) == (0.02, 0.02, 0.02)
    assert taken.flags == ()
    assert run(constant(0.1))[0].samples == (0.1,) * 30


def test_noise_takes_samples_until_the_interval_is_narrow() -> None:
    taken, _ = run(noisy(0.02, 0.02))
    assert taken.stopped == timing.CONVERGED
    assert 50 <= len(taken.samples) <= 300
    assert taken.flags == ()
    assert taken.interval.half_width is not None
    assert taken.interval.half_width <= 0.005 * taken.interval.value
    assert taken.interval.value == pytest.approx(0.02, rel=0.01)


def test_spikes_cost_no_samples_and_stay_in_the_record() -> None:
    plain, _ = run(noisy(0.02, 0.01))
    taken, _ = run(spiky(noisy(0.02, 0.01), share=0.02, factor=10, seed=1))
    assert taken.stopped == timing.CONVERGED
    assert len(taken.samples) <= 1.6 * len(plain.samples)
    assert max(taken.samples) > 0.19
    assert taken.interval.value == pytest.approx(0.02, rel=0.01)


def test_two_levels_reach_the_plateau() -> None:
    taken, _ = run(bimodal(0.010, 0.014))
    assert taken.stopped == timing.PLATEAU
    assert taken.flags == ("noisy",)
    assert (taken.interval.low, taken.interval.high) == (0.010, 0.014)
    assert seconds_of(taken) < PROTOCOL.max_seconds


def test_a_drift_is_flagged_and_widens_the_interval() -> None:
    taken, _ = run(drifting(0.02, per_call=0.002))
    assert set(taken.flags) == {"drift", "noisy"}
    assert taken.interval.half_width is not None
    assert taken.interval.half_width > 0.02 * taken.interval.value


def test_the_limit_ends_a_pass_of_slow_calls() -> None:
    taken, _ = run(noisy(2.0, 0.1))
    assert taken.stopped == timing.LIMIT
    assert "noisy" in taken.flags
    assert 7 <= len(taken.samples) <= 9
    assert len(run(constant(60.0))[0].samples) == 1


def test_fewer_than_six_samples_are_always_noisy() -> None:
    taken, _ = run(constant(1.0), Protocol(min_samples=1, min_seconds=0, max_seconds=0))
    assert taken.samples == (1.0,)
    assert taken.flags == ("noisy",)


def test_the_rule_is_asked_at_growing_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    original = StopRule._flat

    def spy(rule: StopRule, n: int, width: float) -> bool:
        asked.append(n)
        return original(rule, n, width)

    monkeypatch.setattr(StopRule, "_flat", spy)
    run(noisy(0.001, 0.3, seed=2), Protocol(min_seconds=0))
    assert len(asked) > 4
    assert all(b >= 1.25 * a for a, b in pairwise(asked))


@given(st.floats(1e-4, 1.0), st.floats(0, 0.5), st.integers(0, 5))
def test_every_pass_ends_within_its_limit_and_keeps_every_sample(seconds: float, spread: float, seed: int) -> None:
    protocol = Protocol(min_seconds=0.1, max_seconds=1.0)
    taken, device = run(noisy(seconds, spread, seed), protocol)
    assert len(taken.samples) == device.calls == sum(window.samples for window in taken.windows)
    assert sum(taken.samples[:-1]) < 1.0 + 1e-6
    assert set(taken.flags) <= FLAGS.keys()
    assert ("noisy" in taken.flags) or taken.stopped != timing.PLATEAU


# What disturbs a pass


def test_other_processes_are_seen() -> None:
    assert run(constant(0.02), others=0.5)[0].flags == ("contended",)
    assert run(constant(0.02), others=0.02)[0].flags == ()


def test_a_throttled_pass_is_repeated_after_a_rest_and_set_aside() -> None:
    taken, device = run(constant(0.02), throttled={2})
    assert device.rests == [2.0]
    assert taken.set_aside == ((0.02,) * 50,)
    assert taken.flags == ()
    assert taken.details["set_aside"] == [[0.02] * 50]


def test_after_the_last_retry_throttled_data_are_kept_and_labelled() -> None:
    taken, device = run(constant(0.02), throttled=range(1000))
    assert device.rests == [2.0, 3.0, 4.5]
    assert len(taken.samples) == 50
    assert taken.flags == ("throttled",)
    assert len(taken.set_aside) == 3
    assert device.calls == 4 * 50 + 3 * 13  # four passes, and 0.25 s of calls after each rest


def test_only_the_windows_that_throttled_are_labelled() -> None:
    taken, _ = run(constant(0.025), throttled={2, 7, 12, 17})
    assert taken.flags == ("throttled",)
    assert ["throttled" in window.flags for window in taken.windows] == [False, True, True, False]
    assert [window.samples for window in taken.windows] == [10, 10, 10, 10]
    assert taken.details["windows"][1]["flags"] == ["throttled"]


def test_a_power_cap_is_labelled_and_not_repeated() -> None:
    taken, device = run(constant(0.02), capped={1})
    assert taken.flags == ("power_capped",)
    assert device.rests == []


def test_what_cannot_be_read_is_said() -> None:
    device = FakeDevice(constant(0.1))
    device.pressure = lambda: Pressure(at=device.time, unknown=("NVML: not found",))  # type: ignore[method-assign]
    taken = timing.latency(device.call, device, PROTOCOL)
    assert taken.flags == ()
    assert taken.details["unknown"] == ["NVML: not found"]


# Garbage


def test_garbage_is_not_collected_while_timing() -> None:
    seen = []
    device = FakeDevice(constant(0.1))

    def call() -> None:
        seen.append(gc.isenabled())
        device.call()

    timing.latency(call, device, PROTOCOL)
    assert not any(seen)
    assert gc.isenabled()


def test_garbage_collection_is_as_before_also_when_the_call_raises() -> None:
    def call() -> None:
        raise RuntimeError("out of luck")

    for figure in (timing.latency, lambda *args: timing._sustained(args[0], 1, args[1], args[2], 1.0)):
        for enabled in (True, False):
            (gc.enable if enabled else gc.disable)()
            try:
                with pytest.raises(RuntimeError, match="out of luck"):
                    figure(call, FakeDevice(constant(1.0)), PROTOCOL)
                assert gc.isenabled() is enabled
            finally:
                gc.enable()


# Warm-up


def test_warm_up_converges_after_slow_first_calls() -> None:
    device = FakeDevice(slow_start([3.0, 1.0, 0.5], constant(0.02)))
    warm = timing.warm_up(device.call, device, PROTOCOL)
    assert warm.converged and warm.flags == ()
    assert warm.first_call_seconds == 3.0
    assert warm.medians == (0.02, 0.02)
    assert warm.calls == device.calls == 3 + 2 * 13
    assert warm.seconds == pytest.approx(1.5 + 26 * 0.02)


def test_warm_up_waits_for_medians_to_agree() -> None:
    device = FakeDevice(slow_start([0.1] * 15, drifting(0.03, per_call=-0.002)))
    warm = timing.warm_up(device.call, device, Protocol(warmup_limit=3.0))
    assert not warm.converged
    assert warm.flags == ("warmup_unconverged",)
    assert 3.0 <= warm.seconds < 3.3


def test_warm_up_waits_for_the_clock_to_settle() -> None:
    device = FakeDevice(constant(0.02), clocks=(1980.0, 1900.0, 1820.0, 1810.0))
    warm = timing.warm_up(device.call, device, PROTOCOL)
    assert warm.converged
    assert warm.clocks == (1980.0, 1900.0, 1820.0, 1810.0)


def test_a_compilation_longer_than_the_limit_is_no_lack_of_warm_up() -> None:
    device = FakeDevice(slow_start([60.0], constant(0.02)))
    warm = timing.warm_up(device.call, device, PROTOCOL)
    assert warm.converged
    assert warm.first_call_seconds == 60.0


def test_the_least_warm_up_is_done_even_past_the_limit() -> None:
    device = FakeDevice(constant(10.0))
    warm = timing.warm_up(device.call, device, PROTOCOL)
    assert (warm.calls, warm.medians, warm.converged) == (3, (), False)
    brief = Protocol(warmup_calls=1, warmup_seconds=0, warmup_window=0)
    assert timing.warm_up(device.call, device, brief).calls == 3  # the first, and two windows of one call each


# Throughput


def test_throughput_is_all_images_by_all_time() -> None:
    # The mean of the rates 10, 1 and 10 would be 7.
    device = FakeDevice(slow_start([1.0, 1.0, 10.0, 1.0], constant(1.0)))
    taken = timing.throughput(device.call, 10, device, Protocol(windows=3, window_seconds=0))
    assert taken.samples == (10.0, 1.0, 10.0)
    assert taken.interval.value == pytest.approx(30 / 12)
    assert (taken.interval.low, taken.interval.high) == (1.0, 10.0)
    assert taken.stopped == "30 images by 12 s, in 3 windows"
    assert device.calls == 4  # one per window, and one to learn how long a call takes


def test_windows_last_as_long_as_asked_and_synchronise_at_their_ends() -> None:
    device = FakeDevice(constant(0.01))
    taken = timing.throughput(device.call, 4, device, Protocol(windows=5, window_seconds=1.0))
    assert taken.interval.value == pytest.approx(400)
    assert device.calls == 1 + 5 * 100
    assert device.syncs == 2 + 5 * 2


def test_a_window_that_ends_too_soon_goes_on() -> None:
    device = FakeDevice(slow_start([0.5], cycle([0.01, 0.02])))
    taken = timing.throughput(device.call, 1, device, Protocol(windows=2, window_seconds=1.0))
    assert all(window.after.at - window.before.at >= 1e9 for window in taken.windows)
    assert taken.interval.value == pytest.approx(1 / 0.015, rel=0.02)


def test_one_window_has_no_bounds() -> None:
    device = FakeDevice(constant(0.5))
    taken = timing.throughput(device.call, 1, device, Protocol(windows=1, window_seconds=0))
    assert (taken.interval.value, taken.interval.low, taken.interval.high) == (2.0, None, None)


def test_throughput_is_repeated_on_a_throttled_device() -> None:
    device = FakeDevice(constant(0.1), throttled=range(100))
    taken = timing.throughput(device.call, 1, device, Protocol(windows=2))
    assert taken.flags == ("throttled",)
    assert device.rests == [2.0, 3.0, 4.5]


# Device time


def test_the_host_has_no_device_time() -> None:
    device = FakeDevice(constant(0.02))
    assert not isinstance(device, QueueDevice)
    assert timing.device_latency(device.call, device, PROTOCOL) is None


def test_device_time_leaves_out_the_host() -> None:
    device = FakeQueue(constant(0.002), enqueue=0.010)
    busy = timing.device_latency(device.call, device, PROTOCOL)
    request = timing.latency(device.call, device, PROTOCOL)
    assert busy is not None
    assert busy.interval.value == pytest.approx(0.002)
    assert request.interval.value == pytest.approx(0.010)
    assert busy.flags == ("launch_bound",)
    assert busy.enqueue == pytest.approx(0.010)
    assert busy.uncovered == 0
    assert timing.launch_bound(request, busy)


def test_a_busy_device_is_not_launch_bound() -> None:
    device = FakeQueue(constant(0.020), enqueue=0.001)
    busy = timing.device_latency(device.call, device, PROTOCOL)
    request = timing.latency(device.call, device, PROTOCOL)
    assert busy is not None and busy.flags == ()
    assert busy.interval.value == pytest.approx(0.020)
    assert not timing.launch_bound(request, busy)


def test_a_call_that_waits_for_its_result_is_flagged() -> None:
    device = FakeQueue(constant(0.002), enqueue=0.010, syncing=True)
    busy = timing.device_latency(device.call, device, PROTOCOL)
    request = timing.latency(device.call, device, PROTOCOL)
    assert busy is not None and busy.flags == ("host_sync",)
    assert device.holds == 3  # the probes; the samples are plain events
    assert busy.uncovered == len(busy.samples)
    assert not timing.launch_bound(request, busy)


def test_a_call_longer_than_the_launch_queue_is_held_all_the_same() -> None:
    device = FakeQueue(constant(0.020), enqueue=0.010, full=True)
    busy = timing.device_latency(device.call, device, PROTOCOL)
    assert busy is not None and busy.flags == ("uncovered",)
    assert device.holds == 3 + len(busy.samples)
    assert busy.details["uncovered"] == len(busy.samples)


# A real device


def busy_loop() -> int:
    return sum(range(20_000))


def by_hand(calls: int) -> float:
    samples = []
    for _ in range(calls):
        start = time.perf_counter_ns()
        busy_loop()
        samples.append(time.perf_counter_ns() - start)
    return sorted(samples)[calls // 2] / 1e9


def test_a_real_call_takes_as_long_as_a_hand_loop_says() -> None:
    device, protocol = CpuDevice(), Protocol(min_samples=40, min_seconds=0, max_seconds=0.2, half_width=1.0)
    ratios = []
    for _ in range(9):
        hand = by_hand(40)
        ratios.append(timing.latency(busy_loop, device, protocol).interval.value / hand)
    # Wide, since others may use the machine; tests/benchmarks/test_timing_overhead.py prints the exact figure.
    assert 0.7 < sorted(ratios)[4] < 1.4
