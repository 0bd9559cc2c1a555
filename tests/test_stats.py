import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.stats import (
    Interval,
    arithmetic_interval,
    autocorrelation,
    mean_interval,
    median_interval,
    percentile,
    ratio_intervals,
    samples_needed,
    sigma_between,
    sigma_within,
)

positive = st.floats(min_value=1e-6, max_value=1e3)


def covers(interval: Interval, truth: float) -> bool:
    assert interval.low is not None and interval.high is not None
    return interval.low <= truth <= interval.high


def correlated(rng: random.Random, n: int, rho: float) -> list[float]:
    value, values = rng.gauss(0, 1), []
    for _ in range(n):
        values.append(value)
        value = rho * value + math.sqrt(1 - rho**2) * rng.gauss(0, 1)
    return values


def test_median_interval_takes_the_ranks_of_the_formula() -> None:
    shuffled = list(range(1, 101))
    random.Random(0).shuffle(shuffled)
    assert median_interval(shuffled) == Interval(50.5, 40, 61)


def test_few_samples_have_a_median_and_no_interval() -> None:
    assert median_interval([3.0, 1.0, 2.0]) == Interval(2.0, None, None)
    assert median_interval([5.0]) == Interval(5.0, None, None)
    assert median_interval(range(6)).low is not None
    with pytest.raises(ValueError, match="no samples"):
        median_interval([])


@pytest.mark.parametrize("n", [100, 300])
def test_median_interval_covers_skewed_samples(n: int) -> None:
    rng = random.Random(n)
    hits = sum(covers(median_interval([rng.lognormvariate(0, 0.5) for _ in range(n)]), 1.0) for _ in range(1500))
    assert 0.93 <= hits / 1500 <= 0.97


def test_median_interval_of_thirty_samples_errs_on_the_wide_side() -> None:
    rng = random.Random(30)
    hits = sum(covers(median_interval([rng.gauss(0, 1) for _ in range(30)]), 0.0) for _ in range(1500))
    assert 0.95 <= hits / 1500 <= 0.995


def test_median_interval_covers_correlated_samples() -> None:
    rng = random.Random(1)
    hits = sum(covers(median_interval(correlated(rng, 200, 0.6)), 0.0) for _ in range(800))
    assert 0.93 <= hits / 800 <= 0.98


def test_alternating_levels_have_the_interval_of_both() -> None:
    assert median_interval([1.0, 2.0] * 50) == Interval(1.5, 1.0, 2.0)


@given(st.lists(positive, min_size=6, max_size=60))
def test_median_lies_within_its_interval_and_scales(samples: list[float]) -> None:
    interval = median_interval(samples)
    assert interval.low is not None and interval.high is not None and interval.half_width is not None
    assert min(samples) <= interval.low <= interval.value <= interval.high <= max(samples)
    assert interval.half_width >= 0
    doubled = median_interval([2 * sample for sample in samples])
    assert doubled == Interval(2 * interval.value, 2 * interval.low, 2 * interval.high)


def test_autocorrelation() -> None:
    assert autocorrelation([1.0, 1.0, 1.0, 1.0]) == 0
    assert autocorrelation([1.0, 2.0]) == 0
    assert autocorrelation(range(100)) > 0.9
    assert autocorrelation([1.0, 2.0] * 50) < -0.9
    rng = random.Random(2)
    assert autocorrelation(correlated(rng, 5000, 0.6)) == pytest.approx(0.6, abs=0.05)
    assert autocorrelation([rng.random() for _ in range(5000)]) == pytest.approx(0, abs=0.05)


def test_spikes_neither_make_nor_hide_a_drift() -> None:
    rng = random.Random(3)
    quiet = [rng.gauss(1, 0.01) for _ in range(100)]
    assert abs(autocorrelation([*quiet[:50], 9.0, 9.0, *quiet[50:]])) < 0.3
    rising = [1 + 0.001 * i for i in range(100)]
    assert autocorrelation([*rising[:50], 900.0, *rising[50:]]) > 0.9


@given(st.lists(st.integers(1, 10**6).map(float), max_size=40))  # apart by enough that 1/x keeps their order
def test_autocorrelation_is_a_correlation_of_ranks(samples: list[float]) -> None:
    assert -1 <= autocorrelation(samples) <= 1
    assert autocorrelation([-1 / sample for sample in samples]) == pytest.approx(autocorrelation(samples))


@pytest.mark.parametrize(("q", "n"), [(50, 8), (90, 46), (95, 93), (99, 473), (99.9, 4742)])
def test_percentiles_need_samples(q: float, n: int) -> None:
    assert samples_needed(q) == n
    assert percentile([1.0] * (n - 1), q) is None
    assert percentile(range(n), q) == n - 1


@pytest.mark.parametrize("q", [0, 100, -1])
def test_percentile_outside_its_range(q: float) -> None:
    with pytest.raises(ValueError, match="between 0 and 100"):
        samples_needed(q)


def test_percentile_is_conservative() -> None:
    rng = random.Random(4)
    found = [percentile([rng.random() for _ in range(200)], 90) for _ in range(500)]
    above = sum(value is not None and value >= 0.9 for value in found)
    assert above / 500 >= 0.95
    assert percentile(range(1_000), 90) == 916
    assert percentile([1.0] * 200_000, 99.9) == 1.0


@given(st.lists(positive, min_size=93, max_size=200))
def test_percentiles_are_ordered_samples(samples: list[float]) -> None:
    middle, p90, p95 = (percentile(samples, q) for q in (50, 90, 95))
    assert middle in samples and p90 in samples and p95 in samples
    assert middle is not None and p90 is not None and p95 is not None
    assert middle <= p90 <= p95


def test_mean_interval() -> None:
    assert mean_interval([2.0]) == Interval(2.0, None, None)
    assert mean_interval([2.0]).half_width is None
    interval = mean_interval([1.0, 4.0])
    assert interval.value == pytest.approx(2.0)
    # t of one degree of freedom, 12.706, times the standard error ln 2
    assert interval.high == pytest.approx(2 * math.exp(12.7062 * math.log(2)), rel=1e-4)
    with pytest.raises(ValueError, match="no values"):
        mean_interval([])
    with pytest.raises(ValueError):
        mean_interval([1.0, 0.0])


def test_arithmetic_interval() -> None:
    assert arithmetic_interval([-3.0]) == Interval(-3.0, None, None)
    interval = arithmetic_interval([-1.0, 0.0, 4.0])
    # t of two degrees of freedom, 4.3027, times the standard error sqrt(7 / 3)
    assert (interval.value, interval.half_width) == (1.0, pytest.approx(4.3027 * math.sqrt(7 / 3), rel=1e-4))
    with pytest.raises(ValueError, match="no values"):
        arithmetic_interval([])


def test_mean_interval_covers() -> None:
    rng = random.Random(5)
    hits = sum(covers(mean_interval([rng.lognormvariate(0, 0.01) for _ in range(5)]), 1.0) for _ in range(3000))
    assert 0.93 <= hits / 3000 <= 0.97


Cells = dict[str, dict[int, float]]


def simulate(rng: random.Random, rounds: int = 5, noise: float = 0.006, drift: float = 0.0) -> Cells:
    """Six cells, cell k slower than the first by k %; `drift` moves all cells of a round together."""
    level = [rng.gauss(0, drift) for _ in range(rounds)]
    return {
        f"c{k}": {r: math.exp(level[r] + rng.gauss(0, noise)) * (1 + k / 100) for r in range(rounds)} for k in range(6)
    }


@pytest.mark.parametrize("drift", [0.0, 0.05])
def test_ratio_covers_whatever_the_rounds_have_in_common(drift: float) -> None:
    rng = random.Random(6)
    intervals = [ratio_intervals(simulate(rng, drift=drift), "c0")["c5"] for _ in range(1500)]
    assert 0.95 <= sum(covers(interval, 1.05) for interval in intervals) / 1500 <= 0.99
    widths = sorted(interval.half_width or math.inf for interval in intervals)
    # t of 20 degrees of freedom x noise x sqrt(2 / 5); those of cells that are noisier by chance are wider
    assert widths[500] == pytest.approx(2.086 * 0.006 * math.sqrt(2 / 5) * 1.05, rel=0.1)


def test_a_noisy_cell_keeps_its_own_noise() -> None:
    rng = random.Random(12)
    noise = [0.11, 0.13, 0.05, 0.15, 0.035, 0.195, 0.007, 0.02, 0.023]  # of nine cells, as on a busy machine

    def missed(cell: int, baseline: int) -> bool:
        cells = {f"c{k}": {r: rng.lognormvariate(0, sd) for r in range(3)} for k, sd in enumerate(noise)}
        return not covers(ratio_intervals(cells, f"c{baseline}")[f"c{cell}"], 1.0)

    for cell, baseline in ((5, 3), (5, 4), (2, 3), (6, 4)):
        assert sum(missed(cell, baseline) for _ in range(1500)) / 1500 <= 0.08, (cell, baseline)


def test_calm_cells_share_their_noise() -> None:
    cells = {f"c{k}": {r: math.exp(0.01 * (-1) ** (r + k // 2)) for r in range(3)} for k in range(4)}
    cells["c1"] = {r: 2 * x for r, x in cells["c0"].items()}
    ratio = ratio_intervals(cells, "c0")["c1"]
    assert ratio.low is not None and ratio.low < 1.99, "equal in every round, but the others say what that is worth"


def heated(rng: random.Random, shuffled: bool) -> Cells:
    """Four equal cells on a board that heats by 2 % during each round."""
    cells: Cells = {f"c{k}": {} for k in range(4)}
    for r in range(5):
        order = list(cells)
        if shuffled:
            rng.shuffle(order)
        for place, cell in enumerate(order):
            cells[cell][r] = (1 + 0.02 * place / 3) * math.exp(rng.gauss(0, 0.002))
    return cells


def test_shuffled_rounds_take_the_bias_out_of_heating() -> None:
    rng = random.Random(7)
    fixed = [ratio_intervals(heated(rng, False), "c0")["c3"].value for _ in range(300)]
    shuffled = [ratio_intervals(heated(rng, True), "c0")["c3"].value for _ in range(300)]
    assert sum(fixed) / 300 == pytest.approx(1.02, abs=0.001)
    assert sum(shuffled) / 300 == pytest.approx(1.0, abs=0.0015)


def test_two_cells_are_a_paired_t_interval() -> None:
    cells = {"a": {0: 1.0, 1: 1.1, 2: 0.9}, "b": {0: 2.0, 1: 2.3, 2: 1.7}}
    ratio = ratio_intervals(cells, "a")["b"]
    differences = mean_interval([cells["b"][r] / cells["a"][r] for r in range(3)])
    assert (ratio.value, ratio.low, ratio.high) == pytest.approx((differences.value, differences.low, differences.high))


def test_a_cell_without_all_rounds_is_paired_by_itself() -> None:
    cells = simulate(random.Random(8))
    complete = ratio_intervals(cells, "c0")
    cells["late"] = {r: 3 * cells["c0"][r] * (1.01 if r % 2 else 0.99) for r in (1, 2, 4)} | {7: 100.0}
    found = ratio_intervals(cells, "c0")
    assert {name: found[name] for name in complete} == complete
    paired = mean_interval([cells["late"][r] / cells["c0"][r] for r in (1, 2, 4)])
    late = found["late"]
    assert (late.value, late.low, late.high) == pytest.approx((paired.value, paired.low, paired.high))


def test_rounds_that_the_baseline_lacks_do_not_count() -> None:
    cells = {"a": {0: 1.0, 2: 1.0}, "b": {0: 2.0, 1: 50.0, 2: 2.0}}
    assert ratio_intervals(cells, "a")["b"].value == pytest.approx(2.0)


def test_one_round_gives_a_ratio_without_bounds_and_none_gives_nothing() -> None:
    cells = {"a": {0: 1.0}, "b": {0: 2.0, 1: 9.0}, "c": {1: 5.0}, "d": {}}
    found = ratio_intervals(cells, "a")
    assert found["b"].value == pytest.approx(2.0)
    assert (found["b"].low, found["b"].high) == (None, None)
    assert set(found) == {"a", "b"}
    assert ratio_intervals({"b": {0: 2.0}}, "a") == {}


@given(
    st.dictionaries(st.sampled_from("abcd"), st.dictionaries(st.integers(0, 4), positive, max_size=5), min_size=1),
    st.floats(min_value=0.1, max_value=10),
)
def test_ratios_do_not_depend_on_the_unit(cells: Cells, factor: float) -> None:
    scaled = {name: {r: factor * value for r, value in rounds.items()} for name, rounds in cells.items()}
    before, after = ratio_intervals(cells, "a"), ratio_intervals(scaled, "a")
    assert before.keys() == after.keys()
    for name, interval in before.items():
        assert after[name].value == pytest.approx(interval.value, rel=1e-9)
        assert name != "a" or interval == Interval(1.0, 1.0, 1.0)


def test_sigma_between() -> None:
    assert sigma_between([1.0]) is None
    assert sigma_between([1.0, math.e]) == pytest.approx(math.sqrt(0.5))


def test_sigma_within_is_the_spread_inside_rounds_and_not_moved_by_spikes() -> None:
    rng = random.Random(9)
    rounds = [[level * rng.gauss(1, 0.02) for _ in range(400)] for level in (1.0, 3.0, 8.0)]
    assert sigma_within(rounds) == pytest.approx(0.02, rel=0.1)
    rounds[0][:8] = [50.0] * 8
    assert sigma_within(rounds) == pytest.approx(0.02, rel=0.15)
    assert sigma_within([[1.0], []]) is None
