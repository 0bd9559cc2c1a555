"""One sitting of a gate: base and head measured in pairs of fresh processes, until every cell is decided.

Each pair visits every open cell in a shuffled order, and within a cell the two arms in a drawn one, so that a drift of
the machine falls on both alike.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import inf, isfinite, log
from random import Random
from time import monotonic
from typing import NamedTuple

from bench.engines import local
from bench.gate import STOPPED
from bench.gate.arms import Arm, Cell
from bench.record import Record, Value
from bench.sequential import Decision, Plan, look, with_detectable

ARMS = ("base", "head")

Figure = tuple[Cell, str]
"""(Cell, quantity)."""


class Said(NamedTuple):
    """What is told after each job: which, of how many pairs at this look, and what came of it."""

    arm: str
    pair: int
    pairs: int
    record: Record


@dataclass(frozen=True, slots=True)
class Order:
    """How long and in which order a sitting measures.

    Attributes:
        seed: of the orders; minutes: the budget, None without one.
        clock: seconds, for tests.
    """

    seed: int = 0
    minutes: float | None = None
    clock: Callable[[], float] = monotonic


@dataclass(slots=True)
class Sitting:
    """What was measured.

    Attributes:
        timed: (cell, quantity) -> tolerance: what the paired test decides.
        others: cell -> the pairs that its other figures need.
        records: (cell, arm) -> its records, one per pair.
        decisions: (cell, quantity) -> what the last look said; looks: how many there were.
        lost: (cell, arm) -> why its measurement ended, beginning with a status.
        missing: (cell, quantity) -> why a timed figure has no pairs, although its job is ok.
        retried: (cell, arm) -> attempts that were lost and repeated.
        ended: why it stopped before everything was decided.
    """

    timed: Mapping[Figure, float]
    others: Mapping[Cell, int] = field(default_factory=dict)
    records: dict[tuple[Cell, str], list[Record]] = field(default_factory=dict)
    decisions: dict[Figure, Decision] = field(default_factory=dict)
    lost: dict[tuple[Cell, str], str] = field(default_factory=dict)
    missing: dict[Figure, str] = field(default_factory=dict)
    retried: dict[tuple[Cell, str], int] = field(default_factory=dict)
    looks: int = 0
    ended: str = ""

    def values(self, figure: Figure, arm: str) -> list[Value]:
        """A quantity's values, pair by pair."""
        cell, name = figure
        return [v for r in self.records.get((cell, arm), ()) for v in r.values if v.quantity.name == name]

    def flags(self, figure: Figure) -> list[str]:
        """What must be said of a figure beside its verdict."""
        flags = {flag for arm in ARMS for value in self.values(figure, arm) for flag in value.flags}
        return sorted(flags & {"throttled", "power_capped", "contended", "estimated"})

    def retries(self) -> Iterator[str]:
        """What was measured again, in words."""
        for (cell, arm), count in self.retried.items():
            if count:
                name = "/".join(filter(None, cell))
                yield f"{name}: {count} process{'es' * (count > 1)} of {arm} crashed or hung and were measured again"

    def differences(self, figure: Figure) -> list[float]:
        """ln(head) - ln(base) of each pair, positive where head is worse."""
        base, head = (self.values(figure, arm) for arm in ARMS)
        sign = -1.0 if base and base[0].quantity.better == "higher" else 1.0
        return [sign * (log(h.value or 0) - log(b.value or 0)) for b, h in zip(base, head, strict=True)]

    def pairs(self, cell: Cell) -> int:
        """How many pairs a cell has."""
        return len(self.records.get((cell, ARMS[0]), ()))

    @property
    def open(self) -> list[Figure]:
        """What is not decided and can still be measured."""
        lost = {cell for cell, _ in self.lost}
        decided = {figure for figure, decision in self.decisions.items() if decision.verdict != "OPEN"}
        gone = decided | self.missing.keys()
        return [figure for figure in self.timed if figure[0] not in lost and figure not in gone]

    @property
    def short(self) -> list[Cell]:
        """Cells that have fewer pairs than their other figures need, and can still be measured."""
        lost = {cell for cell, _ in self.lost}
        return [cell for cell, pairs in self.others.items() if cell not in lost and self.pairs(cell) < pairs]

    def add(self, cell: Cell, pair: Mapping[str, Record]) -> None:
        """Keep the records of a pair, arm -> record: both count or neither."""
        bad = {arm: record for arm, record in pair.items() if record.status != "ok"}
        self.lost |= {(cell, arm): f"{record.status}: {by_seed(record)}{record.reason}" for arm, record in bad.items()}
        for arm, record in pair.items() if not bad else ():
            self.records.setdefault((cell, arm), []).append(record)
            self.retried[cell, arm] = self.retried.get((cell, arm), 0) + record.attempt - 1
        for figure in [figure for figure in self.timed if figure[0] == cell and not bad]:
            why = {arm: reason for arm, record in pair.items() if (reason := no_time(record, figure[1]))}
            alike = len(why) == len(pair) and len(set(why.values())) == 1
            said = list(why.values())[:1] if alike else [f"{reason} ({arm})" for arm, reason in why.items()]
            if said:
                self.missing[figure] = f"failed: {'; '.join(said)}"

    def look(self, plan: Plan, number: int) -> None:
        """Decide what can be decided."""
        usable = [figure for figure in self.timed if figure not in self.missing]
        differences = {figure: values for figure in usable if (values := self.differences(figure))}
        if differences:
            self.decisions = look(differences, self.timed, plan, number, self.decisions)
        self.looks = number

    def state_detectable(self, plan: Plan) -> None:
        """Add to each decision what the sitting could have seen, by the looks that it came to."""
        differences = {figure: self.differences(figure) for figure in self.decisions if figure not in self.missing}
        if differences:
            looks = self.looks if self.ended else None
            known = {figure: self.decisions[figure] for figure in differences}
            self.decisions |= with_detectable(known, differences, self.timed, plan, looks)


def sit(
    arms: Sequence[Arm],
    timed: Mapping[Figure, float],
    others: Mapping[Cell, int],
    order: Order,
    tell: Callable[[Said], None],
) -> Sitting:
    """Measure until every timed figure is decided and every other one has its pairs, or the time is up.

    Args:
        arms: base and head.
        timed: (cell, quantity) -> tolerance; what the paired test decides.
        others: cell -> the pairs that its other figures need.
    """
    found = Sitting(timed, others)
    plan = Plan(cells=max(1, len(timed)))
    try:
        _measure(arms, found, order, tell)
    except KeyboardInterrupt:
        found.ended = STOPPED
    except _Spent as spent:
        found.ended = str(spent)
    found.state_detectable(plan)
    return found


class _Spent(Exception):
    """The time is up; where, in words."""


def _measure(arms: Sequence[Arm], found: Sitting, order: Order, tell: Callable[[Said], None]) -> None:
    """Measure pair by pair, and look at the data whenever the plan says so; the budget is asked before each pair."""
    end = inf if order.minutes is None else order.clock() + 60 * order.minutes
    plan = Plan(cells=max(1, len(found.timed)))
    timed = {cell for cell, _ in found.timed}

    def measure(cell: Cell, pairs: int) -> None:
        number = found.pairs(cell)
        if order.clock() > end:
            raise _Spent(f"the budget of {order.minutes:g} min was spent in pair {number + 1}")
        found.add(cell, pair(arms, cell, Turn(number, pairs, order.seed), tell))

    while untimed := [cell for cell in found.short if cell not in timed]:
        measure(untimed[0], found.others[untimed[0]])
    done = 0
    for look_number, pairs in enumerate(plan.looks, 1):
        while done < pairs and found.open:
            for cell in shuffled({cell for cell, _ in found.open}, f"{order.seed}/{done}"):
                measure(cell, pairs)
            done += 1
        found.look(plan, look_number)
        if not found.open:
            break
    while short := found.short:  # its times were decided before its other figures have their pairs
        measure(short[0], found.others[short[0]])


def shuffled(cells: Iterable[Cell], seed: str) -> list[Cell]:
    """Cells in an order that hangs on the seed alone."""
    visited = sorted(cells)
    Random(seed).shuffle(visited)
    return visited


class Turn(NamedTuple):
    """Which pair of a cell is measured: its number from 0, how many there are, and the seed of the arms' order."""

    number: int
    pairs: int
    seed: int = 0


def pair(arms: Iterable[Arm], cell: Cell, turn: Turn, tell: Callable[[Said], None]) -> dict[str, Record]:
    """Each arm once: arm -> its last attempt. Who begins is drawn for each two pairs, the other begins the second."""
    drawn = list(arms)
    Random(f"{turn.seed}/{cell}/{turn.number // 2}").shuffle(drawn)
    records: dict[str, Record] = {}
    for arm in reversed(drawn) if turn.number % 2 else drawn:
        for record in local.execute([arm.job(cell, turn.number)]):
            records[arm.name] = record
            tell(Said(arm.name, turn.number + 1, turn.pairs, record))
    return records


def by_seed(record: Record) -> str:
    """How what is said of a training begins."""
    return f"seed {record.job.seed}: " if record.job.phase == "accuracy" else ""


def lacking(record: Record, name: str) -> str:
    """Why a record has no figure of a quantity; empty where it has one."""
    value = next((value for value in record.values if value.quantity.name == name), None)
    if value is not None and value.value is not None and isfinite(value.value):
        return ""
    return f"failed: {by_seed(record)}" + ("no such figure" if value is None else value.reason or "no figure")


def no_time(record: Record, name: str) -> str:
    """Why a record has no positive figure of a quantity."""
    value = next((value for value in record.values if value.quantity.name == name), None)
    if value is not None and value.value and 0 < value.value < inf:
        return ""
    return f"{name}: " + ("no figure" if value is None else value.reason or f"is {value.value}")
