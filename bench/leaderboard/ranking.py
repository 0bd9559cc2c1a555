"""Ranks with ties: a figure's rank is 1 + the number of figures that are better than it for sure.

Two times of the same run are compared by their ratio, paired by round, at 95 %: within a mode with the error of all
of the mode's rows, as the ratios in a table are; across modes with that of the two rows alone. Other figures are
compared by whether their own intervals are apart. Exact ones need no interval.
"""

from collections.abc import Sequence
from math import log
from typing import NamedTuple

from bench.stats import ratio_intervals
from bench.table.cells import Cell, Column
from bench.table.merge import Key, averaged


class Figure(NamedTuple):
    """What is ranked: whose it is, from which run, and the value with its rounds."""

    key: Key
    run: str
    cell: Cell


def ranks(figures: Sequence[Figure], column: Column) -> dict[Key, int]:
    """Row -> rank, 1 for the best; empty where no direction of the quantity is better."""
    if column.quantity.better == "none":
        return {}
    sign = 1.0 if column.quantity.better == "lower" else -1.0
    paired = _pooled(figures, column)

    def better(one: int, other: int) -> bool:
        return sign * _apart(figures, column, one, other, paired=paired) < 0

    each = range(len(figures))
    return {figures[i].key: 1 + sum(better(j, i) for j in each if j != i) for i in each}


def _apart(
    figures: Sequence[Figure], column: Column, one: int, other: int, *, paired: dict[int, tuple[int, float, float]]
) -> float:
    """-1 where one figure is smaller than the other for sure, 1 where it is larger, else 0."""
    a, b = figures[one].cell, figures[other].cell
    if column.quantity.exact:
        return _sign(float(a.value or 0) - float(b.value or 0), 0.0)
    if one in paired and other in paired:
        (block, log_a, reach), (same, log_b, _) = paired[one], paired[other]
        if block == same:
            return _sign(log_a - log_b, reach)
        if figures[one].run == figures[other].run and _rounds(a) == _rounds(b):
            return _pair(a, b)
    (low_a, high_a), (low_b, high_b) = _bounds(a), _bounds(b)
    return -1.0 if high_a < low_b else 1.0 if low_a > high_b else 0.0


def _pooled(figures: Sequence[Figure], column: Column) -> dict[int, tuple[int, float, float]]:
    """Figure -> (its block, ln of its ratio to the block's first, how far two of the block must be apart).

    All pairs of a block have the same error, so that one call gives it.
    """
    groups: dict[tuple[str, str, tuple[int, ...]], list[int]] = {}
    for i, figure in enumerate(figures):
        values = [value for _, value in figure.cell.rounds]
        if not column.learnt and len(values) > 1 and averaged(column.quantity, values):
            groups.setdefault((figure.run, figure.key[1], _rounds(figure.cell)), []).append(i)
    found = {}
    for block, members in enumerate(groups.values()):
        first = str(members[0])
        intervals = ratio_intervals({str(i): dict(figures[i].cell.rounds) for i in members}, first)
        reach = max((log(x.high / x.value) for i, x in intervals.items() if x.high and i != first), default=0.0)
        found.update({i: (block, log(intervals[str(i)].value), reach) for i in members})
    return found


def _pair(a: Cell, b: Cell) -> float:
    interval = ratio_intervals({"a": dict(a.rounds), "b": dict(b.rounds)}, "b")["a"]
    if interval.low is None or interval.high is None:
        return 0.0
    return -1.0 if interval.high < 1 else 1.0 if interval.low > 1 else 0.0


def _rounds(cell: Cell) -> tuple[int, ...]:
    return tuple(sorted(number for number, _ in cell.rounds))


def _sign(difference: float, reach: float) -> float:
    return 0.0 if abs(difference) <= reach else -1.0 if difference < 0 else 1.0


def _bounds(cell: Cell) -> tuple[float, float]:
    value = float(cell.value or 0)
    return (value if cell.low is None else cell.low, value if cell.high is None else cell.high)
