"""The learning rate over a training."""

from itertools import pairwise

import pytest

from bench.worker.schedule import factor, frozen


def test_without_a_schedule_the_rate_stays() -> None:
    assert {factor({}, step, 100, 10) for step in range(100)} == {1.0}


@pytest.mark.parametrize(("epoch", "expected"), [(0, 1.0), (59.9, 1.0), (60, 0.1), (89.9, 0.1), (90, 0.01), (99, 0.01)])
def test_steps_fall_at_their_epochs(epoch: float, expected: float) -> None:
    recipe = {"schedule": {"milestones": [60, 90], "gamma": 0.1}}
    assert factor(recipe, round(epoch * 10), 1000, per_epoch=10) == pytest.approx(expected)


def test_linear_reaches_its_end_at_the_last_step_and_never_rises_after_the_warm_up() -> None:
    recipe = {"warmup": 50, "schedule": {"kind": "linear", "start": 0.3, "end": 0.03}}
    rates = [factor(recipe, step, 800, 1000) for step in range(800)]
    assert rates[0] == pytest.approx(1 / 50)
    assert rates[49] == rates[239] == 1.0
    assert rates[240] < 1.0
    assert rates[-1] == pytest.approx(0.03)
    assert all(a >= b for a, b in pairwise(rates[49:]))


def test_a_training_of_one_step_has_a_rate() -> None:
    assert factor({"schedule": {"kind": "linear", "start": 0.3, "end": 0.03}}, 0, 1, 1) == 1.0


@pytest.mark.parametrize(("step", "expected"), [(0, 1.0), (49, 1.0), (50, 0.5), (74, 0.5), (75, 0.25), (99, 0.25)])
def test_steps_fall_at_shares_of_the_training_too(step: int, expected: float) -> None:
    recipe = {"schedule": {"shares": [0.5, 0.75], "gamma": 0.5}}
    assert factor(recipe, step, 100, per_epoch=1000) == pytest.approx(expected)


def test_milestones_and_shares_may_be_written_both() -> None:
    recipe = {"schedule": {"milestones": [2], "shares": [0.5], "gamma": 0.1}}
    assert [round(factor(recipe, step, 100, per_epoch=10), 9) for step in (19, 20, 49, 50)] == [1.0, 0.1, 0.1, 0.01]


@pytest.mark.parametrize(("step", "expected"), [(0, 1.0), (50, 0.5**0.9), (90, 0.1**0.9), (99, 0.01**0.9)])
def test_poly_falls_with_the_share_that_is_to_come(step: int, expected: float) -> None:
    assert factor({"schedule": {"kind": "poly"}}, step, 100, 10) == pytest.approx(expected)


def test_poly_has_a_power_and_a_warm_up() -> None:
    recipe = {"warmup": 10, "schedule": {"kind": "poly", "power": 2.0}}
    assert factor(recipe, 4, 100, 10) == pytest.approx(0.5 * 0.96**2)
    assert factor(recipe, 50, 100, 10) == pytest.approx(0.25)


@pytest.mark.parametrize(
    ("recipe", "steps"),
    [({}, 0), ({"freeze_norm": 0.5}, 500), ({"freeze_norm": 0.0}, 0), ({"freeze_norm_steps": 20_000}, 20_000)],
)
def test_norms_are_frozen_for_steps_or_for_a_share(recipe: dict[str, float], steps: int) -> None:
    assert frozen(recipe, 1000) == steps
