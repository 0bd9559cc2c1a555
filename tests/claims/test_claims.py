"""A document's claims, judged by made-up records."""

from collections.abc import Sequence
from dataclasses import replace
from random import Random
from typing import Any

import builders
import msgspec
import pytest
from builders import SUITE, record, trained, training

from bench.claims import Card, Judgement, Outcome, card
from bench.record import Record, fingerprints
from bench.table import Cell, tabulate
from bench.table.lookup import figures


def judged(*claims: dict[str, Any], found: Sequence[Record] | None = None, **suite: Any) -> Card:
    return card(SUITE | suite | {"claims": list(claims)}, builders.records() if found is None else found)


def judgement(condition: str, found: Sequence[Record] | None = None, **suite: Any) -> Judgement:
    """What comes of one comparison."""
    (finding,) = judged({"says": "s", "holds_if": [condition]}, found=found, **suite).findings
    (one,) = finding.judgements
    assert finding.verdict == one.verdict
    return one


def cell(quantity: str, variant: str, mode: str) -> Cell:
    table = tabulate(SUITE, builders.records())
    return next(found.cell for found in figures(table, quantity, variant) if found.row.mode == mode)


@pytest.mark.parametrize(
    ("condition", "verdict", "reason"),
    [
        ("latency('slim') < latency('original')", "holds", ""),
        ("latency('slim') > latency('original')", "fails", ""),
        ("latency('deep') <= latency('original')", "fails", ""),
        ("latency('slim') < 0.52 * latency('original')", "undecided", "the interval lies on both sides"),
        ("latency('slim') / latency('original') < 0.6", "holds", ""),
        ("latency('original') - latency('slim') > 100 ms", "holds", ""),
        ("0 < latency('slim')", "holds", ""),
        ("throughput('slim') > throughput('original')", "holds", ""),
        ("latency('original') < 1 s", "holds", ""),
        ("latency('original') < 100 ms", "fails", ""),
        ("latency('original', mode='fast') < 0.6 * latency('original')", "holds", ""),
        ("latency('deep', mode='fast') < latency('deep')", "holds", ""),
        ("eval_time('original') < 3000 * latency('original')", "holds", ""),
        ("train_step('original') < 5 * latency('original', mode='fast')", "fails", ""),
        ("peak_memory('slim') < 0.6 * peak_memory('original')", "holds", ""),
        ("train.peak_memory('original') < peak_memory('original')", "fails", ""),
        # exact figures
        ("params('slim') < params('original')", "holds", ""),
        ("macs('deep') <= macs('original')", "fails", ""),
        ("params('original') == 25594624", "holds", ""),
        ("params('original') == 25594625", "fails", ""),
        ("flops('slim') == 2 * macs('slim')", "holds", ""),
        ("params('slim') <= params('slim')", "holds", ""),
        ("params('slim') < params('slim')", "fails", ""),
        # within a tolerance
        ("latency('slim') == 0.52 * latency('original') +- 10%", "holds", ""),
        ("latency('slim') == latency('original') +- 10%", "fails", ""),
        ("latency('slim') == 0.52 * latency('original') +- 0.5%", "undecided", "the interval lies on both sides"),
        ("latency('slim') == 0.52 * latency('original') +- 30 ms", "holds", ""),
        ("latency('slim') == latency('original') +- 30 ms", "fails", ""),
        ("params('slim') == params('original') +- 80%", "holds", ""),
        ("params('slim') == params('original') +- 20%", "fails", ""),
        ("latency('slim') == 0.5 * latency('original') +- 200%", "holds", ""),
        ("latency('slim') == 0.52 * latency('original')", "undecided", "equality needs a tolerance: == ... +- 5%"),
        ("latency('slim') == latency('original')", "fails", ""),
        # what says nothing
        ("latency('slim', mode='fast') < latency('original', mode='fast')", "undecided", "slim: mismatch: the mode ch"),
        ("train_epoch('deep') < train_epoch('original')", "undecided", "deep: oom: CUDA out of memory at batch 20"),
        ("eval_time('slim') < 1 s", "undecided", "slim: no validation images: data.val is 0"),
        ("error('original') < 0.1", "undecided", "original: fp32 is what this figure compares with"),
        ("latency('wide') < 1 s", "undecided", "wide was not measured in this run"),
        ("energy('slim') < energy('original')", "undecided", "energy was not measured in this run"),
        ("latency('slim', mode='int8') < 1 s", "undecided", "slim was not measured in int8, only in fp32 and fast"),
        ("params('slim', mode='fast') < 1", "undecided", "params is the same in every mode: leave mode='fast' out"),
        ("params('slim', batch=2) < 1", "undecided", "params has no batch: leave batch=2 out"),
        ("train_step('slim', batch=20) < 1 s", "undecided", "slim: measured at train.batch 6, not 20"),
        ("1 / (params('slim') - params('slim')) < 1", "undecided", "divides by zero (a difference is 0 here)"),
        ("params('slim') * 1e300 * 1e300 < 1", "undecided", "a side is no finite number"),
    ],
)
def test_comparisons(condition: str, verdict: str, reason: str) -> None:
    found = judgement(condition)
    assert (found.verdict, found.reason[: len(reason) or 1]) == (verdict, reason)


def test_the_interval_is_that_of_the_tables_ratio() -> None:
    for mode in ("fp32", "fast"):
        found = judgement(f"latency('deep', mode='{mode}') > latency('original', mode='{mode}')")
        ratio = cell("latency", "deep", mode).ratio
        assert ratio is not None and ratio.interval is not None and found.effect.interval is not None
        assert found.effect.ratio
        assert found.effect.interval.value == pytest.approx(ratio.interval.value)
        if mode == "fp32":  # in fast slim is wrong and deep lacks a round: two of two rounds, two of three cells
            assert found.effect.interval.high == pytest.approx(ratio.interval.high)
            assert found.effect.how == "paired by round, its error from 3 variants in 3 rounds"


def test_a_speed_up_is_paired_by_round() -> None:
    found = judgement("latency('original') > 2 * latency('original', mode='fast')")
    speedup = cell("latency", "original", "fast").speedup
    assert speedup is not None and speedup.interval is not None and found.effect.interval is not None
    assert found.effect.interval.low == pytest.approx((speedup.interval.low or 0) / 2)


def test_a_figure_against_itself_cancels() -> None:
    found = judgement("latency('original') == latency('original', mode='fp32') +- 1%")
    assert found.verdict == "holds" and found.effect.interval is not None
    assert found.effect.interval.low == found.effect.interval.high == 1.0


def test_what_is_quoted_is_shown_in_the_reference_mode_and_other_modes_are_told() -> None:
    found = judgement("latency('original') < 300 ms")
    assert (found.verdict, found.figures[0].found and found.figures[0].found.row.mode) == ("fails", "fp32")
    ((mode, there),) = found.others
    assert (mode, there.verdict) == ("fast", "holds")
    assert judgement("latency('original', mode='fp32') < 300 ms").others == ()
    assert judgement("latency('original') < 9 s").others == ()  # the same verdict in both


def test_training_is_of_the_mode_that_there_is_and_says_so() -> None:
    found = judgement("train_step('original') < 2 s")
    assert (found.verdict, found.others) == ("holds", ())
    assert "train was measured in fast only, not in fp32" in found.notes


def test_declared_factors_are_compared_and_told_and_others_are_refused() -> None:
    condition = "train_epoch('slim') < train_epoch('original')"
    declared, undeclared = judgement(condition), judgement(condition, factors=[])
    assert declared.verdict == "holds"
    assert "train.batch 6 instead of 20 (slim and original)" in declared.notes
    assert undeclared.verdict == "not comparable"
    assert undeclared.reason == "train.batch 6 instead of 20 (slim and original)"
    quoted = judgement("train_epoch('slim', batch=6) < train_epoch('original', batch=20)", factors=[])
    assert quoted.verdict == "holds"


def elsewhere(of: Record) -> Record:
    return msgspec.structs.replace(of, machine={"id": "bbbb"}) if of.job.variant == "slim" else of


def test_machines_are_never_mixed_but_counts_are() -> None:
    found = [elsewhere(one) for one in builders.records()]
    assert judgement("latency('slim') < latency('original')", found).verdict == "not comparable"
    assert "machine bbbb instead of 3f2a91c0" in judgement("latency('slim') < latency('original')", found).reason
    assert judgement("params('slim') < params('original')", found).verdict == "holds"
    assert judgement("latency('deep') > latency('original')", found).verdict == "holds"


def test_another_size_is_a_confound_across_phases_too() -> None:
    def larger(of: Record) -> Record:
        if of.job.phase != "train":
            return of
        job = msgspec.structs.replace(of.job, data=of.job.data | {"size": 512})
        return msgspec.structs.replace(of, job=job, fingerprints=fingerprints(job))

    found = [larger(one) for one in builders.records()]
    one = judgement("train_step('original') < 100 * latency('original', mode='fast')", found)
    assert one.verdict == "not comparable" and "data.size 512 instead of" in one.reason


def test_one_round_decides_nothing_but_is_shown() -> None:
    found = [one for one in builders.records() if one.job.round == 0]
    one = judgement("latency('slim') < latency('original')", found)
    assert (one.verdict, one.reason) == ("undecided", "one round, no interval (run with --rounds 3)")
    assert one.effect.interval is not None and 0.5 < one.effect.interval.value < 0.54
    assert one.effect.interval.low is None
    assert judgement("params('slim') < params('original')", found).verdict == "holds"


def test_rounds_that_are_not_shared() -> None:
    apart = {"slim": (0, 1), "original": (1, 2), "deep": (0, 1, 2)}
    found = [one for one in builders.records() if one.job.round in apart[one.job.variant]]
    one = judgement("latency('slim') < latency('original')", found)
    assert (one.verdict, one.reason) == ("undecided", "fewer than two rounds in which all of it was measured")


def test_flags_are_used_and_told() -> None:
    notes = judgement("latency('deep') > latency('original')").notes
    assert "noisy (deep): the interval of the median is wider than the protocol asks for" in notes
    assert "estimated: derived from a part, not measured in full" in judgement("eval_time('original') > 1 s").notes
    assert judgement("peak_memory('slim') < 9 GiB").notes[-1:] == (
        "peak_memory: shown is the worst of the rounds, compared are their means",
    )


@pytest.mark.parametrize(
    ("verdicts", "whole"),
    [
        ("hh", "holds"),
        ("hf", "fails"),
        ("hu", "undecided"),
        ("uf", "fails"),
        ("hn", "not comparable"),
        ("un", "not comparable"),
        ("nf", "fails"),
    ],
)
def test_a_claim_is_a_conjunction(verdicts: str, whole: str) -> None:
    conditions = {
        "h": "params('slim') < params('original')",
        "f": "params('slim') > params('original')",
        "u": "latency('wide') < 1 s",
        "n": "train_step('slim') < train_step('original')",
    }
    claim = {"says": "s", "where": "section 1", "holds_if": [conditions[letter] for letter in verdicts]}
    found = judged(claim, factors=[])
    assert found.findings[0].verdict == whole
    assert found.counts[found.findings[0].verdict] == 1 and sum(found.counts.values()) == 1


def test_a_chain_is_one_claim() -> None:
    found = judged({"says": "s", "holds_if": ["params('slim') < params('original') < params('deep')"]})
    assert [one.verdict for one in found.findings[0].judgements] == ["holds", "holds"]


def test_a_structural_claim_hangs_on_its_test() -> None:
    claim = {"says": "s", "test": "tests/test_x.py::test_y"}
    assert judged(claim).findings[0].outcome == Outcome(
        "undecided", "backed by a test, run it with: pytest tests/test_x.py::test_y"
    )
    outcomes = {"tests/test_x.py::test_y": Outcome("holds")}
    both = claim | {"holds_if": ["params('slim') > params('original')"]}
    found = card(SUITE | {"claims": [claim, both]}, builders.records(), outcomes)
    assert [finding.verdict for finding in found.findings] == ["holds", "fails"]


def test_published_figures_are_judged_too() -> None:
    found = judgement("train_epoch('slim') < train_epoch('original')")
    assert [figure.published and figure.published.text for figure in found.figures] == ["14.3 min", "14.8 min"]
    assert found.published is True
    assert judgement("train_epoch('deep') > train_epoch('original')").published is False
    assert judgement("train_epoch('slim') == train_epoch('original') +- 5%").published is True
    assert judgement("latency('slim') < latency('original')").published is None
    unmeasured = judgement("pckh.mean14('original') > 80 %")
    assert (unmeasured.verdict, unmeasured.published) == ("undecided", True)
    assert judgement("eval_time('original', mode='fast') < 2 min").published is None  # the document has no such mode


def test_the_order_of_records_does_not_matter() -> None:
    conditions = ["latency('deep', mode='fast') < latency('original')", "train_epoch('slim') < train_epoch('original')"]
    found = builders.records()
    shuffled = list(found)
    Random(3).shuffle(shuffled)
    for condition in conditions:
        assert judgement(condition, found) == judgement(condition, shuffled)


def test_without_records_all_is_undecided() -> None:
    one = judgement("latency('slim') < latency('original')", [])
    assert (one.verdict, one.reason) == ("undecided", "latency was not measured in this run")


def test_an_unreadable_condition() -> None:
    with pytest.raises(ValueError, match="divides by zero"):
        judgement("latency('slim') / 0 < 1")


def scored(variant: str, right: Sequence[int], counted: Sequence[int], **other: Any) -> Record:
    """A training whose `pckh.total` has its scores by image, and nine points around each figure."""
    total = 100 * sum(right) / sum(counted)
    found = trained(variant, total, **other)
    details = {"images": {"correct": list(right), "counted": list(counted)}}
    values = [
        msgspec.structs.replace(value, low=value.value - 4.5, high=value.value + 4.5)
        if value.quantity.name in ("pckh.total", "pckh.mean14") and value.value is not None
        else value
        for value in found.values
    ]
    values[0] = msgspec.structs.replace(values[0], details=details)
    return msgspec.structs.replace(found, values=values)


COUNTED = [14] * 100
HARD = Random(1).choices([2, 7, 12], k=100)
EASIER = [right + (n % 3 == 0) for n, right in enumerate(HARD)]
"""Right about the same joints, and a third of the images have one more: a small difference that pairing shows."""


def test_accuracy_is_paired_by_image() -> None:
    found = [scored("original", EASIER, COUNTED), scored("slim", HARD, COUNTED)]
    one = judgement("pckh.total('slim') < pckh.total('original')", found)
    assert (one.verdict, one.effect.how, one.effect.ratio) == ("holds", "paired by image", False)
    assert one.effect.interval is not None and one.effect.interval.low is not None
    assert one.effect.interval.value == pytest.approx(-100 * 34 / 1400)
    assert -3.2 < one.effect.interval.low < -2.6
    assert "one training each: what another seed would change is not in the interval" in one.notes
    assert judgement("pckh.total('slim') > pckh.total('original') - 4.0", found).verdict == "holds"
    assert judgement("pckh.total('slim') > pckh.total('original') - 1.0", found).verdict == "fails"


def test_a_mean_over_the_same_joints_is_correlated_as_they_are() -> None:
    found = [scored("original", EASIER, COUNTED), scored("slim", HARD, COUNTED)]
    one = judgement("pckh.mean14('slim') < pckh.mean14('original')", found)
    assert one.verdict == "holds"
    assert one.effect.how == "paired by image, correlated as pckh.total, whose scores by image are kept"


@pytest.mark.parametrize("other", [None, [13] * 100, [14] * 99])
def test_without_the_same_images_there_are_only_the_two_intervals(other: list[int] | None) -> None:
    slim = trained("slim", 50.0) if other is None else scored("slim", HARD[: len(other)], other)
    found = [scored("original", EASIER, COUNTED), slim]
    one = judgement("pckh.total('slim') < pckh.total('original')", found)
    assert one.effect.how == "not paired: from the figures' own intervals"
    assert one.effect.interval is not None and one.effect.interval.half_width is not None
    assert one.effect.interval.half_width == pytest.approx((4.5**2 + (1.0 if other is None else 4.5) ** 2) ** 0.5, 1e-3)


def test_several_seeds_are_the_unit() -> None:
    found = [trained("original", 60 + x, seed=n) for n, x in enumerate((0.0, 0.5, 1.0))]
    found += [trained("slim", 50 + x, seed=n) for n, x in enumerate((0.0, 0.5, 1.0))]
    one = judgement("pckh.total('slim') < pckh.total('original')", found)
    assert (one.verdict, one.effect.how) == ("holds", "over 3 seeds")
    assert one.effect.interval is not None
    # Welch: 0.5 * sqrt(2 / 3) * t of 4 degrees of freedom
    assert one.effect.interval.half_width == pytest.approx(0.5 * (2 / 3) ** 0.5 * 2.7764, rel=1e-4)
    mixed = judgement("pckh.total('slim') < pckh.total('original')", [*found[:3], trained("slim", 50.0)])
    assert (mixed.verdict, mixed.reason) == (
        "undecided",
        "one seed of slim beside several: its spread over seeds is not known",
    )


def test_what_has_not_learnt_decides_nothing() -> None:
    found = [trained("original", 60.0), trained("slim", 12.0, flags=("not_learnt",))]
    one = judgement("pckh.total('slim') < pckh.total('original')", found)
    assert one.verdict == "undecided" and one.reason.startswith("slim: not_learnt: the network does not clearly beat")


def test_accuracy_of_another_protocol_is_not_compared() -> None:
    found = [trained("original", 60.0), trained("slim", 50.0, tables={"data": {"size": 128}})]
    one = judgement("pckh.total('slim') < pckh.total('original')", found)
    assert (one.verdict, one.reason) == ("not comparable", "data.size 128 instead of 64 (slim and original)")


def test_accuracy_beside_speed() -> None:
    found = [*builders.records(), trained("original", 60.0), trained("slim", 50.0)]
    one = judgement("pckh.total('slim') / latency('slim') > pckh.total('original') / latency('original')", found)
    assert one.verdict == "holds" and one.effect.ratio
    assert any(note.startswith("data.size ") for note in one.notes)
    assert judgement("pckh.total('slim', mode='fp32') > 1 %", found).reason.startswith("slim was not measured in fp32")


def test_where_accuracy_is_from_is_told() -> None:
    found = [trained("original", 60.0), trained("slim", 50.0, origin="20260101T000000Z-aaaa")]
    notes = judgement("pckh.total('slim') < pckh.total('original')", found).notes
    assert any(note.startswith("slim trained in an earlier run: 20260101T000000Z-aaaa") for note in notes)


def test_a_training_that_nobody_asked_for() -> None:
    absent = record(training("slim"), status="skipped", reason="not trained yet", machine={}, started="")
    one = judgement("pckh.total('slim') < pckh.total('original')", [trained("original", 60.0), absent])
    assert (one.verdict, one.reason) == ("undecided", "slim: not trained yet")


def test_quantities_that_are_no_headlines_can_be_quoted() -> None:
    found = judgement("loss.test('original') < 1", [trained("original", 60.0)])
    assert found.verdict == "undecided" and found.reason == "one seed, no interval"
    assert found.figures[0].cell.value == 0.01


def test_judgements_compare_by_what_they_say() -> None:
    one = judgement("params('slim') < params('original')")
    assert replace(one, reason="x") != one
