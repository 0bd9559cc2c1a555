"""`bench gate` of a stored run against an earlier one: real commands, workers whose figures the tree writes down."""

import json
import sys

import pytest
from command_line import Project, Typed
from test_gate import SUITE, WORKER, Judged, figures

from bench.engines import local


@pytest.fixture
def study(project: Project, bench: Typed) -> Project:
    """A project whose runs have three rounds; its figures are those of `archs/scripted.py`."""
    bench.monkeypatch.setattr(local, "COMMAND", (sys.executable, str(WORKER)))
    project.suite(SUITE.replace("rounds   = 1", "rounds   = 3"))
    project.write("archs/scripted.py", figures())
    return project


def measured(bench: Typed, study: Project, *options: str) -> str:
    """The name of a new run."""
    assert bench("run", "tiny", "--format", "csv", *options).code == 0
    return max(study.results.glob("tiny/*.jsonl"), key=lambda path: path.stat().st_mtime_ns).stem


def judged(bench: Typed, run: str, *options: str, code: int) -> Judged:
    done = bench("gate", run, "--format", "json", *options)
    assert done.code == code, done.err
    return Judged(json.loads(done.out))


def test_the_name_of_a_run_is_enough(study: Project, bench: Typed) -> None:
    first = measured(bench, study, "--measure", "params")
    study.write("archs/scripted.py", figures(b={"params": 8}))
    second = measured(bench, study, "--measure", "params")
    for base in (first, f"results/tiny/{first}.jsonl"):
        found = judged(bench, second, "--baseline", base, "--measure", "params", "--strict", code=1)
        assert found.of("b/params")["verdict"] == "REGRESSED" and found["strict"]
    done = bench("gate", second, "--baseline", "nofile")
    assert done.code == 2
    assert done.said == [f"--baseline: no run 'nofile' under results/; one of: {first}, {second}, tiny"]
    done = bench("gate", second, "--baseline", "no.jsonl")
    assert (done.code, done.said[0].partition(";")[0]) == (2, "--baseline: no.jsonl: no such file")


def test_a_field_that_may_differ_is_noted(study: Project, bench: Typed) -> None:
    first, second = (measured(bench, study, "--measure", "params") for _ in range(2))
    typed = ("--baseline", first, "--measure", "params", "--allow-mismatch")
    assert "--allow-mismatch torch: the same in both runs" in judged(bench, second, *typed, "torch", code=0)["notes"]
    done = bench("gate", second, *typed, "host")
    assert done.code == 2 and done.said[0].startswith(
        "--allow-mismatch host: no field of these machines; one of: cores"
    )


def test_what_looks_worse_is_measured_again_and_kept(study: Project, bench: Typed) -> None:
    first = measured(bench, study, "--mode", "fast")
    study.write("archs/scripted.py", figures(b={"latency": 0.026, "memory": 1500}))
    second = measured(bench, study, "--mode", "fast")
    found = judged(bench, second, "--baseline", first, code=1)
    assert {name: of for name, of in found.verdicts().items() if of != "PASS"} == {
        "b/fast/latency": "REGRESSED",
        "b/fast/peak_memory": "REGRESSED",
    }
    assert {found.of(name)["reason"] for name in ("b/fast/latency", "b/fast/peak_memory")} == {
        "confirmed by 5 fresh processes"
    }
    assert found.of("b/fast/latency")["detectable"] > 0.05
    (kept,) = study.results.glob("tiny/*-gate/judgement.json")
    assert json.loads(kept.read_text())["exit_code"] == 1
    study.write("archs/scripted.py", figures(b={"latency": 0.026, "memory": 1500, "do": "fail"}))
    unknown = judged(bench, second, "--baseline", first, code=4)
    assert unknown.of("b/fast/latency")["reason"] == "it looks worse, and could not be measured again here"
