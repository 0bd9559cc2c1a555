"""Accuracy on the page: seeds merged, its intervals, what it is never ranked by, and where it is from."""

from collections.abc import Sequence
from typing import Any

import builders
import msgspec
import pytest
from builders import SUITE, record, trained, training

from bench.record import Quantity, Record, Value
from bench.renderers import markdown, terminal
from bench.stats import arithmetic_interval
from bench.table import Cell, Row, Section, Table, tabulate
from bench.table.grid import grids
from bench.table.long import flat
from bench.table.summary import mode_of, picks

UNTRAINED = "not trained yet: bench run made_up --profile accuracy --variant deep trains it"


def untrained(variant: str) -> Record:
    """What stands for a training that nobody asked for."""
    return record(training(variant), status="skipped", reason=UNTRAINED, machine={}, started="")


def page(found: Sequence[Record], suite: dict[str, Any] = SUITE) -> Table:
    return tabulate(suite, [*builders.records(), *found])


def accuracy(table: Table) -> Section:
    return next(section for section in table.sections if section.phase == "accuracy")


def row(table: Table, variant: str) -> Row:
    return next(row for row in accuracy(table).rows if row.variant == variant)


def cell(table: Table, variant: str, quantity: str = "pckh.total") -> Cell:
    keys = [column.key for column in accuracy(table).columns]
    return row(table, variant).cells[keys.index(quantity)]


def test_seeds_are_merged_arithmetically() -> None:
    scores = [60.0, 62.0, 67.0]
    found = cell(page([trained("original", score, seed=seed) for seed, score in enumerate(scores)]), "original")
    expected = arithmetic_interval(scores)
    assert (found.value, found.low, found.high) == (expected.value, expected.low, expected.high)
    assert (found.value, found.notes, found.rounds) == (63.0, (), ((0, 60.0), (1, 62.0), (2, 67.0)))


def test_changes_may_be_negative_or_nothing() -> None:
    changes = [-0.3, 0.0, 0.1]
    table = page([trained("original", 60.0, seed=seed, change=change) for seed, change in enumerate(changes)])
    found = cell(table, "original", "pckh_change.fast")
    assert found.value == pytest.approx(-0.2 / 3)
    assert found.low is not None and found.low < 0 < (found.high or 0)
    assert "-0.07 ± 0.52" in terminal.render(table)
    flats = [one for one in flat(table) if one["phase"] == "accuracy" and one["quantity"] == "pckh_change.fast"]
    assert flats[0]["sigma_between"] is None and flats[0]["values"] == changes


def test_one_seed_has_the_interval_that_its_job_found() -> None:
    table = page([trained("original", 60.0)])
    found = cell(table, "original")
    assert (found.value, found.low, found.high) == (60.0, 59.0, 61.0)
    assert found.notes == ("bootstrap over 1000 images, one seed: the spread over seeds is not in it",)
    text = terminal.render(table)
    assert "In Accuracy, ± is the half-width of the 95 % interval within one training" in text
    assert "over 3 rounds, each a fresh process, on this machine" in text


def test_the_page_says_over_how_many_seeds() -> None:
    only = tabulate(SUITE, [trained("original", 60.0 + seed, seed=seed) for seed in range(2)])
    assert "In Accuracy, ± is the half-width of the 95 % interval of the mean over 2 seeds, each trained anew" in (
        only.notes
    )
    assert not any("fresh process" in note for note in only.notes)
    assert "Profile quick, 2 jobs: 2 ok, started 2026-01-05T10:00:00Z" in only.lead


def test_a_value_without_an_interval_says_so() -> None:
    quantity = Quantity(name="converged", unit="1", better="higher", title="converged")
    found = cell(page([record(training("original"), [Value(quantity=quantity, value=1)])]), "original", "converged")
    assert (found.value, found.low, found.notes) == (1.0, None, ("one seed: no interval",))


def test_seeds_without_the_value_are_told() -> None:
    quantity = Quantity(name="epochs_to_50", unit="1", better="lower", title="epochs to 50 %")
    values = [Value(quantity=quantity, value=3.0), Value(quantity=quantity, reason="not reached"), None]
    found = [record(training("original", n), [value] if value else []) for n, value in enumerate(values)]
    found[2] = msgspec.structs.replace(found[2], status="failed", reason="the loss is not finite")
    notes = cell(page(found), "original", "epochs_to_50").notes
    assert notes == ("one seed: no interval", "1 of 3 seeds (not reached; failed: the loss is not finite)")


def test_seeds_of_two_machines_are_merged_but_rounds_are_not() -> None:
    elsewhere = trained("original", 64.0, seed=1, machine={"id": "bbbb"})
    assert cell(page([trained("original", 60.0), elsewhere]), "original").value == 62.0


def test_every_variant_has_a_row_in_its_training_mode() -> None:
    table = page([trained("original", 60.0)])
    assert [(r.variant, r.mode) for r in accuracy(table).rows] == [(name, "fast") for name in builders.SIZE]
    assert cell(table, "slim").reason.startswith("no record: the run was interrupted")
    assert not any(section.phase == "accuracy" for section in page([]).sections)


def test_the_mode_of_another_profiles_training_adds_no_rows_elsewhere() -> None:
    of = msgspec.structs.replace(training("original"), mode="strange")
    found = [msgspec.structs.replace(trained("original", 60.0), job=of, id=of.id)]
    table = page(found)
    assert {r.mode for r in accuracy(table).rows} == {"strange"}
    assert {r.mode for section in table.sections if section.phase == "infer" for r in section.rows} == {"fp32", "fast"}
    assert mode_of(table) == "fast"
    pick = next(pick for pick in picks(table) if pick.column.key == "pckh.total")
    assert pick.cells[0].value == 60.0 and "trained in mode strange" in pick.cells[0].notes


def test_what_has_not_learnt_is_shown_marked_and_never_the_best() -> None:
    good = [trained("original", 60.0), trained("deep", 50.0)]
    table = page([*good, trained("slim", 90.0, flags=("not_learnt", "unconverged"))])
    weak = cell(table, "slim")
    assert (weak.value, weak.best) == (90.0, False)
    assert any(note.startswith("not_learnt: ") for note in weak.notes)
    assert cell(table, "original").best
    pick = next(pick for pick in picks(table) if pick.column.key == "pckh.total")
    assert [note.partition(":")[0] for note in pick.cells[1].notes][:2] == ["not_learnt", "unconverged"]


def test_a_mismatch_on_trained_weights_strikes_the_inference_row() -> None:
    table = page([trained("original", 60.0, change=-4.0, flags=("mismatch",))])
    assert not row(table, "original").struck
    assert cell(table, "original", "pckh_change.fast").flags == ("mismatch",)
    infer = next(section for section in table.sections if section.phase == "infer")
    wrong = next(r for r in infer.rows if (r.variant, r.mode) == ("original", "fast"))
    assert wrong.struck
    assert wrong.notes == ("mismatch on trained weights: pckh_change.fast -4 % (paired bootstrap over images)",)
    assert not any(one.best or (one.speedup and one.speedup.interval) for one in wrong.cells)
    train = next(section for section in table.sections if section.phase == "train")
    assert not any(r.struck for r in train.rows)


def test_a_mismatch_of_the_training_mode_itself_strikes_its_row() -> None:
    record_ = trained("original", 60.0)
    values = [msgspec.structs.replace(value, flags=["mismatch"]) for value in record_.values]
    assert row(page([msgspec.structs.replace(record_, values=values)]), "original").struck


def test_what_was_taken_over_names_its_source() -> None:
    other = {"id": "aaaa", "cpu": "Other CPU"}
    earlier = {"origin": "20260103T000000Z-aaaa", "machine": other, "started": "2026-01-03T10:00:00Z"}
    table = page([trained("original", 60.0, **earlier), trained("deep", 50.0), untrained("slim")])
    said = "trained in an earlier run: 20260103T000000Z-aaaa, machine aaaa, 2026-01-03"
    assert (row(table, "original").notes, row(table, "deep").notes) == ((said,), ())
    assert cell(table, "slim").reason == UNTRAINED
    assert "31 jobs: 27 ok, 4 oom, started 2026-01-05T10:00:00Z" in table.lead[-2]
    assert table.lead[-1] == "Accuracy of 1 variant is from earlier runs"
    assert "Machine aaaa, of earlier accuracy only: cpu Other CPU" in table.notes
    assert not any("several machines" in note for note in table.notes)
    half = page([trained("original", 60.0, **earlier), trained("original", 61.0, seed=1)])
    remarked = page([trained("original", 60.0, **earlier, environment={"remarks": ["archs/x.py has changed since"]})])
    assert row(remarked, "original").notes == (f"{said}; archs/x.py has changed since",)
    assert row(half, "original").notes == (f"{said}: 1 of 2 seeds",)


def test_only_what_nobody_trained() -> None:
    table = page([untrained(name) for name in builders.SIZE])
    assert {c.reason for r in accuracy(table).rows for c in r.cells} == {UNTRAINED}
    assert UNTRAINED in markdown.render(table)


def test_the_protocol_that_all_share_stands_above_and_what_differs_beside_the_name() -> None:
    slim = trained("slim", 55.0, tables={"train": {"batch": 6}})
    deep = trained("deep", 55.0, tables={"train": {"samples": 10, "recipe": {"name": "other", "lr": 1.0}}})
    table = page([trained("original", 60.0), slim, deep])
    lead = accuracy(table).lead
    assert lead == "data.size 64, data.train 4000, data.use synthetic, data.val 1000"
    assert row(table, "slim").notes == ("train.batch 6 instead of 16",)
    assert row(table, "deep").notes == (
        "not comparable with original: train.recipe other instead of adam_short, train.samples 10 instead of 20000",
    )


def test_what_the_protocol_leaves_out_does_not_hide_it() -> None:
    left_out = msgspec.structs.replace(untrained("slim"), fingerprints={})
    lead = accuracy(page([trained("original", 60.0), trained("deep", 50.0), left_out])).lead
    assert lead.startswith("data.size 64") and "train.batch 16" in lead
    assert accuracy(page([left_out])).lead == ""


PUBLISHED: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(SUITE))
PUBLISHED["variants"][0]["published"][2] |= {"pckh.mean14": 86.4, "pckh.head": 94.98}
PUBLISHED["variants"][1]["published"] += [{"table": "A", "batch": 16, "pckh.mean14": 70}]
PUBLISHED["variants"][1]["published"] += [{"table": "B", "batch": 6, "pckh.mean14": 80}]


def test_published_scores_are_one_piece_by_the_batch_of_the_training() -> None:
    table = page([trained("original", 60.0), trained("slim", 50.0)], PUBLISHED)
    (grid,) = [grid for grid in grids(table) if grid.title.startswith("Accuracy:")]
    assert [head.title for head in grid.heads[2:]] == [
        *("PCKh@0.5 mean of 14 joints' rates", "published", "ours - published"),
        *("PCKh@0.5 head top", "published", "ours - published"),
    ]
    assert [text.text for text in grid.rows[1][2:]] == ["51.0 ± 1.0", "70 %", "-19.0 ± 1.0", "52.0 ± 1.0", "-", "-"]
    assert "the document has no figure for it" in [sentence for _, sentence in grid.footnotes]
    assert grid.lead.startswith("published: on the document's data, by its training; ours: data.size 64")


def test_the_summary_has_the_published_values_as_they_are() -> None:
    table = page([trained("original", 60.0), trained("slim", 50.0), untrained("deep")], PUBLISHED)
    keys = [pick.column.key for pick in picks(table)]
    assert keys[-2:] == ["pckh.total", "pckh.mean14"]
    summary = list(grids(table))[-1]
    assert [head.title for head in summary.heads[-2:]] == ["PCKh@0.5 mean of 14 joints' rates", "published"]
    assert [line[-1].text for line in summary.rows] == ["86.7 %", "70 %", "-"]
    assert [line[-2].text for line in summary.rows] == ["61.0 ± 1.0", "51.0 ± 1.0", "-"]
    plain = tabulate(SUITE | {"variants": [{"name": name} for name in builders.SIZE]}, [*builders.records()])
    assert "pckh.mean14" not in [pick.column.key for pick in picks(plain)]


def test_the_summary_of_accuracy_alone_is_in_its_mode() -> None:
    table = tabulate(SUITE, [trained("original", 60.0), *(r for r in builders.records() if r.job.phase == "static")])
    assert mode_of(table) == "fast"


def test_what_the_document_has_figures_of_has_a_column_though_it_is_no_headline() -> None:
    minor = Quantity(name="binary.f1", unit="%", better="higher", title="F1 of person", headline=False)
    score = trained("original", 60.0)
    score = msgspec.structs.replace(score, values=[*score.values, Value(quantity=minor, value=88.0)])
    assert "binary.f1" not in [column.key for column in accuracy(page([score])).columns]
    variants = [v | {"published": [{"table": "Table 1", "binary.f1": 88.17}]} for v in SUITE["variants"]]
    table = page([score], SUITE | {"variants": variants})
    found = cell(table, "original", "binary.f1")
    assert found.value == 88.0
    assert found.published is not None and found.published.value == 88.17
    assert not any(note.startswith("Published, but not measured") and "binary.f1" in note for note in table.notes)
