"""The records of a suite's runs, ready to be ranked: of each row the newest measurement that may stand beside the rest.

A row is a variant in a mode on one place, a device of one machine. Its times are of the newest run there that
follows the protocol of the place's newest measurement. Its accuracy and its counts are of any machine; accuracy of
the protocol that most variants were trained by, since a new one comes in variant by variant.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from bench.record import Header, Json, Record
from bench.store import Loaded
from bench.table.comparable import differences
from bench.table.merge import ACCURACY, Key, latest, of_this_run
from bench.table.study import Study, study

TIMED = ("infer", "train")
"""Phases whose figures belong to a place."""

Fields = Mapping[str, object]


class Place(NamedTuple):
    """Where times were taken: the machine's id and the kind of device."""

    machine: str
    device: str


@dataclass(frozen=True, slots=True)
class Sitting:
    """What one run measured in one place.

    Attributes:
        machine: its facts.
        phases: phase -> row -> round (seed) -> the attempt that counts.
    """

    header: Header
    place: Place
    machine: Json
    phases: Mapping[str, Mapping[Key, Mapping[int, Record]]]


@dataclass(frozen=True, slots=True)
class Source:
    """Where a row's figures of one phase come from.

    Attributes:
        rounds: round (seed) -> record.
        confounds: fields that differ from the place's protocol, as sentences; empty where it is the same.
        labels: declared factors that differ.
    """

    sitting: Sitting
    rounds: Mapping[int, Record]
    confounds: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()

    @property
    def date(self) -> str:
        """Of the newest record."""
        return max(record.started for record in self.rounds.values()).partition("T")[0]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All runs of a suite.

    Attributes:
        suite: as the newest run's header keeps it; variants, modes and the baseline that it lacks are those of the
            newest run that has them, since a run may be of one variant alone.
        sittings: newest first.
        other_networks: variants of which some records are of a network with other options, with the difference.
    """

    suite: Json
    study: Study
    sittings: tuple[Sitting, ...]
    other_networks: Mapping[str, str]

    @property
    def places(self) -> list[Place]:
        """Those with times: GPUs first, then by the machine's id."""
        timed = {s.place for s in self.sittings if any(s.phases.get(phase) for phase in TIMED)}
        return sorted(timed, key=lambda place: (place.device == "cpu", place))


def snapshot(runs: Iterable[Loaded], profile: str = "") -> Snapshot:
    """The runs of a suite, in any order; `profile` leaves out what others have timed."""
    newest = sorted(runs, key=lambda run: run.header.run, reverse=True)
    suite = _merged([run.header.suite for run in newest])
    other: dict[str, str] = {}
    found = [sitting for run in newest for sitting in _sittings(run, suite, other, profile)]
    records = [
        record for s in found for rows in s.phases.values() for rounds in rows.values() for record in rounds.values()
    ]
    return Snapshot(suite, study(suite, records), tuple(found), other)


def _merged(suites: Sequence[Json]) -> Json:
    """One suite of the headers of several runs, newest first."""
    variants: dict[str, Json] = {}
    modes: Json = {}
    for suite in suites:
        for entry in suite.get("variants") or []:
            variants.setdefault(entry["name"], entry)
        modes = {**modes, **{name: mode for name, mode in (suite.get("modes") or {}).items() if name not in modes}}
    # Runs of one variant come and go: the order is that of the newest run with the most variants.
    widest = max(suites, key=lambda suite: len(suite.get("variants") or []), default={})
    order = [entry["name"] for entry in widest.get("variants") or []]
    baseline = next((suite["baseline"] for suite in suites if suite.get("baseline")), "")
    entries = [variants[name] for name in [*order, *(name for name in variants if name not in order)]]
    return {**(suites[0] if suites else {}), "variants": entries, "modes": modes, "baseline": baseline}


def _sittings(run: Loaded, suite: Json, other: dict[str, str], profile: str) -> Iterator[Sitting]:
    """A run by place, without records of networks that the suite no longer means by their name."""
    entries = {entry["name"]: entry for entry in suite["variants"]}
    places: dict[Place, list[Record]] = {}
    for record in run.records:
        if not of_this_run(record) and not record.origin:
            continue  # it stands for a training that nobody asked for
        if profile and run.header.profile != profile and record.job.phase in TIMED:
            continue
        if difference := _other_network(record, entries.get(record.job.variant)):
            other[record.job.variant] = difference
            continue
        place = Place(str(record.machine.get("id", "")), record.job.device.partition(":")[0])
        places.setdefault(place, []).append(record)
    for place, records in sorted(places.items()):
        machine = next(record.machine for record in records)
        yield Sitting(run.header, place, machine, latest(records))


def _other_network(record: Record, entry: Json | None) -> str:
    """How the network that was measured differs from what the suite calls so; empty: it does not."""
    if entry is None or "arch" not in entry:
        return ""
    now = {"arch": entry["arch"], **{f"options.{k}": v for k, v in (entry.get("options") or {}).items()}}
    then = {"arch": record.job.arch, **{f"options.{k}": v for k, v in record.job.options.items()}}
    return ", ".join(differences(then, now).values())


def sources(found: Sequence[Sitting], phase: str, about: Study) -> dict[Key, Source]:
    """Row -> its newest measurement by the protocol of the newest of all, else its newest by another protocol."""
    chief: Fields | None = None
    result: dict[Key, Source] = {}
    for sitting in found:
        rows = sitting.phases.get(phase, {})
        for key in sorted(rows, key=lambda key: (key[0] != about.baseline, about.rank(*key))):
            own = protocol(rows[key], phase)
            chief = own if chief is None else chief
            confounds, labels = compared(own, chief, about)
            if key not in result or (result[key].confounds and not confounds):
                result[key] = Source(sitting, rows[key], confounds, labels)
    return result


def protocol(rounds: Mapping[int, Record], phase: str) -> Fields:
    """What determines the figures of a phase, besides the network and the mode."""
    found = rounds[min(rounds)].fingerprints.get(phase) or {}
    return {name: value for name, value in found.items() if name != "mode"}


def compared(own: Fields, chief: Fields, about: Study) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """How two protocols differ: in fields that must be alike, and in factors that the study varies on purpose."""
    differing = differences(dict(own), dict(chief))
    if "train.recipe" in differing:  # its name says it
        differing = {name: how for name, how in differing.items() if not name.startswith("train.recipe.")}
    confounds = tuple(how for name, how in differing.items() if not about.is_factor(name))
    return confounds, tuple(how for name, how in differing.items() if about.is_factor(name))


def trained(snapshot: Snapshot) -> tuple[dict[Key, Source], dict[str, str]]:
    """(Row -> its seeds by the protocol that most variants share, variant -> why it has none).

    Of protocols that as many variants have, the newest counts. Seeds may be of several runs.
    """
    about = snapshot.study
    pools: list[tuple[Fields, dict[Key, list[Source]]]] = []
    for sitting in snapshot.sittings:
        for key, seeds in sitting.phases.get(ACCURACY, {}).items():
            ok = {seed: record for seed, record in seeds.items() if record.status == "ok"}
            own = protocol(seeds, ACCURACY)
            pool = next((rows for chief, rows in pools if not compared(own, chief, about)[0]), None)
            if pool is None:
                pool = {}
                pools.append((own, pool))
            pool.setdefault(key, []).append(Source(sitting, ok or seeds))
    pools.sort(key=lambda pool: -len({key[0] for key in pool[1]}))  # stable: newest first among equals
    if not pools:
        return {}, {}
    chief, rows = pools[0]
    base = next((found for key, found in rows.items() if key[0] == about.baseline), next(iter(rows.values())))
    usual = protocol(base[0].rounds, ACCURACY)
    result = {key: _pooled(found, usual, about) for key, found in rows.items()}
    names = {key[0] for key in result}
    reasons: dict[str, str] = {}
    for own, others in pools[1:]:
        said = f"trained by another protocol: {', '.join(compared(own, chief, about)[0])}"
        reasons |= {key[0]: said for key in others if key[0] not in names and key[0] not in reasons}
    return result, reasons


def _pooled(found: Sequence[Source], usual: Fields, about: Study) -> Source:
    """All seeds that were trained exactly as the newest ones; of the same seed the newest."""
    newest = found[0]
    own = protocol(newest.rounds, ACCURACY)
    alike = [source for source in found if protocol(source.rounds, ACCURACY) == own]
    seeds = {seed: record for source in reversed(alike) for seed, record in source.rounds.items()}
    return Source(newest.sitting, dict(sorted(seeds.items())), labels=compared(own, usual, about)[1])


def planned(sitting: Sitting, phase: str, key: Key) -> int:
    """How many rounds the run was to make of a row."""
    entries: list[Json] = sitting.header.suite.get("variants") or []
    entry = next((entry for entry in entries if entry.get("name") == key[0]), {})
    table = entry.get(phase) or {}
    return int(table.get("rounds") or sitting.header.suite.get("rounds") or 1)


def declared(sitting: Sitting) -> list[Key]:
    """The rows that a run was to measure for inference."""
    suite = sitting.header.suite
    names = [entry["name"] for entry in suite.get("variants") or []]
    return [(name, mode) for name in names for mode in suite.get("modes") or {}] if sitting.phases.get("infer") else []
