"""A stored run judged by an earlier one; what looks worse is measured again before it counts.

The two runs are two sittings, whose difference no interval over rounds knows. So a time that looks worse at 5 % is
only suspected; it has regressed where a fresh run says so too, with Holm's correction over all gated figures.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import exp, fsum, inf, isfinite, log, log1p
from pathlib import Path
from typing import Any

from bench import gate, plugins, store
from bench.contrasts import Welch
from bench.errors import NotComparable, StoreError, UsageError
from bench.gate import INCONCLUSIVE, NOT_COMPARABLE, NOT_MEASURED, PASS, REGRESSED, Finding, Judgement
from bench.gate.arms import Cell
from bench.gate.sitting import Figure
from bench.record import Json, Quantity, Record, Value
from bench.sequential import ALPHA, holm
from bench.table.cells import portable
from bench.table.comparable import differences, family_of
from bench.table.merge import ACCURACY, Rounds, latest, of_this_run

TIMES = ("s", "image/s", "J", "W")

RUN = "the run"

FRESH = 5
"""Fresh processes of a suspected cell."""

Fresh = Callable[[Sequence[Cell], int], Mapping[Cell, list[Record]]]
"""Cells and a number of processes -> their records, measured now; none of a cell that cannot be."""


@dataclass(frozen=True, slots=True)
class Stored:
    """Two runs and the rules.

    Attributes:
        rules: quantity -> allowed worsening.
        theirs, ours: the cells of the baseline and of the run.
        measures: quantity -> the measure that gives it.
    """

    base: store.Loaded
    head: store.Loaded
    rules: Mapping[str, str]
    theirs: Mapping[Cell, Rounds] = field(default_factory=dict)
    ours: Mapping[Cell, Rounds] = field(default_factory=dict)
    measures: Mapping[str, str] = field(default_factory=plugins.measure_of)

    def sides(self, cell: Cell) -> tuple[Rounds, Rounds]:
        """The rounds of a cell in the baseline and in the run."""
        return self.theirs.get(cell, {}), self.ours.get(cell, {})


def stored(base: Path, head: Path, rules: Mapping[str, str]) -> Stored:
    """Read both runs.

    Raises:
        StoreError: one does not exist, is no run, or is torn: a baseline that lost figures must not pass for one.
        UsageError: they are one run.
        NotComparable: they have no cell in common.
    """
    runs = [store.read(path) for path in (base, head)]
    for run in runs:
        if run.problems:
            raise StoreError(f"{run.problems[0]}; a gate needs whole runs: bench run --resume completes this one")
    said = [(run.header.run, run.header.started) for run in runs]
    if base.resolve() == head.resolve() or (said[0] == said[1] and said[0][1]):
        raise UsageError(f"--baseline {base}: this is the run itself; name an earlier one under results/")
    about = Stored(runs[0], runs[1], rules, _cells(runs[0]), _cells(runs[1]))
    if about.theirs and about.ours and not about.theirs.keys() & about.ours.keys():
        cells = " and ".join("/".join(filter(None, next(iter(side)))) for side in (about.theirs, about.ours))
        raise NotComparable(f"--baseline {base}: no cell in common with {head}: they hold {cells}, for example")
    return about


def _cells(run: store.Loaded) -> dict[Cell, Rounds]:
    """All cells but for trainings that nobody asked for, which have a record that says so."""
    phases = latest(run.records)
    found = {(*row, phase): group for phase, groups in phases.items() for row, group in groups.items()}
    return {cell: group for cell, group in found.items() if any(r.origin or of_this_run(r) for r in group.values())}


def judge(about: Stored, fresh: Fresh) -> list[Finding]:
    """The verdict on every gated figure of either run; suspects are measured again by `fresh`."""
    timed: dict[Figure, tuple[list[float], list[float]]] = {}
    found: dict[Figure, Finding] = {}
    for figure in figures(about):
        settled = _before(figure, about)
        if settled is None:
            base, head = (values_of(group.get(figure[0], {}), figure[1]) for group in (about.theirs, about.ours))
            quantity = head[-1].quantity
            if quantity.unit in TIMES:
                timed[figure] = (_logs(base, quantity), _logs(head, quantity))
                continue
            verdict, reason, change = gate.untimed(base, head, about.rules[figure[1]], beside=False)
            settled = _finding(figure, about, quantity, verdict=verdict, reason=reason, change=change)
        found[figure] = settled
    found |= _timed(timed, about, fresh)
    return gate.ordered(found.values())


def figures(about: Stored) -> Iterator[Figure]:
    """What is gated: every quantity with a rule that either run has or should have, of cells that are not new."""
    for cell in dict.fromkeys([*about.theirs, *about.ours]):
        records = [record for group in about.sides(cell) for record in group.values()]
        names = {value.quantity.name for record in records for value in record.values}
        asked = {measure for record in records for measure in record.job.measures}
        if not _left_out(cell, about):
            yield from ((cell, name) for name in about.rules if name in names or about.measures.get(name) in asked)


def _left_out(cell: Cell, about: Stored) -> str:
    """Why a cell of one run only is no finding but a note."""
    base, head = about.sides(cell)
    shown = "/".join(filter(None, cell))
    if not base and not _planned(about.base, cell):
        return f"new, so that there is nothing to compare with: {shown}"
    if cell[2] == ACCURACY and all(record.origin for record in head.values()):
        return f"not gated, since the run did not train it: {shown}"
    return ""


def _planned(run: store.Loaded, cell: Cell) -> bool:
    """Whether the run's suite has a cell's variant and mode, as far as the run says what it has."""
    variants = {variant["name"] for variant in run.header.suite.get("variants", ())}
    modes = run.header.suite.get("modes", {})
    return (not variants or cell[0] in variants) and (not cell[1] or not modes or cell[1] in modes)


def notes(about: Stored) -> Iterator[str]:
    """What must be known besides the findings."""
    yield "two sittings: how far these differ with the same code is not in the intervals"
    yield from dict.fromkeys(filter(None, (_left_out(cell, about) for cell in (*about.theirs, *about.ours))))
    gated = {name for _, name in figures(about)}
    for name in about.rules:
        if name not in gated:
            yield f"{name} is not gated: neither run measured it"


def _before(figure: Figure, about: Stored) -> Finding | None:
    """A finding where nothing can be compared."""
    cell, name = figure
    base, head = about.sides(cell)
    if not head and not _planned(about.head, cell):
        return _finding(figure, about, verdict=NOT_MEASURED, reason=f"{gate.GONE} it is in the baseline only")
    for which, group in ((RUN, head), ("the baseline", base)):
        if why := _why_none(which, group, name):
            return _finding(figure, about, verdict=NOT_MEASURED, reason=why)
    quantity = values_of(head, name)[0].quantity
    if differing := _differing(figure, about, quantity):
        return _finding(figure, about, quantity, verdict=NOT_COMPARABLE, reason=", ".join(differing))
    if _changes_the_answer(head, name) and not _changes_the_answer(base, name):
        reason = "failed: mismatch: the mode changes the answer beyond its tolerance, and did not in the baseline"
        return _finding(figure, about, quantity, verdict=NOT_MEASURED, reason=reason)
    return None


def _changes_the_answer(group: Rounds, name: str) -> bool:
    return any("mismatch" in value.flags for value in values_of(group, name))


def _differing(figure: Figure, about: Stored, quantity: Quantity) -> list[str]:
    """What the two figures do not have in common, and should."""
    cell, name = figure
    groups = about.sides(cell)
    ours, theirs = (_protocol(group[min(group)], family_of(cell[2], name)) for group in reversed(groups))
    found = list(differences(ours, theirs).values())
    if portable(quantity) or cell[2] == ACCURACY:
        return found
    there, here = (sorted({str(record.machine.get("id", "")) for record in group.values()}) for group in groups)
    if there != here or len(here) > 1 or not here[0]:
        found.append(f"machine {_listed(here)} instead of {_listed(there)}")
    return found


def _protocol(record: Record, family: str) -> Json:
    return record.fingerprints.get(family) or record.fingerprints.get(record.job.phase) or {}


def _listed(machines: Sequence[str]) -> str:
    return " and ".join(one or "unknown" for one in machines)


def _why_none(which: str, group: Rounds, name: str) -> str:
    """Why a run has no figure to judge; empty where it has one."""
    if not group:
        return f"{which} has no record of it"
    values = values_of(group, name)
    wrong = [value.value for value in values if value.quantity.unit in TIMES and not (value.value or 0) > 0]
    if wrong:
        return f"failed: {name} is {wrong[0]} ({which})"
    records = list(group.values())
    bad = [f"{record.status}: {record.reason} ({which})" for record in records if record.status != "ok"]
    if values:  # jobs of the run that went wrong are not made up for by others that did not
        lost = [record for record in records if record.status != "ok" and not values_of({0: record}, name)]
        return f"{bad[0]} in {len(lost)} of {len(records)} rounds" if lost and which == RUN else ""
    own = [value.reason for record in records for value in record.values if value.quantity.name == name]
    if reason := next(filter(None, own), ""):
        return f"failed: {reason} ({which})"
    return bad[0] if bad else f"failed: no figure ({which})" if own else f"{which} has no such figure"


def values_of(group: Rounds, name: str) -> list[Value]:
    """A quantity's values over the rounds, as far as they are numbers."""
    found = [value for n in sorted(group) for value in group[n].values if value.quantity.name == name]
    return [value for value in found if value.value is not None and isfinite(value.value)]


def _logs(values: Sequence[Value], quantity: Quantity) -> list[float]:
    """Logarithms of the rounds' figures, positive where worse."""
    sign = -1.0 if quantity.better == "higher" else 1.0
    return [sign * log(value.value) for value in values if value.value and 0 < value.value < inf]


def _timed(
    timed: Mapping[Figure, tuple[list[float], list[float]]], about: Stored, fresh: Fresh
) -> dict[Figure, Finding]:
    margins = {figure: log1p(gate.tolerance(about.rules[figure[1]])) for figure in timed}
    tests = {figure: Welch.of(*logs) for figure, logs in timed.items()}
    suspects = [figure for figure, test in tests.items() if test and test.p(margins[figure]) <= ALPHA]
    again = fresh(list(dict.fromkeys(cell for cell, _ in suspects)), FRESH) if suspects else {}
    confirmed: dict[Figure, Welch | None] = {}
    for figure in suspects:
        (cell, name), (base, _) = figure, timed[figure]
        values = [v for r in again.get(cell, []) for v in r.values if v.quantity.name == name]
        confirmed[figure] = Welch.of(base, _logs(values, values[0].quantity)) if values else None
    p = {figure: test.p(margins[figure]) for figure, test in confirmed.items() if test}
    adjusted = holm(p, max(1, len(timed)))
    result = {}
    for figure, test in tests.items():
        verdict, reason = _verdict(test, margins[figure])
        if figure in confirmed:
            again_ = confirmed[figure]
            if again_ is None:
                verdict, reason = INCONCLUSIVE, "it looks worse, and could not be measured again here"
            elif adjusted[figure] <= ALPHA:
                verdict, reason, test = REGRESSED, f"confirmed by {FRESH} fresh processes", again_
            else:
                verdict, reason = INCONCLUSIVE, f"it looks worse, but {FRESH} fresh processes do not confirm it"
        quantity = values_of(about.ours[figure[0]], figure[1])[0].quantity
        change = _change(test, quantity) if test else None
        result[figure] = _finding(figure, about, quantity, verdict=verdict, reason=reason, change=change)
    return result


def _verdict(test: Welch | None, margin: float) -> tuple[str, str]:
    if test is None:
        return INCONCLUSIVE, "one round on a side: no interval; measure with --rounds 3 or more"
    if test.mean + test.reach < margin:  # the whole interval that is shown
        return PASS, "improved" if test.mean + test.reach < -margin else ""
    return INCONCLUSIVE, "the rounds do not tell"


def _change(test: Welch, quantity: Quantity) -> gate.Span:
    """Head over base, whichever direction is worse."""
    low, high = test.mean - test.reach, test.mean + test.reach
    if quantity.better == "higher":
        return exp(-test.mean), exp(-high), exp(-low)
    return exp(test.mean), exp(low), exp(high)


def _finding(figure: Figure, about: Stored, quantity: Quantity | None = None, **found: Any) -> Finding:
    (variant, mode, phase), name = figure
    sides = [[float(v.value or 0) for v in values_of(group, name)] for group in about.sides(figure[0])]
    of = quantity or _quantity(figure, about)
    base, head = (_shown(side, of) for side in sides)
    return Finding(
        variant=variant,
        mode=mode,
        phase=phase,
        quantity=of,
        rule=about.rules[name],
        base=base,
        head=head,
        pairs=min(map(len, sides)),
        optional=not sides[0] and _optional(about, variant, mode),
        **found,
    )


def _shown(values: Sequence[float], quantity: Quantity) -> float | None:
    """What stands for the rounds, as they are judged."""
    if not values:
        return None
    if quantity.unit in TIMES and min(values) > 0:
        return exp(fsum(map(log, values)) / len(values))
    return fsum(values) / len(values) if quantity.unit == "%" else gate.worst(values, quantity)


def _optional(about: Stored, variant: str, mode: str) -> bool:
    """Whether the run's suite lets a cell be absent."""
    suite = about.head.header.suite
    variants = {one["name"]: one.get("optional", False) for one in suite.get("variants", ())}
    return bool(variants.get(variant) or suite.get("modes", {}).get(mode, {}).get("optional"))


def _quantity(figure: Figure, about: Stored) -> Quantity:
    """As a record describes it, else what is known of its name."""
    groups = about.sides(figure[0])
    known = [v.quantity for group in groups for record in group.values() for v in record.values]
    plain = Quantity(name=figure[1], unit=plugins.quantities().get(figure[1], "1"), better="lower", title=figure[1])
    return next((quantity for quantity in known if quantity.name == figure[1]), plain)


def judgement_of(about: Stored, findings: list[Finding], suite: str, machine: Json) -> Judgement:
    """The findings with what was compared; `suite` is the path of the suite's file."""
    cells = dict.fromkeys([*about.theirs, *about.ours])
    networks = {cell: (_network(about.theirs.get(cell)), _network(about.ours.get(cell))) for cell in cells}
    # What is not known is no identity: an acceptance by it would cover any later change.
    known = [f for f in findings if all(networks[f.variant, f.mode, f.phase])]
    return Judgement(
        suite=about.head.header.suite["name"],
        path=suite,
        base=str(about.base.path),
        head=f"run {about.head.path.stem}",
        profile=about.head.header.profile,
        machine=machine,
        findings=findings,
        identities={f.cell: networks[f.variant, f.mode, f.phase] for f in known},
        notes=[*notes(about)],
    )


def _network(group: Rounds | None) -> str:
    """By which a network is known again; empty where the run does not say it."""
    if not group:
        return "none"
    facts = group[min(group)].environment
    return "-".join(str(facts[key]) for key in ("network", "code") if facts.get(key)) if facts.get("network") else ""
