"""New x baseline x rules -> findings: what got slower, bigger or worse, and what nobody can tell. Pure functions.

A finding is never green for want of a figure: what is missing, not finite or of another machine has its own verdict.
"""

from collections.abc import Iterable, Mapping, Sequence
from itertools import count
from math import comb, copysign, inf, isfinite
from typing import Literal

import msgspec

from bench.contrasts import by_image
from bench.errors import Exit
from bench.record import Json, Quantity, Value
from bench.sequential import ALPHA, POWER
from bench.stats import MISS, arithmetic_interval

PASS, REGRESSED, INCONCLUSIVE = "PASS", "REGRESSED", "INCONCLUSIVE"
NOT_MEASURED, NOT_COMPARABLE = "NOT MEASURED", "NOT COMPARABLE"

VERDICTS = (REGRESSED, NOT_MEASURED, NOT_COMPARABLE, INCONCLUSIVE, PASS)
"""Worst first, as findings are listed."""

DEFAULT_RULES: Mapping[str, str] = {"params": "exact", "macs": "exact", "latency": "2%", "peak_memory": "1%"}
"""What is gated where a suite has no [gate]."""

COLLAPSE = 0.3
"""An exact count that falls by more than this is no improvement until somebody says so: half a network is gone."""

FIVEFOLD = 0.2
"""Head over base below which a time is not an improvement until somebody says so: work was left out."""

EXACT = "exact"

STOPPED = "it was interrupted"
"""The note of a sitting that somebody stopped."""

ONE_TRAINING = "one training each: another seed could move it"
"""What is to be known of a score that no spread over seeds is behind."""

GONE = "gone:"
"""How the reason of a cell begins that only the base has."""

Span = tuple[float, float | None, float | None]
"""A value and the bounds of its 95 % interval, None where it has none."""


class Finding(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The verdict on one quantity of one cell.

    Attributes:
        rule: the allowed worsening: `3%` or `exact`.
        base, head: the two figures in the quantity's unit; None where there is none.
        change: head over base with its 95 % interval; of scores in percent, head minus base in points.
        detectable: the smallest worsening, as a share, that this procedure finds with 80 % power at this noise.
        reason: why the verdict is what it is, where the figures alone do not say so.
        line: of the variant in the suite; 0 where it is not in it.
        optional: the suite marks its mode or variant so, and the base has no figure either: that neither was measured
            does not count for the exit code.
    """

    variant: str
    phase: str
    quantity: Quantity
    verdict: Literal["PASS", "REGRESSED", "INCONCLUSIVE", "NOT MEASURED", "NOT COMPARABLE"]
    mode: str = ""
    rule: str = EXACT
    base: float | None = None
    head: float | None = None
    change: Span | None = None
    pairs: int = 0
    detectable: float | None = None
    reason: str = ""
    line: int = 0
    optional: bool = False

    @property
    def name(self) -> str:
        """The quantity, with its phase where that is not the first which has it: `train.peak_memory`."""
        named = self.quantity.name.partition(".")[0] == "peak_memory" and self.phase != "infer"
        return f"{self.phase}.{self.quantity.name}" if named else self.quantity.name

    @property
    def cell(self) -> str:
        """What people call it, and `bench accept` takes: `variant/mode/quantity`."""
        return "/".join(part for part in (self.variant, self.mode, self.name) if part)

    @property
    def acceptable(self) -> bool:
        """Somebody may say that it is meant: a change, doubtful or not, or a cell that was taken out."""
        return self.verdict in (REGRESSED, INCONCLUSIVE) or self.reason.startswith(GONE)

    @property
    def difference(self) -> bool:
        """`change` is a difference in points rather than a ratio."""
        return self.quantity.unit == "%"


class Judgement(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a gate found.

    Attributes:
        suite, path: its name and file; base, head: what was compared, as people call it.
        identities: cell -> (network of base, network of head), by which an accepted change is known again.
        strict: what is inconclusive fails.
        notes: what else must be known: tolerances that changed, new variants, what was left out.
    """

    suite: str
    path: str
    base: str
    head: str
    findings: list[Finding]
    profile: str = ""
    machine: Json = {}
    identities: dict[str, tuple[str, str]] = {}
    notes: list[str] = []
    seconds: float = 0.0
    strict: bool = False

    def count(self, verdict: str) -> int:
        """Findings with this verdict."""
        return sum(finding.verdict == verdict for finding in self.findings)


def ordered(findings: Iterable[Finding]) -> list[Finding]:
    """Worst first, else as they were."""
    return sorted(findings, key=lambda finding: VERDICTS.index(finding.verdict))


def exit_code(judgement: Judgement) -> Exit:
    """130 where somebody stopped it, else 1 before 5, 4, 6 and 3. Nothing found at all is not measured.

    6 also where other figures could be compared and passed: what was asked for was not judged in full.
    """
    if STOPPED in judgement.notes:
        return Exit.INTERRUPTED
    counted = [one for one in judgement.findings if not (one.optional and one.verdict == NOT_MEASURED)]
    found = {finding.verdict for finding in counted}
    if REGRESSED in found:
        return Exit.REGRESSION
    if any(finding.verdict == NOT_MEASURED and finding.reason.startswith(BROKEN) for finding in counted):
        return Exit.FAILED
    if NOT_MEASURED in found or not found:
        return Exit.NOT_MEASURED
    if NOT_COMPARABLE in found:
        return Exit.NOT_COMPARABLE
    return Exit.INCONCLUSIVE if judgement.strict and INCONCLUSIVE in found else Exit.FINE


BROKEN = ("failed:", "oom:", "crashed:", "timeout:")
"""How the reason begins where a job was run and gave no figure."""


def tolerance(rule: str) -> float:
    """The allowed worsening as a share: 0.03 of `3%`; 0 of `exact`."""
    return 0.0 if rule == EXACT else float(rule.rstrip("% ")) / 100


def exactly(base: float, head: float, quantity: Quantity, rule: str = EXACT) -> tuple[str, str]:
    """(Verdict, reason) of counts: the same everywhere, so that any worsening beyond the rule is real.

    >>> q = Quantity(name="params", unit="1", better="lower", title="parameters", exact=True)
    >>> exactly(100, 101, q)[0], exactly(100, 101, q, "2%")[0], exactly(100, 3, q)
    ('REGRESSED', 'PASS', ('REGRESSED', 'fell by 97 %: suspicious, not an improvement until it is accepted'))

    Raises:
        ValueError: one is not finite.
    """
    _check(base, head)
    if base == head:
        return PASS, "the same"
    change = (head - base) / abs(base) if base else copysign(inf, head)
    worse = change if quantity.better == "lower" else -change if quantity.better == "higher" else abs(change)
    if worse > tolerance(rule):
        return REGRESSED, ""
    if change < -COLLAPSE:
        return REGRESSED, f"fell by {-100 * change:.0f} %: suspicious, not an improvement until it is accepted"
    return PASS, "improved" if worse < 0 else ""


def by_maximum(base: Sequence[float], head: Sequence[float], rule: str, peaks: int = 1) -> tuple[str, str]:
    """(Verdict, reason) of a peak: the largest of all runs of each arm, since a peak is a peak.

    A larger one is a change where every run of head is above all of base's, and that is no chance: among the `peaks`
    of a gate it comes about without a change in at most 5 % of gates. Runs that are equal to the byte within each arm,
    as those of a device's allocator, have no chance in them; on the CPU they differ by more than a rule allows.

    >>> by_maximum([100, 101, 102], [104, 105, 106], "1%")[0], by_maximum([100, 101], [99, 105], "1%")[0]
    ('REGRESSED', 'INCONCLUSIVE')

    Raises:
        ValueError: one is not finite, or an arm has none.
    """
    _check(*base, *head)
    if max(head) == max(base):
        return PASS, "the same"
    least, worse = ((end(head) / max(base) - 1 if max(base) else inf) for end in (min, max))
    if worse < -COLLAPSE:
        return REGRESSED, f"fell by {-100 * worse:.0f} %: suspicious, not an improvement until it is accepted"
    if worse <= tolerance(rule):
        return PASS, "improved" if worse < -tolerance(rule) else ""
    if min(head) <= max(base):
        reach = f"from {100 * least:+.0f} % to {100 * worse:+.0f} % of the base's largest"
        return INCONCLUSIVE, f"its {len(head)} runs lie {reach}"
    if repeats(base, head) or head_runs(peaks, len(base)) <= len(head):
        return REGRESSED, ""
    chance = f"as by chance in 1 of {comb(len(base) + len(head), len(base))} peaks"
    said = f"head's runs ({len(head)}) all lie above the base's ({len(base)}), {chance}"
    return INCONCLUSIVE, f"{said}; this gate has {peaks} and would take {pairs_for_peaks(peaks)} runs of each"


def is_peak(quantity: Quantity) -> bool:
    """Judged by the largest of all runs."""
    return quantity.unit == "byte" and not quantity.exact


def repeats(*arms: Sequence[float]) -> bool:
    """Whether the runs of each arm, two or more, are equal to the byte."""
    return all(len(arm) > 1 and len(set(arm)) == 1 for arm in arms)


def head_runs(peaks: int, base: int) -> int:
    """The fewest runs of head that are no chance where all of them are larger than all of base's, in so many peaks.

    Without a change, one of the C(base + head, base) orders of a peak's runs has all of head's last.
    """
    return next(head for head in count(1) if peaks <= ALPHA * comb(base + head, base))


def pairs_for_peaks(peaks: int) -> int:
    """Runs of each arm from which so many peaks can be told from chance.

    >>> [pairs_for_peaks(peaks) for peaks in (1, 12, 30, 100)]
    [3, 5, 6, 7]
    """
    return next(pairs for pairs in count(1) if head_runs(peaks, pairs) <= pairs)


def too_fast(worse: float, high: float | None) -> str:
    """Why a time that fell is no improvement yet; empty where it may be one.

    >>> too_fast(0.02, 0.03), too_fast(0.5, 0.6)
    ('50 times as fast: suspicious, not an improvement until it is accepted', '')

    Args:
        worse: what head is worse by as a ratio; high: the upper bound of its interval.
    """
    if high is None or high >= FIVEFOLD:
        return ""
    return f"{1 / worse:.0f} times as fast: suspicious, not an improvement until it is accepted"


def head_over_base(worse: Span, quantity: Quantity) -> Span:
    """Head over base, of what head is worse by as a ratio: its inverse where higher is better."""
    value, low, high = worse
    return (1 / value, high and 1 / high, low and 1 / low) if quantity.better == "higher" else worse


def by_points(change: Span, rule: str, quantity: Quantity) -> tuple[str, str]:
    """(Verdict, reason) of a score in percent, by its difference in points; the rule's percent are points.

    >>> q = Quantity(name="pckh.total", unit="%", better="higher", title="PCKh")
    >>> [by_points(change, "1%", q)[0] for change in ((-0.2, -0.4, -0.1), (-2.0, -3.0, -1.2), (-1.0, -2.0, 0.1))]
    ['PASS', 'REGRESSED', 'INCONCLUSIVE']
    """
    _, low, high = change
    allowed = 100 * tolerance(rule)
    if low is None or high is None:
        return INCONCLUSIVE, "no interval: the per-image scores of both, on the same images, are needed"
    worst, best = (low, high) if quantity.better == "higher" else (-high, -low)
    if quantity.better == "none":
        inside, outside = sorted((abs(low), abs(high)))
        worst, best = -outside, 0.0 if low <= 0 <= high else -inside
    if best < -allowed:
        return REGRESSED, ""
    if worst >= -allowed:
        return PASS, "improved" if worst > 0 else ""
    return INCONCLUSIVE, ""


def paired_points(base: Value, head: Value) -> Span:
    """Head minus base in points, paired by image; without an interval where the images are not the same."""
    difference = _number(head) - _number(base)
    scores = [value.details.get("images") or {} for value in (base, head)]
    counted, other = (one.get("counted") or [] for one in scores)
    whole = all(len(one.get("correct") or []) == len(counted) for one in scores)
    if not counted or counted != other or not whole:
        return difference, None, None
    pairs = {name: (one["correct"], one["counted"]) for name, one in zip("bh", scores, strict=True)}
    low, high = by_image(pairs, lambda rates: rates["h"] - rates["b"]) or (None, None)
    return difference, low, high


def points(base: Sequence[Value], head: Sequence[Value]) -> Span:
    """Head minus base in points: over the seeds, the same on both sides, where there are several; else by image."""
    differences = [_number(h) - _number(b) for b, h in zip(base, head, strict=True)]
    if len(differences) < 2:
        return paired_points(base[-1], head[-1])
    over = arithmetic_interval(differences)
    return over.value, over.low, over.high


def detectable_points(change: Span, rule: str, trainings: int) -> float | None:
    """The smallest worsening of a score that its interval shows with 80 % power, as a share; None without interval.

    `trainings` of each side are behind the interval; of one, it is over images, whose number is not what limits it.
    """
    from scipy.special import ndtri, stdtrit  # here, since a page needs neither

    _, low, high = change
    if low is None or high is None:
        return None
    quantiles = 1 - MISS / 2, POWER
    bound, power = stdtrit(trainings - 1, quantiles) if trainings > 1 else ndtri(quantiles)
    return tolerance(rule) + (high - low) / 200 * float(1 + power / bound)


def by_outputs(base: Json, head: Json, rule: str) -> tuple[str, str]:
    """(Verdict, reason) of two predictions: the details of their `outputs` values.

    `exact`: bit for bit. A percentage: the largest relative L2 distance of their samples.
    """
    if base.get("shape") != head.get("shape"):
        return REGRESSED, f"shape {head.get('shape')} instead of {base.get('shape')}"
    if not base.get("sha256") or not head.get("sha256"):
        return NOT_MEASURED, "failed: a record of outputs without its hash"
    if base["sha256"] == head["sha256"]:
        return PASS, "the same, bit for bit"
    ours, theirs = head.get("sample") or [], base.get("sample") or []
    if not ours or len(ours) != len(theirs):
        return NOT_MEASURED, f"failed: samples of {len(ours)} and {len(theirs)} elements are not compared"
    distance = sum((a - b) ** 2 for a, b in zip(ours, theirs, strict=True)) ** 0.5
    size = sum(b * b for b in theirs) ** 0.5
    relative = distance / size if size else inf if distance else 0.0
    said = f"relative L2 {relative:.1e} apart"
    return (PASS if rule != EXACT and relative <= tolerance(rule) else REGRESSED), said


OTHERWISE = "0.1%"
"""How far outputs may lie apart that were not computed beside one another, where the rule is `exact`."""


def untimed(
    base: Sequence[Value], head: Sequence[Value], rule: str, *, beside: bool = True, peaks: int = 1
) -> tuple[str, str, Span | None]:
    """(Verdict, reason, change) of what no test of times decides: counts, peaks, scores, outputs.

    Args:
        base, head: the values of all runs; of scores both by the same seeds, in one order.
        beside: both were measured in one sitting, so that outputs can be compared bit for bit.
        peaks: how many are judged in this gate.

    Raises:
        ValueError: a value is no finite number, or an arm has none.
    """
    quantity = head[-1].quantity
    theirs, ours = ([_number(value) for value in values] for values in (base, head))
    if quantity.name == "outputs":
        return *_all_outputs(base, head, rule if beside or rule != EXACT else OTHERWISE), None
    if quantity.unit == "%":
        change = points(base, head)
        verdict, reason = by_points(change, rule, quantity)
        return verdict, "; ".join(filter(None, (reason, ONE_TRAINING if len(head) == 1 else ""))), change
    if quantity.exact and (unlike := [numbers for numbers in (theirs, ours) if len(set(numbers)) > 1]):
        listed = " and ".join(f"{number:,.0f}" for number in sorted(set(unlike[-1])))
        return NOT_MEASURED, f"failed: must be the same in every run, and is not: {listed}", None
    before, after = worst(theirs, quantity), worst(ours, quantity)
    ratio = (after / before, None, None) if before else None
    if is_peak(quantity):
        return *by_maximum(theirs, ours, rule, peaks), ratio
    return *exactly(before, after, quantity, rule), ratio


def worst(numbers: Sequence[float], quantity: Quantity) -> float:
    """What stands for all runs of a figure that is not averaged."""
    return min(numbers) if quantity.better == "higher" else max(numbers)


def _all_outputs(base: Sequence[Value], head: Sequence[Value], rule: str) -> tuple[str, str]:
    """Of runs one by one; the worst verdict counts."""
    if rule == EXACT and len({value.details.get("sha256") for value in base}) > 1:
        return INCONCLUSIVE, "the base's own runs differ in their bits; write a percentage in [gate]"
    pairs = zip(base, head, strict=False)
    found = [by_outputs(one.details, other.details, rule) for one, other in pairs]
    return min(found, key=lambda one: VERDICTS.index(one[0]))


def _check(*numbers: float) -> None:
    if not all(map(isfinite, numbers)):
        raise ValueError(f"not finite: {', '.join(map(str, numbers))}; a gate judges figures only")


def _number(value: Value) -> float:
    if value.value is None or not isfinite(value.value):
        raise ValueError(f"{value.quantity.name} is {value.value}; a gate judges figures only")
    return float(value.value)
