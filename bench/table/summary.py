"""The last piece of a page: one line per variant with the figures that a choice usually hangs on."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from bench.stats import Interval
from bench.table.cells import TIMES, Cell, Column, Ratio, Section, Table

HEADLINES = (
    ("static", "params"),
    ("static", "macs"),
    ("infer", "latency"),
    ("train", "train_epoch"),
    ("accuracy", "pckh.total"),
    ("accuracy", "miou"),
)
"""(phase, quantity) of the summary's columns, as far as a page has them."""

FEWEST_SECTIONS = 2
"""A page with one section is its own summary."""


@dataclass(frozen=True, slots=True)
class Pick:
    """A column of the summary with its cells, one per variant."""

    section: Section
    column: Column
    cells: tuple[Cell, ...]

    @property
    def relative(self) -> bool:
        """Ratios are shown: exact counts are read as they are."""
        return self.column.compared and not self.column.quantity.exact

    @property
    def beside(self) -> bool:
        """The document's own ratios are shown."""
        return any(cell.published and cell.published.ratio is not None for cell in self.cells)


def mode_of(table: Table) -> str:
    """The mode that the summary shows: the one that networks are trained in, else the last."""
    for phase in ("train", "infer"):
        for section in table.sections:
            if section.phase == phase and section.rows:
                return section.rows[-1].mode
    return ""


def variants(table: Table) -> list[str]:
    """Every variant of the page, in its order."""
    return list(dict.fromkeys(row.variant for section in table.sections for row in section.rows))


def picks(table: Table) -> list[Pick]:
    """The headline columns that the page has; empty where there is nothing to sum up."""
    if len(table.sections) < FEWEST_SECTIONS:
        return []
    mode, names = mode_of(table), variants(table)
    return [
        Pick(section, column, tuple(_cell(section, index, name, mode) for name in names))
        for phase, key in HEADLINES
        for section in table.sections
        if section.phase == phase
        for index, column in enumerate(section.columns)
        if column.key == key
    ]


def _cell(section: Section, index: int, variant: str, mode: str) -> Cell:
    rows = [row for row in section.rows if row.variant == variant and row.mode in (mode, "")]
    if not rows:
        return Cell(reason=f"{section.title}: {variant} has no row in mode {mode}")
    return rows[0].cells[index]


def theirs(cell: Cell) -> Ratio:
    """The document's own ratio as a ratio of this page."""
    if cell.published is None or cell.published.ratio is None:
        return Ratio(reason="the document has no figure for it")
    return Ratio(Interval(cell.published.ratio, None, None))


def titles(pick: Pick, table: Table, short: Callable[[Column], str]) -> Iterator[tuple[str, str]]:
    """(head, unit) of a pick's columns: the value, and what is relative to something else."""
    yield short(pick.column), pick.column.unit
    if pick.relative:
        yield f"{TIMES} {table.baseline}", ""
    if pick.column.speedup:
        yield f"speed-up vs {table.reference}", ""
    if pick.beside:
        yield f"published {TIMES}", ""


def ratios(pick: Pick, cell: Cell) -> Sequence[Ratio | None]:
    """What stands beside a pick's value, in the order of `titles`."""
    found: list[Ratio | None] = [cell.ratio] * pick.relative + [cell.speedup] * pick.column.speedup
    return [*found, theirs(cell)] if pick.beside else found
