"""For a paper: booktabs tables."""

from collections.abc import Iterable

from tabulate import tabulate

from bench.table.cells import TIMES, Table
from bench.table.grid import EMPTY, Grid, Head, Text, grids, notes

NEEDS = r"% needs \usepackage{booktabs} and, for rows that are struck through, \usepackage[normalem]{ulem}"

SPECIAL = str.maketrans(
    {c: f"\\{c}" for c in "&%$#_{}"}
    | {"\\": r"\textbackslash{}", "^": r"\textasciicircum{}", "~": r"$\sim$", "±": r"$\pm$", TIMES: r"$\times$"}
    | {"<": r"$<$", ">": r"$>$"}
)

RULES = (r"\toprule", r"\midrule", r"\bottomrule")


def render(table: Table) -> str:
    """One table environment per piece of the page; the best in bold, mismatches struck through."""
    parts = [NEEDS, f"% {table.title}", *(f"% {line}" for line in table.lead)]
    for grid in grids(table):
        parts += ["", _environment(grid)]
    parts += ["", r"\begin{itemize}", *(rf"\item {_plain(line)}" for line in notes(table, "bold")), r"\end{itemize}"]
    return "\n".join(parts) + "\n"


def _environment(grid: Grid) -> str:
    lead = f" ({grid.lead})" if grid.lead else ""
    lines = [r"\begin{table}", r"\centering", rf"\caption{{{_plain(grid.title + lead)}}}", _lines(grid)]
    lines += [rf"\par\footnotesize{_marks([mark])} {_plain(sentence)}" for mark, sentence in grid.footnotes]
    return "\n".join([*lines, r"\end{table}"])


def _lines(grid: Grid) -> str:
    # tabulate's own booktabs format escapes every cell, and with it the commands that make one bold.
    text = tabulate(
        [[_cell(cell, struck) for cell in row] for row, struck in zip(grid.rows, grid.struck, strict=True)],
        headers=[_head(head) for head in grid.heads],
        tablefmt="latex_raw",
        colalign=["right" if head.group else "left" for head in grid.heads],
        disable_numparse=True,
    )
    for rule in RULES:
        text = text.replace(r"\hline", rule, 1)
    return text


def _head(head: Head) -> str:
    return _plain(head.text) + _marks(head.marks)


def _cell(cell: Text, struck: bool) -> str:
    text = _plain(cell.text)
    if struck and text not in ("", EMPTY):
        text = rf"\sout{{{text}}}"
    elif cell.best:
        text = rf"\textbf{{{text}}}"
    return text + _marks(cell.marks)


def _marks(marks: Iterable[str]) -> str:
    joined = ",".join(marks)
    return rf"\textsuperscript{{{joined}}}" if joined else ""


def _plain(text: str) -> str:
    return text.translate(SPECIAL)
