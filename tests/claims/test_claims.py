"""A document's claims, judged by made-up records."""

from collections.abc import Sequence
from dataclasses import replace
from random import Random
from typing import Any

import builders
import msgspec
import pytest
from builders import SUITE

from bench import claims
from bench.claims import Card, Judgement, Outcome, card
from bench.claims.effects import Effect, effect_of
from bench.record import Record, fingerprints
from bench.suite.condition import Comparison
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
        # a mode that changes the answer is compared with nothing
        ("latency('slim', mode='fast') < latency('original')", "not comparable", "slim: mismatch: the mode changes"),
        ("latency('slim', mode='fast') < 9 s", "not comparable", "slim: mismatch: the mode changes the answer"),
        # what is too large or too small for a number
        ("params('slim') * 1e300 * 1e300 < 1", "undecided", "a side is no finite number"),
        ("latency('original') / 1e200 < 1 s", "holds", ""),
        ("latency('original') / 1e-200 < 1 s", "fails", ""),
        ("latency('slim') * 1e300 > latency('original') / 1e300", "undecided", "a side is no finite number"),
        ("latency('slim') / 1e300 < latency('original') * 1e300", "undecided", "a side is no finite number"),
        ("1e160 * latency('slim') - 1e160 * latency('original') < 0", "undecided", "a side is no finite number"),
        ("1 / (1e-200 * latency('slim')) == 0 +- 1", "undecided", "a side is no finite number"),
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


@pytest.mark.parametrize(("factors", "variants"), [(["train.batch"], 2), (["train.batch", "infer.batch"], 3)])
def test_rows_that_are_not_comparable_share_no_error(factors: list[str], variants: int) -> None:
    def larger(of: Record) -> Record:
        if (of.job.variant, of.job.phase) != ("deep", "infer"):
            return of
        job = msgspec.structs.replace(of.job, infer={"batch": 8})
        return msgspec.structs.replace(of, job=job, fingerprints=fingerprints(job))

    found = [larger(one) for one in builders.records()]
    one = judgement("latency('slim') < latency('original')", found, factors=factors)
    assert one.effect.how == f"paired by round, its error from {variants} variants in 3 rounds"


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
    assert judgement("latency('original') < 9 s").others == ()  # the same verdict in both
    wrong = judgement("latency('slim') < latency('original')")
    assert wrong.verdict == "holds" and [there.verdict for _, there in wrong.others] == ["not comparable"]


@pytest.mark.parametrize(
    "condition",
    ["latency('original', mode='fp32') < 300 ms", "latency('original', mode='fast') < 0.9 * latency('original')"],
)
def test_a_claim_that_quotes_a_mode_is_about_no_other(condition: str) -> None:
    assert judgement(condition).others == ()


def test_what_no_mode_moves_is_judged_once(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []

    def counted(comparison: Comparison, *rest: Any) -> Effect:
        seen.append(str(comparison))
        return effect_of(comparison, *rest)

    monkeypatch.setattr(claims, "effect_of", counted)
    judgement("params('slim') < params('original')")
    assert len(seen) == 1
    judgement("latency('deep') < latency('original')")
    assert len(seen) == 3


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


@pytest.mark.parametrize(
    ("condition", "texts", "published"),
    [
        ("train_epoch('original', batch=20) < train_epoch('original', batch=6)", ["14.8 min", "18 min"], True),
        ("train_epoch('original') < train_epoch('original', batch=6)", ["14.8 min", "18 min"], True),
        ("train_epoch('original', batch=7) < train_epoch('original')", [None, "14.8 min"], None),
        ("train_epoch('slim', batch=6) < train_epoch('original', batch=20)", [None, "14.8 min"], None),
    ],
)
def test_published_figures_are_of_the_batch_that_is_quoted(
    condition: str, texts: list[str | None], published: bool | None
) -> None:
    found = judgement(condition)
    assert [figure.published and figure.published.text for figure in found.figures] == texts
    assert found.published is published


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


def test_judgements_compare_by_what_they_say() -> None:
    one = judgement("params('slim') < params('original')")
    assert replace(one, reason="x") != one
