"""Records -> Table: rounds merged, relative to the baseline, published figures beside ours. A pure function."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from statistics import median
from typing import Any

from bench.record import FLAGS, STATUSES, Json, Quantity, Record
from bench.table.cells import TIMES, About, Cell, Column, Published, Ratio, Row, Section, Table
from bench.table.comparable import Groups, with_best, with_differences, with_ratios, with_speedups
from bench.table.merge import (
    ACCURACY,
    NOT_PLANNED,
    Key,
    Rounds,
    averaged,
    latest,
    merge,
    mismatch,
    of_this_run,
    origins,
    pivot,
    quantities,
    wrong_when_trained,
)
from bench.table.published import figures, with_published
from bench.table.study import Study, study
from bench.units import scale

__all__ = ["Cell", "Column", "Published", "Ratio", "Row", "Section", "Table", "tabulate"]

TITLES = {"static": "Network", "infer": "Inference", "train": "Training", "accuracy": "Accuracy"}

NOTHING = Quantity(name="result", unit="1", better="none", title="result")
"""Stands in for the columns of a phase in which no job lived long enough to name its quantities."""


def tabulate(suite: Json, records: Sequence[Record]) -> Table:
    """The table of a run: `suite` as its header keeps it, the records in any order."""
    about = study(suite, records)
    phases = latest(records)
    wrong = wrong_when_trained(phases.get(ACCURACY, {}))
    sections = [
        _section(phase, phases[phase], about, wrong if phase == "infer" else {}) for phase in TITLES if phase in phases
    ]
    kept = [record for groups in phases.values() for group in groups.values() for record in group.values()]
    return Table(
        title=suite.get("title") or about.name,
        lead=tuple(_lead(suite, about, kept)),
        sections=tuple(sections),
        notes=(
            *_signs(about, sections),
            *_incomplete(kept),
            *_unmeasured(about, sections),
            *_modes(suite),
            *_machines(kept),
        ),
        baseline=about.baseline if about.baseline in about.variants else "",
        reference=about.reference,
        about=_about(about, kept),
    )


def _about(about: Study, records: Sequence[Record]) -> About:
    ours = [record for record in records if of_this_run(record)]
    machines = {str(record.machine.get("id", "")): record.machine for record in ours if record.machine}
    started = min((record.started for record in ours if record.started), default="")
    return About(about.name, about.profile, started, tuple(machines[name] for name in sorted(machines)))


def _section(phase: str, groups: Groups, about: Study, wrong: Mapping[Key, str]) -> Section:
    """One phase, from the pivot to the published figures; each step adds to every cell.

    `wrong` are modes that change the answer of trained weights, with the sentence that says so.
    """
    # Rows by the suite's order, not the records': the columns' order of first appearance hangs on it.
    keys = sorted({*about.planned(phase), *groups}, key=lambda key: about.rank(*key))
    ordered = {key: groups[key] for key in keys if key in groups}
    expected = max(len(group) for group in ordered.values())
    theirs = figures(entry for entries in about.published.values() for entry in entries)
    columns = quantities(ordered.values(), theirs) or [NOTHING]
    values = pivot(ordered)
    rows = []
    for key in keys:
        group = ordered.get(key, {})
        cells = [merge(q, values.get((q.name, key), {}), group, expected) for q in columns]
        rows.append(_row(key, cells, group, about, [wrong[key]] if key in wrong else []))
    section = Section(
        phase=phase,
        title=TITLES[phase],
        columns=tuple(
            _learnt_column(q) if phase == ACCURACY else _column(q, [row.cells[i] for row in rows], expected)
            for i, q in enumerate(columns)
        ),
        rows=tuple(rows),
        lead=_shared(ordered),
    )
    section = with_ratios(section, ordered, about)
    if phase == "infer":
        section = _without_reference(with_speedups(section, ordered, about), about)
    if phase == ACCURACY:
        section = with_differences(section, ordered, about)
    return with_published(with_best(section, ordered, about), about)


def _row(key: Key, cells: Iterable[Cell], group: Rounds, about: Study, wrong: Sequence[str]) -> Row:
    variant, mode = key
    if not group:
        resume = f"no record: the run was interrupted; `bench run {about.name} --resume RUN` completes it"
        cells = [replace(cell, reason=resume) for cell in cells]
    why = [f"mismatch: {FLAGS['mismatch']}, nor compared"] * mismatch(group) + [*wrong]
    notes = (*why, *origins(group))
    protocol = group[min(group)].fingerprints if group else {}
    return Row(variant, mode, tuple(cells), struck=bool(why), notes=notes, protocol=protocol)


def _learnt_column(quantity: Quantity) -> Column:
    return Column(quantity=quantity, unit="" if quantity.unit == "1" else quantity.unit, learnt=True)


def _column(quantity: Quantity, cells: Sequence[Cell], expected: int) -> Column:
    """The column's human unit, from its median, and what to know about all of it."""
    values = [float(cell.value) for cell in cells if cell.value is not None]
    factor, unit = scale(quantity.unit, median(values)) if values else (1.0, quantity.unit)
    notes = []
    if not quantity.exact and expected > 1 and values and not averaged(quantity, values):
        notes.append(f"the {'smallest' if quantity.better == 'higher' else 'largest'} of the rounds: no interval")
    return Column(quantity=quantity, factor=factor, unit="" if unit == "1" else unit, notes=tuple(notes))


def _without_reference(section: Section, about: Study) -> Section:
    """Says of what compares a mode with the reference that the reference itself cannot have it."""

    def given(own: bool) -> set[int]:
        rows = [row for row in section.rows if (row.mode == about.reference) == own]
        return {i for row in rows for i, cell in enumerate(row.cells) if cell.value is not None}

    relative = given(False) - given(True)
    reason = f"{about.reference} is what this figure compares with"

    def explained(row: Row) -> Row:
        known = row.mode != about.reference
        cells = [
            cell if known or i not in relative or not cell.reason.startswith(NOT_PLANNED) else Cell(reason=reason)
            for i, cell in enumerate(row.cells)
        ]
        return replace(row, cells=tuple(cells))

    return replace(section, rows=tuple(explained(row) for row in section.rows))


def _shared(groups: Groups) -> str:
    """The fields of the fingerprint that all rows share; the protocol's own are left to `bench show`."""
    alike: dict[str, Any] | None = None
    last: Json = {}
    for group in groups.values():
        for record in group.values():
            if record.fingerprints == last:
                continue
            last = record.fingerprints
            found = {k: v for family in record.fingerprints.values() for k, v in family.items()}
            if not found:
                continue  # it stands for a training that the protocol leaves out
            alike = found if alike is None else {k: v for k, v in alike.items() if found.get(k) == v}
    # The mode and what the metric finds have columns of their own.
    detail = ("protocol.", "scoring.", "memory.", "train.recipe.", "mode", "metrics")
    shown = {k: v for k, v in (alike or {}).items() if not k.startswith(detail) and v not in (None, "")}
    return ", ".join(f"{name} {shown[name]}" for name in sorted(shown))


def _lead(suite: Json, about: Study, records: Sequence[Record]) -> Iterable[str]:
    if suite.get("source"):
        yield f"Source: {suite['source']}"
    ours = [record for record in records if of_this_run(record)]
    counts = Counter(record.status for record in ours)
    came = ", ".join(f"{counts[status]} {status}" for status in STATUSES if counts[status])
    timed = [record.job.round + 1 for record in ours if record.job.phase != ACCURACY]
    rounds = max(timed, default=0)
    profile = f"Profile {about.profile}, " if about.profile else ""
    started = min((record.started for record in ours if record.started), default="")
    when = f", started {started}" if started else ""
    spent = "" if ours and not timed else f"{rounds} round{'s' * (rounds != 1)}, "
    yield f"{profile}{spent}{len(ours)} jobs: {came or 'none has a record'}{when}"
    if earlier := {record.job.variant for record in records if record.origin}:
        yield f"Accuracy of {len(earlier)} variant{'s' * (len(earlier) != 1)} is from earlier runs"


def _signs(about: Study, sections: Sequence[Section]) -> Iterable[str]:
    """What the signs in the table mean, as far as they occur."""
    cells = [cell for section in sections for row in section.rows for cell in row.cells]
    rounds = _most_rounds(section for section in sections if section.phase != ACCURACY)
    if rounds:
        yield (
            f"± is the half-width of the 95 % interval over {rounds} rounds, each a fresh process, "
            "on this machine, in this run"
        )
    if seeds := _most_rounds(section for section in sections if section.phase == ACCURACY):
        over = f"of the mean over {seeds} seeds, each trained anew" if seeds > 1 else "within one training"
        yield f"In Accuracy, ± is the half-width of the 95 % interval {over}"
    if any(cell.ratio for cell in cells):
        yield (
            f"{TIMES} is the ratio to {about.baseline} in the same mode, paired by round: {TIMES}0.5 is half of "
            f"{about.baseline}'s figure"
        )
    if any(cell.speedup for cell in cells):
        yield f"speed-up is {about.reference}'s time over this mode's, same variant: {TIMES}2 is twice as fast"
    if any("estimated" in cell.flags for cell in cells):
        yield "~ is an estimate: derived from a part, not measured in full"
    yield from _published_signs(about, cells)


def _most_rounds(sections: Iterable[Section]) -> int:
    cells = [cell for section in sections for row in section.rows for cell in row.cells]
    return max((len(cell.rounds) for cell in cells if cell.low is not None), default=0)


def _published_signs(about: Study, cells: Iterable[Cell]) -> Iterable[str]:
    beside = [cell.published for cell in cells if cell.published]
    if any(published.ratio is not None for published in beside):
        yield (
            f"ours vs published is how far our ratio to {about.baseline} is from the document's own, in percent of it; "
            "its machine is not ours, so that its times are not compared directly"
        )


def _modes(suite: Json) -> Iterable[str]:
    """What the names of the modes stand for."""
    for name, mode in (suite.get("modes") or {}).items():
        if plugins := mode.get("plugins"):
            yield f"Mode {name}: {', '.join(f'{plugin} {_fact(option)}' for plugin, option in plugins.items())}"


def _incomplete(records: Sequence[Record]) -> Iterable[str]:
    """Jobs that gave figures and failed at others, whose columns may not exist for want of a single value."""
    cells: dict[str, list[str]] = {}
    for record in records:
        if record.status != "ok" and record.values:
            cells.setdefault(f"{record.status}: {record.reason}", []).append(record.job.cell)
    for reason, named in cells.items():
        yield f"Not all was measured of {', '.join(dict.fromkeys(named))}: {reason}"


def _unmeasured(about: Study, sections: Sequence[Section]) -> Iterable[str]:
    """Published figures that nothing of ours stands beside, in one line."""
    shown = {column.key for section in sections for column in section.columns}
    names = figures(entry for entries in about.published.values() for entry in entries)
    if missing := [name for name in names if name not in shown]:
        profile = f" (profile {about.profile})" if about.profile else ""
        yield f"Published, but not measured here{profile}: {', '.join(missing)}"


def _machines(records: Iterable[Record]) -> Iterable[str]:
    machines: dict[str, Mapping[str, Any]] = {}
    here: set[str] = set()
    for record in (record for record in records if record.machine):
        name = str(record.machine.get("id", ""))
        machines[name] = record.machine
        here |= set() if record.origin else {name}
    for name, machine in sorted(machines.items()):
        facts = ", ".join(f"{key} {_fact(machine[key])}" for key in machine if key != "id" and machine[key])
        only = "" if name in here else ", of earlier accuracy only"
        yield f"Machine {name or 'without an id'}{only}: {facts or 'no facts recorded'}"
    if len(here) > 1:
        yield "The records come from several machines: times and memory are compared only within one"


def _fact(value: Any) -> str:
    """Plain data in one line, without its punctuation."""
    if isinstance(value, Mapping):
        return " ".join(f"{key} {_fact(one)}" for key, one in value.items())
    if isinstance(value, list):
        return " + ".join(_fact(one) for one in value)
    return "on" if value is True else "off" if value is False else str(value)
