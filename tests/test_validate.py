"""The last check before a run: each network that cannot be built is told with its place in the suite."""

import sys
from dataclasses import replace
from pathlib import Path

import pytest
from command_line import HEAD, SCRIPTED, Project, acts

from bench.engines import local
from bench.errors import SuiteError
from bench.suite import Suite, load_suite
from bench.validate import complaints, validate


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    monkeypatch.setattr(local, "COMMAND", (sys.executable, str(SCRIPTED)))
    monkeypatch.chdir(tmp_path)
    return Project(tmp_path)


def refused(suite: Suite) -> list[str]:
    with pytest.raises(SuiteError) as error:
        validate(suite, device="cpu", threads=1)
    return error.value.problems


def test_every_network_has_its_fingerprint(project: Project) -> None:
    suite = load_suite(project.suite(HEAD + acts(a="", b="", c="fail")))
    found = validate(suite, device="cpu", threads=1)
    assert found.keys() == {"a", "b", "c"}
    assert found["a"] == found["b"] != found["c"]


def test_nothing_to_check_starts_nothing(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    suite = replace(load_suite(project.suite(HEAD + acts(a=""))), variants=())
    monkeypatch.setattr(local, "COMMAND", ("no-such-program",))
    assert validate(suite, device="cpu", threads=1) == {}


def test_what_is_not_fit_has_the_line_of_its_option(project: Project) -> None:
    text = HEAD + acts(a="", b="not fit")
    line = 1 + text[: text.index("not fit")].count("\n")
    assert refused(load_suite(project.suite(text))) == [
        f"suites/tiny.toml:{line}: variant 'b': do = 'not fit': as asked"
    ]


def test_every_variant_that_is_not_fit_is_told_in_the_order_of_the_file(project: Project) -> None:
    found = refused(load_suite(project.suite(HEAD + acts(c="not fit", a="", b="not fit"))))
    assert [problem.split("'")[1] for problem in found] == ["c", "b"]


def test_a_point_of_a_sweep_has_the_line_of_the_sweep(project: Project) -> None:
    text = HEAD.replace('baseline = "a"\n', "")
    text += '\n[[variants]]\nname = "s-{do}"\narch = "scripted"\nsweep = { do = ["", "not fit"] }\n'
    line = 1 + text[: text.index("sweep")].count("\n")
    assert refused(load_suite(project.suite(text))) == [
        f"suites/tiny.toml:{line}: variant 's-not fit': do = 'not fit': as asked"
    ]


def test_a_checker_that_dies_is_no_traceback(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "COMMAND", (sys.executable, "-c", "import sys; sys.exit(3)"))
    (problem,) = refused(load_suite(project.suite(HEAD + acts(a=""))))
    assert problem.endswith("variant 'a': the worker ended with status 3 and no record")


@pytest.mark.parametrize(
    ("reason", "at"),
    [
        ("stacks = 0: must be at least 1", "options"),
        ("size 30x30 is not divisible by 8", "[[variants]]"),
        ("RuntimeError: shapes do not fit", "[[variants]]"),
    ],
)
def test_a_reason_that_begins_with_an_option_is_at_the_option(tmp_path: Path, reason: str, at: str) -> None:
    text = HEAD + '\n[[variants]]\nname = "a"\narch = "stacked_hourglass"\noptions = { stacks = 1 }\n'
    path = tmp_path / "x.toml"
    path.write_text(text)
    line = 1 + text[: text.index(at)].count("\n")
    assert complaints(load_suite(path), {"a": reason}) == [f"{path}:{line}: variant 'a': {reason}"]


def test_without_a_file_the_variant_is_named(project: Project) -> None:
    suite = load_suite(project.suite(HEAD + acts(a="")))
    suite.path.unlink()
    assert complaints(suite, {"a": "no such size"}) == ["a: no such size"]
