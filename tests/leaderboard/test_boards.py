"""Boards: which figures stand in them, who has which rank and why not, and that their text hangs on nothing else."""

from collections.abc import Callable
from random import Random
from typing import Any

import pytest
from boards import NEW, OLD, board, made, run
from builders import LATENCY, SUITE, records, trained
from msgspec.structs import replace

from bench.errors import UsageError
from bench.leaderboard import Board, Entry
from bench.leaderboard.blocks import Block, blocks, replaced, tables
from bench.leaderboard.eligibility import RULES, failures
from bench.leaderboard.fill import ATTRIBUTES, filled
from bench.leaderboard.page import page
from bench.leaderboard.ranking import Figure, ranks
from bench.record import Record, Value
from bench.stats import mean_interval
from bench.store import Loaded
from bench.table.cells import Cell, Column

GPU = {"id": "aaaa0000", "cpu": "Other CPU", "threads": 8, "torch": "2.13.0", "gpus": [{"name": "H200"}]}


def entry(of: Board, variant: str, mode: str = "fp32") -> Entry:
    return next(each for each in of.entries if each.key == (variant, mode))


def text(*runs: Loaded, body: str = "", **attributes: str) -> str:
    return filled(Block(1, 2, "made_up", attributes, body), runs).body


def changed(found: list[Record], change: Callable[[Record], Record], **only: str) -> list[Record]:
    """The records, changed where their jobs are as said."""
    return [change(r) if all(getattr(r.job, k) == v for k, v in only.items()) else r for r in found]


def flagged(record: Record, flag: str) -> Record:
    values = [replace(v, flags=[*v.flags, flag]) if v.quantity == LATENCY else v for v in record.values]
    return replace(record, values=values)


def infer_batch(record: Record, batch: int) -> Record:
    prints = {name: fields | {"infer.batch": batch} for name, fields in record.fingerprints.items()}
    return replace(record, fingerprints=prints)


def test_rows_are_ranked_and_the_rest_stands_below_with_reasons() -> None:
    found = board(run(records()))
    assert [(e.rank, *e.key) for e in found.entries] == [
        (1, "original", "fast"),
        (2, "slim", "fp32"),
        (3, "original", "fp32"),
        (4, "deep", "fp32"),
        (None, "deep", "fast"),
        (None, "slim", "fast"),
    ]
    assert [f.rule.id for f in entry(found, "deep", "fast").failed] == ["complete", "rounds"]
    assert [f.rule.id for f in entry(found, "slim", "fast").failed] == ["answers"]
    assert found.by == "latency" and list(found.columns)[:3] == ["latency", "train_epoch", "peak_memory"]


def test_the_text_is_the_same_for_shuffled_runs_and_records() -> None:
    first, second = records() + [trained(name, 60.0) for name in ("original", "slim", "deep")], records()[:8]
    whole = text(run(first), run(second, NEW))
    for seed in range(4):
        noise = Random(seed)
        mixed = [noise.sample(found, len(found)) for found in (first, second)]
        runs = [run(mixed[0]), run(mixed[1], NEW)]
        noise.shuffle(runs)
        assert text(*runs) == whole
    assert text(run(first), run(second, NEW), body=whole) == whole


def test_a_table_is_as_wide_as_its_widest_cells_so_that_a_formatter_keeps_it() -> None:
    lines = [line for line in text(run(records())).splitlines() if line.startswith("|")]
    assert len({len(line) for line in lines}) == 1
    widths = [
        max(len(cell.strip()) for cell in column) for column in zip(*(x.split("|")[1:-1] for x in lines), strict=True)
    ]
    assert [len(cell) - 2 for cell in lines[0].split("|")[1:-1]] == widths
    assert set(lines[1]) == set("|:- ")


NOT_RANKED: list[tuple[str, Callable[[list[Record]], list[Record]], dict[str, Any]]] = [
    ("clean", lambda found: found, {"source": {"dirty": "abc"}}),
    ("rounds", lambda found: [r for r in found if r.job.round == 0], {"suite": {"rounds": 1}}),
    ("interval", lambda found: [r for r in found if r.job.round == 0], {"suite": {"rounds": 1}}),
    ("complete", lambda found: [r for r in found if r.job.round < 2], {}),
    ("complete", lambda found: found, {"suite": {"rounds": 4}}),
    ("steady", lambda found: changed(found, lambda r: flagged(r, "throttled"), phase="infer"), {}),
    ("answers", lambda found: changed(found, lambda r: flagged(r, "mismatch"), phase="infer"), {}),
    ("learnt", lambda found: [*found, trained("original", 9.0, flags=("not_learnt",))], {}),
    ("measured", lambda found: [r for r in found if r.job.variant != "original" or r.job.phase != "infer"], {}),
]


@pytest.mark.parametrize(("rule", "change", "head"), NOT_RANKED, ids=[case[0] for case in NOT_RANKED])
def test_who_fails_a_rule_has_no_rank(rule: str, change: Callable[[list[Record]], list[Record]], head: Any) -> None:
    good = entry(board(run(records())), "original")
    assert good.rank == 3 and not good.failed
    bad = entry(board(run(change(records()), **head)), "original")
    assert bad.rank is None and rule in [failure.rule.id for failure in bad.failed]


def test_every_rule_has_an_id_a_reason_and_advice_and_fails_out_of_its_bounds() -> None:
    assert len({rule.id for rule in RULES}) == len(RULES)
    for rule in RULES:
        assert rule.why and rule.fix
        outside = rule.least - 1 if rule.least > -1 else rule.most + 1
        assert [failure.rule for failure in failures({rule.fact: outside}, {})] == [rule]
        assert not list(failures({}, {}))


def test_a_protocol_of_its_own_is_not_ranked_with_the_newest_run() -> None:
    other = changed(records(), lambda r: infer_batch(r, 8), phase="infer")
    newest = [r for r in records() if r.job.variant == "original"]
    found = board(run(other), run(newest, NEW))
    bad = entry(found, "deep")
    assert bad.rank is None and "protocol" in [failure.rule.id for failure in bad.failed]
    assert "infer.batch 8 instead of 1" in bad.failed[0].text
    assert entry(found, "original").rank is not None


def test_a_row_is_of_the_newest_run_that_has_it_and_says_where_it_is_not_the_newest() -> None:
    again = [r for r in records() if r.job.variant == "original"]
    found = board(run(records()), run(again, NEW))
    assert entry(found, "original").run == NEW and not entry(found, "original").notes
    assert entry(found, "deep").run == OLD
    assert any(OLD in note and "2026-01-05" in note for note in entry(found, "deep").notes)


def test_each_machine_has_a_board_of_its_own() -> None:
    elsewhere = [replace(r, machine=GPU, job=replace(r.job, device="cuda:0")) for r in records()]
    half = [r for r in elsewhere if r.job.variant != "deep"]
    one, other = made(run(records()), run(half, "20260107T100000Z-aaaa0000"))
    assert (one.place.machine, other.place.machine) == ("aaaa0000", "3f2a91c0")
    assert [e.cells["latency"].value for e in one.entries if e.variant == "deep"] == [None, None]
    said = page([one, other], [])
    assert said.index("H200, torch 2.13.0 (machine aaaa0000, cuda)") < said.index("Example CPU, 16 cores, 16 threads")


def test_accuracy_is_of_any_machine_and_of_the_protocol_that_most_variants_have() -> None:
    there = [trained(name, score, machine=GPU) for name, score in (("original", 60.0), ("slim", 50.0))]
    longer = trained("deep", 80.0, tables={"train": {"samples": 999}}, started="2026-01-08T00:00:00Z")
    found = board(run(records()), run([*there, longer], NEW))
    assert entry(found, "original").cells["pckh.total"].value == 60.0
    assert "trained in mode fast on machine aaaa0000, 2026-01-05" in entry(found, "original").cells["pckh.total"].notes
    missing = entry(found, "deep").cells["pckh.total"]
    assert missing.value is None and "train.samples 999 instead of 20000" in missing.reason


def test_a_network_with_other_options_under_the_same_name_does_not_count() -> None:
    names = [
        v | {"arch": "made_up", "options": {"cost": {"original": 1.0, "slim": 0.52, "deep": 9.0}[v["name"]]}}
        for v in SUITE["variants"]
    ]
    found = board(
        run(records()), run([r for r in records() if r.job.variant != "deep"], NEW, suite={"variants": names})
    )
    bad = entry(found, "deep")
    assert bad.rank is None and "options.cost 1.4 instead of 9.0" in bad.failed[0].text


def test_a_job_that_failed_shows_its_status_in_the_place_of_a_rank() -> None:
    gone = changed(
        records(), lambda r: replace(r, status="oom", reason="no room", values=[]), variant="deep", mode="fp32"
    )
    line = next(x for x in text(run(gone)).splitlines() if x.startswith("|") and "deep" in x and "fp32" in x)
    assert line.startswith("| failed: oom <sup>")
    assert "oom: no room" in text(run(gone))


def test_published_figures_have_a_column_of_their_own() -> None:
    said = text(run(records()))
    (head,) = (line for line in said.splitlines() if "training epoch, published" in line and line.startswith("|"))
    place = [cell.strip() for cell in head.split("|")].index("training epoch, published")
    column = {
        line.split("|")[2].strip(): line.split("|")[place].strip()
        for line in said.splitlines()
        if line.startswith("| ")
    }
    assert column["deep"] == "14.6 min" and column["original"] == "14.8 min"


@pytest.mark.parametrize("asked", [{"by": "train_step"}, {"by": "params"}, {"by": "train.peak_memory"}])
def test_another_quantity_ranks(asked: dict[str, str]) -> None:
    found = board(run(records()), **asked)
    assert found.by == asked["by"] == next(iter(found.columns))
    ranked = [e.cells[found.by].value for e in found.entries if e.rank is not None]
    assert ranked == sorted(ranked)
    assert bool(ranked) == (asked["by"] != "train.peak_memory"), "a peak has no interval"


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"by": "latenzy"}, "no records of a quantity 'latenzy'; did you mean 'latency'?"),
        ({"mode": "fasd"}, "no figures in a mode 'fasd'; did you mean 'fast'?"),
        ({"columns": "params,no"}, "no records of a quantity 'no'"),
        ({"kind": "pie"}, "unknown kind 'pie'; one of: claims, pareto, table"),
        ({"profile": "qick"}, "no run in a profile 'qick'; did you mean 'quick'?"),
        ({"file": "a.svg"}, "attribute file is of a chart"),
        ({"kind": "pareto"}, "nothing to draw: no row has both accuracy and latency"),
        ({"kind": "pareto", "file": "/a.svg"}, "file=/a.svg: not the relative path of an SVG file"),
    ],
)
def test_a_block_that_asks_for_what_is_not_there(asked: dict[str, str], said: str) -> None:
    found = [*records(), trained("original", 60.0)] if "file" in asked else records()
    with pytest.raises(UsageError) as error:
        text(run(found), **asked)
    assert str(error.value).startswith(said)


def rounds(*values: float) -> Cell:
    interval = mean_interval(values)
    return Cell(interval.value, interval.low, interval.high, rounds=tuple(enumerate(values)))


DRIFT = (1.0, 1.3, 0.8)


def test_rows_of_one_run_are_paired_and_those_of_two_are_not() -> None:
    a = rounds(*(1.0 * d for d in DRIFT))
    b = rounds(*(1.1 * d * e for d, e in zip(DRIFT, (1.0, 1.001, 0.999), strict=True)))
    column = Column(LATENCY)
    assert ranks([Figure(("a", ""), "x", a), Figure(("b", ""), "x", b)], column) == {("a", ""): 1, ("b", ""): 2}
    assert ranks([Figure(("a", ""), "x", a), Figure(("b", "m"), "x", b)], column) == {("a", ""): 1, ("b", "m"): 2}
    assert ranks([Figure(("a", ""), "x", a), Figure(("b", ""), "y", b)], column) == {("a", ""): 1, ("b", ""): 1}


def test_ties_share_a_rank_and_the_next_one_counts_them() -> None:
    cells = {"a": rounds(1.0, 1.02, 0.99), "b": rounds(1.01, 0.99, 1.0), "c": rounds(2.0, 2.02, 1.99)}
    found = ranks([Figure((name, ""), name, cell) for name, cell in cells.items()], Column(LATENCY))
    assert found == {("a", ""): 1, ("b", ""): 1, ("c", ""): 3}


def test_higher_is_better_where_the_quantity_says_so() -> None:
    found = board(run([*records(), trained("original", 60.0), trained("slim", 80.0)]), by="pckh.total")
    assert entry(found, "slim").rank == 1 and entry(found, "original").rank == 2
    assert entry(found, "deep").rank is None


def test_of_runs_that_only_trained_there_is_one_board_of_any_machine() -> None:
    found = board(run([trained("original", 60.0), trained("slim", 80.0, machine=GPU)]))
    assert found.by == "pckh.total" and not found.place.machine
    assert [e.variant for e in found.entries] == ["slim", "original"]
    assert page([found], []).startswith("**Any machine**")


def test_a_run_without_any_figure_says_so() -> None:
    bad = [replace(r, status="crashed", reason="gone", values=[]) for r in records()]
    with pytest.raises(UsageError, match="no figure of made_up to rank by"):
        board(run(bad))


def test_a_row_that_lost_its_record_stays_and_keeps_its_date() -> None:
    full = text(run(records()))
    rest = [replace(r, started="2026-03-01T00:00:00Z") for r in records() if r.job.variant != "deep"]
    suite = {"variants": [v for v in SUITE["variants"] if v["name"] != "deep"]}
    once = text(run(rest, suite=suite), body=full)
    lines = [line for line in once.splitlines() if "deep" in line and line.startswith("|")]
    assert len(lines) == 2 and all(line.startswith("| stale (2026-01-05) <sup>") for line in lines)
    assert "| 627 ± 14 |" in " ".join(lines[0].split()) and "| 294.0 ± 9.4 |" in " ".join(lines[1].split())
    assert text(run(rest, suite=suite), body=once) == once
    assert "stale" not in text(run(rest, suite=suite))
    back = text(run(records()), body=once)
    assert back == full


def test_a_row_of_another_mode_than_the_block_shows_is_no_stale_one() -> None:
    assert "stale" not in text(run(records()), body=text(run(records())), mode="fp32")


def test_a_machine_that_lost_its_records_keeps_its_table() -> None:
    elsewhere = run([replace(r, machine=GPU) for r in records()], "20260107T100000Z-aaaa0000")
    both = text(run(records()), elsewhere)
    once = text(run(records()), body=both)
    assert once.count("stale (2026-01-05)") == 6 and "machine aaaa0000" in once
    assert text(run(records()), body=once) == once


def test_units_of_a_kept_row_stay_with_its_figures() -> None:
    former = "**X (machine 3f2a91c0, cpu)**: records of 2026-01-01\n\n"
    former += "| rank | variant | mode | latency [s] |\n|--|--|--|--|\n| 1 | gone | fp32 | 0.5 ± 0.1 |\n"
    lines = [line for line in text(run(records()), body=former).splitlines() if "gone" in line]
    assert len(lines) == 1 and "0.5 ± 0.1 s" in lines[0] and "stale (2026-01-01)" in lines[0]


BAD = [
    ("<!-- bench:begin a -->\n", "f:1: this block has no end"),
    ("x\n<!-- bench:end -->\n", "f:2: bench:end without a bench:begin"),
    ("<!-- bench:begin a -->\n<!-- bench:begin b -->\n", "f:2: a second bench:begin in the block of line 1"),
    ("<!-- bench:begin -->\n", "f:1: no suite"),
    ("<!-- bench:begin a\n", "f:1: a marker is a line of its own"),
    ("<!-- bench:begin a --> x\n", "f:1: a marker is a line of its own"),
    ("<!-- bench:begin a bye=x -->\n", "f:1: unknown attribute 'bye'; did you mean 'by'?"),
    ("<!-- bench:begin a by= -->\n", "f:1: attribute by needs one value"),
    ("<!-- bench:begin a by=x by=y -->\n", "f:1: attribute by needs one value"),
    ("<!-- bench:start a -->\n", "f:1: unknown marker bench:start"),
]


@pytest.mark.parametrize(("written", "said"), BAD, ids=[case[1][5:40] for case in BAD])
def test_markers_that_are_wrong_are_told_with_their_line(written: str, said: str) -> None:
    with pytest.raises(UsageError) as error:
        blocks(written, "f", ATTRIBUTES)
    assert str(error.value).startswith(said) and "\n" not in str(error.value)


def test_markers_in_code_are_examples() -> None:
    fenced = "```md\n<!-- bench:begin a -->\n```\n\n~~~~\n```\n<!-- bench:end -->\n~~~~\n`<!-- bench:begin x -->`\n"
    assert blocks(fenced, "f", ATTRIBUTES) == []


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_new_text_takes_the_line_ends_of_the_file(end: str) -> None:
    before = end.join(["top", "<!-- bench:begin a mode=b -->", "old", "<!-- bench:end -->", "bottom"])
    (block,) = blocks(before, "f", ATTRIBUTES)
    assert (block.suite, block.attributes, block.body) == ("a", {"mode": "b"}, "old")
    after = replaced(before, [(block, "one\ntwo\n")])
    assert after == end.join(
        ["top", "<!-- bench:begin a mode=b -->", "", "one", "two", "", "<!-- bench:end -->", "bottom"]
    )


def test_a_table_is_read_without_its_marks() -> None:
    (table,) = tables("**H**: x\n\n| a <sup>b</sup> | c \\| d |\n| - | - |\n| 1 <sup>x,y</sup> | 2 |\n")
    assert table.heading == "**H**: x" and table.heads == ("a", "c \\| d") and table.rows == (("1", "2"),)


def test_values_of_one_cell_are_not_lost_when_a_later_attempt_fails() -> None:
    bad = [replace(r, status="failed", reason="x", values=[], attempt=2, started="2026-01-06") for r in records()]
    ranked = [[(e.key, e.rank) for e in board(run(found)).entries] for found in (records(), [*records(), *bad])]
    assert ranked[0] == ranked[1]


def test_a_figure_that_is_no_number_is_not_ranked() -> None:
    nan = Value(quantity=LATENCY, value=float("nan"))
    bad = changed(records(), lambda r: replace(r, values=[nan, *r.values[1:]]), variant="original", phase="infer")
    assert entry(board(run(bad)), "original").rank is None
