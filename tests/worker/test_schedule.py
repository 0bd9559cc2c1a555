"""The learning rate over a training."""

from itertools import pairwise

import pytest

from bench.worker.schedule import factor


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
