"""Variances of cells that borrow from each other: with a few differences each, what all cells show steadies one's own.

G. K. Smyth, Linear models and empirical Bayes methods for assessing differential expression in microarray
experiments, Statistical Applications in Genetics and Molecular Biology 3(1), 2004, section 6.2.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from math import exp, fsum, inf, log

FEWEST_CELLS = 10
"""Fewer cells say too little about how much the noise differs between cells."""

EQUAL = 1e-12
"""Differences of logarithms that lie as close are equal: what remains is rounding."""


@dataclass(frozen=True, slots=True)
class Prior:
    """What all cells say about one: a variance, with the weight of that many degrees of freedom."""

    variance: float
    df: float


NOTHING = Prior(0.0, 0.0)
"""Each cell speaks for itself."""


def variance_of(values: Sequence[float]) -> float:
    """Unbiased variance of at least two values; exactly 0 where they are equal but for rounding."""
    if max(values) - min(values) <= EQUAL:
        return 0.0
    mean = fsum(values) / len(values)
    return fsum((x - mean) ** 2 for x in values) / (len(values) - 1)


def prior_of(cells: Collection[Sequence[float]]) -> Prior:
    """The scaled inverse chi-squared distribution of the cells' variances, by the moments of their logarithms.

    Cells without noise or with a single value say nothing; with fewer than ten others, NOTHING. Infinitely many
    degrees of freedom where the variances differ no more than those of equally noisy cells do.
    """
    from scipy.special import digamma, polygamma  # here, since most commands do not need it

    known = [(variance_of(values), len(values) - 1) for values in cells if len(values) > 1]
    known = [(variance, df) for variance, df in known if variance > 0]
    if len(known) < FEWEST_CELLS:
        return NOTHING
    logs = [log(variance) - float(digamma(df / 2)) + log(df / 2) for variance, df in known]
    mean = fsum(logs) / len(logs)
    spread = fsum((x - mean) ** 2 for x in logs) / (len(logs) - 1)
    excess = spread - fsum(float(polygamma(1, df / 2)) for _, df in known) / len(known)
    if excess <= 0:
        return Prior(exp(mean), inf)
    half = trigamma_inverse(excess)
    return Prior(exp(mean + float(digamma(half)) - log(half)), 2 * half)


def trigamma_inverse(y: float) -> float:
    """The x whose trigamma is y > 0: Newton's method on 1 / trigamma, which is nearly a straight line."""
    from scipy.special import polygamma

    x = 0.5 + 1 / y
    for _ in range(50):
        trigamma = float(polygamma(1, x))
        step = trigamma * (1 - trigamma / y) / float(polygamma(2, x))
        x += step
        if abs(step) < 1e-10 * x:
            break
    return x


def moderated(variance: float, df: float, prior: Prior) -> float:
    """A cell's variance as all cells suggest it: the mean of its own and the prior's, by degrees of freedom."""
    if prior.df == inf:
        return prior.variance
    return (prior.df * prior.variance + df * variance) / (prior.df + df)
