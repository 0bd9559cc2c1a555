"""Suite -> what is left to do: planned, every network built once, and what was trained before taken from there."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import msgspec

from bench import host, reuse, store
from bench.errors import NotComparable, UsageError
from bench.plan import plan
from bench.record import Header, Job, Record
from bench.suite import Suite
from bench.validate import validate


@dataclass(frozen=True, slots=True)
class Prepared:
    """A suite that is ready to be measured: planned, and every network built once on the meta device.

    Attributes:
        jobs: what there is to do.
        networks: variant -> fingerprint of its network, kept in every record.
        reused: records that stand in for accuracy jobs; they come first in the run's file.
        trained: variant -> fingerprint of the network that is trained, where its images have another size.
        absent: variant -> why it is not available here; its jobs are skipped.
        fresh: accuracy is trained whatever was trained before.
        said: what a person is told of the accuracy.
    """

    suite: Suite
    jobs: list[Job]
    machine: dict[str, Any]
    networks: dict[str, str]
    reused: list[Record] = field(default_factory=list)
    trained: dict[str, str] = field(default_factory=dict)
    absent: dict[str, str] = field(default_factory=dict)
    fresh: bool = False
    said: str = ""

    def network(self, job: Job) -> str:
        """Fingerprint of a job's network; empty where it was not built."""
        own = self.trained if job.phase == reuse.PHASE else {}
        return own.get(job.variant) or self.networks.get(job.variant, "")

    @property
    def wanted(self) -> set[str]:
        """Ids of the jobs that must have a record; not those that only another profile trains."""
        return {job.id for job in self.jobs} | {record.id for record in self.reused if record.status == "ok"}


def prepare(suite: Suite, device: str, accuracy: reuse.Asked | None = None) -> Prepared:
    """Plan and validate, and take what was trained earlier from where `accuracy` says.

    Raises:
        UsageError: there is nothing to measure, too much, or a network cannot be built; nothing was written.
    """
    machine = host.machine()
    jobs = plan(suite, device=device, threads=machine["threads"])
    if not jobs:
        raise UsageError(
            f"{suite.name}: nothing to measure with these modes and measures; see: bench show {suite.name}"
        )
    absent: dict[str, str] = {}
    networks = validate(suite, device=device, threads=machine["threads"], absent=absent)
    if accuracy is None:
        return Prepared(suite, jobs, machine, networks, absent=absent)
    found = reuse.reuse(reuse.Run(suite, jobs, networks, str(machine["id"])), accuracy)
    if found.budget is not None:
        suite = replace(suite, budget=suite.budget | {reuse.PHASE: found.budget})
    had = {record.id for record in found.records}
    return Prepared(
        suite,
        [job for job in jobs if job.id not in had] + found.jobs,
        machine,
        networks,
        reused=[_with_reason(record, absent) for record in found.records],
        trained=found.networks,
        absent=absent,
        fresh=accuracy.fresh,
        said=found.said,
    )


def _with_reason(record: Record, absent: Mapping[str, str]) -> Record:
    """A training that nobody asked for cannot be made up for where its network is not available."""
    if record.status != "skipped" or record.job.variant not in absent:
        return record
    return msgspec.structs.replace(record, reason=absent[record.job.variant])


def jobs_left(prepared: Prepared, earlier: store.Loaded, now: Header, *, force: bool) -> list[Job]:
    """The jobs that are not yet ok in an earlier run.

    Raises:
        NotComparable: the machine or the code differs, and `force` is not given or the networks differ as well;
            or it was planned with other options.
    """
    before = earlier.header
    done = {r.id for r in earlier.records if r.status == "ok" and not (prepared.fresh and r.origin)}
    differs = [
        what
        for what, old, new in (
            ("machine", before.machine.get("id"), now.machine.get("id")),
            ("commit", before.source.get("commit"), now.source.get("commit")),
            ("uncommitted changes", before.source.get("dirty"), now.source.get("dirty")),
        )
        if old != new
    ]
    if differs and not force:
        raise NotComparable(f"{earlier.path}: {', '.join(differs)} changed since; start a new run, or add --force")
    planned = {job.id for job in prepared.jobs} | {record.id for record in prepared.reused}
    if {r.id for r in earlier.records if r.id in done and not r.origin} - planned:
        raise NotComparable(
            f"{earlier.path}: it was planned with other options (profile, protocol, seed or device); "
            "give the same ones, or start a new run"
        )
    changed = _changed_networks(prepared, [record for record in earlier.records if not record.origin])
    if changed:
        raise NotComparable(f"{earlier.path}: the network of {', '.join(changed)} changed since; start a new run")
    return [job for job in prepared.jobs if job.id not in done]


def _changed_networks(prepared: Prepared, records: Sequence[Record]) -> list[str]:
    """The variants whose network is not what the records say it was."""
    stored = [(r.job.variant, r.environment.get("network"), prepared.network(r.job)) for r in records]
    return list(dict.fromkeys(variant for variant, old, new in stored if old and new and old != new))
