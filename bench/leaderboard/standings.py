"""The records of a suite's runs, ready to be ranked: of each row the newest measurement that may stand beside the rest.

A row is a variant in a mode on one place, a device of one machine. Its times are of the newest run there that
follows the protocol of the place's newest measurement. Its accuracy and its counts are of any machine; accuracy of
the protocol that most variants were trained by, since a new one comes in variant by variant. A measurement that may
not be ranked does not displace an older one that may.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import isfinite
from typing import Any, NamedTuple

from bench.leaderboard.eligibility import SPOILING, Failure, failures
from bench.record import FLAGS, Header, Json, Record, Value
from bench.store import Loaded
from bench.table.comparable import differences
from bench.table.merge import ACCURACY, Key, latest, mismatch, of_this_run
from bench.table.study import Study, study

TIMED = ("infer", "train")
"""Phases whose figures belong to a place."""

USUAL = {"infer": "latency", "train": "train_epoch"}
"""Phase -> the quantity by which its figures are judged, unless another one of the phase ranks."""

WHAT = {"static": "counts", "infer": "times", "train": "training times", ACCURACY: "accuracy"}

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
        passed: sentences about newer attempts that are not shown.
    """

    sitting: Sitting
    rounds: Mapping[int, Record]
    confounds: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    passed: tuple[str, ...] = ()

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
    suite = merged([run.header.suite for run in newest])
    other: dict[str, str] = {}
    found = [sitting for run in newest for sitting in _sittings(run, suite, other, profile)]
    records = [
        record for s in found for rows in s.phases.values() for rounds in rows.values() for record in rounds.values()
    ]
    return Snapshot(suite, study(suite, records), tuple(found), other)


def merged(suites: Sequence[Json]) -> Json:
    """One suite of the headers of several runs, newest first."""
    variants: dict[str, Json] = {}
    modes: Json = {}
    for suite in suites:
        for entry in suite.get("variants") or []:
            variants.setdefault(entry["name"], entry)
        modes = {**(suite.get("modes") or {}), **modes}
    # Runs of one variant or mode come and go: the order is that of the newest run with the most of them.
    order = dict.fromkeys([*(entry["name"] for entry in _widest(suites, "variants")), *variants])
    first = dict.fromkeys([*_widest(suites, "modes"), *modes])
    return {
        **(suites[0] if suites else {}),
        "variants": [variants[name] for name in order],
        "modes": {name: modes[name] for name in first},
        "baseline": next((suite["baseline"] for suite in suites if suite.get("baseline")), ""),
    }


def _widest(suites: Iterable[Json], key: str) -> Any:
    """The longest list or table of a name, of the newest suite that has it."""
    return max((suite.get(key) or () for suite in suites), key=len, default=())


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
    if (record.job.arch, record.job.options) == (entry["arch"], entry.get("options") or {}):
        return ""
    now = {"arch": entry["arch"], **{f"options.{k}": v for k, v in (entry.get("options") or {}).items()}}
    then = {"arch": record.job.arch, **{f"options.{k}": v for k, v in record.job.options.items()}}
    return ", ".join(differences(then, now).values())


def sources(found: Sequence[Sitting], phase: str, about: Study, by: str = "") -> dict[Key, Source]:
    """Row -> its newest figures that may be ranked, by the protocol of the newest such figures of all.

    Where a row has none, those that break the fewest rules, in that protocol if there are any.

    Args:
        found: newest first.
        by: the quantity that ranks; of another phase, the phase's usual one decides.
    """
    keys = {key for sitting in found for key in sitting.phases.get(phase, {})}
    order = sorted(keys, key=lambda key: (key[0] != about.baseline, about.rank(*key)))
    attempts = [(k, Source(s, s.phases[phase][k])) for s in found for k in order if k in s.phases.get(phase, {})]
    name = _judged_by(found, phase, by)

    def broken(source: Source, key: Key) -> list[Failure]:
        return list(failures(*facts(source, phase, key, name)))

    sound = (source for key, source in attempts if not broken(source, key))
    usual = next(sound, attempts[0][1] if attempts else None)
    chief = protocol(usual.rounds, phase) if usual else {}
    tried: dict[Key, list[tuple[Source, list[Failure]]]] = {}
    for key, attempt in attempts:
        newer = tried.setdefault(key, [])
        if not newer or newer[-1][1]:
            own = Source(attempt.sitting, attempt.rounds, *compared(protocol(attempt.rounds, phase), chief, about))
            # That answers are wrong must be seen, however few rounds have told it.
            grave = ("other_protocol", "uncommitted") if mismatch(own.rounds) else ()
            newer.append((own, [one for one in broken(own, key) if not grave or one.rule.fact in grave]))
    return {key: _best(tried[key], phase) for key in order}


def _best(tried: Sequence[tuple[Source, list[Failure]]], phase: str) -> Source:
    """Of attempts, the newest first, the one that lacks least, with those that are newer named."""
    best, _ = min(tried, key=lambda pair: (bool(pair[0].confounds), len(pair[1])))
    newer = [(source, why[0]) for source, why in tried if source.sitting.header.run > best.sitting.header.run]
    passed = [_passed(s, phase, why.said if why.rule.fact == "measured" else why.text) for s, why in newer]
    return replace(best, passed=tuple(passed))


def _judged_by(found: Iterable[Sitting], phase: str, by: str) -> str:
    """The quantity whose rounds must be complete; empty, any one: where neither this phase nor its records have it."""
    rows = (rounds for sitting in found for rounds in sitting.phases.get(phase, {}).values())
    known = {v.quantity.name for rounds in rows for r in rounds.values() for v in r.values if v.value is not None}
    return next((name for name in (by, USUAL.get(phase, "")) if name in known), "")


def _passed(source: Source, phase: str, why: str) -> str:
    return f"newer {WHAT[phase]} of run {source.sitting.header.run}, not shown: {why}"


def facts(source: Source, phase: str, key: Key, name: str) -> tuple[dict[str, float], dict[str, str]]:
    """What the rules look at of one run's figures of a quantity (empty: of any), and what is known of it."""
    values = {number: value for number, record in source.rounds.items() if (value := _figure(record, name))}
    header = source.sitting.header
    spoilt = [flag for flag in SPOILING if any(flag in value.flags for value in values.values())]
    bad = [_outcome(source.rounds[n], name) for n in sorted(source.rounds) if n not in values]
    said = {
        "measured": "; ".join(dict.fromkeys(bad)),
        "other_protocol": ", ".join(source.confounds),
        "uncommitted": f"run {header.run}",
        "spoilt": "; ".join(f"{flag}: {FLAGS[flag]}" for flag in spoilt),
    }
    known: dict[str, float] = {
        "measured": bool(values),
        "other_protocol": len(source.confounds),
        "uncommitted": bool(header.source.get("dirty")),
        "spoilt": len(spoilt),
    }
    if phase in TIMED:
        expected = planned(header, phase, key)
        known |= {"absent": expected - len(values), "rounds": len(values)}
        said["absent"] = "; ".join([f"{len(values)} of {expected} rounds", *dict.fromkeys(bad)])
        said["rounds"] = f"it has {len(values)}"
    return known, said


def _figure(record: Record, name: str) -> Value | None:
    """The value of a quantity, or of any, where it is a number."""
    named = (value for value in record.values if value.quantity.name == name or not name)
    return next((value for value in named if value.value is not None and isfinite(value.value)), None)


def _outcome(record: Record, name: str = "") -> str:
    """What became of a job that gave no figure."""
    if record.status == "ok":
        return next((value.reason for value in record.values if value.quantity.name == name), "") or "not a number"
    return f"{record.status}: {record.reason}" if record.reason else record.status


def protocol(rounds: Mapping[int, Record], phase: str) -> Fields:
    """What determines the figures of a phase, besides the network and the mode."""
    found = rounds[min(rounds)].fingerprints.get(phase) or {}
    return {name: value for name, value in found.items() if name != "mode"}


def compared(own: Fields, chief: Fields, about: Study) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """How two protocols differ: in fields that must be alike, and in factors that the study varies on purpose."""
    if own == chief:
        return (), ()
    differing = differences(dict(own), dict(chief))
    if "train.recipe" in differing:  # its name says it
        differing = {name: how for name, how in differing.items() if not name.startswith("train.recipe.")}
    confounds = tuple(how for name, how in differing.items() if not about.is_factor(name))
    return confounds, tuple(how for name, how in differing.items() if about.is_factor(name))


def trained(snapshot: Snapshot) -> tuple[dict[Key, Source], dict[str, str]]:
    """(Row -> its seeds by the protocol that most variants share, variant -> why it has none).

    Of protocols that as many variants have, the newest counts. Seeds may be of several runs. Those that failed stand
    for a variant that was never trained, and are named beside one that was.
    """
    about = snapshot.study
    pools: list[tuple[Fields, dict[Key, list[Source]]]] = []
    failed: dict[Key, list[Source]] = {}
    for sitting in snapshot.sittings:
        for key, seeds in sitting.phases.get(ACCURACY, {}).items():
            ok = {seed: record for seed, record in seeds.items() if record.status == "ok"}
            if len(ok) < len(seeds):
                bad = {seed: record for seed, record in seeds.items() if seed not in ok}
                failed.setdefault(key, []).append(Source(sitting, bad))
            if not ok:
                continue
            own = protocol(ok, ACCURACY)
            pool = next((rows for chief, rows in pools if not compared(own, chief, about)[0]), None)
            if pool is None:
                pool = {}
                pools.append((own, pool))
            pool.setdefault(key, []).append(Source(sitting, ok))
    pools.sort(key=lambda pool: -len({key[0] for key in pool[1]}))  # stable: newest first among equals
    result: dict[Key, Source] = {}
    reasons: dict[str, str] = {}
    if pools:
        chief, rows = pools[0]
        base = next((found for key, found in rows.items() if key[0] == about.baseline), next(iter(rows.values())))
        usual = protocol(base[0].rounds, ACCURACY)
        result = {key: _pooled(found, failed.get(key, ()), usual, about) for key, found in rows.items()}
    named = {key[0] for key in result}
    for own, others in pools[1:]:
        said = f"trained by another protocol: {', '.join(compared(own, chief, about)[0])}"
        reasons |= {key[0]: said for key in others if key[0] not in named and key[0] not in reasons}
    result |= {key: found[0] for key, found in failed.items() if key[0] not in named and key[0] not in reasons}
    return result, reasons


def _pooled(found: Sequence[Source], failed: Iterable[Source], usual: Fields, about: Study) -> Source:
    """All seeds that were trained exactly as the newest ones; of the same seed the newest."""
    newest = found[0]
    own = protocol(newest.rounds, ACCURACY)
    alike = [source for source in found if protocol(source.rounds, ACCURACY) == own]
    seeds = {seed: record for source in reversed(alike) for seed, record in source.rounds.items()}
    passed = []
    for source in (one for one in failed if one.sitting.header.run >= newest.sitting.header.run):
        why = dict.fromkeys(_outcome(source.rounds[seed]) for seed in sorted(source.rounds))
        passed.append(_passed(source, ACCURACY, "; ".join(why)))
    labels = compared(own, usual, about)[1]
    return Source(newest.sitting, dict(sorted(seeds.items())), labels=labels, passed=tuple(passed))


def planned(header: Header, phase: str, key: Key) -> int:
    """How many rounds a run was to make of a row."""
    entries: list[Json] = header.suite.get("variants") or []
    entry = next((entry for entry in entries if entry.get("name") == key[0]), {})
    table = entry.get(phase) or {}
    return int(table.get("rounds") or header.suite.get("rounds") or 1)


def declared(sitting: Sitting) -> list[Key]:
    """The rows that a run was to measure for inference."""
    suite = sitting.header.suite
    names = [entry["name"] for entry in suite.get("variants") or []]
    return [(name, mode) for name in names for mode in suite.get("modes") or {}] if sitting.phases.get("infer") else []
