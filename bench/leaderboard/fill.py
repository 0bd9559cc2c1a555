"""What belongs into a block of a markdown file, by its kind: a board, or a chart with what cannot be seen in it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from bench.claims import card
from bench.claims.cards import brief
from bench.draw.pareto import Front, draw, front
from bench.errors import UsageError, nearest
from bench.leaderboard import Asked, Board, boards
from bench.leaderboard.blocks import Block, tables
from bench.leaderboard.page import machine_name, page
from bench.leaderboard.standings import snapshot
from bench.record import Json
from bench.renderers.markdown import plain
from bench.scores import restored_among
from bench.store import Loaded
from bench.suite import load_suite

ATTRIBUTES = {
    "kind": "what stands in the block: table (default), pareto, a chart of accuracy against cost, or claims",
    "by": "the quantity that ranks, such as latency (default), pckh.total or params; the cost of a chart",
    "mode": "rows of this mode alone",
    "profile": "times of runs in this profile alone [default: of each machine the protocol of its newest run]",
    "columns": "quantities to show, separated by commas, such as latency,train.peak_memory,params",
    "file": "where a chart goes, relative to the markdown file [default: images/pareto_SUITE.svg]",
}
"""Attribute of a block -> what it does."""


@dataclass(frozen=True, slots=True)
class Filled:
    """The new text of a block, and the files that it shows: path relative to the markdown file -> content."""

    body: str
    files: Mapping[str, bytes] = field(default_factory=dict)


def asked(block: Block) -> Asked:
    """What a block asks of the boards."""
    given = block.attributes
    columns = tuple(name for name in given.get("columns", "").split(",") if name)
    return Asked(given.get("by", ""), given.get("mode", ""), given.get("profile", ""), columns)


def found(block: Block, runs: Sequence[Loaded]) -> list[Board]:
    """The boards of a block.

    Raises:
        UsageError: it asks for what no record has.
    """
    return boards(snapshot(runs, block.attributes.get("profile", "")), asked(block))


def filled(block: Block, runs: Sequence[Loaded]) -> Filled:
    """What belongs into a block.

    Raises:
        UsageError: it asks for what no record has; the message lacks the place of the block.
    """
    kind = block.attributes.get("kind", "table")
    if kind not in (*KINDS, CLAIMS):
        raise UsageError(f"unknown kind '{kind}'; {nearest(kind, (*KINDS, CLAIMS))}")
    profiles = {run.header.profile for run in runs if run.header.profile}
    profile = block.attributes.get("profile", "")
    if profile and profile not in profiles:
        raise UsageError(f"no run in a profile '{profile}'; {nearest(profile, profiles)}")
    return _claims(block, runs) if kind == CLAIMS else KINDS[kind](block, found(block, runs))


def _table(block: Block, made: Sequence[Board]) -> Filled:
    if "file" in block.attributes:
        raise UsageError("attribute file is of a chart; write kind=pareto, or leave it out")
    return Filled(page(made, tables(block.body), block.attributes.get("mode", "")))


def _pareto(block: Block, made: Sequence[Board]) -> Filled:
    if not made[0].columns:
        raise UsageError(f"no figures of {block.suite}")
    panels = [front(board, machine_name(board.machine, board.place.device)) for board in made]
    fronts = [panel for panel in panels if panel is not None]
    if not any(panel.points for panel in fronts):
        by, profile = made[0].by, "--profile accuracy"
        raise UsageError(
            f"nothing to draw: no row has both accuracy and {by}, ranked; bench run {block.suite} {profile} trains"
        )
    name = block.attributes.get("file", f"images/pareto_{block.suite}.svg")
    path = PurePosixPath(name)
    if path.is_absolute() or path.suffix != ".svg":
        raise UsageError(f"file={name}: not the relative path of an SVG file; write file=images/NAME.svg")
    drawn = [panel for panel in fronts if panel.points]
    alt = f"{_title(drawn[0].accuracy.quantity.title)} against {_title(drawn[0].cost.quantity.title)}"
    parts = [f"![{alt}: {len(drawn)} chart{'s' * (len(drawn) > 1)}, as text below]({name})"]
    parts += ["\n".join(_lines(panel)) for panel in fronts]
    return Filled("\n\n".join(parts) + "\n", {name: draw(drawn)})


def _title(text: str) -> str:
    return text.partition(",")[0]


def _lines(panel: Front) -> list[str]:
    """What cannot be seen in a panel: names, who is better than whom, and what is missing."""
    best = [point.label for point in panel.points if not point.dominated]
    behind = [f"{point.label} (by {point.dominated})" for point in panel.points if point.dominated]
    lines = [f"on the front, cheapest first: {', '.join(best) or 'nothing'}"]
    if behind:
        lines.append(f"behind it, by the values alone: {', '.join(behind)}")
    why: dict[str, list[str]] = {}
    for name, reason in panel.left_out:
        why.setdefault(reason, []).append(name)
    if why:
        lines.append("not drawn: " + "; ".join(f"{', '.join(names)}: {reason}" for reason, names in why.items()))
    lines.append("whiskers are 95 % intervals" + (", the area is the peak memory" if panel.memory else ""))
    return [f"**{plain(panel.title)}**", "", *(f"- {plain(line)}" for line in lines)]


def _claims(block: Block, runs: Sequence[Loaded]) -> Filled:
    """The report card of the newest run that measured a time."""
    others = block.attributes.keys() - {"kind", "profile"}
    if others:
        raise UsageError(f"attribute {sorted(others)[0]} is of a table or a chart; leave it out")
    profile = block.attributes.get("profile", "")
    timed = [run for run in runs if any(record.job.phase == "infer" for record in run.records)]
    chosen = [run for run in timed if profile in ("", run.header.profile)]
    if not chosen:
        raise UsageError(f"no run of {block.suite} has times; bench run {block.suite} measures them")
    run = chosen[-1]
    about = run.header.suite | {"claims": _claims_now(run)}
    return Filled(brief(card(about, restored_among(run.records, runs)), _measured_on(run)))


def _measured_on(run: Loaded) -> str:
    """The machine of a run and the day of its first job."""
    timed = next(record for record in run.records if record.job.phase == "infer")
    device = str(timed.fingerprints.get("infer", {}).get("device", ""))
    return f"{machine_name(timed.machine, device)} (machine {timed.machine.get('id', '')}), {timed.started[:10]}"


def _claims_now(run: Loaded) -> list[Json]:
    """As the suite's file has them; of a suite that is not here, as the run kept them."""
    try:
        written: list[Json] = load_suite(str(run.header.suite["name"])).plain()["claims"]
    except UsageError:
        written = run.header.suite.get("claims") or []
    return written


KINDS: Mapping[str, Callable[[Block, Sequence[Board]], Filled]] = {"table": _table, "pareto": _pareto}
"""What may stand in a block, from the boards."""

CLAIMS = "claims"
"""The kind of block that shows a run's claims."""
