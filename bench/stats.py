"""Intervals of medians, means and ratios: what the samples allow one to say, and no more."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import accumulate, groupby, pairwise, takewhile
from math import ceil, exp, floor, fsum, lgamma, log, sqrt

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

    Cells that have all of the baseline's rounds share the block model ln m = cell + round + error, whose error is
    pooled over them: it takes equal relative noise in all cells, and in return knows it from (C-1)(R-1) degrees of
    freedom. A cell that lacks rounds is compared by the paired differences of the rounds that it shares with the
    baseline, with their own error. One shared round gives a ratio without bounds; a cell that shares none is left
    out, and so are all where the baseline has no round. The baseline's own ratio is 1, exactly.

    Raises:
        ValueError: a median is not positive.
    """
    logs = {cell: {r: log(median) for r, median in rounds.items()} for cell, rounds in cells.items()}
    base = logs.get(baseline, {})
    complete = [cell for cell, rounds in logs.items() if base.keys() <= rounds.keys()]
    whole = _Block([[logs[cell][r] for r in sorted(base)] for cell in complete]) if base else None
    result: dict[str, Interval] = {}
    for cell, rounds in logs.items():
        shared = sorted(base.keys() & rounds.keys())
        if cell == baseline and shared:
            result[cell] = Interval(1.0, 1.0, 1.0)
        elif shared and whole and cell in complete:
            result[cell] = whole.ratio(complete.index(cell), complete.index(baseline))
        elif shared:
            result[cell] = _Block([[logs[c][r] for r in shared] for c in (cell, baseline)]).ratio(0, 1)
    return result


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


class _Block:
    """Cells x rounds, logarithms: ratios of two cells with the error pooled over all of them."""

    def __init__(self, logs: Sequence[Sequence[float]]) -> None:
        count, rounds = len(logs), len(logs[0])
        self.rounds = rounds
        self.row = [fsum(values) / rounds for values in logs]
        column = [fsum(values) / count for values in zip(*logs, strict=True)]
        grand = fsum(self.row) / count
        self.df = (count - 1) * (rounds - 1)
        self.rest = fsum(
            (x - self.row[i] - column[j] + grand) ** 2 for i, values in enumerate(logs) for j, x in enumerate(values)
        )

    def ratio(self, cell: int, baseline: int) -> Interval:
        """Of two cells; without bounds where no error is known."""
        difference = self.row[cell] - self.row[baseline]
        if self.df == 0:
            return Interval(exp(difference), None, None)
        return _exp(_around(difference, sqrt(self.rest / self.df) * sqrt(2 / self.rounds), self.df))


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
