"""`bench init` writes a suite that runs as it is."""

import jsonschema
import pytest
from command_line import Project, Typed

from bench.suite import load_suite
from bench.suite.schema import schema

OWN = '''"""A network of one's own, in a package of one's own."""

from torch import nn


def make(width: int = 4) -> nn.Module:
    """One convolution."""
    return nn.Conv2d(3, width, 3, padding=1)
'''


def test_what_it_writes_runs(project: Project, bench: Typed) -> None:
    done = bench("init", "mine", "--arch", "scripted")
    assert (done.code, done.out) == (0, "")
    assert done.err == "wrote suites/mine.toml; edit its variants, then: bench run suites/mine.toml\n"
    dry = bench("run", "mine", "--dry-run")
    assert dry.code == 0, dry.err
    assert "plan: 20 jobs" in dry.err
    assert bench("check", "mine").code == 0


def test_a_network_of_ones_own_is_built(project: Project) -> None:
    """By a real worker, from a package beside the suites."""
    (project.folder / "my_nets").mkdir()
    project.write("my_nets/__init__.py", "")
    project.write("my_nets/small.py", OWN)
    assert project.bench("init", "mine", "--arch", "my_nets.small:make", "--size", "32").code == 0
    done = project.bench("run", "suites/mine.toml", "--dry-run")
    assert done.code == 0, done.err
    assert "base/fast/infer" in done.out
    assert project.runs == []


def test_it_follows_the_schema_and_names_it(project: Project, bench: Typed) -> None:
    import tomllib

    bench("init", "mine", "--arch", "stacked_hourglass", "--size", "64")
    text = (project.folder / "suites" / "mine.toml").read_text()
    assert text.startswith("#:schema ./suite.schema.json\n")
    jsonschema.validate(tomllib.loads(text), schema())
    suite = load_suite(project.folder / "suites" / "mine.toml")
    assert [variant.name for variant in suite.variants] == ["base", "changed"]
    assert suite.variants[0].data["size"] == 64


def test_nothing_is_overwritten(project: Project, bench: Typed) -> None:
    before = (project.folder / "suites" / "tiny.toml").read_bytes()
    done = bench("init", "tiny", "--arch", "scripted")
    assert (done.code, done.err) == (2, "suites/tiny.toml exists already; choose another name, or edit it\n")
    assert (project.folder / "suites" / "tiny.toml").read_bytes() == before


@pytest.mark.parametrize("name", ["a/b", "", "..", "two words"])
def test_a_name_that_no_file_can_have(project: Project, bench: Typed, name: str) -> None:
    done = bench("init", name, "--arch", "scripted")
    assert done.code == 2
    (line,) = done.err.splitlines()
    assert line == f"'{name}' cannot be a suite's name; write letters, digits, - and _, such as my_study"


def test_an_unknown_architecture(project: Project, bench: Typed) -> None:
    done = bench("init", "mine", "--arch", "scriptd")
    assert (done.code, done.err) == (2, "unknown arch 'scriptd'; did you mean 'scripted'?\n")
    assert not (project.folder / "suites" / "mine.toml").exists()


@pytest.mark.parametrize("arch", ["a.b", "a:", ":b", 'a:b"'])
def test_an_architecture_that_can_be_none(project: Project, bench: Typed, arch: str) -> None:
    done = bench("init", "mine", "--arch", arch)
    assert (done.code, done.out) == (2, "")
    assert len(done.err.splitlines()) == 1
    assert not (project.folder / "suites" / "mine.toml").exists()


@pytest.mark.parametrize("size", ["0", "-3"])
def test_a_size_that_no_image_has(project: Project, bench: Typed, size: str) -> None:
    done = bench("init", "mine", "--arch", "scripted", "--size", size)
    assert (done.code, done.out) == (2, "")
    assert not (project.folder / "suites" / "mine.toml").exists()


def test_another_folder_is_made(project: Project, bench: Typed) -> None:
    done = bench("init", "mine", "--arch", "stacked_hourglass", "--folder", "new/place")
    assert done.code == 0
    assert load_suite(project.folder / "new" / "place" / "mine.toml").name == "mine"


def test_the_architecture_has_to_be_named(bench: Typed) -> None:
    done = bench("init", "mine")
    assert done.code == 2
    assert "Missing option '--arch'; see: " in done.err


def test_a_folder_that_cannot_be_made(project: Project, bench: Typed) -> None:
    done = bench("init", "mine", "--arch", "stacked_hourglass", "--folder", "suites/tiny.toml")
    assert (done.code, len(done.err.splitlines())) == (2, 1)
    assert "Not a directory" in done.err or "File exists" in done.err
