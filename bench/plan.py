"""Suite -> list of jobs: variants x modes x phases x rounds, each round in a newly shuffled order."""

from collections.abc import Iterator, Mapping, Sequence
from functools import cache, partial
from hashlib import sha256
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

from bench import plugins
from bench.errors import UsageError
from bench.record import Job, Json, digest
from bench.suite import Suite, Variant

MOST_JOBS = 10_000

STARTUP = 4.0
"""Seconds that a fresh worker needs before it measures (importing torch, building); only for the first estimate."""


def plan(suite: Suite, *, device: str = "cpu", threads: int = 1) -> list[Job]:
    """All jobs of a suite in the order in which they run: the same suite and seed give the same list.

    Every round visits every cell in an order of its own, so that slow drifts of the machine fall on all cells alike.

    Raises:
        UsageError: more jobs than anybody can mean.
    """
    by_phase = measures_by_phase(suite.measures)
    cells = [cell for cell in _cells(suite) if by_phase.get(cell.phase)]
    total = sum(cell.rounds for cell in cells)
    if total > MOST_JOBS:
        raise UsageError(f"{suite.path}: {total:,} jobs, at most {MOST_JOBS:,}; lower the rounds or split the sweep")
    common = _common(suite, device, threads)
    jobs = [_job(suite, cell, 0, common, by_phase) for cell in cells if cell.phase == "static"]
    for round_ in range(max((cell.rounds for cell in cells), default=0)):
        visited = [cell for cell in cells if cell.phase != "static" and round_ < cell.rounds]
        Random(f"{suite.seed}/{round_}").shuffle(visited)
        jobs += [_job(suite, cell, round_, common, by_phase) for cell in visited]
    return jobs


def static_jobs(suite: Suite, *, device: str = "cpu", threads: int = 1) -> list[Job]:
    """One job per variant that needs only the network: what `validate` builds, whatever the suite measures."""
    common = _common(suite, device, threads)
    by_phase: dict[str, list[str]] = {"static": []}
    if "accuracy" in measures_by_phase(suite.measures):
        common["metrics"] = _metrics(suite)  # whether the data has what they need is known before anything is trained
    return [_job(suite, cell, 0, common, by_phase) for cell in _cells(suite) if cell.phase == "static"]


METRICS = {"pose": ("pckh",), "segmentation": ("segmentation",), "binary": ("segmentation",)}
"""Task -> the metrics that score it where the suite names none."""

PER_PIXEL = 8e-6
"""Seconds of training per pixel of an image: an eight-stack hourglass on two CPU cores; only for the first estimate."""

TRAINING = 86400.0
"""Seconds after which a training for accuracy is stopped, where the suite does not say."""

FOR_ACCURACY = ("rounds", "samples", "seeds", "validations", "validate_every", "split", "flip_test", "timeout")
"""Keys of [train] that training time does not depend on, besides `epochs`."""


class _Cell(NamedTuple):
    variant: Variant
    mode: str
    phase: str
    rounds: int


def _cells(suite: Suite) -> Iterator[_Cell]:
    for variant in suite.variants:
        yield _Cell(variant, "", "static", 1)
        for mode in filter(partial(infers, suite), suite.modes):
            yield _Cell(variant, mode, "infer", variant.infer.get("rounds", suite.rounds))
        mode = variant.train.get("mode", "")
        if mode in suite.modes:
            yield _Cell(variant, mode, "train", variant.train.get("rounds", suite.rounds))
            yield _Cell(variant, mode, "accuracy", variant.train.get("seeds", 1))


def infers(suite: Suite, mode: str) -> bool:
    """Whether all that makes up a mode is for inference; a fused optimizer is not."""
    phases = (plugins.constant(plugins.path("mode", name), "PHASES") for name in suite.modes[mode].plugins)
    return all("infer" in (found or ("infer",)) for found in phases)


def measures_by_phase(measures: Sequence[str]) -> dict[str, list[str]]:
    """Phase -> the measures that run in it, in the suite's order; read from the plugins' text."""
    found: dict[str, list[str]] = {}
    for name in measures:
        phases = plugins.constant(plugins.path("measure", name), "PHASE")
        for phase in (phases,) if isinstance(phases, str) else phases or ():
            found.setdefault(phase, []).append(name)
    return found


def _common(suite: Suite, device: str, threads: int) -> dict[str, Any]:
    return {
        "suite": suite.name,
        "protocol": suite.protocol,
        "device": device,
        "threads": threads,
        "seed": suite.seed,
        "timeout": suite.timeout,
        "paths": [str(suite.root.parent)],
    }


def _job(suite: Suite, cell: _Cell, round_: int, common: Json, by_phase: Mapping[str, list[str]]) -> Job:
    """The job of a cell carries only what its phase uses, so that nothing else changes its identity."""
    variant = cell.variant
    tables: Json = {"data": variant.data | _version(variant.data)}
    if cell.phase == "static":
        tables = {"data": {k: v for k, v in variant.data.items() if k not in ("train", "val")}}
    if cell.phase == "infer":
        tables["infer"] = {k: v for k, v in variant.infer.items() if k != "rounds"}
    if cell.phase == "train":
        tables["train"] = {k: v for k, v in variant.train.items() if k not in FOR_ACCURACY}
    if cell.phase == "accuracy":
        tables |= _of_accuracy(suite, variant, round_)
    return Job(
        variant=variant.name,
        phase=cell.phase,
        mode=cell.mode,
        round=round_,
        arch=variant.arch,
        arch_file=_arch_file(suite, variant),
        options=variant.options,
        weights=variant.weights,
        weights_hash=_hash(variant.weights),
        weights_without=list(variant.weights_without),
        modes=suite.modes[cell.mode].plugins if cell.mode else {},
        measures=by_phase[cell.phase],
        **common | tables,
    )


def _of_accuracy(suite: Suite, variant: Variant, round_: int) -> Json:
    """What a training to the end needs: its budget, its metrics, the modes that are checked on the weights."""
    train = {k: v for k, v in variant.train.items() if k not in ("rounds", "seeds", "timeout") and v is not False}
    checks = {name: mode.plugins for name, mode in suite.modes.items() if mode.plugins and infers(suite, name)}
    # Each round is a training from other weights on other images' order.
    timeout = variant.train.get("timeout", TRAINING)
    seed = suite.seed + round_
    return {"train": train, "metrics": _metrics(suite), "checks": checks, "seed": seed, "timeout": timeout}


def _metrics(suite: Suite) -> list[str]:
    """The suite's metrics, else those of its task.

    Raises:
        UsageError: there are several.
    """
    metrics = suite.metrics or METRICS[suite.task]
    if len(metrics) > 1:
        raise UsageError(f"{suite.path}: a training is scored by one metric, not by {', '.join(metrics)}; name one")
    return list(metrics)


def _version(data: Json) -> Json:
    """What tells one state of the data from another: the version of what is made, the hash of what is read."""
    file = plugins.path("dataset", data["use"])
    version = plugins.constant(file, "VERSION")
    folder = data.get("options", {}).get("path")
    names = plugins.constant(file, "ANNOTATIONS") or ()
    read = [Path(folder) / name for name in names] if folder else []
    if found := [_hash(str(path)) for path in read if path.is_file()]:
        version = digest(found)
    kinds = plugins.constant(file, "FILES") or ()
    listed = {path for kind in kinds for path in Path(folder).glob(kind) if path.is_file()} if folder else set()
    if listed:  # of many files names and sizes, since reading them all would take minutes
        version = digest(sorted([path.relative_to(folder).as_posix(), path.stat().st_size] for path in listed))
    return {} if version is None else {"version": version}


def _arch_file(suite: Suite, variant: Variant) -> str:
    named = variant.arch and ":" not in variant.arch
    return str(plugins.path("arch", variant.arch, suite.root)) if named else ""


@cache
def _hash(file: str) -> str:
    return sha256(Path(file).read_bytes()).hexdigest() if file else ""


def expected_seconds(jobs: Sequence[Job], earlier: Mapping[str, float]) -> list[float]:
    """What each job may take: as it did before (by id, else by cell), else what its protocol allows."""
    return [earlier.get(job.id) or earlier.get(job.cell) or _guess(job) for job in jobs]


def _guess(job: Job) -> float:
    protocol = job.protocol
    if job.phase == "infer":
        timed = protocol.warmup_limit + protocol.max_seconds + protocol.windows * protocol.window_seconds
        return STARTUP + 0.7 * timed
    if job.phase == "train":
        return STARTUP + 2 * protocol.train_seconds
    if job.phase == "accuracy":
        return STARTUP + _training_images(job) * _pixels(job) * PER_PIXEL
    return STARTUP


def _training_images(job: Job) -> float:
    return float(job.train.get("samples") or job.train.get("epochs", 1) * job.data.get("train", 1))


def _pixels(job: Job) -> float:
    size = job.data.get("size", 256)
    return float(size * size if isinstance(size, int) else size[0] * size[1])
