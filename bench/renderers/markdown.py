"""For a README, an issue or a pull request: GitHub's tables."""

from collections.abc import Iterable, Sequence

from tabulate import tabulate

from bench.table.cells import Table
from bench.table.grid import EMPTY, Grid, Head, Text, grids, notes

SPECIAL = str.maketrans({c: f"\\{c}" for c in "\\*|<~"})
"""Characters that Markdown would take for markup, in texts that are not ours to mark up."""


def render(table: Table) -> str:
    """The page as Markdown; the best in bold, mismatches struck through."""
    parts = [f"## {plain(table.title)}", "  \n".join(plain(line) for line in table.lead)]
    for grid in grids(table):
        parts += [f"### {plain(grid.title)}", plain(grid.lead), table_lines(grid), footnote_lines(grid)]
    parts.append("\n".join(f"- {plain(line)}" for line in notes(table, "bold")))
    return "\n\n".join(part for part in parts if part) + "\n"


def table_lines(grid: Grid) -> str:
    """A grid as a table, its columns aligned."""
    return tabulate(
        [[_cell(cell, struck) for cell in row] for row, struck in zip(grid.rows, grid.struck, strict=True)],
        headers=[_head(head) for head in grid.heads],
        tablefmt="pipe",
        colalign=["right" if head.group else "left" for head in grid.heads],
        disable_numparse=True,
    )


def _head(head: Head) -> str:
    return plain(head.text) + _marks(head.marks)


def _cell(cell: Text, struck: bool) -> str:
    text = plain(cell.text).replace("\n", "<br>")
    if struck and text not in ("", EMPTY):
        text = f"~~{text}~~"
    elif cell.best:
        text = f"**{text}**"
    return text + _marks(cell.marks)


def _marks(marks: Iterable[str]) -> str:
    joined = ",".join(marks)
    return f" <sup>{joined}</sup>" if joined else ""


def footnote_lines(grid: Grid) -> str:
    """What stands under a grid, one line for each mark."""
    # Two blanks end a line in Markdown, without the space that a list would take.
    return "  \n".join(f"<sup>{mark}</sup> {plain(sentence)}" for mark, sentence in grid.footnotes)


def plain(text: str) -> str:
    """A text in which nothing is markup."""
    return text.translate(SPECIAL)


def laid_out(lead: Sequence[str], grids: Sequence[Grid], notes: Sequence[str]) -> str:
    """A page of other things than a run's table: lines, grids, a list below; without a newline at its end."""
    parts = ["  \n".join(plain(line) for line in lead)]
    for grid in grids:
        parts += [f"### {plain(grid.title)}", table_lines(grid), footnote_lines(grid)]
    parts.append("\n".join(f"- {plain(line)}" for line in notes))
    return "\n\n".join(part for part in parts if part)
