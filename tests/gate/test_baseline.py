"""A stored run judged by an earlier one: what is never green, and what the figures of a finding are."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import builders
import msgspec
import pytest
from builders import EVAL, INFER_MEMORY, MACHINE
from stored_runs import (
    OTHER,
    RULES,
    STEADY,
    SUITE,
    about,
    counted,
    only,
    timed,
    unasked,
    unavailable,
    verdicts,
    without_values,
    write,
)

from bench import gate
from bench.errors import NotComparable, StoreError, UsageError
from bench.gate import INCONCLUSIVE, NOT_COMPARABLE, NOT_MEASURED, PASS, REGRESSED, suspects
from bench.gate.baseline import Stored, judge, judgement_of, stored
from bench.record import Record


def asked(records: Sequence[Record], *measures: str) -> list[Record]:
    """The records of jobs that had these measures to take."""
    return [
        msgspec.structs.replace(one, job=msgspec.structs.replace(one.job, measures=list(measures))) for one in records
    ]


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
        "no such figure (the run)",
    ),
    "no values in either": (
        asked(without_values(timed("a", STEADY)), "infer"),
        asked(without_values(timed("a", STEADY)), "infer"),
        NOT_MEASURED,
        "no such figure (the run)",
    ),
    "no number in two rounds": (
        timed("a", STEADY),
        timed("a", [*STEADY[:3], None, None]),
        NOT_MEASURED,
        "failed: no figure (the run) in 2 of 5 rounds",
    ),
    "no number in two rounds before": (
        timed("a", [*STEADY[:3], None, None]),
        timed("a", STEADY),
        NOT_MEASURED,
        "failed: no figure (the baseline) in 2 of 5 rounds",
    ),
    "no figure in one round": (
        timed("a", STEADY),
        timed("a", STEADY)[:4] + without_values(timed("a", STEADY)[4:]),
        NOT_MEASURED,
        "no such figure (the run) in 1 of 5 rounds",
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
    "one failed before": (
        timed("a", STEADY)[:4] + without_values(timed("a", STEADY)[4:], status="crashed", reason="killed by SIGSEGV"),
        timed("a", STEADY),
        NOT_MEASURED,
        "crashed: killed by SIGSEGV (the baseline) in 1 of 5 rounds",
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
    "collapse of a time": (
        timed("a", STEADY),
        timed("a", [value / 100 for value in STEADY]),
        REGRESSED,
        "100 times as fast: suspicious, not an improvement until it is accepted",
    ),
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
    assert gate.exit_code(msgspec.structs.replace(report, strict=True)) != 0
    if verdict != INCONCLUSIVE:
        assert gate.exit_code(report) != 0


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_is_not_finite_is_no_figure(value: float) -> None:
    rounds = timed("a", [0.1, value])
    assert [one.value for one in suspects.values_of(rounds, "latency")] == [0.1]
    assert [suspects.lost(record, "latency") for record in rounds] == ["", "failed: no figure"]


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


# Machines that differ in what somebody allows.


def of_machines(tmp_path: Path, allowed: Sequence[str], **theirs: Any) -> Stored:
    """A run of MACHINE, and a baseline of one that differs in `theirs`."""
    other = OTHER | theirs
    base = write(tmp_path / "base.jsonl", timed("a", STEADY, machine=other), machine=other)
    head = write(tmp_path / "head.jsonl", timed("a", STEADY), machine=MACHINE)
    return stored(base, head, RULES, allowed)


@pytest.mark.parametrize(
    ("theirs", "allowed", "verdict"),
    [
        ({"torch": "2.12.0"}, (), NOT_COMPARABLE),
        ({"torch": "2.12.0"}, ("torch",), PASS),
        ({"torch": "2.12.0", "cpu": "Other CPU"}, ("torch",), NOT_COMPARABLE),
        ({"torch": "2.12.0", "cpu": "Other CPU"}, ("torch", "cpu"), PASS),
        ({"gpus": [{"name": "Example GPU", "driver": "570.1"}]}, ("driver",), NOT_COMPARABLE),
    ],
)
def test_machines_may_differ_in_what_is_allowed(
    tmp_path: Path, theirs: dict[str, Any], allowed: tuple[str, ...], verdict: str
) -> None:
    of = of_machines(tmp_path, allowed, **theirs)
    found = judge(of, unasked)
    assert only(found).verdict == verdict
    notes = [note for note in judgement_of(of, found, "x", MACHINE).notes if note.startswith("--allow-mismatch ")]
    assert len(notes) == len(allowed)
    if allowed[:1] == ("torch",):
        assert notes[0] == "--allow-mismatch torch: torch 2.13.0 instead of 2.12.0"


def test_a_field_of_the_gpus_may_differ(tmp_path: Path) -> None:
    gpu = {"name": "Example GPU", "power_limit": 300, "driver": "570.1"}
    ours, theirs = (MACHINE | {"id": driver, "gpus": [gpu | {"driver": driver}] * 2} for driver in ("570.1", "580.2"))
    base = write(tmp_path / "base.jsonl", timed("a", STEADY, machine=theirs), machine=theirs)
    head = write(tmp_path / "head.jsonl", timed("a", STEADY, machine=ours), machine=ours)
    assert only(judge(stored(base, head, RULES), unasked)).verdict == NOT_COMPARABLE
    assert only(judge(stored(base, head, RULES, ["driver"]), unasked)).verdict == PASS
    with pytest.raises(UsageError, match="drivr: no field of these machines; did you mean 'driver'"):
        stored(base, head, RULES, ["drivr"])


def test_nobody_may_allow_an_unknown_machine(tmp_path: Path) -> None:
    base = write(tmp_path / "base.jsonl", timed("a", STEADY, machine={}), machine=MACHINE)
    head = write(tmp_path / "head.jsonl", timed("a", STEADY), machine=MACHINE)
    assert only(judge(stored(base, head, RULES, ["torch"]), unasked)).verdict == NOT_COMPARABLE


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


# By what an accepted change is known again.


def identity(tmp_path: Path, **fields: Any) -> str:
    job = fields.pop("job", {})
    (one,) = timed("a", [1.0], environment={"network": "n", "code": "c"} | fields)
    one = msgspec.structs.replace(one, job=msgspec.structs.replace(one.job, **job))
    of = about(tmp_path, [one], [one])
    (pair,) = judgement_of(of, judge(of, unasked), "s.toml", MACHINE).identities.values()
    assert pair[0] == pair[1]
    return pair[1]


@pytest.mark.parametrize(
    "change", [{"network": "m"}, {"code": "d"}, {"job": {"weights_hash": "w"}}, {"job": {"modes": {"amp": "float16"}}}]
)
def test_an_identity_hangs_on_all_that_a_figure_hangs_on(tmp_path: Path, change: dict[str, Any]) -> None:
    assert identity(tmp_path) == identity(tmp_path) != identity(tmp_path, **change)


def test_an_identity_is_what_both_runs_say_of_their_network(tmp_path: Path) -> None:
    base = counted("a", 7, environment={"network": "n1", "code": "c1"}) + counted("b", 7)
    head = counted("a", 8, environment={"network": "n2", "code": "c1"}) + counted("b", 8)
    of = about(tmp_path, base, head)
    report = judgement_of(of, judge(of, unasked), "suites/made_up.toml", MACHINE)
    assert report.identities.keys() == {"a/params"}, "of b nothing says which network it is"
    before, after = report.identities["a/params"]
    assert before != after
    assert (report.suite, report.path, report.head) == ("made_up", "suites/made_up.toml", "run head")
    assert report.notes[0].startswith("two sittings")
