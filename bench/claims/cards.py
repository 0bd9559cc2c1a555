"""A report card as text: for reading in a terminal, for a README, or for another program."""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from io import StringIO

from bench.claims import VERDICTS, Card, Finding, Judgement, Verdict
from bench.claims.quoted import Figure
from bench.record import Json
from bench.stats import Interval
from bench.suite.condition import Call, Negative, Node, Number, written
from bench.table.cells import TIMES
from bench.table.grid import EMPTY, MOST_DIGITS, Footnotes, Grid, Head, Text, number, published_grids
from bench.table.long import flat
from bench.units import decimals

FORMATS = ("terminal", "markdown", "json")

VERBS: dict[Verdict, tuple[str, str]] = {
    "holds": ("holds", "hold"),
    "fails": ("fails", "fail"),
    "undecided": ("undecided", "undecided"),
    "not comparable": ("not comparable", "not comparable"),
}
"""Verdict -> how it is said of one claim, and of several."""

STYLES: dict[Verdict, str] = {
    "holds": "bold green",
    "fails": "bold red",
    "undecided": "bold yellow",
    "not comparable": "bold magenta",
}

INDENT = 4 + max(map(len, VERDICTS)) + 2
"""Where the text of a claim begins: behind its number and its verdict."""

READING = (
    f"{TIMES} is left over right, a difference left minus right, each with its 95 % interval. A comparison holds where "
    "the whole interval lies on its side, fails where it lies wholly on the other, and is undecided in between",
    "A claim holds if all of its comparisons hold, and fails if one fails",
)


@dataclass(frozen=True, slots=True)
class Line:
    """One comparison, or the test that backs a claim, in words; empty texts are left out."""

    verdict: Verdict
    condition: str
    ours: str = ""
    effect: str = ""
    reason: str = ""
    published: str = ""
    others: tuple[str, ...] = ()
    marks: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()


def reading(card: Card) -> tuple[str, ...]:
    """How a card is read; the lines stand under it."""
    mode = card.table.reference
    return (*READING, *([f"Where a claim quotes no mode, inference is that of {mode}"] if mode else []))


def page(card: Card, form: str) -> str:
    """The card in one of FORMATS, without a newline at its end."""
    if form == "json":
        return json.dumps(_plain(card), indent=1, ensure_ascii=False)
    return _markdown(card) if form == "markdown" else _terminal(card)


def brief(card: Card, machine: str) -> str:
    """The card as one Markdown table: a row per claim, its comparisons one below the other in their cells.

    Args:
        machine: what measured it and when, for the line above it.
    """
    from bench.renderers.markdown import footnote_lines, plain, table_lines

    letters, sources = Footnotes(), Footnotes()
    rows = []
    for finding in card.findings:
        hangs_on = lines(finding, letters, sources)
        where = f" ({finding.where})" if finding.where else ""
        marks = tuple(dict.fromkeys(mark for line in hangs_on for mark in line.marks))
        ours = Text("\n".join(map(_in_brief, hangs_on)), marks)
        theirs = Text("\n".join(line.published or EMPTY for line in hangs_on))
        rows.append((Text(finding.says + where), Text(finding.verdict), ours, theirs))
    heads = (Head("the document says"), Head("here"), Head("our figures"), Head("the document's"))
    grid = Grid("", "", heads, tuple(rows), (False,) * len(rows), letters.listed())
    places = "; ".join(sentence for _, sentence in sources.listed())
    said = (*reading(card), *([f"The document's figures: {places}"] if places else []))
    read = "\n".join(f"- {plain(line)}" for line in said)
    parts = [f"**{summary(card)}**, on {plain(machine)}", table_lines(grid), footnote_lines(grid), read]
    return "\n\n".join(part for part in parts if part) + "\n"


def _in_brief(line: Line) -> str:
    figures = ", ".join(part for part in (line.ours, line.effect) if part)
    return f"{figures}: {line.reason}" if figures and line.reason else figures or line.reason


def summary(card: Card) -> str:
    """`13 claims: 5 hold, 3 fail, 5 undecided`."""
    total = len(card.findings)
    counts = [f"{count} {VERBS[verdict][count != 1]}" for verdict, count in card.counts.items() if count]
    return f"{total} claim{'s' * (total != 1)}: {', '.join(counts)}"


def lines(finding: Finding, letters: Footnotes, sources: Footnotes | None = None) -> list[Line]:
    """What a claim hangs on; marks are handed out for what must be known of it, and of the document's figures."""
    found = [_line(judgement, letters, sources or letters) for judgement in finding.judgements]
    if finding.outcome:
        found.append(Line(finding.outcome.verdict, f"test {finding.test}", reason=finding.outcome.reason))
    return found


def _line(judgement: Judgement, letters: Footnotes, sources: Footnotes) -> Line:
    known = any(figure.cell.value is not None for figure in judgement.figures)
    places = [f"{f.call.variant}: {f.published.source}" for f in judgement.figures if f.published]
    published = _published(judgement)
    how = judgement.effect.how
    return Line(
        judgement.verdict,
        str(judgement.comparison),
        ours=_sides(judgement, _ours) if known else "",
        effect=_effect(judgement),
        reason=judgement.reason,
        published=published,
        others=tuple(f"in {mode}: {there.verdict}, {_with_effect(there)}" for mode, there in judgement.others),
        marks=letters.marks([*judgement.notes, f"interval {how}" if "paired" in how else ""]),
        sources=sources.marks(places) if published else (),
    )


def _with_effect(judgement: Judgement) -> str:
    return ", ".join(part for part in (_sides(judgement, _ours), _effect(judgement), judgement.reason) if part)


def _sides(judgement: Judgement, text: Callable[[Figure, bool], str]) -> str:
    """The comparison with figures in the place of quantities; a unit that both bare sides share stands once."""
    by_call = {figure.call: figure for figure in judgement.figures}
    comparison = judgement.comparison
    ends = (comparison.left, comparison.right)
    bare = [by_call[end] for end in ends if isinstance(end, Call)]
    once = len(bare) == 2 and len({_unit(figure) for figure in bare}) == 1

    def shown(call: Call) -> str:
        if any(end == call for end in ends):
            return text(by_call[call], not (once and call == comparison.left))
        inner = text(by_call[call], True)
        return f"({inner})" if "±" in inner else inner

    return comparison.written(shown)


def _unit(figure: Figure) -> str:
    return figure.found.column.unit if figure.found else ""


def _ours(figure: Figure, with_unit: bool) -> str:
    """A figure as the table shows it."""
    value = figure.cell.interval
    if value is None or figure.found is None:
        return EMPTY
    column = figure.found.column
    digits = number(_scaled(value, column.factor), exact=column.quantity.exact, signed=column.learnt)
    unit = f" {column.unit}" if column.unit and with_unit else ""
    return f"{'~' * ('estimated' in figure.cell.flags)}{digits}{unit}"


def _published(judgement: Judgement) -> str:
    """The document's own figures; empty where it has none of them."""
    if not any(figure.published for figure in judgement.figures):
        return ""
    said = _sides(judgement, lambda figure, _: figure.published.text if figure.published else EMPTY)
    return f"{said}, which does not hold" if judgement.published is False else said


def _scaled(value: Interval, factor: float) -> Interval:
    low, high = (None if bound is None else bound / factor for bound in (value.low, value.high))
    return Interval(value.value / factor, low, high)


def _effect(judgement: Judgement) -> str:
    """A ratio as 0.66 (0.63 to 0.70) behind its sign, a difference as +1.1 (-0.9 to +3.1) points."""
    value = judgement.effect.interval
    if value is None:
        return ""
    factor, unit = (1.0, "") if judgement.effect.ratio else _scale(judgement)
    value = _scaled(value, factor)
    digits = min(MOST_DIGITS, decimals(value.value, value.half_width))
    sign = "" if judgement.effect.ratio else "+"
    text = f"{TIMES * judgement.effect.ratio}{value.value:{sign}.{digits}f}"
    if value.low is not None and value.high is not None and value.low != value.high:
        text += f" ({value.low:{sign}.{digits}f} to {value.high:{sign}.{digits}f})"
    return f"{text} {unit}".rstrip()


def _scale(judgement: Judgement) -> tuple[float, str]:
    """Of a difference, the column's where both sides are sums of figures of one column; percentages are in points."""
    columns = {figure.found.column.key: figure.found.column for figure in judgement.figures if figure.found}
    sides = (judgement.comparison.left, judgement.comparison.right)
    if len(columns) != 1 or not all(_is_sum(side) for side in sides):
        return 1.0, ""
    column = next(iter(columns.values()))
    return column.factor, "points" if column.quantity.unit == "%" else column.unit


def _is_sum(node: Node) -> bool:
    """Has the unit of its quantities: none of them is multiplied with or divided by another."""
    match node:
        case Number() | Call():
            return True
        case Negative(operand):
            return _is_sum(operand)
    if node.sign in "+-":
        return _is_sum(node.left) and _is_sum(node.right)
    pure = [part for part in (node.left, node.right) if "(" not in written(part, lambda _: "(")]
    return bool(pure) and (node.sign == "*" or pure[-1] is node.right)


def _terminal(card: Card) -> str:
    import sys
    from shutil import get_terminal_size

    from rich.console import Console
    from rich.text import Text as Styled

    from bench.renderers.terminal import WIDTH, print_grid

    buffer, letters = StringIO(), Footnotes()
    width = get_terminal_size((WIDTH, 24)).columns
    console = Console(file=buffer, width=width, force_terminal=sys.stdout.isatty() or None, highlight=False)
    console.print(Styled(card.table.title, "bold"))
    for line in card.table.lead:
        console.print(Styled(line))
    console.print(Styled(f"\n{summary(card)}", "bold"))
    for order, finding in enumerate(card.findings, 1):
        console.print()
        for verdict, text, style in _rows(order, finding, letters, width):
            console.print(Styled(verdict.ljust(INDENT), style) + Styled(text))
    console.print()
    for mark, sentence in letters.listed():
        console.print(Styled(f"[{mark}] {sentence}"))
    for grid in _beside(card):
        print_grid(console, grid)
    console.print()
    for line in (*reading(card), *card.table.notes):
        console.print(Styled(line))
    return "\n".join(line.rstrip() for line in buffer.getvalue().splitlines()).rstrip("\n")


def _rows(order: int, finding: Finding, letters: Footnotes, width: int) -> Iterator[tuple[str, str, str]]:
    """(Number and verdict, text, style) of every line of a claim, each text as wide as there is room."""
    from textwrap import wrap

    room = max(20, width - INDENT)
    where = f" ({finding.where})" if finding.where else ""
    hangs_on = lines(finding, letters)
    head, style = f"{order:>2}  {finding.verdict}", STYLES[finding.verdict]
    for text in wrap(finding.says + where, room):
        yield head, text, style
        head, style = "", ""
    for line in hangs_on:
        head = f"      {line.verdict}" if len(hangs_on) > 1 else ""
        for said in _said(line):
            first, *rest = wrap(said, room, subsequent_indent="  ", break_on_hyphens=False) or [""]
            yield head, first, ""
            yield from (("", more, "") for more in rest)
            head = ""


def _said(line: Line) -> Iterator[str]:
    yield line.condition
    ours = ", ".join(part for part in (line.ours, line.effect) if part)
    if ours or line.reason:
        yield "; ".join(part for part in (f"ours: {ours}{_marks(line.marks)}" if ours else "", line.reason) if part)
    yield from line.others
    if line.published:
        yield f"published: {line.published}{_marks(line.sources)}"


def _marks(marks: Sequence[str]) -> str:
    return f" [{','.join(marks)}]" if marks else ""


def _beside(card: Card) -> Iterator[Grid]:
    for section in card.table.sections:
        yield from published_grids(section, card.table)


def _markdown(card: Card) -> str:
    from bench.renderers.markdown import footnote_lines, plain, table_lines

    grid = _grid(card)
    parts = [f"## {plain(card.table.title)}", "  \n".join(plain(line) for line in card.table.lead)]
    parts += [f"**{plain(summary(card))}**", table_lines(grid), footnote_lines(grid)]
    for beside in _beside(card):
        parts += [f"### {plain(beside.title)}", plain(beside.lead), table_lines(beside), footnote_lines(beside)]
    parts.append("\n".join(f"- {plain(line)}" for line in (*reading(card), *card.table.notes)))
    return "\n\n".join(part for part in parts if part)


def _grid(card: Card) -> Grid:
    """A row for each claim, its only comparison in it; of several, a row for each below it."""
    letters = Footnotes()
    heads = [Head("the document says"), Head("verdict"), Head("compared"), Head("ours", group=1)]
    heads += [Head("left against right", group=1), Head("published", group=1)]
    rows: list[tuple[Text, ...]] = []
    for finding in card.findings:
        hangs_on = lines(finding, letters)
        claim = Text(finding.says + (f" ({finding.where})" if finding.where else ""))
        several = len(hangs_on) != 1
        if several:
            rows.append((claim, Text(finding.verdict, best=True), *[Text("")] * 4))
        for line in hangs_on:
            verdict = Text(line.verdict, letters.marks([line.reason, *line.others]), best=not several)
            ours = Text(line.ours or EMPTY, line.marks)
            published = Text(line.published or EMPTY, line.sources)
            compared = (Text(line.condition), ours, Text(line.effect or EMPTY), published)
            rows.append((Text("") if several else claim, verdict, *compared))
    return Grid("", "", tuple(heads), tuple(rows), (False,) * len(rows), letters.listed())


def _plain(card: Card) -> Json:
    return {
        "title": card.table.title,
        "lead": list(card.table.lead),
        "summary": summary(card),
        "counts": dict(card.counts),
        "claims": [_plain_finding(finding) for finding in card.findings],
        "published": [cell for cell in flat(card.table) if cell["published"] is not None],
        "notes": [*reading(card), *card.table.notes],
    }


def _plain_finding(finding: Finding) -> Json:
    found: Json = {"says": finding.says, "where": finding.where, "verdict": finding.verdict}
    found["comparisons"] = [_plain_judgement(judgement) for judgement in finding.judgements]
    if finding.outcome:
        found["test"] = {"name": finding.test, "verdict": finding.outcome.verdict, "reason": finding.outcome.reason}
    return found


def _plain_judgement(judgement: Judgement) -> Json:
    value, kind = judgement.effect.interval, "ratio" if judgement.effect.ratio else "difference"
    return {
        "condition": str(judgement.comparison),
        "verdict": judgement.verdict,
        "reason": judgement.reason,
        "effect": None if value is None else {"kind": kind, "value": value.value, "low": value.low, "high": value.high},
        "how": judgement.effect.how,
        "published_holds": judgement.published,
        "notes": list(judgement.notes),
        "other_modes": {mode: there.verdict for mode, there in judgement.others},
        "figures": [_plain_figure(figure) for figure in judgement.figures],
    }


def _plain_figure(figure: Figure) -> Json:
    call, cell, place = figure.call, figure.cell, figure.found
    return {
        "quantity": call.quantity,
        "variant": call.variant,
        "mode": place.row.mode if place else call.mode,
        "unit": place.column.quantity.unit if place else "",
        "value": cell.value,
        "low": cell.low,
        "high": cell.high,
        "rounds": len(cell.rounds),
        "flags": list(cell.flags),
        "reason": figure.reason,
        "published": figure.published.value if figure.published else None,
        "published_source": figure.published.source if figure.published else "",
    }
