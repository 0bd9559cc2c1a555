"""`bench gate` against a revision: real git, real commands, workers whose figures the two trees write down."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from command_line import HEAD, PROTOCOL, Project, Typed, acts

from bench import host
from bench.commands.gate import terminable
from bench.engines import local
from bench.gate.calibration import NoiseFloor, Trials, file_of, rate, write
from bench.record import Job, Record

WORKER = Path(__file__).parent / "gate_worker.py"

GATE = """
[gate]
params      = "exact"
latency     = "5%"
peak_memory = "1%"
"""

RATES = ("gates", "cells", "untolerated", "found", "inconclusive", "missed")

FAST = '\n[modes.fast]\namp = "bfloat16"\n'

SUITE = (
    HEAD.replace('"params", "infer"', '"params", "infer", "memory"') + FAST + acts(a="", b="", c="") + PROTOCOL + GATE
)


def figures(**variants: dict[str, Any]) -> str:
    return (
        f'"""A network."""\n\nFIGURES = {variants!r}\n\n\ndef build(do: str = "") -> None:\n    """Never called."""\n'
    )


def git(folder: Path, *arguments: str) -> str:
    who = ["-c", "user.name=A", "-c", "user.email=a@example.org"]
    command = ["git", "-C", str(folder), *who, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


@pytest.fixture
def repository(project: Project, bench: Typed) -> Project:
    """The project as a git repository with one commit, in which nothing differs from it."""
    bench.monkeypatch.setattr(local, "COMMAND", (sys.executable, str(WORKER)))
    project.suite(SUITE)
    project.write("archs/scripted.py", figures())
    project.write(".gitignore", "results/\nstage/\n")
    git(project.folder, "init", "-q", "-b", "main")
    git(project.folder, "add", ".")
    git(project.folder, "commit", "-qm", "one")
    return project


class Judged(dict[str, Any]):
    """A judgement's JSON with the command's exit code."""

    def verdicts(self) -> dict[str, str]:
        return {cell(found): found["verdict"] for found in self["findings"]}

    def of(self, name: str) -> dict[str, Any]:
        (found,) = [found for found in self["findings"] if cell(found) == name]
        return dict(found)


def cell(found: dict[str, Any]) -> str:
    return "/".join(filter(None, (found["variant"], found.get("mode", ""), found["quantity"]["name"])))


def gate(bench: Typed, *arguments: str, code: int) -> Judged:
    done = bench("gate", "tiny", "--against", "HEAD", "--format", "json", *arguments)
    assert done.code == code, done.err
    return Judged(json.loads(done.out))


def test_nothing_changed_is_not_measured_and_passes(repository: Project, bench: Typed) -> None:
    found = gate(bench, code=0)
    assert set(found.verdicts().values()) == {"PASS"} and len(found["findings"]) == 3 * (1 + 2 * 2 + 1)
    assert all(one["reason"].startswith("unchanged") for one in found["findings"])
    assert not repository.runs


def test_unchanged_cells_are_measured_where_that_is_asked_for(repository: Project, bench: Typed) -> None:
    found = gate(bench, "--all", code=0)
    assert set(found.verdicts().values()) == {"PASS"}
    assert found.of("a/fast/latency")["pairs"] == 5
    base, head = repository.runs
    assert (base.name, head.name) == ("base.jsonl", "head.jsonl")
    assert kept(repository)["exit_code"] == 0


def kept(repository: Project) -> dict[str, Any]:
    """The judgement that lies beside the records."""
    (path,) = repository.results.glob("tiny/*-gate/judgement.json")
    return dict(json.loads(path.read_text()))


def test_one_slower_variant_is_found_and_no_other_is_measured(repository: Project, bench: Typed) -> None:
    repository.write("archs/scripted.py", figures(b={"latency": 0.026}))
    found = gate(bench, code=1)
    regressed = [name for name, verdict in found.verdicts().items() if verdict == "REGRESSED"]
    assert sorted(regressed) == ["b/fast/latency", "b/fp32/latency"]
    change = found.of("b/fast/latency")["change"]
    assert change[1] < 1.3 < change[2]
    assert found.of("a/fast/latency")["reason"].startswith("unchanged")
    assert found.of("b/fast/latency")["line"] == (repository.folder / "suites/tiny.toml").read_text()[
        : SUITE.index('name = "b"')
    ].count("\n")
    assert "uncommitted changes" in found["head"]


def test_a_new_variant_alone_is_a_note(repository: Project, bench: Typed) -> None:
    repository.suite(SUITE + acts(d=""))
    found = gate(bench, "--variant", "d", code=4)
    assert found["findings"] == [] and "new, so that there is nothing to compare with: d fast" in found["notes"]


def test_a_rule_without_a_measure(repository: Project, bench: Typed) -> None:
    repository.suite(SUITE + 'energy = "5%"\n')
    done = bench("gate", "tiny", "--against", "HEAD")
    assert done.code == 2 and "gate.energy: no measure gives this figure" in done.said[-1]


def test_fifty_times_as_fast_is_suspicious(repository: Project, bench: Typed) -> None:
    repository.write("archs/scripted.py", figures(b={"latency": 0.0004}))
    found = gate(bench, "--mode", "fast", "--measure", "infer", code=1).of("b/fast/latency")
    assert found["reason"].startswith("50 times as fast: suspicious")


def test_a_training_that_cannot_be_known_as_unchanged_is_measured_and_said(repository: Project, bench: Typed) -> None:
    repository.write("archs/scripted.py", figures(b={"untrained": "TypeError: targets should be passed"}))
    git(repository.folder, "commit", "-qam", "two")
    found = gate(bench, code=0)
    (note,) = [note for note in found["notes"] if note.startswith("b does not run in train mode")]
    assert note.endswith("(TypeError: targets should be passed)")
    unmeasured = [cell(one) for one in found["findings"] if one.get("reason", "").startswith("unchanged")]
    assert len(unmeasured) == len(found["findings"]) - 1 and found["findings"] != []


def test_a_faster_one_passes(repository: Project, bench: Typed) -> None:
    repository.write("archs/scripted.py", figures(b={"latency": 0.015}))
    assert gate(bench, code=0).of("b/fast/latency")["reason"] == "improved"


@pytest.mark.parametrize(
    ("changes", "name", "reason"),
    [
        ({"params": 8}, "b/params", ""),
        ({"params": 0}, "b/params", "fell by 100 %: suspicious"),
        ({"memory": 1200}, "b/fast/peak_memory", ""),
        ({"memory": 10}, "b/fast/peak_memory", "fell by 99 %: suspicious"),
    ],
    ids=["one more", "none left", "memory", "less memory"],
)
def test_counts_and_peaks(repository: Project, bench: Typed, changes: dict[str, Any], name: str, reason: str) -> None:
    repository.write("archs/scripted.py", figures(b=changes))
    found = gate(bench, "--mode", "fast", code=1)
    assert found.of(name)["verdict"] == "REGRESSED"
    assert reason in found.of(name).get("reason", "")
    assert found.of("a/params")["verdict"] == found.of("b/fast/latency")["verdict"] == "PASS"


@pytest.mark.parametrize(
    ("do", "reason"),
    [
        ("fail", "failed: ValueError: the middle layer is missing (head)"),
        ("no figure", "failed: latency: not a finite number (nan) (head)"),
        ("mismatch", "failed: mismatch: the mode changes the answer beyond its tolerance"),
        ("broken", "failed: head's network cannot be built: ValueError"),
    ],
)
def test_what_gives_no_figure_is_never_green(repository: Project, bench: Typed, do: str, reason: str) -> None:
    repository.write("archs/scripted.py", figures(b={"do": do}))
    found = gate(bench, code=5)
    assert found.of("b/fast/latency")["verdict"] == "NOT MEASURED"
    assert found.of("b/fast/latency")["reason"].startswith(reason)
    assert found.of("a/fast/latency")["verdict"] == "PASS"


def test_code_that_changes_under_the_measurement(repository: Project, bench: Typed) -> None:
    repository.write("archs/scripted.py", figures(b={"latency": 0.026, "do": "change"}))
    found = gate(bench, "--mode", "fast", "--measure", "infer", code=5)
    assert found.of("b/fast/latency")["reason"] == "failed: the working tree changed while it was measured"


@pytest.mark.parametrize(("base", "code"), [("", 5), ("fail", 0)])
def test_what_is_optional_may_be_absent_where_the_base_lacks_it_too(
    repository: Project, bench: Typed, base: str, code: int
) -> None:
    repository.suite(SUITE.replace("[modes.fast]", "[modes.fast]\noptional = true"))
    repository.write("archs/scripted.py", figures(b={"do": base}))
    git(repository.folder, "commit", "-qam", "two")
    repository.write("archs/scripted.py", figures(b={"do": "fail", "params": 7.0}))
    found = gate(bench, "--all", "--mode", "fast", "--variant", "b", code=code)
    assert found.of("b/fast/latency")["verdict"] == "NOT MEASURED"


def test_a_variant_that_is_gone_is_not_green_and_a_new_one_is_said(repository: Project, bench: Typed) -> None:
    repository.suite(SUITE.replace('name = "b"', 'name = "d"'))
    found = gate(bench, code=4)
    assert found.of("b/fast/latency")["reason"] == "gone: it is in the base only"
    assert "new, so that there is nothing to compare with: d fast" in found["notes"]


def test_another_protocol_is_not_comparable(repository: Project, bench: Typed) -> None:
    repository.suite(SUITE.replace("size  = 16", "size  = 32"))
    found = gate(bench, code=6)
    assert set(found.verdicts().values()) == {"NOT COMPARABLE"}
    assert found.of("a/fast/latency")["reason"] == "data.size 32 instead of 16"


def test_code_of_another_tree_is_not_judged(repository: Project, bench: Typed) -> None:
    elsewhere = repository.write("elsewhere.py", "")
    repository.write("archs/scripted.py", figures(b={"module": str(elsewhere)}))
    git(repository.folder, "commit", "-qam", "two")
    repository.write("archs/scripted.py", figures(b={"module": str(elsewhere), "latency": 1}))
    found = gate(bench, code=5)
    assert found.of("b/fast/latency")["verdict"] == "NOT MEASURED"
    assert f"was imported from {elsewhere}, not from its own tree" in found.of("b/fast/latency")["reason"]


def test_without_time_nothing_is_decided(repository: Project, bench: Typed) -> None:
    repository.write("archs/scripted.py", figures(b={"latency": 0.026}))
    found = gate(bench, "--minutes", "0", code=4)
    assert "the budget of 0 min was spent in pair 1" in found["notes"]
    assert found.of("b/fast/latency")["verdict"] == "NOT MEASURED"


def test_noise_is_inconclusive_and_fails_where_that_is_asked_for(repository: Project, bench: Typed) -> None:
    repository.write("archs/scripted.py", figures(b={"latency": 0.0209, "noise": 0.03}))
    found = gate(bench, "--strict", "--mode", "fp32", code=3)
    assert found.of("b/fp32/latency")["verdict"] == "INCONCLUSIVE"
    assert found.of("b/fp32/latency")["pairs"] == 40
    assert found.of("b/fp32/latency")["detectable"] > 0.05
    assert (kept(repository)["exit_code"], kept(repository)["strict"]) == (3, True)


def test_what_was_accepted_passes_and_no_other_change_does(repository: Project, bench: Typed) -> None:
    repository.write("archs/scripted.py", figures(b={"latency": 0.026}))
    gate(bench, "--mode", "fast", code=1)
    done = bench("accept", "b/fast/latency", "--reason", "wider on purpose")
    assert done.code == 0, done.err
    found = gate(bench, "--mode", "fast", code=0)
    assert found.of("b/fast/latency")["reason"] == "accepted: wider on purpose"
    repository.write("archs/scripted.py", figures(b={"latency": 0.03}))
    assert gate(bench, "--mode", "fast", code=1).of("b/fast/latency")["verdict"] == "REGRESSED"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("gate tiny", "write one of --against REV and --baseline RUN"),
        ("gate tiny --against HEAD --baseline x.jsonl", "write one of --against REV and --baseline RUN"),
        ("gate tiny --against nowhere", "--against nowhere: no such revision in "),
        ("gate tini --against HEAD", "did you mean 'tiny'?"),
        ("gate tiny --against HEAD --measure train_time", "has no rule about it; it has about: infer, memory, params"),
        ("gate tiny --against HEAD --measure memry", "unknown measure 'memry'; did you mean 'memory'?"),
        ("gate tiny --against HEAD --variant bb", "unknown variant 'bb'; "),
        ("gate tiny --against HEAD --mode fsat", "unknown mode 'fsat'; did you mean 'fast'?"),
        ("gate tiny --against HEAD --output nowhere/gate.xml", "--output nowhere/gate.xml: cannot write there"),
        ("gate tiny --against HEAD --output x --format github", "--output: GitHub reads annotations in the log only"),
        ("gate tiny --against HEAD --allow-mismatch torch", "--allow-mismatch: --against measures both sides on this"),
        ("gate tiny --baseline x.jsonl", "no run 'tiny' under results/"),
        ("gate tiny --baseline x.jsonl --mode fast", "--mode: with --baseline the stored runs are judged as they are"),
    ],
)
def test_a_fault_is_one_line(repository: Project, bench: Typed, arguments: str, said: str) -> None:
    done = bench(*arguments.split())
    assert (done.code, done.out) == (2, "")
    line = done.said[-1]
    assert len(done.said) == 1
    assert said in line


EXACT = 'latency = "exact"'


@pytest.mark.parametrize(
    ("text", "profile"),
    [
        (SUITE.replace('latency     = "5%"', EXACT), []),
        (f"{SUITE}\n[profiles.quick.gate]\n{EXACT}\n", ["--profile", "quick"]),
    ],
    ids=["suite", "profile"],
)
def test_a_rule_that_no_figure_can_meet_has_its_line(
    repository: Project, bench: Typed, text: str, profile: list[str]
) -> None:
    repository.suite(text)
    line = text[: text.index(EXACT)].count("\n") + 1
    done = bench("gate", "tiny", "--against", "HEAD", *profile)
    said = f'suites/tiny.toml:{line}: gate.latency = "exact": no time is exact; write a percentage, such as "3%"'
    assert done.code == 2 and len(done.said) == 1 and done.said[0].endswith(said)


def test_a_gate_begins_with_what_a_calibration_says(repository: Project, bench: Typed) -> None:
    repository.write("archs/scripted.py", figures(b={"latency": 0.026}))
    day, trials = "2026-01-02T03:04:05+00:00", Trials(pairs=5, **dict.fromkeys(RATES, rate(0, 1)))
    said: dict[str, Any] = {"suite": "tiny", "profile": "", "protocol": {}, "newest": day, "pairs": 5, "cells": {}}
    floor = NoiseFloor(machine=host.machine(), tolerance=0.05, slowdown=0.1, trials=[trials], **said)
    write(floor, repository.results)
    typed = ("gate", "tiny", "--against", "HEAD", "--mode", "fast", "--measure", "infer")
    done = bench(*typed)
    assert done.code == 1
    (line,) = [line for line in done.said if line.startswith("calibrated")]
    assert line.startswith("calibrated 2026-01-02: NO SIGN AGAINST THE GATE: 0 of 1 gates of 5 pairs raised")
    file_of(repository.results, "tiny", host.machine()["id"]).write_text("{")
    assert any("not a noise floor" in line for line in bench(*typed).said)


def test_outside_a_checkout(project: Project, bench: Typed) -> None:
    bench.monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(project.folder.parent))
    done = bench("gate", "tiny", "--against", "HEAD")
    assert done.code == 2 and "not in a git checkout" in done.said[0]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=lambda one: one.name)
def test_what_was_measured_is_judged_where_somebody_stops_it(
    repository: Project, bench: Typed, number: signal.Signals
) -> None:
    execute, jobs = local.execute, []

    def stopped(asked: Sequence[Job]) -> Iterator[Record]:
        jobs.extend(asked)
        if len(jobs) > 20:
            signal.raise_signal(number)
        return execute(asked)

    bench.monkeypatch.setattr(local, "execute", stopped)
    repository.write("archs/scripted.py", figures(b={"latency": 0.026, "params": 8}))
    found = gate(bench, code=130)
    assert "it was interrupted" in found["notes"]
    assert found.of("b/params")["verdict"] == "REGRESSED"
    assert found.of("b/fast/latency")["verdict"] == "NOT MEASURED"
    assert kept(repository)["exit_code"] == 130
    assert len(git(repository.folder, "worktree", "list").splitlines()) == 1


def test_a_gate_that_is_to_outlive_its_terminal_does(repository: Project, bench: Typed) -> None:
    former = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with terminable():
            signal.raise_signal(signal.SIGHUP)
            with pytest.raises(KeyboardInterrupt):
                signal.raise_signal(signal.SIGTERM)
        assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, former)


def test_the_worktree_is_gone_afterwards(repository: Project, bench: Typed) -> None:
    gate(bench, code=0)
    assert len(git(repository.folder, "worktree", "list").splitlines()) == 1


def test_a_suite_that_the_base_lacks(repository: Project, bench: Typed) -> None:
    repository.suite(SUITE, "other")
    done = bench("gate", "other", "--against", "HEAD")
    assert done.code == 6 and "not in the revision that it is gated against" in done.said[-1]


def test_the_page_for_people_and_the_file_for_machines(repository: Project, bench: Typed) -> None:
    repository.write("archs/scripted.py", figures(b={"latency": 0.026}))
    done = bench("gate", "tiny", "--against", "HEAD", "--format", "junit", "--output", "gate.xml")
    assert done.code == 1
    assert done.out.startswith("REGRESSED: 2 of 18 gated figures")
    assert (repository.folder / "gate.xml").read_text().startswith("<?xml")
