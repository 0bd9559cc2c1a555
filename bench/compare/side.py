"""One of two things that are compared: its figures, what determines each of them, and where they were measured."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import fsum, isfinite, log, sqrt
from typing import Any, NamedTuple

from bench.contrasts import Scores
from bench.record import Header, Json, Quantity, Record, checked_mode
from bench.scores import of_record
from bench.store import Loaded
from bench.table.cells import TIMES, Cell, Column
from bench.table.comparable import Fields, fields
from bench.table.merge import (
    ACCURACY,
    NOT_PLANNED,
    Rounds,
    averaged,
    latest,
    merge,
    mismatch,
    quantities,
    wrong_when_trained,
)
from bench.table.study import study

DIFFERENCES = ("%", "dB")
"""Units in which a change is a difference; in the others it is a ratio."""

VERSIONS = ("python", "cuda", "cudnn", "gpu", "cpu_capability", "fp32_precision", "cudnn_benchmark")
"""Observed facts of a worker that may explain a change; torch is in the machine's identity."""


UNKNOWN = "unknown"


class Key(NamedTuple):
    """Which figure."""

    phase: str
    variant: str
    mode: str
    quantity: str

    @property
    def cell(self) -> str:
        """What people call the row: `variant/mode/phase`."""
        return "/".join(part for part in (self.variant, self.mode, self.phase) if part)


@dataclass(frozen=True, slots=True)
class Sample:
    """What a two-sample interval needs of one side: ln of the rounds' medians, or the scores of the seeds.

    Attributes:
        relative: mean and standard deviation are of logarithms.
    """

    count: int
    mean: float
    sd: float
    relative: bool = True


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure of one side.

    Attributes:
        cell: the figure as a table shows it, or the reason why there is none.
        fields: what determines it: its protocol's fingerprint and, where it matters, the machine.
        sample: None for exact counts and for the worst of the rounds.
        struck: why it is not compared: the mode changes the answer.
        images: of an accuracy, what was right and what counted in each image.
        training: which training an accuracy is of, wherever its record was taken over to.
        told: how its rounds came about, where they are not fresh processes of bench.
    """

    quantity: Quantity
    cell: Cell
    fields: Fields = field(default_factory=dict)
    sample: Sample | None = None
    struck: str = ""
    images: Scores | None = None
    training: str = ""
    told: str = ""


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two.

    Attributes:
        name: the run's name, or the file's; said: one line about it.
        facts: what the two may differ in: suite, profile, code, machine, versions; in words.
        gate: quantity -> allowed worsening, as the suite has it.
        missing: jobs without a figure, `variant/mode/phase` -> the reason.
        networks: variant and size of its images -> fingerprint of its network.
    """

    name: str
    said: str
    figures: Mapping[Key, Figure]
    facts: Mapping[str, str] = field(default_factory=dict)
    gate: Mapping[str, str] = field(default_factory=dict)
    missing: Mapping[str, str] = field(default_factory=dict)
    networks: Mapping[str, str] = field(default_factory=dict)


def of_run(run: Loaded) -> Side:
    """A run's headline figures, merged over the rounds as in its table."""
    suite = run.header.suite
    order = study(suite, run.records)
    phases = latest(run.records)
    wrong = wrong_when_trained(phases.get(ACCURACY, {}))
    figures: dict[Key, Figure] = {}
    missing: dict[str, str] = {}
    for phase, groups in phases.items():
        columns = quantities(groups.values())
        expected = max(len(group) for group in groups.values())
        for (variant, mode), group in sorted(groups.items(), key=lambda item: order.rank(*item[0])):
            struck = "mismatch: the mode changes the answer" if mismatch(group) else ""
            struck = struck or (wrong.get((variant, mode), "") if phase == "infer" else "")
            for quantity in columns:
                figure = _figure(quantity, group, expected, struck, run.header.run)
                if figure is not None:
                    figures[Key(phase, variant, mode, quantity.name)] = figure
            if bad := [record for record in group.values() if not record.values]:
                missing[bad[-1].job.cell] = f"{bad[-1].status}: {bad[-1].reason}".rstrip(": ")
    return Side(
        name=run.header.run,
        said=_said(run.header, run.records),
        figures=figures,
        facts=_facts(run.header, run.records),
        gate={str(name): str(rule) for name, rule in (suite.get("gate") or {}).items()},
        missing=missing,
        networks={_built(r): n for r in run.records if (n := str(r.environment.get("network") or ""))},
    )


def sample(values: Sequence[float], *, relative: bool) -> Sample | None:
    """The sample of some rounds: of their logarithms where a ratio is wanted; None where these do not exist.

    >>> sample([1.0, 3.0], relative=False)
    Sample(count=2, mean=2.0, sd=1.4142135623730951, relative=False)
    """
    if not values or (relative and min(values) <= 0):
        return None
    scale = [log(value) for value in values] if relative else list(values)
    mean = fsum(scale) / len(scale)
    sd = sqrt(fsum((x - mean) ** 2 for x in scale) / (len(scale) - 1)) if len(scale) > 1 else 0.0
    return Sample(len(scale), mean, sd, relative)


def machine_facts(machine: Mapping[str, Any]) -> dict[str, str]:
    """The machine's identity in words, by field."""
    return {("machine" if name == "id" else f"machine.{name}"): in_words(fact) for name, fact in machine.items()}


def source_facts(source: Mapping[str, Any]) -> dict[str, str]:
    """The measured code in words, as far as it is known."""
    known = {name: str(source.get(name) or UNKNOWN) for name in ("bench", "commit")}
    facts = {name: fact for name, fact in known.items() if fact != UNKNOWN}
    if "dirty" in source:
        facts["uncommitted changes"] = str(source["dirty"] or "none")
    return facts


def in_words(fact: Any) -> str:
    """Plain data in one line, without its punctuation; `-` for nothing."""
    if isinstance(fact, Mapping):
        return ", ".join(f"{key} {in_words(one)}" for key, one in fact.items()) or "-"
    if isinstance(fact, list | tuple):
        return " + ".join(in_words(one) for one in fact) or "-"
    if isinstance(fact, bool):
        return "on" if fact else "off"
    return "-" if fact in (None, "") else str(fact)


def _figure(quantity: Quantity, group: Rounds, expected: int, struck: str, run: str) -> Figure | None:
    """The figure of one row; None where its job does not give this quantity."""
    found = {n: v for n in sorted(group) for v in group[n].values if v.quantity.name == quantity.name}
    values = {n: float(v.value) for n, v in found.items() if v.value is not None and isfinite(v.value)}
    cell = merge(quantity, values, group, expected)
    if cell.value is None and cell.reason.startswith(NOT_PLANNED):
        return None
    learnt = group[min(group)].job.phase == ACCURACY
    numbers = list(values.values())
    sampled = learnt or averaged(quantity, numbers)
    return Figure(
        quantity=quantity,
        cell=cell,
        fields=fields(group, Column(quantity, learnt=learnt)),
        sample=sample(numbers, relative=not learnt and quantity.unit not in DIFFERENCES) if sampled else None,
        struck="" if learnt or checked_mode(quantity.name) else struck,
        images=of_record(group[min(group)], quantity.name) if learnt and len(group) == 1 else None,
        training=" + ".join(f"{r.origin or run} {r.started}" for r in group.values()) if learnt else "",
    )


def _built(record: Record) -> str:
    """A network as it was built: its fingerprint hangs on the size of the images too."""
    size = record.job.data.get("size")
    if size is None:
        return record.job.variant
    return f"{record.job.variant} at {TIMES.join(str(side) for side in size) if isinstance(size, list) else size}"


def _said(header: Header, records: Sequence[Record]) -> str:
    parts = [
        f"profile {header.profile}" if header.profile else "",
        f"started {header.started}" if header.started else "",
        f"machine {header.machine.get('id') or 'unknown'}",
        f"commit {str(header.source.get('commit') or 'unknown')[:10]}"
        + (" with uncommitted changes" if header.source.get("dirty") else ""),
        f"{len(records)} record{'s' * (len(records) != 1)}",
    ]
    return ", ".join(part for part in parts if part)


def _facts(header: Header, records: Sequence[Record]) -> dict[str, str]:
    machines: dict[str, Json] = {str(r.machine.get("id")): r.machine for r in records if r.machine and not r.origin}
    own = header.machine or next(iter(machines.values()), {})
    facts = {
        "suite": str(header.suite.get("name") or "-"),
        "profile": header.profile or "as written",
        "seed": str(header.seed),
        **_seeds(records),
        **source_facts(header.source),
        **machine_facts(own),
    }
    if others := sorted(set(machines) - {str(own.get("id"))}):
        facts["machine"] = f"{facts.get('machine', '-')} + {' + '.join(others)}"
    return facts | dict(_versions(record for record in records if not record.origin))


def _seeds(records: Iterable[Record]) -> dict[str, str]:
    """The seeds of all trainings, by variant where they are not the same ones."""
    found: dict[str, set[int]] = {}
    for record in (record for record in records if record.job.phase == ACCURACY and record.values):
        found.setdefault(record.job.variant, set()).add(record.job.seed)
    named = {variant: sorted(seeds) for variant, seeds in sorted(found.items())}
    alike = len({tuple(seeds) for seeds in named.values()}) == 1
    return {"seeds of trainings": in_words(next(iter(named.values())) if alike else named)} if named else {}


def _versions(records: Iterable[Record]) -> Iterator[tuple[str, str]]:
    """What the workers saw, all of it where they did not see the same."""
    environments = [record.environment for record in records]
    for name in VERSIONS:
        if seen := sorted({in_words(found[name]) for found in environments if name in found}):
            yield name, " / ".join(seen)
