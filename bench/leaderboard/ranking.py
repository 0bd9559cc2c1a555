"""Ranks with ties: a figure's rank is 1 + the number of figures that are better than it for sure.

Two times of the same run are compared by their ratio, paired by round, at 95 %: within a mode with the error of all
of the mode's rows or their own where that is larger, as the ratios in a table are; across modes with that of the two
rows alone. Other figures are compared by whether their own intervals are apart. Exact ones need no interval.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from bench.stats import Interval, ratio_intervals
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
    ratios = _ratios(figures, column)

    def better(one: int, other: int) -> bool:
        return sign * _apart(figures, column, one, other, ratios=ratios) < 0

    each = range(len(figures))
    return {figures[i].key: 1 + sum(better(j, i) for j in each if j != i) for i in each}


def _apart(
    figures: Sequence[Figure], column: Column, one: int, other: int, *, ratios: Mapping[tuple[int, int], Interval]
) -> float:
    """-1 where one figure is smaller than the other for sure, 1 where it is larger, else 0."""
    a, b = figures[one].cell, figures[other].cell
    if column.quantity.exact:
        return _side(Interval(float(a.value or 0), None, None), float(b.value or 0))
    if (one, other) in ratios:
        return _side(ratios[one, other], 1.0)
    (low_a, high_a), (low_b, high_b) = _bounds(a), _bounds(b)
    return -1.0 if high_a < low_b else 1.0 if low_a > high_b else 0.0


def _ratios(figures: Sequence[Figure], column: Column) -> dict[tuple[int, int], Interval]:
    """Two figures of the same rounds of a run -> the ratio of the first to the second."""
    groups: dict[tuple[str, tuple[int, ...]], list[int]] = {}
    for i, figure in enumerate(figures):
        values = [value for _, value in figure.cell.rounds]
        if not column.learnt and len(values) > 1 and averaged(column.quantity, values):
            numbers = tuple(sorted(number for number, _ in figure.cell.rounds))
            groups.setdefault((figure.run, numbers), []).append(i)
    found = {}
    for members in groups.values():
        cells = {str(i): dict(figures[i].cell.rounds) for i in members}
        for base in members:
            alike = {i for i in members if figures[i].key[1] == figures[base].key[1]}
            blocks = [alike, *({i, base} for i in members if i not in alike)]
            for block in blocks:
                ratios = ratio_intervals({str(i): cells[str(i)] for i in sorted(block)}, str(base))
                found.update({(int(i), base): ratio for i, ratio in ratios.items()})
    return found


def _side(interval: Interval, of: float) -> float:
    """-1 where the whole interval lies below a number, 1 where it lies above, else 0."""
    low, high = (interval.value if bound is None else bound for bound in (interval.low, interval.high))
    return -1.0 if high < of else 1.0 if low > of else 0.0


def _bounds(cell: Cell) -> tuple[float, float]:
    value = float(cell.value or 0)
    return (value if cell.low is None else cell.low, value if cell.high is None else cell.high)
