"""For a README, an issue or a pull request: GitHub's tables."""

from collections.abc import Iterable

from tabulate import tabulate

from bench.table.cells import Table
from bench.table.grid import EMPTY, Grid, Head, Text, grids, notes

SPECIAL = str.maketrans({c: f"\\{c}" for c in "\\*|<~"})
"""Characters that Markdown would take for markup, in texts that are not ours to mark up."""


def render(table: Table) -> str:
    """The page as Markdown; the best in bold, mismatches struck through."""
    parts = [f"## {_plain(table.title)}", "  \n".join(_plain(line) for line in table.lead)]
    for grid in grids(table):
        parts += [f"### {_plain(grid.title)}", _plain(grid.lead), _lines(grid), _footnotes(grid)]
    parts.append("\n".join(f"- {_plain(line)}" for line in notes(table, "bold")))
    return "\n\n".join(part for part in parts if part) + "\n"


def _lines(grid: Grid) -> str:
    return tabulate(
        [[_cell(cell, struck) for cell in row] for row, struck in zip(grid.rows, grid.struck, strict=True)],
        headers=[_head(head) for head in grid.heads],
        tablefmt="pipe",
        colalign=["right" if head.group else "left" for head in grid.heads],
        disable_numparse=True,
    )


def _head(head: Head) -> str:
    return _plain(head.text) + _marks(head.marks)


def _cell(cell: Text, struck: bool) -> str:
    text = _plain(cell.text)
    if struck and text not in ("", EMPTY):
        text = f"~~{text}~~"
    elif cell.best:
        text = f"**{text}**"
    return text + _marks(cell.marks)


def _marks(marks: Iterable[str]) -> str:
    joined = ",".join(marks)
    return f" <sup>{joined}</sup>" if joined else ""


def _footnotes(grid: Grid) -> str:
    # Two blanks end a line in Markdown, without the space that a list would take.
    return "  \n".join(f"<sup>{mark}</sup> {_plain(sentence)}" for mark, sentence in grid.footnotes)


def _plain(text: str) -> str:
    return text.translate(SPECIAL)
