"""Peaks: by the largest of all runs, and larger only where that is no chance."""

from random import Random

import pytest
from judgements import MEMORY

from bench import gate
from bench.gate import INCONCLUSIVE, PASS, REGRESSED
from bench.record import Value


@pytest.mark.parametrize(
    ("base", "head", "expected"),
    [
        ([100, 102], [102, 90], (PASS, "the same")),
        ([100, 102], [103, 90], (PASS, "")),
        ([100, 102, 101], [103, 104, 105], (REGRESSED, "")),
        ([100, 100], [103, 103], (REGRESSED, "")),
        ([100, 102], [90, 104], (INCONCLUSIVE, "its 2 runs lie from -12 % to +2 % of the base's largest")),
        ([100], [98], (PASS, "improved")),
        ([100], [99.5], (PASS, "")),
        ([100], [60], (REGRESSED, "fell by 40 %: suspicious, not an improvement until it is accepted")),
        ([0, 0], [1, 1], (REGRESSED, "")),
        ([0, 0], [0, 1], (INCONCLUSIVE, "its 2 runs lie from +inf % to +inf % of the base's largest")),
        ([0], [0], (PASS, "the same")),
    ],
)
def test_peaks_by_the_largest_of_each_arm(base: list[float], head: list[float], expected: tuple[str, str]) -> None:
    assert gate.by_maximum(base, head, "1%") == expected


@pytest.mark.parametrize(
    ("runs", "peaks", "reason"),
    [
        (1, 1, "as by chance in 1 of 2 peaks; this gate has 1 and would take 3 runs of each"),
        (3, 2, "as by chance in 1 of 20 peaks; this gate has 2 and would take 4 runs of each"),
        (5, 13, "as by chance in 1 of 252 peaks; this gate has 13 and would take 6 runs of each"),
        (3, 1, ""),
        (5, 12, ""),
        (6, 46, ""),
    ],
)
def test_a_larger_peak_counts_where_it_is_no_chance(runs: int, peaks: int, reason: str) -> None:
    base, head = range(100, 100 + runs), range(110, 110 + runs)
    found = gate.by_maximum(base, head, "1%", peaks)
    assert found[0] == (INCONCLUSIVE if reason else REGRESSED)
    assert found[1] == (f"head's runs ({runs}) all lie above the base's ({runs}), {reason}" if reason else "")
    arms = ([Value(quantity=MEMORY, value=value) for value in arm] for arm in (base, head))
    assert gate.untimed(*arms, "1%", peaks=peaks)[:2] == found


def test_peaks_without_a_chance_in_them_need_no_more_than_two_runs() -> None:
    for base, head, verdict in (
        ([100, 100], [102, 102], REGRESSED),
        ([100], [102], INCONCLUSIVE),
        ([100, 100], [102, 103], INCONCLUSIVE),
        ([100, 101], [103, 103], INCONCLUSIVE),
    ):
        assert gate.by_maximum(base, head, "1%", peaks=30)[0] == verdict


@pytest.mark.parametrize("pairs", [1, 3, 5, 6])
def test_gates_of_peaks_that_vary_are_seldom_red(pairs: int) -> None:
    """30 peaks, noise of 3 %: without the correction, 100 % of gates at one pair, 78 % at three and 11 % at five."""
    random, gates = Random(pairs), 500

    def runs() -> list[float]:
        return [random.gauss(1, 0.03) for _ in range(pairs)]

    red = sum(REGRESSED in {gate.by_maximum(runs(), runs(), "1%", 30)[0] for _ in range(30)} for _ in range(gates))
    assert red <= 0.05 * gates
    assert bool(red) == (pairs >= gate.pairs_for_peaks(30))
