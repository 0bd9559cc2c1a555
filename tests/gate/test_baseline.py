"""A stored run judged by an earlier one: what is never green, and what the figures of a finding are."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import builders
import msgspec
import pytest
from builders import EVAL, INFER_MEMORY, LATENCY, MACHINE, SCORES
from stored_runs import OTHER, RULES, STEADY, SUITE, about, counted, only, timed, unasked, unavailable, verdicts, write

from bench import gate
from bench.errors import NotComparable, StoreError, UsageError
from bench.gate import INCONCLUSIVE, NOT_COMPARABLE, NOT_MEASURED, PASS, REGRESSED, baseline
from bench.gate.baseline import judge, judgement_of, stored
from bench.record import Record, Value, fingerprints


def asked(records: Sequence[Record], *measures: str) -> list[Record]:
    """The records of jobs that had these measures to take."""
    return [
        msgspec.structs.replace(one, job=msgspec.structs.replace(one.job, measures=list(measures))) for one in records
    ]


def without_values(records: Sequence[Record], **changes: Any) -> list[Record]:
    return [msgspec.structs.replace(one, values=[], **changes) for one in records]


def test_the_same_code_passes(tmp_path: Path) -> None:
    found = judge(about(tmp_path, builders.records(), builders.records()), unasked)
    assert set(verdicts(found)) >= {"original/params", "original/fp32/latency", "slim/fast/throughput"}
    reasons = {one.cell: one.reason for one in found if one.verdict != PASS}
    assert reasons.keys() == {f"deep/fast/{name}" for name in ("latency", "throughput", "peak_memory")}
    assert set(reasons.values()) == {"oom: CUDA out of memory: 2.1 GiB more than there was (the run) in 1 of 3 rounds"}


# Never green: (records of the baseline, of the run) -> the verdict on the one figure that is gated.

NEVER_GREEN: dict[str, tuple[list[Record], list[Record], str, str]] = {
    "missing cell": (timed("a", STEADY), [], NOT_MEASURED, "the run has no record of it"),
    "missing in the baseline": ([], timed("a", STEADY), NOT_MEASURED, "the baseline has no record of it"),
    "no number": (timed("a", STEADY), timed("a", [None] * 3), NOT_MEASURED, "failed: no figure (the run)"),
    "no number before": (timed("a", [None] * 3), timed("a", STEADY), NOT_MEASURED, "failed: no figure (the baseline)"),
    "zero": (timed("a", STEADY), timed("a", [0.0] * 3), NOT_MEASURED, "failed: latency is 0.0 (the run)"),
    "one zero": (timed("a", STEADY), timed("a", [0.1, 0.0, 0.1]), NOT_MEASURED, "failed: latency is 0.0 (the run)"),
    "negative": (timed("a", STEADY), timed("a", [-0.1] * 3), NOT_MEASURED, "failed: latency is -0.1 (the run)"),
    "no rounds": (timed("a", STEADY), timed("a", []), NOT_MEASURED, "the run has no record of it"),
    "no values": (
        timed("a", STEADY),
        without_values(timed("a", STEADY)),
        NOT_MEASURED,
        "the run has no such figure",
    ),
    "no values in either": (
        asked(without_values(timed("a", STEADY)), "infer"),
        asked(without_values(timed("a", STEADY)), "infer"),
        NOT_MEASURED,
        "the run has no such figure",
    ),
    "all failed": (
        timed("a", STEADY),
        without_values(timed("a", STEADY), status="failed", reason="no kernel"),
        NOT_MEASURED,
        "failed: no kernel (the run)",
    ),
    "one failed": (
        timed("a", STEADY),
        timed("a", STEADY)[:4] + without_values(timed("a", STEADY)[4:], status="crashed", reason="killed by SIGSEGV"),
        NOT_MEASURED,
        "crashed: killed by SIGSEGV (the run) in 1 of 5 rounds",
    ),
    "other machine": (
        timed("a", STEADY),
        timed("a", STEADY, machine=OTHER),
        NOT_COMPARABLE,
        "machine 11112222 instead of 3f2a91c0",
    ),
    "unknown machine": (
        timed("a", STEADY, machine={}),
        timed("a", STEADY, machine={}),
        NOT_COMPARABLE,
        "machine unknown instead of unknown",
    ),
    "rounds of two machines": (
        timed("a", STEADY),
        timed("a", STEADY[:2]) + timed("a", [*STEADY[:2], 0.1], machine=OTHER)[2:],
        NOT_COMPARABLE,
        "machine 11112222 and 3f2a91c0 instead of 3f2a91c0",
    ),
    "other protocol": (
        timed("a", STEADY),
        timed("a", STEADY, infer={"batch": 2}),
        NOT_COMPARABLE,
        "infer.batch 2 instead of 1",
    ),
    "one round": (
        timed("a", STEADY),
        timed("a", STEADY[:1]),
        INCONCLUSIVE,
        "one round on a side: no interval; measure with --rounds 3 or more",
    ),
    "one round before": (timed("a", STEADY[:1]), timed("a", STEADY), INCONCLUSIVE, "one round on a side: no interval"),
    "collapse": (counted("a", 25e6), counted("a", 0.75e6), REGRESSED, "fell by 97 %: suspicious, not an improvement"),
    "one parameter more": (counted("a", 25e6), counted("a", 25e6 + 1), REGRESSED, ""),
    "a count on another machine": (counted("a", 7), counted("a", 8, machine=OTHER), REGRESSED, ""),
}


@pytest.mark.parametrize("name", NEVER_GREEN)
def test_never_green(tmp_path: Path, name: str) -> None:
    base, head, verdict, reason = NEVER_GREEN[name]
    found = judge(about(tmp_path, base, head), unasked)
    assert {finding.verdict for finding in found} == {verdict}
    assert found[0].reason.startswith(reason)
    report = judgement_of(about(tmp_path, base, head), found, "suites/x.toml", MACHINE)
    assert gate.exit_code(report, strict=True) != 0
    if verdict != INCONCLUSIVE:
        assert gate.exit_code(report) != 0


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_is_not_finite_is_no_figure(value: float) -> None:
    rounds = dict(enumerate(timed("a", [0.1, value])))
    assert [one.value for one in baseline.values_of(rounds, "latency")] == [0.1]
    assert baseline._logs([Value(quantity=LATENCY, value=value)], LATENCY) == []


def test_a_cell_that_failed_in_both_runs_is_not_passed_over(tmp_path: Path) -> None:
    failed = asked(without_values(timed("a", [None]), status="oom", reason="too large"), "infer", "memory")
    found = judge(about(tmp_path, failed + counted("a", 7), failed + counted("a", 7)), unasked)
    assert verdicts(found) == {
        **dict.fromkeys(["a/fp32/latency", "a/fp32/throughput", "a/fp32/peak_memory"], NOT_MEASURED),
        "a/params": PASS,
    }
    assert {f.reason for f in found if f.verdict == NOT_MEASURED} == {"oom: too large (the run)"}


def test_a_rule_that_neither_run_measured_is_said(tmp_path: Path) -> None:
    of = about(tmp_path, counted("a", 7), counted("a", 7), params="exact", latency="5%")
    report = judgement_of(of, judge(of, unasked), "suites/x.toml", MACHINE)
    assert "latency is not gated: neither run measured it" in report.notes


def test_a_baseline_that_is_not_there(tmp_path: Path) -> None:
    head = write(tmp_path / "head.jsonl", counted("a", 7))
    with pytest.raises(StoreError, match=r"base.jsonl: cannot read"):
        stored(tmp_path / "base.jsonl", head, RULES)


@pytest.mark.parametrize("torn", ["base", "head"])
def test_a_torn_run_is_no_run(tmp_path: Path, torn: str) -> None:
    paths = {
        name: write(tmp_path / f"{name}.jsonl", counted("a", 7), '{"type":"record","job' if name == torn else "")
        for name in ("base", "head")
    }
    with pytest.raises(StoreError, match=rf"{torn}.jsonl:3: torn last line.* --resume completes this one"):
        stored(paths["base"], paths["head"], RULES)


def test_a_run_is_not_judged_by_itself(tmp_path: Path) -> None:
    one = write(tmp_path / "one.jsonl", counted("a", 7))
    (tmp_path / "link.jsonl").symlink_to(one)
    copy = tmp_path / "copy.jsonl"
    copy.write_bytes(one.read_bytes())
    for path in (one, tmp_path / "link.jsonl", copy):
        with pytest.raises(UsageError, match="this is the run itself"):
            stored(path, one, RULES)


def test_two_runs_with_nothing_in_common(tmp_path: Path) -> None:
    with pytest.raises(NotComparable, match=r"no cell in common with .*: they hold a/static and b/static, for example"):
        about(tmp_path, counted("a", 7), counted("b", 7))


def test_what_is_portable_is_compared_across_machines(tmp_path: Path) -> None:
    found = judge(about(tmp_path, counted("a", 7), counted("a", 7, machine=OTHER)), unasked)
    assert verdicts(found) == {"a/params": PASS}


def test_an_optional_mode_that_neither_run_has_does_not_count(tmp_path: Path) -> None:
    suite = SUITE | {"modes": {"fp32": {}, "tensorrt": {"optional": True}}, "variants": [{"name": "a"}]}
    skipped = without_values(timed("a", [None], mode="tensorrt"), status="skipped", reason="no TensorRT")
    records = [*timed("a", STEADY), *asked(skipped, "infer")]
    base, head = (write(tmp_path / f"{n}.jsonl", records, suite=suite) for n in ("base", "head"))
    of = stored(base, head, {"latency": "5%"})
    found = judge(of, unasked)
    assert verdicts(found) == {"a/tensorrt/latency": NOT_MEASURED, "a/fp32/latency": PASS}
    assert gate.exit_code(judgement_of(of, found, "x.toml", MACHINE)) == 0
    had = write(tmp_path / "had.jsonl", timed("a", STEADY) + timed("a", STEADY, mode="tensorrt"), suite=suite)
    of = stored(had, head, {"latency": "5%"})
    assert gate.exit_code(judgement_of(of, judge(of, unasked), "x.toml", MACHINE)) == 4


def suite_of(*variants: str) -> dict[str, Any]:
    return SUITE | {"variants": [{"name": name} for name in variants]}


def test_a_new_variant_is_said_and_one_that_is_gone_can_be_accepted(tmp_path: Path) -> None:
    shared = counted("a", 7)
    base = write(tmp_path / "base.jsonl", shared + counted("old", 7), suite=suite_of("a", "old"))
    head = write(tmp_path / "head.jsonl", shared + counted("new", 7), suite=suite_of("a", "new"))
    of = stored(base, head, RULES)
    found = judge(of, unasked)
    assert verdicts(found) == {"old/params": NOT_MEASURED, "a/params": PASS}
    assert found[0].reason == "gone: it is in the baseline only" and found[0].acceptable
    assert "new, so that there is nothing to compare with: new/static" in judgement_of(of, found, "x", MACHINE).notes


def test_a_mode_that_broke_the_answer_has_no_time(tmp_path: Path) -> None:
    good, bad = timed("a", STEADY), timed("a", STEADY)
    bad = [
        msgspec.structs.replace(r, values=[msgspec.structs.replace(v, flags=["mismatch"]) for v in r.values])
        for r in bad
    ]
    found = only(judge(about(tmp_path, good, bad), unasked))
    assert (found.verdict, found.reason[:16]) == (NOT_MEASURED, "failed: mismatch")
    assert only(judge(about(tmp_path, bad, bad[:4]), unasked)).verdict == PASS


# What the figures of a finding are.


def test_figures_are_those_that_are_judged(tmp_path: Path) -> None:
    base, head = timed("a", [100, 300, 200], INFER_MEMORY), timed("a", [250, 301, 100], INFER_MEMORY)
    found = only(judge(about(tmp_path, base, head), unasked))
    assert (found.base, found.head, found.verdict, found.pairs) == (300, 301, PASS, 3)
    times = only(judge(about(tmp_path, timed("a", [1, 4]), timed("a", [2, 2])), unavailable))
    assert (times.base, times.head) == pytest.approx((2, 2))


def test_the_evaluation_has_a_protocol_of_its_own(tmp_path: Path) -> None:
    rules = {"eval_time": "5%", "latency": "5%"}
    base = timed("a", STEADY, EVAL) + timed("b", STEADY)
    head = timed("a", STEADY, EVAL, data={"val": 100}) + timed("b", STEADY, data={"val": 100})
    found = judge(about(tmp_path, base, head, **rules), unasked)
    assert verdicts(found) == {"a/fp32/eval_time": NOT_COMPARABLE, "b/fp32/latency": PASS}


# Accuracy.


def trained(totals: Mapping[int, float], correct: Sequence[float] = (), **other: Any) -> list[Record]:
    """Trainings by seed; `correct` of ten joints in every image."""
    images = {"images": {"correct": list(correct), "counted": [10] * len(correct)}} if correct else {}
    return [
        builders.record(
            builders.training("a", seed), [Value(quantity=SCORES["total"], value=total, details=images)], **other
        )
        for seed, total in totals.items()
    ]


IMAGES = [3, 9, 6] * 60


def test_accuracy_is_paired_by_image_on_any_machine(tmp_path: Path) -> None:
    worse = [one - 1 if i % 4 == 0 else one for i, one in enumerate(IMAGES)]
    for correct, verdict in ((worse, REGRESSED), (IMAGES, PASS)):
        total = 100 * sum(correct) / (10 * len(correct))
        head = trained({0: total}, correct, machine=OTHER)
        found = only(judge(about(tmp_path, trained({0: 60.0}, IMAGES), head), unasked))
        assert (found.verdict, found.cell) == (verdict, "a/fast/pckh.total")
    assert found.change == pytest.approx((0, 0, 0))


def test_accuracy_without_scores_of_images_is_open(tmp_path: Path) -> None:
    found = only(judge(about(tmp_path, trained({0: 60.0}), trained({0: 60.0})), unasked))
    assert found.verdict == INCONCLUSIVE and found.reason.startswith("no interval")


def test_accuracy_over_seeds(tmp_path: Path) -> None:
    base, head = trained({0: 60, 1: 61, 2: 62}, IMAGES), trained({0: 55.1, 1: 56, 2: 57.1}, IMAGES)
    found = only(judge(about(tmp_path, base, head), unasked))
    assert (found.verdict, found.base) == (REGRESSED, pytest.approx(61))
    assert found.change is not None and found.change[0] == pytest.approx(-4.9333, rel=1e-4)


def test_accuracy_of_another_data_set_is_not_compared(tmp_path: Path) -> None:
    other = trained({0: 60.0}, IMAGES)
    job = msgspec.structs.replace(other[0].job, data=other[0].job.data | {"size": 32})
    other = [msgspec.structs.replace(other[0], job=job, fingerprints=fingerprints(job))]
    assert only(judge(about(tmp_path, trained({0: 60.0}, IMAGES), other), unasked)).verdict == NOT_COMPARABLE


def test_accuracy_that_the_run_did_not_train_is_a_note(tmp_path: Path) -> None:
    base = trained({0: 60.0}, IMAGES) + counted("a", 7)
    taken = [msgspec.structs.replace(r, origin="20260101T000000Z-3f2a91c0") for r in trained({0: 60.0}, IMAGES)]
    untrained = [builders.record(builders.training("a"), status="skipped", reason="not trained", machine={})]
    for accuracy in (taken, untrained, []):
        of = about(tmp_path, base, accuracy + counted("a", 7))
        found = judge(of, unasked)
        assert verdicts(found) == {"a/params": PASS}
        report = judgement_of(of, found, "x", MACHINE)
        assert "not gated, since the run did not train it: a/fast/accuracy" in report.notes
        assert gate.exit_code(report, strict=True) == 0


# By what an accepted change is known again.


def test_an_identity_is_what_both_runs_say_of_their_network(tmp_path: Path) -> None:
    base = counted("a", 7, environment={"network": "n1", "code": "c1"}) + counted("b", 7)
    head = counted("a", 8, environment={"network": "n2", "code": "c1"}) + counted("b", 8)
    of = about(tmp_path, base, head)
    report = judgement_of(of, judge(of, unasked), "suites/made_up.toml", MACHINE)
    assert report.identities == {"a/params": ("n1-c1", "n2-c1")}
    assert (report.suite, report.path, report.head) == ("made_up", "suites/made_up.toml", "run head")
    assert report.notes[0].startswith("two sittings")
