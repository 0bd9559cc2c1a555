"""A stored run judged by an earlier one; what looks worse is measured again before it counts.

The two runs are two sittings, whose difference no interval over rounds knows. So what looks worse is only suspected;
it has regressed where a fresh run says so too, with a correction for all gated figures.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import exp, fsum, log, log1p
from pathlib import Path
from typing import Any

from bench import gate, plugins, store
from bench.errors import NotComparable, StoreError, UsageError, nearest
from bench.gate import NOT_COMPARABLE, NOT_MEASURED, REGRESSED, Finding, Judgement, suspects
from bench.gate.arms import WHERE, Cell
from bench.gate.rules import TIMES
from bench.gate.sitting import Figure
from bench.gate.suspects import Fresh, Seen, Sides, lost, values_of
from bench.record import Json, Quantity, Record, digest
from bench.sequential import ALPHA, holm
from bench.table.cells import portable
from bench.table.comparable import differences, family_of
from bench.table.merge import ACCURACY, Rounds, latest, of_this_run

BASELINE, RUN = "the baseline", "the run"


@dataclass(frozen=True, slots=True)
class Stored:
    """Two runs and the rules.

    Attributes:
        rules: quantity -> allowed worsening.
        theirs, ours: the cells of the baseline and of the run.
        measures: quantity -> the measure that gives it.
        allowed: fields of a machine that may differ.
    """

    base: store.Loaded
    head: store.Loaded
    rules: Mapping[str, str]
    theirs: Mapping[Cell, Rounds] = field(default_factory=dict)
    ours: Mapping[Cell, Rounds] = field(default_factory=dict)
    measures: Mapping[str, str] = field(default_factory=plugins.measure_of)
    allowed: Collection[str] = ()

    def sides(self, cell: Cell) -> tuple[Rounds, Rounds]:
        """The rounds of a cell in the baseline and in the run."""
        return self.theirs.get(cell, {}), self.ours.get(cell, {})

    def values(self, figure: Figure) -> Sides:
        """What the two runs have of a figure."""
        cell, name = figure
        return Sides(*(values_of((group[number] for number in sorted(group)), name) for group in self.sides(cell)))


def stored(base: Path, head: Path, rules: Mapping[str, str], allowed: Collection[str] = ()) -> Stored:
    """Read both runs.

    Raises:
        StoreError: one does not exist, is no run, or is torn: a baseline that lost figures must not pass for one.
        UsageError: they are one run, or their machines have no such field as is allowed to differ.
        NotComparable: they have no cell in common.
    """
    runs = [store.read(path) for path in (base, head)]
    for run in runs:
        if run.problems:
            raise StoreError(f"{run.problems[0]}; a gate needs whole runs: bench run --resume completes this one")
    said = [(run.header.run, run.header.started) for run in runs]
    if base.resolve() == head.resolve() or (said[0] == said[1] and said[0][1]):
        raise UsageError(f"--baseline {base}: this is the run itself; name an earlier one under results/")
    known = {name for run in runs for name in machine_fields(run.header.machine)}
    for name in (name for name in allowed if name not in known):
        raise UsageError(f"--allow-mismatch {name}: no field of these machines; {nearest(name, known)}")
    about = Stored(runs[0], runs[1], rules, _cells(runs[0]), _cells(runs[1]), allowed=allowed)
    if about.theirs and about.ours and not about.theirs.keys() & about.ours.keys():
        cells = " and ".join("/".join(filter(None, next(iter(side)))) for side in (about.theirs, about.ours))
        raise NotComparable(f"--baseline {base}: no cell in common with {head}: they hold {cells}, for example")
    return about


def _cells(run: store.Loaded) -> dict[Cell, Rounds]:
    """All cells but for trainings that nobody asked for, which have a record that says so."""
    phases = latest(run.records)
    found = {(*row, phase): group for phase, groups in phases.items() for row, group in groups.items()}
    return {cell: group for cell, group in found.items() if any(r.origin or of_this_run(r) for r in group.values())}


def machine_fields(machine: Json) -> Json:
    """An identity's fields, those of its GPUs beside the others."""
    gpus = machine.get("gpus") or []
    of_gpus = {name: [gpu.get(name) for gpu in gpus] for gpu in gpus for name in gpu}
    return {name: value for name, value in machine.items() if name not in ("id", "gpus")} | of_gpus


def judge(about: Stored, fresh: Fresh) -> list[Finding]:
    """The verdict on every gated figure of either run; suspects are measured again by `fresh`."""
    settled = {figure: _before(figure, about) for figure in figures(about)}
    sides = {figure: about.values(figure) for figure, finding in settled.items() if finding is None}
    peaks = sum(gate.is_peak(both.quantity) for both in sides.values())
    again = suspects.again(sides, about.rules, peaks, fresh)
    found = [finding for finding in settled.values() if finding is not None]
    found += [_untimed(figure, about, peaks, again.get(figure)) for figure, both in sides.items() if not both.timed]
    found += _timed({figure: both for figure, both in sides.items() if both.timed}, about, again)
    return gate.ordered(found)


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
    trains = ACCURACY in about.head.header.suite.get("measures", ())
    if cell[2] == ACCURACY and (all(record.origin for record in head.values()) if head else not trains):
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
    machines = [machine_fields(run.header.machine) for run in (about.head, about.base)]
    differing = differences(*machines)
    yield from (f"--allow-mismatch {name}: {differing.get(name, 'the same in both runs')}" for name in about.allowed)
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
    for which, group in ((RUN, head), (BASELINE, base)):
        if why := _why_none(which, group, name):
            return _finding(figure, about, verdict=NOT_MEASURED, reason=why)
    quantity = about.values(figure).quantity
    paired = "seed" if cell[2] == ACCURACY else "round" if quantity.unit == "%" else ""
    if paired and (why := _unpaired(base, head)):
        return _finding(figure, about, quantity, verdict=NOT_MEASURED, reason=f"{paired} {why}")
    if differing := _differing(figure, about, quantity):
        return _finding(figure, about, quantity, verdict=NOT_COMPARABLE, reason=", ".join(differing))
    theirs, ours = (any("mismatch" in value.flags for value in values) for values in about.values(figure))
    if ours and not theirs:
        reason = "failed: mismatch: the mode changes the answer beyond its tolerance, and did not in the baseline"
        return _finding(figure, about, quantity, verdict=NOT_MEASURED, reason=reason)
    return None


def _unpaired(base: Rounds, head: Rounds) -> str:
    """The seeds or rounds that one run alone has; empty where both have the same."""
    alone = ((BASELINE, base.keys() - head.keys()), (RUN, head.keys() - base.keys()))
    return "; ".join(f"{', '.join(map(str, sorted(slots)))} is in {of} only" for of, slots in alone if slots)


def _differing(figure: Figure, about: Stored, quantity: Quantity) -> list[str]:
    """What the two figures do not have in common, and should."""
    cell, name = figure
    groups = about.sides(cell)
    ours, theirs = (_protocol(group[min(group)], family_of(cell[2], name)) for group in reversed(groups))
    found = [said for field, said in differences(ours, theirs).items() if field not in about.allowed]
    if portable(quantity) or cell[2] == ACCURACY:
        return found
    there, here = ({_machine(record, about.allowed) for record in group.values()} for group in groups)
    if there != here or len(here) > 1 or "" in here:
        ids = [sorted({str(record.machine.get("id", "")) for record in group.values()}) for group in groups]
        found.append(f"machine {_listed(ids[1])} instead of {_listed(ids[0])}")
    return found


def _machine(record: Record, allowed: Collection[str]) -> str:
    """What must be the same of a record's machine: its id, or every field but those that may differ; empty: unknown."""
    fields = {name: value for name, value in machine_fields(record.machine).items() if name not in allowed}
    known = str(record.machine.get("id", ""))
    return digest(fields) if known and allowed else known


def _protocol(record: Record, family: str) -> Json:
    return record.fingerprints.get(family) or record.fingerprints.get(record.job.phase) or {}


def _listed(machines: Sequence[str]) -> str:
    return " and ".join(one or "unknown" for one in machines)


def _why_none(which: str, group: Rounds, name: str) -> str:
    """Why a run has no figure to judge; a job that gave none is not made up for by others that did."""
    if not group:
        return f"{which} has no record of it"
    why = list(filter(None, (lost(group[number], name) for number in sorted(group))))
    some = f" in {len(why)} of {len(group)} rounds" if len(why) < len(group) else ""
    return f"{why[0]} ({which}){some}" if why else ""


def _untimed(figure: Figure, about: Stored, peaks: int, seen: Seen | None) -> Finding:
    """The verdict on a count, a score, an output or a peak; the fresh values of a peak go with the run's."""
    both, rule = about.values(figure), about.rules[figure[1]]
    head = [*both.head, *(seen.values if seen else ())]
    verdict, reason, change = gate.untimed(both.base, head, rule, beside=False, peaks=peaks)
    if seen:
        verdict, reason = seen.verdict(verdict == REGRESSED)
    points = change if both.quantity.unit == "%" else None
    seeable = gate.detectable_points(points, rule, len(head)) if points else None
    return _finding(figure, about, both.quantity, verdict=verdict, reason=reason, change=change, detectable=seeable)


def _timed(times: Mapping[Figure, Sides], about: Stored, again: Mapping[Figure, Seen]) -> Iterator[Finding]:
    """The verdicts on times and rates."""
    margins = {figure: log1p(gate.tolerance(about.rules[figure[1]])) for figure in times}
    suspected = [figure for figure in times if figure in again]
    fresh = {figure: suspects.welch(times[figure].base, again[figure].values) for figure in suspected}
    adjusted = holm({figure: test.p(margins[figure]) for figure, test in fresh.items() if test}, max(1, len(times)))
    for figure, both in times.items():
        test, found = suspects.welch(*both), dict[str, Any]()
        found["verdict"], found["reason"] = suspects.verdict(test, margins[figure])
        if figure in fresh:
            worse = adjusted.get(figure, 1.0) <= ALPHA
            test = fresh[figure] if worse else test
            found["verdict"], found["reason"] = again[figure].verdict(worse)
        if test:
            found["change"] = suspects.change(test, both.quantity)
            found["detectable"] = suspects.detectable(both, margins[figure], len(times))
        yield _finding(figure, about, both.quantity, **found)


def _finding(figure: Figure, about: Stored, quantity: Quantity | None = None, **found: Any) -> Finding:
    (variant, mode, phase), name = figure
    sides = [[float(value.value or 0) for value in values] for values in about.values(figure)]
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
    if quantity.unit in TIMES:
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
    """By which a network and its job are known again, on any machine; empty where the run does not say it."""
    if not group:
        return "none"
    record = group[min(group)]
    facts, job = record.environment, record.job
    if not facts.get("network"):
        return ""
    protocol = {k: v for family in record.fingerprints.values() for k, v in family.items() if k not in WHERE}
    return digest([facts["network"], facts.get("code"), *job.loaded, job.seed, job.modes, protocol])
