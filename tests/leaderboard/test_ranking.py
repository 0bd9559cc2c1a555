"""Ranks: who is better for sure, and what a tie is."""

import pytest
from boards import board, changed, run, slower, text
from builders import LATENCY, PARAMS, records, trained

from bench.leaderboard.ranking import Figure, ranks
from bench.stats import mean_interval
from bench.table.cells import Cell, Column


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


def test_ties_are_not_transitive_and_neighbours_may_be_ties() -> None:
    cells = {name: Cell(x, x - 1.0, x + 1.0) for name, x in (("a", 10.0), ("b", 11.5), ("c", 13.0), ("d", 14.5))}
    found = ranks([Figure((name, ""), name, cell) for name, cell in cells.items()], Column(LATENCY))
    assert {name: rank for (name, _), rank in found.items()} == {"a": 1, "b": 1, "c": 2, "d": 3}
    assert "rows of neighbouring ranks need not be told apart" in text(run(records())), "b and c, c and d are not"
    assert "share a rank" not in text(run(records()))


def test_within_a_rank_the_better_value_comes_first() -> None:
    times = {"original": 1.0, "slim": 0.998 / 0.52, "deep": 1.003 / 1.4}
    alike = changed(records(), lambda r: slower(r, times[r.job.variant]), phase="infer", mode="fp32")
    made = board(run(alike), mode="fp32")
    assert [(e.rank, e.variant) for e in made.entries] == [(1, "slim"), (1, "original"), (1, "deep")]
    scores = [trained(name, score) for name, score in (("original", 60.2), ("slim", 60.1), ("deep", 60.3))]
    made = board(run(scores), by="pckh.total")
    assert [(e.rank, e.variant) for e in made.entries] == [(1, "deep"), (1, "original"), (1, "slim")]


def test_each_pair_of_a_mode_has_an_error_of_its_own() -> None:
    calm = {name: rounds(*(x * d for d in DRIFT)) for name, x in (("a", 1.0), ("b", 2.0), ("c", 4.0), ("d", 8.0))}
    wild = rounds(*(2.5 * d * e for d, e in zip(DRIFT, (1.0, 1.7, 0.6), strict=True)))
    found = ranks([Figure((name, ""), "x", cell) for name, cell in [*calm.items(), ("wild", wild)]], Column(LATENCY))
    assert {name: rank for (name, _), rank in found.items()} == {"a": 1, "b": 2, "c": 3, "d": 4, "wild": 1}


@pytest.mark.parametrize(("a", "b", "rank"), [(5, 5, 1), (5, 6, 2)])
def test_exact_figures_need_no_interval(a: int, b: int, rank: int) -> None:
    found = ranks([Figure(("a", ""), "x", Cell(a)), Figure(("b", ""), "x", Cell(b))], Column(PARAMS))
    assert found == {("a", ""): 1, ("b", ""): rank}
