import json
import tomllib
from pathlib import Path
from typing import Any, NamedTuple

import jsonschema
import pytest
from suite_text import GOOD, problems, write

from bench import plugins
from bench.suite import load_suite
from bench.suite.schema import schema


class Bad(NamedTuple):
    """A fault: `old` in GOOD becomes `new`; the one problem is on the line of `at` and says all of `said`."""

    old: str
    new: str
    at: str
    said: tuple[str, ...]


BAD = [
    Bad('source = "s"', "sorce = 1", "sorce", ("unknown key 'sorce'", "did you mean 'source'?")),
    Bad('title = "t"\n', "", "#:schema", ("missing key 'title'", 'write title = "')),
    Bad('"pose"', '"poses"', "poses", ('task = "poses"', "did you mean 'pose'?")),
    Bad('"infer", "', '"infr", "', "measures", ("unknown measure 'infr'", "did you mean 'infer'?")),
    Bad('source = "s"', 'metrics = ["zzz"]', "metrics", ("unknown metric 'zzz'",)),
    Bad("rounds = 4", "rounds = 0", "rounds = 0", ("rounds = 0: must be at least 1", "write 1 or more")),
    Bad("rounds = 4", 'rounds = "4"', 'rounds = "4"', ("expected a whole number", "write it without quotes")),
    Bad('baseline = "a"', 'baseline = "c"', "baseline", ("baseline 'c' is no variant", "one of: a, b-1, b-2, own")),
    Bad('["train.batch"]', '["batch"]', "factors", ("factor 'batch'", "write data.KEY, infer.KEY or train.KEY")),
    Bad('["train.batch"]', '["train.bach"]', "factors", ("unknown key 'bach'", "did you mean 'batch'?")),
    Bad('use = "random"', 'use = "randm"', "use =", ("unknown data set 'randm'", "did you mean 'random'?")),
    Bad("size = [256, 128]", "size = 0", "size =", ("size = 0", "write 256, or [height, width]")),
    Bad("size = [256, 128]", "size = [1, 2, 3]", "size =", ("write 256, or [height, width]",)),
    Bad("val = 10\n", "", "[data]", ("missing key 'val'", "write val = 2958")),
    Bad("joints = 7", "joins = 7", "joins", ("data set 'random': unknown option 'joins'", "did you mean 'joints'?")),
    Bad("joints = 7", 'joints = "7"', "joints", ('joints = "7": expected int', "the default is 16")),
    Bad("joints = 7", "count = 7", "count", ("unknown option 'count'",)),
    Bad("batch = 1\n", "batch = -1\n", "batch = -1", ("batch = -1: must be at least 1",)),
    Bad(
        '"rmsprop_hourglass"',
        '"rmsprop"',
        "recipe",
        ("unknown recipe 'rmsprop'", "one of: adam_binary, adam_hourglass, adam_segmentation"),
    ),
    Bad("batch = 20\n", "", "[train]", ("measure 'train_time' needs train.batch", "write batch = 20")),
    Bad("batch = 20\n", "batch = 20\nsamples = 9\nepochs = 1\n", "epochs = 1", ("samples and epochs both say",)),
    Bad("batch = 20\n", "batch = 20\nvalidations = 9\nvalidate_every = 1\n", "validate_every", ("both say the same",)),
    Bad("batch = 20\n", 'batch = 20\nsplit = "tset"\n', "tset", ("unknown value", "did you mean 'test'")),
    Bad("{ batch = 6 }", "{ epochs = 3, samples = 9 }", "samples = 9", ("samples and epochs both say", "write one")),
    Bad("{ batch = 2 }", "{ epochs = 3, samples = 9 }", "samples = 9", ("samples and epochs both say", "write one")),
    Bad("rounds = 1 }", "epochs = 3, samples = 9 }", "samples = 9", ("samples and epochs both say", "write one")),
    Bad('mode = "fast"', 'mode = "fats"', "mode =", ("train.mode 'fats' is no mode", "did you mean 'fast'?")),
    Bad('amp = "bf', 'amq = "bf', "amq", ("unknown key of a mode 'amq'", "did you mean 'amp'?")),
    Bad('"bfloat16"', '"int8"', "amp", ('amp = "int8": wrong option', 'write "bfloat16" or "float16"')),
    Bad("channels_last = true", "channels_last = 1", "channels_last", ("channels_last = 1", "write true")),
    Bad("optional = true", 'optional = "yes"', "optional", ("expected true or false",)),
    Bad('name = "own"', 'name = "a"', 'name = "a"', ("two variants are called 'a'",)),
    Bad("b-{depth}", "b-{dept}", "b-{dept}", ("'{dept}' is no axis of the sweep", "did you mean 'depth'?")),
    Bad("depth = [1, 2] }", "depth = [] }", "depth = []", ("depth is empty",)),
    Bad("depth = [1, 2] }", 'depth = [1, "x"] }', 'depth = [1, "x"]', ('depth = "x": expected int or list of int',)),
    Bad("{ depth = [1, 2] }", "{ depth = [1, 2], features = [8] }", "sweep", ("'features' is in options too",)),
    Bad('name = "a"\n', "", "[[variants]]", ("missing key 'name'",)),
    Bad("{ stacks = 1 }", "{ stakcs = 1 }", "stakcs", ("unknown option 'stakcs'", "did you mean 'stacks'?")),
    Bad("{ stacks = 1 }", '{ stacks = "one" }', '"one"', ('stacks = "one": expected int', "the default is 8")),
    Bad("{ stacks = 1 }", '{ norm = "group" }', "norm", ('norm = "group": expected "batch" or "layer"',)),
    Bad('"my.package:build"', '"my.package"', "my.package", ("'my.package' names no function", "package.module:fun")),
    Bad('"my.package:build"', '"stacked"', '"stacked"', ("unknown architecture 'stacked'",)),
    Bad('"14.8 min"', '"14.8 mins"', "train_epoch", ('train_epoch = "14.8 mins": no number with a unit',)),
    Bad('"14.8 min"', "14.8", "train_epoch", ("train_epoch = 14.8 is no time", 'write its unit: "14.8 min"')),
    Bad("train_epoch = ", "train_epoc = ", "train_epoc", ("unknown quantity 'train_epoc'", "'train_epoch'?")),
    Bad("epochs = 50", "epochs = 0", "epochs", ("epochs = 0: must be at least 1",)),
    Bad('["quick"]', '["qick"]', "qick", ("unknown profile 'qick'", "did you mean 'quick'?")),
    Bad('["quick"]\n', '["quick"]\nweights = "w.pt"\n', "weights", ("no file w.pt", "relative to")),
    Bad("params('b-1')", "params('b-3')", "holds_if", ("unknown variant 'b-3' in a claim", "did you mean 'b-")),
    Bad("params('b-1') <", "params('b-1') +", "holds_if", ("not one comparison with < <= > >= or ==",)),
    Bad("params('b-1')", "parms('b-1')", "holds_if", ("unknown quantity 'parms'", "did you mean 'params'?")),
    Bad("params('b-1')", "open('b-1').read()", "holds_if", ("is no quantity('variant'), number or + - * /",)),
    Bad("holds_if = [\"params('b-1') < 2 * params('a')\"]", "", "[[claims]]", ("a claim needs a way to be checked",)),
    Bad("quick.variant.a]", "quick.variant.c]", "variant.c]", ("unknown variant 'c'",)),
    Bad("{ batch = 2 }", "{ btch = 2 }", "btch", ("unknown key 'btch'", "did you mean 'batch'?")),
    Bad("min_samples = 5", "min_sample = 5", "min_sample", ("unknown key 'min_sample'", "'min_samples'?")),
    Bad("min_samples = 5", "min_samples = 0.5", "min_samples", ("min_samples = 0.5: expected int", "default is 30")),
    Bad("max_seconds = 2", "max_seconds = -2", "max_seconds", ("must be at least 0", "the default is 15")),
    Bad("infer = 22", "infer = 0", "infer = 0", ("infer = 0: must be more than 0",)),
    Bad("infer = 22", "infr = 22", "infr", ("unknown key 'infr'", "did you mean 'infer'?")),
    Bad('"3%"', '"3"', "latency", ('latency = "3": no allowed worsening', 'write "3%" or "exact"')),
    Bad('latency = "3%"', 'latncy = "3%"', "latncy", ("unknown quantity 'latncy'", "did you mean 'latency'?")),
    Bad("[budget]", "[budget", "[budget", ("not valid TOML", "mend this line")),
]


def test_the_good_suite_is_good(tmp_path: Path) -> None:
    assert load_suite(write(tmp_path, GOOD)).name == "x"
    jsonschema.validate(tomllib.loads(GOOD), schema())


@pytest.mark.parametrize("bad", BAD, ids=lambda bad: bad.new[:40] or bad.old[:40])
def test_each_fault_has_its_line_and_a_hint(tmp_path: Path, bad: Bad) -> None:
    assert bad.old in GOOD
    text = GOOD.replace(bad.old, bad.new, 1)
    line = next(number for number, line in enumerate(text.splitlines(), start=1) if bad.at in line)
    if bad.said[0].startswith("two variants"):  # the second of the name is the one to change
        line = max(number for number, text_ in enumerate(text.splitlines(), start=1) if bad.at in text_)
    found = problems(tmp_path, text)
    matching = [problem for problem in found if all(part in problem for part in bad.said)]
    assert len(matching) == 1, found
    assert matching[0].startswith(f"{tmp_path / 'x.toml'}:{line}: "), matching
    assert "; " in matching[0] or ": expected " in matching[0]


def test_no_variants(tmp_path: Path) -> None:
    text = GOOD[: GOOD.index("[[variants]]")].replace('baseline = "a"\n', "")
    assert any("missing key 'variants'; write [[variants]]" in line for line in problems(tmp_path, text))
    assert any("variants is empty; write at least one" in line for line in problems(tmp_path, f"variants = []\n{text}"))


def test_a_sweep_without_placeholders_says_what_to_write(tmp_path: Path) -> None:
    found = problems(tmp_path, GOOD.replace("b-{depth}", "b"))
    assert any("several variants the name 'b'; write the axes into the name: \"b-{depth}\"" in line for line in found)


def test_published_figures_do_not_fit_a_sweep(tmp_path: Path) -> None:
    text = GOOD.replace('profiles = ["quick"]\n', 'published = [{ table = "T", params = "3 M" }]\n')
    (line,) = problems(tmp_path, text)
    assert "published figures belong to one network" in line


def test_a_profile_that_leaves_out_its_baseline(tmp_path: Path) -> None:
    text = GOOD.replace("options = { stacks = 1 }\n", 'options = { stacks = 1 }\nprofiles = ["quick"]\n')
    (line,) = problems(tmp_path, text)
    assert "profile 'gpu' leaves out its baseline 'a'; add \"gpu\"" in line


def test_a_wrong_option_under_a_profile_has_its_line(tmp_path: Path) -> None:
    text = GOOD.replace("variant.a]\n", "variant.a]\noptions = { stakcs = 2 }\n")
    (line,) = problems(tmp_path, text)
    assert "unknown option 'stakcs'" in line and line.startswith(str(tmp_path))


def test_modes_that_exclude_each_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = plugins.constant

    def constant(file: Path, name: str) -> Any:
        return ("channels_last",) if (file.stem, name) == ("amp", "EXCLUDES") else real(file, name)

    monkeypatch.setattr(plugins, "constant", constant)
    (line,) = problems(tmp_path, GOOD)
    assert "'channels_last' and 'amp' exclude each other; write them as two modes" in line


def test_a_mode_that_cannot_train(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = plugins.constant

    def constant(file: Path, name: str) -> Any:
        return ("infer",) if (file.stem, name) == ("amp", "PHASES") else real(file, name)

    monkeypatch.setattr(plugins, "constant", constant)
    (line,) = problems(tmp_path, GOOD)
    assert "mode 'fast' cannot train: amp; name a mode without it" in line


def test_all_problems_at_once_in_the_order_of_the_file(tmp_path: Path) -> None:
    text = GOOD
    for old, new in {
        'source = "s"': "sorce = 1",
        "size = [256, 128]": 'size = "big"',
        "{ stacks = 1 }": '{ stacks = "one", norm = "x" }',
        "batch = 6": "batch = 0",
        '"exact"': '"exactly"',
        "params('b-1')": "params('b-9')",
    }.items():
        text = text.replace(old, new, 1)
    found = problems(tmp_path, text)
    assert len(found) == 7
    lines = [int(problem.removeprefix(f"{tmp_path / 'x.toml'}:").partition(":")[0]) for problem in found]
    assert lines == sorted(lines)


@pytest.mark.parametrize("wrong", ["7", '"x"', "[1]", "true", "{ a = 1 }", "[{ a = 1 }]", "2020-01-01"])
@pytest.mark.parametrize(
    "key",
    ["title", "measures", "factors", "data", "infer", "train", "modes", "variants", "claims", "profiles", "gate"],
)
def test_wrong_types_anywhere_are_told_and_never_crash(tmp_path: Path, key: str, wrong: str) -> None:
    good = tomllib.loads(GOOD)
    if (key, wrong) in {("title", '"x"')}:
        return
    good.pop(key)
    rest = "\n".join(f"{k} = {_inline(v)}" for k, v in good.items())
    assert problems(tmp_path, f"{key} = {wrong}\n{rest}\n")


def _inline(value: Any) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{json.dumps(k)} = {_inline(v)}" for k, v in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(_inline(v) for v in value) + "]"
    return json.dumps(value)


def test_not_a_number_is_no_time(tmp_path: Path) -> None:
    (line,) = problems(tmp_path, GOOD.replace("max_seconds = 2", "max_seconds = nan"))
    assert "max_seconds = nan: must be at least 0" in line
