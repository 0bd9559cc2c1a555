import subprocess
import sys
from pathlib import Path

import pytest

from bench import plugins
from bench.errors import UsageError

ARCH = '''"""A network of one's own."""
from typing import Literal, Sequence

WIDTHS: tuple[int, ...] = (8, 16)
SUM = 1 + len(WIDTHS)


def build(width: int = 8, *, rate: float = 0.5, kind: Literal["a", "b"] | None = None, many: int | list[int] = 1,
          odd: Sequence[int] = (), needed: str, free=None):
    return width


def anything(image, **options):
    return options
'''


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A folder of suites with `archs/` beside it and `recipes/` in it."""
    (tmp_path / "archs").mkdir()
    (tmp_path / "suites" / "recipes").mkdir(parents=True)
    (tmp_path / "archs" / "mine.py").write_text(ARCH)
    (tmp_path / "archs" / "_private.py").write_text("")
    (tmp_path / "archs" / "blocks.py").write_text("")
    return tmp_path / "suites"


@pytest.fixture
def mine(home: Path) -> Path:
    return plugins.path("arch", "mine", home)


def test_every_kind_can_be_listed() -> None:
    assert all(isinstance(plugins.names(kind), list) for kind in plugins.KINDS)
    assert "stacked_hourglass" in plugins.names("arch")
    assert {"smoke", "stacked_speed"} <= set(plugins.names("suite"))
    assert {"adam_hourglass", "rmsprop_hourglass"} <= set(plugins.names("recipe"))


def test_underscored_files_and_shared_blocks_are_no_plugins(home: Path) -> None:
    assert plugins.names("arch", home) == sorted({"mine", *plugins.names("arch")})


def test_a_file_beside_the_suites_wins(home: Path) -> None:
    own = home.parent / "archs" / "stacked_hourglass.py"
    own.write_text('"""My own."""\n')
    assert plugins.path("arch", "stacked_hourglass", home) == own
    assert plugins.help_line("arch", "stacked_hourglass", home) == "My own."


def test_unknown_name_gives_the_nearest() -> None:
    with pytest.raises(UsageError, match="unknown arch 'staked_hourglass'; did you mean 'stacked_hourglass'"):
        plugins.path("arch", "staked_hourglass")


def test_help_of_toml_is_title_or_comment(home: Path) -> None:
    (home / "titled.toml").write_text('title = "A study"\n')
    (home / "bare.toml").write_text("#:schema ./x.json\n# What it is.\nrounds = 1\n")
    (home / "broken.toml").write_text("title = \n")
    (home / "empty.toml").write_text("")
    assert plugins.help_line("suite", "titled", home) == "A study"
    assert plugins.help_line("suite", "bare", home) == "What it is."
    assert plugins.help_line("suite", "empty", home) == ""
    assert "cannot be read" in plugins.help_line("suite", "broken", home)


def test_options_are_read_from_the_text(mine: Path) -> None:
    options = plugins.options(mine, "build")
    assert list(options) == ["width", "rate", "kind", "many", "odd", "needed", "free"]
    assert options["width"] == plugins.Option("width", "int", 8, required=False, keyword=False)
    assert options["needed"] == plugins.Option("needed", "str", None, required=True, keyword=True)


def test_needs(mine: Path, tmp_path: Path) -> None:
    assert plugins.needs(mine) == {}
    wants = tmp_path / "wants.py"
    wants.write_text('NEEDS = {"timm": "pip install timm"}\n')
    assert plugins.needs(wants) == {"timm": "pip install timm"}
    listed = tmp_path / "listed.py"
    listed.write_text('NEEDS = ("timm",)\n')
    with pytest.raises(UsageError, match=r"listed.py: NEEDS = \('timm',\); write {\"module\": \"what to type"):
        plugins.needs(listed)


def test_constants(mine: Path) -> None:
    assert plugins.constant(mine, "WIDTHS") == (8, 16)
    assert plugins.constant(mine, "ABSENT") is None
    with pytest.raises(UsageError, match=r"mine.py:5: SUM must be written as a literal"):
        plugins.constant(mine, "SUM")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"width": 16, "rate": 1, "kind": "a", "many": [1, 2]}, []),
        ({"width": "eight"}, ['width = "eight": expected int; the default is 8']),
        ({"width": True}, ["width = true: expected int; the default is 8"]),
        ({"width": 8.0}, ["width = 8.0: expected int; the default is 8"]),
        ({"kind": "c"}, ['kind = "c": expected "a" or "b"']),
        ({"many": [1, "x"]}, ['many = [1, "x"]: expected int or list of int; the default is 1']),
        ({"widht": 8}, ["unknown option 'widht'; did you mean 'width'?"]),
        ({"odd": [1]}, ["odd is annotated `Sequence[int]`, which no value of a suite can be checked against"]),
        ({"free": {"any": "thing"}}, []),
    ],
)
def test_options_are_checked_in_plain_words(mine: Path, given: dict[str, object], said: list[str]) -> None:
    assert [text for _, text in plugins.check_options(mine, "build", {"needed": "x", **given})] == said


def test_a_missing_option_is_told_unless_bench_passes_it(mine: Path) -> None:
    assert plugins.check_options(mine, "build", {}) == [("needed", "option 'needed' is missing; write needed = ...")]
    assert plugins.check_options(mine, "build", {}, passed=["needed"]) == []
    assert plugins.check_options(mine, "build", {"needed": "x"}, passed=["needed"])[0][1].startswith("unknown option")


def test_keyword_arguments_take_any_option(mine: Path) -> None:
    assert plugins.check_options(mine, "anything", {"whatever": 1}) == []


def test_no_such_function(mine: Path) -> None:
    with pytest.raises(UsageError, match=r"defines no function create\(\)"):
        plugins.options(mine, "create")


def test_a_syntax_error_names_its_line(home: Path) -> None:
    (home.parent / "archs" / "broken.py").write_text("x = 1\ndef build(:\n")
    with pytest.raises(UsageError, match=r"broken.py:2: "):
        plugins.help_line("arch", "broken", home)


def test_a_changed_file_is_read_again(mine: Path) -> None:
    assert plugins.constant(mine, "WIDTHS") == (8, 16)
    import os

    mine.write_text("WIDTHS = (1,)\n")
    os.utime(mine, ns=(1, 1))
    assert plugins.constant(mine, "WIDTHS") == (1,)


def test_load_takes_archs_from_their_file(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "archs.mine", raising=False)
    module = plugins.load("arch", "mine", home)
    assert module.build(3, needed="x") == 3
    assert plugins.load("arch", "mine", home) is module
    monkeypatch.delitem(sys.modules, "archs.mine")


def test_load_imports_other_kinds_by_name() -> None:
    assert plugins.load("measure", "params").__name__ == "bench.worker.measures.params"


def test_quantities_are_read_from_the_measures() -> None:
    units = plugins.quantities()
    assert units["latency"] == "s" and units["params"] == "1" and units["train_epoch"] == "s"


def test_importing_plugins_is_light() -> None:
    heavy = "{'torch', 'numpy', 'pandas', 'scipy', 'pydantic', 'msgspec', 'tomlkit', 'ast'}"
    code = f"import sys, bench.plugins; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
