"""A suite that is right, for tests that put one fault into it, and the ways to load it."""

from pathlib import Path

import pytest

from bench.errors import SuiteError
from bench.suite import load_suite

GOOD = """\
#:schema ./suite.schema.json
title = "t"
source = "s"
task = "pose"
measures = ["params", "infer", "train_time"]
baseline = "a"
factors = ["train.batch"]
rounds = 4

[data]
use = "random"
size = [256, 128]
train = 100
val = 10
joints = 7

[infer]
batch = 1

[train]
recipe = "rmsprop_hourglass"
batch = 20
mode = "fast"

[modes.fp32]
[modes.fast]
channels_last = true
amp = "bfloat16"
optional = true

[[variants]]
name = "a"
arch = "stacked_hourglass"
options = { stacks = 1 }
[[variants.published]]
table = "Table 1"
epochs = 50
train_epoch = "14.8 min"

[[variants]]
name = "b-{depth}"
arch = "stacked_hourglass"
options = { stacks = 1, features = 8 }
sweep = { depth = [1, 2] }
train = { batch = 6 }
profiles = ["quick"]

[[variants]]
name = "own"
arch = "my.package:build"
options = { anything = [1, 2] }

[[claims]]
says = "smaller"
holds_if = ["params('b-1') < 2 * params('a')"]

[profiles.quick]
rounds = 2
train = { batch = 3, rounds = 1 }
protocol = { min_samples = 5 }
[profiles.quick.variant.a]
train = { batch = 2 }
[profiles.gpu]
infer = { batch = 16 }

[protocol]
max_seconds = 2

[budget]
infer = 22

[gate]
latency = "3%"
params = "exact"
"""


def write(folder: Path, text: str) -> Path:
    file = folder / "x.toml"
    file.write_text(text, encoding="utf-8")
    return file


def problems(folder: Path, text: str) -> list[str]:
    with pytest.raises(SuiteError) as error:
        load_suite(write(folder, text))
    return error.value.problems
