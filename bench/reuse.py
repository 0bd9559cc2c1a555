"""Accuracy is trained once and reused: an earlier record of the same protocol stands in for a training.

A run that trains takes over what it finds and trains the rest. A run that does not train shows what it finds of the
jobs of the suite's profile `accuracy`, and says of the rest what would train it. `fresh` trains everything anew.
"""

import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from bench import store
from bench.engines.local import portable
from bench.errors import StoreError, SuiteError
from bench.plan import measures_by_phase, plan, static_jobs
from bench.record import Job, Record, digest, fingerprints
from bench.suite import Suite, load_suite
from bench.trainings import PHASE as PHASE
from bench.trainings import Source, matching, newest, taken_over, with_paces, without_files
from bench.validate import validate

PROFILE = "accuracy"
"""The profile whose protocol a run that does not train shows."""

RESULTS = Path("results")
"""Where runs are kept, if nobody says otherwise."""


@dataclass(frozen=True, slots=True)
class Asked:
    """How a run asks for accuracy.

    Attributes:
        results: where runs are kept.
        overrides: `timeout` and `data_paths` of load_suite.
        resumed: the run that is gone on with; its own records are not earlier ones.
        suite: the suite as it was typed, a path or a name; empty: its name.
    """

    results: Path
    fresh: bool = False
    overrides: Mapping[str, Any] = field(default_factory=dict)
    resumed: Path | None = None
    suite: str = ""


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
    if not everything:
        return Reused()
    reasons = _incomparable(run, everything)
    aside = [_untrained(job, reasons[job.id]) for job in everything if job.id in reasons]
    aside += _left_out(run, everything)
    names = {variant.name for variant in run.suite.variants}
    jobs = [job for job in everything if job.variant in names and job.id not in reasons]
    if not jobs:
        return Reused(records=aside)
    if asked.fresh:
        built = networks(run, study, {job.variant for job in jobs})
        return Reused(records=aside, jobs=jobs, networks=built, budget=study.budget.get(PHASE))
    found = _found(run, study, jobs, asked)
    cost = _minutes(run, asked, jobs, study.budget.get(PHASE, 0.0) / len(everything))
    records = [_taken_over(job, found[job.id]) for job in jobs if job.id in found]
    missing = [job for job in jobs if job.id not in found]
    records += [_untrained(job, _advice(job, missing, cost, asked)) for job in missing]
    said = _said(jobs, found, "--profile accuracy or --fresh trains the others")
    return Reused(records=records + aside, said=said)


def _of_a_training_run(run: Run, asked: Asked) -> Reused:
    jobs = [job for job in run.jobs if job.phase == PHASE]
    if asked.fresh:
        return Reused()
    found = newest(matching(jobs, _earlier(asked, run.suite)), jobs, run.networks)
    records = [_taken_over(job, found[job.id]) for job in jobs if job.id in found]
    return Reused(records=records, said=_said(jobs, found, "--fresh trains them again") if found else "")


def _found(run: Run, study: Suite, jobs: Sequence[Job], asked: Asked) -> dict[str, Source]:
    """Job's id -> the earlier training that answers it; networks are built only where there may be one."""
    candidates = matching(jobs, _earlier(asked, run.suite))
    names = {job.variant for job in jobs if job.id in candidates}
    absent = {job.variant for job in jobs if without_files(job)}
    built = networks(run, study, names - absent) | _by_shape(run, study, names & absent)
    return newest(candidates, jobs, built)


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
    return digest([job.variant, job.arch, job.options, *job.loaded, job.data])


def _by_shape(run: Run, study: Suite, names: Iterable[str]) -> dict[str, str]:
    """The same where the data are not here: random images of that size, since shapes are all that it hangs on.

    What cannot be built so has no fingerprint: it is not what is trained now.
    """
    made = [replace(v, data=v.data | {"use": "random", "options": {}}) for v in study.variants]
    with suppress(SuiteError):
        return networks(run, replace(study, variants=tuple(made), measures=()), names)
    return {}


def _earlier(asked: Asked, suite: Suite) -> Iterator[Source]:
    for path in _files(asked, suite):
        with suppress(StoreError):  # a torn or newer run must not stop this one
            yield from (Source(path, record) for record in store.read(path).records)


def _files(asked: Asked, suite: Suite) -> list[Path]:
    """All runs of the results folder and of the checkout that the suite lies in."""
    folders = (asked.results, suite.root.parent / "results")
    files = {path.resolve(): path for folder in reversed(folders) for path in store.runs(folder)}
    return [path for real, path in files.items() if asked.resumed is None or real != asked.resumed.resolve()]


def _taken_over(job: Job, source: Source) -> Record:
    return msgspec.structs.replace(taken_over(job, source), job=portable(job))


def _untrained(job: Job, reason: str) -> Record:
    """Stands for a training that nobody asked for; no machine has seen it."""
    return Record(job=portable(job), id=job.id, status="skipped", reason=reason, fingerprints=fingerprints(job))


def _left_out(run: Run, jobs: Sequence[Job]) -> list[Record]:
    """A record for each variant that the accuracy profile, whose jobs these are, does not have."""
    trained = {job.variant for job in jobs}
    reason = "not trained: the profile accuracy leaves this variant out"
    absent = [variant for variant in run.suite.variants if variant.name not in trained]
    stand_ins = [
        msgspec.structs.replace(jobs[0], variant=v.name, arch=v.arch, options=v.options, weights_hash="")
        for v in absent
    ]
    return [msgspec.structs.replace(_untrained(job, reason), fingerprints={}) for job in stand_ins]


def _incomparable(run: Run, jobs: Iterable[Job]) -> dict[str, str]:
    """Job's id -> why its accuracy would be that of another network than the run's of this name."""
    own = {job.variant: job for job in static_jobs(run.suite, **run.place)}
    compared = {job.id: dict(_differences(job, own[job.variant])) for job in jobs if job.variant in own}
    return {
        id_: f"not comparable: profile {PROFILE} trains it with other {' and '.join(found)} "
        f"({', '.join(found.values())})"
        for id_, found in compared.items()
        if found
    }


def _differences(trained: Job, own: Job) -> Iterator[tuple[str, str]]:
    """(What, how it differs), of the network that is trained and the run's own."""
    if trained.arch != own.arch:
        yield "code", f"{trained.arch or 'a module'} instead of {own.arch or 'a module'}"
    names = [name for name in trained.options | own.options if trained.options.get(name) != own.options.get(name)]
    if names:
        pairs = [(name, trained.options.get(name, "unset"), own.options.get(name, "unset")) for name in names]
        yield "options", ", ".join(f"{name} {theirs} instead of {ours}" for name, theirs, ours in pairs)
    if trained.weights_hash != own.weights_hash:
        yield "weights", f"{trained.weights_hash[:8] or 'none'} instead of {own.weights_hash[:8] or 'none'}"
    if trained.weights_without != own.weights_without:
        without = [", ".join(job.weights_without) or "none" for job in (trained, own)]
        yield "weights_without", f"{without[0]} instead of {without[1]}"


def _minutes(run: Run, asked: Asked, jobs: Iterable[Job], usual: float) -> dict[str, float]:
    """Job's id -> minutes of its training here; `usual` where none like it was done."""
    earlier = with_paces(store.seconds_of_jobs(asked.results, run.suite.name, run.machine), jobs)
    return {job.id: earlier[job.id] / 60 if job.id in earlier else usual for job in jobs}


def _advice(job: Job, missing: Iterable[Job], cost: Mapping[str, float], asked: Asked) -> str:
    """What trains a job's variant, and how long that takes; all of its seeds that are missing."""
    minutes = sum(cost[other.id] for other in missing if other.variant == job.variant)
    command = ["bench", "run", asked.suite or job.suite, "--profile", PROFILE, "--variant", job.variant]
    command += ["--device", job.device] if job.device != "cpu" else []
    use = job.data["use"]
    path = (asked.overrides.get("data_paths") or {}).get(use) or ("PATH" if without_files(job) else "")
    command += ["--data", f"{use}={path}"] if path else []
    command += ["--results", str(asked.results)] if asked.results != RESULTS else []
    length = f", in about {max(1, round(minutes))} min" if minutes else ""
    return f"not trained yet: {shlex.join(command)} trains it{length}"


def _said(jobs: Sequence[Job], found: Mapping[str, Source], rest: str) -> str:
    variants = {job.variant for job in jobs}
    missing = {job.variant for job in jobs if job.id not in found}
    files = sorted({str(source.path) for source in found.values()})
    where = f" ({files[-1]}{f' and {len(files) - 1} more' if files[1:] else ''})" if files else ""
    then = rest if missing else "--fresh trains them again"
    return f"accuracy: {len(variants - missing)} of {len(variants)} variants from earlier records{where}; {then}"
