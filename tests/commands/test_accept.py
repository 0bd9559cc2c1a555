"""`bench accept` records a change that a gate found as intended."""

from pathlib import Path

import pytest
from command_line import TINY, Project, Typed, files_below
from judgements import counted, finding, judgement, passes

from bench.gate import Finding, Judgement
from bench.gate.accepted import load
from bench.gate.page import show

FINDINGS = [
    finding("REGRESSED"),
    counted("original", 100, 120, "REGRESSED"),
    finding("INCONCLUSIVE", "slim"),
    finding("NOT MEASURED", "deep", reason="oom: 2 GiB short"),
    finding("NOT COMPARABLE", "wide", reason="another machine"),
    *passes(1),
]
CELL = "original/fast/latency"
DONE = f"accepted {CELL}: 206 ms -> 270 ms, +31 % (+28 to +34)"
WROTE = "wrote suites/accepted/tiny.toml; commit it with the change"
WHY = ("--reason", "more stacks")


def tiny(*findings: Finding, **fields: object) -> Judgement:
    return judgement(*findings, **{"suite": "tiny", "path": "suites/tiny.toml"} | fields)


def gated(project: Project, found: Judgement, run: str = "20260101T000000Z-3f2a91c0") -> Path:
    """The file that a gate leaves."""
    folder = project.results / found.suite / f"{run}-gate"
    folder.mkdir(parents=True)
    path = folder / "judgement.json"
    path.write_text(show(found, "json"), encoding="utf-8")
    return path


def reasons(project: Project) -> dict[str, str]:
    return {one.cell: one.reason for one in load(project.folder / "suites" / "tiny.toml")}


def test_a_cell_of_the_newest_judgement(project: Project, bench: Typed) -> None:
    gated(project, tiny(*FINDINGS), "20260102T000000Z-3f2a91c0")
    gated(project, tiny(finding("REGRESSED", "older")), "20260101T000000Z-3f2a91c0")
    done = bench("accept", CELL, *WHY)
    assert (done.code, done.out) == (0, "")
    assert done.err.splitlines() == [DONE, WROTE]
    assert reasons(project) == {CELL: "more stacks"}


def test_twice_changes_nothing(project: Project, bench: Typed) -> None:
    gated(project, tiny(*FINDINGS))
    bench("accept", CELL, *WHY)
    before = files_below(project.folder)
    done = bench("accept", CELL, *WHY)
    assert (done.code, done.err) == (0, f"{CELL} is accepted already\n")
    assert files_below(project.folder) == before


def test_a_gate_that_passed_by_it_does_not_refuse_it(project: Project, bench: Typed) -> None:
    gated(project, tiny(*FINDINGS))
    bench("accept", CELL, *WHY)
    gated(project, tiny(finding(reason="accepted: more stacks")), "20260102T000000Z-3f2a91c0")
    done = bench("accept", CELL, "--reason", "two more stacks")
    assert (done.code, done.err.splitlines()) == (0, [DONE, WROTE])
    assert reasons(project) == {CELL: "two more stacks"}


def test_all_is_everything_that_regressed(project: Project, bench: Typed) -> None:
    gated(project, tiny(*FINDINGS))
    done = bench("accept", "--all", *WHY)
    assert done.err.splitlines() == [DONE, "accepted original/params: 100 -> 120, +20.0 %", WROTE]
    assert reasons(project) == {CELL: "more stacks", "original/params": "more stacks"}


def test_all_of_nothing(project: Project, bench: Typed) -> None:
    path = gated(project, tiny(*passes(2)))
    done = bench("accept", "--all", *WHY)
    assert (done.code, done.err) == (0, f"nothing regressed in {path.relative_to(project.folder)}\n")
    assert reasons(project) == {}


def test_what_is_inconclusive_may_be_accepted(project: Project, bench: Typed) -> None:
    gated(project, tiny(*FINDINGS))
    assert bench("accept", "slim/fast/latency", *WHY).code == 0
    assert reasons(project) == {"slim/fast/latency": "more stacks"}


def test_a_judgement_by_its_file_and_by_its_suite(project: Project, bench: Typed) -> None:
    path = gated(project, tiny(*FINDINGS))
    project.suite(TINY, "later")
    gated(project, judgement(finding("REGRESSED", "other"), suite="later"), "20270101T000000Z-3f2a91c0")
    for named in (str(path), "tiny", "suites/tiny.toml"):
        assert bench("accept", CELL, *WHY, "--judgement", named).code == 0, named
    assert bench("accept", CELL, *WHY).err.startswith("results/later/20270101T000000Z-3f2a91c0-gate/judgement.json has")
    path.rename(project.folder / "downloaded.json")
    assert bench("accept", "original/params", *WHY, "--judgement", "downloaded.json").code == 0


def test_a_judgement_of_another_machine_is_of_the_suite_of_that_name(project: Project, bench: Typed) -> None:
    gated(project, tiny(*FINDINGS, path="/home/somebody/suites/tiny.toml"))
    assert bench("accept", CELL, *WHY).err.splitlines() == [DONE, WROTE]
    assert reasons(project) == {CELL: "more stacks"}


@pytest.mark.parametrize("which", [CELL, "--all"])
def test_the_same_network_on_both_sides_is_refused(project: Project, bench: Typed, which: str) -> None:
    gated(project, tiny(finding("REGRESSED"), identities={CELL: ("same", "same")}))
    done = bench("accept", which, *WHY)
    said = f"{CELL}: base and head are the same network, so that there is no change to accept; gate it again\n"
    assert (done.code, done.err) == (2, said)
    assert reasons(project) == {}


def test_of_what_passed_there_is_nothing_to_accept(project: Project, bench: Typed) -> None:
    path = gated(project, tiny(*passes(2)))
    done = bench("accept", "v0/fast/latency", *WHY)
    where = path.relative_to(project.folder)
    said = f"v0/fast/latency is PASS in {where}: there is nothing to accept; nothing regressed there\n"
    assert (done.code, done.err) == (2, said)


AT = "results/tiny/20260101T000000Z-3f2a91c0-gate/judgement.json"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["original/fast/latncy", *WHY], f"{AT} has no cell 'original/fast/latncy'; did you mean '{CELL}'?"),
        (
            ["v0/fast/latency", *WHY],
            f"v0/fast/latency is PASS in {AT}: there is nothing to accept; did you mean '{CELL}'?",
        ),
        (
            ["deep/fast/latency", *WHY],
            f"deep/fast/latency is NOT MEASURED in {AT}: it has no change to accept; gate it again",
        ),
        (
            ["wide/fast/latency", *WHY],
            f"wide/fast/latency is NOT COMPARABLE in {AT}: it has no change to accept; gate it again",
        ),
        ([CELL, "--reason", " \n"], 'the reason is empty; say why the change is meant: --reason "..."'),
        (WHY, "name one cell, such as original/fast/latency, or write --all"),
        ([CELL, "--all", *WHY], "name one cell, such as original/fast/latency, or write --all"),
        ([CELL, *WHY, "--judgement", "tin"], "no judgement of 'tin' under results/; did you mean 'tiny'?"),
        ([CELL, *WHY, "--results", "r"], "no judgement under r/; bench gate SUITE writes one"),
        (
            [CELL, *WHY, "--judgement", "none.json"],
            "none.json: cannot read (No such file or directory); bench gate writes a judgement.json",
        ),
    ],
)
def test_bad_input_is_one_line_and_writes_nothing(
    project: Project, bench: Typed, arguments: list[str], said: str
) -> None:
    gated(project, tiny(*FINDINGS))
    before = files_below(project.folder)
    done = bench("accept", *arguments)
    assert (done.code, done.out, done.err) == (2, "", f"{said}\n")
    assert files_below(project.folder) == before


def test_a_reason_must_be_given(bench: Typed) -> None:
    done = bench("accept", CELL)
    assert (done.code, done.err.partition(";")[0]) == (2, "Missing option '--reason'")


def test_a_broken_file_of_accepted_changes_is_left_alone(project: Project, bench: Typed) -> None:
    gated(project, tiny(*FINDINGS))
    (project.folder / "suites" / "accepted").mkdir()
    project.write("suites/accepted/tiny.toml", "[[accepted]]\ncel = 1\n")
    done = bench("accept", CELL, *WHY)
    assert done.code == 2
    assert done.err == "suites/accepted/tiny.toml:2: unknown key 'cel'; did you mean 'cell'?\n"
