"""For reading in a terminal: aligned, as wide as the window, in colour where it can."""

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from io import StringIO
from shutil import get_terminal_size
from textwrap import wrap

from rich.console import Console
from rich.text import Text as Styled

from bench.table.cells import Table
from bench.table.grid import Grid, Head, grids, notes

WIDTH = 120
"""Where nothing says how wide the page is: a pipe, a file."""

WRAP = 10
"""Heads are wrapped to this width, unless their column is wider."""

GAP = 2
"""Blanks between columns; one of them is the box's own."""


@dataclass(frozen=True, slots=True)
class _Column:
    """The lines of a column's head and body, and how wide the widest is."""

    head: list[str]
    body: list[str]
    width: int


def render(table: Table) -> str:
    """The page as text; with control codes only where stdout is a terminal."""
    buffer = StringIO()
    width = get_terminal_size((WIDTH, 24)).columns
    console = Console(file=buffer, width=width, force_terminal=sys.stdout.isatty() or None, highlight=False)
    console.print(Styled(table.title, "bold"))
    for line in table.lead:
        console.print(Styled(line))
    for grid in grids(table):
        print_grid(console, grid)
    if lines := notes(table, "*"):
        console.print()
        for line in lines:
            console.print(Styled(line))
    return "\n".join(line.rstrip() for line in buffer.getvalue().splitlines()) + "\n"


def print_grid(console: Console, grid: Grid) -> None:
    """A grid, in as many blocks as the width asks for, then its footnotes."""
    console.print()
    console.print(Styled(grid.title, "bold"))
    if grid.lead:
        console.print(Styled(grid.lead))
    columns = [_column(grid, index) for index in range(len(grid.heads))]
    for order, block in enumerate(blocks(grid.heads, [column.width for column in columns], console.width)):
        if order:
            console.print()
        console.print(_laid_out(grid, columns, block), no_wrap=True, overflow="ignore", crop=False)
    for mark, sentence in grid.footnotes:
        console.print(Styled(f"[{mark}] {sentence}"))


def _laid_out(grid: Grid, columns: Sequence[_Column], block: Sequence[int]) -> Styled:
    """Columns side by side as one text: rich's own tables take most of a long page's time, cell by cell."""
    lines: list[list[tuple[str, str]]] = []
    deep = max(len(columns[i].head) for i in block)
    for n in range(deep):
        above = [deep - len(columns[i].head) for i in block]
        lines.append([("" if n < a else columns[i].head[n - a], "bold") for i, a in zip(block, above, strict=True)])
    for number, (row, struck) in enumerate(zip(grid.rows, grid.struck, strict=True)):
        lines.append([(columns[i].body[number], "strike" if struck else "bold" if row[i].best else "") for i in block])
    rule = "─" * sum(columns[i].width + GAP for i in block)
    made = Styled()
    for n, cells in enumerate(lines):
        made.append(f"{rule[:-GAP]}\n" if n == deep else "")
        for i, (whole, style) in zip(block, cells, strict=True):
            text = whole.rstrip()
            blank = " " * (columns[i].width - len(text))
            made.append(blank if grid.heads[i].group else "").append(text, style)
            made.append(" " * GAP if grid.heads[i].group else blank + " " * GAP)
        made.append("\n")
    made.rstrip()
    return made


def blocks(heads: Sequence[Head], widths: Sequence[int], width: int) -> Iterator[list[int]]:
    """Columns that fit side by side, the row's names in front of every block, groups kept together if they can be.

    A number is never cut or wrapped: what does not fit goes into a further block.
    """
    names = [i for i, head in enumerate(heads) if head.group == 0]
    room = width - sum(widths[i] + GAP for i in names)
    block: list[int] = []
    for group in _groups(heads):
        pieces = [group] if _room(group, widths) <= room else [[i] for i in group]
        for piece in pieces:
            if block and _room([*block, *piece], widths) > room:
                yield names + block
                block = []
            block += piece
    yield names + block


def _groups(heads: Sequence[Head]) -> list[list[int]]:
    numbers = dict.fromkeys(head.group for head in heads if head.group)
    return [[i for i, head in enumerate(heads) if head.group == number] for number in numbers]


def _room(columns: Sequence[int], widths: Sequence[int]) -> int:
    return sum(widths[i] + GAP for i in columns)


def _column(grid: Grid, index: int) -> _Column:
    """Texts end at the same place; what follows them (best, marks) has a place of its own."""
    head = grid.heads[index]
    cells = [row[index] for row in grid.rows]
    tails = ["*" * cell.best + _marks(cell.marks) for cell in cells]
    tail = max((len(one) for one in tails), default=0) if head.group else 0
    body = [cell.text + after.ljust(tail) for cell, after in zip(cells, tails, strict=True)]
    widest = max((len(line) for line in body), default=0)
    lines = wrap(head.title, max(WRAP, widest), break_long_words=False, break_on_hyphens=False)
    below = (f"[{head.unit}]" if head.unit else "") + _marks(head.marks)
    lines = [line + " " * tail for line in [*lines, below] if line]
    return _Column(lines, body, max([widest, *(len(line) for line in lines)]))


def _marks(marks: Sequence[str]) -> str:
    return f" [{','.join(marks)}]" if marks else ""


def laid_out(lead: Sequence[str], grids: Sequence[Grid], notes: Sequence[str]) -> str:
    """A page of other things than a run's table: lines, grids, lines below; without a newline at its end."""
    buffer = StringIO()
    width = get_terminal_size((WIDTH, 24)).columns
    console = Console(file=buffer, width=width, force_terminal=sys.stdout.isatty() or None, highlight=False)
    for line in lead:
        console.print(Styled(line))
    for grid in grids:
        print_grid(console, grid)
    console.print()
    for line in notes:
        console.print(Styled(line))
    return "\n".join(line.rstrip() for line in buffer.getvalue().splitlines())
