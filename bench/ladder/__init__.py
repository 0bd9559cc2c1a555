"""Records of one network in many modes -> a ladder: which mode is how fast, how wrong, and when it pays. Pure.

The figures are those of the run's table: rounds merged, speed-ups paired by round, a wrong answer struck. What is added
is the order, the rank, and after how many calls the time that a mode took to compile is made up for.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import ceil, inf
from typing import Any, Literal, NamedTuple

from bench.leaderboard.ranking import Figure, ranks
from bench.record import Job, Json, Record
from bench.stats import Interval
from bench.table import tabulate
from bench.table.cells import Cell, Column, Ratio, Row, Section
from bench.table.merge import NOT_PLANNED, Rounds, latest, merge, pivot

LATENCY = "latency"
COLD = "compile_time.cold"
WARM = "compile_time.warm"

State = Literal["measured", "wrong", "failed", "unavailable", "missing"]

STATES: tuple[State, ...] = ("measured", "wrong", "failed", "unavailable", "missing")
"""What becomes of a mode, in the order of the ladder: it has a speed-up, its answer is beyond its tolerance, it went
wrong, it cannot run here, it was not reached."""

NOTHING = "nothing is compiled in this mode"
NO_SAVING = "not faster than {} in these rounds: no call makes up for the time"
UNSURE = "the interval of the speed-up holds 1: perhaps never"
NOT_REACHED = "the ladder was interrupted before it"


@dataclass(frozen=True, slots=True)
class Repaid:
    """After how many calls compiling has paid; `never` where it does not, else a reason where there is no number."""

    calls: int | None = None
    never: bool = False
    note: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Rung:
    """One mode of the network.

    Attributes:
        plugins: mode plugin -> option.
        rank: 1 + the number of modes that are faster for sure; None where it is not ranked.
        error: against strict fp32 eager; cold, warm: what compiling took, with empty caches and with filled ones.
        reason: why it has no speed-up.
    """

    mode: str
    plugins: Json
    state: State
    latency: Cell
    speedup: Ratio
    error: Cell
    cold: Cell
    warm: Cell
    repaid: Repaid
    rank: int | None = None
    reason: str = ""


class _Found(NamedTuple):
    """What there is of a mode besides its row of the table."""

    group: Rounds
    costs: tuple[Cell, Cell]


@dataclass(frozen=True, slots=True)
class Ladder:
    """All rungs, the fastest first, then what is wrong, failed, is unavailable or was not reached.

    Attributes:
        column: of the latency; it has the unit of the page. error: of the error.
        protocol: what all rungs share, in one line. input: shape of a batch. rounds: the most that a rung has.
        device: as the jobs name it.
    """

    network: str
    reference: str
    rungs: tuple[Rung, ...]
    column: Column | None
    error: Column | None
    protocol: str
    input: str
    device: str
    profile: str
    rounds: int
    machine: Json
    started: str


def ladder(suite: Json, records: Sequence[Record]) -> Ladder:
    """The ladder of a run; `suite` as its header keeps it."""
    table = tabulate(suite, records)
    section = next((one for one in table.sections if one.phase == "infer"), None)
    groups = latest(records).get("infer", {})
    variant = suite["variants"][0]
    reference = next(iter(suite["modes"]))
    found = {row.mode: row for row in section.rows} if section else {}
    costs = [_costs(name, groups) for name in (COLD, WARM)]
    rungs = []
    for mode, config in suite["modes"].items():
        group = groups.get((variant["name"], mode), {})
        cold, warm = (cells.get(mode, Cell(reason=NOTHING)) for cells in costs)
        rungs.append(_rung(mode, config.get("plugins", {}), found.get(mode), section, _Found(group, (cold, warm))))
    base = next(rung.latency for rung in rungs if rung.mode == reference)
    rungs = [replace(rung, repaid=_repaid(rung, base, reference)) for rung in rungs]
    first = next((record.job for record in records), None)
    return Ladder(
        network=variant["name"],
        reference=reference,
        rungs=tuple(sorted(_ranked(rungs, section), key=_place)),
        column=_column(section, LATENCY),
        error=_column(section, "error"),
        protocol=section.lead if section else "",
        input=_shape(variant),
        device=first.device if first else "",
        profile=suite.get("profile", ""),
        rounds=max((len(rung.latency.rounds) for rung in rungs), default=0),
        machine=dict(next((record.machine for record in records if record.machine), {})),
        started=table.about.started,
    )


def _rung(mode: str, plugins: Json, row: Row | None, section: Section | None, found: "_Found") -> Rung:
    """One mode, not yet ranked."""
    latency, error = (_cell(row, section, name) for name in (LATENCY, "error"))
    state = _state(row, latency, found.group)
    said = latency.reason.removeprefix("skipped: ").removeprefix("failed: ")  # the state says that
    reason = {"measured": "", "missing": NOT_REACHED}.get(state, said)
    if state == "wrong":
        reason = _why_wrong(found.group) or (row.notes[0] if row else "")
    if state == "missing":
        latency = Cell(reason=NOT_REACHED)
    cold, warm = (cell if cell.value is not None or not reason else Cell(reason=reason) for cell in found.costs)
    speedup = _of(latency) if state == "measured" else Ratio(reason=reason)
    return Rung(mode, plugins, state, latency, speedup, error, cold, warm, Repaid(), reason=reason)


def _of(latency: Cell) -> Ratio:
    """The speed-up; of a run of one mode, in which the table has none, that of the mode over itself."""
    return latency.speedup or Ratio(Interval(1.0, 1.0, 1.0))


def _state(row: Row | None, latency: Cell, group: Rounds) -> State:
    if not group:
        return "missing"
    if row and row.struck and latency.value is not None:
        return "wrong"
    if latency.value is not None:
        return "measured"
    return "unavailable" if all(record.status == "skipped" for record in group.values()) else "failed"


def _why_wrong(group: Rounds) -> str:
    """How far the answer is off, as the check says it; of several rounds the first that does."""
    values = [value for n in sorted(group) for value in group[n].values if "mismatch" in value.flags]
    said = [text for value in values for text in (value.reason, value.how) if text.startswith("mismatch")]
    return said[0] if said else ""


def _column(section: Section | None, name: str) -> Column | None:
    columns = section.columns if section else ()
    return next((column for column in columns if column.key == name), None)


def _cell(row: Row | None, section: Section | None, name: str) -> Cell:
    if row is None or section is None:
        return Cell(reason=NOT_REACHED)
    places = [i for i, column in enumerate(section.columns) if column.key == name]
    if places:
        return row.cells[places[0]]
    why = next((cell.reason for cell in row.cells if cell.reason), "")
    return Cell(reason=why or "not measured")


def _costs(name: str, groups: Mapping[tuple[str, str], Rounds]) -> dict[str, Cell]:
    """Mode -> what it took to compile, its rounds merged."""
    every = (value for group in groups.values() for record in group.values() for value in record.values)
    quantity = next((value.quantity for value in every if value.quantity.name == name), None)
    if quantity is None:
        return {}
    values = pivot(groups)
    found = {}
    for key, group in groups.items():
        rounds = values.get((name, key), {})
        cell = merge(quantity, rounds, group, len(rounds))  # it may be measured in one round alone, on purpose
        found[key[1]] = Cell(reason=NOTHING) if cell.reason.startswith(NOT_PLANNED) else cell
    return found


def _repaid(rung: Rung, base: Cell, reference: str) -> Repaid:
    """Of the time with empty caches, as who deploys the mode once pays it."""
    if rung.state != "measured":
        return Repaid(reason=rung.reason)
    if rung.cold.value is None:
        return Repaid(reason=rung.cold.reason)
    if base.value is None or rung.latency.value is None or rung.speedup.interval is None:
        return Repaid(reason=rung.speedup.reason or f"{reference} has no latency")
    return repaid(
        float(rung.cold.value), float(base.value), float(rung.latency.value), rung.speedup.interval, reference
    )


def repaid(compiling: float, eager: float, mode: float, speedup: Interval, reference: str) -> Repaid:
    """Calls after which `compiling` seconds are made up for, where a call takes `mode` instead of `eager` seconds.

    >>> repaid(10.0, 0.050, 0.025, Interval(2.0, 1.9, 2.1), "fp32").calls
    400
    >>> repaid(10.0, 0.050, 0.060, Interval(0.83, 0.8, 0.9), "fp32").never
    True
    """
    if mode >= eager:
        return Repaid(never=True, note=NO_SAVING.format(reference))
    unsure = speedup.low is not None and speedup.low <= 1
    # Rounded before it is rounded up: 10 / (0.05 - 0.025) is 400 and a trace of what binary fractions leave.
    return Repaid(calls=ceil(round(compiling / (eager - mode), 6)), note=UNSURE if unsure else "")


def _ranked(rungs: Sequence[Rung], section: Section | None) -> list[Rung]:
    """The measured ones with their ranks by latency, as a leaderboard ranks the rows of one run.

    Of one round nothing is known for sure, and nothing is ranked.
    """
    column = _column(section, LATENCY)
    sure = [rung for rung in rungs if rung.state == "measured" and rung.latency.low is not None]
    figures = [Figure(("", rung.mode), "", rung.latency) for rung in sure]
    found = ranks(figures, column) if column else {}
    return [replace(rung, rank=found.get(("", rung.mode))) for rung in rungs]


def _place(rung: Rung) -> tuple[int, float]:
    latency = inf if rung.latency.value is None else float(rung.latency.value)
    return STATES.index(rung.state), latency


def _shape(variant: Json) -> str:
    """B x C x H x W of what a call gets."""
    data = variant["data"]
    size = data["size"] if isinstance(data["size"], list) else [data["size"], data["size"]]
    parts = [variant["infer"].get("batch", 1), (data.get("options") or {}).get("channels", 3), *size]
    return "x".join(map(str, parts))


class Futile:
    """The jobs of a mode that gave no figure when it was first tried: its further rounds would say the same.

    A mode that cannot run here, or whose compiler fails after a minute, is asked once and not in every round.
    """

    def __init__(self) -> None:
        self.tried: set[str] = set()
        self.timed: set[str] = set()

    def saw(self, record: Record) -> None:
        """After each record; of a further attempt too."""
        self.tried.add(record.job.mode)
        if any(value.quantity.name == LATENCY and value.value is not None for value in record.values):
            self.timed.add(record.job.mode)

    def __call__(self, job: Job) -> bool:
        """Whether a job is left out."""
        return job.mode in self.tried - self.timed


def rows(found: Ladder) -> Iterator[dict[str, Any]]:
    """One flat row per rung in base units, None where there is nothing: what csv, json and a frame hold."""
    for rung in found.rungs:
        speedup = rung.speedup.interval
        yield {
            "rank": rung.rank,
            "mode": rung.mode,
            "state": rung.state,
            "speedup": speedup.value if speedup else None,
            "speedup_low": speedup.low if speedup else None,
            "speedup_high": speedup.high if speedup else None,
            "latency": rung.latency.value,
            "latency_low": rung.latency.low,
            "latency_high": rung.latency.high,
            "rounds": len(rung.latency.rounds),
            "error": rung.error.value,
            "compile_cold": rung.cold.value,
            "compile_warm": rung.warm.value,
            "repaid_calls": rung.repaid.calls,
            "repaid_never": rung.repaid.never,
            "flags": list(rung.latency.flags),
            "reason": rung.reason,
            "notes": [*rung.latency.notes, *([rung.repaid.note] if rung.repaid.note else [])],
            "plugins": dict(rung.plugins),
        }
