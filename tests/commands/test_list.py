"""`bench list` names everything that has a name, with its one line of help."""

import json

import pytest
from command_line import Project, Typed

from bench import plugins


def test_everything_has_its_line(bench: Typed) -> None:
    done = bench("list")
    assert (done.code, done.err) == (0, "")
    lines = {tuple(line.split(maxsplit=1)) for line in done.out.splitlines() if line.startswith("  ")}
    for kind in plugins.KINDS:
        for name in plugins.names(kind):
            assert (name, plugins.help_line(kind, name)) in lines
    assert max(map(len, done.out.splitlines())) < 160


def test_what_lies_in_the_project_is_there_too(bench: Typed) -> None:
    out = bench("list").out
    assert "  tiny " in out and "Tiny" in out
    assert "What a scripted worker does instead of a network." in out
    assert "  smoke " in out, "the suites that were installed"


@pytest.mark.parametrize("kind", plugins.KINDS)
def test_one_kind(bench: Typed, kind: str) -> None:
    done = bench("list", kind, "--format", "json")
    assert done.code == 0
    found = json.loads(done.out)
    assert [item["name"] for item in found] == plugins.names(kind)
    assert {item["kind"] for item in found} <= {kind}
    assert all(item["help"] for item in found)


def test_everything_as_json(bench: Typed) -> None:
    found = json.loads(bench("list", "--format", "json").out)
    assert {item["kind"] for item in found} == {kind for kind in plugins.KINDS if plugins.names(kind)}


def test_a_suite_that_cannot_be_read_hides_no_other(project: Project, bench: Typed) -> None:
    project.suite("title = \n", "broken")
    out = bench("list", "suite").out
    assert "broken" in out and "cannot be read: Invalid value (at line 1" in out
    assert "Tiny" in out


def test_an_unknown_kind(bench: Typed) -> None:
    done = bench("list", "archs")
    assert (done.code, done.out) == (2, "")
    (line,) = done.err.splitlines()
    assert "'archs' is not one of 'arch', 'mode', 'measure'" in line
