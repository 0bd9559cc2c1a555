"""Boards: which figures stand in them, who has which rank and why not, and that their text hangs on nothing else."""

from collections.abc import Callable
from random import Random
from typing import Any

import pytest
from boards import GPU, NEW, OLD, board, changed, entry, flagged, infer_batch, made, run, text
from builders import LATENCY, SUITE, records, trained
from msgspec.structs import replace

from bench.errors import UsageError
from bench.leaderboard.page import page
from bench.record import Record, Value


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
    ("sound", lambda found: changed(found, lambda r: flagged(r, "throttled"), phase="infer"), {}),
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
        ({"kind": "pareto"}, "nothing to draw: no record has accuracy; bench run made_up --profile accuracy trains"),
        ({"kind": "pareto", "file": "/a.svg"}, "file=/a.svg: not the relative path of an SVG file"),
    ],
)
def test_a_block_that_asks_for_what_is_not_there(asked: dict[str, str], said: str) -> None:
    found = [*records(), trained("original", 60.0)] if "file" in asked else records()
    with pytest.raises(UsageError) as error:
        text(run(found), **asked)
    assert str(error.value).startswith(said)


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


def test_values_of_one_cell_are_not_lost_when_a_later_attempt_fails() -> None:
    bad = [replace(r, status="failed", reason="x", values=[], attempt=2, started="2026-01-06") for r in records()]
    ranked = [[(e.key, e.rank) for e in board(run(found)).entries] for found in (records(), [*records(), *bad])]
    assert ranked[0] == ranked[1]


def test_a_figure_that_is_no_number_is_not_ranked() -> None:
    nan = Value(quantity=LATENCY, value=float("nan"))
    bad = changed(records(), lambda r: replace(r, values=[nan, *r.values[1:]]), variant="original", phase="infer")
    assert entry(board(run(bad)), "original").rank is None
