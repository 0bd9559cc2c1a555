"""For reading in a terminal: the verdict first, then what is wrong in full; a table where the width allows one."""

import sys
from collections.abc import Sequence
from io import StringIO
from shutil import get_terminal_size
from typing import Literal

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.padding import Padding
from rich.table import Table as Lines
from rich.text import Text as Styled

from bench.gate import INCONCLUSIVE, NOT_COMPARABLE, NOT_MEASURED, PASS, REGRESSED, Finding, Judgement
from bench.gate.page.rows import (
    FEW,
    HEADS,
    about,
    accepted,
    clean,
    columns,
    compared,
    counted,
    groups,
    how_to_accept,
    notes,
    row,
    sentence,
    verdict_line,
)

WIDTH = 120
"""Where nothing says how wide the page is: a pipe, a file."""

GAP = 2
LEAST_REASON = 20
"""A reason is wrapped in a column of at least this width, or else there is no table."""

STYLES = {
    REGRESSED: "bold red",
    NOT_MEASURED: "bold magenta",
    NOT_COMPARABLE: "bold magenta",
    INCONCLUSIVE: "bold yellow",
    PASS: "bold green",
}


def render(judgement: Judgement) -> str:
    """The page as text; with control codes only where stdout is a terminal."""
    buffer = StringIO()
    width = get_terminal_size((WIDTH, 24)).columns
    console = Console(file=buffer, width=width, force_terminal=sys.stdout.isatty() or None, highlight=False)
    line = verdict_line(judgement)
    console.print(Styled(line, STYLES[line.partition(":")[0]]))
    console.print(Styled(about(judgement)))
    for verdict, findings in groups(judgement.findings):
        fold = verdict == PASS and len(findings) > FEW
        shown = [finding for finding in findings if not fold or accepted(finding)]
        if shown:
            _print(console, f"{verdict}{', accepted' * fold} ({len(shown)})", STYLES[verdict], shown)
        if fold and (folded := [finding for finding in findings if not accepted(finding)]):
            console.print()
            console.print(Styled(f"{PASS} ({len(folded)}): ", STYLES[PASS]) + Styled(counted(folded)))
    console.print()
    for note in notes(judgement):
        console.print(Styled(note))
    if command := how_to_accept(judgement):
        console.print(Styled(f"To accept an intended change: {command}"))
    return "\n".join(line.rstrip() for line in buffer.getvalue().splitlines()) + "\n"


def _print(console: Console, title: str, style: str, findings: Sequence[Finding]) -> None:
    """A table; where a number would have to be cut for it, two or three lines for each finding."""
    console.print()
    console.print(Styled(title, style))
    rows = [row(finding) for finding in findings]
    shown = columns(rows)
    widths = {i: max(len(HEADS[i]), *(len(line.texts[i]) for line in rows)) for i in shown}
    reason = len(HEADS) - 1
    room = console.width - sum(widths[i] + GAP for i in shown if i != reason)
    if room < min(widths.get(reason, 0), LEAST_REASON):
        for finding in findings:
            _list(console, finding)
        return
    lines = Lines(box=SIMPLE_HEAD, show_edge=False, padding=(0, GAP - 1, 0, 0), pad_edge=False)
    for i in shown:
        justify: Literal["left", "right"] = "left" if HEADS[i] in ("cell", "rule", "reason") else "right"
        lines.add_column(HEADS[i], justify=justify, no_wrap=i != reason)
    for line in rows:
        lines.add_row(*[Styled(line.texts[i]) for i in shown])
    console.print(lines)


def _list(console: Console, finding: Finding) -> None:
    console.print(Padding(Styled(clean(finding.cell), "bold"), (0, 0, 0, 2)))
    if first := compared(finding):
        console.print(Padding(Styled(first), (0, 0, 0, 4)))
    rest = sentence(finding).removeprefix(first).removeprefix(", ")
    console.print(Padding(Styled(rest), (0, 0, 0, 4)))
