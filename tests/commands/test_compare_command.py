"""`bench compare` informs: what it reads, what it prints in each format, and when it ends with 6."""

import csv
import json
import shutil
import subprocess
from io import StringIO
from pathlib import Path

import msgspec
import pytest
from builders import MACHINE, SUITE, records, trained
from command_line import HEAD, PROTOCOL, Project, Typed, acts
from jobs import header

from bench import store
from bench.compare.page import FORMATS
from bench.record import Record


def keep(project: Project, name: str, found: list[Record], **changes: object) -> Path:
    """A run in the project's results."""
    folder = project.results / "made_up"
    folder.mkdir(parents=True, exist_ok=True)
    with store.new_run(folder, header(name, suite=SUITE, machine=MACHINE, **changes)) as run:
        for one in found:
            store.append(run, one)
    return run.path


def on(machine: str, found: list[Record]) -> list[Record]:
    return [msgspec.structs.replace(one, machine=one.machine | {"id": machine}) for one in found]


@pytest.fixture
def two(project: Project) -> Project:
    """A run, and a later one in which everything that is timed took half as long again."""
    keep(project, "20260101T000000Z-3f2a91c0", records(), source={"commit": "a" * 40, "dirty": ""})
    slower = []
    for one in records():
        values = [
            msgspec.structs.replace(v, value=1.5 * v.value) if v.value and v.quantity.unit == "s" else v
            for v in one.values
        ]
        slower.append(msgspec.structs.replace(one, values=values))
    keep(project, "20260102T000000Z-3f2a91c0", slower, source={"commit": "b" * 40, "dirty": ""})
    return project


A, B = "20260101T000000Z-3f2a91c0", "20260102T000000Z-3f2a91c0"


def test_worse_is_told_and_ends_with_0(two: Project, bench: Typed) -> None:
    done = bench("compare", A, B)
    assert (done.code, done.err) == (0, "")
    lines = done.out.splitlines()
    assert lines[0].startswith(f"A: {A} (profile quick") and "commit aaaaaaaaaa" in lines[0]
    assert "B is worse" in done.out and "aaaaaaaaaa  bbbbbbbbbb" in done.out
    assert "separate sittings" in done.out


@pytest.mark.parametrize("typed", [A, f"results/made_up/{A}.jsonl"])
def test_a_suite_is_its_latest_run(two: Project, bench: Typed, typed: str) -> None:
    assert bench("compare", typed, "made_up", "--format", "json").out == bench("compare", A, B, "--format", "json").out


@pytest.mark.parametrize("form", FORMATS)
def test_every_format_has_every_verdict(two: Project, bench: Typed, form: str) -> None:
    done = bench("compare", A, B, "--format", form, "--all")
    assert (done.code, done.err) == (0, "")
    for word in ("original", "train_step", "not comparable" if form in ("json", "csv") else "Not comparable"):
        assert word in done.out, word
    assert done.out.endswith("\n") and not done.out.endswith("\n\n")


def test_json_and_csv_hold_the_same_figures(two: Project, bench: Typed) -> None:
    page = json.loads(bench("compare", A, B, "--format", "json").out)
    rows = list(csv.DictReader(StringIO(bench("compare", A, B, "--format", "csv").out)))
    assert [row["verdict"] for row in rows if row["tolerance"]] == [one["verdict"] for one in page["comparisons"]]
    rest = [(row["verdict"], row["variant"], row["quantity"], row["why"]) for row in rows if not row["tolerance"]]
    neither = [("in neither", one["variant"], one["quantity"], one["reason"]) for one in page["neither"]]
    assert neither and rest == [*neither, ("differs", "", "", "commit"), ("note", "", "", page["notes"][0])]
    (commit,) = (row for row in rows if row["verdict"] == "differs")
    assert (commit["a"], commit["b"]) == ("a" * 40, "b" * 40)
    worst = page["comparisons"][0]
    assert worst["verdict"] == "worse" and worst["change"] == pytest.approx(1.5) and worst["change_is"] == "ratio"
    assert worst["change_low"] < 1.5 < worst["change_high"]
    assert {"what": "commit", "a": "a" * 40, "b": "b" * 40, "figures": 0} in page["differences"]


def test_nothing_in_common_is_one_line(project: Project, bench: Typed) -> None:
    keep(project, A, [one for one in records() if one.job.phase == "static"])
    keep(project, B, [trained("original", 60.0)])
    done = bench("compare", A, B)
    assert (done.code, done.out, len(done.err.splitlines())) == (6, "", 1)
    assert done.err.startswith(f"{A} and {B} have no figure in common: static of 3 variants in {A}, accuracy of 1")


@pytest.mark.parametrize("form", FORMATS)
def test_where_neither_has_a_figure_nothing_is_compared(project: Project, bench: Typed, form: str) -> None:
    lost = [
        msgspec.structs.replace(
            one, values=[msgspec.structs.replace(v, value=None, reason="no clock") for v in one.values]
        )
        for one in records()
        if one.job.phase == "infer" and one.status == "ok"
    ]
    keep(project, A, lost)
    keep(project, B, lost)
    done = bench("compare", A, B, "--format", form)
    assert (done.code, done.err) == (6, "") and "no clock" in done.out and "latency" in done.out


def test_all_of_another_machine_is_shown_and_ends_with_6(project: Project, bench: Typed) -> None:
    timed = [one for one in records() if one.job.phase == "infer" and one.status == "ok"]
    keep(project, A, timed)
    keep(project, B, on("00000000", timed))
    done = bench("compare", A, B)
    assert done.code == 6
    assert "machine 00000000 instead of 3f2a91c0" in done.out and "B against A" not in done.out


def test_counts_are_compared_between_machines(project: Project, bench: Typed) -> None:
    keep(project, A, records())
    keep(project, B, on("00000000", records()))
    done = bench("compare", A, B, "--format", "json")
    page = json.loads(done.out)
    assert done.code == 0
    assert {one["verdict"] for one in page["comparisons"] if one["phase"] == "static"} == {"same"}
    assert {one["verdict"] for one in page["comparisons"] if one["phase"] != "static"} == {"not comparable"}


def git(project: Project, *arguments: str) -> None:
    who = ["-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false"]
    subprocess.run(["git", *who, *arguments], cwd=project.folder, check=True, capture_output=True)


@pytest.fixture
def committed(two: Project) -> Project:
    """The first run is in git; the second is not."""
    git(two, "init", "-q")
    git(two, "add", f"results/made_up/{A}.jsonl")
    git(two, "commit", "-q", "-m", "first")
    shutil.move(two.results / "made_up" / f"{A}.jsonl", two.folder / "gone.jsonl")
    return two


@pytest.mark.parametrize("typed", ["HEAD:made_up", f"HEAD:{A}", f"HEAD:results/made_up/{A}.jsonl"])
def test_results_of_a_revision(committed: Project, bench: Typed, typed: str) -> None:
    done = bench("compare", typed, "made_up")
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith(f"A: {A} ") and "B is worse" in done.out


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("HEAD~5:made_up", "unknown revision 'HEAD~5'; see: git log --oneline"),
        ("HEAD:mad_up", "no run 'mad_up' under results/ in HEAD; did you mean 'made_up'?"),
        ("HEAD:results/none.jsonl", "HEAD:results/none.jsonl: no such file in that revision ("),
        ("made_upp", "no run 'made_upp' under results/; did you mean 'made_up'?"),
        ("none.json", "none.json: cannot read (No such file or directory); name a run, or a file of pytest-benchmark"),
        ("none.jsonl", "none.jsonl: no such file; bench report SUITE shows the latest run of a suite"),
    ],
)
def test_what_is_not_there(committed: Project, bench: Typed, typed: str, said: str) -> None:
    done = bench("compare", typed, "made_up")
    assert (done.code, done.out, len(done.err.splitlines())) == (2, "", 1)
    assert done.err.startswith(said)


def test_a_revision_alone_is_told_how_to_name_a_run_in_it(committed: Project, bench: Typed) -> None:
    done = bench("compare", "HEAD", "made_up")
    assert (done.code, done.out) == (2, "")
    assert done.err == "'HEAD' is a revision of git; name a run or a suite in it: HEAD:made_up\n"
    assert bench("compare", "HEAD:made_up", "made_up").code == 0


def test_away_from_git(two: Project, bench: Typed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(two.folder.parent))
    done = bench("compare", "HEAD:made_up", "made_up")
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith("unknown revision 'HEAD'")


def test_a_torn_last_line_is_told(two: Project, bench: Typed) -> None:
    path = two.results / "made_up" / f"{B}.jsonl"
    path.write_bytes(path.read_bytes()[:-20])
    done = bench("compare", A, B)
    assert done.code == 0 and "torn last line, left out" in done.err


def test_two_runs_of_one_suite(project: Project, bench: Typed) -> None:
    project.suite(HEAD + acts(a="", b="fail") + PROTOCOL)
    bench("run", "tiny", "--rounds", "3")
    bench("run", "tiny", "--rounds", "3")
    first, second = project.runs
    done = bench("compare", first.stem, second.stem)
    assert done.code == 0
    assert "the same: --all lists them" in done.out
    assert "ValueError: the middle layer is missing" in done.out
