"""Where a figure stands in a table: by the quantity's name, as it is typed in claims, rules and on the command line."""

from collections.abc import Iterator
from typing import NamedTuple

from bench.table.cells import Cell, Column, Row, Section, Table


class Found(NamedTuple):
    """One figure and where it stands."""

    section: Section
    column: Column
    row: Row
    cell: Cell


def split(name: str, phases: tuple[str, ...] = ("static", "infer", "train", "accuracy")) -> tuple[str, str]:
    """(Phase, quantity): `train.peak_memory` names the phase, where several have a quantity of that name.

    >>> split("train.peak_memory"), split("pckh.total")
    (('train', 'peak_memory'), ('', 'pckh.total'))
    """
    phase, _, quantity = name.partition(".")
    return (phase, quantity) if quantity and phase in phases else ("", name)


def figures(table: Table, name: str, variant: str = "") -> Iterator[Found]:
    """Every figure of a quantity, of one variant or of all, in the table's order.

    Without a phase in the name, they are of the first section that has the quantity: `peak_memory` is inference's.
    """
    phase, quantity = split(name)
    for section in table.sections:
        places = [i for i, column in enumerate(section.columns) if column.key == quantity]
        if places and phase in ("", section.phase):
            for row in section.rows:
                if variant in ("", row.variant):
                    yield Found(section, section.columns[places[0]], row, row.cells[places[0]])
            return
