"""Table -> text: digits, units, signs and footnotes, the same in every renderer. Renderers only lay it out."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from math import isfinite
from re import split
from string import ascii_lowercase

from bench.stats import Interval
from bench.table.cells import TIMES, Cell, Column, Published, Ratio, Row, Section, Table
from bench.table.summary import NO_FIGURE, Pick, mode_of, picks, ratios, theirs, titles, variants
from bench.units import decimals

EMPTY = "-"

MOST_DIGITS = 4
"""Digits after the point beyond which a figure is no longer read, whatever its interval supports."""

TINY = 1e-3
"""Below this a number is written with an exponent: digits after so many zeros are miscounted."""


@dataclass(frozen=True, slots=True)
class Text:
    """One cell of the page: its text, the marks of its footnotes, and whether it is the best of its column."""

    text: str
    marks: tuple[str, ...] = ()
    best: bool = False


@dataclass(frozen=True, slots=True)
class Head:
    """One column of the page. Columns of a `group` belong together; group 0 names the row."""

    title: str
    unit: str = ""
    marks: tuple[str, ...] = ()
    group: int = 0

    @property
    def text(self) -> str:
        """Title and unit in one line."""
        return f"{self.title} [{self.unit}]" if self.unit else self.title


@dataclass(frozen=True, slots=True)
class Grid:
    """One rectangular piece of the page with its footnotes as (mark, sentence); `struck` is per row."""

    title: str
    lead: str
    heads: tuple[Head, ...]
    rows: tuple[tuple[Text, ...], ...]
    struck: tuple[bool, ...]
    footnotes: tuple[tuple[str, str], ...]


@dataclass(slots=True)
class Footnotes:
    """Hands out marks; the same sentence gets the same one."""

    known: dict[str, str] = field(default_factory=dict)

    def marks(self, sentences: Iterable[str]) -> tuple[str, ...]:
        """The marks of some sentences, each once."""
        return tuple(self.known.setdefault(s, _letter(len(self.known))) for s in dict.fromkeys(sentences) if s)

    def listed(self) -> tuple[tuple[str, str], ...]:
        """(Mark, sentence), in the order handed out."""
        return tuple((mark, sentence) for sentence, mark in self.known.items())


def _letter(index: int) -> str:
    """a, b, ... z, aa, ab, ...: letters, since digits beside a number would read as part of it."""
    first, last = divmod(index, len(ascii_lowercase))
    return (ascii_lowercase[first - 1] if first else "") + ascii_lowercase[last]


def grids(table: Table) -> Iterator[Grid]:
    """The pieces of a page, in order: each section, then its published figures, one piece per quantity.

    Of accuracy they are one piece: its many quantities are one table of the document.
    """
    for section in table.sections:
        yield _measured(section, table)
        yield from published_grids(section, table)
    if chosen := picks(table):
        yield _summary(chosen, table)


def published_grids(section: Section, table: Table) -> Iterator[Grid]:
    """What the document has of a section, beside ours."""
    beside = [i for i in range(len(section.columns)) if any(row.cells[i].published for row in section.rows)]
    learnt = [i for i in beside if section.columns[i].learnt]
    if learnt:
        yield _published_scores(section, learnt)
    for index in beside:
        if index not in learnt:
            yield _published(section, index, section.columns[index], table)


def notes(table: Table, best: str) -> tuple[str, ...]:
    """The lines under the page; `best` says how this renderer marks the best of a column."""
    if any(cell.best for section in table.sections for row in section.rows for cell in row.cells):
        sentence = f"{best}: the best of its column and mode, with all whose intervals overlap with its own"
        return (sentence, *table.notes)
    return table.notes


def _measured(section: Section, table: Table) -> Grid:
    """What was measured: a value and, beside it, its ratios."""
    letters = Footnotes()
    modes = any(row.mode for row in section.rows)
    rows = [[*_names(row, modes, letters)] for row in section.rows]
    heads = [Head("variant"), Head("mode")][: 1 + modes]
    for index, column in enumerate(section.columns):
        cells = [row.cells[index] for row in section.rows]
        common = in_common(cells)
        short, convention = heading(column)
        marks = letters.marks([*convention, *column.notes, *common])
        heads.append(Head(short, column.unit, marks, index + 1))
        heads += [Head(f"{TIMES} {table.baseline}", group=index + 1)] * column.compared
        heads += [Head(f"speed-up vs {table.reference}", group=index + 1)] * column.speedup
        for line, cell in zip(rows, cells, strict=True):
            line.append(value_text(cell, column, letters, common))
            line += [ratio_text(cell.ratio, letters)] * column.compared
            line += [ratio_text(cell.speedup, letters)] * column.speedup
    return Grid(
        title=section.title,
        lead=section.lead,
        heads=tuple(heads),
        rows=tuple(tuple(line) for line in rows),
        struck=tuple(row.struck for row in section.rows),
        footnotes=letters.listed(),
    )


def _published(section: Section, index: int, column: Column, table: Table) -> Grid:
    """One quantity: ours, the document's, and how far they are apart."""
    letters = Footnotes()
    modes = any(row.mode for row in section.rows)
    short, _ = heading(column)
    heads = [Head("variant"), Head("mode")][: 1 + modes]
    heads += [Head("ours", column.unit, group=1), Head("published", group=1)]
    if column.portable:
        heads.append(Head("ours - published", column.unit, group=1))
    else:
        heads += [
            Head(f"ours, {TIMES} {table.baseline}", group=1),
            Head(f"published, {TIMES} {table.baseline}", group=1),
        ]
        heads.append(Head("ours vs published", "%", group=1))
    rows, lines = [], []
    beside = [row.cells[index].published for row in section.rows]
    bases = sorted({published.base for published in beside if published and published.base})
    for row in section.rows:
        cell = row.cells[index]
        if cell.published is None:
            continue
        line = [*_names(row, modes, letters), replace(value_text(cell, column, letters, cell.notes), best=False)]
        lines.append((*line, *_theirs(cell, cell.published, column, letters, row.variant == table.baseline)))
        rows.append(row)
    return Grid(
        title=f"{section.title}, {short}: published beside ours",
        lead="; ".join(f"published ratios are to {base}" for base in bases),
        heads=tuple(heads),
        rows=tuple(lines),
        struck=tuple(row.struck for row in rows),
        footnotes=letters.listed(),
    )


def _published_scores(section: Section, indices: Sequence[int]) -> Grid:
    """Every published score: ours, the document's, and the difference."""
    letters = Footnotes()
    modes = any(row.mode for row in section.rows)
    rows = [row for row in section.rows if any(row.cells[i].published for i in indices)]
    heads = [Head("variant"), Head("mode")][: 1 + modes]
    lines = [_names(replace(row, notes=()), modes, letters) for row in rows]
    for index in indices:
        column = section.columns[index]
        short, _ = heading(column)
        heads += [Head(short, column.unit, group=index + 1), Head("published", group=index + 1)]
        heads.append(Head("ours - published", column.unit, group=index + 1))
        for row, line in zip(rows, lines, strict=True):
            cell = row.cells[index]
            line.append(replace(value_text(cell, column, letters, cell.notes), best=False))
            if cell.published:
                line += _theirs(cell, cell.published, column, letters, base=False)
            else:
                line += [Text(EMPTY, letters.marks([NO_FIGURE])), Text(EMPTY)]
    return Grid(
        title=f"{section.title}: published beside ours",
        lead=_protocols(section),
        heads=tuple(heads),
        rows=tuple(tuple(line) for line in lines),
        struck=tuple(row.struck for row in rows),
        footnotes=letters.listed(),
    )


def _theirs(cell: Cell, published: Published, column: Column, letters: Footnotes, base: bool) -> Iterator[Text]:
    """The published figure and what follows from it."""
    yield Text(published.text, letters.marks([published.source]))
    if column.portable:
        yield _difference(published.difference, column.factor, letters, cell.reason)
        return
    yield ratio_text(cell.ratio, letters)
    interval = None if published.ratio is None else Interval(published.ratio, None, None)
    ratio = Ratio(interval, "the document has no figure of the baseline")
    yield ratio_text(ratio, letters)
    if base:
        yield Text("baseline")
        return
    reason = cell.reason or (cell.ratio.reason if cell.ratio else "") or ratio.reason
    yield _difference(published.difference, 1.0, letters, reason)


def _summary(chosen: Sequence[Pick], table: Table) -> Grid:
    """One line per variant; what is known about a value stands under the section that it comes from."""
    letters = Footnotes()
    heads = [Head("variant")]
    rows: list[list[Text]] = [[Text(name)] for name in variants(table)]
    for group, pick in enumerate(chosen, 1):
        named = [Head(*head, group=group) for head in titles(pick, table, lambda column: heading(column)[0])]
        if pick.beside and pick.column.learnt:
            named[-1] = replace(named[-1], marks=letters.marks([_protocols(pick.section)]))
        heads += named
        for line, cell in zip(rows, pick.cells, strict=True):
            hidden = () if pick.column.learnt else cell.notes
            line.append(replace(value_text(cell, pick.column, letters, hidden), best=False))
            line += [ratio_text(ratio, letters) for ratio in ratios(pick, cell)]
            if pick.beside:
                line.append(_beside(cell, pick.column, letters))
    return Grid(
        title="Summary" + (f", mode {mode_of(table)}" if mode_of(table) else ""),
        lead="",
        heads=tuple(heads),
        rows=tuple(tuple(line) for line in rows),
        struck=tuple(any(_struck(section, name, table) for section in table.sections) for name in variants(table)),
        footnotes=letters.listed(),
    )


def _beside(cell: Cell, column: Column, letters: Footnotes) -> Text:
    """The document's own ratio; of accuracy its value, since there the machine does not matter."""
    if column.learnt and cell.published:
        return Text(cell.published.text)
    return ratio_text(theirs(cell), letters)


def _protocols(section: Section) -> str:
    """That two accuracies were not obtained alike."""
    return f"published: on the document's data, by its training; ours: {section.lead or 'see the rows'}"


def _struck(section: Section, variant: str, table: Table) -> bool:
    return any(row.struck for row in section.rows if row.variant == variant and row.mode == mode_of(table))


def _names(row: Row, modes: bool, letters: Footnotes) -> list[Text]:
    return [Text(row.variant, letters.marks(row.notes)), Text(row.mode)][: 1 + modes]


def heading(column: Column) -> tuple[str, tuple[str, ...]]:
    """A head short enough for a column, and the title in full where that is longer."""
    title = column.quantity.title
    # The titles of scores list joints, behind commas.
    short = split(r"\s*[(:;]" if column.learnt else r"\s*[(,:;]", title)[0] or column.key
    return short, () if short == title else (title,)


def in_common(cells: Sequence[Cell]) -> tuple[str, ...]:
    """Sentences that hold for every value of a column; they stand once, in its head."""
    valued = [cell for cell in cells if cell.value is not None]
    if len(valued) < 2:
        return ()
    return tuple(note for note in valued[0].notes if all(note in cell.notes for cell in valued))


def value_text(cell: Cell, column: Column, letters: Footnotes, common: Iterable[str]) -> Text:
    """A figure with its interval and the marks of what must be known of it, but for what is common to its column."""
    interval = cell.interval
    if interval is None:
        return Text(EMPTY, letters.marks([cell.reason]))
    text = number(_scaled(interval, column.factor), exact=column.quantity.exact, signed=column.learnt)
    if "estimated" in cell.flags:
        text = f"~{text}"
    hidden = set(common)
    return Text(text, letters.marks(note for note in cell.notes if note not in hidden), cell.best)


def ratio_text(ratio: Ratio | None, letters: Footnotes) -> Text:
    """A ratio with its interval, or the mark of why there is none."""
    if ratio is None or ratio.interval is None:
        return Text(EMPTY, letters.marks([ratio.reason] if ratio else []))
    if ratio.interval.value == 1 and not ratio.interval.half_width:
        return Text(f"{TIMES}1", letters.marks(ratio.notes))
    return Text(f"{TIMES}{number(ratio.interval)}", letters.marks(ratio.notes))


def _difference(interval: Interval | None, factor: float, letters: Footnotes, reason: str) -> Text:
    if interval is None:
        return Text(EMPTY, letters.marks([reason]))
    scaled = _scaled(interval, factor)
    if scaled.half_width is None:
        return Text(f"{scaled.value:+.1f}" if factor == 1 else f"{scaled.value:+.2f}")
    return Text(("+" if scaled.value >= 0 else "") + number(scaled, signed=True))


def _scaled(interval: Interval, factor: float) -> Interval:
    low, high = interval.low, interval.high
    return Interval(
        interval.value / factor, low if low is None else low / factor, high if high is None else high / factor
    )


def number(interval: Interval, *, exact: bool = False, signed: bool = False) -> str:
    """A number with the digits that its interval supports; exact ones in full, or with two digits at least.

    An interval wider than the number itself says only that nothing is known, unless the number may have either sign.

    >>> number(Interval(448.2, 436.1, 460.3)), number(Interval(0.5204, None, None))
    ('448 ± 12', '0.520')
    >>> number(Interval(751.0, 0.1, 9e9))
    '751 ± >100 %'
    >>> number(Interval(25.594624, None, None), exact=True), number(Interval(812.0, None, None), exact=True)
    ('25.59', '812')
    """
    value, half = interval.value, interval.half_width
    if not isfinite(value):
        return str(value)
    if exact:
        return f"{value:.0f}" if value == int(value) else f"{value:.{max(2, decimals(value, None))}f}"
    if 0 < abs(value) < TINY and not (signed and half):
        return f"{value:.1e}" + ("" if half is None else f" ± {half:.1e}")
    if half is not None and half > abs(value) and not signed:
        return f"{value:.{min(MOST_DIGITS, decimals(value, None))}f} ± >100 %"
    digits = min(MOST_DIGITS, decimals(value, half))
    if half is None or half == 0:
        return f"{value:.{digits}f}"
    written = f"{half:.{digits}f}"
    return f"{value:.{digits}f} ± {written if float(written) else f'<{10.0**-digits:.{digits}f}'}"
