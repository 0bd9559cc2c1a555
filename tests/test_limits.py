"""Limits: how they are written, when a row satisfies them for sure, and what is said of the rest."""

from pathlib import Path

import pytest
from builders import ERROR, EVAL, INFER_MEMORY, LATENCY, MACS, PARAMS, SCORES, SUITE, THROUGHPUT, records, trained
from jobs import header

from bench.errors import UsageError
from bench.leaderboard import Asked, Board, boards
from bench.leaderboard.standings import snapshot
from bench.pick import Constraint, Picked, constraint, order_of, pick, plain
from bench.record import Quantity, Record
from bench.store import Loaded
from bench.table.cells import Column


def board(found: list[Record], *columns: str) -> Board:
    run = Loaded(Path("x.jsonl"), header(suite=SUITE | {"rounds": 3}), found, [])
    (one,) = boards(snapshot([run]), Asked(by=columns[0], columns=columns))
    return one


def picked(found: list[Record], by: str = "", **limits: str) -> Picked:
    """`max_latency="0.3s"`; names with a dot are those of scores."""
    names = {key: key.partition("_")[2].replace("pckh_", "pckh.") for key in limits}
    of = board(found, *dict.fromkeys([*names.values(), *([by] if by else [])]))
    made = [
        constraint(names[key], text, of.columns[names[key]], least=key.startswith("min"))
        for key, text in limits.items()
    ]
    return pick(of, made, order_of(made, of.columns, by))


def names(group: tuple[object, ...]) -> list[str]:
    return [candidate.name for candidate in group]  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("quantity", "text", "limit"),
    [
        (LATENCY, "200ms", 0.2),
        (LATENCY, "1.5 s", 1.5),
        (LATENCY, "2min", 120.0),
        (INFER_MEMORY, "2GiB", 2.0**31),
        (MACS, "10GMAC", 1e10),
        (THROUGHPUT, "30image/s", 30.0),
        (SCORES["total"], "60", 60.0),
        (SCORES["total"], "60 %", 60.0),
        (SCORES["total"], "-3", -3.0),
        (PARAMS, "6M", 6e6),
        (PARAMS, "1e6", 1e6),
    ],
)
def test_a_limit_is_read_in_base_units(quantity: Quantity, text: str, limit: float) -> None:
    assert constraint("x", text, Column(quantity), least=True).limit == pytest.approx(limit)


@pytest.mark.parametrize(
    ("quantity", "text", "said"),
    [
        (LATENCY, "200", "--max x=200: x has a unit (h, min, s, ms, us); write x=200ms"),
        (LATENCY, "2GiB", "--max x=2GiB: 'GiB' is no unit of x (h, min, s, ms, us); write x=200ms"),
        (LATENCY, "2 parsec", "--max x=2 parsec: 'parsec' is no unit of x (h, min, s, ms, us); write x=200ms"),
        (LATENCY, "ms", "--max x=ms: not a number with a unit; write x=200ms"),
        (LATENCY, "1.2.3ms", "--max x=1.2.3ms: not a number with a unit; write x=200ms"),
        (INFER_MEMORY, "200", "--max x=200: x has a unit (B, KiB, MiB, GiB, MB, GB); write x=2GiB"),
        (SCORES["total"], "60ms", "--max x=60ms: 'ms' is no unit of x (%); write x=60"),
        (PARAMS, "6MiB", "--max x=6MiB: 'MiB' is no unit of x (k, M, G); write x=2M"),
        (PARAMS, "many", "--max x=many: not a number with a unit; write x=2M"),
        (PARAMS, "nan", "--max x=nan: not a number with a unit; write x=2M"),
        (ERROR, "10%", "--max x=10%: '%' is no unit of x (it has none); write x=0.1"),
        (ERROR, "2.5 %", "--max x=2.5 %: '%' is no unit of x (it has none); write x=0.025"),
        (ERROR, "1k", "--max x=1k: 'k' is no unit of x (it has none); write x=0.1"),
        (PARAMS, "10%", "--max x=10%: '%' is no unit of x (k, M, G); write x=2M"),
    ],
)
def test_a_limit_that_is_not_one(quantity: Quantity, text: str, said: str) -> None:
    with pytest.raises(UsageError) as error:
        constraint("x", text, Column(quantity), least=False)
    assert str(error.value) == said


def test_every_row_is_in_one_group_and_the_best_stand_first() -> None:
    found = picked(records(), max_latency="300ms")
    assert names(found.satisfied) == ["original, fast", "slim, fp32"]
    assert names(found.unsure) == ["deep, fast"]
    assert names(found.excluded) == ["slim, fast", "original, fp32", "deep, fp32"]
    reasons = {candidate.name: candidate.reasons for candidate in (*found.unsure, *found.excluded)}
    (said,) = reasons["original, fp32"]
    assert said.startswith("latency 4") and said.endswith(" ms, above 300ms")
    assert "its interval reaches beyond 300ms" in reasons["deep, fast"][0]
    assert "mismatch" in reasons["slim, fast"][0]


def test_accuracy_is_of_the_variant_and_counts_in_every_mode() -> None:
    found = picked([*records(), trained("original", 60.0), trained("deep", 40.0)], min_pckh_total="50", by="latency")
    assert names(found.satisfied) == ["original, fast", "original, fp32"]
    reasons = {candidate.name: candidate.reasons[0] for candidate in found.excluded}
    assert reasons["deep, fp32"] == "pckh.total 40.0 (39.0 to 41.0) %, below 50"
    assert reasons["slim, fp32"] == "pckh.total not measured (not trained)"


def test_an_interval_that_straddles_a_limit_decides_nothing() -> None:
    scores = [*records(), trained("original", 60.0), trained("deep", 62.0)]
    found = picked(scores, min_pckh_total="60.5")
    assert names(found.satisfied) == ["deep, fast", "deep, fp32"]
    assert names(found.unsure) == ["original, fast", "original, fp32"]
    exactly = picked(scores, min_pckh_total="61")
    assert names(exactly.satisfied) == ["deep, fast", "deep, fp32"], "the lower end is the limit itself"


def test_what_was_not_learnt_is_excluded_whatever_it_scores() -> None:
    found = picked([*records(), trained("original", 90.0, flags=("not_learnt",))], min_pckh_total="50")
    reasons = {candidate.name: candidate.reasons[0] for candidate in found.excluded}
    assert not found.satisfied and reasons["original, fp32"].startswith("not_learnt")


def test_a_peak_and_a_count_have_no_interval_and_decide_by_their_value() -> None:
    found = picked(records(), max_peak_memory="1.5GB", max_params="30M")
    assert "original, fast" in names(found.satisfied)
    assert not found.unsure


def test_a_time_of_one_round_decides_nothing() -> None:
    found = picked([r for r in records() if r.job.round == 0], max_latency="10s")
    assert not found.satisfied
    assert all("no interval to tell by" in candidate.reasons[0] for candidate in found.unsure)
    assert names(found.excluded) == ["slim, fast"]


def test_where_nothing_satisfies_the_nearest_limit_is_told_and_does_satisfy() -> None:
    found = picked(records(), max_latency="100ms", max_params="1G")
    assert not found.satisfied
    assert found.advice.startswith("closest is original, fast: it satisfies --max latency=")
    limit = found.advice.rpartition("=")[2]
    assert names(picked(records(), max_latency=limit).satisfied) == ["original, fast"]


def test_of_rows_without_the_figures_there_is_no_advice() -> None:
    bad = picked([*records(), trained("original", 9.0, flags=("not_learnt",))], min_pckh_total="5")
    assert bad.advice == "no row has all of these figures"


@pytest.mark.parametrize(
    ("limits", "by", "order"),
    [
        ([("latency", False), ("params", False)], "", "latency"),
        ([("pckh.total", True), ("params", False)], "", "params"),
        ([("pckh.total", True)], "", "latency"),
        ([("latency", False)], "params", "params"),
    ],
)
def test_what_is_best_first(limits: list[tuple[str, bool]], by: str, order: str) -> None:
    columns = {name: Column(EVAL) for name in ("params", "latency", "pckh.total")}
    assert order_of([Constraint(name, 1.0, least, "1") for name, least in limits], columns, by) == order


def test_as_json_it_has_every_row_once() -> None:
    data = plain(picked(records(), max_latency="300ms"))
    rows = [(row["variant"], row["mode"]) for group in ("satisfied", "cannot_tell", "excluded") for row in data[group]]
    assert len(rows) == len(set(rows)) == 6
    assert data["constraints"] == [{"quantity": "latency", "limit": 0.3, "kind": "max"}]
    assert data["satisfied"][0]["figures"]["latency"]["low"] < 0.3 and data["units"] == {"latency": "s"}
