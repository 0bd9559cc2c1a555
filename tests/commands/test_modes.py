"""`bench modes` through the command line: the ladder, its records, what it refuses and how it ends."""

import json
import signal
from pathlib import Path
from typing import Any

import pytest
from command_line import HEAD, PROTOCOL, Project, Typed, acts, files_below, hourglass, until

from bench import store
from bench.ladder.combinations import combinations
from bench.table.cells import TIMES

CLIMB = HEAD + acts(a="climb", b="climb and fail", c="be wrong") + PROTOCOL

OWN = '''"""A network of one's own."""

from torch import nn


def build():
    """Two convolutions."""
    return nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 2, 3, padding=1))
'''

SOME = ("--mode", "channels_last", "--mode", "amp", "--mode", "channels_last+amp", "--mode", "fold")


@pytest.fixture
def scripted(project: Project, bench: Typed) -> Typed:
    """The command line in a project whose suite is played by scripted workers."""
    project.suite(CLIMB)
    return bench


def rungs(bench: Typed, *arguments: str) -> dict[str, Any]:
    """Mode -> its rung, in the ladder's order."""
    done = bench("modes", "tiny", *arguments, "--format", "json")
    return {rung["mode"]: rung for rung in json.loads(done.out)["rungs"]}


def test_a_ladder_of_a_suites_network(project: Project, scripted: Typed) -> None:
    done = scripted("modes", "tiny", "--variant", "a", "--rounds", "3", *SOME)
    assert done.code == 5, "a mode changed the answer, as for run"
    (path,) = project.runs
    said = done.err.splitlines()
    assert said[0] == "profile none on cpu: as written"
    assert said[1].startswith("plan: 15 jobs (5 infer in 3 rounds), seed 0, ")
    assert said[2] == f"writing results/tiny-modes/{path.name}"
    assert said[-1] == f"kept in results/tiny-modes/{path.name}; show it again with: bench modes {said[2].split()[1]}"
    lines = done.out.splitlines()
    assert lines[0] == f"How fast can a go? 1x3x16x16 on cpu: {TIMES}2.00 by channels_last"
    rows = [line.split()[:2] for line in lines if line.startswith(("1 ", "2 ", "3 ", "- "))]
    assert rows == [["1", "channels_last"], ["2", "amp"], ["3", "fp32"], ["-", "channels_last+amp"]]
    assert "Unavailable here: fold: no device for fold" in lines


def test_the_records_are_those_of_a_run(project: Project, scripted: Typed) -> None:
    """In rounds of shuffled order; what cannot run is asked once."""
    scripted("modes", "tiny", "--rounds", "3", *SOME)
    loaded = store.read(project.runs[0])
    assert loaded.header.suite["name"] == "tiny-modes" and loaded.header.command[:2] == ["bench", "modes"]
    assert {record.job.variant for record in loaded.records} == {"a"}, "the suite's baseline"
    turns = [(record.job.mode, record.job.round) for record in loaded.records]
    assert len(turns) == len(set(turns)) == 3 * 4 + 1
    assert [number for mode, number in turns if mode == "fold"] == [0]
    assert [number for _, number in turns] == sorted(number for _, number in turns)
    assert [mode for mode, number in turns if number == 1] != [mode for mode, number in turns if number == 2]
    assert all((project.results / "tiny-modes" / record.log).is_file() for record in loaded.records)


def test_every_mode_that_there_is_is_tried_without_a_word(project: Project, scripted: Typed) -> None:
    assert set(rungs(scripted, "--rounds", "1")) == set(combinations())
    assert {record.job.mode for record in store.read(project.runs[0]).records} == set(combinations())


def test_a_ladder_has_runs_of_its_own(project: Project, scripted: Typed) -> None:
    """Else the leaderboard and the gate of the suite would take them for theirs."""
    scripted("run", "tiny", "--variant", "a")
    scripted("modes", "tiny", "--rounds", "1", "--mode", "amp")
    assert [path.parent.name for path in project.runs] == ["tiny", "tiny-modes"]
    assert "/amp" not in scripted("report", "tiny", "--format", "csv").out
    assert scripted("report", "tiny-modes").code == 0


def test_what_cannot_run_is_optional_and_what_fails_is_not(scripted: Typed) -> None:
    right = ("--rounds", "2", "--mode", "channels_last", "--mode", "amp", "--mode", "fold")
    assert scripted("modes", "tiny", *right).code == 0
    done = scripted("modes", "tiny", "--variant", "b", *right)
    assert done.code == 5 and "Failed: amp: no graph" in done.out.splitlines()


def test_figures_of_a_ladder(scripted: Typed) -> None:
    found = rungs(scripted, "--rounds", "2", *SOME)
    assert [(name, rung["state"], rung["rank"]) for name, rung in found.items()] == [
        ("channels_last", "measured", 1),
        ("amp", "measured", 2),
        ("fp32", "measured", 3),
        ("channels_last+amp", "wrong", None),
        ("fold", "unavailable", None),
    ]
    assert found["amp"]["speedup"] == pytest.approx(2.0 / 1.5) and found["fp32"]["speedup"] == 1
    assert found["channels_last+amp"]["speedup"] is None and found["fold"]["reason"] == "no device for fold"


@pytest.mark.parametrize(("form", "begins"), [("csv", "rank,mode,"), ("markdown", "How fast"), ("json", "{")])
def test_a_ladder_is_shown_again_from_its_file(project: Project, scripted: Typed, form: str, begins: str) -> None:
    first = scripted("modes", "tiny", "--rounds", "1", *SOME, "--format", form)
    before = files_below(project.results)
    again = scripted("modes", str(project.runs[0]), "--format", form)
    assert (again.code, again.out, again.err) == (first.code, first.out, "")
    assert first.out.startswith(begins) and files_below(project.results) == before


def test_a_dry_run_prints_the_plan_and_writes_nothing(project: Project, scripted: Typed) -> None:
    done = scripted("modes", "tiny", "--dry-run", "--rounds", "2", "--mode", "amp", "--batch", "4")
    assert done.code == 0 and not project.results.exists()
    cells = sorted(line.partition("  ")[2] for line in done.out.splitlines())
    assert cells == [f"round {n}  a/{mode}/infer" for n in (1, 2) for mode in ("amp", "fp32")]


def test_a_batch_of_ones_own(project: Project, scripted: Typed) -> None:
    scripted("modes", "tiny", "--mode", "amp", "--batch", "4")
    assert {record.job.infer["batch"] for record in store.read(project.runs[0]).records} == {4}


def test_the_profile_of_the_suite(project: Project, bench: Typed) -> None:
    project.suite(CLIMB + "\n[profiles.quick]\nrounds = 2\n[profiles.other]\nrounds = 4\n")
    plans = [bench("modes", "tiny", "--dry-run", "--mode", "amp", *more) for more in ([], ["--profile", "other"])]
    assert [len(done.out.splitlines()) for done in plans] == [4, 8]
    assert plans[0].err.startswith("profile quick on cpu: no CUDA device here\n")


def test_ctrl_c_keeps_and_shows_what_there_is(project: Project) -> None:
    project.suite(HEAD + acts(a="wait") + PROTOCOL)
    running = project.start("modes", "tiny", "--mode", "amp", "--rounds", "3", scripted=True)
    until(lambda: list(project.stage.glob("*.started")))
    running.send_signal(signal.SIGINT)
    assert running.stderr
    heard = iter(running.stderr.readline, "")
    assert any("stopping after the current job" in line for line in heard)
    (project.stage / "go").touch()
    out, err = running.communicate(timeout=60)
    assert running.returncode == 130
    assert len(store.read(project.runs[0]).records) == 1
    assert out.startswith("How fast can a go?") and "Not measured: " in out
    assert "the ladder was interrupted before it" in out and "show it again with: bench modes" in err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["tiny", "--mode", "ampp"], "unknown mode 'ampp'; did you mean 'amp'?"),
        (["tiny", "--variant", "aa"], "unknown variant 'aa'; "),
        (["tinny"], "tinny: no such suite; did you mean 'tiny'?"),
        (["tiny", "--device", "tpu"], "device tpu: unknown; write cpu, cuda or cuda:N"),
        (["tiny", "--profile", "quick"], "suites/tiny.toml: unknown profile 'quick'; there are none"),
        (["tiny", "--rounds", "0"], "Invalid value for '--rounds': "),
        (["nets:build"], "nets:build: of which images? write --input 3x256x256"),
        (["stacked_hourglass"], "stacked_hourglass: of which images? write --input 3x256x256"),
        (["nets:build", "--input", "3,64,64"], "--input 3,64,64: not a shape of images; write CxHxW or BxCxHxW, "),
        (["nets:build", "--input", "8x3x64x64", "--batch", "4"], "--input 8x3x64x64 and --batch 4: two batches; "),
        (["nets:", "--input", "3x64x64"], "'nets:' names no function; write package.module:function"),
        (["nets.build", "--input", "3x64x64"], "'nets.build' names no function; write package.module:function"),
        (["stacked_hourglas", "--input", "3x64x64"], "unknown arch 'stacked_hourglas'; did you mean "),
        (["nets:build", "--input", "3x64x64", "--mode", "ampp"], "unknown mode 'ampp'; did you mean 'amp'?"),
        (
            ["nets:build", "--input", "3x64x64", "--variant", "a"],
            "--variant: --input is for a network without a suite; ",
        ),
        (["results/x.jsonl"], "results/x.jsonl: no such file; "),
        (["results/x.jsonl", "--rounds", "3"], "--rounds: a ladder's file is printed as it is; leave it out"),
    ],
)
def test_bad_input_is_one_line(project: Project, bench: Typed, arguments: list[str], said: str) -> None:
    before = files_below(project.folder)
    done = bench("modes", *arguments)
    assert (done.code, done.out) == (2, "")
    (line,) = done.said
    assert line.startswith(said)
    assert files_below(project.folder) == before


def test_which_network_is_asked_where_it_could_be_any(project: Project, bench: Typed) -> None:
    project.suite(CLIMB.replace('baseline = "a"\n', ""))
    done = bench("modes", "tiny")
    assert (done.code, done.said) == (2, ["tiny: which network? write --variant, one of: a, b, c"])


def test_a_run_of_several_networks_is_no_ladder(project: Project, scripted: Typed) -> None:
    scripted("run", "tiny", "--measure", "infer")
    done = scripted("modes", str(project.runs[0]))
    assert done.code == 2 and "no ladder, but a run of several networks; see: bench report" in done.err


def test_a_network_that_refuses_the_suites_images_is_one_line(project: Project, bench: Typed) -> None:
    project.suite(HEAD + acts(a="not fit") + PROTOCOL)
    done = bench("modes", "tiny")
    assert (done.code, done.out) == (2, "") and len(done.said) == 1 and not project.results.exists()


def test_a_real_ladder_of_two_modes(project: Project) -> None:
    project.suite(HEAD + hourglass("a", 4) + PROTOCOL)
    done = project.bench("modes", "tiny", "--rounds", "2", "--mode", "channels_last", "--format", "json")
    assert done.code == 0, done.err
    found = {rung["mode"]: rung for rung in json.loads(done.out)["rungs"]}
    assert set(found) == {"fp32", "channels_last"}
    assert found["channels_last"]["state"] == "measured" and 0 < found["channels_last"]["error"] < 1e-5
    assert found["channels_last"]["speedup_low"] < found["channels_last"]["speedup"]


def test_what_a_real_network_of_ones_own_refuses(project: Project) -> None:
    project.write("nets.py", OWN)
    before = set(files_below(project.folder))
    for network, shape, said in (
        ("nets:build", "1x64x64", "nets:build: RuntimeError: "),
        ("nots:build", "3x64x64", "nots:build: ModuleNotFoundError: No module named 'nots' (--input 3x64x64)\n"),
    ):
        done = project.bench("modes", network, "--input", shape)
        assert (done.code, done.out) == (2, "") and done.err.startswith(said) and done.err.count("\n") == 1
    left = set(files_below(project.folder)) - before
    assert not [name for name in left if "__pycache__" not in Path(name).parts], "nothing was written"
