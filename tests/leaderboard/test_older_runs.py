"""A run that failed, was cut short or is of a part does not take the place of an older one that is whole."""

from collections.abc import Callable

import pytest
from boards import NEW, OLD, board, broken, changed, entry, flagged, infer_batch, run, slower, text
from builders import LATENCY, SUITE, records, trained
from msgspec.structs import replace

from bench.record import Record, Value
from bench.store import Loaded

LATER = "20260112T100000Z-3f2a91c0"


def later(found: list[Record], started: str = "2026-01-09T10:00:00Z") -> list[Record]:
    return [replace(record, started=started) for record in found]


def cut(found: list[Record]) -> list[Record]:
    return [record for record in found if record.job.round == 0]


def timed_out(found: list[Record]) -> list[Record]:
    return changed(found, broken, variant="original", mode="fp32", phase="infer", round=2)


def crashed(found: list[Record]) -> list[Record]:
    return changed(found, lambda r: broken(r, "crashed", "killed by SIGKILL"), phase="infer")


def disturbed(found: list[Record]) -> list[Record]:
    return changed(found, lambda r: flagged(r, "contended"), phase="infer")


def not_a_number(found: list[Record]) -> list[Record]:
    nan = Value(quantity=LATENCY, value=float("nan"))
    return changed(found, lambda r: replace(r, values=[nan, *r.values[1:]]), phase="infer", round=1)


FAILING: list[tuple[Callable[[list[Record]], list[Record]], str]] = [
    (cut, "some jobs that were planned gave no figure (1 of 3 rounds)"),
    (timed_out, "some jobs that were planned gave no figure (2 of 3 rounds; timeout: no record within 600 s)"),
    (crashed, "crashed: killed by SIGKILL"),
    (not_a_number, "some jobs that were planned gave no figure (2 of 3 rounds; not a number)"),
    (disturbed, "a flag says that the figure itself is off (contended: other processes used the CPU"),
]


@pytest.mark.parametrize(("change", "why"), FAILING, ids=[case[0].__name__ for case in FAILING])
def test_the_older_figures_stay_and_the_newer_attempt_is_named(
    change: Callable[[list[Record]], list[Record]], why: str
) -> None:
    good = entry(board(run(records())), "original")
    found = board(run(records()), run(change(later(records())), NEW))
    row = entry(found, "original")
    assert (row.rank, row.run, row.cells["latency"].value) == (3, OLD, good.cells["latency"].value)
    assert any(note.startswith(f"newer times of run {NEW}, not shown: {why}") for note in row.notes)
    assert [e.rank for e in found.entries] == [1, 2, 3, 4, None, None], "nor does any other row lose its rank"


def test_of_another_protocol_too_a_run_that_is_cut_ranks_nothing() -> None:
    other = changed(later(cut(records())), lambda r: infer_batch(r, 8), phase="infer")
    found = board(run(records()), run(other, NEW))
    assert [e.rank for e in found.entries] == [1, 2, 3, 4, None, None]
    assert any(f"newer times of run {NEW}, not shown" in note for note in entry(found, "original").notes)


def test_uncommitted_changes_and_few_rounds_do_not_displace_figures_either() -> None:
    dirty = run(later(records()), NEW, source={"dirty": "abc"})
    short = run(later(cut(records())), LATER, suite={"rounds": 1})
    found = entry(board(run(records()), dirty, short), "original")
    assert (found.rank, found.run) == (3, OLD)
    first, second = (note for note in found.notes if "not shown" in note)
    assert f"run {LATER}" in first and "fewer than 3 rounds (it has 1)" in first
    assert f"run {NEW}" in second and "uncommitted changes" in second


def test_answers_that_are_wrong_are_not_covered_by_an_older_run_that_was_right() -> None:
    wrong = changed(later(cut(records())), lambda r: flagged(r, "mismatch"), variant="original", mode="fast")
    found = entry(board(run(records()), run(wrong, NEW)), "original", "fast")
    assert found.rank is None and found.run == NEW and "answers" in [failure.rule.id for failure in found.failed]
    dirty = entry(board(run(records()), run(wrong, NEW, source={"dirty": "abc"})), "original", "fast")
    assert dirty.rank == 1 and dirty.run == OLD, "what is not committed says nothing of what is"


def test_a_newer_whole_run_takes_the_place() -> None:
    faster = changed(later(records()), lambda r: slower(r, 0.5), phase="infer")
    found = entry(board(run(records()), run(timed_out(records()), NEW), run(faster, LATER)), "original")
    assert found.run == LATER and not found.notes


def test_without_any_figures_to_rank_those_are_shown_that_lack_least() -> None:
    dirty = run(records(), source={"dirty": "abc"})
    found = entry(board(dirty, run(crashed(later(records())), NEW)), "original")
    assert found.rank is None and found.run == OLD and found.cells["latency"].value is not None
    gone = changed(records(), lambda r: broken(r, "crashed", "gone"), variant="original", phase="infer")
    failed = entry(board(run(gone)), "original")
    assert failed.status == "crashed" and failed.rank is None and not failed.notes


def test_what_ranks_decides_whether_a_run_is_whole() -> None:
    no_latency = changed(
        later(records()), lambda r: replace(r, status="failed", reason="x", values=r.values[1:]), phase="infer"
    )
    runs = run(records()), run(no_latency, NEW)
    assert entry(board(*runs), "original").run == OLD
    assert entry(board(*runs, by="throughput"), "original").run == NEW


def test_training_times_and_counts_stay_as_well() -> None:
    bad = changed(later(records()), broken, phase="train")
    bad = changed(bad, lambda r: broken(r, "crashed", "gone"), phase="static")
    found = entry(board(run(records()), run(bad, NEW)), "original", "fast")
    assert found.run == NEW and found.cells["train_epoch"].value and found.cells["params"].value == 25_594_624
    assert f"newer training times of run {NEW}, not shown: timeout: no record within 600 s" in found.notes
    assert f"newer counts of run {NEW}, not shown: crashed: gone" in found.notes


def test_a_training_that_crashed_does_not_replace_an_accuracy() -> None:
    gone = broken(trained("original", 0.0, started="2026-01-09T10:00:00Z"), "crashed", "killed by SIGKILL")
    good = [*records(), trained("original", 60.0), trained("slim", 50.0)]
    found = entry(board(run(good), run([gone], NEW)), "original")
    assert found.cells["pckh.total"].value == 60.0
    assert found.notes == (f"newer accuracy of run {NEW}, not shown: crashed: killed by SIGKILL",)
    before = entry(board(run([gone], "20260101T100000Z-3f2a91c0"), run(good)), "original")
    assert before.cells["pckh.total"].value == 60.0 and not before.notes
    never = entry(board(run([*records(), gone, trained("slim", 50.0)])), "original")
    assert never.cells["pckh.total"].reason == "crashed: killed by SIGKILL"


def test_failed_trainings_do_not_decide_by_which_protocol_most_were_trained() -> None:
    good = [trained("original", 60.0), trained("slim", 50.0)]
    names = ("original", "slim", "deep")
    other = [broken(trained(name, 0.0, tables={"train": {"samples": 999}}), "oom", "no room") for name in names]
    found = board(run([*records(), *good]), run(other, NEW))
    assert entry(found, "slim").cells["pckh.total"].value == 50.0
    assert entry(found, "deep").cells["pckh.total"].reason == "oom: no room"
    longer = run([trained("deep", 70.0, tables={"train": {"samples": 999}})], LATER)
    found = board(run([*records(), *good]), run(other, NEW), longer)
    assert "trained by another protocol" in entry(found, "deep").cells["pckh.total"].reason


def test_a_run_of_one_mode_does_not_become_what_speed_ups_refer_to() -> None:
    fast = [r for r in later(records()) if r.job.mode in ("fast", "")]
    found = board(run(records()), run(fast, NEW, suite={"modes": {"fast": SUITE["modes"]["fast"]}}))
    assert found.reference == "fp32"


CLAIMS = [
    {"says": "slim is faster", "holds_if": ["latency('slim') < latency('original')"]},
    {"says": "and than deep", "holds_if": ["latency('slim', mode='fp32') < latency('deep', mode='fp32')"]},
    {"says": "another", "holds_if": ["latency('never') < latency('deep')"]},
    {"says": "tested", "test": "tests/test_x.py::test_y"},
]


def claimed(found: list[Record], name: str = OLD, **changes: object) -> Loaded:
    suite = {"claims": CLAIMS, **{k: v for k, v in changes.items() if k in ("variants", "modes", "rounds")}}
    return run(found, name, suite=suite)


PARTS: list[tuple[str, Callable[[list[Record]], list[Record]], dict[str, object]]] = [
    ("killed", lambda found: found[:14], {}),
    ("cut", cut, {}),
    ("one round", cut, {"rounds": 1}),
    ("crashed", crashed, {}),
    (
        "one variant",
        lambda found: [r for r in found if r.job.variant == "original"],
        {"variants": [v for v in SUITE["variants"] if v["name"] == "original"]},
    ),
    ("one mode", lambda found: [r for r in found if r.job.mode != "fp32"], {"modes": {"fast": {"plugins": {}}}}),
]


@pytest.mark.parametrize(("change", "head"), [case[1:] for case in PARTS], ids=[case[0] for case in PARTS])
def test_claims_are_judged_by_the_newest_run_that_has_most_of_their_figures(
    change: Callable[[list[Record]], list[Record]], head: dict[str, object]
) -> None:
    whole = text(claimed(records()), kind="claims")
    assert "4 claims: 2 hold, 2 undecided" in whole
    part = claimed(change(later(records())), NEW, **head)
    found = text(claimed(records()), part, kind="claims")
    line = next(line for line in found.splitlines() if NEW in line)
    assert line.startswith(f"- run {NEW} is newer and not shown: it has ") and line.endswith("quote, this one 5")
    assert found.replace(f"{line}\n", "") == whole
    newest = text(claimed(records()), claimed(later(records()), NEW), kind="claims")
    assert "2026-01-09" in newest and "not shown" not in newest
    alone = text(claimed(change(later(records())), NEW, **head), kind="claims")
    assert "2026-01-09" in alone, "what there is, where there is nothing else"


def test_accuracy_and_counts_are_quoted_too() -> None:
    claims = [{"says": "x", "holds_if": ["params('slim') < params('original')", "pckh.total('slim') > 1.0"]}]
    full = run([*records(), trained("slim", 50.0)], suite={"claims": claims})
    without = run(later(records()), NEW, suite={"claims": claims})
    said = text(full, without, kind="claims")
    assert f"run {NEW} is newer and not shown: it has 2 of the 3 figures" in said
