"""The straight line: suite -> plan -> validate -> execute -> store, and the same from Python."""

import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from bench import host, ladder, own, reuse, stats, store
from bench.engines import local
from bench.errors import Exit, UsageError
from bench.ladder.combinations import SHORT, chosen, combinations, with_ladder
from bench.plan import expected_seconds
from bench.ready import Prepared as Prepared
from bench.ready import jobs_left as jobs_left
from bench.ready import prepare as prepare
from bench.record import Header, Job, Record, Value, checked_mode, fingerprints
from bench.suite import ModeConfig, Suite, Variant, load_suite, profile_names
from bench.trainings import code, with_paces

if TYPE_CHECKING:
    import pandas

BAD = ("failed", "oom", "timeout", "crashed")

HEADLINE = {"static": "params", "infer": "latency", "train": "train_step", "accuracy": "pckh.total"}
"""The quantity of each phase that the progress line shows."""


@dataclass(frozen=True, slots=True)
class Choice:
    """Where and in which profile a suite runs, and why."""

    profile: str
    device: str
    why: str


@dataclass(frozen=True, slots=True)
class Progress:
    """What is known after a record: how far the run is, and the figure of its cell over the rounds so far.

    Attributes:
        left: seconds that the remaining jobs will take, by what the finished ones took.
    """

    record: Record
    done: int
    total: int
    left: float
    quantity: str = ""
    unit: str = ""
    interval: stats.Interval | None = None


Tell = Callable[[Progress], None]
Stop = Callable[[], bool]
LeaveOut = Callable[[Job], bool]


def choose(suite: str | Path, profile: str | None, device: str | None) -> Choice:
    """The profile and the device: what was asked for, else `gpu` on CUDA where there is one, else `quick`.

    Of the profiles that are asked for, `quick` alone stays on the CPU where there is a CUDA device.

    Raises:
        UsageError: there is no such device here.
    """
    cuda, found = host.has_cuda()
    wants_cuda = device.startswith("cuda") if device else profile == "gpu" or (cuda and profile != "quick")
    where = device or ("cuda" if wants_cuda else "cpu")
    check_device(where)
    known = profile_names(suite)
    if profile is not None:
        return Choice(profile, where, "as asked")
    wanted = "gpu" if wants_cuda else "quick"
    if wanted in known:
        return Choice(wanted, where, found if device is None else f"--device {device}")
    return Choice("", where, "as written: the suite has no profile '" + wanted + "'" if known else "as written")


def check_device(device: str) -> None:
    """Raise UsageError for what is no device, or none that is here, before a worker is started."""
    name, colon, index = device.partition(":")
    if name not in ("cpu", "cuda") or (colon and not (name == "cuda" and index.isdecimal())):
        raise UsageError(f"device {device}: unknown; write cpu, cuda or cuda:N")
    here, found = host.has_cuda() if name == "cuda" else (True, "")
    if not here:
        raise UsageError(f"device {device}: {found}; use cpu")


def header_of(suite: Suite, name: str, machine: Mapping[str, Any], command: Sequence[str] = ()) -> Header:
    """The first line of a run's file."""
    return Header(
        run=name,
        suite=suite.plain(),
        profile=suite.profile,
        seed=suite.seed,
        machine=dict(machine),
        source=host.source(suite.root),
        started=datetime.now(UTC).isoformat(timespec="seconds"),
        command=list(command),
    )


def execute(  # noqa: PLR0913 - three of them are optional
    prepared: Prepared,
    jobs: Sequence[Job],
    run: store.Run,
    *,
    tell: Tell | None = None,
    stop: Stop = lambda: False,
    leave_out: LeaveOut = lambda _: False,
) -> None:
    """Run the jobs one by one; each record is on disk before the next job starts.

    Args:
        jobs: those of `prepared`, or what is left of them.
        tell: called after each record.
        stop: asked before each job; True ends the run, which can be resumed.
        leave_out: asked before each job; True goes on to the next one.
    """
    _put_first(prepared.reused, run)
    suite, machine = prepared.suite, prepared.machine
    earlier = store.seconds_of_jobs(run.path.parent.parent, suite.name, str(machine["id"]))
    each = expected_seconds(jobs, with_paces(earlier, jobs))
    expected = [0.0 if job.variant in prepared.absent else seconds for job, seconds in zip(jobs, each, strict=True)]
    figures: dict[str, list[float]] = {}
    spent: dict[str, float] = {}
    for i, job in enumerate(jobs):
        if stop():
            return
        if leave_out(job):
            continue
        facts = {"network": prepared.network(job)} | ({"code": text} if (text := code(job)) else {})
        job = msgspec.structs.replace(job, artefacts=str(run.artefacts))
        reason = prepared.absent.get(job.variant)
        for record in [_skipped(job, reason)] if reason else _within_budget(suite, job, spent):
            environment = record.environment | facts
            record = msgspec.structs.replace(record, machine=machine, environment=environment)
            store.append(run, record)
            spent[job.phase] = spent.get(job.phase, 0.0) + record.seconds
            if tell:
                share = sum(spent.values()) / max(1e-9, sum(expected[: i + 1]))
                tell(_progress(record, i + 1, len(jobs), sum(expected[i + 1 :]) * share, figures))


def _put_first(reused: Sequence[Record], run: store.Run) -> None:
    """Records that were taken over go before the first job; a run that goes on has most of them already."""
    known = store.read(run.path).records if reused else []
    every, ok = {record.id for record in known}, {record.id for record in known if record.status == "ok"}
    for record in reused:
        if record.id not in (ok if record.status == "ok" else every):
            store.append(run, record)


def _within_budget(suite: Suite, job: Job, spent: Mapping[str, float]) -> Iterator[Record]:
    """The records of a job; a skipped one where its phase has used up its minutes."""
    minutes = suite.budget.get(job.phase)
    if minutes is not None and spent.get(job.phase, 0.0) > 60 * minutes:
        yield _skipped(
            job, f"the budget of {minutes:g} min for {job.phase} (budget.{job.phase}) is spent; --resume goes on"
        )
        return
    yield from local.execute([job])


def _skipped(job: Job, reason: str) -> Record:
    """The record of a job for which no worker is started."""
    return Record(job=local.portable(job), id=job.id, status="skipped", reason=reason, fingerprints=fingerprints(job))


def _progress(record: Record, done: int, total: int, left: float, figures: dict[str, list[float]]) -> Progress:
    value = _headline(record)
    if value is None or value.value is None:
        return Progress(record, done, total, left)
    so_far = figures.setdefault(record.job.cell, [])
    so_far.append(float(value.value))
    mean = stats.arithmetic_interval if record.job.phase == "accuracy" else stats.mean_interval
    return Progress(record, done, total, left, value.quantity.name, value.quantity.unit, mean(so_far))


def _headline(record: Record) -> Value | None:
    """The value that stands for the record: its phase's own, else the first that has a number."""
    with_number = [value for value in record.values if value.value]
    name = HEADLINE.get(record.job.phase)
    return next((v for v in with_number if v.quantity.name == name), with_number[0] if with_number else None)


def exit_code(suite: Mapping[str, Any], records: Sequence[Record], planned: int) -> Exit:
    """FAILED where a job failed or a mode changed the answer, NOT_MEASURED where something declared is missing.

    What is marked optional, as a mode or a variant, does not count.
    """
    last = {record.id: record for record in records}
    variants = {variant["name"]: variant.get("optional", False) for variant in suite.get("variants", [])}
    modes = {name: mode.get("optional", False) for name, mode in suite.get("modes", {}).items()}
    counted = [r for r in last.values() if not (variants.get(r.job.variant) or modes.get(r.job.mode))]
    spared = {name for name, optional in modes.items() if optional}
    if any(r.status in BAD or _mismatches(r, spared) for r in counted):
        return Exit.FAILED
    if any(r.status == "skipped" for r in counted) or len(last) < planned:
        return Exit.NOT_MEASURED
    return Exit.FINE


def _mismatches(record: Record, spared: Collection[str]) -> bool:
    """A mode changed the answer; what the accuracy phase finds of other modes counts for these."""
    wrong = [value.quantity.name for value in record.values if "mismatch" in value.flags]
    return any(checked_mode(name) not in spared for name in wrong)


def run(  # noqa: PLR0913 - a public call; all but one are optional keywords
    suite: str | Path,
    *,
    profile: str | None = None,
    device: str | None = None,
    results: str | Path = "results",
    fresh: bool = False,
    tell: Tell | None = None,
) -> Path:
    """Measure a suite, as `bench run` does, and return the file of the run.

    Args:
        suite: path or name of a suite.
        profile: default: `gpu` on a CUDA device, else `quick`, where the suite has them.
        device: `cpu`, `cuda` or `cuda:1`.
        results: folder in which `<suite>/<run>.jsonl` is written.
        fresh: train for accuracy even where earlier records have it.
        tell: called with a Progress after each record.

    Raises:
        UsageError: the suite is wrong; nothing was measured or written.

    Example:
        >>> frame = bench.load_records(bench.run("smoke"))  # doctest: +SKIP
    """
    choice = choose(suite, profile, device)
    loaded = load_suite(suite, choice.profile or None)
    return _measure_into(loaded, choice.device, reuse.Asked(Path(results), fresh, suite=str(suite)), tell)


def _measure_into(
    suite: Suite,
    device: str,
    asked: reuse.Asked,
    tell: Tell | None,
    leave_out: LeaveOut = lambda _: False,
) -> Path:
    folder = asked.results / suite.name
    store.check_writable(folder)
    prepared = prepare(suite, device, asked)
    header = header_of(suite, store.new_name(prepared.machine["id"], folder), prepared.machine)
    with store.new_run(folder, header) as opened:
        execute(prepared, prepared.jobs, opened, tell=tell, leave_out=leave_out)
        return opened.path


def measure(  # noqa: PLR0913 - a public call; all but two are optional keywords
    model: Any,
    input: Any,
    *,
    modes: Mapping[str, Mapping[str, Any]] | Literal["all"] | None = None,
    options: Mapping[str, Any] | None = None,
    measures: Sequence[str] = ("params", "flops", "infer", "memory"),
    rounds: int = 3,
    device: str | None = None,
    **protocol: Any,
) -> "pandas.DataFrame":
    """Measure one network in fresh processes, by the same protocol as a suite.

    Args:
        model: a name in archs/, an importable builder "package.module:function", or a live torch.nn.Module, which
            travels to the worker as a file and must therefore be of an importable class.
        input: the image batch's shape (B, C, H, W), or anything with such a `shape`.
        modes: name -> mode plugins and their options, such as {"fast": {"channels_last": True, "amp": "bfloat16"}};
            a plain "fp32" is always measured, first. "all" is the ladder of `bench modes`.
        options: the builder's options.
        measures: names of measures of the static and infer phases; a ladder has its own.
        device: default: `cuda` where there is one.
        protocol: fields of bench.record.Protocol, such as max_seconds=5.

    Returns:
        The frame of load_records: one row per value, round and mode. Of modes="all" one row per mode, the fastest
        first, with the columns of `bench modes --format csv`.

    Raises:
        UsageError: the model, the shape or a name is wrong.
    """
    import tempfile

    shape = tuple(getattr(input, "shape", input))
    if len(shape) != 4 or min(shape) < 1:
        raise UsageError(f"input of shape {shape}: give an image batch, (B, C, H, W)")
    where = device or ("cuda" if host.has_cuda()[0] else "cpu")
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        variant = own.variant_of(model, shape, options or {}, Path(folder))
        if modes == "all":
            check_device(where)
            return _ladder(own_ladder(variant, where, rounds=rounds, protocol=protocol), where, Path(folder))
        if isinstance(modes, str):
            raise UsageError(
                f"modes = '{modes}'; write \"all\", or a mapping such as {{'fast': {{'amp': 'bfloat16'}}}}"
            )
        named = {"fp32": ModeConfig({})} | {name: ModeConfig(dict(keys)) for name, keys in (modes or {}).items()}
        suite = own.suite_of("measure", variant, named, measures, rounds, own.protocol_of(protocol))
        check_device(where)
        return load_records(_measure_into(suite, where, reuse.Asked(Path(folder)), None))


def _ladder(suite: Suite, device: str, folder: Path) -> "pandas.DataFrame":
    """The ladder of a network of one's own as a frame."""
    import pandas

    futile = ladder.Futile()
    path = _measure_into(suite, device, reuse.Asked(folder), lambda now: futile.saw(now.record), futile)
    loaded = store.read(path)
    return pandas.DataFrame(list(ladder.rows(ladder.ladder(loaded.header.suite, loaded.records))))


def own_ladder(
    variant: Variant, device: str, *, rounds: int, protocol: Mapping[str, Any], wanted: Collection[str] = ()
) -> Suite:
    """The ladder of a network without a suite file, in a short protocol but for the fields that are given.

    Raises:
        UsageError: a field, or a mode that is wanted, is unknown.
    """
    name = re.sub(r"\W+", "-", variant.name)
    modes = chosen(combinations(device), wanted)
    limits = own.protocol_of({**SHORT, **protocol})
    return with_ladder(own.suite_of(name, variant, modes, ("infer",), rounds, limits), variant.name, modes)


def load_records(path: str | Path) -> "pandas.DataFrame":
    """Every value of a run, or of all runs below a folder, as a frame with one row per value.

    Columns: suite, run, variant, mode, phase, round, attempt, status, why, quantity, unit, better, value, low, high,
    flags, how, reason, samples, details, machine, started, seconds, origin. Numbers are in base units. A job without
    values has one row with its status and why. `origin` is the run that a record was taken over from: over several
    runs, the rows without it count every measurement once.

    Raises:
        StoreError: not a run, or of a newer format.
    """
    import pandas

    files = sorted(Path(path).rglob(f"*{store.SUFFIX}")) if Path(path).is_dir() else [Path(path)]
    rows = [row for file in files for record in store.read(file).records for row in _rows(file.stem, record)]
    return pandas.DataFrame(rows)


def _rows(run_name: str, record: Record) -> Iterator[dict[str, Any]]:
    job = record.job
    common: dict[str, Any] = {
        "suite": job.suite,
        "run": run_name,
        "variant": job.variant,
        "mode": job.mode,
        "phase": job.phase,
    }
    common |= {"round": job.round, "attempt": record.attempt, "status": record.status, "why": record.reason}
    facts = {"machine": record.machine.get("id"), "started": record.started, "seconds": record.seconds}
    facts["origin"] = record.origin
    if not record.values:
        yield common | facts
    for value in record.values:
        quantity = {"quantity": value.quantity.name, "unit": value.quantity.unit, "better": value.quantity.better}
        number = {"value": value.value, "low": value.low, "high": value.high, "flags": list(value.flags)}
        source = {"how": value.how, "reason": value.reason, "samples": value.samples, "details": value.details}
        yield common | quantity | number | source | facts
