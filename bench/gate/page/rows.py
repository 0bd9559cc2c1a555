"""Judgement -> text: verdict line, figures, sentences and notes, the same in every format. Formats only lay it out."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from math import isfinite
from typing import Any

from bench.gate import EXACT, INCONCLUSIVE, NOT_MEASURED, PASS, REGRESSED, VERDICTS, Finding, Judgement, tolerance
from bench.stats import Interval
from bench.table.grid import EMPTY, MOST_DIGITS, number
from bench.units import decimals, duration, scale

ACCEPTED = "accepted: "
"""How the reason of a PASS begins that is one only because somebody accepted the change."""

FEW = 12
"""Up to so many passes are listed; more are counted."""

LARGE = 10
"""Percent of change from which tenths say nothing, unless the interval is narrower than that."""

HEADS = ("cell", "base", "head", "change", "rule", "pairs", "could see", "reason")

_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]")
_CONTROLS = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")


@dataclass(frozen=True, slots=True)
class Row:
    """One finding as text; EMPTY where there is nothing to say."""

    cell: str
    base: str
    head: str
    change: str
    rule: str
    pairs: str
    detectable: str
    reason: str

    @property
    def texts(self) -> tuple[str, ...]:
        """In the order of HEADS."""
        return (
            self.cell,
            self.base,
            self.head,
            self.change,
            self.rule,
            self.pairs,
            self.detectable,
            self.reason,
        )


def clean(text: str) -> str:
    """One line without control characters: the reason of a failed job may hold anything.

    >>> clean("a\\n  b\\x1b[31m c\\x00")
    'a b c'
    """
    return " ".join(_CONTROLS.sub("", _ESCAPES.sub("", text)).split())


def verdict_line(judgement: Judgement) -> str:
    """The worst verdict, how many figures have it and the others, and what was compared."""
    compared = f"{judgement.head} against {judgement.base}"
    total = len(judgement.findings)
    if not total:
        return clean(f"{NOT_MEASURED}: no figure was gated, {compared}")
    found = [(verdict, judgement.count(verdict)) for verdict in VERDICTS if judgement.count(verdict)]
    (worst, count), others = found[0], found[1:]
    figures = f"gated figure{'s' * (total != 1)}"
    beside = f" ({', '.join(f'{n} {verdict.lower()}' for verdict, n in others)})" if others else ""
    return clean(f"{worst}: {count if others else 'all'} of {total} {figures}{beside}, {compared}")


def about(judgement: Judgement) -> str:
    """Which suite it was, and in which profile."""
    profile = f", profile {judgement.profile}" if judgement.profile else ""
    return clean(f"suite {judgement.suite} ({judgement.path}){profile}")


def row(finding: Finding) -> Row:
    """A finding as the cells of a table."""
    base, head = figures(finding)
    return Row(
        cell=clean(finding.cell),
        base=base,
        head=head,
        change=change(finding) or EMPTY,
        rule=rule(finding),
        pairs=str(finding.pairs) if finding.pairs else EMPTY,
        detectable=detectable(finding) or EMPTY,
        reason=clean(finding.reason),
    )


def figures(finding: Finding) -> tuple[str, str]:
    """Base and head in one human unit; counts that differ are never shown alike."""
    values = (finding.base, finding.head)
    known = [abs(value) for value in values if value is not None and isfinite(value)]
    factor, unit = scale(finding.quantity.unit, max(known, default=0.0))
    exact = finding.quantity.exact
    base, head = (EMPTY if v is None else _number(v / factor, unit, exact=exact) for v in values)
    if exact and base == head and finding.base != finding.head and len(known) == 2:
        base, head = (_in_full(value, finding.quantity.unit) for value in values if value is not None)
    return base, head


def _number(value: float, unit: str, *, exact: bool) -> str:
    return f"{number(Interval(value, None, None), exact=exact)} {unit}".strip() if isfinite(value) else str(value)


def _in_full(value: float, unit: str) -> str:
    text = f"{value:,.0f}" if value == int(value) else f"{value:.9g}"
    return text if unit == "1" else f"{text} {unit}"


def change(finding: Finding) -> str:
    """Head against base in percent, of scores in points, with its interval; empty where there is none.

    Two significant digits of the half-width; whole percents are enough for a large change that is not known better.
    """
    if finding.change is None:
        return ""
    value, low, high = (_worth(one, finding) for one in finding.change)
    unit = "points" if finding.difference else "%"
    if value is None:
        return "from 0" if finding.base == 0 else "not a number"
    if low is None or high is None:
        text = number(Interval(value, None, None)) if value else "0"
        return f"{'+' * (value > 0)}{text} {unit}"
    half = (high - low) / 2
    digits = 0 if half >= 1 and abs(value) >= LARGE else min(MOST_DIGITS, decimals(value, half))
    return f"{value:+z.{digits}f} {unit} ({low:+z.{digits}f} to {high:+z.{digits}f})"


def _worth(bound: float | None, finding: Finding) -> float | None:
    """A ratio in percent of change; points as they are; None where it is no number."""
    if bound is None or not isfinite(bound):
        return None
    return bound if finding.difference else 100 * (bound - 1)


def rule(finding: Finding) -> str:
    """The allowed worsening as it is meant: of scores in points."""
    if finding.difference and finding.rule != EXACT:
        points = f"{100 * tolerance(finding.rule):g}"
        return f"{points} point{'s' * (points != '1')}"
    return clean(finding.rule)


def detectable(finding: Finding) -> str:
    """The smallest worsening that would have been found, `>= 4.5 %`; empty where it is not known."""
    if finding.detectable is None or not isfinite(finding.detectable):
        return ""
    return f">= {_two_digits(100 * finding.detectable)} {'points' if finding.difference else '%'}"


def _two_digits(value: float) -> str:
    return f"{value:.{min(MOST_DIGITS, decimals(value, value))}f}"


def sentence(finding: Finding) -> str:
    """All that is known about a finding, in one line: for an annotation, a test's message, an accepted change."""
    shown = row(finding)
    parts = [compared(finding)]
    if finding.change is not None and finding.quantity.better == "higher":
        parts.append("lower is worse")
    parts.append(f"rule {shown.rule}")
    if finding.pairs:
        parts.append(f"{shown.pairs} pair{'s' * (finding.pairs != 1)}")
    if shown.detectable != EMPTY:
        parts.append(f"could see {shown.detectable}")
    said = ", ".join(part for part in parts if part)
    return f"{said}; {shown.reason}" if shown.reason else said


def compared(finding: Finding) -> str:
    """Base, head and the change between them."""
    base, head = figures(finding)
    both = f"{base} -> {head}" if EMPTY not in (base, head) else ""
    one = f"base {base}, head {head}".replace(f" {EMPTY}", " has no figure") if base != head and not both else ""
    return ", ".join(part for part in (both or one, change(finding)) if part)


def columns(rows: Iterable[Row]) -> list[int]:
    """Places in HEADS that say something about any of the rows."""
    texts = [row.texts for row in rows]
    return [i for i in range(len(HEADS)) if any(line[i] not in ("", EMPTY) for line in texts)]


def groups(findings: Iterable[Finding]) -> Iterator[tuple[str, list[Finding]]]:
    """(Verdict, its findings), worst first, for the verdicts that there are."""
    listed = list(findings)
    for verdict in VERDICTS:
        found = [finding for finding in listed if finding.verdict == verdict]
        if found:
            yield verdict, found


def accepted(finding: Finding) -> bool:
    """Passes only because somebody said so: such a change is always listed."""
    return finding.verdict == PASS and finding.reason.startswith(ACCEPTED)


def counted(findings: Iterable[Finding]) -> str:
    """Passes in one line: how many of each quantity and rule, what was visible there, and why they pass.

    >>> from bench.record import Quantity
    >>> latency = Quantity(name="latency", unit="s", better="lower", title="latency")
    >>> passed = dict(phase="infer", quantity=latency, verdict="PASS", rule="2%")
    >>> counted([Finding(variant=v, detectable=d, **passed) for v, d in (("a", 0.011), ("b", 0.023))])
    '2 latency (2%, could see >= 1.1 to 2.3 %)'
    """
    alike: dict[tuple[str, str], list[Finding]] = {}
    for finding in findings:
        alike.setdefault((clean(finding.name), rule(finding)), []).append(finding)
    return ", ".join(f"{len(some)} {name} ({_common(some, allowed)})" for (name, allowed), some in alike.items())


def _common(findings: list[Finding], allowed: str) -> str:
    """What passes of one quantity have in common."""
    seen = sorted(f.detectable for f in findings if f.detectable is not None and isfinite(f.detectable))
    said = [allowed]
    if seen:
        ends = dict.fromkeys(_two_digits(100 * share) for share in (seen[0], seen[-1]))
        said.append(f"could see >= {' to '.join(ends)} {'points' if findings[0].difference else '%'}")
    reasons = Counter(re.split("[:;]", clean(finding.reason))[0] for finding in findings if finding.reason)
    said += [f"{n} {reason}" for reason, n in reasons.most_common(3)]
    return ", ".join(said)


def notes(judgement: Judgement) -> list[str]:
    """The lines under the page, but for how to accept a change."""
    found = [*_directions(judgement)]
    if judgement.count(INCONCLUSIVE):
        found.append(
            "INCONCLUSIVE: shown to be neither within the rule nor beyond it; more time (--minutes) or a quieter "
            "machine decides; it fails the gate with --strict alone"
        )
    found += [clean(note) for note in judgement.notes]
    if judgement.machine:
        found.append(machine(judgement.machine))
    if judgement.seconds:
        found.append(f"Measured in {duration(judgement.seconds)}")
    return found


def how_to_accept(judgement: Judgement) -> str:
    """The command that records the first change that regressed as intended; empty where none did."""
    regressed = [finding.cell for finding in judgement.findings if finding.verdict == REGRESSED]
    return f'bench accept "{clean(regressed[0])}" --reason "..."' if regressed else ""


def _directions(judgement: Judgement) -> Iterator[str]:
    """Which way is worse, where that is not simply more."""
    shown = [finding for finding in judgement.findings if finding.verdict != PASS]
    for name, better in dict.fromkeys((clean(finding.name), finding.quantity.better) for finding in shown):
        if better == "higher":
            yield f"{name}: higher is better, so that a fall is worse"
        elif better == "none":
            yield f"{name}: neither direction is better, so that any change is worse"


def machine(facts: Mapping[str, Any]) -> str:
    """The machine in one line."""
    said = ", ".join(f"{key} {_fact(value)}" for key, value in facts.items() if key != "id" and value)
    return clean(f"Machine {facts.get('id') or 'without an id'}: {said or 'no facts recorded'}")


def _fact(value: Any) -> str:
    """Plain data without its punctuation."""
    if isinstance(value, Mapping):
        return " ".join(f"{key} {_fact(one)}" for key, one in value.items())
    return " + ".join(map(_fact, value)) if isinstance(value, list) else str(value)
