"""What belongs into a block of a markdown file, by its kind: a board, or a chart with what cannot be seen in it."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from bench.errors import UsageError, nearest
from bench.leaderboard import Asked, Board, boards
from bench.leaderboard.blocks import Block, tables
from bench.leaderboard.eligibility import FEWEST_ROUNDS
from bench.leaderboard.page import machine_name, page, place_name
from bench.leaderboard.standings import TIMED, merged, planned, snapshot
from bench.record import Json
from bench.renderers.markdown import plain
from bench.store import Loaded
from bench.table.lookup import split

# Claims read the suite's file and charts draw, which takes a third of a second; a table needs neither.
if TYPE_CHECKING:
    from bench.draw.pareto import Front
    from bench.suite.condition import Call

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
        kept = page([], tables(block.body), block.attributes.get("mode", "")) if kind == "table" else ""
        if not kept.strip():
            raise UsageError(f"no run in a profile '{profile}'; {nearest(profile, profiles)}")
        return Filled(kept)
    return _claims(block, runs) if kind == CLAIMS else KINDS[kind](block, found(block, runs))


def _table(block: Block, made: Sequence[Board]) -> Filled:
    if "file" in block.attributes:
        raise UsageError("attribute file is of a chart; write kind=pareto, or leave it out")
    return Filled(page(made, tables(block.body), block.attributes.get("mode", "")))


def _pareto(block: Block, made: Sequence[Board]) -> Filled:
    from bench.draw.pareto import draw, front, is_cost, score_of

    able = [board for board in made if is_cost(board.columns[board.by]) and score_of(board)]
    panels = [(board, front(board, machine_name(board.machine, board.place.device))) for board in able]
    drawn = [panel for _, panel in panels if panel.points]
    if not drawn:
        raise UsageError(f"nothing to draw: {_why_nothing(block, made, panels[0][1] if panels else None)}")
    name = block.attributes.get("file", f"images/pareto_{block.suite}.svg")
    path = PurePosixPath(name)
    if path.is_absolute() or path.suffix != ".svg":
        raise UsageError(f"file={name}: not the relative path of an SVG file; write file=images/NAME.svg")
    profile = block.attributes.get("profile", "")
    parts = [f"![{_axes(drawn[0])}: {len(drawn)} chart{'s' * (len(drawn) > 1)}, as text below]({name})"]
    parts += ["\n".join(_lines(board, panel, profile)) for board, panel in panels]
    return Filled("\n\n".join(parts) + "\n", {name: draw(drawn)})


def _why_nothing(block: Block, made: Sequence[Board], panel: "Front | None") -> str:
    """What stands in the way of a chart, and what to type."""
    from bench.draw.pareto import NO_ACCURACY, is_cost

    if not made:
        return f"no figures of {block.suite}; bench report {block.suite} says why"
    if panel is not None:
        name, reason = panel.left_out[0]
        trains = f"bench run {block.suite} --profile accuracy trains"
        hint = trains if reason.startswith(NO_ACCURACY) else "bench leaderboard --explain tells of every row"
        return f"{name}: {reason}; {hint}"
    by = made[0].by
    if not is_cost(made[0].columns[by]):
        return f"{by} is no cost, of which less is better; write by=latency"
    if "columns" in block.attributes:
        return f"no accuracy among columns={block.attributes['columns']}; add one, such as pckh.total"
    return f"no record has accuracy; bench run {block.suite} --profile accuracy trains"


def _axes(panel: "Front") -> str:
    accuracy, cost = (column.quantity.title.partition(",")[0] for column in (panel.accuracy, panel.cost))
    return f"{accuracy} against {cost}"


def _lines(board: Board, panel: "Front", profile: str) -> list[str]:
    """What cannot be seen in a panel: names, who is better than whom, what is missing, and the conditions."""
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
    lines += [f"{point.shown}: {'; '.join(point.differs)}" for point in panel.points if point.differs]
    for remark in dict.fromkeys(remark for point in panel.points for remark in point.remarks):
        rows = [point.label for point in panel.points if remark in point.remarks]
        lines.append(f"{remark}: {', '.join(rows) if len(rows) < len(panel.points) else 'all rows'}")
    lines += [f"{phase}: {lead}" for phase, lead in panel.conditions.items()]
    said = ", ".join(part for part in (_axes(panel), panel.in_modes, f"profile {profile}" if profile else "") if part)
    head = f"**{place_name(board)}**: {plain(said)}; records of {board.date}"
    return [head, "", *(f"- {plain(line)}" for line in lines)]


def _claims(block: Block, runs: Sequence[Loaded]) -> Filled:
    """The report card of the newest run that has the most of the figures that the claims quote.

    A run of trainings alone is passed over, unless its profile is asked for.
    """
    from bench.claims import card
    from bench.claims.cards import brief
    from bench.scores import restored_among
    from bench.suite import condition

    others = block.attributes.keys() - {"kind", "profile"}
    if others:
        raise UsageError(f"attribute {sorted(others)[0]} is of a table or a chart; leave it out")
    profile = block.attributes.get("profile", "")
    timed = [run for run in runs if any(record.job.phase == "infer" for record in run.records)]
    chosen = [run for run in runs if run.header.profile == profile] if profile else timed
    if not chosen:
        raise UsageError(f"no run of {block.suite} has times; bench run {block.suite} measures them")
    newest = sorted(chosen, key=lambda run: run.header.run, reverse=True)
    claims = _claims_now(newest[0])
    try:
        written = [one for claim in claims for text in claim.get("holds_if") or () for one in condition.parse(text)]
    except ValueError as error:
        raise UsageError(f"{error}; mend the claims of {block.suite}") from None
    calls = {call for one in written for call in one.calls}
    reference = next(iter(merged([run.header.suite for run in newest])["modes"]), "")
    counts = [_answered(run, calls, reference) for run in newest]
    best = counts.index(max(counts))
    run = newest[best]
    about = run.header.suite | {"claims": claims}
    text = brief(card(about, restored_among(run.records, runs)), _measured_on(run))
    for other, count in zip(newest[:best], counts, strict=False):
        less = f"it has {count} of the {len(calls)} figures that the claims quote, this one {counts[best]}"
        text += f"- run {other.header.run} is newer and not shown: {less}\n"
    return Filled(text)


def _answered(run: Loaded, calls: Collection["Call"], reference: str) -> int:
    """How many of the quoted figures a run has in full: of all rounds that it planned, in the mode that is meant."""
    rounds: dict[tuple[str, str, str, str], set[int]] = {}
    for job, values in ((record.job, record.values) for record in run.records):
        for value in (value for value in values if value.value is not None):
            rounds.setdefault((job.variant, value.quantity.name, job.phase, job.mode), set()).add(job.round)
    whole = {
        key
        for key, found in rounds.items()
        if key[2] not in TIMED or len(found) >= max(FEWEST_ROUNDS, planned(run.header, key[2], (key[0], key[3])))
    }

    def has(call: "Call") -> bool:
        phase, quantity = split(call.quantity)
        return any(
            key[:2] == (call.variant, quantity)
            and phase in ("", key[2])
            and key[3] == (call.mode or (reference if key[2] == "infer" else key[3]))
            for key in whole
        )

    return sum(has(call) for call in calls)


def _measured_on(run: Loaded) -> str:
    """The machine of a run and the day of its first job."""
    timed = next((record for record in run.records if record.job.phase == "infer"), run.records[0])
    device = str(timed.fingerprints.get("infer", {}).get("device", ""))
    return f"{machine_name(timed.machine, device)} (machine {timed.machine.get('id', '')}), {timed.started[:10]}"


def _claims_now(run: Loaded) -> list[Json]:
    """As the suite's file has them; of a suite that is not here, as the run kept them."""
    from bench.suite import load_suite

    try:
        written: list[Json] = load_suite(str(run.header.suite["name"])).plain()["claims"]
    except UsageError:
        written = run.header.suite.get("claims") or []
    return written


KINDS: Mapping[str, Callable[[Block, Sequence[Board]], Filled]] = {"table": _table, "pareto": _pareto}
"""What may stand in a block, from the boards."""

CLAIMS = "claims"
"""The kind of block that shows a run's claims."""
