"""Intervals of medians, means and ratios: what the samples allow one to say, and no more."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import accumulate, groupby, pairwise, takewhile
from math import ceil, exp, floor, fsum, lgamma, log, sqrt
from typing import NamedTuple

Z = 1.96
"""The normal distribution's two-sided 95 % quantile."""

FEWEST = 6
"""Below this many samples even (min, max) covers the median with less than 95 %: 1 - 2 * 0.5**5 = 93.75 %."""

CORRELATED = 0.3
"""Lag-1 correlation above which samples no longer count as independent: an interval that ignored it would be 1.36
times too narrow. Of 30 independent samples, one series in ten passes it by chance and is widened for nothing."""

MISS = 0.05
"""The error that a 95 % statement allows itself."""

IQR_PER_SD = 1.349
"""Interquartile range of a normal distribution with standard deviation 1."""


@dataclass(frozen=True, slots=True)
class Interval:
    """A value and its 95 % interval, all in the unit of what was given; no bounds where none can be stated."""

    value: float
    low: float | None
    high: float | None

    @property
    def half_width(self) -> float | None:
        """Half of the distance between the bounds; None without bounds."""
        return None if self.low is None or self.high is None else (self.high - self.low) / 2


class Noise(NamedTuple):
    """Variance of what cell and round leave over, and its degrees of freedom."""

    variance: float
    df: int


NOTHING = Noise(0.0, 0)


def median_interval(samples: Sequence[float]) -> Interval:
    """The median and its distribution-free 95 % interval, by order statistics.

    The bounds are the samples of rank floor(n/2 - 1.96 sqrt(n)/2) and ceil(1 + n/2 + 1.96 sqrt(n)/2), counted from
    1 (J.-Y. Le Boudec, Performance Evaluation of Computer and Communication Systems, 2010, theorem 2.1). Where
    successive samples are correlated, the ranks lie farther out, as for n (1 - |rho|)/(1 + |rho|) samples;
    alternation widens it too, since the median of two alternating levels says little. Fewer than six samples
    have no such interval: even their extremes cover only 1 - 2**(1-n), 93.75 % for five.

    Raises:
        ValueError: no samples.
    """
    ordered = sorted(samples)
    n = len(ordered)
    rho = abs(autocorrelation(samples)) if n >= FEWEST else 0.0
    inflation = sqrt((1 + rho) / (1 - rho)) if correlated(rho, n) and rho < 1 else 1.0
    spread = n if rho >= 1 else Z * sqrt(n) / 2 * inflation
    low, high = floor(n / 2 - spread), ceil(1 + n / 2 + spread)
    if n < FEWEST:
        return Interval(_quantile(ordered, 0.5), None, None)
    return Interval(_quantile(ordered, 0.5), ordered[max(low, 1) - 1], ordered[min(high, n) - 1])


def correlated(rho: float, n: int) -> bool:
    """Whether a lag-1 correlation of n samples is large enough to matter and too large to be chance (two-sided 5 %)."""
    return abs(rho) > max(CORRELATED, Z / sqrt(max(n, 1)))


def autocorrelation(samples: Sequence[float]) -> float:
    """Lag-1 correlation of the samples' ranks, from -1 to 1; 0 for fewer than three samples or equal ones.

    Of ranks rather than values: two slow samples in a row would pass for a drift, and one very slow sample would
    hide one.
    """
    if len(samples) < 3:
        return 0.0
    ranks = _ranks(samples)
    middle = (len(ranks) - 1) / 2
    deviations = [rank - middle for rank in ranks]
    total = fsum(d * d for d in deviations)
    return fsum(a * b for a, b in pairwise(deviations)) / total if total else 0.0


def percentile(samples: Sequence[float], q: float) -> float | None:
    """What the q-th percentile (in percent) does not exceed, with 95 % confidence; None below samples_needed(q).

    LoadGen's conservative order statistic: the t-th largest sample, for the largest t at which t or fewer samples
    above the percentile would be surprising (mlcommons/inference, loadgen/early_stopping.cc, with tolerance 0).
    """
    n = len(samples)
    if n < samples_needed(q):
        return None
    t = sum(1 for _ in takewhile(lambda mass: mass <= MISS, _tail(n, 1 - q / 100))) - 1
    return sorted(samples)[n - t]


def samples_needed(q: float) -> int:
    """The least number of samples for a statement about the q-th percentile (in percent), with 95 % confidence.

    >>> [samples_needed(q) for q in (90, 95, 99, 99.9)]
    [46, 93, 473, 4742]

    Raises:
        ValueError: q is not between 0 and 100.
    """
    if not 0 < q < 100:
        raise ValueError(f"percentile {q}: write a number between 0 and 100")
    above = 1 - q / 100

    def enough(n: int) -> bool:
        none, one = n * log(1 - above), log(n) + log(above) + (n - 1) * log(1 - above)
        return exp(none) + exp(one) <= MISS

    least, most = 1, 2
    while not enough(most):
        least, most = most, 2 * most
    while most - least > 1:
        middle = (least + most) // 2
        least, most = (least, middle) if enough(middle) else (middle, most)
    return most


def mean_interval(values: Sequence[float]) -> Interval:
    """Geometric mean of positive values (the medians of rounds) with its t interval; no bounds for one value.

    Raises:
        ValueError: no values, or one that is not positive.
    """
    if len(values) == 1 and values[0] > 0:
        return Interval(values[0], None, None)
    return _exp(arithmetic_interval([log(value) for value in values]))


def arithmetic_interval(values: Sequence[float]) -> Interval:
    """Mean of values of any sign (percentages, one for each seed) with its t interval; no bounds for one value.

    >>> arithmetic_interval([-1.0, 1.0]).value, arithmetic_interval([60.0]).low
    (0.0, None)

    Raises:
        ValueError: no values.
    """
    if not values:
        raise ValueError("the mean of no values")
    mean = fsum(values) / len(values)
    if len(values) == 1:
        return Interval(values[0], None, None)
    variance = fsum((x - mean) ** 2 for x in values) / (len(values) - 1)
    return _around(mean, sqrt(variance / len(values)), len(values) - 1)


def ratio_intervals(cells: Mapping[str, Mapping[int, float]], baseline: str) -> dict[str, Interval]:
    """Ratio of every cell to the baseline, from the positive medians of its rounds: cell -> round -> median.

    Cells that have all of the baseline's rounds share the block model ln m = cell + round + error (contrast_error). A
    cell that lacks rounds is compared by the paired differences of the rounds that it shares with the baseline, with
    their own error. One shared round gives a ratio without bounds; a cell that shares none is left out, and so are all
    where the baseline has no round. The baseline's own ratio is 1, exactly.

    Raises:
        ValueError: a median is not positive.
    """
    logs = {cell: {r: log(median) for r, median in rounds.items()} for cell, rounds in cells.items()}
    base = logs.get(baseline, {})
    complete = [cell for cell, rounds in logs.items() if base.keys() <= rounds.keys()]
    noise = pooled([[logs[cell][r] for r in base] for cell in complete]) if base else NOTHING
    result: dict[str, Interval] = {}
    for cell, rounds in logs.items():
        shared = sorted(base.keys() & rounds.keys())
        if cell == baseline and shared:
            result[cell] = Interval(1.0, 1.0, 1.0)
        elif shared:
            pair = [[logs[one][r] for r in shared] for one in (cell, baseline)]
            result[cell] = _ratio(pair, noise if cell in complete else NOTHING)
    return result


def _ratio(pair: Sequence[Sequence[float]], noise: Noise) -> Interval:
    """Of two cells, from logarithms by round; without bounds where no error is known."""
    rounds = len(pair[0])
    difference = fsum(pair[0]) / rounds - fsum(pair[1]) / rounds
    if rounds < 2:
        return Interval(exp(difference), None, None)
    variance, df = contrast_error(pair, (1.0, -1.0), noise)
    return _exp(_around(difference, sqrt(variance), df))


def pooled(block: Sequence[Sequence[float]]) -> Noise:
    """The error of the block model x = cell + round + error; a cell alone, or a round alone, leaves nothing over.

    Args:
        block: cells x rounds.
    """
    count, rounds = len(block), len(block[0])
    df = (count - 1) * (rounds - 1)
    row = [fsum(values) / rounds for values in block]
    column = [fsum(values) / count for values in zip(*block, strict=True)]
    grand = fsum(row) / count
    rest = fsum((x - row[i] - column[j] + grand) ** 2 for i, values in enumerate(block) for j, x in enumerate(values))
    return Noise(rest / df, df) if df else NOTHING


def contrast_error(cells: Sequence[Sequence[float]], weights: Sequence[float], noise: Noise) -> tuple[float, int]:
    """Variance of a weighted sum of cells' means over two rounds or more, and its degrees of freedom.

    The weights sum to zero, so that what a round does to all cells alike cancels. The error is that of a block of cells
    to which these belong, which takes equal noise in all of them and in return knows it from many degrees of freedom.
    Where the sum's own spread over the rounds is larger, that counts, with its own: others may say that a noisy cell
    is merely unlucky, and be wrong. Of nine cells with three rounds, as unequally noisy as on a busy machine, the
    block's error alone misses the truth in up to 25 % instead of 5 %, this one in 6 %; with equal noise its intervals
    are a sixth wider.

    Args:
        cells: cells x rounds, one for each weight.
        noise: of the block.
    """
    rounds = len(cells[0])
    sums = [fsum(weight * x for weight, x in zip(weights, values, strict=True)) for values in zip(*cells, strict=True)]
    mean = fsum(sums) / rounds
    own = fsum((x - mean) ** 2 for x in sums) / (rounds - 1)
    shared = noise.variance * fsum(weight**2 for weight in weights)
    return (own / rounds, rounds - 1) if own > shared or not noise.df else (shared / rounds, noise.df)


def sigma_between(values: Sequence[float]) -> float | None:
    """Relative spread between rounds: standard deviation of ln of their medians; None for fewer than two."""
    if len(values) < 2:
        return None
    logs = [log(value) for value in values]
    mean = fsum(logs) / len(logs)
    return sqrt(fsum((x - mean) ** 2 for x in logs) / (len(logs) - 1))


def sigma_within(rounds: Iterable[Sequence[float]]) -> float | None:
    """Relative spread of the samples within a round, pooled over rounds; None where none has two samples.

    Robust, IQR / 1.349 / median, so that a few spikes do not set it.
    """
    weighted, weights = 0.0, 0
    for samples in rounds:
        ordered = sorted(samples)
        if len(ordered) < 2:
            continue
        iqr = _quantile(ordered, 0.75) - _quantile(ordered, 0.25)
        weighted += (len(ordered) - 1) * (iqr / IQR_PER_SD / _quantile(ordered, 0.5)) ** 2
        weights += len(ordered) - 1
    return sqrt(weighted / weights) if weights else None


def _quantile(ordered: Sequence[float], share: float) -> float:
    """Quantile of sorted samples, interpolated linearly; ValueError where there are none."""
    if not ordered:
        raise ValueError("a quantile of no samples")
    place = share * (len(ordered) - 1)
    below = floor(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (place - below) * (ordered[above] - ordered[below])


def _ranks(samples: Sequence[float]) -> list[float]:
    """Ranks from 0; equal samples share the mean of theirs."""
    order = sorted(range(len(samples)), key=samples.__getitem__)
    ranks = [0.0] * len(samples)
    first = 0
    for _, group in groupby(order, key=samples.__getitem__):
        tied = list(group)
        for index in tied:
            ranks[index] = first + (len(tied) - 1) / 2
        first += len(tied)
    return ranks


def _tail(n: int, chance: float) -> Iterable[float]:
    """P(X <= 0), P(X <= 1), ... for X ~ Binomial(n, chance); by logarithms, since (1 - chance)**n underflows."""
    hit, miss, all_ways = log(chance), log(1 - chance), lgamma(n + 1)
    return accumulate(
        exp(all_ways - lgamma(k + 1) - lgamma(n - k + 1) + k * hit + (n - k) * miss) for k in range(n + 1)
    )


def _exp(logs: Interval) -> Interval:
    """Of logarithms, what they are logarithms of."""
    return Interval(exp(logs.value), *(None if bound is None else exp(bound) for bound in (logs.low, logs.high)))


def _around(mean: float, error: float, df: int) -> Interval:
    """A mean with the t interval of its standard error."""
    reach = _quantile_of_t(df) * error
    return Interval(mean, mean - reach, mean + reach)


@cache
def _quantile_of_t(df: int) -> float:
    """The two-sided 95 % quantile."""
    from scipy.special import stdtrit  # here, since most commands do not need it; scipy.stats would take 1 s

    return float(stdtrit(df, 1 - MISS / 2))
