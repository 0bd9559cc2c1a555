"""Earlier trainings: which of them answers a job of now, and what is taken over from it."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

import msgspec

from bench import plugins
from bench.record import Job, Json, Quantity, Record, Value, checked_mode, digest, fingerprints

PHASE = "accuracy"
"""The phase that trains."""

VERSION = "data.version"

UNCHECKED = "not checked on these weights: --fresh trains and checks it"


class Source(NamedTuple):
    """An earlier record and the file that it lies in."""

    path: Path
    record: Record

    @property
    def version(self) -> str:
        """Of its data; empty where they have none."""
        return str(self.record.fingerprints.get(PHASE, {}).get(VERSION, ""))


def key(job: Job, family: Json | None = None) -> str:
    """What a training's outcome hangs on: its protocol, network and seed, but no name, machine or timing protocol.

    Args:
        family: the protocol as a record has it, where the job is a record's.
    """
    kept = fingerprints(job).get(PHASE, {}) if family is None else family
    return digest([kept, job.arch, job.options, *job.loaded, job.seed])


def pace(job: Job, family: Json | None = None) -> str:
    """What a training's length on one machine hangs on: its protocol and network, on this kind of device."""
    return digest([key(msgspec.structs.replace(job, seed=0), family), _kind(job)])


def with_paces(earlier: Mapping[str, float], jobs: Iterable[Job]) -> dict[str, float]:
    """Seconds of earlier jobs, with the trainings among `jobs` by their own ids, as far as another seed was trained."""
    trained = {job.id: earlier.get(pace(job)) for job in jobs if job.phase == PHASE and job.id not in earlier}
    return dict(earlier) | {id_: seconds for id_, seconds in trained.items() if seconds is not None}


def without_files(job: Job) -> bool:
    """Its data are told apart by files that are not here, so that nobody knows which version they are."""
    file = plugins.path("dataset", job.data["use"])
    names = plugins.constant(file, "ANNOTATIONS") or plugins.constant(file, "FILES")
    return bool(names) and "version" not in job.data


def matching(jobs: Iterable[Job], earlier: Iterable[Source]) -> dict[str, list[Source]]:
    """Job's id -> the earlier trainings with its key, the newest first, of one training the original before copies.

    Where the files of a job's data are not here, whatever version of them was trained on.
    """
    keys = {job.id: (blind := without_files(job), _key(job, fingerprints(job), blind)) for job in jobs}
    wanted: dict[tuple[bool, str], list[Source]] = {known: [] for known in keys.values()}
    for source in earlier:
        record = source.record
        if record.status == "ok" and record.job.phase == PHASE:
            for blind in (False, True):
                wanted.get((blind, _key(record.job, record.fingerprints, blind)), []).append(source)
    for sources in wanted.values():
        sources.sort(key=lambda source: (source.record.started, not source.record.origin, source.path.stem))
        sources.reverse()
    return {id_: wanted[known] for id_, known in keys.items() if wanted[known]}


def _key(job: Job, families: Mapping[str, Json], blind: bool) -> str:
    family = families.get(PHASE, {})
    return key(job, {name: value for name, value in family.items() if not (blind and name == VERSION)})


def newest(
    candidates: Mapping[str, Sequence[Source]], jobs: Iterable[Job], built: Mapping[str, str]
) -> dict[str, Source]:
    """Job's id -> the newest candidate of the same network, as far as that is known; seeds are of the same data."""
    found: dict[str, Source] = {}
    versions: dict[str, str] = {}
    for job in jobs:
        ours = built.get(job.variant)
        for source in candidates.get(job.id, ()):
            theirs = source.record.environment.get("network")
            same = not ours or not theirs or ours == theirs
            if same and versions.setdefault(job.variant, source.version) == source.version:
                found[job.id] = source
                break
    return found


def taken_over(job: Job, source: Source) -> Record:
    """The record as an answer to a planned job: names and seed are the job's, what was found is the source's."""
    record = source.record
    values = [msgspec.structs.replace(value, samples=[], details={}) for value in _values(job, record)]
    environment = {name: fact for name, fact in record.environment.items() if name != "remarks"}
    if remarks := list(_remarks(job, record)):
        environment["remarks"] = remarks
    origin = record.origin or source.path.stem
    changed = {"values": values, "environment": environment, "origin": origin, "log": "", "artefacts": {}}
    return msgspec.structs.replace(record, job=job, id=job.id, **changed)


def code(job: Job) -> str:
    """Short hash of the file of a job's architecture and of the shared one beside it; empty for a function elsewhere.

    The network's fingerprint does not see everything: a dropout's rate, how weights begin, what only training runs.
    """
    files = _files(job)
    return sha256(b"".join(file.read_bytes() for file in files)).hexdigest()[:16] if files else ""


def _files(job: Job) -> list[Path]:
    file = Path(job.arch_file)
    return [one for one in (file, file.with_name("blocks.py")) if one.is_file()] if job.arch_file else []


def _remarks(job: Job, record: Record) -> Iterator[str]:
    """What must be said where the record is shown, besides where it is from."""
    before, now = record.environment.get("code"), code(job)
    if before and now and before != now:
        yield f"{' or '.join(f'{file.parent.name}/{file.name}' for file in _files(job))} has changed since"
    if without_files(job):
        yield f"data version not checked: the files are not here; give --data {job.data['use']}=PATH"


def _values(job: Job, record: Record) -> list[Value]:
    """What was found; of modes that are others here, or were checked on another kind of device, only the reason."""
    modes = {value.quantity: checked_mode(value.quantity.name) for value in record.values}
    here = _kind(record.job) == _kind(job)
    alike = {mode for mode, keys in job.checks.items() if here and record.job.checks.get(mode) == keys}
    kept = [value for value in record.values if modes[value.quantity] in {"", *alike}]
    checked = {modes[value.quantity] for value in kept}
    others = {quantity: mode for quantity, mode in modes.items() if mode}
    for mode in (mode for mode in job.checks if mode not in checked):
        absent = list({_renamed(*other, mode): None for other in others.items()}) or [_plain(mode, job)]
        kept += [Value(quantity=quantity, reason=UNCHECKED) for quantity in absent]
    return kept


def _renamed(quantity: Quantity, other: str, mode: str) -> Quantity:
    """What a check of a mode is called, as that of another mode is."""
    title = re.sub(rf"(?<!\S){re.escape(other)}(?=[\s,]|$)", lambda _: mode, quantity.title, count=1)
    return msgspec.structs.replace(quantity, name=f"{quantity.name.partition('.')[0]}.{mode}", title=title)


def _plain(mode: str, job: Job) -> Quantity:
    headline = str(plugins.constant(plugins.path("metric", job.metrics[0]), "HEADLINE"))
    name = f"{headline.partition('.')[0]}_change.{mode}"
    return Quantity(name=name, unit="%", better="higher", title=f"{headline}, {mode} against fp32")


def _kind(job: Job) -> str:
    """Of device: `cpu` or `cuda`."""
    return job.device.partition(":")[0]
