import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from suite_text import GOOD, problems, write

from bench import plugins
from bench.suite import load_suite
from bench.suite.schema import schema

SUITES = plugins.INSTALLED / "suites"


def test_a_wrong_recipe_has_its_own_file_and_line(tmp_path: Path) -> None:
    (tmp_path / "recipes").mkdir()
    (tmp_path / "recipes" / "mine.toml").write_text(
        'title = "t"\noptimizer = "adan"\nlr = 0.1\nloss = "heatmap_mse"\nrate = 1\n'
    )
    found = problems(tmp_path, GOOD.replace("rmsprop_hourglass", "mine"))
    file = tmp_path / "recipes" / "mine.toml"
    assert found == [
        f"{file}:2: optimizer = \"adan\": unknown value; did you mean 'adam'?",
        f"{file}:5: unknown key 'rate'; one of: {', '.join(RECIPE_KEYS)}",
    ]


RECIPE_KEYS = [
    *("augment", "class_weights", "freeze_norm", "freeze_norm_steps", "head_weights", "joint_branch", "joint_weight"),
    *("loss", "lr", "momentum", "optimizer", "positive"),
    *("schedule", "sigma", "source", "title", "warmup", "weight_decay", "weighting"),
]


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        (
            'schedule = { kind = "linear", milestones = [3] }',
            "kind \"linear\" has no 'milestones'; write start and end",
        ),
        ("schedule = { start = 0.3 }", "kind \"steps\" has no 'start'; write milestones, shares and gamma"),
        ('schedule = { kind = "cosine" }', "unknown value; one of: linear, poly, steps"),
        ("augment = { flip = 2 }", "flip"),
        ("augment = { zoom = 0.2 }", "unknown key 'zoom'"),
        ("warmup = -1", "must be at least 0"),
        ('schedule = { kind = "poly", gamma = 0.1 }', "kind \"poly\" has no 'gamma'; write power"),
        ("schedule = { shares = [0.5, 2] }", "shares"),
        ("head_weights = []", "head_weights is empty"),
        ('head_weights = [1, "x"]', "expected a number"),
        ("head_weights = [0.4, -1]", "must be at least 0"),
        ('class_weights = "w3"', "unknown value; one of: w1, w2"),
        (
            'class_weights = "w1"',
            'class_weights = "w1": no other loss has them; write loss = "cross_entropy"',
        ),
        ('weighting = "outer"', 'there are no weights; write class_weights = "w1" or "w2"'),
        ('weighting = "inner"', "unknown value; one of: direct, outer, outer_raw"),
        ("joint_branch = true", 'no other loss has one; write "cross_entropy" or "bce"'),
        ("joint_weight = 2", "there is no joint branch; write joint_branch = true"),
        ("freeze_norm = 1.5", "freeze_norm"),
        ("freeze_norm_steps = 0", "must be at least 1"),
        ("freeze_norm = 0.5\nfreeze_norm_steps = 7", "freeze_norm says it too; write one of them"),
        ("augment = { rotate180 = -1 }", "must be at least 0"),
        ("positive = -1.0", "must be at least 0"),
    ],
)
def test_faults_of_a_recipe_say_what_to_write(tmp_path: Path, line: str, problem: str) -> None:
    (tmp_path / "recipes").mkdir()
    recipe = 'title = "t"\noptimizer = "adam"\nlr = 0.1\nloss = "heatmap_mse"\n'
    (tmp_path / "recipes" / "mine.toml").write_text(f"{recipe}{line}\n")
    (found,) = problems(tmp_path, GOOD.replace("rmsprop_hourglass", "mine"))
    place = 5 + line.count("\n")  # the last one's
    assert found.startswith(f"{tmp_path / 'recipes' / 'mine.toml'}:{place}: ")
    assert problem in found


def test_accuracy_needs_to_know_how_long_to_train(tmp_path: Path) -> None:
    text = GOOD.replace('"train_time"]', '"train_time", "accuracy"]')
    (found,) = problems(tmp_path, text)
    assert "measure 'accuracy' needs train.samples; write samples = 13000" in found
    suite = load_suite(write(tmp_path, text.replace('mode = "fast"\n', 'mode = "fast"\nepochs = 3\n', 1)))
    assert suite.variants[0].train["epochs"] == 3


def test_the_schema_refuses_what_the_parser_refuses() -> None:
    raw = tomllib.loads(GOOD)
    changes: list[dict[str, Any]] = [
        {"rouns": 1},
        {"rounds": 0},
        {"gate": {"latency": "3"}},
        {"protocol": {"x": 1}},
        {"variants": []},
    ]
    for change in changes:
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate({**raw, **change}, schema())


def test_the_committed_schema_is_fresh() -> None:
    written = (SUITES / "suite.schema.json").read_text(encoding="utf-8")
    made = subprocess.run([sys.executable, "-m", "bench.suite"], capture_output=True, text=True, check=True).stdout
    assert written == made, "run: python -m bench.suite > suites/suite.schema.json"
