"""Which rows of a board satisfy constraints for sure, which may, which are not comparable, and what excludes the rest.

A figure satisfies a limit where the whole of its 95 % interval does, and misses it where none of the interval does.
A peak, the worst of the rounds, and an exact count have no interval: the value decides. A time or a score without an
interval decides nothing. Figures that were not measured by the protocol of the others satisfy nothing.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import ceil, floor, inf, log10

from bench import units
from bench.claims.effects import too_few
from bench.errors import UsageError
from bench.leaderboard import BY, Board, Entry
from bench.record import Json
from bench.stats import Interval
from bench.table.cells import Cell, Column
from bench.table.grid import MOST_DIGITS, number
from bench.table.merge import AVERAGED

SUFFIXES: Mapping[str, tuple[str, ...]] = {
    "s": ("h", "min", "s", "ms", "us"),
    "byte": ("B", "KiB", "MiB", "GiB", "MB", "GB"),
    "MAC": ("MAC", "kMAC", "MMAC", "GMAC", "TMAC"),
    "FLOP": ("FLOP", "kFLOP", "MFLOP", "GFLOP", "TFLOP"),
    "image/s": ("image/s",),
    "%": ("", "%"),
    "count": ("", "k", "M", "G"),
    "ratio": ("",),
}
"""Unit of a quantity, of those without one their kind -> what a limit may be written in."""

EXAMPLES = {"s": "200ms", "byte": "2GiB", "MAC": "10GMAC", "FLOP": "10GFLOP", "image/s": "30image/s", "%": "60"}
EXAMPLES |= {"count": "2M", "ratio": "0.1"}

EXCLUDING = ("answers", "learnt")
"""Rules of ranks without which a figure is worth nothing, whatever its limit."""

TOLD = ("complete", "clean")
"""Rules of ranks that may be broken, if it is said."""

APART = ("not comparable: ", "trained by another protocol: ")
"""How a board begins what it says of a figure of another protocol, before the fields that differ."""


@dataclass(frozen=True, slots=True)
class Constraint:
    """A limit of a quantity, in base units; `least`: figures must reach it, else they must not exceed it."""

    name: str
    limit: float
    least: bool
    text: str

    @property
    def option(self) -> str:
        """As it is typed."""
        return f"--{'min' if self.least else 'max'} {self.name}={self.text}"


@dataclass(frozen=True, slots=True)
class Candidate:
    """One row: its entry and, where it is not among those that satisfy all constraints, why."""

    entry: Entry
    reasons: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """Variant and mode."""
        return ", ".join(part for part in self.entry.key if part)

    @property
    def notes(self) -> tuple[str, ...]:
        """What must be known of the row."""
        return (*self.entry.notes, *(failure.text for failure in self.entry.failed if failure.rule.id in TOLD))


@dataclass(frozen=True, slots=True)
class Picked:
    """The rows of a board in four groups, each best first; `advice` says what to loosen where nothing satisfies."""

    board: Board
    by: str
    constraints: tuple[Constraint, ...]
    satisfied: tuple[Candidate, ...]
    unsure: tuple[Candidate, ...]
    apart: tuple[Candidate, ...]
    excluded: tuple[Candidate, ...]
    advice: str = ""


def constraint(name: str, text: str, column: Column, *, least: bool) -> Constraint:
    """A limit as it is typed, such as `200ms`.

    Raises:
        UsageError: it is no number, or its unit is missing or is none of the quantity's.
    """
    unit = column.quantity.unit
    kind = unit if unit != "1" else "count" if column.quantity.exact else "ratio"
    allowed = SUFFIXES.get(kind, (unit,))
    suffix = text.strip().lstrip("+-0123456789.").removeprefix("e").lstrip("+-0123456789").strip()
    option = f"--{'min' if least else 'max'} {name}={text}"
    example = EXAMPLES.get(kind, f"2{unit}")
    try:
        limit = units.parse(text) if suffix in units.WRITTEN else units.parse(text.removesuffix(suffix).strip())
    except ValueError:
        raise UsageError(f"{option}: not a number with a unit; write {name}={example}") from None
    if suffix not in allowed:
        example = f"{limit / 100:g}" if (kind, suffix) == ("ratio", "%") else example
        listed = ", ".join(each for each in allowed if each)
        wrong = f"'{suffix}' is no unit of {name}" if suffix else f"{name} has a unit"
        raise UsageError(f"{option}: {wrong} ({listed or 'it has none'}); write {name}={example}")
    return Constraint(name, limit, least, text)


def order_of(constraints: Sequence[Constraint], columns: Mapping[str, Column], by: str) -> str:
    """What is best first: what was asked for, else the first quantity with a maximum, else what usually ranks."""
    first = next((each.name for each in constraints if not each.least), "")
    return by or first or next((name for name in BY if name in columns), next(iter(columns)))


def pick(board: Board, constraints: Sequence[Constraint], by: str) -> Picked:
    """The rows of a board by what the constraints say of them; `by` is one of its columns."""
    sign = -1.0 if board.columns[by].quantity.better == "higher" else 1.0

    def rank(candidate: Candidate) -> tuple[float, str, str]:
        value = candidate.entry.cells[by].value
        return inf if value is None else sign * value, *candidate.entry.key

    groups: dict[str, list[Candidate]] = {"satisfied": [], "unsure": [], "apart": [], "excluded": []}
    for entry in board.entries:
        group, reasons = _judged(entry, constraints, board)
        groups[group].append(Candidate(entry, tuple(reasons)))
    ordered = {group: tuple(sorted(found, key=rank)) for group, found in groups.items()}
    advice = "" if ordered["satisfied"] else _advice([*ordered["unsure"], *ordered["excluded"]], constraints, board)
    return Picked(board, by, tuple(constraints), **ordered, advice=advice)


def _judged(entry: Entry, constraints: Iterable[Constraint], board: Board) -> tuple[str, list[str]]:
    """The group of a row, and what is against it."""
    broken = [failure.text for failure in entry.failed if failure.rule.id in EXCLUDING]
    if broken:
        return "excluded", broken
    if apart := [f"{name}: {fields}" for name, cell in entry.cells.items() for fields in _differing(cell)]:
        return "apart", apart
    missed, open_ = [], []
    for each in constraints:
        cell, column = entry.cells[each.name], board.columns[each.name]
        if cell.value is None:
            missed.append(f"{each.name} not measured ({cell.reason})")
            continue
        low, high = _bounds(cell, column)
        limit = f"{'below' if each.least else 'above'} {each.text}"
        if (high < each.limit) if each.least else (low > each.limit):
            missed.append(f"{shown(each.name, cell, column)}, {limit}")
        elif (low < each.limit) if each.least else (high > each.limit):
            why = f"its interval reaches beyond {each.text}" if cell.low is not None else "no interval to tell by"
            open_.append(f"{shown(each.name, cell, column)}, {why}")
    return ("excluded", missed) if missed else ("unsure", open_) if open_ else ("satisfied", [])


def _differing(cell: Cell) -> list[str]:
    """The fields in which a figure's protocol differs from that of the others; also of one that is left out for it."""
    said = [(start, text) for text in (*cell.notes, cell.reason) for start in APART if text.startswith(start)]
    return [text.removeprefix(start) for start, text in said]


def _bounds(cell: Cell, column: Column) -> tuple[float, float]:
    """Between which a figure lies; everything is possible of a mean without an interval."""
    value = float(cell.value or 0)
    if cell.low is not None and cell.high is not None:
        return cell.low, cell.high
    return (-inf, inf) if not column.quantity.exact and column.quantity.unit in AVERAGED else (value, value)


def shown(name: str, cell: Cell, column: Column) -> str:
    """A figure with its bounds, since those of a time do not lie half a width to each side, its unit and its flags."""
    low, high = (None if x is None else x / column.factor for x in (cell.low, cell.high))
    interval = Interval((cell.value or 0) / column.factor, low, high)
    text = number(replace(interval, low=None, high=None), exact=column.quantity.exact, signed=column.learnt)
    if low is not None and high is not None and not column.quantity.exact:
        digits = min(MOST_DIGITS, units.decimals(interval.value, interval.half_width))
        text = f"{interval.value:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"
    flags = f"[{', '.join(cell.flags)}]" if cell.flags else ""
    return " ".join(part for part in (name, text, column.unit, flags) if part)


def known(cell: Cell, column: Column) -> tuple[str, ...]:
    """What must be known of a figure; of an accuracy, that its interval holds no other seed."""
    few = too_few({column.key: len(cell.rounds)}) if column.learnt and cell.value is not None else ""
    return (*cell.notes, *([few] if few else []))


def _advice(candidates: Iterable[Candidate], constraints: Sequence[Constraint], board: Board) -> str:
    """The limit to loosen: of the row that misses the fewest, by the smallest share."""
    found = []
    for candidate in candidates:
        cells = candidate.entry.cells
        if any(f.rule.id in EXCLUDING for f in candidate.entry.failed):
            continue
        if any(cells[each.name].value is None for each in constraints):
            continue
        needed = {each: _needed(each, cells[each.name], board.columns[each.name]) for each in constraints}
        missed = {c: x for c, x in needed.items() if (x < c.limit if c.least else x > c.limit)}
        shares = [abs(bound - each.limit) / (abs(each.limit) or 1.0) for each, bound in missed.items()]
        found.append((len(missed), max(shares, default=0.0), candidate.name, missed))
    if not found:
        return "no row has all of these figures"
    _, _, name, missed = min(found, key=lambda one: one[:3])
    options = [replace(c, text=_typed(c, x, board.columns[c.name])).option for c, x in missed.items()]
    return f"closest is {name}: it satisfies {' and '.join(options)}"


def _needed(each: Constraint, cell: Cell, column: Column) -> float:
    """The limit that a figure satisfies for sure; of a mean without an interval, the value itself."""
    low, high = _bounds(cell, column)
    bound = low if each.least else high
    return bound if abs(bound) != inf else float(cell.value or 0)


def _typed(each: Constraint, bound: float, column: Column) -> str:
    """A limit as one would type it: three digits, rounded to the safe side."""
    factor, unit = units.scale(column.quantity.unit, bound)
    scaled = bound / factor
    digits = max(0, 2 - floor(log10(abs(scaled)))) if scaled else 0
    power = 10.0**digits
    rounded = (floor(scaled * power) if each.least else ceil(scaled * power)) / power
    suffix = unit if column.quantity.unit != "%" else ""
    return f"{rounded:.{digits}f}{suffix}"


def plain(picked: Picked) -> Json:
    """What was picked, as JSON."""

    def row(candidate: Candidate) -> Json:
        figures: Json = {}
        for name, column in picked.board.columns.items():
            cell = candidate.entry.cells[name]
            figures[name] = {"value": cell.value, "low": cell.low, "high": cell.high, "reason": cell.reason}
            figures[name] |= {"flags": list(cell.flags), "notes": list(known(cell, column))}
        variant, mode = candidate.entry.key
        said = {"reasons": list(candidate.reasons), "notes": list(candidate.notes)}
        return {"variant": variant, "mode": mode, "figures": figures, **said}

    return {
        "suite": picked.board.suite,
        "machine": picked.board.place.machine,
        "by": picked.by,
        "units": {name: column.quantity.unit for name, column in picked.board.columns.items()},
        "constraints": [
            {"quantity": each.name, "limit": each.limit, "kind": "min" if each.least else "max"}
            for each in picked.constraints
        ],
        "satisfied": [row(candidate) for candidate in picked.satisfied],
        "cannot_tell": [row(candidate) for candidate in picked.unsure],
        "not_comparable": [row(candidate) for candidate in picked.apart],
        "excluded": [row(candidate) for candidate in picked.excluded],
        "advice": picked.advice,
    }
