"""The verdict on one figure, and the exit code of all of them."""

from math import inf, nan
from typing import Any, Literal

import msgspec
import pytest
from judgements import LATENCY, MEMORY, PARAMS, PCKH, counted, finding, judgement

from bench import gate
from bench.errors import Exit
from bench.gate import INCONCLUSIVE, NOT_COMPARABLE, NOT_MEASURED, PASS, REGRESSED, Span
from bench.record import Json, Quantity, Value

RESERVED = msgspec.structs.replace(MEMORY, name="peak_memory.reserved")


def quantity(name: str = "params", better: Literal["lower", "higher", "none"] = "lower", **fields: Any) -> Quantity:
    return Quantity(**{"name": name, "unit": "1", "better": better, "title": name, "exact": True} | fields)


FELL = "fell by 97 %: suspicious, not an improvement until it is accepted"


@pytest.mark.parametrize(
    ("base", "head", "better", "rule", "expected"),
    [
        (100, 100, "lower", "exact", (PASS, "the same")),
        (0, 0, "lower", "exact", (PASS, "the same")),
        (100, 101, "lower", "exact", (REGRESSED, "")),
        (100, 99, "lower", "exact", (PASS, "improved")),
        (100, 102, "lower", "2%", (PASS, "")),
        (100, 103, "lower", "2%", (REGRESSED, "")),
        (100, 71, "lower", "exact", (PASS, "improved")),
        (100, 69, "lower", "exact", (REGRESSED, FELL.replace("97", "31"))),
        (100, 3, "lower", "exact", (REGRESSED, FELL)),
        (100, 3, "lower", "50%", (REGRESSED, FELL)),
        (100, 0, "lower", "exact", (REGRESSED, FELL.replace("97", "100"))),
        (0, 1, "lower", "50%", (REGRESSED, "")),
        (0, -1, "lower", "exact", (REGRESSED, "fell by inf %: suspicious, not an improvement until it is accepted")),
        (100, 99, "higher", "exact", (REGRESSED, "")),
        (100, 101, "higher", "exact", (PASS, "improved")),
        (100, 3, "higher", "exact", (REGRESSED, "")),
        (0, 1, "higher", "exact", (PASS, "improved")),
        (-40, -41, "lower", "exact", (PASS, "improved")),
        (-40, -39, "lower", "exact", (REGRESSED, "")),
        (100, 101, "none", "exact", (REGRESSED, "")),
        (100, 99, "none", "exact", (REGRESSED, "")),
        (100, 99, "none", "2%", (PASS, "")),
        (100, 97, "none", "2%", (REGRESSED, "")),
        (0, -1, "none", "2%", (REGRESSED, "")),
    ],
)
def test_counts(
    base: int, head: int, better: Literal["lower", "higher", "none"], rule: str, expected: tuple[str, str]
) -> None:
    assert gate.exactly(base, head, quantity(better=better), rule) == expected


@pytest.mark.parametrize(("base", "head"), [(nan, 1.0), (1.0, nan), (nan, nan), (1.0, inf), (-inf, 1.0)])
def test_what_is_not_finite_is_judged_by_nobody(base: float, head: float) -> None:
    for judged in (
        lambda: gate.exactly(base, head, PARAMS),
        lambda: gate.by_maximum([base], [head], "1%"),
        lambda: gate.untimed([Value(quantity=PARAMS, value=base)], [Value(quantity=PARAMS, value=head)], "exact"),
    ):
        with pytest.raises(ValueError, match="a gate judges figures only"):
            judged()


@pytest.mark.parametrize("unlike", [PARAMS, MEMORY, PCKH], ids=lambda of: of.name)
def test_a_value_without_a_number_is_judged_by_nobody(unlike: Quantity) -> None:
    with pytest.raises(ValueError, match=f"{unlike.name} is None"):
        gate.untimed([Value(quantity=unlike, value=1)], [Value(quantity=unlike, reason="not measured")], "exact")


@pytest.mark.parametrize(
    ("change", "better", "expected"),
    [
        ((0.0, 0.0, 0.0), "higher", PASS),
        ((-0.2, -0.4, -0.1), "higher", PASS),
        ((-2.0, -3.0, -1.2), "higher", REGRESSED),
        ((-1.0, -2.0, 0.1), "higher", INCONCLUSIVE),
        ((5.0, 4.0, 6.0), "higher", PASS),
        ((2.0, 1.2, 3.0), "lower", REGRESSED),
        ((-5.0, -6.0, -4.0), "lower", PASS),
        ((2.0, 1.2, 3.0), "none", REGRESSED),
        ((-2.0, -3.0, -1.2), "none", REGRESSED),
        ((0.0, -0.5, 0.6), "none", PASS),
        ((0.0, -3.0, 3.0), "none", INCONCLUSIVE),
        ((0.0, None, None), "higher", INCONCLUSIVE),
        ((3.0, 1.0, None), "higher", INCONCLUSIVE),
        ((nan, nan, nan), "higher", INCONCLUSIVE),
    ],
)
def test_scores_by_their_points(change: Span, better: Literal["lower", "higher", "none"], expected: str) -> None:
    verdict, reason = gate.by_points(change, "1%", quantity("score", better, unit="%", exact=False))
    assert verdict == expected
    assert ("no interval" in reason) == (None in change)


def test_a_score_that_may_not_fall_at_all() -> None:
    judged = [gate.by_points(change, "exact", PCKH) for change in ((0, 0, 0), (-0.5, -0.6, -0.4), (0.1, -0.1, 0.3))]
    assert [verdict for verdict, _ in judged] == [PASS, REGRESSED, INCONCLUSIVE]


def scored(correct: list[float], counted: list[int] | None = None, value: float | None = None) -> Value:
    counted = [10] * len(correct) if counted is None else counted
    share = 100 * sum(correct) / max(1, sum(counted)) if value is None else value
    images = {"correct": correct, "counted": counted}
    return Value(quantity=PCKH, value=share, details={"images": images} if correct else {})


def test_scores_are_paired_by_image() -> None:
    hard_and_easy = [1, 9] * 50
    lost = [max(0, one - 1) for one in hard_and_easy]
    change, low, high = gate.paired_points(scored(hard_and_easy), scored(lost))
    assert change == pytest.approx(-10)
    assert low is not None and high is not None
    assert (low, high) == pytest.approx((-10, -10))  # every image lost the same, however much they differ


@pytest.mark.parametrize(
    "other",
    [
        scored([]),
        scored([5, 5], [10, 9]),
        scored([5, 5, 5]),
        Value(quantity=PCKH, value=50.0, details={"images": {"correct": [5], "counted": [10, 10]}}),
        Value(quantity=PCKH, value=50.0, details={"images": {"correct": [5, 5]}}),
        Value(quantity=PCKH, value=50.0, details={"images": None}),
    ],
    ids=["no images", "other images", "more images", "torn", "without counts", "null"],
)
def test_other_images_give_no_interval(other: Value) -> None:
    for base, head in ((scored([5, 5]), other), (other, scored([5, 5]))):
        verdict, reason, change = gate.untimed([base], [head], "1%")
        assert change is not None and change[1:] == (None, None)
        assert verdict == INCONCLUSIVE and reason.startswith("no interval")


def test_with_several_seeds_the_spread_over_seeds_counts() -> None:
    base = [scored([5] * 20, value=value) for value in (60.0, 62.0, 61.0)]
    head = [scored([5] * 20, value=value) for value in (59.0, 60.0, 61.0)]
    verdict, _, change = gate.untimed(base, head, "1%")
    assert change is not None and change[0] == pytest.approx(-1)
    assert change[1] == pytest.approx(-1 - 4.302653 / 3**0.5)  # t of 2 degrees of freedom, spread 1
    assert verdict == INCONCLUSIVE


def test_seeds_on_one_side_alone_are_not_paired_with_others() -> None:
    with pytest.raises(ValueError, match="zip"):
        gate.untimed([scored([5] * 20)] * 3, [scored([5] * 20)] * 2, "1%")


@pytest.mark.parametrize("trainings", [1, 2, 3])
def test_one_training_each_is_said(trainings: int) -> None:
    values = [scored([5] * 20)] * trainings
    verdict, reason, _ = gate.untimed(values, values, "1%")
    assert (verdict, reason) == (PASS, gate.ONE_TRAINING if trainings == 1 else "")


def test_what_a_score_could_have_shown() -> None:
    half = 0.5
    change = (0.0, -half, half)
    assert gate.detectable_points((0.0, None, None), "1%", 1) is None
    assert gate.detectable_points(change, "1%", 1) == pytest.approx(0.01 + half / 100 * (1 + 0.8416 / 1.96), rel=1e-4)
    # Of three seeds by t with two degrees of freedom: 1.061 and 4.303.
    assert gate.detectable_points(change, "1%", 3) == pytest.approx(0.01 + half / 100 * (1 + 1.0607 / 4.3027), rel=1e-4)


@pytest.mark.parametrize(("high", "suspicious"), [(0.19, True), (0.2, False), (None, False)])
def test_a_time_that_falls_to_a_fifth_is_suspicious(high: float | None, suspicious: bool) -> None:
    assert bool(gate.too_fast(0.1, high)) == suspicious


def test_head_over_base_is_the_inverse_of_worse_where_higher_is_better() -> None:
    assert gate.head_over_base((2.0, 1.6, None), quantity(better="higher")) == (0.5, None, 0.625)
    assert gate.head_over_base((2.0, 1.6, None), quantity()) == (2.0, 1.6, None)


def outputs(sha: str = "a", sample: list[float] | None = None, shape: list[int] | None = None) -> Json:
    return {"sha256": sha, "sample": [3.0, 4.0] if sample is None else sample, "shape": shape or [1, 2]}


@pytest.mark.parametrize(
    ("base", "head", "rule", "verdict", "reason"),
    [
        (outputs(), outputs(), "exact", PASS, "the same, bit for bit"),
        (outputs(), outputs("b"), "exact", REGRESSED, "relative L2 0.0e+00 apart"),
        (outputs(), outputs("b"), "1%", PASS, "relative L2 0.0e+00 apart"),
        (outputs(), outputs("b", [3.0, 4.03]), "1%", PASS, "relative L2 6.0e-03 apart"),
        (outputs(), outputs("b", [3.0, 4.1]), "1%", REGRESSED, "relative L2 2.0e-02 apart"),
        (outputs(), outputs("b", shape=[2, 1]), "1%", REGRESSED, "shape [2, 1] instead of [1, 2]"),
        (outputs(), outputs(shape=[2, 1]), "exact", REGRESSED, "shape [2, 1] instead of [1, 2]"),
        (outputs(), outputs("b", [3.0, nan]), "1%", REGRESSED, "relative L2 nan apart"),
        (outputs("a", [0.0, 0.0]), outputs("b", [0.0, 1.0]), "1%", REGRESSED, "relative L2 inf apart"),
        (outputs("a", [0.0, 0.0]), outputs("b", [0.0, -0.0]), "1%", PASS, "relative L2 0.0e+00 apart"),
        (outputs(), outputs("b", [3.0]), "1%", NOT_MEASURED, "failed: samples of 1 and 2 elements are not compared"),
        (outputs("a", []), outputs("b", []), "1%", NOT_MEASURED, "failed: samples of 0 and 0 elements"),
        ({}, {}, "exact", NOT_MEASURED, "failed: a record of outputs without its hash"),
        ({}, {}, "1%", NOT_MEASURED, "failed: a record of outputs without its hash"),
    ],
)
def test_outputs(base: Json, head: Json, rule: str, verdict: str, reason: str) -> None:
    found = gate.by_outputs(base, head, rule)
    assert found[0] == verdict
    assert found[1].startswith(reason)


OUTPUTS = quantity("outputs", "none", exact=False)


def answers(*details: Json) -> list[Value]:
    return [Value(quantity=OUTPUTS, value=1.0, details=one) for one in details]


def test_outputs_of_another_sitting_may_differ_in_their_bits() -> None:
    near, far = outputs("b", [3.0, 4.0001]), outputs("b", [3.0, 4.1])
    judged = [gate.untimed(answers(outputs()), answers(one), "exact", beside=False)[0] for one in (near, far)]
    assert judged == [PASS, REGRESSED]
    assert gate.untimed(answers(outputs()), answers(near), "exact")[0] == REGRESSED


def test_one_run_with_other_outputs_is_enough() -> None:
    verdict, _, change = gate.untimed(answers(outputs(), outputs()), answers(outputs("b"), outputs()), "exact")
    assert (verdict, change) == (REGRESSED, None)


def test_a_base_whose_bits_differ_from_run_to_run_cannot_be_met() -> None:
    base = answers(outputs("a"), outputs("b"))
    assert gate.untimed(base, answers(outputs("b"), outputs("b")), "exact")[0] == INCONCLUSIVE
    assert gate.untimed(base, answers(outputs("b"), outputs("b")), "1%")[0] == PASS


def numbers(of: Quantity, *values: float) -> list[Value]:
    return [Value(quantity=of, value=value) for value in values]


def test_counts_that_differ_from_run_to_run_are_no_counts() -> None:
    for base, head in (([7, 8], [8, 8]), ([8, 8], [7, 8])):
        verdict, reason, change = gate.untimed(numbers(PARAMS, *base), numbers(PARAMS, *head), "exact")
        assert (verdict, change) == (NOT_MEASURED, None)
        assert reason == "failed: must be the same in every run, and is not: 7 and 8"


@pytest.mark.parametrize(("better", "verdict"), [("lower", REGRESSED), ("higher", REGRESSED), ("none", REGRESSED)])
def test_of_what_is_no_count_the_worst_run_stands(better: Literal["lower", "higher", "none"], verdict: str) -> None:
    error = quantity("error", better, exact=False)
    bad = 0.5 if better == "higher" else 2.0
    assert gate.untimed(numbers(error, 1, 1, 1), numbers(error, 1, bad, 1), "20%")[0] == verdict
    assert gate.untimed(numbers(error, 1, bad, 1), numbers(error, 1, bad, 1), "20%")[0] == PASS


def test_the_change_is_of_the_figures_that_were_judged() -> None:
    assert gate.untimed(numbers(MEMORY, 100, 200), numbers(MEMORY, 150, 100), "1%") == (
        PASS,
        "improved",
        (0.75, None, None),
    )
    assert gate.untimed(numbers(PARAMS, 0), numbers(PARAMS, 1), "exact")[2] is None


@pytest.mark.parametrize(("rule", "share"), [("3%", 0.03), ("0.5 %", 0.005), ("exact", 0.0), ("100%", 1.0)])
def test_a_rule_as_a_share(rule: str, share: float) -> None:
    assert gate.tolerance(rule) == pytest.approx(share)


EXITS = {
    PASS: Exit.FINE,
    INCONCLUSIVE: Exit.FINE,
    NOT_COMPARABLE: Exit.NOT_COMPARABLE,
    NOT_MEASURED: Exit.NOT_MEASURED,
    REGRESSED: Exit.REGRESSION,
}


@pytest.mark.parametrize("verdict", gate.VERDICTS)
def test_each_verdict_alone_and_beside_a_pass(verdict: str) -> None:
    assert gate.exit_code(judgement(finding(verdict))) == EXITS[verdict]
    assert gate.exit_code(judgement(finding(), finding(verdict, "other"))) == EXITS[verdict]


def test_nothing_at_all_is_not_measured() -> None:
    assert gate.exit_code(judgement()) == gate.exit_code(judgement(strict=True)) == Exit.NOT_MEASURED


def test_a_gate_that_somebody_stopped() -> None:
    assert gate.exit_code(judgement(finding(REGRESSED), notes=["a note", gate.STOPPED])) == Exit.INTERRUPTED


@pytest.mark.parametrize("status", ["failed", "oom", "crashed", "timeout", "skipped"])
def test_a_job_that_went_wrong_is_told_from_one_that_was_not_done(status: str) -> None:
    found = judgement(finding(NOT_MEASURED, reason=f"{status}: something"))
    assert gate.exit_code(found) == (Exit.NOT_MEASURED if status == "skipped" else Exit.FAILED)


def test_exit_codes_in_their_order() -> None:
    worst_first = [
        (finding(REGRESSED), Exit.REGRESSION),
        (finding(NOT_MEASURED, reason="failed: no"), Exit.FAILED),
        (finding(NOT_MEASURED), Exit.NOT_MEASURED),
        (finding(NOT_COMPARABLE), Exit.NOT_COMPARABLE),
        (finding(INCONCLUSIVE), Exit.INCONCLUSIVE),
        (finding(PASS), Exit.FINE),
    ]
    for first, (_, code) in enumerate(worst_first):
        found = [one for one, _ in worst_first[first:]]
        assert gate.exit_code(judgement(*reversed(found), strict=True)) == code


def test_what_is_optional_and_absent_does_not_count() -> None:
    absent = finding(NOT_MEASURED, mode="tensorrt", optional=True, reason="skipped: no TensorRT here")
    assert gate.exit_code(judgement(finding(), absent)) == Exit.FINE
    assert gate.exit_code(judgement(absent)) == Exit.NOT_MEASURED
    assert gate.exit_code(judgement(finding(), finding(REGRESSED, optional=True))) == Exit.REGRESSION


def test_the_worst_come_first_and_keep_their_order() -> None:
    found = [finding(verdict, f"{verdict}{i}") for i in range(2) for verdict in reversed(gate.VERDICTS)]
    assert [one.variant for one in gate.ordered(found)] == [f"{v}{i}" for v in gate.VERDICTS for i in range(2)]
    assert judgement(*found).count(REGRESSED) == 2


@pytest.mark.parametrize(
    ("fields", "cell"),
    [
        ({}, "original/fast/latency"),
        ({"quantity": MEMORY}, "original/fast/peak_memory"),
        ({"quantity": MEMORY, "phase": "train"}, "original/fast/train.peak_memory"),
        ({"quantity": RESERVED, "phase": "train"}, "original/fast/train.peak_memory.reserved"),
        ({"quantity": PARAMS, "phase": "static", "mode": ""}, "original/params"),
    ],
)
def test_what_a_cell_is_called(fields: dict[str, Any], cell: str) -> None:
    assert finding(**fields).cell == cell


@pytest.mark.parametrize(
    ("verdict", "reason", "acceptable"),
    [
        (REGRESSED, "", True),
        (INCONCLUSIVE, "", True),
        (PASS, "", False),
        (NOT_COMPARABLE, "", False),
        (NOT_MEASURED, "failed: no", False),
        (NOT_MEASURED, f"{gate.GONE} it is in the base only", True),
    ],
)
def test_what_can_be_accepted(verdict: str, reason: str, acceptable: bool) -> None:
    assert finding(verdict, reason=reason).acceptable == acceptable


def test_a_score_is_compared_by_its_difference() -> None:
    assert finding(quantity=PCKH).difference
    assert not finding(quantity=LATENCY).difference and not counted("a", 1, 2).difference
