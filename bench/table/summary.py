"""The last piece of a page: one line per variant with the figures that a choice usually hangs on."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from bench.stats import Interval
from bench.table.cells import TIMES, Cell, Column, Ratio, Row, Section, Table

HEADLINES = (
    ("static", "params"),
    ("static", "macs"),
    ("infer", "latency"),
    ("train", "train_epoch"),
    ("accuracy", "pckh.total"),
    ("accuracy", "pckh.mean14"),
    ("accuracy", "miou"),
)
"""(phase, quantity) of the summary's columns, as far as a page has them."""

IF_PUBLISHED = ("pckh.mean14",)
"""Shown only where the document has it, since another convention of the same score stands beside it."""

NO_FIGURE = "the document has no figure for it"

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
        """The document's own ratios are shown; of accuracy, its own values."""
        shown = [cell.published for cell in self.cells if cell.published]
        return any(self.column.learnt or published.ratio is not None for published in shown)


def mode_of(table: Table) -> str:
    """The mode that the summary shows: the one that networks are trained in, else the last."""
    modes = {section.phase: [row.mode for row in section.rows] for section in table.sections if section.rows}
    inferring = modes.get("infer", [])
    trained = [mode for mode in modes.get("accuracy", []) if not inferring or mode in inferring]
    shown = modes.get("train") or trained or inferring
    return shown[-1] if shown else ""


def variants(table: Table) -> list[str]:
    """Every variant of the page, in its order."""
    return list(dict.fromkeys(row.variant for section in table.sections for row in section.rows))


def picks(table: Table) -> list[Pick]:
    """The headline columns that the page has; empty where there is nothing to sum up."""
    if len(table.sections) < FEWEST_SECTIONS:
        return []
    mode, names = mode_of(table), variants(table)
    found = [
        Pick(section, column, tuple(_cell(section, index, name, mode) for name in names))
        for phase, key in HEADLINES
        for section in table.sections
        if section.phase == phase
        for index, column in enumerate(section.columns)
        if column.key == key
    ]
    return [pick for pick in found if pick.beside or pick.column.key not in IF_PUBLISHED]


def _cell(section: Section, index: int, variant: str, mode: str) -> Cell:
    learnt = section.columns[index].learnt
    rows = [row for row in section.rows if row.variant == variant and (learnt or row.mode in (mode, ""))]
    if not rows:
        return Cell(reason=f"{section.title}: {variant} has no row in mode {mode}")
    cell = rows[0].cells[index]
    return replace(cell, notes=_kept(rows[0], cell, mode)) if learnt else cell


def _kept(row: Row, cell: Cell, mode: str) -> tuple[str, ...]:
    """What must be known of an accuracy wherever it is shown: its flags, where it is from, how it was trained."""
    flagged = [note for note in cell.notes if note.partition(":")[0] in cell.flags]
    return (*flagged, *row.notes, *([f"trained in mode {row.mode}"] if row.mode != mode else []))


def theirs(cell: Cell) -> Ratio:
    """The document's own ratio as a ratio of this page."""
    if cell.published is None or cell.published.ratio is None:
        return Ratio(reason=NO_FIGURE)
    return Ratio(Interval(cell.published.ratio, None, None))


def titles(pick: Pick, table: Table, short: Callable[[Column], str]) -> Iterator[tuple[str, str]]:
    """(head, unit) of a pick's columns: the value, and what is relative to something else."""
    yield short(pick.column), pick.column.unit
    if pick.relative:
        yield f"{TIMES} {table.baseline}", ""
    if pick.column.speedup:
        yield f"speed-up vs {table.reference}", ""
    if pick.beside:
        yield ("published", "") if pick.column.learnt else (f"published {TIMES}", "")


def ratios(pick: Pick, cell: Cell) -> Sequence[Ratio | None]:
    """What stands between a pick's value and the document's, in the order of `titles`."""
    return [cell.ratio] * pick.relative + [cell.speedup] * pick.column.speedup
