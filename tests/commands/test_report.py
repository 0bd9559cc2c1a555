"""`bench report` shows a run again exactly as it was shown when it was measured."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from command_line import HEAD, PROTOCOL, Done, Project, Typed, acts
from jobs import header, record

from bench import store
from bench.page import FORMATS


def test_by_file_by_name_and_by_suite(measured: tuple[Project, Done]) -> None:
    project, run = measured
    (path,) = project.runs
    for name in (str(path), path.stem, "tiny", "suites/tiny.toml"):
        done = project.bench("report", name)
        assert (done.code, done.err) == (0, "")
        assert done.out == run.out, name


@pytest.mark.parametrize("form", FORMATS)
def test_every_format_is_what_run_prints(project: Project, bench: Typed, form: str) -> None:
    project.suite(HEAD + acts(a="", b="") + PROTOCOL)
    run = bench("run", "tiny", "--format", form)
    done = bench("report", "tiny", "--format", form)
    assert (done.code, done.err) == (0, "")
    assert done.out == run.out
    assert done.out.count("\n") > 1 and done.out.endswith("\n") and not done.out.endswith("\n\n")


def test_the_latest_run_of_a_suite_is_shown(project: Project, bench: Typed) -> None:
    project.suite(HEAD + acts(a="", b="") + PROTOCOL)
    bench("run", "tiny", "--variant", "a")
    last = bench("run", "tiny", "--variant", "b", "--format", "json")
    assert bench("report", "tiny", "--format", "json").out == last.out
    assert {cell["variant"] for cell in json.loads(last.out)["cells"]} == {"b"}


def test_a_torn_last_line_is_told_and_the_rest_is_shown(project: Project, bench: Typed) -> None:
    project.suite(HEAD + acts(a="", b="") + PROTOCOL)
    whole = bench("run", "tiny")
    (path,) = project.runs
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:-1]) + lines[-1][:50])
    done = bench("report", "tiny")
    assert done.code == 0
    (line,) = done.err.splitlines()
    assert line.startswith(f"results/tiny/{path.name}:{len(lines)}: torn last line, left out (")
    assert done.out != whole.out and "--resume" in done.out


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("tinn", "no run 'tinn' under results/; did you mean 'tiny'?"),
        ("results/none.jsonl", "results/none.jsonl: no such file; bench report SUITE shows the latest run of a suite"),
        ("empty.jsonl", "empty.jsonl:1: not a run of bench (no header line); name a file under results/"),
    ],
)
def test_a_run_that_is_not_there(project: Project, bench: Typed, name: str, said: str) -> None:
    folder = project.results / "tinny"
    folder.mkdir(parents=True)
    with store.new_run(folder, header(suite={"name": "tinny"})):
        pass
    project.write("empty.jsonl", "")
    done = bench("report", name)
    assert (done.code, done.out) == (2, "")
    assert done.err.splitlines() == [said.replace("'tiny'", "'tinny'")]


def test_without_results_there_is_nothing(bench: Typed) -> None:
    done = bench("report", "tiny")
    assert (done.code, done.err) == (2, "no run 'tiny' under results/; there are none\n")


def test_results_elsewhere(project: Project, bench: Typed) -> None:
    folder = project.folder / "elsewhere" / "study"
    folder.mkdir(parents=True)
    with store.new_run(folder, header()) as run:
        store.append(run, record())
    assert bench("report", "study").code == 2
    done = bench("report", "study", "--results", "elsewhere")
    assert done.code == 0 and "original" in done.out


def test_whoever_reads_only_the_head_is_not_shouted_at(measured: tuple[Project, Done]) -> None:
    """The other end of the pipe is closed before the first line."""
    project, _ = measured
    for arguments in (["report", "tiny"], ["--help"], ["list"]):
        with subprocess.Popen(
            [sys.executable, "-m", "bench", *arguments],
            cwd=project.folder,
            env=project.variables(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        ) as running:
            assert running.stdout and running.stderr
            running.stdout.close()
            assert running.stderr.read() == b""
        assert running.returncode == 0


def test_the_page_does_not_depend_on_where_it_is_asked_for(measured: tuple[Project, Done], tmp_path: Path) -> None:
    project, run = measured
    elsewhere = Project(tmp_path)
    assert elsewhere.bench("report", str(project.runs[0])).out == run.out
