import json
from pathlib import Path

import pytest
from suite_text import GOOD, write

from bench import plugins
from bench.errors import SuiteError, UsageError
from bench.record import Protocol
from bench.suite import ModeConfig, find, load_suite, profile_names

SUITES = plugins.INSTALLED / "suites"


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(SuiteError, match=r"smoek: no such suite; did you mean 'smoke'\?"):
        load_suite("smoek")
    with pytest.raises(SuiteError, match=r"suites/stacked_sped.toml: no such suite; did you mean 'stacked_speed'\?"):
        load_suite("suites/stacked_sped.toml")
    (tmp_path / "latin.toml").write_bytes('title = "é"'.encode("latin-1"))
    with pytest.raises(SuiteError, match=r"latin.toml:1: not UTF-8 text"):
        load_suite(tmp_path / "latin.toml")


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


def lengths(file: Path, profile: str) -> list[dict[str, int]]:
    """What each variant says of how long it is trained."""
    tables = [variant.train for variant in load_suite(file, profile).variants]
    return [{key: table[key] for key in ("samples", "epochs") if key in table} for table in tables]


@pytest.mark.parametrize(("base", "other"), [("samples = 320", "epochs = 50"), ("epochs = 50", "samples = 320")])
def test_who_says_how_long_a_training_is_drops_what_was_said_before(tmp_path: Path, base: str, other: str) -> None:
    text = GOOD.replace("[train]", f"[train]\n{base}").replace("batch = 16 }", f"batch = 16 }}\ntrain = {{ {other} }}")
    text = text.replace('name = "own"', f'name = "own"\ntrain = {{ {other} }}')
    text = text.replace("variant.a]\ntrain = { batch = 2 }", f"variant.own]\ntrain = {{ {base} }}")
    file = write(tmp_path, text)
    first, second = ({key: int(number)} for key, _, number in (part.partition(" = ") for part in (base, other)))
    assert lengths(file, "") == [first, first, first, second]
    assert lengths(file, "quick") == [first, first, first, first]
    assert lengths(file, "gpu") == [second, second]


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
    assert {variant.train["timeout"] for variant in suite.variants} == {10.0}  # the limit of trainings too
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


def test_suites_are_found_by_name() -> None:
    assert find("smoke") == SUITES / "smoke.toml"
