"""What is known of a combination of figures: paired by round, by image, or not at all.

A combination is linear at the figures' values: its slope by each figure times that figure's error, summed (the delta
method). Times and rates enter as logarithms, so that a slope is an elasticity and a ratio has slopes that sum to zero.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import fsum, inf, isfinite, sqrt
from statistics import fmean
from typing import Any

from bench.stats import MISS, Interval, Z, contrast_error, pooled

Rounds = Mapping[int, float]
"""Round -> what was measured in it."""

CANCELS = 1e-9
"""Slopes whose sum is below this share of their sizes cancel what all figures of a round have in common."""

RESAMPLES = 2000
"""At 2,000 resamples, a 95 % bound lies within 0.7 percentage points of its place (2.5 or 97.5 %)."""

CHUNK = 4_000_000
"""Draws that are held at once, 32 MB."""


@dataclass(frozen=True, slots=True)
class Error:
    """Variance of a combination and its degrees of freedom; `how` is one phrase on what it was estimated from."""

    variance: float
    df: float = inf
    how: str = ""


def paired_error(slopes: Mapping[str, float], cells: Mapping[str, Rounds], pool: Collection[str] = ()) -> Error | None:
    """Error of a combination of the means over the rounds that its figures share; None below two of them.

    Where the slopes sum to zero, what a round does to all cells alike cancels: the error is that of the block model
    over all cells of `pool` that have these rounds, or the combination's own where that is larger, as in
    stats.contrast_error. Otherwise the combination is taken in every round and its own spread counts, with rounds - 1
    degrees of freedom.

    Args:
        slopes: by figure, a name in `cells`.
        cells: figures and others, on the scale of the slopes.
        pool: names of further cells whose noise is the figures'; none: nothing is pooled.
    """
    shared = sorted(set.intersection(*(set(cells[name]) for name in slopes)))
    count = len(shared)
    if count < 2:
        return None
    size = fsum(abs(slope) for slope in slopes.values())
    if size and pool and abs(fsum(slopes.values())) <= CANCELS * size:
        names = [name for name in dict.fromkeys([*slopes, *pool]) if set(shared) <= set(cells[name])]
        block = [[cells[name][r] for r in shared] for name in names]
        error, df = contrast_error(block[: len(slopes)], list(slopes.values()), pooled(block))
        own = len(names) > len(slopes) and df < count
        whose = "its own, larger than that of the others," if own else f"from {len(block)} variants"
        return Error(error, df, f"paired by round, its error {whose} in {count} rounds")
    combined = [fsum(slope * cells[name][r] for name, slope in slopes.items()) for r in shared]
    mean = fsum(combined) / count
    variance = fsum((one - mean) ** 2 for one in combined) / (count - 1)
    return Error(variance / count, count - 1, f"paired by round, over {count} rounds")


def own_error(slope: float, values: Sequence[float]) -> Error:
    """Error of a figure that is the mean of independent values, such as one for each seed; two at least."""
    mean = fsum(values) / len(values)
    variance = fsum((value - mean) ** 2 for value in values) / (len(values) - 1)
    return Error(slope**2 * variance / len(values), len(values) - 1, f"over {len(values)} seeds")


def stated_error(
    slopes: Mapping[str, float], half_widths: Mapping[str, float], correlate: Callable[[str, str], float] | None = None
) -> Error:
    """Error of a combination of figures that come with their own 95 % intervals, and are correlated in pairs or not."""
    sizes = {name: slope * half_widths[name] / Z for name, slope in slopes.items()}
    square = fsum(size**2 for size in sizes.values())
    if correlate is None:
        return Error(square, how="not paired: from the figures' own intervals")
    shared = fsum(2 * sizes[a] * sizes[b] * correlate(a, b) for a, b in combinations(sizes, 2))
    return Error(max(0.0, square + shared), how="paired by image")


def interval(value: float, errors: Collection[Error]) -> Interval:
    """The 95 % interval of a combination whose independent errors add up (Welch and Satterthwaite's t)."""
    variance = fsum(error.variance for error in errors)
    if not variance:
        return Interval(value, value, value)
    spread = fsum(error.variance**2 / error.df for error in errors if isfinite(error.df))
    reach = _quantile(variance**2 / spread if spread else inf) * sqrt(variance)
    return Interval(value, value - reach, value + reach)


def _quantile(df: float) -> float:
    """Student's t, two-sided 95 %."""
    from scipy.special import ndtri, stdtrit  # here, since most commands do not need it

    return float(stdtrit(df, 1 - MISS / 2) if isfinite(df) else ndtri(1 - MISS / 2))


@dataclass(frozen=True, slots=True)
class Moments:
    """Of some values: how many, their mean and their variance."""

    count: int
    mean: float
    variance: float

    @staticmethod
    def of(values: Sequence[float]) -> "Moments":
        """ValueError where there are none; the variance of one is 0."""
        mean = fsum(values) / len(values) if values else fmean(values)
        spread = fsum((x - mean) ** 2 for x in values)
        return Moments(len(values), mean, spread / (len(values) - 1) if len(values) > 1 else 0.0)


@dataclass(frozen=True, slots=True)
class Welch:
    """Difference of two means, the second minus the first, without the assumption of equal noise."""

    mean: float
    error: float
    df: float

    @staticmethod
    def between(one: Moments, other: Moments) -> "Welch | None":
        """The degrees of freedom are Satterthwaite's; None where one side has fewer than two values."""
        if min(one.count, other.count) < 2:
            return None
        parts = [side.variance / side.count for side in (one, other)]
        total = fsum(parts)
        spread = fsum(part**2 / (side.count - 1) for part, side in zip(parts, (one, other), strict=True))
        df = total**2 / spread if spread else one.count + other.count - 2
        return Welch(other.mean - one.mean, sqrt(total), df)

    @staticmethod
    def of(one: Sequence[float], other: Sequence[float]) -> "Welch | None":
        """As `between`, of the values themselves."""
        return Welch.between(Moments.of(one), Moments.of(other)) if one and other else None

    def p(self, margin: float) -> float:
        """Of the difference being no more than the margin."""
        from scipy.special import stdtr  # here, since most commands do not need it

        if not self.error:
            return float(self.mean <= margin)
        return float(stdtr(self.df, (margin - self.mean) / self.error))

    @property
    def reach(self) -> float:
        """Half of the 95 % interval."""
        return _quantile(self.df) * self.error


Scores = tuple[Sequence[float], Sequence[float]]
"""Of every image: what was right, and what counted."""


def by_image(scores: Mapping[Any, Scores], combine: Callable[[Mapping[Any, Any]], Any]) -> tuple[float, float] | None:
    """95 % percentile interval of a combination of pooled percentages, resampled over the images that they share.

    An image is drawn for all figures at once, so that what makes it hard for all of them cancels in a difference.

    Args:
        scores: figure -> its images, in one order.
        combine: arrays of percentages, one for each resample, to one array.

    Returns:
        (low, high); None where the combination is not defined in any resample.
    """
    import numpy as np

    columns = np.column_stack([np.asarray(one, dtype=float) for both in scores.values() for one in both])
    images = len(columns)
    generator = np.random.default_rng(0)
    rows = max(1, CHUNK // images)
    found = []
    with np.errstate(all="ignore"):
        for first in range(0, RESAMPLES, rows):
            count = min(rows, RESAMPLES - first)
            drawn = generator.integers(0, images, (count, images)) + images * np.arange(count)[:, None]
            times = np.bincount(drawn.ravel(), minlength=count * images).reshape(count, images)
            sums = (times @ columns).T
            found.append(np.asarray(combine(dict(zip(scores, 100 * sums[::2] / sums[1::2], strict=True)))))
    defined = np.concatenate(found)
    defined = defined[np.isfinite(defined)]
    if not len(defined):
        return None
    low, high = np.quantile(defined, [MISS / 2, 1 - MISS / 2])
    return float(low), float(high)


def correlation(one: Scores, other: Scores) -> float:
    """Of two pooled percentages over the same images: that of what each image adds to them."""
    import numpy as np

    parts = []
    for right, counted in (one, other):
        hits, all_ = np.asarray(right, dtype=float), np.asarray(counted, dtype=float)
        parts.append(hits - all_ * hits.sum() / all_.sum())
    size = float(np.sqrt((parts[0] ** 2).sum() * (parts[1] ** 2).sum()))
    return float((parts[0] * parts[1]).sum()) / size if size else 0.0
