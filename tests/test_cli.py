"""The boundary to the shell: commands are found by their files, and every end has its exit code."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import click
import pytest
from command_line import ROOT, Done, Project, Typed

from bench import cli, plugins
from bench.errors import BenchError, Exit, NotComparable, SuiteError, UsageError


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Typed:
    return Typed(Project(tmp_path), monkeypatch, capsys)


@pytest.mark.parametrize("flag", ["-h", "--help"])
def test_help_names_every_command_with_its_line(bench: Typed, flag: str) -> None:
    done = bench(flag)
    assert (done.code, done.err) == (0, "")
    text = " ".join(done.out.split())
    for name in plugins.names("command"):
        assert f"{name} {plugins.help_line('command', name)}" in text


@pytest.mark.parametrize("name", plugins.names("command"))
def test_every_command_explains_itself(bench: Typed, name: str) -> None:
    done = bench(name, "--help")
    assert (done.code, done.err) == (0, "")
    assert "Usage:" in done.out and "Options:" in done.out
    assert not [line for line in done.out.splitlines() if len(line) > 80]


def test_every_option_says_what_it_does() -> None:
    for name in plugins.names("command"):
        command = cli.bench.get_command(click.Context(cli.bench), name)
        assert command is not None
        options = [parameter for parameter in command.params if isinstance(parameter, click.Option)]
        assert [option.name for option in options if not option.help] == [], name


def test_nothing_asked_is_answered_with_the_help_page(bench: Typed) -> None:
    done = bench()
    assert done.code == 2
    assert "Commands:" in done.err and "see:" not in done.err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["rnu", "smoke"], "unknown command 'rnu'; did you mean 'run'?"),
        (["reprot"], "unknown command 'reprot'; did you mean 'report'?"),
        (["xyz"], "unknown command 'xyz'; one of: accept, calibrate, check, claims, "),
        (["--verison"], "No such option '--verison'"),
        (["report"], "Missing argument 'RUN'; see: "),
        (["show", "a", "b"], "Got unexpected extra argument (b); see: "),
        (["report", "a", "--format", "yaml"], "Invalid value for '--format': 'yaml' is not one of 'csv', 'json', "),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_wrong_command_line_is_one_line(bench: Typed, arguments: list[str], said: str) -> None:
    done = bench(*arguments)
    assert (done.code, done.out) == (2, "")
    (line,) = done.err.splitlines()
    assert line.startswith(said)


def test_the_version_is_said(bench: Typed) -> None:
    done = bench("--version")
    assert done.code == 0
    assert done.out.startswith("bench ")


@pytest.fixture
def ends(bench: Typed, monkeypatch: pytest.MonkeyPatch) -> Typed:
    """The command line, whose command `list` ends as the variable ENDS says."""
    errors: dict[str, BaseException] = {
        "usage": UsageError("wrong"),
        "suite": SuiteError(["x.toml:1: one", "x.toml:2: two"]),
        "differs": NotComparable("differs"),
        "bug of ours": BenchError("cannot be"),
        "bug": ZeroDivisionError("by zero"),
        "interrupt": KeyboardInterrupt(),
        "abort": click.Abort(),
        "pipe": BrokenPipeError(32, "Broken pipe"),
    }

    @click.command("list")
    def command() -> int:
        how = os.environ["ENDS"]
        if how in errors:
            raise errors[how]
        return Exit[how]

    monkeypatch.setattr(cli.Commands, "get_command", lambda *_: command)
    # click wraps both when a pipe breaks; they must be as they were for the next test.
    monkeypatch.setattr(sys, "stdout", sys.stdout)
    monkeypatch.setattr(sys, "stderr", sys.stderr)
    return bench


@pytest.mark.parametrize("code", list(Exit), ids=lambda code: code.name)
def test_what_a_command_returns_is_the_exit_code(ends: Typed, code: Exit) -> None:
    assert ends("list", ENDS=code.name) == Done(int(code), "", "")


@pytest.mark.parametrize(
    ("how", "code", "said"),
    [
        ("usage", 2, "wrong\n"),
        ("suite", 2, "x.toml:1: one\nx.toml:2: two\n"),
        ("differs", 6, "differs\n"),
        ("bug of ours", 70, "cannot be\n"),
        ("abort", 130, "interrupted\n"),
        ("pipe", 0, ""),
    ],
)
def test_what_a_command_raises_has_its_exit_code(ends: Typed, how: str, code: int, said: str) -> None:
    assert ends("list", ENDS=how) == Done(code, "", said)


def test_a_bug_does_not_look_like_a_verdict(ends: Typed) -> None:
    done = ends("list", ENDS="bug")
    assert done.code == 70
    assert "ZeroDivisionError: by zero" in done.err
    assert done.err.splitlines()[-1] == "This is a bug in bench; please report it with the lines above."


def test_an_interrupt_is_no_bug(ends: Typed) -> None:
    done = ends("list", ENDS="interrupt")
    assert (done.code, done.err.strip()) == (130, "interrupted")


def test_python_dash_m_is_the_command() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "bench", "list", "command"],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert "  run " in done.stdout


def test_ctrl_c_before_anything_is_written(tmp_path: Path) -> None:
    """While the networks are checked there is nothing to resume."""
    project = Project(tmp_path)
    running = project.start("run", "tiny")
    assert running.stderr
    assert running.stderr.readline().startswith("profile ")  # Python answers Ctrl-C itself until a job may be running
    running.send_signal(signal.SIGINT)
    _, err = running.communicate(timeout=30)
    assert running.returncode == 130
    assert err.strip() == "interrupted"
    assert project.runs == []


@pytest.mark.parametrize(("command", "code"), [("report", 0), ("show", 0), ("gate", 130), ("run", 130)])
def test_nobody_reads_on(bench: Typed, command: str, code: int) -> None:
    """click ends with SystemExit(1) at a broken pipe: what only prints is done, what measures is not."""

    def broken(**_: object) -> None:
        raise SystemExit(1)

    bench.monkeypatch.setattr(cli, "bench", broken)
    assert bench(command).code == code
