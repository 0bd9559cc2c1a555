"""How far a timed call is from a hand-written loop: run as a script for the figures, alone on the machine."""

import time
from collections.abc import Callable

from bench.record import Protocol
from bench.stats import median_interval
from bench.worker.devices import CpuDevice
from bench.worker.timing import latency

LENGTHS = {"empty": 0, "3 us": 200, "300 us": 20_000, "3 ms": 200_000}


def by_hand(call: Callable[[], object], calls: int) -> float:
    samples = []
    for _ in range(calls):
        start = time.perf_counter_ns()
        call()
        samples.append(time.perf_counter_ns() - start)
    return median_interval(samples).value / 1e9


def by_bench(call: Callable[[], object], calls: int) -> float:
    protocol = Protocol(min_samples=calls, min_seconds=0, half_width=10.0, max_seconds=60)
    return latency(call, CpuDevice(), protocol).interval.value


def pairs(length: int, rounds: int, calls: int) -> list[tuple[float, float]]:
    """(by hand, by bench) in the order A B B A, so that a drift of the machine cancels out; seconds."""

    def call() -> int:
        return sum(range(length))

    found = []
    for i in range(rounds):
        if i % 2:
            bench = by_bench(call, calls)
            found.append((by_hand(call, calls), bench))
        else:
            hand = by_hand(call, calls)
            found.append((hand, by_bench(call, calls)))
    return found


def test_overhead_is_small() -> None:
    found = pairs(200, rounds=12, calls=100)
    extra = median_interval([bench - hand for hand, bench in found]).value
    assert abs(extra) < 20e-6  # the aim is 2 us; a busy machine must not fail this


def main() -> None:
    """Print the ratio and the difference for calls of several lengths."""
    for name, length in LENGTHS.items():
        found = pairs(length, rounds=24, calls=2000 if length < 1000 else 60)
        ratio = median_interval([bench / hand for hand, bench in found])
        extra = median_interval([bench - hand for hand, bench in found])
        assert ratio.half_width is not None and extra.half_width is not None
        print(
            f"{name:>7}: x {ratio.value:.4f} +- {ratio.half_width:.4f}, "
            f"{extra.value * 1e6:+.3f} +- {extra.half_width * 1e6:.3f} us"
        )


if __name__ == "__main__":
    main()
