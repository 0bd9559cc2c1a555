"""A board as markdown, with the rows of the former text that no record stands for any more. A pure function.

Nothing in it depends on when or where it is written: the same records give the same bytes.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from bench.leaderboard import Board, Entry
from bench.leaderboard.blocks import OldTable
from bench.record import Json
from bench.renderers.markdown import footnote_lines, plain, table_lines
from bench.table.grid import EMPTY, Footnotes, Grid, Head, Text, heading, in_common, ratio_text, value_text

DATE = re.compile(r"records of (\d{4}-\d\d-\d\d)")
MACHINE = re.compile(r"\((?:machine (\w+), (\w+))\)")
BAR = re.compile(r"(?<!\\)\|")
STALE = re.compile(r"^stale \((.*)\)$")

SPEEDUP = "latency"
"""The column beside which the speed-up over the reference mode stands."""

SAME_RANK = (
    "Rows share a rank where their 95 % intervals do not tell them apart: a rank is 1 + the number of rows that are "
    "better for sure (rows of one run by their ratios, paired by round; others by whether their intervals are apart)"
)


def page(boards: Sequence[Board], old: Sequence[OldTable], mode: str = "") -> str:
    """All boards of a block; `old` is what stands in it, `mode` the only one that it shows."""
    parts = []
    for board in boards:
        own = [table for table in old if _place(table.heading) == (board.place.machine, board.place.device)]
        parts.append(_board(board, own, mode))
    known = {(board.place.machine, board.place.device) for board in boards}
    gone = [table for table in old if table.heading and _place(table.heading) not in known]
    parts += [_gone(table) for table in gone if not mode or any(row[mode_at(table)] == mode for row in table.rows)]
    return "\n\n".join(parts) + "\n"


def mode_at(table: OldTable) -> int:
    """Which column of a table names the mode; the last one where there is none."""
    return table.heads.index("mode") if "mode" in table.heads else -1


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
    where = "Any machine"
    if board.place.machine:
        name = machine_name(board.machine, board.place.device)
        where = f"{name or 'Machine'} (machine {board.place.machine}, {board.place.device})"
    return f"**{plain(where)}**: ranked by {heading(column)[0]}{better}; records of {board.date}"


def _place(line: str) -> tuple[str, str]:
    found = MACHINE.search(line)
    return (found[1], found[2]) if found else ("", "")


def _board(board: Board, old: Sequence[OldTable], mode: str) -> str:
    letters = Footnotes()
    heads, rows = _grid(board, letters)
    stale = list(_stale(board, heads, old, mode, letters))
    grid = Grid(
        "", "", tuple(heads), tuple(map(tuple, [*rows, *stale])), (False,) * len(rows + stale), letters.listed()
    )
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


def _grid(board: Board, letters: Footnotes) -> tuple[list[Head], list[list[Text]]]:
    """The head and the rows, from left to right."""
    entries = board.entries
    heads = [Head("rank", group=1), Head("variant"), Head("mode")]
    rows = [[_rank(e, board, letters), Text(e.variant, letters.marks(e.notes)), Text(e.mode)] for e in entries]
    for group, (name, column) in enumerate(board.columns.items(), 2):
        short, convention = heading(column)
        cells = [entry.cells[name] for entry in entries]
        common = in_common(cells)
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


def _stale(
    board: Board, heads: Sequence[Head], old: Iterable[OldTable], mode: str, letters: Footnotes
) -> Iterator[list[Text]]:
    """The former rows that no record stands for, with their figures as far as the columns are still there."""
    seen = {entry.key for entry in board.entries}
    titles = [plain(head.text) for head in heads]
    for former in old:
        date = DATE.search(former.heading)
        for row in former.rows:
            key = _key(former, row)
            if key is None or key in seen or (mode and key[1] != mode):
                continue
            seen.add(key)
            texts = _kept(former.heads, row, titles)
            before = STALE.match(texts[0])
            since = before[1] if before else date[1] if date else "unknown date"
            why = letters.marks(["stale: no record of this row is there any more; its figures are of that date"])
            yield [Text(f"stale ({since})", why), *(Text(_unescaped(text)) for text in texts[1:])]


def _key(former: OldTable, row: Sequence[str]) -> tuple[str, str] | None:
    if "variant" not in former.heads or "mode" not in former.heads:
        return None
    variant, mode = (row[former.heads.index(name)] for name in ("variant", "mode"))
    return _unescaped(variant), _unescaped(mode)


def _kept(former: Sequence[str], row: Sequence[str], titles: Sequence[str]) -> list[str]:
    """A former row under the heads of now; a figure whose column has another unit now keeps its own."""
    cells: Mapping[str, tuple[str, str]] = {
        head.partition(" [")[0]: (head, text) for head, text in zip(former, row, strict=True)
    }
    texts = []
    for now in titles:
        head, text = cells.get(now.partition(" [")[0], (now, EMPTY))
        unit = head.partition(" [")[2].rstrip("]")
        texts.append(f"{text} {unit}" if head != now and unit and text != EMPTY else text)
    return texts


def _unescaped(text: str) -> str:
    return re.sub(r"\\([\\*|<~])", r"\1", text)


def _gone(former: OldTable) -> str:
    """The table of a machine of which there is no record any more."""
    date = DATE.search(former.heading)
    rows = []
    for row in former.rows:
        rank = row[0] if STALE.match(row[0]) else f"stale ({date[1] if date else 'unknown date'})"
        rows.append(tuple(Text(_unescaped(text)) for text in (rank, *row[1:])))
    names = ("variant", "mode")
    heads = tuple(Head(_unescaped(head), group=head not in names) for head in former.heads)
    grid = Grid("", "", heads, tuple(rows), (False,) * len(rows), ())
    return "\n\n".join([former.heading, table(grid), "- no record of this machine is there any more"])


def _published(board: Board) -> Iterator[str]:
    """Where the document's figures stand in it."""
    if any(entry.published for entry in board.entries):
        yield "published figures are the document's own, on its data and its machine: they are not ranked"
    for name, column in board.columns.items():
        places = {e.variant: e.published[name][1] for e in board.entries if name in e.published}
        if places:
            listed = "; ".join(f"{variant}: {place}" for variant, place in sorted(places.items()))
            yield f"{heading(column)[0]}, published: {listed}"


def _notes(board: Board) -> Iterator[str]:
    """The conditions of the figures, and what the signs mean."""
    cells = [cell for entry in board.entries for cell in entry.cells.values()]
    learnt = any(column.learnt for column in board.columns.values())
    yield SAME_RANK
    if any(cell.low is not None for cell in cells):
        accuracy = "; of accuracy over seeds, or within one training" if learnt else ""
        yield f"± is the half-width of the 95 % interval over the rounds, each a fresh process{accuracy}"
    if any("estimated" in cell.flags for cell in cells):
        yield "~ is an estimate: derived from a part, not measured in full"
    yield from _published(board)
    for name, lead in board.conditions.items():
        yield f"{name}: {lead}"
    yield from board.notes
