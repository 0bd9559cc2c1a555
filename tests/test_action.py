"""The composite action and the workflows in docs/ci.md: what they type exists, and inputs are never scripts."""

import os
import re
import shlex
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import click
import pytest
import yaml
from command_line import ROOT
from judgements import everything, judgement, passes
from test_docs import fenced

from bench import plugins
from bench.gate import VERDICTS, exit_code
from bench.gate.page import FORMATS, show

ACTION: dict[str, Any] = yaml.safe_load((ROOT / "action.yml").read_text(encoding="utf-8"))
INPUTS: dict[str, dict[str, Any]] = ACTION["inputs"]
(STEP,) = ACTION["runs"]["steps"]

CI = (ROOT / "docs" / "ci.md").read_text(encoding="utf-8")
BLOCKS = [yaml.safe_load(block) for block in fenced(CI, "yaml")]
WORKFLOWS = [block for block in BLOCKS if "jobs" in block]
JOBS = {name: job for block in BLOCKS for name, job in block.get("jobs", block).items()}
STEPS = [step for job in JOBS.values() for step in job["steps"]]

PROSE = re.sub(r"^```.*?^```$", "", CI, flags=re.M | re.S)
LINES = [line for text in (*fenced(CI, "sh"), *(step.get("run", "") for step in STEPS)) for line in text.splitlines()]
QUOTED = [" ".join(text.split()) for text in re.findall(r"`([^`]+)`", PROSE)]
TYPED = sorted({line.strip() for line in (*LINES, *QUOTED) if line.strip().startswith("bench ")})
"""Every command of bench in the document."""


def command(name: str) -> click.Command:
    found: click.Command = getattr(import_module(f"bench.commands.{name}"), name)
    return found


def options(name: str) -> set[str]:
    return {option for parameter in command(name).params for option in parameter.opts if option.startswith("--")}


def test_the_action_is_one_step_that_installs_nothing() -> None:
    assert ACTION["runs"]["using"] == "composite"
    assert STEP["shell"] == "bash"
    assert "install" not in re.sub(r"echo .*|command -v.*", "", STEP["run"])


def test_no_input_is_put_into_a_script() -> None:
    for step in (STEP, *STEPS):
        assert "${{" not in step.get("run", "")
    event = {"EVENT": "event_name", "BEFORE": "event.before", "PROPOSED": "event.pull_request.head.sha"}
    facts = {name: f"${{{{ github.{place} }}}}" for name, place in event.items()}
    assert STEP["env"] == {name.upper(): f"${{{{ inputs.{name} }}}}" for name in INPUTS} | facts


def test_inputs_are_described_and_have_defaults_or_are_required() -> None:
    for name, about in INPUTS.items():
        assert about["description"].endswith("."), name
        assert about.get("required") is True or isinstance(about["default"], str), name
    (formats,) = re.findall(r"One of ([a-z, ]+)\.", INPUTS["format"]["description"])
    assert tuple(formats.split(", ")) == FORMATS


def test_options_that_the_action_types_exist() -> None:
    typed = set(re.findall(r"--[a-z-]+", re.sub(r"git .*", "", STEP["run"])))
    assert {"--against", "--format", "--results", "--minutes", "--measure", "--strict", "--output"} <= typed
    assert typed <= options("gate")


ECHO = """#!/usr/bin/env bash
printf '%s\\n' "$@" > "$CALLED"
exit 3
"""


def run(
    tmp_path: Path, installed: bool = True, event: dict[str, str] | None = None, **inputs: str
) -> tuple[subprocess.CompletedProcess[str], list[str]]:
    """The action's step as a runner runs it, with a `bench` that writes down what it was called with."""
    programs = tmp_path / "programs"
    programs.mkdir(parents=True)
    if installed:
        (programs / "bench").write_text(ECHO, encoding="utf-8")
        (programs / "bench").chmod(0o755)
    script = tmp_path / "script.sh"
    script.write_text(STEP["run"], encoding="utf-8")
    given = {name: about.get("default", "") for name, about in INPUTS.items()} | {"against": "base"} | inputs
    facts = {"EVENT": "push", "BEFORE": "", "PROPOSED": ""} | (event or {})
    variables = {name.upper(): value for name, value in given.items()} | facts | {"CALLED": str(tmp_path / "called")}
    path = f"{programs}{os.pathsep}/usr/bin{os.pathsep}/bin"
    done = subprocess.run(
        ["bash", "--noprofile", "--norc", "-eo", "pipefail", str(script)],
        env={"PATH": path, **variables},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    called = tmp_path / "called"
    return done, called.read_text(encoding="utf-8").splitlines() if called.exists() else []


USUAL = ["gate", "--against", "base", "--format", "github", "--results", "results"]


@pytest.mark.parametrize(
    ("inputs", "called"),
    [
        ({}, []),
        ({"profile": "gpu", "minutes": "30"}, ["--profile", "gpu", "--minutes", "30"]),
        (
            {"measures": "params flops\n outputs\n"},
            ["--measure", "params", "--measure", "flops", "--measure", "outputs"],
        ),
        ({"measures": "*"}, ["--measure", "*"]),
        ({"strict": "true"}, ["--strict"]),
        ({"output": "a file.xml", "format": "junit"}, ["--output", "a file.xml"]),
        ({"profile": "$(touch oops); `touch oops`"}, ["--profile", "$(touch oops); `touch oops`"]),
    ],
    ids=lambda value: str(value)[:40],
)
def test_the_action_types_what_its_inputs_say(tmp_path: Path, inputs: dict[str, str], called: list[str]) -> None:
    done, words = run(tmp_path, suite="--help me.toml", **inputs)
    usual = [inputs.get("format", word) if word == "github" else word for word in USUAL]
    assert words == [*usual, *called, "--", "--help me.toml"]
    assert done.returncode == 3, "the exit code of the gate is that of the step"
    assert not (tmp_path / "oops").exists()


def git(folder: Path, *arguments: str) -> str:
    who = ["-c", "user.name=A", "-c", "user.email=a@example.org"]
    done = subprocess.run(["git", "-C", str(folder), *who, *arguments], check=True, capture_output=True, text=True)
    return done.stdout.strip()


@pytest.fixture
def proposed(tmp_path: Path) -> str:
    """A repository with a pull request of two commits, its merge checked out as actions/checkout does: its last one."""
    git(tmp_path, "init", "-q", "-b", "main")
    for arguments in (["-B", "main"], ["-b", "change"], ["change"], ["main"]):
        git(tmp_path, "checkout", "-q", *arguments)
        git(tmp_path, "commit", "-q", "--allow-empty", "-m", "more")
    git(tmp_path, "checkout", "-q", "--detach", "main")
    git(tmp_path, "merge", "-q", "--no-ff", "-m", "merge", "change")
    return git(tmp_path, "rev-parse", "change")


def test_the_base_of_a_pull_request_is_what_it_is_merged_into(tmp_path: Path, proposed: str) -> None:
    done, words = run(tmp_path, suite="s.toml", against="", event={"EVENT": "pull_request", "PROPOSED": proposed})
    assert words[:3] == ["gate", "--against", "HEAD^1"], done.stdout
    assert git(tmp_path, "rev-parse", "HEAD^1") == git(tmp_path, "rev-parse", "main")


@pytest.mark.parametrize("merges", [False, True], ids=["plain", "a merge of the change's own"])
def test_another_commit_than_the_merge_of_a_pull_request_has_no_base(
    tmp_path: Path, proposed: str, merges: bool
) -> None:
    """Its parent has a part of the change in it, which would not be seen."""
    git(tmp_path, "checkout", "-q", "change")
    if merges:
        git(tmp_path, "merge", "-q", "-m", "catch up", "main")
    event = {"EVENT": "pull_request", "PROPOSED": git(tmp_path, "rev-parse", "HEAD")}
    done, words = run(tmp_path, suite="s.toml", against="", event=event)
    assert (done.returncode, words, done.stdout.count("\n")) == (2, [], 1)
    assert done.stdout.startswith("::error title=nothing to compare with::HEAD is not the merge of this pull request")
    assert "check out without ref and with fetch-depth 0, or set the input against" in done.stdout
    _, words = run(tmp_path / "again", suite="s.toml", against="main", event=event)
    assert words[:3] == ["gate", "--against", "main"]


def test_the_base_of_a_push_is_what_was_there_before(tmp_path: Path) -> None:
    _, words = run(tmp_path, suite="s.toml", against="", event={"BEFORE": "1234abc"})
    assert words[:3] == ["gate", "--against", "1234abc"]


@pytest.mark.parametrize("event", ["pull_request_target", "schedule", "workflow_dispatch"])
def test_other_events_have_no_base_of_their_own(tmp_path: Path, event: str) -> None:
    done, words = run(tmp_path, suite="s.toml", against="", event={"EVENT": event, "BEFORE": "1234abc"})
    assert (done.returncode, words) == (2, [])
    assert done.stdout.startswith("::error title=nothing to compare with::this event has no base")


@pytest.mark.parametrize(
    ("inputs", "said"),
    [
        ({"against": ""}, "::error title=nothing to compare with::"),
        ({"strict": "yes"}, "::error title=input strict::it is 'yes'; write true or false"),
    ],
)
def test_wrong_inputs_of_the_action_are_one_annotation(tmp_path: Path, inputs: dict[str, str], said: str) -> None:
    done, words = run(tmp_path, suite="s.toml", **inputs)
    assert (done.returncode, words, done.stderr) == (2, [], "")
    assert done.stdout.startswith(said) and done.stdout.count("\n") == 1


def test_the_action_says_that_bench_must_be_installed_first(tmp_path: Path) -> None:
    done, _ = run(tmp_path, installed=False, suite="s.toml")
    assert done.returncode == 2
    assert done.stdout.startswith("::error title=bench is not installed::install it")


def test_what_the_action_types_is_understood(tmp_path: Path) -> None:
    _, words = run(tmp_path, suite="s.toml", profile="gpu", measures="params flops", minutes="5", strict="true")
    asked = command("gate").make_context("gate", words[1:]).params
    assert (asked["suite"], asked["against"], asked["strict"]) == ("s.toml", "base", True)
    assert list(asked["measures"]) == ["params", "flops"]


def test_the_document_shows_every_lane() -> None:
    assert [*JOBS] == ["time", "counts", "generated", "comment"]
    assert [list(block["jobs"]) for block in WORKFLOWS] == [["time"], ["comment"]], "the others are further jobs"
    assert any(line.startswith("bench accept") for line in TYPED)
    assert "bench leaderboard --check" in TYPED
    assert any("--against main --measure params --measure flops --measure outputs" in line for line in TYPED)


@pytest.mark.parametrize("line", TYPED)
def test_commands_and_options_in_the_document_exist(line: str) -> None:
    _, name, *words = shlex.split(line)
    assert name in plugins.names("command")
    assert {word for word in words if word.startswith("--")} <= options(name)


def test_workflows_in_the_document_set_inputs_that_the_action_has() -> None:
    used = [step["with"] for step in STEPS if step.get("uses", "").partition("@")[0].endswith("/archbench")]
    assert len(used) == 2
    for given in used:
        assert set(given) <= set(INPUTS)
        assert {name for name, about in INPUTS.items() if about.get("required")} <= set(given)
        assert set(given.get("measures", "").split()) <= set(plugins.names("measure"))
        assert (ROOT / given["suite"]).is_file()


def test_bench_is_installed_from_a_pinned_commit() -> None:
    """It is in no index; a name that anybody may take there would be run."""
    commands = [step["run"].replace("\\\n", "") for step in STEPS if "pip install" in step.get("run", "")]
    for script in commands:
        (line,) = [line for line in script.splitlines() if "archbench" in line]
        assert '"git+https://github.com/ORGANISATION/archbench@COMMIT"' in line
    assert len(commands) == len(JOBS)
    assert "-c constraints.txt" in commands[list(JOBS).index("generated")], "charts are compared byte by byte"


def test_workflows_ask_for_no_more_than_they_need() -> None:
    first, comment = WORKFLOWS
    assert first["permissions"] == {"contents": "read"}
    assert comment["permissions"] == {"actions": "read", "pull-requests": "write"}
    assert [step for step in comment["jobs"]["comment"]["steps"] if "checkout" in step.get("uses", "")] == []
    uploaded = [step for step in STEPS if "upload-artifact" in step.get("uses", "")]
    assert uploaded and all(step["if"] == "always()" for step in uploaded), "a gate that fails is the one to look at"


@pytest.mark.parametrize("verdict", VERDICTS)
def test_the_document_has_the_exit_code_of_each_verdict(verdict: str) -> None:
    (row,) = [line for line in CI.splitlines() if line.startswith(f"| {verdict} |")]
    one = [finding for finding in everything().findings if finding.verdict == verdict][:1] or passes(1)
    plain = [finding for finding in one if not finding.reason.startswith("failed")] or one
    code = int(exit_code(judgement(*plain)))
    assert str(code) in row.split("|")[2]
    if verdict == "INCONCLUSIVE":
        assert f"{int(exit_code(judgement(*one, strict=True)))} with `--strict`" in row


def test_a_comment_needs_no_more_than_its_workflow_installs(tmp_path: Path) -> None:
    """torch and the like are heavy, and the workflow that comments has none of it."""
    path = tmp_path / "judgement.json"
    path.write_text(show(everything(), "json"), encoding="utf-8")
    (script,) = [step["run"] for step in STEPS if "--no-deps" in step.get("run", "")]
    installed = set(script.splitlines()[0].removeprefix("pip install ").split())
    code = (
        "import sys; from bench.gate.page.__main__ import main; "
        f"main([{str(path)!r}, 'markdown'], standalone_mode=False); "
        "print(*{name.partition('.')[0] for name in sys.modules} - set(sys.stdlib_module_names), file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-S", "-c", SITE + code], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    loaded = set(done.stderr.split()) - {"__main__", "bench", "typing_extensions"}
    assert loaded <= installed | {"wcwidth"}, "tabulate's own dependency"


SITE = f"import sys; sys.path[:0] = [{str(ROOT)!r}, {str(Path(yaml.__file__).parent.parent)!r}]; "
"""Python without what a site's .pth files import."""


def test_pages_of_the_document_can_be_made_again() -> None:
    typed = re.findall(r"python -m bench\.gate\.page \S+ ([a-z]+)(?: (--[a-z]+))?", CI)
    assert {form for form, _ in typed} <= set(FORMATS) and len(typed) == 3
    from bench.gate.page.__main__ import main

    known = {option for parameter in main.params for option in parameter.opts}
    assert {option for _, option in typed if option} <= known
