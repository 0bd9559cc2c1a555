import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from suite_text import GOOD, problems

from bench import plugins
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


RECIPE_KEYS = ["loss", "lr", "momentum", "optimizer", "schedule", "sigma", "source", "title", "weight_decay"]


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
