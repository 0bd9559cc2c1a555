"""The recipes that come with bench, and keys that only work together."""

import tomllib
from pathlib import Path
from typing import Any

import pytest
from suite_text import GOOD, write

from bench import plugins
from bench.suite import load_suite
from bench.suite.recipe import Recipe
from bench.suite.schema import shape_problems
from bench.worker.losses import LOSSES

RECIPES = plugins.names("recipe")


def read(name: str) -> dict[str, Any]:
    return tomllib.loads(plugins.path("recipe", name).read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_is_right_and_its_loss_is_known(name: str) -> None:
    raw = read(name)
    assert list(shape_problems(Recipe, raw)) == []
    assert raw["loss"] in LOSSES
    assert raw["title"]
    assert raw["source"]


@pytest.mark.parametrize(("name", "loss"), [("adam_segmentation", "cross_entropy"), ("adam_binary", "bce")])
def test_short_trainings_of_all_tasks_have_one_rate(name: str, loss: str) -> None:
    pose, own = read("adam_short"), read(name)
    for key in ("optimizer", "lr", "weight_decay", "warmup", "schedule"):
        assert own[key] == pose[key]
    assert own["loss"] == loss
    assert own["augment"] == {"flip": 0.5}


def test_the_studys_recipes() -> None:
    icnet, segnet = read("icnet_sgd"), read("segnet_adam")
    assert (icnet["optimizer"], icnet["lr"], icnet["momentum"], icnet["weight_decay"]) == ("sgd", 0.01, 0.9, 1e-4)
    assert icnet["schedule"] == {"kind": "poly", "power": 0.9}
    assert icnet["head_weights"] == [0.16, 0.4, 1.0]
    assert icnet["freeze_norm"] == 0.5
    assert (segnet["optimizer"], segnet["lr"], segnet.get("schedule")) == ("adam", 0.01, None)


def test_keys_that_belong_together_are_accepted(tmp_path: Path) -> None:
    (tmp_path / "recipes").mkdir()
    (tmp_path / "recipes" / "mine.toml").write_text(
        'title = "t"\noptimizer = "adam"\nlr = 1\nweighting = "direct"\njoint_weight = 2\nhead_weights = [1, 0.5]\n'
        'joint_branch = true\nclass_weights = "w2"\nloss = "cross_entropy"\nfreeze_norm_steps = 7\n'
    )
    suite = load_suite(write(tmp_path, GOOD.replace("rmsprop_hourglass", "mine")))
    assert suite.variants[0].train["recipe"]["weighting"] == "direct"
