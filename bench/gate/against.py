"""A gate against a revision: which figures are judged, what needs no measurement, and the verdict on each."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from math import exp, fsum, log
from pathlib import Path
from typing import Any

import msgspec

from bench import gate, host
from bench.errors import NotComparable, UsageError, first_line, nearest
from bench.gate import INCONCLUSIVE, NOT_COMPARABLE, NOT_MEASURED, PASS, REGRESSED, Finding, Judgement
from bench.gate.arms import (
    Arm,
    Cell,
    arm,
    checked_out,
    commit_of,
    counterpart,
    lent,
    strayed,
    top_of,
    unchanged,
    unseen_trainings,
)
from bench.gate.rules import Rules, apart, rules_of
from bench.gate.sitting import ARMS, Figure, Order, Sitting, lacking
from bench.record import FLAGS, Json, Quantity, Value, fingerprints
from bench.suite import Suite, load_suite
from bench.suite.positions import line_of
from bench.table.comparable import differences

PAIRS_FOR_OUTPUTS = 2
"""So that a base whose own answers differ is not taken for a change."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What a person asked for.

    Attributes:
        profile, device: as `bench run` has them; overrides: rounds, seed, data paths.
        variants, modes, measures: only these; empty: all.
        everything: unchanged cells are measured too.
    """

    against: str
    profile: str
    device: str
    variants: tuple[str, ...] = ()
    modes: tuple[str, ...] = ()
    measures: tuple[str, ...] = ()
    everything: bool = False
    minutes: float | None = None
    overrides: Json = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Case:
    """A gate that is ready to be measured: both trees, and what is judged in them.

    Attributes:
        timed: (cell, quantity) -> tolerance: what the paired test decides.
        others: cell -> pairs that its other figures need.
    """

    suite: Suite
    arms: tuple[Arm, Arm]
    timed: Mapping[Figure, float]
    others: Mapping[Cell, int]
    order: Order
    machine: Json
    cells: "_Cells"
    names: tuple[str, str]
    state: Json

    def network(self, side: str, variant: str) -> str:
        """By which a network of an arm is known again."""
        (of,) = (each for each in self.arms if each.name == side)
        return str(of.networks.get(variant, {}).get("graph", ""))

    @property
    def planned(self) -> str:
        """What will be measured, in one line."""
        settled = self.cells.settled.values()
        same = sum(finding.verdict == PASS for finding in settled)
        measured = len({cell for cell, _ in self.timed} | set(self.others))
        other = f", {len(settled) - same} cannot be measured" if len(settled) > same else ""
        return f"{measured} cells are measured in pairs of fresh processes, {same} figures are unchanged{other}"

    def judgement(self, found: Sitting, seconds: float = 0.0) -> Judgement:
        """The verdict on every figure, worst first."""
        measured = list(_findings(found, self.cells))
        if host.source(self.arms[1].tree) != self.state:
            measured = [self.cells.spoilt(finding) for finding in measured]
        findings = [*self.cells.settled.values(), *measured]
        lines = lines_of(self.suite)
        path = self.suite.path.parent.resolve() / self.suite.path.name
        return Judgement(
            suite=self.suite.name,
            path=str(path.relative_to(self.arms[1].tree.resolve())),
            base=self.names[0],
            head=self.names[1],
            profile=self.suite.profile,
            machine=self.machine,
            findings=gate.ordered([_placed(finding, lines) for finding in findings]),
            identities={finding.cell: self.cells.identity(finding) for finding in findings},
            notes=[*self.cells.notes, *found.retries(), *([found.ended] if found.ended else [])],
            seconds=seconds,
        )


@contextmanager
def case(suite_file: str, asked: Asked, say: Callable[[str], None]) -> Iterator[Case]:
    """Both trees of a suite, its networks looked at; the base's worktree is gone afterwards.

    Raises:
        UsageError: the suite, the revision or a rule is wrong; nothing was measured.
        NotComparable: the suite is not in that revision.
    """
    whole = load_suite(suite_file, asked.profile or None, **asked.overrides)
    rules, notes = rules_of(whole, asked.measures)
    top = top_of(whole.root)
    commit = commit_of(top, asked.against)
    machine = host.machine()
    here = {"device": asked.device, "threads": machine["threads"]}
    state = host.source(top)
    dirty = " with uncommitted changes" if state.get("dirty") else ""
    names = (f"{asked.against} ({commit[:10]})", f"working tree at {str(state.get('commit', 'unknown'))[:10]}{dirty}")
    with checked_out(top, commit) as tree:
        there = counterpart(whole.path, top, tree)
        notes += lent(whole, top, tree)
        if (tree / ".gitmodules").is_file():
            notes.append("the base's submodules are not checked out: a network that imports from one cannot be built")
        before = _of_base(there, asked, tree)
        _check_names(asked, whole, before)
        suite, base = (_selected(each, asked) for each in (whole, before))
        if base.gate != suite.gate:
            notes.append(f"[gate] differs from the base's, and is used as it is now: {apart(base, suite)}")
        say(f"base {names[0]}, head {names[1]}; looking at every network of both")
        measures = tuple(dict.fromkeys(rules.measures[name] for name in rules.allowed))
        arms = (arm("base", base, tree, measures, here), arm("head", suite, top, measures, here))
        cells = _Cells(arms, rules, asked, {}, notes)
        timed, others = cells.sort()
        cells.notes += unseen_trainings(arms[1])
        yield Case(suite, arms, timed, others, Order(suite.seed, asked.minutes), machine, cells, names, state)


def _of_base(file: Path, asked: Asked, tree: Path) -> Suite:
    """The base's suite, under the same profile."""
    try:
        return load_suite(str(file), asked.profile or None, **asked.overrides)
    except UsageError as error:
        said = first_line(error).replace(f"{tree}/", "")
        raise NotComparable(f"--against {asked.against}: its suite cannot be used for this: {said}") from None


def _check_names(asked: Asked, head: Suite, base: Suite) -> None:
    """Raise UsageError for a variant or mode that neither tree has; of one that only one has there is a finding."""
    for kind, wanted, known in (
        ("variant", asked.variants, {variant.name for suite in (head, base) for variant in suite.variants}),
        ("mode", asked.modes, {*head.modes, *base.modes}),
    ):
        for name in wanted:
            if name not in known:
                raise UsageError(f"unknown {kind} '{name}'; {nearest(name, known)}")


def _selected(suite: Suite, asked: Asked) -> Suite:
    variants = tuple(variant for variant in suite.variants if not asked.variants or variant.name in asked.variants)
    modes = {name: mode for name, mode in suite.modes.items() if not asked.modes or name in asked.modes}
    return replace(suite, variants=variants, modes=modes)


@dataclass(slots=True)
class _Cells:
    """The cells of both arms: what is settled without a measurement, and what must be measured.

    Attributes:
        peaks: how many peaks must be measured.
    """

    arms: tuple[Arm, Arm]
    rules: Rules
    asked: Asked
    settled: dict[Figure, Finding]
    notes: list[str]
    peaks: int = 0

    def sort(self) -> tuple[dict[Figure, float], dict[Cell, int]]:
        """(Timed figures with their tolerances, cells with the pairs that their others need); the rest is settled."""
        base, head = self.arms
        measured: dict[Cell, list[str]] = {}
        for cell in dict.fromkeys([*head.jobs, *base.jobs]):
            names = self.rules.of_phase(cell[2])
            if not names:
                continue
            verdict, reason = self.before(cell)
            if verdict:
                for name in names:
                    self.settle(cell, name, verdict, reason)
            elif reason:
                self.notes.append(reason)
            else:
                measured[cell] = names
        self.notes = list(dict.fromkeys(self.notes))
        figures = [(cell, name) for cell, names in measured.items() for name in names]
        self.peaks = sum(self.is_peak(cell, name) for cell, name in figures)
        timed = {(cell, n): gate.tolerance(self.rules.allowed[n]) for cell, n in figures if self.rules.timed(n)}
        return timed, {cell: self.pairs(cell, names) for cell, names in measured.items()}

    def is_peak(self, cell: Cell, name: str) -> bool:
        """Judged by the largest of all runs."""
        return self.rules.units[name] == "byte" and cell[2] != "static"

    def pairs(self, cell: Cell, names: Sequence[str]) -> int:
        """The pairs that a cell's figures need besides its times: a training has one for each seed of the head's."""
        if cell[2] == "accuracy":
            (variant,) = (each for each in self.arms[1].suite.variants if each.name == cell[0])
            return int(variant.train.get("seeds", 1))
        if any(self.is_peak(cell, name) for name in names):
            return gate.pairs_for_peaks(self.peaks)
        return PAIRS_FOR_OUTPUTS if "outputs" in names else 1

    def before(self, cell: Cell) -> tuple[str, str]:
        """(Verdict, reason) of a cell that is not measured; ("", note) where there is no base; else empty."""
        base, head = self.arms
        variant = cell[0]
        for side in (head, base):
            if variant in side.broken:
                return NOT_MEASURED, f"failed: {side.name}'s network cannot be built: {side.broken[variant]}"
        if cell not in base.jobs:
            return "", f"new, so that there is nothing to compare with: {variant} {cell[1]}".rstrip()
        if cell not in head.jobs:
            return NOT_MEASURED, f"{gate.GONE} it is in the base only"
        for side, other in ((head, base), (base, head)):
            if reason := strayed(side, variant, other.tree):
                return NOT_MEASURED, f"failed: {reason}"
        families = [fingerprints(side.jobs[cell]) for side in (head, base)]
        for family in families[0]:
            if differing := differences(families[0][family], families[1].get(family, {})):
                return NOT_COMPARABLE, ", ".join(differing.values())
        if not self.asked.everything and unchanged(cell, base, head):
            return PASS, "unchanged: the same graph, code, shapes, modes and protocol"
        return "", ""

    def spoilt(self, finding: Finding) -> Finding:
        """A finding of code that changed under the measurement."""
        reason = "failed: the working tree changed while it was measured"
        return msgspec.structs.replace(finding, verdict=NOT_MEASURED, reason=reason, change=None, detectable=None)

    def optional(self, cell: Cell) -> bool:
        """The head's suite marks the variant or the mode so."""
        suite = self.arms[1].suite
        variant = next((one for one in suite.variants if one.name == cell[0]), None)
        mode = suite.modes.get(cell[1])
        return bool((variant and variant.optional) or (mode and mode.optional))

    def settle(self, cell: Cell, name: str, verdict: Any, reason: str) -> None:
        """A finding without figures."""
        quantity = Quantity(name=name, unit=self.rules.units[name], better="lower", title=name)
        absent = verdict == NOT_MEASURED and cell[0] in self.arms[0].broken and self.optional(cell)
        found = {"verdict": verdict, "reason": reason, "optional": absent}
        self.settled[cell, name] = self.finding((cell, name), quantity, **found)

    def finding(self, figure: Figure, quantity: Quantity, **found: Any) -> Finding:
        """A finding at its place."""
        (variant, mode, phase), name = figure
        rule = self.rules.allowed[name]
        return Finding(variant=variant, mode=mode, phase=phase, quantity=quantity, rule=rule, **found)

    def identity(self, finding: Finding) -> tuple[str, str]:
        """The networks of base and head."""
        cell = (finding.variant, finding.mode, finding.phase)
        weights = finding.quantity.name == "outputs" or finding.phase == "accuracy"
        base, head = (arm.identity(cell, weights=weights) for arm in self.arms)
        return base, head


def _findings(found: Sitting, cells: _Cells) -> Iterator[Finding]:
    """The verdicts on what was measured, or should have been."""
    base, head = cells.arms
    for cell in dict.fromkeys([*head.jobs, *base.jobs]):
        for name in cells.rules.of_phase(cell[2]):
            figure = (cell, name)
            if figure not in cells.settled and cell in base.jobs and cell in head.jobs:
                yield _finding(figure, found, cells)


def _finding(figure: Figure, found: Sitting, cells: _Cells) -> Finding:
    """The verdict on one figure."""
    cell, name = figure
    rule = cells.rules.allowed[name]
    unit = cells.rules.units[name]
    decision = found.decisions.get(figure)
    ours, theirs = found.values(figure, "head"), found.values(figure, "base")
    quantity = ours[0].quantity if ours else Quantity(name=name, unit=unit, better="lower", title=name)
    worse = decision is not None and decision.verdict == "REGRESSED"
    if not worse and (reason := _nothing(figure, found, ours, theirs)):
        absent = cells.optional(cell) and (cell, "base") in found.lost
        return cells.finding(figure, quantity, verdict=NOT_MEASURED, reason=reason, optional=absent)
    if cells.rules.timed(name):
        return _timed(figure, quantity, found, cells)
    verdict, reason, change = gate.untimed(theirs, ours, rule, peaks=cells.peaks)
    base, head = (_shown(_numbers(values), quantity) for values in (theirs, ours))
    points = change if quantity.unit == "%" else None
    return cells.finding(
        figure,
        quantity,
        verdict=verdict,
        reason=reason,
        change=change,
        detectable=gate.detectable_points(points, rule, len(ours)) if points else None,
        base=base,
        head=head,
        pairs=len(ours),
    )


def _nothing(figure: Figure, found: Sitting, ours: Sequence[Value], theirs: Sequence[Value]) -> str:
    """Why a figure cannot be judged; empty where it can."""
    cell, name = figure
    if lost := {arm: why for arm in ARMS if (why := found.lost.get((cell, arm)))}:
        return "; ".join(f"{why} ({arm})" for arm, why in lost.items())
    if figure in found.missing:
        return found.missing[figure]
    records = [record for arm in ARMS for record in found.records.get((cell, arm), ())]
    if not records:
        return found.ended or "failed: no such figure"
    if why := next(filter(None, (lacking(record, name) for record in records)), ""):
        return why
    if figure not in found.timed and len(ours) < found.others[cell]:
        return f"{found.ended or 'it ended'}, after {len(ours)} of {found.others[cell]} pairs"
    if any("mismatch" in value.flags for value in ours) and not any("mismatch" in value.flags for value in theirs):
        return f"failed: mismatch: {FLAGS['mismatch']}, which it did not in the base"
    if figure in found.timed and figure not in found.decisions:
        return f"{found.ended or 'it ended'}, before the first look at the data"
    return ""


def _shown(numbers: Sequence[float], quantity: Quantity) -> float:
    """What stands for all pairs, as they are judged."""
    return fsum(numbers) / len(numbers) if quantity.unit == "%" else gate.worst(numbers, quantity)


def _timed(figure: Figure, quantity: Quantity, found: Sitting, cells: _Cells) -> Finding:
    decision = found.decisions[figure]
    values = [_numbers(found.values(figure, arm))[: decision.pairs] for arm in ARMS]
    worse = decision.change
    change = gate.head_over_base((worse.value, worse.low, worse.high), quantity)
    undecided = decision.verdict == "OPEN"
    verdict, reasons = (INCONCLUSIVE if undecided else decision.verdict), found.flags(figure)
    reasons = [*([found.ended] if undecided and found.ended else ["improved"] if decision.improved else []), *reasons]
    if suspicious := gate.too_fast(worse.value, worse.high):
        verdict, reasons = REGRESSED, [suspicious]
    return cells.finding(
        figure,
        quantity,
        verdict=verdict,
        reason="; ".join(reasons),
        change=change,
        detectable=decision.detectable,
        base=_middle(values[0]),
        head=_middle(values[1]),
        pairs=decision.pairs,
    )


def _numbers(values: Sequence[Value]) -> list[float]:
    return [float(value.value) for value in values if value.value is not None]


def _middle(values: Sequence[float]) -> float:
    return exp(fsum(map(log, values)) / len(values))


def lines_of(suite: Suite) -> dict[str, int]:
    """Variant -> its line in the suite's file."""
    import tomllib

    from bench.suite.sweep import expand

    text = suite.path.read_text(encoding="utf-8")
    found: dict[str, int] = {}
    for index, written in enumerate(tomllib.loads(text).get("variants", [])):
        for point in expand(written):
            found[point.name] = line_of(text, ("variants", index))
    return found


def _placed(finding: Finding, lines: Mapping[str, int]) -> Finding:
    return msgspec.structs.replace(finding, line=lines.get(finding.variant, 0))
