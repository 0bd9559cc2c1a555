"""A comparison as text: for reading in a terminal, for a pull request, or for another program."""

import csv
import json
from collections.abc import Iterable, Iterator, Sequence
from io import StringIO
from typing import Any

from bench import plugins
from bench.compare import Compared, Comparison, Difference, Verdict
from bench.compare.side import DIFFERENCES, Key, Side
from bench.record import FLAGS, Json
from bench.stats import Interval
from bench.table.cells import TIMES
from bench.table.grid import EMPTY, MOST_DIGITS, Footnotes, Grid, Head, Text, number
from bench.units import decimals, scale

FORMATS = ("terminal", "markdown", "json", "csv")

CAUTION = (
    "A and B were measured in separate sittings. The intervals hold the noise within each of them, not the drift "
    "between the two: two sittings of the same code may differ by more. Worse and better mean that the 95 % interval "
    "excludes no change: of N figures that did not change about N/20 do so by chance"
)

TITLES: dict[Verdict, str] = {
    "worse": "B is worse",
    "cannot tell": "Cannot tell",
    "not comparable": "Not comparable",
    "better": "B is better",
    "same": "The same",
}

HASH = 40
"""Length of a git commit, which people read by its first ten digits."""


def page(compared: Compared, form: str, everything: bool = False) -> str:
    """The comparison in one of FORMATS, without a newline at its end; what is the same only where all is asked for."""
    if form == "json":
        return json.dumps(_plain(compared), indent=1, ensure_ascii=False)
    if form == "csv":
        return _csv(compared)
    lead, grids = list(_lead(compared)), list(_grids(compared, everything))
    notes = list(_notes(compared, everything))
    renderer: Any = plugins.load("renderer", form)
    return str(renderer.laid_out(lead, grids, notes))


def _lead(compared: Compared) -> Iterator[str]:
    for letter, side in (("A", compared.a), ("B", compared.b)):
        yield f"{letter}: {side.name} ({side.said})"
    yield counted(compared)
    yield CAUTION


def counted(compared: Compared) -> str:
    """How many figures came out how, in one line."""
    parts = [f"{count} {verdict}" for verdict, count in compared.counts.items()]
    parts += [f"{len(only)} in {side} only" for side, only in _onlies(compared) if only]
    return ": ".join(part for part in (f"{len(compared.comparisons)} figures in both", ", ".join(parts)) if part)


def _onlies(compared: Compared) -> tuple[tuple[str, tuple[tuple[Key, str], ...]], ...]:
    return (("A", compared.only_a), ("B", compared.only_b))


def _grids(compared: Compared, everything: bool) -> Iterator[Grid]:
    """One piece per verdict, then what differs."""
    for verdict, count in compared.counts.items():
        if verdict != "same" or everything:
            found = [one for one in compared.comparisons if one.verdict == verdict]
            yield _figures(f"{TITLES[verdict]} ({count})", found)
    if compared.differences:
        yield _differing(compared.differences)


def _figures(title: str, found: Sequence[Comparison]) -> Grid:
    letters = Footnotes()
    modes = any(one.key.mode for one in found)
    changed = any(one.change for one in found)
    heads = [Head("variant"), *([Head("mode")] * modes), Head("quantity")]
    heads += [*([Head("B against A", group=1)] * changed), Head("A", group=1), Head("B", group=1)]
    rows = []
    for one in found:
        a, b, unit = _values(one)
        names = [one.key.variant, *([one.key.mode] * modes), _name(one.key) + (f" [{unit}]" if unit else "")]
        shown = [*([change(one)] * changed), a, b]
        marks = letters.marks([one.why, *one.notes, ", ".join(one.flags)])
        # In a narrow window the first figure's column is the one beside the names.
        rows.append((*map(Text, names), Text(shown[0], marks), *map(Text, shown[1:])))
    return Grid(title, "", tuple(heads), tuple(rows), (False,) * len(rows), letters.listed())


def _name(key: Key) -> str:
    """The quantity as it is typed: memory of training is `train.peak_memory`."""
    return f"train.{key.quantity}" if key.phase == "train" and not key.quantity.startswith("train") else key.quantity


def _values(one: Comparison) -> tuple[str, str, str]:
    """A's figure, B's, and their unit, in which A's reads well; counts in full where their short forms are alike."""
    typical = one.a or one.b
    factor, unit = scale(one.quantity.unit, typical.value) if typical else (1.0, "")
    exact, signed = one.quantity.exact, one.quantity.unit in DIFFERENCES
    a, b = (number(_scaled(x, factor), exact=exact, signed=signed) if x else EMPTY for x in (one.a, one.b))
    if exact and one.a and one.b and a == b and one.a.value != one.b.value:
        return f"{one.a.value:,.0f}", f"{one.b.value:,.0f}", ""
    return a, b, unit


def change(one: Comparison) -> str:
    """The change with its bounds: a ratio, or a difference in points; a dash where the two are not compared."""
    if one.change is None:
        return EMPTY
    if not one.relative:
        unit = "points" if one.quantity.unit == "%" else one.quantity.unit
        return f"{_bounded(one.change, '+')} {unit}".rstrip()
    if one.change.value == 1 and not one.change.half_width:
        return f"{TIMES}1"
    text = _bounded(one.change)
    if one.quantity.exact and float(text) == 1 and one.a and one.b:
        return f"{one.b.value - one.a.value:+,.0f}"
    return f"{TIMES}{text}"


def _bounded(interval: Interval, sign: str = "") -> str:
    """A value and its bounds: a half-width would hide that a ratio's are not alike.

    >>> _bounded(Interval(1.603, 1.031, 2.494)), _bounded(Interval(0.4, None, None), "+")
    ('1.60 (1.03 to 2.49)', '+0.400')
    """
    digits = min(MOST_DIGITS, decimals(interval.value, interval.half_width))
    if interval.half_width and interval.half_width > abs(interval.value):
        digits = min(MOST_DIGITS, max(digits, 1))
    value = f"{interval.value:{sign}.{digits}f}"
    if interval.low is None or interval.high is None or interval.low == interval.high:
        return value
    return f"{value} ({interval.low:{sign}.{digits}f} to {interval.high:{sign}.{digits}f})"


def _scaled(interval: Interval, factor: float) -> Interval:
    low, high = (None if bound is None else bound / factor for bound in (interval.low, interval.high))
    return Interval(interval.value / factor, low, high)


def _differing(differences: Sequence[Difference]) -> Grid:
    counts = any(one.figures for one in differences)
    heads = (Head("what"), Head("A", group=1), Head("B", group=1), *([Head("figures", group=1)] * counts))
    rows = tuple(
        (
            Text(one.what),
            Text(_short(one.a)),
            Text(_short(one.b)),
            *([Text(str(one.figures) if one.figures else "all")] * counts),
        )
        for one in differences
    )
    return Grid("What differs", "", heads, rows, (False,) * len(rows), ())


def _short(fact: str) -> str:
    return fact[:10] if len(fact) == HASH and all(c in "0123456789abcdef" for c in fact) else fact


def _notes(compared: Compared, everything: bool) -> Iterator[str]:
    """What is left to say, nothing hidden."""
    if compared.counts.get("same") and not everything:
        yield f"{compared.counts['same']} the same: --all lists them"
    for letter, only in _onlies(compared):
        yield from _listed(f"In {letter} only", only)
    yield from _listed("In neither", compared.neither)
    if not compared.differences:
        yield "Nothing else differs between the two: machine, versions, code, seeds and protocol are the same"
    yield from _tolerances(compared.comparisons)
    yield from _legend(compared.comparisons, everything)


def _listed(where: str, keys: Iterable[tuple[Key, str]]) -> Iterator[str]:
    """Figures without their like, a line for all that lack it for the same reason."""
    cells: dict[tuple[str, str, str, str], list[str]] = {}
    for key, reason in keys:
        cells.setdefault((key.phase, key.variant, key.mode, reason), []).append(key.quantity)
    alike: dict[tuple[str, str, str, str], list[str]] = {}
    for (phase, variant, mode, reason), quantities in cells.items():
        alike.setdefault((phase, mode, reason, ", ".join(quantities)), []).append(variant)
    for (phase, mode, reason, listed), named in alike.items():
        what = f"{phase} in {mode}" if mode else phase
        why = f" ({reason})" if reason else ""
        yield f"{where}: {what} of {', '.join(named)}: {listed}{why}"


def _tolerances(comparisons: Iterable[Comparison]) -> Iterator[str]:
    """What counts as the same, by tolerance."""
    by: dict[str, dict[str, None]] = {}
    for one in comparisons:
        if one.quantity.exact or one.verdict == "not comparable":
            continue
        points = "points" if one.quantity.unit == "%" else one.quantity.unit
        unit = points if one.quantity.unit in DIFFERENCES else "%"
        by.setdefault(f"{one.tolerance:g} {unit}", {})[_name(one.key)] = None
    if by:
        said = "; ".join(f"{tolerance} of {', '.join(names)}" for tolerance, names in by.items())
        yield f"The same: the whole interval lies within {said}; counts are the same where they are equal"


def _legend(comparisons: Iterable[Comparison], everything: bool) -> Iterator[str]:
    """What the flags mean, of those that are shown."""
    shown = [flag for one in comparisons if everything or one.verdict != "same" for flag in one.flags]
    names = {flag.partition(" ")[0] for flag in shown}
    for flag, sentence in FLAGS.items():
        if flag in names:
            yield f"{flag}: {sentence}"


def _plain(compared: Compared) -> Json:
    """All of it as plain data, in base units."""
    return {
        "a": _side(compared.a),
        "b": _side(compared.b),
        "counts": compared.counts,
        "comparisons": [_flat(one) for one in compared.comparisons],
        "only_a": [key._asdict() | {"reason": reason} for key, reason in compared.only_a],
        "only_b": [key._asdict() | {"reason": reason} for key, reason in compared.only_b],
        "neither": [key._asdict() | {"reason": reason} for key, reason in compared.neither],
        "differences": [one._asdict() for one in compared.differences],
        "notes": [CAUTION],
    }


def _side(side: Side) -> Json:
    return {"name": side.name, "said": side.said, "facts": dict(side.facts)}


def _flat(one: Comparison) -> Json:
    """One figure as a flat object."""
    found: Json = {**one.key._asdict(), "unit": one.quantity.unit, "better": one.quantity.better}
    found |= {"verdict": one.verdict, "why": one.why}
    for name, interval in (("a", one.a), ("b", one.b), ("change", one.change)):
        found |= {
            name: interval.value if interval else None,
            f"{name}_low": interval.low if interval else None,
            f"{name}_high": interval.high if interval else None,
        }
    found["change_is"] = "" if one.change is None else "ratio" if one.relative else "difference"
    return found | {"tolerance": one.tolerance, "notes": list(one.notes), "flags": list(one.flags)}


def _csv(compared: Compared) -> str:
    """One row per figure, then what only one side or neither has, what differs, and how to read it."""
    rows: list[Json] = [_flat(one) for one in compared.comparisons]
    for where, keys in (*((f"{side} only", only) for side, only in _onlies(compared)), ("neither", compared.neither)):
        rows += [key._asdict() | {"verdict": f"in {where}", "why": reason} for key, reason in keys]
    rows += [{"verdict": "differs", "why": one.what, "a": one.a, "b": one.b} for one in compared.differences]
    rows.append({"verdict": "note", "why": CAUTION})
    buffer = StringIO()
    fields = dict.fromkeys([*Key._fields, *(name for row in rows for name in row)])
    writer = csv.DictWriter(buffer, fieldnames=list(fields), lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: _field(value) for name, value in row.items()} for row in rows)
    return buffer.getvalue().rstrip("\n")


def _field(value: Any) -> Any:
    return "; ".join(str(one) for one in value) if isinstance(value, list) else value
