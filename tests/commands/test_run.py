"""`bench run` from its first line to its table: what it says, where, and what it leaves behind."""

import fcntl
import json
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from pathlib import Path

import pytest
from command_line import HEAD, LAUNCH, PROTOCOL, Done, Project, Typed, acts

from bench import store

SCRIPTED = HEAD + acts(a="", b="") + PROTOCOL


@pytest.fixture
def scripted(project: Project, bench: Typed) -> Typed:
    """The command line in a project whose suite is played by scripted workers."""
    project.suite(SCRIPTED)
    return bench


def test_a_whole_run_by_real_workers(measured: tuple[Project, Done]) -> None:
    project, done = measured
    assert done.code == 0, done.err
    said = done.err.splitlines()
    (path,) = project.runs
    assert said[0] == "profile none on cpu: as written"
    assert re.fullmatch(r"plan: 4 jobs \(2 static, 2 infer\), seed 0, under a minute by .*", said[1])
    assert said[2] == f"writing results/tiny/{path.name}"
    pattern = r"\[{}/4\] [ab](/fp32)?/(static|infer) round 1  (params|latency) [\d.]+ (k|ms|us|s)  [\d.]+ s, .* left"
    assert all(re.fullmatch(pattern.format(i), said[2 + i]) for i in range(1, 5)), said
    assert said[7] == f"kept in results/tiny/{path.name}; show it again with: bench report {path.stem}"
    assert len(said) == 8, "what libraries print belongs into the logs"
    assert "\x1b" not in done.err
    lines = done.out.splitlines()
    assert lines[0] == "Tiny" and "Network" in lines and "Inference" in lines
    assert sum(line.startswith(("a ", "b ")) for line in lines) >= 4


def test_the_file_of_a_run(measured: tuple[Project, Done]) -> None:
    project, _ = measured
    loaded = store.read(project.runs[0])
    assert loaded.problems == []
    assert loaded.header.command == ["bench", "run", "suites/tiny.toml"]
    assert loaded.header.run == loaded.path.stem == f"{loaded.path.stem[:16]}-{loaded.header.machine['id']}"
    cells = {record.job.cell for record in loaded.records}
    assert cells == {"a/static", "b/static", "a/fp32/infer", "b/fp32/infer"}
    assert all(record.status == "ok" and (project.results / "tiny" / record.log).is_file() for record in loaded.records)
    networks = {record.job.variant: record.environment["network"] for record in loaded.records}
    assert len(set(networks.values())) == 2
    assert str(project.folder) not in loaded.path.read_text()


def test_the_table_alone_goes_to_stdout(scripted: Typed) -> None:
    done = scripted("run", "tiny", "--format", "json")
    assert done.code == 0
    cells = json.loads(done.out)["cells"]
    assert {(cell["variant"], cell["quantity"], cell["value"]) for cell in cells} >= {("a", "params", 7)}


@pytest.mark.parametrize(
    ("form", "begins"), [("csv", "phase,"), ("markdown", "## Tiny\n"), ("latex", "%"), ("terminal", "Tiny\n")]
)
def test_every_other_format(scripted: Typed, form: str, begins: str) -> None:
    done = scripted("run", "tiny", "--format", form, "--measure", "params")
    assert done.code == 0
    assert done.out.startswith(begins)


def test_a_dry_run_prints_the_plan_and_writes_nothing(project: Project, scripted: Typed) -> None:
    done = scripted("run", "tiny", "--dry-run", "--rounds", "2")
    assert done.code == 0
    lines = [re.fullmatch(r"([0-9a-f]{16})  round (\d)  (\S+)", line) for line in done.out.splitlines()]
    found = [match.groups() for match in lines if match]
    assert len(found) == len(lines) == 6
    assert len({number for number, _, _ in found}) == 6
    assert sorted((cell, round_) for _, round_, cell in found) == [
        *[("a/fp32/infer", "1"), ("a/fp32/infer", "2"), ("a/static", "1")],
        *[("b/fp32/infer", "1"), ("b/fp32/infer", "2"), ("b/static", "1")],
    ]
    assert "plan: 6 jobs (2 static, 2 infer in 2 rounds)" in done.err
    assert not project.results.exists()


def test_the_plan_is_the_same_for_the_same_seed(scripted: Typed) -> None:
    plans = [scripted("run", "tiny", "--dry-run", "--rounds", "9", "--seed", seed).out for seed in ("1", "1", "2")]
    assert plans[0] == plans[1] != plans[2]


def test_only_what_was_asked_for(project: Project, scripted: Typed) -> None:
    scripted("run", "tiny", "--variant", "b", "--measure", "infer", "--rounds", "2", "--timeout", "9")
    loaded = store.read(project.runs[0])
    assert [(r.job.cell, r.job.round, r.job.timeout) for r in loaded.records] == [
        ("b/fp32/infer", 0, 9),
        ("b/fp32/infer", 1, 9),
    ]


def test_why_a_profile_was_chosen(project: Project, bench: Typed) -> None:
    project.suite(SCRIPTED + "\n[profiles.quick]\nrounds = 2\n[profiles.other]\n")
    first = [
        bench("run", "tiny", "--dry-run", *arguments).err.splitlines()[0]
        for arguments in ([], ["--profile", "other"], ["--device", "cpu"])
    ]
    assert first == [
        "profile quick on cpu: no CUDA device here",
        "profile other on cpu: as asked",
        "profile quick on cpu: --device cpu",
    ]


def test_a_suite_without_such_a_profile_runs_as_written(project: Project, bench: Typed) -> None:
    project.suite(SCRIPTED + "\n[profiles.gpu]\nrounds = 2\n")
    done = bench("run", "tiny", "--dry-run")
    assert done.err.startswith("profile none on cpu: as written: the suite has no profile 'quick'\n")


def test_later_runs_know_how_long_the_jobs_take(scripted: Typed) -> None:
    assert "by the profile's limits" in scripted("run", "tiny").err
    assert "from earlier runs here" in scripted("run", "tiny", "--dry-run").err


def test_results_elsewhere_are_found_again_by_what_the_last_line_says(project: Project, scripted: Typed) -> None:
    done = scripted("run", "tiny", "--results", "my results")
    command = done.err.splitlines()[-1].partition("show it again with: bench ")[2]
    assert not project.results.exists()
    assert scripted("report", command.partition(" ")[2].strip("'")).out == done.out


def test_the_figure_on_the_line_has_an_interval_from_the_second_round(scripted: Typed) -> None:
    said = scripted("run", "tiny", "--rounds", "3", "--variant", "a", "--measure", "infer").err
    assert re.search(r"\[1/3\] a/fp32/infer round 1  latency 20.0 ms  ", said)
    assert re.search(r"\[3/3\] a/fp32/infer round 3  latency 21.0 ± 2.5 ms  ", said)


def test_a_selection_that_leaves_nothing_to_measure_says_so(project: Project, bench: Typed) -> None:
    """Training is measured in the suite's training mode alone, here fp32."""
    text = SCRIPTED.replace('"params", "infer"', '"infer", "train_time"')
    project.suite(
        text.replace("[modes.fp32]", '[train]\nrecipe = "adam_hourglass"\nbatch = 2\n[modes.fp32]\n[modes.x]')
    )
    done = bench("run", "tiny", "--mode", "x", "--measure", "train_time")
    assert done.said == ["tiny: nothing to measure with these modes and measures; see: bench show tiny"]
    assert (done.code, project.runs) == (2, [])


def on_a_terminal(project: Project, columns: int, **variables: str) -> str:
    """What a run writes to stderr where that is a terminal of so many columns."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    with subprocess.Popen(
        [sys.executable, "-c", LAUNCH, "run", "tiny"],
        cwd=project.folder,
        env=project.variables() | variables,
        stdout=subprocess.DEVNULL,
        stderr=theirs,
    ) as running:
        os.close(theirs)
        written = b""
        while chunk := read_some(ours):
            written += chunk
    os.close(ours)
    assert running.returncode == 0
    return written.decode()


def read_some(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 4096)
    except OSError:  # the other end of a terminal is closed
        return b""


def test_on_a_terminal_one_line_is_written_again_and_again(project: Project) -> None:
    project.suite(SCRIPTED)
    written = on_a_terminal(project, 60)
    before, *lines = written.split("\r\x1b[2K")
    assert before.count("\r\n") == 3  # profile, plan, file
    assert [line[:5] for line in lines] == ["[1/4]", "[2/4]", "[3/4]", "[4/4]"]
    assert all("\n" not in line and len(line) <= 59 for line in lines[:-1])
    last, after = lines[-1].split("\r\n", 1)
    assert len(last) <= 59 and after.startswith("kept in ")


def test_a_failure_stays_on_the_terminal(project: Project) -> None:
    project.suite(HEAD.replace('"params", "infer"', '"params"') + acts(extra="optional = true", a="fail", b=""))
    written = on_a_terminal(project, 200)
    first = written.split("\r\x1b[2K")[1]
    assert "a/static round 1  failed: ValueError: the middle layer is missing" in first
    assert first.endswith("\r\n")


def test_where_ci_is_set_lines_are_plain_even_on_a_terminal(project: Project) -> None:
    project.suite(SCRIPTED)
    written = on_a_terminal(project, 60, CI="1")
    assert "\x1b" not in written
    lines = written.split("\r\n")
    assert [line[:5] for line in lines[3:7]] == ["[1/4]", "[2/4]", "[3/4]", "[4/4]"]


def test_a_terminal_that_does_not_say_how_wide_it_is(project: Project) -> None:
    project.suite(SCRIPTED)
    assert "a/static round 1  params 7" in on_a_terminal(project, 0)


def test_a_suite_that_was_moved_runs_by_its_path(project: Project, bench: Typed) -> None:
    elsewhere = project.folder / "elsewhere"
    (elsewhere / "suites").mkdir(parents=True)
    (project.folder / "archs").rename(elsewhere / "archs")
    path = Path("elsewhere/suites/moved.toml")
    (project.folder / path).write_text(SCRIPTED)
    done = bench("run", str(path))
    assert done.code == 0
    assert project.runs[0].parent == project.results / "moved"
