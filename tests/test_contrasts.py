"""Intervals of combined figures cover what they should, and agree with the ratios of the tables."""

from collections.abc import Callable
from math import exp, log, sqrt

import numpy as np
import pytest
from numpy.random import Generator

from bench.contrasts import (
    Error,
    Scores,
    by_image,
    correlation,
    interval,
    own_error,
    paired_error,
    stated_error,
)
from bench.stats import Interval, arithmetic_interval, mean_interval, ratio_intervals

TRIES = 2000

Cells = dict[str, dict[int, float]]


def cells(noise: Generator, *, count: int = 9, rounds: int = 3, error: float = 0.02, drift: float = 0.05) -> Cells:
    """Logarithms of a block: each cell its own level (its number / 10), each round its own drift."""
    common = noise.normal(0, drift, rounds)
    return {f"v{i}": {r: i / 10 + common[r] + noise.normal(0, error) for r in range(rounds)} for i in range(count)}


def mean(slopes: dict[str, float], found: Cells) -> float:
    return sum(slope * float(np.mean(list(found[name].values()))) for name, slope in slopes.items())


def within(found: Interval, truth: float) -> bool:
    assert found.low is not None and found.high is not None
    return found.low <= truth <= found.high


def ratio(noise: Generator) -> tuple[Interval, float]:
    found, slopes = cells(noise), {"v1": 1.0, "v2": -1.0}
    error = paired_error(slopes, found, list(found))
    assert error is not None and error.df in (2, 16), "its own noise, or that of all cells"
    return interval(mean(slopes, found), [error]), -0.1


def product(noise: Generator) -> tuple[Interval, float]:
    """What rounds have in common does not cancel."""
    found, slopes = cells(noise, rounds=5), {"v1": 1.0, "v2": 1.0}
    error = paired_error(slopes, found, list(found))
    assert error is not None and error.df == 4
    return interval(mean(slopes, found), [error]), 0.3


def two_phases(noise: Generator) -> tuple[Interval, float]:
    first, second = cells(noise), cells(noise, rounds=5, error=0.01)
    slopes = {"v1": 1.0, "v2": -1.0}
    errors = [paired_error(slopes, found, list(found)) for found in (first, second)]
    return interval(mean(slopes, first) + mean(slopes, second), [error for error in errors if error]), -0.2


def seeds(noise: Generator) -> tuple[Interval, float]:
    one, other = noise.normal(60, 1, 5), noise.normal(61, 2, 4)
    errors = [own_error(1.0, list(one)), own_error(-1.0, list(other))]
    return interval(float(one.mean() - other.mean()), errors), -1.0


@pytest.mark.parametrize(("simulate", "most"), [(ratio, 0.985), (product, 0.97), (two_phases, 0.99), (seeds, 0.97)])
def test_intervals_cover_the_truth(simulate: Callable[[Generator], tuple[Interval, float]], most: float) -> None:
    """Somewhat more often where the larger of two errors counts."""
    noise = np.random.default_rng(11)
    hits = sum(within(*simulate(noise)) for _ in range(TRIES))
    assert 0.93 <= hits / TRIES <= most


EVERYONE = np.random.default_rng(0).normal(0, 1.2, 400_000)
TRUE = [100 * float(np.mean(1 / (1 + np.exp(-(skill + EVERYONE))))) for skill in (0.8, 0.5)]


def people(noise: Generator, images: int = 200) -> tuple[Scores, Scores]:
    """Two networks on the same images, some of which are hard for both; TRUE is what they would score on all."""
    hard = noise.normal(0, 1.2, images)
    counted = noise.integers(8, 15, images)
    chances = [1 / (1 + np.exp(-(skill + hard))) for skill in (0.8, 0.5)]
    one, other = (noise.binomial(counted, chance) for chance in chances)
    return (list(one), list(counted)), (list(other), list(counted))


def test_intervals_by_image_cover_the_truth() -> None:
    noise, hits, tries = np.random.default_rng(5), 0, 150
    for _ in range(tries):
        one, other = people(noise)
        bounds = by_image({"a": one, "b": other}, lambda score: score["a"] - score["b"])
        assert bounds is not None
        hits += bounds[0] <= TRUE[0] - TRUE[1] <= bounds[1]
    assert 0.90 <= hits / tries <= 0.99  # binomial, 150 tries


def test_pairing_by_image_is_worth_something_and_the_correlation_says_how_much() -> None:
    one, other = people(np.random.default_rng(3))
    known = {"a": one, "b": other}
    half = {}
    for name in known:
        alone = by_image({name: known[name]}, lambda score, name=name: score[name])
        assert alone is not None
        half[name] = (alone[1] - alone[0]) / 2
    paired = by_image(known, lambda score: score["a"] - score["b"])
    assert paired is not None
    slopes = {"a": 1.0, "b": -1.0}
    unpaired = interval(0.0, [stated_error(slopes, half)])
    told = interval(0.0, [stated_error(slopes, half, lambda a, b: correlation(known[a], known[b]))])
    assert unpaired.high == pytest.approx(sqrt(half["a"] ** 2 + half["b"] ** 2), rel=1e-3)
    assert (paired[1] - paired[0]) / 2 < 0.8 * (unpaired.high or 0)
    assert told.high == pytest.approx((paired[1] - paired[0]) / 2, rel=0.07)


def test_a_ratio_is_that_of_the_table() -> None:
    found = cells(np.random.default_rng(1))
    times = {name: {r: exp(x) for r, x in rounds.items()} for name, rounds in found.items()}
    slopes = {"v3": 1.0, "v0": -1.0}
    error = paired_error(slopes, found, list(found))
    assert error is not None
    logs, expected = interval(mean(slopes, found), [error]), ratio_intervals(times, "v0")["v3"]
    for ours, theirs in ((logs.value, expected.value), (logs.low, expected.low), (logs.high, expected.high)):
        assert ours is not None and theirs is not None
        assert exp(ours) == pytest.approx(theirs, rel=1e-12)


def test_one_figure_has_its_own_interval() -> None:
    times = [1.0, 1.1, 1.3]
    error = paired_error({"a": 1.0}, {"a": {r: log(x) for r, x in enumerate(times)}}, ["a"])
    assert error is not None
    found, expected = interval(sum(map(log, times)) / 3, [error]), mean_interval(times)
    assert exp(found.high or 0) == pytest.approx(expected.high)
    by_seed, arithmetic = interval(61.0, [own_error(1.0, [60.0, 62.0])]), arithmetic_interval([60.0, 62.0])
    assert by_seed.low == pytest.approx(arithmetic.low)


def test_only_shared_rounds_count() -> None:
    found = {"a": {0: 1.0, 1: 1.1, 2: 1.3}, "b": {1: 2.0, 2: 2.1}, "c": {0: 3.0}}
    error = paired_error({"a": 1.0, "b": -1.0}, found, ["a", "b", "c"])
    assert error is not None and (error.df, error.how) == (1, "paired by round, its error from 2 variants in 2 rounds")
    assert paired_error({"a": 1.0, "c": -1.0}, found) is None


def test_figures_that_cancel_exactly_have_no_error() -> None:
    found = {"a": {0: 1.0, 1: 2.0}}
    error = paired_error({"a": 0.0}, found, ["a"])
    assert error is not None and interval(0.0, [error]) == Interval(0.0, 0.0, 0.0)


def test_errors_that_are_known_and_errors_that_are_not_add_up() -> None:
    sure, unsure = interval(0.0, [Error(1.0)]), interval(0.0, [Error(0.5), Error(0.5, 2)])
    assert sure.high == pytest.approx(1.96, abs=1e-3)
    assert unsure.high == pytest.approx(2.306, abs=1e-3)  # t with 1 / (0.25 / 2) = 8 degrees of freedom


def test_nothing_to_resample() -> None:
    assert by_image({"a": ([0, 0], [0, 0])}, lambda score: score["a"]) is None
    assert correlation(([1, 1], [2, 2]), ([0, 2], [2, 2])) == 0.0
