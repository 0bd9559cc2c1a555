"""A document's claims against our records: each holds, fails, is undecided or not comparable. A pure function.

A comparison holds where the whole 95 % interval of left against right lies on its side, fails where it lies wholly on
the other, and is undecided in between. A claim holds if all of its comparisons do, and fails if any does. That it
holds needs no correction for several comparisons: an intersection-union test is wrong at most as often as its weakest
part, 2.5 %. That it fails is a union, wrong in at most as many times 2.5 % as it has comparisons.

Both sides are compared by their ratio where they are times, rates or sizes, and by their difference where they are
percentages of trained networks. Times are paired by round. Between networks whose accuracies are compared the trainings
are the unit, three of each at least; what one training alone says of its network is resampled by image (contrasts.py).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import inf, log
from typing import Literal

from bench.claims.effects import Effect, effect_of, point
from bench.claims.quoted import Figure, Measured, confounds, look_ups, measured
from bench.record import FLAGS, Json, Record
from bench.suite import condition
from bench.suite.condition import Comparison, evaluate
from bench.table import Table
from bench.table.merge import averaged

Verdict = Literal["holds", "fails", "undecided", "not comparable"]

VERDICTS: tuple[Verdict, ...] = ("holds", "fails", "undecided", "not comparable")


@dataclass(frozen=True, slots=True)
class Judgement:
    """What came of one comparison.

    Attributes:
        reason: why it is undecided or not comparable.
        published: whether the document's own figures satisfy it; None where it does not have them all.
        others: mode -> the same comparison there, where it quotes no mode and comes to another verdict.
    """

    comparison: Comparison
    verdict: Verdict
    figures: tuple[Figure, ...]
    effect: Effect
    reason: str = ""
    notes: tuple[str, ...] = ()
    published: bool | None = None
    others: tuple[tuple[str, "Judgement"], ...] = ()


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of the test that backs a claim."""

    verdict: Verdict
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Finding:
    """What came of a claim."""

    says: str
    where: str
    verdict: Verdict
    judgements: tuple[Judgement, ...] = ()
    test: str = ""
    outcome: Outcome | None = None


@dataclass(frozen=True, slots=True)
class Card:
    """The report card of a reproduction: its findings, and the table of the run that they are from."""

    findings: tuple[Finding, ...]
    table: Table

    @property
    def counts(self) -> dict[Verdict, int]:
        """How many claims came to each verdict; none is left out."""
        return {verdict: sum(one.verdict == verdict for one in self.findings) for verdict in VERDICTS}


def card(suite: Json, records: Sequence[Record], outcomes: Mapping[str, Outcome] | None = None) -> Card:
    """The claims of a suite, as a run's header keeps it, judged by the run's records.

    Args:
        outcomes: what came of the tests that back claims, as far as they were run.

    Raises:
        ValueError: a condition cannot be read.
    """
    claims = [
        (claim, [one for text in claim.get("holds_if") or () for one in condition.parse(text)])
        for claim in suite.get("claims") or ()
    ]
    quantities = {call.quantity for _, comparisons in claims for one in comparisons for call in one.calls}
    run = measured(suite, records, quantities)
    return Card(tuple(_finding(claim, comparisons, run, outcomes or {}) for claim, comparisons in claims), run.table)


def _finding(claim: Json, comparisons: Sequence[Comparison], run: Measured, outcomes: Mapping[str, Outcome]) -> Finding:
    judgements = tuple(judge(comparison, run) for comparison in comparisons)
    test = claim.get("test") or ""
    outcome = (
        outcomes.get(test, Outcome("undecided", f"backed by a test, run it with: pytest {test}")) if test else None
    )
    return Finding(
        says=claim.get("says") or "",
        where=claim.get("where") or "",
        verdict=_worst([*(one.verdict for one in judgements), *([outcome.verdict] if outcome else [])]),
        judgements=judgements,
        test=test,
        outcome=outcome,
    )


def _worst(verdicts: Sequence[Verdict]) -> Verdict:
    """Of a conjunction."""
    order: tuple[Verdict, ...] = ("fails", "not comparable", "undecided")
    return next((verdict for verdict in order if verdict in verdicts), "holds" if verdicts else "undecided")


def judge(comparison: Comparison, run: Measured) -> Judgement:
    """One comparison, in the reference mode where it quotes none, and what is different in the others."""
    here = _judge(comparison, look_ups(comparison.calls, run, run.study.reference), run)
    others = []
    modes = () if any(call.mode for call in comparison.calls) else run.study.modes
    for mode in modes:
        quoted = look_ups(comparison.calls, run, mode)
        moved = any(one.found != other.found for one, other in zip(quoted, here.figures, strict=True))
        if moved and all(figure.cell.value is not None for figure in quoted):
            there = _judge(comparison, quoted, run)
            others += [(mode, there)] if there.verdict != here.verdict else []
    return replace(here, others=tuple(others))


def _judge(comparison: Comparison, quoted: tuple[Figure, ...], run: Measured) -> Judgement:
    published = _by_document(comparison, quoted)
    without = dict.fromkeys(_without(figure) for figure in quoted if figure.reason)
    if without:
        return Judgement(comparison, "undecided", quoted, Effect(), "; ".join(without), published=published)
    against, labels = confounds(quoted, run)
    notes = (*labels, *(note for figure in quoted for note in figure.notes), *_remarks(quoted))
    if against:
        reason = ", ".join(against)
        return Judgement(comparison, "not comparable", quoted, Effect(), reason, notes, published)
    effect = effect_of(comparison, quoted, run)
    verdict: Verdict = "undecided"
    if effect.interval is not None and not effect.reason:
        verdict = _decide(comparison, effect, _right(comparison, quoted))
    reason = effect.reason
    if verdict == "undecided" and not reason:
        equal = comparison.sign == "==" and comparison.tolerance is None
        reason = "equality needs a tolerance: == ... +- 5%" if equal else "the interval lies on both sides"
    return Judgement(comparison, verdict, quoted, effect, reason, tuple(dict.fromkeys(notes)), published)


def _right(comparison: Comparison, quoted: Sequence[Figure]) -> float:
    return float(evaluate(comparison.right, {figure.call: float(figure.cell.value or 0) for figure in quoted}))


def _without(figure: Figure) -> str:
    """Why a figure decides nothing, and which one."""
    named = figure.call.variant in figure.reason or figure.call.quantity in figure.reason
    return figure.reason if named else f"{figure.call.variant}: {figure.reason}"


def _remarks(quoted: Sequence[Figure]) -> list[str]:
    """Flags of the values that are used, where an accuracy is from, and what else must be known of the figures."""
    said = []
    for flag in dict.fromkeys(flag for figure in quoted for flag in figure.cell.flags):
        flagged = [figure.call.variant for figure in quoted if flag in figure.cell.flags]
        whose = f" ({', '.join(flagged)})" if len(flagged) < len(quoted) else ""
        said.append(f"{flag}{whose}: {FLAGS[flag]}" if flag in FLAGS else f"{flag}{whose}")
    rows = [figure.found.row for figure in quoted if figure.found and figure.learnt]
    said += [f"{row.variant} {note}" for row in rows for note in row.notes if note.startswith("trained in an earlier")]
    seeds = {(figure.call.variant, len(figure.cell.rounds)) for figure in quoted if figure.learnt}
    if {count for _, count in seeds} == {1}:
        each = " each" * (len(seeds) > 1)
        said.append(f"one training{each}: what another seed would change is not in the interval")
    worst = {figure.call.quantity: None for figure in quoted if _shows_worst(figure)}
    return said + [f"{name}: shown is the worst of the rounds, compared are their means" for name in worst]


def _shows_worst(figure: Figure) -> bool:
    values = {value for _, value in figure.cell.rounds}
    if figure.found is None or figure.exact or figure.learnt or len(values) < 2:
        return False
    return not averaged(figure.found.column.quantity, values)


def _by_document(comparison: Comparison, quoted: Sequence[Figure]) -> bool | None:
    """Whether the document's own figures, which have no interval, satisfy its claim."""
    values = {figure.call: figure.published.value for figure in quoted if figure.published}
    if len(values) < len(quoted) or not quoted:
        return None
    effect = point(comparison, values, ratio=False)
    if effect.interval is None:
        return None
    return _decide(comparison, effect, float(evaluate(comparison.right, values))) == "holds"


def _decide(comparison: Comparison, effect: Effect, right: float) -> Verdict:
    """By where the interval lies; `right` is the right side, to which a share is relative."""
    assert effect.interval is not None
    value = effect.interval
    low, high = (value.value if bound is None else bound for bound in (value.low, value.high))
    if effect.ratio:
        low, high = log(low), log(high)
    if comparison.sign == "==":
        least, most = _limits(comparison, right, effect.ratio)
        return "holds" if least <= low and high <= most else "fails" if high < least or low > most else "undecided"
    if comparison.sign in (">", ">="):
        low, high = -high, -low
    if comparison.sign in ("<", ">"):
        return "holds" if high < 0 else "fails" if low >= 0 else "undecided"
    return "holds" if high <= 0 else "fails" if low > 0 else "undecided"


def _limits(comparison: Comparison, right: float, ratio: bool) -> tuple[float, float]:
    """How far left and right may lie apart and still be equal, as a logarithm of their ratio or as a difference."""
    tolerance = comparison.tolerance
    if tolerance is None:
        return 0.0, 0.0
    if tolerance.share is None:
        return -tolerance.amount.value, tolerance.amount.value
    if ratio:
        return log(1 - tolerance.share) if tolerance.share < 1 else -inf, log(1 + tolerance.share)
    return -tolerance.share * abs(right), tolerance.share * abs(right)
