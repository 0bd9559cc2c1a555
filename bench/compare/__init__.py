"""Two sides -> a verdict per figure, and what differs between them. Pure functions.

The two were measured in separate sittings, so nothing is paired by round: times and rates are compared by Welch's
two-sample t interval on ln of the rounds' medians, trainings by the same interval on the scores of their seeds, of
which each side must have three. One training on each side is shown with an interval by image where both kept their
images, else by their own intervals, but no verdict hangs on it. Exact counts are compared as they are; memory by its
maximum. Drift of the machine between the sittings is in none of these.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import exp, inf, log, sqrt
from typing import Any, Literal, NamedTuple

from bench.claims.effects import too_few
from bench.compare.side import DIFFERENCES, Figure, Key, Sample, Side, in_words
from bench.contrasts import Moments, Welch, by_image
from bench.errors import NotComparable
from bench.record import FLAGS, Quantity
from bench.scores import same_images
from bench.stats import Interval
from bench.units import parse

Verdict = Literal["worse", "cannot tell", "not comparable", "better", "same"]
VERDICTS: tuple[Verdict, ...] = ("worse", "cannot tell", "not comparable", "better", "same")
"""In the order in which a page shows them."""

TOLERANCE = 2.0
"""Percent within which two figures are the same, where the suite's [gate] does not say."""

MEMORY = 1.0
"""The same for memory, percent: its maximum hardly moves."""

POINTS = 1.0
"""The same for percentages, in points: two points of accuracy are more than many papers claim."""

COUNTED = ("params", "live_params")
"""Counts of the network itself: no protocol matters to them."""

NAMED = 2
"""Fields that a refusal names; the rest is in the list of what differs."""

EQUAL, ZERO = Interval(1.0, 1.0, 1.0), Interval(0.0, 0.0, 0.0)


@dataclass(frozen=True, slots=True)
class Comparison:
    """One figure on both sides.

    Attributes:
        a, b: in base units; None where a side has none.
        change: b / a, or b - a where `relative` is not set; None where they are not compared.
        why: the reason of a verdict that is not about the figures alone.
        notes: what to know about the change; flags: with the sides that have them, such as `noisy (A, B)`.
        tolerance: percent, or points of a difference; 0 where only equal is the same.
    """

    key: Key
    quantity: Quantity
    a: Interval | None
    b: Interval | None
    verdict: Verdict
    change: Interval | None = None
    relative: bool = True
    why: str = ""
    notes: tuple[str, ...] = ()
    flags: tuple[str, ...] = ()
    tolerance: float = 0.0


class Difference(NamedTuple):
    """What the two differ in; `figures` counts those that it concerns, 0 where it is about all."""

    what: str
    a: str
    b: str
    figures: int = 0


@dataclass(frozen=True, slots=True)
class Compared:
    """All of it.

    Attributes:
        comparisons: worse first.
        only_a, only_b: figures of one side, with the reason why the other has none, where it is known.
        neither: figures that both should have and that neither has, with the reason.
    """

    a: Side
    b: Side
    comparisons: tuple[Comparison, ...]
    only_a: tuple[tuple[Key, str], ...]
    only_b: tuple[tuple[Key, str], ...]
    neither: tuple[tuple[Key, str], ...]
    differences: tuple[Difference, ...]

    @property
    def counts(self) -> dict[Verdict, int]:
        """Verdict -> how many figures, in the page's order."""
        seen = Counter(comparison.verdict for comparison in self.comparisons)
        return {verdict: seen[verdict] for verdict in VERDICTS if seen[verdict]}

    @property
    def comparable(self) -> bool:
        """Some figure was compared, whatever came of it."""
        return any(one.change is not None or one.verdict in ("worse", "better") for one in self.comparisons)


def compare(a: Side, b: Side) -> Compared:
    """B against A, figure by figure.

    Raises:
        NotComparable: they share no figure.
    """
    shared = [key for key in a.figures if key in b.figures]
    if not shared:
        raise NotComparable(
            f"{a.name} and {b.name} have no figure in common: {_holds(a)}, {_holds(b)}; "
            "name two of one suite that measured the same phases"
        )
    empty = [key for key in shared if a.figures[key].cell.value is None and b.figures[key].cell.value is None]
    measured = [key for key in shared if key not in empty]
    found = [_compare(key, a.figures[key], b.figures[key], tolerance(key, a, b)) for key in measured]
    found.sort(key=lambda one: (VERDICTS.index(one.verdict), -_size(one)))
    return Compared(
        a=a,
        b=b,
        comparisons=tuple(found),
        only_a=tuple((key, b.missing.get(key.cell, "")) for key in a.figures if key not in b.figures),
        only_b=tuple((key, a.missing.get(key.cell, "")) for key in b.figures if key not in a.figures),
        neither=tuple((key, b.figures[key].cell.reason) for key in empty),
        differences=(*_facts(a, b), *_networks(a, b), *_protocols(shared, a, b)),
    )


def tolerance(key: Key, a: Side, b: Side) -> float:
    """How far two figures may be apart and be the same: B's suite says it, else A's, else the defaults."""
    for gate in (b.gate, a.gate):
        for name in (f"{key.phase}.{key.quantity}", key.quantity):
            if name in gate:
                return 0.0 if gate[name] == "exact" else parse(gate[name])
    quantity = b.figures[key].quantity
    if quantity.exact:
        return 0.0
    if quantity.unit in DIFFERENCES:
        return POINTS
    return MEMORY if quantity.unit == "byte" else TOLERANCE


class _Judged(NamedTuple):
    verdict: Verdict
    why: str = ""
    change: Interval | None = None
    notes: tuple[str, ...] = ()


def _compare(key: Key, a: Figure, b: Figure, allowed: float) -> Comparison:
    relative = b.sample.relative if b.sample else b.quantity.unit not in DIFFERENCES
    judged = _judge(key, a, b, allowed, relative)
    sides = {flag: [s for s, one in (("A", a), ("B", b)) if flag in one.cell.flags] for flag in FLAGS}
    return Comparison(
        key=key,
        quantity=b.quantity,
        a=a.cell.interval,
        b=b.cell.interval,
        verdict=judged.verdict,
        change=judged.change,
        relative=relative,
        why=judged.why,
        notes=judged.notes,
        flags=tuple(f"{flag} ({', '.join(which)})" for flag, which in sides.items() if which),
        tolerance=allowed,
    )


def _judge(key: Key, a: Figure, b: Figure, allowed: float, relative: bool) -> _Judged:
    """From what forbids a comparison down to the verdict."""
    if a.cell.value is None or b.cell.value is None:
        lacks = [(side, one.cell.reason) for side, one in (("A", a), ("B", b)) if one.cell.value is None]
        return _Judged("cannot tell", "; ".join(f"{side} has no figure: {reason}" for side, reason in lacks))
    if struck := "; ".join(f"{side}: {one.struck}" for side, one in (("A", a), ("B", b)) if one.struck):
        return _Judged("not comparable", struck)
    differing = _unlike(a, b)
    if b.quantity.exact:
        return _exact(a, b, {} if key.quantity in COUNTED else differing)
    if differing:
        return _Judged("not comparable", _named(differing))
    if same := _same_data(a, b):
        return _Judged("same", same, EQUAL if relative else ZERO)
    change, note = _change(a, b, relative)
    if change is None:
        return _Judged("cannot tell", "a ratio needs positive figures")
    told = "; ".join(dict.fromkeys(one.told for one in (a, b) if one.told))
    if doubt := _doubt(a, b, told):
        return _Judged("cannot tell", doubt, change, (note,) if note else ())
    verdict, why = _verdict(change, b.quantity, _limit(allowed, a, relative), relative)
    notes = tuple(text for text in (note, told) if text)
    return _Judged(verdict, why or _too_few(a, b, change), change, notes)


def _doubt(a: Figure, b: Figure, told: str) -> str:
    """Why a change is worth seeing but no verdict, whatever its interval; empty where it may be one."""
    if bool(a.told) != bool(b.told):
        return told  # one of them was timed by another protocol
    if all("not_learnt" in one.cell.flags for one in (a, b)):
        return f"not_learnt: {FLAGS['not_learnt']}"
    return too_few({"A": len(a.cell.rounds), "B": len(b.cell.rounds)}) if a.training and b.training else ""


def _exact(a: Figure, b: Figure, differing: dict[str, tuple[Any, Any]]) -> _Judged:
    """Counts: equal or not; of unlike protocols (the image's size) only where they are equal."""
    before, after = float(a.cell.value or 0), float(b.cell.value or 0)
    if before == after:
        return _Judged("same", "", EQUAL)
    if differing:
        return _Judged("not comparable", _named(differing))
    change = Interval(after / before, None, None) if before else None
    if b.quantity.better == "none":
        return _Judged("cannot tell", "neither direction is an improvement", change)
    return _Judged("worse" if (after > before) == (b.quantity.better == "lower") else "better", "", change)


def _same_data(a: Figure, b: Figure) -> str:
    """Why the two are one and the same measurement, where they are."""
    if a.training and a.training == b.training:
        return "one and the same training"
    summed = a.sample is not None and a.told == b.told != "" and a.sample == b.sample
    return "the same rounds" if summed or (a.cell.rounds and a.cell.rounds == b.cell.rounds) else ""


def _change(a: Figure, b: Figure, relative: bool) -> tuple[Interval | None, str]:
    """B relative to A with its interval, as far as the data have one, and what to know about that interval."""
    before, after = float(a.cell.value or 0), float(b.cell.value or 0)
    if a.sample and b.sample and min(a.sample.count, b.sample.count) > 1:
        between = welch(a.sample, b.sample)
        return (_exp(between) if relative else between), ""
    if relative:
        return (Interval(after / before, None, None) if before > 0 and after > 0 else None), ""
    alone = a.sample is not None and b.sample is not None and a.sample.count == b.sample.count == 1
    if not alone:
        return Interval(after - before, None, None), ""
    spread = "one training each: the spread over seeds is not in the interval"
    if a.images and b.images and same_images([a.images, b.images]):
        bounds = by_image({"a": a.images, "b": b.images}, lambda rates: rates["b"] - rates["a"]) or (None, None)
        return Interval(after - before, *bounds), f"paired by image, {spread}"
    own = unpaired(a.cell.interval, b.cell.interval)
    return own, f"not paired by image, {spread}" if own.low is not None else ""


def welch(a: Sample, b: Sample) -> Interval:
    """Mean of B minus mean of A with Welch's 95 % t interval; the degrees of freedom are Satterthwaite's.

    Raises:
        ValueError: one of them has fewer than two values.
    """
    sides = [Moments(side.count, side.mean, side.sd**2) for side in (a, b)]
    found = Welch.between(*sides)
    if found is None:
        raise ValueError(f"{a.count} and {b.count} values: an interval needs two on each side")
    return Interval(found.mean, found.mean - found.reach, found.mean + found.reach)


def unpaired(a: Interval | None, b: Interval | None) -> Interval:
    """B minus A from their own intervals: the distances to their bounds added as squares."""
    if a is None or b is None:
        raise ValueError("a difference needs two figures")
    difference = b.value - a.value
    if a.low is None or a.high is None or b.low is None or b.high is None:
        return Interval(difference, None, None)
    down = sqrt((b.value - b.low) ** 2 + (a.high - a.value) ** 2)
    up = sqrt((b.high - b.value) ** 2 + (a.value - a.low) ** 2)
    return Interval(difference, difference - down, difference + up)


def _limit(allowed: float, a: Figure, relative: bool) -> float:
    """The tolerance on the scale of the change: of a logarithm, in points, or in the unit of A's figure."""
    if relative:
        return log(1 + allowed / 100)
    return allowed if a.quantity.unit in DIFFERENCES else allowed / 100 * abs(float(a.cell.value or 0))


def _verdict(change: Interval, quantity: Quantity, limit: float, relative: bool) -> tuple[Verdict, str]:
    """What a change means: within the limit, to one side of no change, or undecided."""
    certain = quantity.unit == "byte"  # a maximum, without an interval: it is what it is
    if change.low is None and not certain:
        return "cannot tell", ""
    bounds = (change.value, change.value) if change.low is None or change.high is None else (change.low, change.high)
    low, high = (log(bound) if bound > 0 else -inf for bound in bounds) if relative else bounds
    if -limit <= low and high <= limit:
        return "same", ""
    if quantity.better == "none":
        return "cannot tell", "neither direction is an improvement"
    if low <= 0 <= high:
        return "cannot tell", ""
    return ("worse" if (low > 0) == (quantity.better == "lower") else "better"), ""


def _too_few(a: Figure, b: Figure, change: Interval) -> str:
    """Why there is no interval, where one is needed."""
    if change.low is not None or b.quantity.unit == "byte":
        return ""
    if a.sample is None or b.sample is None:
        return "the worst of the rounds has no interval"
    few = [side for side, one in (("A", a.sample), ("B", b.sample)) if one.count < 2]
    return "one round" + ("" if len(few) == 2 else f" in {few[0]}" if few else "") + ", no interval"


def _unlike(a: Figure, b: Figure) -> dict[str, tuple[Any, Any]]:
    """Field -> its value in A and in B, where these differ; of a figure that is not bench's only the machine."""
    names = sorted({*a.fields, *b.fields} if bool(a.told) == bool(b.told) else {"machine"})
    found = {name: (a.fields.get(name), b.fields.get(name)) for name in names}
    unlike = {name: pair for name, pair in found.items() if pair[0] != pair[1]}
    if "train.recipe" in unlike:
        unlike = {name: pair for name, pair in unlike.items() if not name.startswith("train.recipe.")}
    return dict(sorted(unlike.items(), key=lambda item: item[0] != "machine"))


def _named(unlike: dict[str, tuple[Any, Any]]) -> str:
    """The first fields that differ, B's value before A's."""
    said = [f"{name} {in_words(after)} instead of {in_words(before)}" for name, (before, after) in unlike.items()]
    more = f" and {len(said) - NAMED} more" if len(said) > NAMED else ""
    return ", ".join(said[:NAMED]) + more


def _facts(a: Side, b: Side) -> Iterator[Difference]:
    """Facts that both know and that differ: what one does not know is no difference."""
    for name, fact in a.facts.items():
        if name in b.facts and b.facts[name] != fact:
            yield Difference(name, fact, b.facts[name])


def _networks(a: Side, b: Side) -> Iterator[Difference]:
    for name, network in a.networks.items():
        if b.networks.get(name, network) != network:
            yield Difference(f"network of {name}", network, b.networks[name])


def _protocols(shared: Sequence[Key], a: Side, b: Side) -> Iterator[Difference]:
    """Fields of the protocol, with the number of figures that they concern."""
    seen: Counter[tuple[str, str, str]] = Counter()
    for key in shared:
        for name, (before, after) in _unlike(a.figures[key], b.figures[key]).items():
            if name != "machine":
                seen[f"{key.phase}: {name}", in_words(before), in_words(after)] += 1
    for (what, before, after), figures in sorted(seen.items()):
        yield Difference(what, before, after, figures)


def _size(one: Comparison) -> float:
    """How large a change is, for the order of what is worse or better."""
    if one.change is None or one.verdict not in ("worse", "better"):
        return 0.0
    return abs(log(one.change.value)) if one.relative and one.change.value > 0 else abs(one.change.value) / 100


def _holds(side: Side) -> str:
    """What a side has figures of."""
    phases = list(dict.fromkeys(key.phase for key in side.figures))
    variants = len({key.variant for key in side.figures})
    if not phases:
        return "none in " + side.name
    return f"{', '.join(phases)} of {variants} variant{'s' * (variants != 1)} in {side.name}"


def _exp(logs: Interval) -> Interval:
    low, high = (None if bound is None else exp(bound) for bound in (logs.low, logs.high))
    return Interval(exp(logs.value), low, high)
