"""Records -> one cell per variant, mode and quantity: repeated attempts dropped, rounds merged.

The rules: times, rates, energies and percentages are the geometric mean of the rounds with its t interval. Exact
quantities must agree. Everything else (memory, errors) is the worst round, without an interval: a peak is a peak.

In the accuracy phase seeds stand in the place of rounds: every quantity is the arithmetic mean of the seeds with its
t interval, since percentages may be zero or a change negative; with one seed it has the interval that its job found.
"""

from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from math import isfinite

from bench.record import FLAGS, Quantity, Record, Value, checked_mode, encode
from bench.stats import Interval, arithmetic_interval, mean_interval, sigma_within
from bench.table.cells import Cell, portable

Key = tuple[str, str]
"""(variant, mode): which row."""

Rounds = Mapping[int, Record]
"""Round (in the accuracy phase: seed) -> the attempt that counts."""

NOT_PLANNED = "not planned"

ACCURACY = "accuracy"

AVERAGED = ("s", "image/s", "J", "W", "%")


def latest(records: Iterable[Record]) -> dict[str, dict[Key, dict[int, Record]]]:
    """Phase -> row -> rounds. Of several attempts the last ok one counts, else the last."""
    phases: dict[str, dict[Key, dict[int, Record]]] = {}
    for record in _in_order(records):
        job = record.job
        rounds = phases.setdefault(job.phase, {}).setdefault((job.variant, job.mode), {})
        slot = job.seed if job.phase == ACCURACY else job.round
        if record.status == "ok" or slot not in rounds or rounds[slot].status != "ok":
            rounds[slot] = record
    return phases


def _in_order(records: Iterable[Record]) -> Iterator[Record]:
    """By time and attempt; the bytes only settle ties, so that the order in which records are given never matters."""
    for _, alike in groupby(sorted(records, key=_attempt), key=_attempt):
        tied = list(alike)
        yield from sorted(tied, key=encode) if len(tied) > 1 else tied


def _attempt(record: Record) -> tuple[str, int, str, str, str, int, int]:
    job = record.job
    return record.started, record.attempt, job.phase, job.variant, job.mode, job.round, job.seed


def quantities(rounds: Iterable[Rounds], published: Container[str] = ()) -> list[Quantity]:
    """The headline quantities, and those that the document has figures of, in order of first appearance."""
    found: dict[str, Quantity] = {}
    for group in rounds:
        for number in sorted(group):
            for value in group[number].values:
                found.setdefault(value.quantity.name, value.quantity)
    return [quantity for name, quantity in found.items() if quantity.headline or name in published]


def pivot(groups: Mapping[Key, Rounds]) -> dict[tuple[str, Key], dict[int, float]]:
    """(Quantity, row) -> round -> value. A job in which one measure failed keeps what the others found."""
    found: dict[tuple[str, Key], dict[int, float]] = {}
    for row, group in groups.items():
        for number in sorted(group):
            for value in group[number].values:
                if value.value is not None and isfinite(value.value):
                    found.setdefault((value.quantity.name, row), {})[number] = float(value.value)
    return found


def averaged(quantity: Quantity, values: Iterable[float]) -> bool:
    """Merged by the geometric mean; everything else by the worst round."""
    return not quantity.exact and quantity.unit in AVERAGED and all(value > 0 for value in values)


def merge(quantity: Quantity, values: Mapping[int, float], group: Rounds, expected: int) -> Cell:
    """One cell. `expected` is the number of rounds that the rest of the section has."""
    found = {n: v for n in sorted(group) for v in group[n].values if v.quantity.name == quantity.name}
    if not values:
        return Cell(reason=_why_missing(found.values(), group.values()))
    if any(record.job.phase == ACCURACY for record in group.values()):
        return _merge_seeds(values, found, group, expected)
    machines = sorted({str(group[n].machine.get("id", "")) for n in values})
    if len(machines) > 1 and not portable(quantity):
        return Cell(reason=f"not merged: its rounds come from the machines {' and '.join(machines)}")
    numbers = list(values.values())
    if quantity.exact and len(set(numbers)) > 1:
        listed = " and ".join(f"{number:,.0f}" for number in sorted(set(numbers)))
        return Cell(reason=f"must be the same in every round, and is not: {listed}", rounds=tuple(values.items()))
    interval = _interval(quantity, numbers)
    flags = tuple(flag for flag in _flag_order(found.values()) if flag != "mismatch")
    samples = [[x for x in found[n].samples if x > 0] for n in values]
    return Cell(
        value=int(interval.value) if quantity.exact or quantity.unit == "byte" else interval.value,
        low=interval.low,
        high=interval.high,
        rounds=tuple(values.items()),
        within=sigma_within(samples) if averaged(quantity, numbers) else None,
        flags=flags,
        notes=(*_flag_notes(flags, found), *_round_notes(quantity, values, group, expected)),
    )


def _merge_seeds(values: Mapping[int, float], found: Mapping[int, Value], group: Rounds, expected: int) -> Cell:
    only = found[next(iter(values))]
    interval = arithmetic_interval(list(values.values()))
    if len(values) == 1:
        interval = Interval(interval.value, only.low, only.high)
    flags = tuple(_flag_order(found.values()))
    return Cell(
        value=interval.value,
        low=interval.low,
        high=interval.high,
        rounds=tuple(values.items()),
        flags=flags,
        notes=(*_flag_notes(flags, found), *_seed_notes(values, found, group, expected)),
    )


def _seed_notes(values: Mapping[int, float], found: Mapping[int, Value], group: Rounds, expected: int) -> list[str]:
    notes = []
    if len(values) == 1:
        only = found[next(iter(values))]
        how = f"{only.how or '± is of one training'}, one seed: the spread over seeds is not in it"
        notes.append("one seed: no interval" if only.low is None else how)
    if len(values) < expected:
        absent = [n for n in sorted(group) if n not in values]
        why = [found[n].reason if n in found else _why_not_ok(group[n]) for n in absent]
        reasons = "; ".join(dict.fromkeys(reason for reason in why if reason != "ok"))
        notes.append(f"{len(values)} of {expected} seeds" + (f" ({reasons})" if reasons else ""))
    return notes


def mismatch(group: Rounds) -> bool:
    """Some round found that the row's own mode changes the answer."""
    values = [value for record in group.values() for value in record.values]
    return any("mismatch" in value.flags and not checked_mode(value.quantity.name) for value in values)


def wrong_when_trained(groups: Mapping[Key, Rounds]) -> dict[Key, str]:
    """(Variant, inference mode) -> how it changes the answers of trained weights, by the accuracy phase's records."""
    found: dict[Key, list[str]] = {}
    for (variant, _), group in groups.items():
        for value in (value for n in sorted(group) for value in group[n].values if "mismatch" in value.flags):
            if mode := checked_mode(value.quantity.name):
                number = "" if value.value is None else f" {value.value:.3g} {value.quantity.unit}"
                how = value.how or value.reason
                found.setdefault((variant, mode), []).append(
                    f"{value.quantity.name}{number}" + (f" ({how})" if how else "")
                )
    return {key: f"mismatch on trained weights: {'; '.join(dict.fromkeys(said))}" for key, said in found.items()}


def of_this_run(record: Record) -> bool:
    """Neither taken over from an earlier run nor standing for a training that nobody asked for."""
    untrained = record.job.phase == ACCURACY and record.status == "skipped" and not record.machine
    return not (record.origin or untrained)


def origins(group: Rounds) -> tuple[str, ...]:
    """A sentence for each earlier run that a row's records were taken over from."""
    seeds: dict[str, int] = {}
    for record in (group[n] for n in sorted(group) if group[n].origin):
        machine, day = record.machine.get("id") or "unknown", record.started.partition("T")[0] or "unknown"
        remarks = record.environment.get("remarks", ())
        said = "; ".join([f"trained in an earlier run: {record.origin}, machine {machine}, {day}", *remarks])
        seeds[said] = seeds.get(said, 0) + 1
    return tuple(said if n == len(group) else f"{said}: {n} of {len(group)} seeds" for said, n in seeds.items())


def _interval(quantity: Quantity, numbers: Sequence[float]) -> Interval:
    if averaged(quantity, numbers):
        return mean_interval(numbers)
    return Interval(min(numbers) if quantity.better == "higher" else max(numbers), None, None)


def _flag_order(values: Iterable[Value]) -> list[str]:
    flags = {flag for value in values for flag in value.flags}
    return [*(flag for flag in FLAGS if flag in flags), *sorted(flags - set(FLAGS))]


def _flag_notes(flags: Iterable[str], found: Mapping[int, Value]) -> list[str]:
    how = next((value.how for value in found.values() if value.how), "")
    notes = []
    for flag in flags:
        sentence = FLAGS.get(flag, "")
        detail = f" ({how})" if flag == "estimated" and how else ""
        notes.append(f"{flag}: {sentence}{detail}" if sentence else flag)
    return notes


def _round_notes(quantity: Quantity, values: Mapping[int, float], group: Rounds, expected: int) -> list[str]:
    if quantity.exact or (len(values) == expected and expected > 1):
        return []
    interval = ": no interval" if len(values) == 1 and averaged(quantity, values.values()) else ""
    if expected == 1:
        return [f"one round{interval}"] if interval else []
    absent = [record for n, record in sorted(group.items()) if n not in values]
    why = "; ".join(dict.fromkeys(_why_not_ok(record) for record in absent if record.status != "ok"))
    return [f"{len(values)} of {expected} rounds{interval}" + (f" ({why})" if why else "")]


def _why_missing(found: Iterable[Value], records: Iterable[Record]) -> str:
    """The value's own reason, else what became of the job."""
    own = [value.reason for value in found if value.value is None and value.reason]
    jobs = [_why_not_ok(record) for record in records if record.status != "ok"]
    return "; ".join(dict.fromkeys(own or jobs)) or f"{NOT_PLANNED}: this job's measures do not give this figure"


def _why_not_ok(record: Record) -> str:
    if not of_this_run(record):
        return record.reason
    return f"{record.status}: {record.reason}" if record.reason else record.status
