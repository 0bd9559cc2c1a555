import json
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any, NamedTuple

import jsonschema
import pytest

from bench import condition, plugins
from bench.errors import SuiteError, UsageError
from bench.record import Protocol
from bench.schema import schema
from bench.suite import ModeConfig, Suite, find, load_suite, profile_names
from bench.sweep import expand
from bench.units import parse

SUITES = plugins.INSTALLED / "suites"

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
    Bad('"rmsprop_hourglass"', '"rmsprop"', "recipe", ("unknown recipe 'rmsprop'", "'rmsprop_hourglass'?")),
    Bad("batch = 20\n", "", "[train]", ("measure 'train_time' needs train.batch", "write batch = 20")),
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


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(SuiteError, match=r"smoek: no such suite; did you mean 'smoke'\?"):
        load_suite("smoek")
    with pytest.raises(SuiteError, match=r"suites/stacked_sped.toml: no such suite; did you mean 'stacked_speed'\?"):
        load_suite("suites/stacked_sped.toml")
    (tmp_path / "latin.toml").write_bytes('title = "é"'.encode("latin-1"))
    with pytest.raises(SuiteError, match=r"latin.toml:1: not UTF-8 text"):
        load_suite(tmp_path / "latin.toml")


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


RECIPE_KEYS = "loss lr momentum optimizer schedule sigma source title weight_decay".split()


@pytest.fixture
def good(tmp_path: Path) -> Path:
    return write(tmp_path, GOOD)


def test_as_written(good: Path) -> None:
    suite = load_suite(good)
    assert (suite.profile, suite.profiles, suite.rounds, suite.seed, suite.timeout) == ("", ("quick", "gpu"), 4, 0, 600)
    assert [v.name for v in suite.variants] == ["a", "b-1", "b-2", "own"]
    assert suite.protocol == Protocol(max_seconds=2)
    assert suite.modes == {
        "fp32": ModeConfig({}),
        "fast": ModeConfig({"channels_last": True, "amp": "bfloat16"}, optional=True),
    }
    assert (suite.budget, suite.gate) == ({"infer": 22}, {"latency": "3%", "params": "exact"})
    assert suite.claims[0].holds_if == ("params('b-1') < 2 * params('a')",)
    a, b, *_ = suite.variants
    assert a.data == {"use": "random", "size": [256, 128], "train": 100, "val": 10, "options": {"joints": 7}}
    assert a.published[0] == {"table": "Table 1", "epochs": 50, "train_epoch": "14.8 min"}
    assert b.options == {"stacks": 1, "features": 8, "depth": 1}
    assert (a.infer, a.train["batch"], b.train["batch"], b.train["mode"]) == ({"batch": 1}, 20, 6, "fast")
    assert a.train["recipe"]["name"] == "rmsprop_hourglass" and a.train["recipe"]["lr"] == 2.5e-4


def test_what_wins_over_what(good: Path) -> None:
    suite = load_suite(good, "quick")
    batches = {variant.name: variant.train["batch"] for variant in suite.variants}
    assert batches == {"a": 2, "b-1": 6, "b-2": 6, "own": 3}
    assert suite.rounds == 2 and suite.variants[0].train["rounds"] == 1 and "rounds" not in suite.variants[0].infer
    assert suite.protocol == Protocol(min_samples=5, max_seconds=2)
    assert suite.variants[0].data["size"] == [256, 128]


def test_a_variant_is_left_out_of_other_profiles(good: Path) -> None:
    suite = load_suite(good, "gpu")
    assert [v.name for v in suite.variants] == ["a", "own"]
    assert suite.variants[0].infer == {"batch": 16}


def test_options_of_a_data_set_stay_with_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = plugins.path
    files = {"faces": tmp_path / "faces.py"}
    files["faces"].write_text("def load(split, *, size, count, path='', blur=0): ...\n")
    monkeypatch.setattr(plugins, "path", lambda kind, name, root=None: files.get(name) or real(kind, name, root))
    known = plugins.names
    monkeypatch.setattr(
        plugins, "names", lambda kind, root=None: known(kind, root) + (["faces"] if kind == "dataset" else [])
    )
    text = GOOD.replace("infer = { batch = 16 }", 'data = { use = "faces", blur = 2 }')
    file = write(tmp_path, text)
    assert load_suite(file, "gpu").variants[0].data["options"] == {"blur": 2}
    suite = load_suite(file, "gpu", data_paths={"faces": str(tmp_path)})
    assert suite.variants[0].data["options"] == {"blur": 2, "path": str(tmp_path)}
    with pytest.raises(UsageError, match="no such file or folder; write where faces lies"):
        load_suite(file, "gpu", data_paths={"faces": str(tmp_path / "absent")})
    with pytest.raises(UsageError, match=r"uses no data set 'faces'; one of: random"):
        load_suite(file, data_paths={"faces": str(tmp_path)})
    with pytest.raises(UsageError, match="data set 'random' is made, it reads no files"):
        load_suite(file, data_paths={"random": str(tmp_path)})
    wrong = write(tmp_path, text.replace("blur", "blr"))
    with pytest.raises(SuiteError, match=r"data set 'faces': unknown option 'blr'; did you mean 'blur'\?"):
        load_suite(wrong)


def test_a_square_is_its_side(tmp_path: Path) -> None:
    assert load_suite(write(tmp_path, GOOD.replace("[256, 128]", "[64, 64]"))).variants[0].data["size"] == 64


def test_a_suite_may_name_no_modes(tmp_path: Path) -> None:
    start, end = GOOD.index("[modes.fp32]"), GOOD.index("[[variants]]")
    suite = load_suite(write(tmp_path, (GOOD[:start] + GOOD[end:]).replace('mode = "fast"\n', "")))
    assert suite.modes == {"fp32": ModeConfig({})} and suite.variants[0].train["mode"] == "fp32"


def test_weights_lie_beside_the_suite(tmp_path: Path) -> None:
    (tmp_path / "w.pt").write_bytes(b"")
    suite = load_suite(write(tmp_path, GOOD.replace('["quick"]\n', '["quick"]\nweights = "w.pt"\n')))
    assert suite.variants[1].weights == str(tmp_path / "w.pt") and suite.variants[0].weights == ""


def test_overrides(good: Path) -> None:
    suite = load_suite(good, "quick", rounds=7, seed=3, timeout=10.0)
    assert (suite.rounds, suite.seed, suite.timeout) == (7, 3, 10.0)
    assert all("rounds" not in variant.train for variant in suite.variants)
    assert load_suite(good, "quick", rounds=None) == load_suite(good, "quick")
    for wrong in ({"rounds": 0}, {"seed": -1}, {"timeout": 0}):
        with pytest.raises(UsageError, match="must be at least"):
            load_suite(good, **wrong)  # type: ignore[arg-type]


def test_unknown_profile(good: Path) -> None:
    with pytest.raises(UsageError, match=r"unknown profile 'qick'; did you mean 'quick'\?"):
        load_suite(good, "qick")
    assert profile_names(good) == ["quick", "gpu"]


def test_select(good: Path) -> None:
    suite = load_suite(good)
    kept = suite.select(variants=["own", "a"], modes=["fast"], measures=["params"])
    assert [v.name for v in kept.variants] == ["a", "own"]
    assert (list(kept.modes), kept.measures, kept.baseline) == (["fast"], ("params",), "a")
    assert suite.select(variants=["own"]).baseline == ""
    assert suite.select() == suite
    with pytest.raises(UsageError, match=r"unknown variant 'ow'; did you mean 'own'\?"):
        suite.select(variants=["ow"])
    with pytest.raises(UsageError, match="unknown mode 'x'; one of: fast, fp32"):
        suite.select(modes=["x"])


def test_plain_is_json_without_the_path(good: Path) -> None:
    plain = load_suite(good).plain()
    assert json.loads(json.dumps(plain)) == plain
    assert "path" not in plain and str(good.parent) not in json.dumps(plain)
    assert plain["variants"][0]["published"][0]["train_epoch"] == "14.8 min"
    assert plain["modes"]["fast"]["plugins"] == {"channels_last": True, "amp": "bfloat16"}


def test_expand_is_the_product() -> None:
    points = expand({"name": "{a}x{b}", "options": {"c": 0}, "sweep": {"a": [1, 2], "b": ["p", "q"]}})
    assert [point.name for point in points] == ["1xp", "1xq", "2xp", "2xq"]
    assert points[1].options == {"c": 0, "a": 1, "b": "q"}


def test_conditions() -> None:
    assert condition.calls("-(1 + latency('a')) <= macs('b') / 2 < 3") == [("latency", "a"), ("macs", "b")]
    for text, said in {
        "latency('a')": "not one comparison",
        "latency('a') < ": "not an expression",
        "latency('a') != 1": "not one comparison",
        "1 < 2": "compares no quantity",
        "latency('a') < True": "is no quantity",
        "latency('a', 'b') < 1": "is no quantity",
        "latency(a) < 1": "is no quantity",
        "f()('a') < 1": "is no quantity",
        "latency('a') < 2 ** 3": "is no quantity",
    }.items():
        with pytest.raises(ValueError, match=said):
            condition.calls(text)


SHIPPED = [(file.stem, profile) for file in sorted(SUITES.glob("*.toml")) for profile in ["", *profile_names(file)]]


@pytest.mark.parametrize(("name", "profile"), SHIPPED)
def test_every_suite_loads_in_every_profile(name: str, profile: str) -> None:
    suite = load_suite(SUITES / f"{name}.toml", profile)
    assert suite.variants and suite.source and json.dumps(suite.plain())


@pytest.mark.parametrize("file", sorted(SUITES.glob("*.toml")), ids=lambda file: file.stem)
def test_every_suite_names_the_schema_and_follows_it(file: Path) -> None:
    text = file.read_text(encoding="utf-8")
    assert text.startswith("#:schema ./suite.schema.json\n#")
    jsonschema.Draft202012Validator.check_schema(schema())
    jsonschema.validate(tomllib.loads(text), schema())


def test_the_schema_refuses_what_the_parser_refuses() -> None:
    raw = tomllib.loads(GOOD)
    for change in ({"rouns": 1}, {"rounds": 0}, {"gate": {"latency": "3"}}, {"protocol": {"x": 1}}, {"variants": []}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate({**raw, **change}, schema())


def test_the_committed_schema_is_fresh() -> None:
    written = (SUITES / "suite.schema.json").read_text(encoding="utf-8")
    made = subprocess.run([sys.executable, "-m", "bench.suite"], capture_output=True, text=True, check=True).stdout
    assert written == made, "run: python -m bench.suite > suites/suite.schema.json"


def test_suites_are_found_by_name() -> None:
    assert find("smoke") == SUITES / "smoke.toml"


@pytest.fixture(scope="module")
def study() -> Suite:
    return load_suite(SUITES / "stacked_speed.toml")


def figures(suite: Suite, variant: str, row: int) -> dict[str, Any]:
    return next(v for v in suite.variants if v.name == variant).published[row]


@pytest.mark.parametrize(
    ("variant", "row", "epochs", "minutes", "evaluation", "mean", "head", "ankle"),
    [
        ("original-batch6", 0, 50, 18, 1.2, 83.18, 93.89, 74.92),
        ("64-channels", 0, 50, 14.3, 1.03, 80.48, 93.62, 69.04),
        ("6-stacks", 0, 50, 14.4, 1.05, 83.13, 93.93, 72.22),
        ("6-stacks-64ch-4-residuals", 0, 50, 14.3, 1.08, 80.73, 93.32, 68.42),
        ("layer-norm", 0, 50, 14.7, 1.1, 78.83, 92.70, 65.64),
        ("depth-increasing", 0, 50, 14.3, 1.1, 80.68, 93.76, 67.62),
        ("depth-decreasing", 0, 50, 14.8, 1.15, 81.47, 93.79, 69.49),
        ("4-blocks", 0, 50, 14.6, 1.06, 84.23, 93.55, 72.69),
        ("original-batch6", 1, 220, 18, 1.2, 86.7, 95.63, 77.49),
        ("original", 0, 220, 14.8, 1.1, 86.4, 94.98, 78.64),
        ("6-stacks", 1, 220, 14.4, 1.08, 85.8, 94.95, 77.47),
        ("4-blocks", 1, 220, 14.6, 1.06, 86.38, 95.02, 77.21),
    ],
)
def test_published_figures_are_the_documents(
    study: Suite,
    variant: str,
    row: int,
    epochs: int,
    minutes: float,
    evaluation: float,
    mean: float,
    head: float,
    ankle: float,
) -> None:
    published = figures(study, variant, row)
    assert parse(published["train_epoch"]) == pytest.approx(minutes * 60)
    assert parse(published["eval_time"]) == pytest.approx(evaluation * 60)
    assert (published["epochs"], published["pckh.mean14"]) == (epochs, mean)
    assert (published["pckh.head"], published["pckh.ankle"]) == (head, ankle)


# A mean over 14 joints: every row's own joints but the head (head top and neck) count left and right. The document's
# means agree with its joints to rounding, which catches a mistyped figure.
def test_published_joints_agree_with_their_mean(study: Suite) -> None:
    joints = ["head", "shoulder", "elbow", "wrist", "hip", "knee", "ankle"]
    for variant in study.variants:
        for published in variant.published:
            mean = sum(published[f"pckh.{joint}"] for joint in joints) / len(joints)
            assert mean == pytest.approx(published["pckh.mean14"], abs=1.2), (variant.name, published["table"])


def test_profiles_of_the_speed_study() -> None:
    quick, gpu = (load_suite(SUITES / "stacked_speed.toml", profile) for profile in ("quick", "gpu"))
    batches = {variant.name: variant.train["batch"] for variant in quick.variants}
    assert batches.pop("original-batch6") == 6 and set(batches.values()) == {2}
    assert {variant.train["rounds"] for variant in quick.variants} == {1} and quick.rounds == 3
    assert {"2-blocks", "dropout", "adam"}.isdisjoint(batches)
    assert (gpu.rounds, gpu.variants[0].infer["batch"], sum(gpu.budget.values())) == (3, 20, 45)
    assert next(v for v in gpu.variants if v.name == "adam").train["recipe"]["optimizer"] == "adam"
    assert len(gpu.claims) >= 8 and all(claim.where for claim in gpu.claims)
