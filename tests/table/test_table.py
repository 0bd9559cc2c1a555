import subprocess
import sys
from collections.abc import Sequence
from typing import Any

import builders
import msgspec
import pytest
from builders import EPOCH, LATENCY, PARAMS, SUITE, job, record
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.record import Quantity, Record, Value
from bench.renderers import terminal
from bench.stats import mean_interval, ratio_intervals
from bench.table import Cell, Ratio, Row, Section, Table, tabulate
from bench.table.published import choose


def section(table: Table, phase: str) -> Section:
    return next(one for one in table.sections if one.phase == phase)


def row(table: Table, phase: str, variant: str, mode: str = "") -> Row:
    return next(one for one in section(table, phase).rows if (one.variant, one.mode) == (variant, mode))


def cell(table: Table, phase: str, variant: str, mode: str, quantity: str) -> Cell:
    keys = [column.key for column in section(table, phase).columns]
    return row(table, phase, variant, mode).cells[keys.index(quantity)]


def timed(variant: str, times: Sequence[float], mode: str = "fp32", **tables: Any) -> list[Record]:
    """One infer record per time."""
    return [
        record(job(variant, "infer", mode=mode, number=n, **tables), [Value(quantity=LATENCY, value=time)])
        for n, time in enumerate(times)
    ]


@pytest.fixture(scope="module")
def table() -> Table:
    return tabulate(SUITE, builders.records())


def test_sections_and_rows_are_in_the_suites_order(table: Table) -> None:
    assert [one.title for one in table.sections] == ["Network", "Inference", "Training"]
    assert [(one.variant, one.mode) for one in section(table, "infer").rows] == [
        (variant, mode) for variant in ("original", "slim", "deep") for mode in ("fp32", "fast")
    ]


def test_the_same_quantity_in_two_phases_is_two_columns(table: Table) -> None:
    assert [column.key for column in section(table, "infer").columns].count("peak_memory") == 1
    assert [column.key for column in section(table, "train").columns].count("peak_memory") == 1


def test_rounds_are_merged_and_ratios_are_paired() -> None:
    ours, base = [0.10, 0.12, 0.11], [0.20, 0.23, 0.22]
    found = tabulate(SUITE, timed("slim", ours) + timed("original", base))
    merged = cell(found, "infer", "slim", "fp32", "latency")
    expected = mean_interval(ours)
    assert (merged.value, merged.low, merged.high) == (expected.value, expected.low, expected.high)
    ratio = ratio_intervals({"slim": dict(enumerate(ours)), "original": dict(enumerate(base))}, "original")["slim"]
    assert merged.ratio is not None
    assert merged.ratio.interval == ratio


def test_a_single_round_has_no_interval_and_says_so() -> None:
    only = cell(tabulate(SUITE, timed("original", [0.2])), "infer", "original", "fp32", "latency")
    assert (only.value, only.low, only.notes) == (0.2, None, ("one round: no interval",))


def test_memory_is_the_largest_round(table: Table) -> None:
    assert cell(table, "infer", "original", "fp32", "peak_memory").value == 1_500_000_000 + 2 * 4096


def test_exact_quantities_must_agree() -> None:
    values = [[Value(quantity=PARAMS, value=count)] for count in (7, 8)]
    found = [record(job("slim", "static", number=n), value) for n, value in enumerate(values)]
    odd = cell(tabulate(SUITE, found), "static", "slim", "", "params")
    assert odd.value is None
    assert odd.reason == "must be the same in every round, and is not: 7 and 8"


def test_the_last_ok_attempt_counts_else_the_last() -> None:
    def attempt(number: int, status: str, time: float | None = None) -> Record:
        values = [Value(quantity=LATENCY, value=time)] if time else []
        return record(job("slim", "infer", mode="fp32"), values, status, f"try {number}", attempt=number)

    again = tabulate(SUITE, [attempt(1, "oom"), attempt(2, "ok", 0.3), attempt(3, "ok", 0.4), attempt(4, "timeout")])
    assert cell(again, "infer", "slim", "fp32", "latency").value == 0.4
    never = tabulate(SUITE, [attempt(1, "oom"), attempt(2, "timeout")])
    assert section(never, "infer").rows[2].cells[0].reason == "timeout: try 2"


def test_a_phase_in_which_all_failed_does_not_vanish() -> None:
    failed = [record(job(v, "train", mode="fast"), status="crashed", reason="signal 11") for v in builders.SIZE]
    found = section(tabulate(SUITE, failed), "train")
    assert [column.key for column in found.columns] == ["result"]
    assert {one.cells[0].reason for one in found.rows} == {"crashed: signal 11"}


def test_a_row_without_a_record_says_how_to_complete_it() -> None:
    absent = cell(tabulate(SUITE, timed("original", [0.2])), "infer", "slim", "fast", "latency")
    assert absent.reason.startswith("no record: the run was interrupted; `bench run made_up --resume RUN`")


def test_a_values_own_reason_goes_before_the_jobs(table: Table) -> None:
    assert cell(table, "infer", "slim", "fp32", "eval_time").reason == "no validation images: data.val is 0"
    assert cell(table, "infer", "original", "fp32", "error").reason == "fp32 is what this figure compares with"


def test_a_round_that_failed_is_told(table: Table) -> None:
    assert "2 of 3 rounds (oom: CUDA out of memory: 2.1 GiB more than there was)" in (
        cell(table, "infer", "deep", "fast", "latency").notes
    )


def test_a_declared_factor_is_labelled(table: Table) -> None:
    ratio = cell(table, "train", "slim", "fast", "train_epoch").ratio
    assert ratio is not None
    assert ratio.interval is not None
    assert ratio.notes == ("train.batch 6 instead of 20",)


def test_any_other_difference_is_refused_by_name() -> None:
    other = timed("slim", [0.1, 0.1], data={"size": 128}, infer={"batch": 4})
    ratio = cell(tabulate(SUITE, timed("original", [0.2, 0.2]) + other), "infer", "slim", "fp32", "latency").ratio
    assert ratio is not None
    assert ratio.interval is None
    assert ratio.reason == "not compared with original: data.size 128 instead of 256, infer.batch 4 instead of 1"


def test_times_do_not_compare_across_machines_but_parameters_do() -> None:
    found = []
    for variant, name in (("original", "aaaa"), ("slim", "bbbb")):
        machine = {"id": name, "cpu": "x"}
        found.append(record(job(variant, "static"), [Value(quantity=PARAMS, value=10)], machine=machine))
        of = job(variant, "infer", mode="fp32")
        found.append(record(of, [Value(quantity=LATENCY, value=0.1)], machine=machine))
    page = tabulate(SUITE, found)
    params, latency = cell(page, "static", "slim", "", "params"), cell(page, "infer", "slim", "fp32", "latency")
    assert params.ratio is not None and params.ratio.interval is not None
    assert latency.ratio is not None
    assert latency.ratio.reason == "not compared with original: machine bbbb instead of aaaa"
    assert page.notes[-1].startswith("The records come from several machines")


def test_a_mismatch_is_struck_and_neither_ranked_nor_compared(table: Table) -> None:
    wrong = row(table, "infer", "slim", "fast")
    assert wrong.struck
    assert not any(one.best for one in wrong.cells)
    assert all(one.ratio is None or one.ratio.interval is None for one in wrong.cells)
    assert wrong.cells[0].value is not None


def test_best_is_per_mode_with_ties_and_only_where_comparable() -> None:
    def best(found: list[Record]) -> list[str]:
        return [r.variant for r in section(tabulate(SUITE, found), "infer").rows if r.cells[0].best]

    slow, fast, tied = timed("deep", [0.10, 0.40]), timed("slim", [0.10, 0.11]), timed("original", [0.101, 0.109])
    assert best([*slow, *fast, *tied]) == []  # all overlap: nothing stands apart
    slow, fast, tied = (
        timed("deep", [0.40, 0.41, 0.40]),
        timed("slim", [0.10, 0.11, 0.10]),
        timed("original", [0.101, 0.109, 0.1]),
    )
    assert best([*slow, *fast, *tied]) == ["original", "slim"]
    assert best([*slow, *timed("slim", [0.10, 0.11, 0.10], infer={"batch": 4}), *tied]) == ["original"]


def test_speed_up_over_the_reference_mode() -> None:
    found = timed("original", [0.2, 0.22, 0.21]) + timed("original", [0.1, 0.11, 0.105], mode="fast")
    speedup = cell(tabulate(SUITE, found), "infer", "original", "fast", "latency").speedup
    assert speedup is not None
    assert speedup.interval is not None
    assert speedup.interval.value == pytest.approx(2.0)


def test_published_beside_ours(table: Table) -> None:
    epoch = cell(table, "train", "slim", "fast", "train_epoch")
    theirs = epoch.published
    assert theirs is not None and theirs.ratio is not None and theirs.difference is not None
    assert epoch.ratio is not None and epoch.ratio.interval is not None
    assert theirs.text == "14.3 min"
    assert theirs.ratio == pytest.approx(14.3 / 14.8)
    assert theirs.difference.value == pytest.approx((epoch.ratio.interval.value / theirs.ratio - 1) * 100)
    params = cell(table, "static", "slim", "", "params").published
    assert params is not None and params.difference is not None and params.ratio is None
    assert params.difference.value == pytest.approx(6_730_912 - 6.7e6)


def test_the_entry_with_our_batch_comes_first_then_the_longest_training() -> None:
    entries = SUITE["variants"][0]["published"]
    assert choose(entries, "train_epoch", 6) is entries[0]
    assert choose(entries, "train_epoch", 20) is entries[2]
    assert choose(entries, "train_epoch", 2) is entries[0]  # the first of the two that trained for 220 epochs
    assert choose(entries, "latency", 20) is None


def test_what_is_published_but_not_measured_is_noted(table: Table) -> None:
    assert "Published, but not measured here (profile quick): pckh.mean14" in table.notes


def test_what_is_no_headline_is_left_out() -> None:
    hidden = Quantity(name="spread", unit="%", better="none", title="spread", headline=False)
    values = [Value(quantity=LATENCY, value=0.1), Value(quantity=hidden, value=3.0)]
    found = tabulate(SUITE, [record(job("original", "infer", mode="fp32"), values)])
    assert [column.key for column in section(found, "infer").columns] == ["latency"]


def test_without_a_baseline_there_are_no_ratios() -> None:
    found = tabulate(SUITE | {"baseline": None}, builders.records())
    assert not any(column.compared for one in found.sections for column in one.columns)
    assert found.baseline == ""


def test_estimated_and_measured_are_not_ranked_together() -> None:
    found = [
        record(job(variant, "train", mode="fast"), [Value(quantity=EPOCH, value=time, flags=flags)])
        for variant, time, flags in (("original", 100.0, []), ("deep", 50.0, ["estimated"]))
    ]
    assert not any(one.cells[0].best for one in section(tabulate(SUITE, found), "train").rows)


def test_an_old_header_without_anything_still_gives_a_table() -> None:
    found = tabulate({}, builders.records())
    assert [one.variant for one in section(found, "static").rows] == ["deep", "original", "slim"]
    assert len(section(found, "train").rows) == 3


def test_no_records_at_all() -> None:
    found = tabulate(SUITE, [])
    assert found.sections == ()
    assert found.lead[-1] == "Profile quick, 0 rounds, 0 jobs: none has a record"


RECORDS = builders.records()


@settings(max_examples=15)
@given(st.permutations(RECORDS), st.lists(st.sampled_from(RECORDS), max_size=5))
def test_neither_order_nor_repetition_matters(shuffled: list[Record], again: list[Record]) -> None:
    assert tabulate(SUITE, [*shuffled, *again]) == tabulate(SUITE, RECORDS)


def test_a_report_loads_no_heavy_module() -> None:
    code = (
        "import sys, builders, bench.renderers.terminal as t; from bench.table import tabulate;"
        "t.render(tabulate(builders.SUITE, builders.records()));"
        "print([m for m in ('torch', 'scipy.stats', 'matplotlib') if m in sys.modules])"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env={"PYTHONPATH": ":".join(sys.path)}
    )
    assert run.stdout == "[]\n", run.stderr


@pytest.mark.parametrize(
    ("base", "reason"),
    [
        (Value(quantity=LATENCY, reason="no clock"), "not compared: original has no value here"),
        (Value(quantity=LATENCY, value=0.2, flags=["mismatch"]), "not compared: original has a mismatch here"),
        (Value(quantity=LATENCY, value=0.0), "not compared: a ratio needs positive values"),
    ],
)
def test_a_baseline_that_nothing_compares_with(base: Value, reason: str) -> None:
    found = tabulate(SUITE, [*timed("slim", [0.1]), record(job("original", "infer", mode="fp32"), [base])])
    ratio = cell(found, "infer", "slim", "fp32", "latency").ratio
    assert ratio is not None
    assert ratio.reason == reason


def test_no_speed_up_where_the_reference_mode_failed() -> None:
    failed = record(job("original", "infer", mode="fp32"), status="oom", reason="too large")
    found = tabulate(SUITE, [failed, *timed("original", [0.1], mode="fast")])
    assert cell(found, "infer", "original", "fast", "latency").speedup == Ratio(
        reason="not compared: original has no value in fp32"
    )


def test_published_without_the_baselines_figure_has_no_ratio() -> None:
    suite = SUITE | {"variants": [{"name": "original"}, {"name": "slim", "published": [{"latency": "90 ms"}]}]}
    found = tabulate(suite, timed("slim", [0.1]) + timed("original", [0.2]))
    theirs = cell(found, "infer", "slim", "fp32", "latency").published
    assert theirs is not None
    assert (theirs.value, theirs.ratio, theirs.difference) == (0.09, None, None)
    assert theirs.source == "the document, batch not stated"
    assert "the document has no figure of the baseline" in terminal.render(found)


def test_the_machines_facts_are_one_line() -> None:
    machine = {"id": "aaaa", "cores": 2, "gpus": [{"name": "H200", "driver": "570"}], "empty": []}
    found = tabulate(SUITE, [record(job("slim", "static"), [Value(quantity=PARAMS, value=1)], machine=machine)])
    assert found.notes[-1] == "Machine aaaa: cores 2, gpus name H200 driver 570"


def test_published_parameters_beside_none_of_ours() -> None:
    found = tabulate(SUITE, [record(job("slim", "static"), [Value(quantity=PARAMS, reason="not built")])])
    assert "[a] not built" in terminal.render(found)


def test_what_the_other_measures_of_a_failed_job_found_is_shown() -> None:
    records = builders.records()
    failed = [
        msgspec.structs.replace(r, status="failed", reason="flops: no formula")
        if (r.job.variant, r.job.phase) == ("slim", "static")
        else r
        for r in records
    ]
    network = tabulate(builders.SUITE, failed).sections[0]
    slim = next(row for row in network.rows if row.variant == "slim")
    assert slim.cells[0].value is not None


def test_rounds_of_two_machines_are_neither_merged_nor_compared() -> None:
    other = builders.MACHINE | {"id": "other"}
    moved = [
        msgspec.structs.replace(r, machine=other)
        if (r.job.mode, r.job.phase, r.job.round) == ("fp32", "infer", 1)
        else r
        for r in builders.records()
    ]
    table = tabulate(builders.SUITE, moved)
    infer = next(section for section in table.sections if section.phase == "infer")
    row = next(row for row in infer.rows if (row.variant, row.mode) == ("original", "fp32"))
    assert row.cells[0].value is None
    assert row.cells[0].reason == "not merged: its rounds come from the machines 3f2a91c0 and other"


def test_a_speed_up_is_refused_between_machines() -> None:
    other = builders.MACHINE | {"id": "other"}
    moved = [
        msgspec.structs.replace(r, machine=other) if (r.job.mode, r.job.phase) == ("fp32", "infer") else r
        for r in builders.records()
    ]
    table = tabulate(builders.SUITE, moved)
    infer = next(section for section in table.sections if section.phase == "infer")
    row = next(row for row in infer.rows if (row.variant, row.mode) == ("original", "fast"))
    speedup = row.cells[0].speedup
    assert speedup is not None and speedup.interval is None
    assert speedup.reason == "not compared with fp32: machine 3f2a91c0 instead of other"
