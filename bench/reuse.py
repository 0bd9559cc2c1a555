"""Accuracy is trained once and reused: an earlier record of the same protocol stands in for a training.

A run that trains takes over what it finds and trains the rest. A run that does not train shows what it finds of the
jobs of the suite's profile `accuracy`, and says of the rest what would train it. `fresh` trains everything anew.
"""

import shlex
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from bench import store
from bench.engines.local import portable
from bench.errors import StoreError
from bench.plan import measures_by_phase, plan, static_jobs
from bench.record import Job, Json, Record, digest, fingerprints
from bench.suite import Suite, load_suite
from bench.validate import validate

PROFILE = PHASE = "accuracy"
"""The phase that trains, and the profile whose protocol a run that does not train shows."""


@dataclass(frozen=True, slots=True)
class Asked:
    """How a run asks for accuracy.

    Attributes:
        results: where runs are kept.
        overrides: `timeout` and `data_paths` of load_suite.
        resumed: the run that is gone on with; its own records are not earlier ones.
    """

    results: Path
    fresh: bool = False
    overrides: Mapping[str, Any] = field(default_factory=dict)
    resumed: Path | None = None


@dataclass(frozen=True, slots=True)
class Reused:
    """What becomes of a run's accuracy besides its own jobs.

    Attributes:
        records: taken over, or skipped with the reason; they belong at the beginning of the run's file.
        jobs: trainings that the run does in addition to what its profile plans.
        networks: variant -> fingerprint of the network that `jobs` train, which may be of another size.
        budget: minutes for `jobs`.
        said: a line for the user, empty where there is nothing to say.
    """

    records: list[Record] = field(default_factory=list)
    jobs: list[Job] = field(default_factory=list)
    networks: dict[str, str] = field(default_factory=dict)
    budget: float | None = None
    said: str = ""


class Source(NamedTuple):
    """An earlier record and the file that it lies in."""

    path: Path
    record: Record


class Run(NamedTuple):
    """The run that wants accuracy: its suite and jobs, the networks as validated, and the machine's id."""

    suite: Suite
    jobs: Sequence[Job]
    networks: Mapping[str, str]
    machine: str

    @property
    def place(self) -> dict[str, Any]:
        """Where its jobs run, as `plan` and `validate` take it."""
        return {"device": self.jobs[0].device, "threads": self.jobs[0].threads}


def key(job: Job) -> str:
    """What a training's outcome hangs on: its protocol, network and seed, but no name, machine or timing protocol."""
    return _key(job, fingerprints(job).get(PHASE, {}))


def _key(job: Job, family: Json) -> str:
    scored = [job.metrics, job.train.get("flip_test", False)]
    return digest([family, job.arch, job.options, job.weights_hash, job.seed, scored])


def reuse(run: Run, asked: Asked) -> Reused:
    """What a run need not train, or does train although its profile does not.

    Raises:
        SuiteError: a network cannot be built in the accuracy profile.
    """
    if measures_by_phase(run.suite.measures).get(PHASE):
        return _of_a_training_run(run, asked)
    if PROFILE not in run.suite.profiles:
        return Reused()
    study = accuracy_profile(run.suite, asked.overrides)
    everything = [job for job in plan(study, **run.place) if job.phase == PHASE]
    names = [variant.name for variant in run.suite.variants]
    jobs = [job for job in everything if job.variant in names]
    if not jobs:
        return Reused()
    if asked.fresh:
        return Reused(jobs=jobs, networks=networks(run, study, names), budget=study.budget.get(PHASE))
    candidates = _candidates(jobs, run, asked)
    built = networks(run, study, {job.variant for job in jobs if job.id in candidates})
    found = _newest(candidates, jobs, built)
    cost = _minutes(run, asked, study.budget.get(PHASE, 0.0) / len(everything))
    records = [_taken_over(job, found[job.id]) for job in jobs if job.id in found]
    records += [_untrained(job, _advice(job, jobs, found, cost)) for job in jobs if job.id not in found]
    records += _left_out(run, jobs)
    return Reused(records=records, said=_said(jobs, found, "--profile accuracy or --fresh trains the others"))


def _of_a_training_run(run: Run, asked: Asked) -> Reused:
    jobs = [job for job in run.jobs if job.phase == PHASE]
    if asked.fresh:
        return Reused()
    found = _newest(_candidates(jobs, run, asked), jobs, run.networks)
    records = [_taken_over(job, found[job.id]) for job in jobs if job.id in found]
    return Reused(records=records, said=_said(jobs, found, "--fresh trains them again") if found else "")


def accuracy_profile(suite: Suite, overrides: Mapping[str, Any]) -> Suite:
    """The suite in its profile `accuracy`; data sets that are used elsewhere only may be among the paths."""
    paths = overrides.get("data_paths") or {}
    used = data_sets(suite) if paths else set()
    kept = {name: path for name, path in paths.items() if name in used}
    return load_suite(suite.path, PROFILE, timeout=overrides.get("timeout"), data_paths=kept)


def data_sets(suite: Suite) -> set[str]:
    """The data sets that the accuracy profile uses, where there is one."""
    if PROFILE not in suite.profiles:
        return set()
    return {variant.data["use"] for variant in load_suite(suite.path, PROFILE).variants}


def networks(run: Run, study: Suite, names: Iterable[str]) -> dict[str, str]:
    """Variant -> fingerprint in the accuracy profile; built where its images have another size than the run's."""
    known = {_built(job): run.networks.get(job.variant) for job in static_jobs(run.suite, **run.place)}
    wanted = {job.variant: known.get(_built(job)) for job in static_jobs(study, **run.place) if job.variant in names}
    unknown = [name for name, network in wanted.items() if network is None]
    built = validate(study.select(variants=unknown), **run.place) if unknown else {}
    return {name: network for name, network in (wanted | built).items() if network}


def _built(job: Job) -> str:
    """What a network's fingerprint hangs on."""
    return digest([job.variant, job.arch, job.options, job.weights_hash, job.data])


def _candidates(jobs: Iterable[Job], run: Run, asked: Asked) -> dict[str, list[Source]]:
    """Job's id -> the earlier trainings with its key, the newest first."""
    keys = {job.id: key(job) for job in jobs}
    wanted = set(keys.values())
    found: dict[str, list[Source]] = {}
    for path in _files(asked, run.suite):
        with suppress(StoreError):  # a torn or newer run must not stop this one
            for record in store.read(path).records:
                kept = _key(record.job, record.fingerprints.get(PHASE, {}))
                if record.status == "ok" and record.job.phase == PHASE and kept in wanted:
                    found.setdefault(kept, []).append(Source(path, record))
    for sources in found.values():
        sources.sort(key=lambda source: (source.record.started, source.path.stem), reverse=True)
    return {id_: found[kept] for id_, kept in keys.items() if kept in found}


def _files(asked: Asked, suite: Suite) -> list[Path]:
    """All runs of the results folder and of the checkout that the suite lies in."""
    folders = (asked.results, suite.root.parent / "results")
    files = {path.resolve(): path for folder in reversed(folders) for path in store.runs(folder)}
    return [path for real, path in files.items() if asked.resumed is None or real != asked.resumed.resolve()]


def _newest(
    candidates: Mapping[str, Sequence[Source]], jobs: Iterable[Job], built: Mapping[str, str]
) -> dict[str, Source]:
    """Job's id -> the newest candidate of the same network, as far as its network is known."""
    found = {}
    for job in jobs:
        ours = built.get(job.variant)
        for source in candidates.get(job.id, ()):
            theirs = source.record.environment.get("network")
            if not ours or not theirs or ours == theirs:
                found[job.id] = source
                break
    return found


def _taken_over(job: Job, source: Source) -> Record:
    """The record as an answer to this run's job: names and seed are the job's, what was found is the source's."""
    values = [msgspec.structs.replace(value, samples=[], details={}) for value in source.record.values]
    origin = source.record.origin or source.path.stem
    return msgspec.structs.replace(
        source.record, job=portable(job), id=job.id, values=values, origin=origin, log="", artefacts={}
    )


def _untrained(job: Job, reason: str) -> Record:
    """Stands for a training that nobody asked for; no machine has seen it."""
    return Record(job=portable(job), id=job.id, status="skipped", reason=reason, fingerprints=fingerprints(job))


def _left_out(run: Run, jobs: Sequence[Job]) -> list[Record]:
    """A record for each variant that the accuracy profile does not have."""
    trained = {job.variant for job in jobs}
    reason = "not trained: the profile accuracy leaves this variant out"
    absent = [variant for variant in run.suite.variants if variant.name not in trained]
    stand_ins = [
        msgspec.structs.replace(jobs[0], variant=v.name, arch=v.arch, options=v.options, weights_hash="")
        for v in absent
    ]
    return [msgspec.structs.replace(_untrained(job, reason), fingerprints={}) for job in stand_ins]


def _minutes(run: Run, asked: Asked, usual: float) -> dict[str, float]:
    """Cell -> minutes of a training here; `usual` where none was done, under the empty name."""
    earlier = store.seconds_of_jobs(asked.results, run.suite.name, run.machine)
    return {"": usual} | {cell: seconds / 60 for cell, seconds in earlier.items()}


def _advice(job: Job, jobs: Iterable[Job], found: Mapping[str, Source], cost: Mapping[str, float]) -> str:
    """What trains a job's variant, and how long that takes; all of its seeds that are missing."""
    missing = sum(other.variant == job.variant and other.id not in found for other in jobs)
    minutes = missing * cost.get(job.cell, cost[""])
    command = ["bench", "run", job.suite, "--profile", PROFILE, "--variant", job.variant]
    command += ["--device", job.device] if job.device != "cpu" else []
    length = f", in about {max(1, round(minutes))} min" if minutes else ""
    return f"not trained yet: {shlex.join(command)} trains it{length}"


def _said(jobs: Sequence[Job], found: Mapping[str, Source], rest: str) -> str:
    variants = {job.variant for job in jobs}
    missing = {job.variant for job in jobs if job.id not in found}
    files = sorted({str(source.path) for source in found.values()})
    where = f" ({files[-1]}{f' and {len(files) - 1} more' if files[1:] else ''})" if files else ""
    then = rest if missing else "--fresh trains them again"
    return f"accuracy: {len(variants - missing)} of {len(variants)} variants from earlier records{where}; {then}"
