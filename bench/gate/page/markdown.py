"""For a pull request or the summary of a workflow's step: GitHub's tables, the passes folded."""

from bisect import bisect_right
from collections.abc import Sequence
from html import escape

from tabulate import tabulate

from bench.gate import PASS, Finding, Judgement, ordered
from bench.gate.page.rows import (
    HEADS,
    about,
    accepted,
    columns,
    counted,
    groups,
    how_to_accept,
    notes,
    row,
    verdict_line,
)

NUMBERS = {"base", "head", "change", "pairs", "could see"}
"""Columns that are aligned to the right."""

SPECIAL = str.maketrans({c: f"\\{c}" for c in "\\`*|<~[]"} | {"@": "@\N{ZERO WIDTH SPACE}"})
"""What Markdown would take for markup; and an @ in an error's text must not call the user of that name."""


def render(judgement: Judgement) -> str:
    """The whole page."""
    return _page(judgement, len(judgement.findings))


def summary(judgement: Judgement, limit: int) -> str:
    """The page in at most `limit` bytes of UTF-8: what is worst stays, and what was left out is counted."""
    total = len(judgement.findings)
    if _size(whole := _page(judgement, total)) <= limit:
        return whole
    # Each finding more makes the page longer, so that the longest page that fits can be bisected.
    most = bisect_right(range(total), limit, key=lambda n: _size(_page(judgement, n))) - 1
    page = _page(judgement, max(0, most))
    return page if _size(page) <= limit else page.encode()[: max(0, limit)].decode(errors="ignore")


def _size(text: str) -> int:
    return len(text.encode())


def _page(judgement: Judgement, most: int) -> str:
    findings = ordered(judgement.findings)
    parts = [f"## {_plain(verdict_line(judgement))}", _plain(about(judgement))]
    for verdict, found in groups(findings[:most]):
        if verdict == PASS:
            parts += _passes(found)
        else:
            parts += [f"### {verdict} ({judgement.count(verdict)})", _lines(found)]
    if left := findings[most:]:
        parts.append(_left_out(left))
    lines = [_plain(line) for line in notes(judgement)]
    if command := how_to_accept(judgement):
        lines.append(f"To accept an intended change: {_plain(command) if '`' in command else f'`{command}`'}")
    parts.append("\n".join(f"- {line}" for line in lines))
    return "\n\n".join(part for part in parts if part) + "\n"


def _left_out(findings: Sequence[Finding]) -> str:
    kinds = ", ".join(f"{len(found)} {verdict.lower()}" for verdict, found in groups(findings))
    return f"**{len(findings)} more in the artifact** (judgement.json): {kinds}"


def _passes(findings: Sequence[Finding]) -> list[str]:
    """What was accepted in the open, the rest folded."""
    said = [finding for finding in findings if accepted(finding)]
    rest = [finding for finding in findings if not accepted(finding)]
    parts = [f"### {PASS}, accepted ({len(said)})", _lines(said)] if said else []
    if rest:
        # No Markdown is read on the line of an HTML tag.
        title = f"<details><summary>{len(rest)} pass: {escape(counted(rest))}</summary>"
        parts += [title, _lines(rest), "</details>"]
    return parts


def _lines(findings: Sequence[Finding]) -> str:
    rows = [row(finding) for finding in findings]
    shown = columns(rows)
    return tabulate(
        [[_plain(line.texts[i]) for i in shown] for line in rows],
        headers=[HEADS[i] for i in shown],
        tablefmt="pipe",
        colalign=["right" if HEADS[i] in NUMBERS else "left" for i in shown],
        disable_numparse=True,
    )


def _plain(text: str) -> str:
    return text.translate(SPECIAL)
