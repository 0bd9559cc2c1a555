import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import brentq
from scipy.special import polygamma

from bench.variance import NOTHING, Prior, moderated, prior_of, trigamma_inverse, variance_of


def five(variance: float) -> list[float]:
    """Five values with this variance."""
    return [x * math.sqrt(variance / 2.5) for x in (-2, -1, 0, 1, 2)]


def test_the_prior_by_hand() -> None:
    # trigamma(2) = pi^2 / 6 - 1 is the spread of the logarithms of variances with 4 degrees of freedom. With another
    # pi^2 / 6 = trigamma(1) on top, the prior has 2, and s0^2 = exp(log 2 - digamma(2) + digamma(1)) = 2 / e.
    a = math.sqrt(0.9 * (math.pi**2 / 3 - 1))
    cells = [five(math.exp(sign * a)) for sign in (1, -1) * 5]
    prior = prior_of(cells)
    assert prior.df == pytest.approx(2)
    assert prior.variance == pytest.approx(2 / math.e)
    assert moderated(3.0, 4, prior) == pytest.approx((2 * 2 / math.e + 4 * 3) / 6)


def test_equally_noisy_cells_share_one_variance() -> None:
    prior = prior_of([five(1.0)] * 10)
    gamma = 0.5772156649015329
    assert prior.df == math.inf
    assert prior.variance == pytest.approx(math.exp(math.log(2) - (1 - gamma)))
    assert moderated(7.0, 4, prior) == prior.variance


def test_the_prior_of_many_cells_is_the_one_they_came_from() -> None:
    rng = random.Random(3)
    cells = []
    for _ in range(4000):
        variance = 6 * 0.5 / (2 * rng.gammavariate(3, 1))  # scaled inverse chi-squared: 6 degrees of freedom, 0.5
        cells.append([rng.gauss(0, math.sqrt(variance)) for _ in range(5)])
    prior = prior_of(cells)
    assert prior.df == pytest.approx(6, rel=0.15)
    assert prior.variance == pytest.approx(0.5, rel=0.05)


@pytest.mark.parametrize("silent", [[1.0], [0.3, 0.3, 0.3], [0.1 + 0.2, 0.3]])
def test_cells_without_noise_say_nothing(silent: list[float]) -> None:
    cells = [five(1.0 + n) for n in range(10)]
    assert prior_of([*cells, silent]) == prior_of(cells)
    assert prior_of([*cells[:9], silent]) == NOTHING == Prior(0.0, 0.0)


def test_without_a_prior_a_cell_keeps_its_variance() -> None:
    assert moderated(3.0, 4, NOTHING) == 3.0


def test_variance_of_equal_values_is_exactly_nothing() -> None:
    assert variance_of([0.1 + 0.2, 0.3]) == 0.0
    assert variance_of([1.0, 2.0, 3.0]) == 1.0


@given(st.floats(1e-4, 1e4))
def test_the_inverse_of_trigamma(y: float) -> None:
    expected = brentq(lambda x: float(polygamma(1, x)) - y, 1e-3, 1e6, xtol=1e-14, rtol=1e-12)
    assert trigamma_inverse(y) == pytest.approx(expected, rel=1e-6)
