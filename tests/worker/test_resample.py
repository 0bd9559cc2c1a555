"""The bootstrap: what is drawn, what is left out, and whether 95 % means 95 %."""

from typing import Any

import pytest
import torch

from bench.worker import resample


def test_every_resample_draws_as_many_images_as_there_are() -> None:
    drawn = resample.weights(37)
    assert (drawn.shape, drawn.dtype, drawn.device.type) == ((1000, 37), torch.float64, "cpu")
    assert torch.equal(drawn.sum(1), torch.full((1000,), 37.0, dtype=torch.float64))
    assert drawn.min() == 0
    assert torch.equal(drawn, drawn.round())


def test_the_seed_and_the_number_of_images_determine_the_draws() -> None:
    ours = resample.weights(20, seed=3)
    torch.manual_seed(99)
    assert torch.equal(resample.weights(20, seed=3), ours)
    assert not torch.equal(resample.weights(20, seed=4), ours)
    assert torch.equal(resample.weights(20, seed=3, resamples=10), ours[:10])


def test_weights_are_multinomial() -> None:
    """Mean 1, variance 1 - 1/n and covariance -1/n, each within five of its standard errors."""
    n, resamples = 10, 20_000
    drawn = resample.weights(n, resamples=resamples)
    covariance = torch.cov(drawn.T)
    assert drawn.mean(0) == pytest.approx(torch.ones(n).numpy(), abs=5 / resamples**0.5)
    assert covariance.diag() == pytest.approx(torch.full((n,), 0.9).numpy(), abs=5 * 2 / resamples**0.5)
    others = covariance[~torch.eye(n, dtype=torch.bool)]
    assert others == pytest.approx(torch.full((n * n - n,), -0.1).numpy(), abs=5 * 1.2 / resamples**0.5)


@pytest.mark.parametrize("chunk", [1, 50, 51, 10**9])
def test_chunks_change_nothing(monkeypatch: pytest.MonkeyPatch, chunk: int) -> None:
    values = torch.randint(0, 17, (50, 3), generator=torch.Generator().manual_seed(0))
    whole = resample.weights(50, resamples=30) @ values.double()
    monkeypatch.setattr(resample, "CHUNK", chunk)
    assert torch.equal(resample.sums(values, resamples=30), whole)


def test_a_large_set_is_never_held_in_full(monkeypatch: pytest.MonkeyPatch) -> None:
    held: list[int] = []
    empty = torch.empty

    def watched(rows: int, columns: int, **rest: Any) -> torch.Tensor:
        held.append(rows * columns)
        found: torch.Tensor = empty(rows, columns, **rest)
        return found

    monkeypatch.setattr(torch, "empty", watched)
    assert resample.sums(torch.ones(25_000, 1), resamples=700).eq(25_000).all()
    assert max(held) <= resample.CHUNK < sum(held)


def test_no_images_cannot_be_drawn() -> None:
    with pytest.raises(ValueError, match="0 images"):
        resample.weights(0)


def test_the_interval_is_the_middle_95_percent() -> None:
    assert resample.interval(torch.arange(1001.0)) == (25.0, 975.0)
    assert resample.interval(torch.arange(1001.0).flip(0)) == (25.0, 975.0)
    assert resample.interval(torch.tensor([0.0, 100.0])) == pytest.approx((2.5, 97.5))


def test_undefined_resamples_are_left_out() -> None:
    nan = torch.full((500,), torch.nan)
    assert resample.interval(torch.cat([nan, torch.arange(1001.0), nan])) == (25.0, 975.0)
    assert resample.interval(torch.tensor([torch.nan, 7.0])) == (7.0, 7.0)
    assert resample.interval(nan) == (None, None)


def covered(values: torch.Tensor, counts: torch.Tensor, truth: float) -> float:
    """Share of the repetitions (columns) whose interval of the pooled rate holds the truth; images are rows."""
    drawn = resample.weights(len(values))
    statistics = (drawn @ values.double()) / (drawn @ counts.double())
    bounds = [resample.interval(column) for column in statistics.T]
    hits = [low is not None and high is not None and low <= truth <= high for low, high in bounds]
    return sum(hits) / len(hits)


@pytest.mark.parametrize("rate", [0.5, 0.8, 0.9])
def test_the_interval_covers_binomial_data(rate: float) -> None:
    """200 repetitions of 200 images with up to 14 joints: the standard error of a coverage of 95 % is 1.5 %."""
    generator = torch.Generator().manual_seed(round(100 * rate))
    counts = torch.randint(1, 15, (200, 200), generator=generator)
    values = torch.binomial(counts.double(), torch.full((200, 200), rate, dtype=torch.float64), generator=generator)
    assert 0.90 <= covered(values, counts, rate) <= 0.98


def test_the_interval_covers_images_that_are_right_or_wrong_as_a_whole() -> None:
    """Joints of an image that fail together: an interval over single joints would cover 40 %, not 95 %."""
    generator = torch.Generator().manual_seed(5)
    right = torch.rand(200, 200, generator=generator) < 0.8
    assert 0.90 <= covered(14 * right, torch.full((200, 200), 14), 0.8) <= 0.98
