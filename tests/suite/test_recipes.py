"""The recipes that come with bench, and keys that only work together."""

import tomllib
from pathlib import Path
from typing import Any

import pytest
from suite_text import GOOD, problems, write

from bench import plugins
from bench.plan import plan
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


CHANGED = GOOD.replace("train = { batch = 6 }", "train = { batch = 6, change = { lr = 0.5, sigma = 2.0 } }")


def recipe_of(folder: Path, text: str, variant: str, profile: str | None = None) -> dict[str, Any]:
    suite = load_suite(write(folder, text), profile)
    found: dict[str, Any] = next(each.train for each in suite.variants if each.name == variant)
    assert "change" not in found
    return dict(found["recipe"])


def test_a_row_changes_keys_of_its_recipe(tmp_path: Path) -> None:
    own, plain = (recipe_of(tmp_path, CHANGED, name) for name in ("b-1", "a"))
    assert own == plain | {"lr": 0.5, "sigma": 2.0}
    assert own["name"] == "rmsprop_hourglass"


def test_a_profile_changes_more_keys_or_the_recipe_beneath(tmp_path: Path) -> None:
    named = '[profiles.quick.variant.b-1]\ntrain = { recipe = "adam_hourglass", change = { sigma = 3.0 } }\n'
    text = CHANGED.replace("[profiles.gpu]", f"{named}[profiles.gpu]")
    found = recipe_of(tmp_path, text, "b-1", "quick")
    assert (found["name"], found["lr"], found["sigma"]) == ("adam_hourglass", 0.5, 3.0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("{ lr = -1 }", "lr = -1: must be more than 0.0; write a number above 0.0"),
        ("{ sigmma = 1 }", "unknown key 'sigmma'; did you mean 'sigma'?"),
        ('{ class_weights = "w1" }', 'no other loss has them; write loss = "cross_entropy"'),
    ],
)
@pytest.mark.parametrize("profile", ["", "[profiles.quick.variant.a]"])
def test_a_change_that_makes_no_recipe_is_told_with_its_line(
    tmp_path: Path, change: str, message: str, profile: str
) -> None:
    """Also where the profile is not the one that is asked for."""
    if profile:
        text = GOOD.replace("train = { batch = 2 }", f"train = {{ batch = 2, change = {change} }}")
    else:
        text = GOOD.replace("train = { batch = 6 }", f"train = {{ batch = 6, change = {change} }}")
    line = next(number for number, each in enumerate(text.splitlines(), 1) if "change" in each)
    found = problems(tmp_path, text)
    assert len(found) == 1
    assert f"x.toml:{line}: " in found[0]
    assert message in found[0]


def test_weights_are_loaded_without_the_layers_that_are_named(tmp_path: Path) -> None:
    (tmp_path / "net.pt").write_bytes(b"x")
    text = GOOD.replace('name = "a"\n', 'name = "a"\nweights = "net.pt"\nweights_without = ["heads"]\n')
    suite = load_suite(write(tmp_path, text))
    assert [variant.weights_without for variant in suite.variants] == [("heads",), (), (), ()]
    asked = next(job for job in plan(suite) if job.variant == "a")
    assert asked.weights_without == ["heads"]


def test_a_change_belongs_to_the_recipe_that_it_is_written_beside(tmp_path: Path) -> None:
    text = GOOD.replace('recipe = "rmsprop_hourglass"\n', 'recipe = "rmsprop_hourglass"\nchange = { lr = 0.5 }\n')
    text = text.replace("train = { batch = 6 }", 'train = { batch = 6, recipe = "adam_hourglass" }')
    assert recipe_of(tmp_path, text, "a")["lr"] == 0.5
    assert recipe_of(tmp_path, text, "b-1")["lr"] == 2.5e-4


def test_layers_without_weights_are_a_mistake(tmp_path: Path) -> None:
    text = GOOD.replace('name = "a"\n', 'name = "a"\nweights_without = ["heads"]\n')
    assert "weights_without without weights; write weights" in problems(tmp_path, text)[0]
