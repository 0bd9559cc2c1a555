"""A board as markdown, with the rows of the former text that no record stands for any more. A pure function.

Nothing in it depends on when or where it is written: the same records give the same bytes.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from bench.leaderboard import Board, Entry
from bench.leaderboard.blocks import OldCell, OldTable
from bench.record import Json
from bench.renderers.markdown import footnote_lines, plain, table_lines
from bench.table.grid import EMPTY, Footnotes, Grid, Head, Text, heading, in_common, ratio_text, value_text

DATE = re.compile(r"records of (\d{4}-\d\d-\d\d)")
MACHINE = re.compile(r"\((?:machine (\w+), (\w+))\)")
BAR = re.compile(r"(?<!\\)\|")
STALE = re.compile(r"^stale \((.*)\)$")

SPEEDUP = "latency"
"""The column beside which the speed-up over the reference mode stands."""

RANKS = (
    "a rank is 1 + the number of rows that are better for sure (rows of one run by their ratios, paired by round; "
    "others by whether their 95 % intervals are apart); rows of neighbouring ranks need not be told apart"
)

NAMES = ("variant", "mode")
"""Heads of the columns that name a row."""

OWN_UNIT = re.compile(r"[A-Za-z\]]$")


@dataclass(frozen=True, slots=True)
class _Kept:
    """A row of the former text that no record stands for.

    Attributes:
        since: the date of its figures.
        cells: heading -> (unit, the cell with the notes of its head too); headings that stood twice are left out,
            since nobody knows which is which.
    """

    since: str
    cells: Mapping[str, tuple[str, OldCell]]

    def lacks(self, note: str, title: str) -> bool:
        """Whether it has a figure of which a sentence is not said."""
        _, cell = self.cells.get(title, ("", OldCell(EMPTY)))
        return cell.text != EMPTY and note not in cell.notes


def page(boards: Sequence[Board], old: Sequence[OldTable], mode: str = "") -> str:
    """All boards of a block; `old` is what stands in it, `mode` the only one that it shows."""
    written = [_of_mode(table, mode) for table in old if {*NAMES} <= {head.text for head in table.heads}]
    parts: list[str] = []
    nowhere = ("", "")
    known = {nowhere} if boards else set()
    for board in boards:
        # Rows of any machine have come to stand on the first one.
        places = {(board.place.machine, board.place.device)} | ({nowhere} if not parts else set())
        parts.append(_board(board, [table for table in written if _place(table.heading) in places]))
        known |= places
    parts += [_gone(table) for table in written if table.heading and table.rows and _place(table.heading) not in known]
    return "\n\n".join(parts) + "\n"


def _of_mode(table: OldTable, mode: str) -> OldTable:
    at = [head.text for head in table.heads].index("mode")
    return replace(table, rows=tuple(row for row in table.rows if mode in ("", row[at].text)))


def machine_name(machine: Json, device: str) -> str:
    """The facts of a machine that a reader knows it by."""
    gpus = [str(gpu.get("name", "")) for gpu in machine.get("gpus") or []]
    if device == "cpu" or not gpus:
        threads = f"{machine['threads']} threads" if machine.get("threads") else ""
        chief = [str(machine.get("cpu", "")), threads]
    else:
        chief = [gpus[0] if len(set(gpus)) == 1 and len(gpus) == 1 else " + ".join(gpus)]
    torch = f"torch {machine['torch']}" if machine.get("torch") else ""
    return ", ".join(part for part in [*chief, torch] if part)


def title(board: Board) -> str:
    """What stands above a board: the machine, what ranks, the date of its newest record."""
    column = board.columns[board.by]
    better = f", {column.quantity.better} is better" if column.quantity.better != "none" else ""
    return f"**{place_name(board)}**: ranked by {plain(board.titles[board.by])}{better}; records of {board.date}"


def place_name(board: Board) -> str:
    """The machine and the kind of device, by name and by id."""
    if not board.place.machine:
        return "Any machine"
    name = plain(machine_name(board.machine, board.place.device))
    return f"{name or 'Machine'} (machine {board.place.machine}, {board.place.device})"


def _place(line: str) -> tuple[str, str]:
    found = MACHINE.search(line)
    return (found[1], found[2]) if found else ("", "")


def _board(board: Board, old: Iterable[OldTable]) -> str:
    letters = Footnotes()
    kept = list(_kept(board, old))
    heads, rows = _grid(board, kept, letters)
    rows += [list(_kept_row(one, heads, letters)) for one in kept]
    grid = Grid("", "", tuple(heads), tuple(map(tuple, rows)), (False,) * len(rows), letters.listed())
    notes = "\n".join(f"- {plain(line)}" for line in _notes(board))
    return "\n\n".join(part for part in (title(board), table(grid), footnote_lines(grid), notes) if part)


def table(grid: Grid) -> str:
    """A grid's table as formatters of markdown write it: each column as wide as its widest cell, blanks around it."""
    lines = [[cell.strip() for cell in BAR.split(line)[1:-1]] for line in table_lines(grid).split("\n")]
    head, _, *body = lines
    widths = [max(3, *(len(cell) for cell in column)) for column in zip(head, *body, strict=True)]
    right = [bool(column.group) for column in grid.heads]
    dashes = [f"{'-' * (n - 1)}:" if r else f":{'-' * (n - 1)}" for n, r in zip(widths, right, strict=True)]
    padded = [
        [cell.rjust(n) if r else cell.ljust(n) for cell, n, r in zip(line, widths, right, strict=True)]
        for line in (head, dashes, *body)
    ]
    return "\n".join(f"| {' | '.join(line)} |" for line in padded)


def _grid(board: Board, kept: Sequence[_Kept], letters: Footnotes) -> tuple[list[Head], list[list[Text]]]:
    """The head and the rows, from left to right; what a head says holds for the rows that are kept, too."""
    entries = board.entries
    heads = [Head("rank", group=1), Head("variant"), Head("mode")]
    rows = [[_rank(e, board, letters), Text(e.variant, letters.marks(e.notes)), Text(e.mode)] for e in entries]
    for group, (name, column) in enumerate(board.columns.items(), 2):
        short, convention = board.titles[name], heading(column)[1]
        cells = [entry.cells[name] for entry in entries]
        common = [note for note in in_common(cells) if not any(one.lacks(note, short) for one in kept)]
        heads.append(Head(short, column.unit, letters.marks([*convention, *column.notes, *common]), group))
        for row, cell in zip(rows, cells, strict=True):
            text = value_text(cell, column, letters, common)
            row.append(replace(text, text=_failed(cell.reason) or text.text) if cell.value is None else text)
        if column.key == SPEEDUP and len({entry.mode for entry in entries}) > 1:
            heads.append(Head(f"speed-up vs {board.reference}", group=group))
            for row, cell in zip(rows, cells, strict=True):
                row.append(ratio_text(cell.speedup, letters) if cell.speedup else Text(EMPTY))
        if any(name in entry.published for entry in entries):
            heads.append(Head(f"{short}, published", group=group))
            for row, entry in zip(rows, entries, strict=True):
                row.append(Text(entry.published[name][0] if name in entry.published else EMPTY))
    heads.append(Head("seeds" if board.columns[board.by].learnt else "rounds", group=len(heads)))
    for row, entry in zip(rows, entries, strict=True):
        row.append(Text(str(len(entry.cells[board.by].rounds) or EMPTY)))
    return heads, rows


def _failed(reason: str) -> str:
    """`failed: oom` where the reason of a missing figure is a job's failure."""
    status = reason.partition(":")[0]
    return f"failed: {status}".replace("failed: failed", "failed") if status in FAILURES else ""


FAILURES = ("oom", "failed", "timeout", "crashed")


def _rank(entry: Entry, board: Board, letters: Footnotes) -> Text:
    """The rank, or why there is none."""
    if entry.rank is not None:
        return Text(str(entry.rank))
    if not entry.failed:
        return Text(EMPTY, letters.marks(["not ranked: neither direction of this quantity is better"]))
    said = "; ".join(f"{failure.text}; {fixed(failure.rule.fix, entry, board)}" for failure in entry.failed)
    return Text(_failed(entry.status) or EMPTY, letters.marks([f"not ranked: {said}"]))


def fixed(fix: str, entry: Entry, board: Board) -> str:
    """A rule's advice with the names of a row."""
    text = fix.format(suite=board.suite, variant=entry.variant, mode=entry.mode, run=entry.run)
    return text.replace(" --mode  ", " ")


def _kept(board: Board, old: Iterable[OldTable]) -> Iterator[_Kept]:
    """The former rows that no record stands for, each once."""
    seen = {entry.key for entry in board.entries}
    for former in old:
        titles = [head.text.partition(" [") for head in former.heads]
        alike = Counter(title for title, _, _ in titles)
        for row in former.rows:
            cells = {
                title: (unit.rstrip("]"), OldCell(cell.text, (*head.notes, *cell.notes)))
                for (title, _, unit), head, cell in zip(titles, former.heads, row, strict=True)
                if alike[title] == 1
            }
            variant, mode = (cells[name][1].text for name in NAMES)
            if (variant, mode) not in seen:
                seen.add((variant, mode))
                yield _Kept(_since(former, row[0].text), cells)


def _since(former: OldTable, rank: str) -> str:
    """The date of a former row's figures."""
    before, date = STALE.match(rank), DATE.search(former.heading)
    return before[1] if before else date[1] if date else "unknown date"


def _kept_row(one: _Kept, heads: Sequence[Head], letters: Footnotes) -> Iterator[Text]:
    """A former row under the heads of now; a figure whose column has another unit now keeps its own."""
    sentences = dict(letters.listed())
    _, rank = one.cells.get(heads[0].title, ("", OldCell(EMPTY)))
    why = "stale: no record of this row is there any more; its figures are of that date"
    yield Text(f"stale ({one.since})", letters.marks([why, *rank.notes]))
    for head in heads[1:]:
        unit, cell = one.cells.get(head.title, ("", OldCell(EMPTY)))
        said = {sentences[mark] for mark in head.marks}
        own = unit != head.unit and cell.text != EMPTY and not OWN_UNIT.search(cell.text)
        text = f"{cell.text} {unit or '[1]'}" if own else cell.text
        yield Text(text, letters.marks(note for note in cell.notes if note not in said))


def _gone(former: OldTable) -> str:
    """A table of which no row has a record any more."""
    letters = Footnotes()
    heads = [Head(h.text, marks=letters.marks(h.notes), group=int(h.text not in NAMES)) for h in former.heads]
    rows = [
        (
            Text(f"stale ({_since(former, row[0].text)})", letters.marks(row[0].notes)),
            *(Text(cell.text, letters.marks(cell.notes)) for cell in row[1:]),
        )
        for row in former.rows
    ]
    grid = Grid("", "", tuple(heads), tuple(rows), (False,) * len(rows), letters.listed())
    parts = [former.heading, table(grid), footnote_lines(grid), "- no record of these rows is there any more"]
    return "\n\n".join(part for part in parts if part)


def _published(board: Board) -> Iterator[str]:
    """Where the document's figures stand in it."""
    if any(entry.published for entry in board.entries):
        yield "published figures are the document's own, on its data and its machine: they are not ranked"
    for name in board.columns:
        places = {e.variant: e.published[name][1] for e in board.entries if name in e.published}
        if places:
            listed = "; ".join(f"{variant}: {place}" for variant, place in sorted(places.items()))
            yield f"{board.titles[name]}, published: {listed}"


def _notes(board: Board) -> Iterator[str]:
    """The conditions of the figures, and what the signs mean."""
    cells = [cell for entry in board.entries for cell in entry.cells.values()]
    learnt = any(column.learnt for column in board.columns.values())
    yield RANKS
    if any(cell.low is not None for cell in cells):
        accuracy = "; of accuracy over seeds, or within one training" if learnt else ""
        yield f"± is the half-width of the 95 % interval over the rounds, each a fresh process{accuracy}"
    if any("estimated" in cell.flags for cell in cells):
        yield "~ is an estimate: derived from a part, not measured in full"
    yield from _published(board)
    for name, lead in board.conditions.items():
        yield f"{name}: {lead}"
