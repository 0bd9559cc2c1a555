"""A ladder as text: for a terminal, as Markdown, and flat for another program."""

import csv
import json
from collections.abc import Iterable, Iterator
from dataclasses import replace
from io import StringIO
from typing import Any

from bench import plugins
from bench.ladder import NOTHING, Ladder, Repaid, Rung, rows
from bench.leaderboard.page import machine_name
from bench.record import Quantity
from bench.table.cells import Cell, Column
from bench.table.grid import EMPTY, Footnotes, Grid, Head, Text, in_common, ratio_text, value_text

FORMATS = ("terminal", "markdown", "json", "csv")

ON_PAGE = ("measured", "wrong")
"""States of the rungs that have figures; of the others a line says why they have none."""

RANKS = "a rank is 1 + the number of modes that are faster for sure, by their ratios, paired by round"
NO_RANKS = "no ranks: of one round nothing is known for sure"
COSTS = (
    "compile: the time of the first calls beyond that of later ones, cold with empty caches, warm with those of an "
    "earlier process; repaid: the calls after which faster calls have made up for the cold one"
)
WRONG = "struck through and without a rank: the answer differs from {} by more than the mode's tolerance"
DASH = f"a dash: {NOTHING}"

SECONDS = Column(Quantity(name="compile_time", unit="s", better="lower", title="compile"), unit="s")


def show(found: Ladder, form: str) -> str:
    """The ladder in one of FORMATS, without a newline at its end."""
    if form == "json":
        return json.dumps(_plain(found), indent=1, ensure_ascii=False)
    if form == "csv":
        return _csv(found)
    renderer: Any = plugins.load("renderer", form)
    grids = [_grid(found)] if any(rung.state in ON_PAGE for rung in found.rungs) else []
    return str(renderer.laid_out(_lead(found), grids, list(_notes(found)))).rstrip("\n")


def _lead(found: Ladder) -> list[str]:
    """What was measured, what is fastest, and where."""
    lines = [f"How fast can {found.network} go? {found.input} on {found.device or 'no device yet'}: {_answer(found)}"]
    known = found.machine.get("id")
    where = f"{machine_name(found.machine, found.device)} (machine {known})" if known else ""
    profile = f"profile {found.profile}" if found.profile else ""
    count = f"{found.rounds} round{'s' * (found.rounds != 1)}" if found.rounds else ""
    when = f"started {found.started}" if found.started else ""
    return [*lines, "; ".join(part for part in (where, profile, count, when) if part)]


def _answer(found: Ladder) -> str:
    best = next((rung for rung in found.rungs if rung.state == "measured"), None)
    if best is None:
        return "nothing was measured"
    if best.speedup.interval is None:
        return f"{best.mode} is the fastest ({best.speedup.reason})"
    if best.mode == found.reference:
        return f"no mode is faster than {found.reference}"
    speedup = ratio_text(best.speedup, Footnotes()).text
    first = [rung for rung in found.rungs if rung.rank == 1]
    if found.reference in (rung.mode for rung in first):
        return f"{best.mode}, {speedup}, but {found.reference} cannot be told from it"
    if best.rank is None:
        return f"{speedup} by {best.mode}, of one round"
    others = f", and {len(first) - 1} more cannot be told from it" if len(first) > 1 else ""
    return f"{speedup} by {best.mode}{others}"


def _grid(found: Ladder) -> Grid:
    """The rungs that have figures; the columns of compiling where any of them compiles."""
    letters, shown = Footnotes(), [rung for rung in found.rungs if rung.state in ON_PAGE]
    heads = [Head("rank"), Head("mode"), Head("speed-up", group=1)]
    lines = [_begun(rung, letters) for rung in shown]
    columns = [("latency", found.column, [rung.latency for rung in shown], 2)]
    columns.append(("error", found.error, [rung.error for rung in shown], 3))
    if any(rung.cold.value is not None or rung.warm.value is not None for rung in shown):
        columns += [("compile cold", SECONDS, [rung.cold for rung in shown], 3)]
        columns += [("compile warm", SECONDS, [rung.warm for rung in shown], 3)]
    for title, column, cells, group in columns:
        if column is not None:
            told = _told_in_head(cells, found)
            common = in_common(cells)
            heads.append(Head(title, column.unit, letters.marks([*column.notes, *common, *told.values()]), group))
            for line, cell in zip(lines, cells, strict=True):
                said = replace(cell, reason="", best=False) if cell.reason in told else replace(cell, best=False)
                line.append(value_text(said, column, letters, common))
    if heads[-1].title == "compile warm":
        heads.append(Head("repaid after", "calls", group=3))
        for line, rung in zip(lines, shown, strict=True):
            line.append(_calls(rung.repaid, letters))
    return Grid(
        title="Modes, the fastest first",
        lead=found.protocol,
        heads=tuple(heads),
        rows=tuple(map(tuple, lines)),
        struck=tuple(rung.state == "wrong" for rung in shown),
        footnotes=letters.listed(),
    )


def _begun(rung: Rung, letters: Footnotes) -> list[Text]:
    """The line of a rung up to its speed-up; why a wrong one has none stands at its name."""
    wrong = rung.state == "wrong"
    name = Text(rung.mode, letters.marks([rung.reason] if wrong else []))
    speedup = Text(EMPTY) if wrong else ratio_text(rung.speedup, letters)
    return [Text(EMPTY if rung.rank is None else str(rung.rank)), name, speedup]


def _told_in_head(cells: Iterable[Cell], found: Ladder) -> dict[str, str]:
    """Reasons of dashes that need no mark of their own -> what the head says of them, if anything."""
    wrong = {rung.reason: "" for rung in found.rungs if rung.state == "wrong"}
    reference = next(rung for rung in found.rungs if rung.mode == found.reference)
    nothing = {NOTHING: DASH} if any(cell.reason == NOTHING for cell in cells) else {}
    return wrong | nothing | ({reference.error.reason: ""} if reference.error.reason else {})


def _calls(repaid: Repaid, letters: Footnotes) -> Text:
    """Two digits: the times that it is derived from are not known better."""
    if repaid.never:
        return Text("never", letters.marks([repaid.note]))
    if repaid.calls is None:
        return Text(EMPTY)  # the time to compile beside it says why
    digits = max(0, len(str(repaid.calls)) - 2)
    up = -(-repaid.calls // 10**digits) * 10**digits
    return Text(f"{up:,}", letters.marks([repaid.note]))


def _notes(found: Ladder) -> Iterator[str]:
    """Why some rungs have no figures, and what the page's words mean."""
    for state, title in (("failed", "Failed"), ("unavailable", "Unavailable here"), ("missing", "Not measured")):
        why: dict[str, list[str]] = {}
        for rung in (rung for rung in found.rungs if rung.state == state):
            why.setdefault(rung.reason, []).append(rung.mode)
        for reason, modes in why.items():
            yield f"{title}: {', '.join(modes)}: {reason}"
    shown = [rung for rung in found.rungs if rung.state in ON_PAGE]
    if not shown:
        return
    paired = any(rung.speedup.interval and rung.speedup.interval.half_width for rung in shown)
    half = f"; ± is half of the 95 % interval over {found.rounds} rounds, each a fresh process" if paired else ""
    pairs = ", paired by round" if paired else ": of one round, without an interval"
    yield f"speed-up: latency of {found.reference} (strict, eager) over that of the mode{pairs}{half}"
    yield f"error: relative L2 of the mode's output against {found.reference}, same weights and images"
    if any(rung.state == "wrong" for rung in shown):
        yield WRONG.format(found.reference)
    yield RANKS if any(rung.rank for rung in shown) else NO_RANKS
    if any(rung.cold.value is not None for rung in shown):
        yield COSTS
    if usual := dict.fromkeys(_usual(shown)):
        yield f"where a name says no option, {', '.join(usual)}"


def _usual(shown: Iterable[Rung]) -> Iterator[str]:
    """The options that the names leave out."""
    for rung in shown:
        for name, option in rung.plugins.items():
            if option is not True and name in rung.mode.split("+"):
                yield f"{name} is {option}"


def _plain(found: Ladder) -> dict[str, Any]:
    return {
        "network": found.network,
        "input": found.input,
        "device": found.device,
        "reference": found.reference,
        "profile": found.profile,
        "protocol": found.protocol,
        "machine": found.machine.get("id"),
        "started": found.started,
        "units": {"latency": "s", "compile_cold": "s", "compile_warm": "s"},
        "rungs": list(rows(found)),
    }


def _csv(found: Ladder) -> str:
    """One line per rung; lists are joined by `; `, an empty field is a figure that there is not."""
    buffer = StringIO()
    flat = list(rows(found))
    writer = csv.DictWriter(buffer, fieldnames=list(flat[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: _field(value) for name, value in row.items()} for row in flat)
    return buffer.getvalue().rstrip("\n")


def _field(value: Any) -> Any:
    if isinstance(value, dict):
        return "; ".join(f"{key} {_field(one)}" for key, one in value.items())
    if isinstance(value, list):
        return "; ".join(map(str, value))
    return str(value).lower() if isinstance(value, bool) else value
