"""The figures that a claim quotes: where they stand in the table, what the document has, and which may be compared."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from itertools import combinations
from typing import Any

import msgspec

from bench import plugins
from bench.record import FLAGS, Json, Quantity, Record
from bench.suite.condition import Call
from bench.table import Cell, Column, Published, Row, Section, Table, tabulate
from bench.table.comparable import differences, family_of, fields
from bench.table.lookup import Found, figures, split
from bench.table.merge import Key, Rounds, latest
from bench.table.published import with_published
from bench.table.study import Study, study

ACCURACY = "accuracy"

BATCHES = {"infer": "infer", "train": "train", "accuracy": "train"}
"""Phase -> the table of a job whose batch counts."""


@dataclass(frozen=True, slots=True)
class Measured:
    """A run as a claim looks at it: its table, the records behind the cells, and the suite."""

    table: Table
    groups: dict[str, dict[Key, dict[int, Record]]]
    study: Study


@dataclass(frozen=True, slots=True)
class Figure:
    """A quantity of a variant in a run.

    Attributes:
        found: where it stands; None where the run has no such row.
        group: the records behind it.
        reason: why nothing can be decided by it; empty where something can.
        notes: what to know of it.
        published: the document's figure, None where it has none.
    """

    call: Call
    found: Found | None = None
    group: Rounds = field(default_factory=dict)
    reason: str = ""
    notes: tuple[str, ...] = ()
    published: Published | None = None

    @property
    def exact(self) -> bool:
        """Known without an error."""
        return self.found is not None and self.found.column.quantity.exact

    @property
    def learnt(self) -> bool:
        """Of a trained network."""
        return self.found is not None and self.found.column.learnt

    @property
    def cell(self) -> Cell:
        """The figure itself; an empty cell where there is none."""
        return self.found.cell if self.found else Cell(reason=self.reason)


def measured(suite: Json, records: Sequence[Record], quantities: Iterable[str]) -> Measured:
    """The run's table with these quantities among its columns, whether they are headlines or not."""
    wanted = {split(name)[1] for name in quantities}
    shown = [_with_columns(record, wanted) for record in records]
    table = tabulate(suite, shown)
    return Measured(table, latest(shown), study(suite, shown))


def _with_columns(record: Record, wanted: set[str]) -> Record:
    if not any(value.quantity.name in wanted and not value.quantity.headline for value in record.values):
        return record
    values = [
        msgspec.structs.replace(value, quantity=msgspec.structs.replace(value.quantity, headline=True))
        if value.quantity.name in wanted
        else value
        for value in record.values
    ]
    return msgspec.structs.replace(record, values=values)


def look_ups(calls: Iterable[Call], run: Measured, mode: str) -> tuple[Figure, ...]:
    """The figures that are quoted; `mode` is meant where a claim quotes none and the phase was run in several."""
    return tuple(_look_up(call, run, mode) for call in calls)


def _look_up(call: Call, run: Measured, mode: str) -> Figure:
    published = _published(call, run)
    everywhere = list(figures(run.table, call.quantity))
    rows = [found for found in everywhere if found.row.variant == call.variant]
    if not rows:
        what = f"{call.variant} was" if everywhere else f"{call.quantity} was"
        return Figure(call, reason=f"{what} not measured in this run", published=published)
    found, note = _in_mode(rows, call, mode)
    if found is None:
        return Figure(call, reason=note, published=published)
    group = run.groups[found.section.phase].get((call.variant, found.row.mode), {})
    reason = _why_not(found, group, call)
    return Figure(call, found, group, reason, (note,) if note else (), published)


def _in_mode(rows: Sequence[Found], call: Call, mode: str) -> tuple[Found | None, str]:
    """The row in the mode that is meant, and what to say of the choice, or why there is none."""
    phase, modes = rows[0].section.phase, {found.row.mode: found for found in rows}
    wanted = call.mode or mode
    if wanted in modes:
        return modes[wanted], ""
    if not call.mode and len(modes) == 1:
        only = rows[0].row.mode
        told = phase in ("infer", "train") and mode  # of accuracy there is one, whatever trained it
        return rows[0], f"{phase} was measured in {only} only, not in {mode}" if told else ""
    if phase == "static":
        return None, f"{call.quantity} is the same in every mode: leave mode='{call.mode}' out"
    return None, f"{call.variant} was not measured in {wanted}, only in {' and '.join(modes)}"


def _why_not(found: Found, group: Rounds, call: Call) -> str:
    """Why the figure decides nothing; empty where it may."""
    if found.cell.value is None:
        return found.cell.reason
    if "not_learnt" in found.cell.flags:
        return f"not_learnt: {FLAGS['not_learnt']}"
    return _wrong_batch(found.section.phase, group, call) if call.batch is not None else ""


def _wrong_batch(phase: str, group: Rounds, call: Call) -> str:
    table = BATCHES.get(phase)
    if table is None:
        return f"{call.quantity} has no batch: leave batch={call.batch} out"
    jobs = [record.job for record in group.values()]
    batches = {(job.infer if table == "infer" else job.train).get("batch") for job in jobs}
    said = " and ".join(sorted(str(batch) for batch in batches))
    return "" if batches == {call.batch} else f"measured at {table}.batch {said}, not {call.batch}"


def _published(call: Call, run: Measured) -> Published | None:
    """The document's figure; it knows of the reference mode alone."""
    if call.mode not in ("", run.study.reference):
        return None
    phase, name = split(call.quantity)
    found = next(figures(run.table, call.quantity), None)
    column = found.column if found else Column(Quantity(name=name, unit=_unit(name), better="none", title=name))
    phase = found.section.phase if found else phase or (ACCURACY if column.quantity.unit == "%" else "")
    row = Row(call.variant, "", (Cell(reason="not looked at"),))
    beside = with_published(Section(phase, "", (column,), (row,)), _of_batch(run.study, call))
    return beside.rows[0].cells[0].published


def _of_batch(about: Study, call: Call) -> Study:
    """The study with the document's entries of the batch that is quoted alone; with all where none is."""
    if call.batch is None:
        return about
    entries = [entry for entry in about.published.get(call.variant, []) if entry.get("batch") == call.batch]
    return replace(about, published={call.variant: entries})


@cache
def _unit(name: str) -> str:
    """Of what was not measured: as the measures' files write it, which are read for it."""
    return plugins.quantities().get(name, "1")


def confounds(quoted: Sequence[Figure], run: Measured) -> tuple[list[str], list[str]]:
    """(Why figures must not be compared, what differs between them on purpose), each sentence once.

    A mode that changes the answer is compared with nothing. Figures of one family compare where their fingerprints
    agree but for declared factors and for what the claim quotes. Of different families (training and inference) what
    both depend on must agree; accuracy is trained by a protocol of its own, and what it does not share with the speed
    beside it is said.
    """
    rows = [figure.found.row for figure in quoted if figure.found]
    against: dict[str, None] = {f"{row.variant}: {row.notes[0]}": None for row in rows if row.struck}
    labels: dict[str, None] = {}
    for one, other in combinations(quoted, 2):
        for name, how in _differing(one, other).items():
            said = f"{how} ({one.call.variant} and {other.call.variant})"
            if name in _on_purpose(one, other):
                continue
            declared = run.study.is_factor(name) or one.learnt != other.learnt
            (labels if declared else against)[said] = None
    return list(against), list(labels)


def _differing(one: Figure, other: Figure) -> dict[str, str]:
    if one.found is None or other.found is None or not (one.group and other.group):
        return {}
    ours, theirs = fields(one.group, one.found.column), fields(other.group, other.found.column)
    if _family(one.found) != _family(other.found):
        shared = ours.keys() & theirs.keys()
        ours, theirs = ({name: side[name] for name in shared} for side in (ours, theirs))
    found = differences(ours, theirs)
    if one.learnt != other.learnt:
        found.pop("mode", None)  # one accuracy stands for every mode
    if "train.recipe" in found:
        found = {name: how for name, how in found.items() if not name.startswith("train.recipe.")}
    return found


def _family(found: Found) -> str:
    return family_of(found.section.phase, found.column.key)


def _on_purpose(one: Figure, other: Figure) -> set[str]:
    """Fields that the claim itself quotes."""
    pair = (one.call, other.call)
    quoted = {"mode"} if any(call.mode for call in pair) else set()
    return quoted | ({"infer.batch", "train.batch"} if all(call.batch is not None for call in pair) else set())


def block(figure: Figure, run: Measured) -> list[Any]:
    """Cells of the figure's quantity and mode that compare with it, and so share its error: (variant, cell)."""
    if figure.found is None:
        return []
    section, row, column = figure.found.section, figure.found.row, figure.found.column
    index = section.columns.index(column)
    found = []
    for other in section.rows:
        group = run.groups[section.phase].get((other.variant, other.mode), {})
        if other.mode != row.mode or other.struck or other.cells[index].value is None or not group:
            continue
        beside = replace(figure, call=Call(figure.call.quantity, other.variant), group=group)
        if not confounds([figure, beside], run)[0]:
            found.append((other.variant, other.cells[index]))
    return found
