"""Files of pytest-benchmark -> a side to compare: its own, and ours as `--format pytest_benchmark` writes them.

A benchmark is the cell that it names: `variant` (and `mode`, `phase`, `quantity`) in its `extra_info`, else `variant`
and `mode` among its parameters. One that names none stands under its full name. The rounds of pytest-benchmark are
calls in one process, ours are processes; that and the protocol tell the two apart.
"""

from collections.abc import Mapping
from math import isfinite, log, sqrt
from typing import Any

import msgspec

from bench.compare.side import Figure, Key, Sample, Side, machine_facts, sample, source_facts
from bench.errors import UsageError
from bench.record import Json, Quantity, digest
from bench.stats import Interval, Z, mean_interval
from bench.table.cells import Cell

IDENTITY = "bench"
"""The key of machine_info under which bench keeps a machine's identity, in every file that it has a hand in."""

PHASE = "pytest-benchmark"
"""Stands for the phase of a benchmark that names no cell."""

TOLD = "timed by pytest-benchmark, in one process: the noise between processes is not in the interval"

SUMMED = "no samples in the file, only their mean and standard deviation"


class Stats(msgspec.Struct, frozen=True):
    """What is read of a benchmark's statistics; seconds. `data` is only there where it was asked for."""

    mean: float
    stddev: float
    rounds: int
    data: list[float] | None = None


class Benchmark(msgspec.Struct, frozen=True):
    """One benchmark."""

    fullname: str
    stats: Stats
    params: Json | None = None
    extra_info: Json = {}


class Saved(msgspec.Struct, frozen=True):
    """A file of pytest-benchmark, as far as it is read; `bench` is there in ours."""

    benchmarks: list[Benchmark]
    machine_info: Json = {}
    commit_info: Json = {}
    datetime: str = ""
    version: str = ""
    bench: Json = {}


_decoder = msgspec.json.Decoder(Saved)


def read(name: str, data: bytes) -> Side:
    """The side in a file, which `name` names in messages.

    Raises:
        UsageError: the file is torn, or it is not pytest-benchmark's.
    """
    try:
        saved = _decoder.decode(data)
    except msgspec.ValidationError as error:
        raise UsageError(f"{name}: not a file of pytest-benchmark ({error}); write one with --benchmark-json") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{name}: not JSON, perhaps torn ({error}); write it again") from None
    identity = _identity(saved.machine_info)
    figures: dict[Key, Figure] = {}
    for place, benchmark in enumerate(saved.benchmarks):
        if benchmark.stats.rounds < 1:
            raise UsageError(f"{name}: benchmarks[{place}] ({benchmark.fullname}) has no rounds; leave it out")
        key = _key(benchmark)
        if key in figures:  # two tests of one cell
            key = Key(PHASE, benchmark.fullname, "", "time")
        figures[key] = _figure(benchmark, str(identity.get("id", "")))
    return Side(name, _said(saved, identity), figures, _facts(saved, identity))


def _identity(info: Mapping[str, Any]) -> Json:
    """Bench's identity of the machine where it is there, else what pytest-benchmark knows of it."""
    if isinstance(info.get(IDENTITY), dict) and info[IDENTITY].get("id"):
        return dict(info[IDENTITY])
    said = info.get("cpu")
    cpu = said if isinstance(said, dict) else {}
    known = {
        "cpu": cpu.get("brand_raw") or cpu.get("brand") or info.get("processor") or "",
        "cores": cpu.get("count") or "",
        "system": f"{info.get('system', '')} {info.get('machine', '')}".strip(),
    }
    return {"id": digest(known)[:8], **known} if any(known.values()) else {}


def _key(benchmark: Benchmark) -> Key:
    extra = benchmark.extra_info
    named = extra if "variant" in extra else benchmark.params or {}
    if "variant" not in named:
        return Key(PHASE, benchmark.fullname, "", "time")
    phase, quantity = extra.get("phase", "infer"), extra.get("quantity", "latency")
    return Key(str(phase), str(named["variant"]), str(named.get("mode", "")), str(quantity))


def _figure(benchmark: Benchmark, machine: str) -> Figure:
    extra, stats = benchmark.extra_info, benchmark.stats
    ours = isinstance(extra.get("protocol"), dict) and stats.data is not None
    better = extra.get("better")
    quantity = Quantity(
        name=_key(benchmark).quantity,
        unit="s",
        better="higher" if better == "higher" else "none" if better == "none" else "lower",
        title=str(extra.get("title") or "time of one call, mean"),
    )
    flags = extra.get("flags")
    shown = tuple(str(flag) for flag in flags) if isinstance(flags, list) else ()
    if ours and stats.data and min(stats.data) > 0:
        interval = mean_interval(stats.data)
        cell = Cell(interval.value, interval.low, interval.high, tuple(enumerate(stats.data)), flags=shown)
        fields = {**extra["protocol"], "machine": machine}
        return Figure(quantity, cell, fields, sample(stats.data, relative=True))
    told = TOLD if stats.data is not None else f"{TOLD}; {SUMMED}"
    if not isfinite(stats.mean) or stats.mean <= 0:
        return Figure(quantity, Cell(reason=f"its mean is {stats.mean:g} s"), {"machine": machine}, told=told)
    interval = _mean(stats)
    cell = Cell(interval.value, interval.low, interval.high, flags=shown)
    # ln of a mean has, by the delta method, the mean's relative error; means on both sides, since a file without
    # samples has nothing else.
    logs = Sample(stats.rounds, log(stats.mean), stats.stddev / stats.mean)
    return Figure(quantity, cell, {"machine": machine}, logs, told=told)


def _mean(stats: Stats) -> Interval:
    if stats.rounds < 2:
        return Interval(stats.mean, None, None)
    reach = Z * stats.stddev / sqrt(stats.rounds)
    return Interval(stats.mean, stats.mean - reach, stats.mean + reach)


def _said(saved: Saved, identity: Json) -> str:
    count = len(saved.benchmarks)
    known = IDENTITY in saved.machine_info
    parts = [
        f"profile {saved.bench['profile']}" if saved.bench.get("profile") else "",
        f"started {saved.datetime}" if saved.datetime else "",
        f"machine {identity.get('id') or 'unknown'}" + ("" if known else " as pytest-benchmark saw it"),
        f"commit {str(saved.commit_info.get('id') or 'unknown')[:10]}"
        + (" with uncommitted changes" if saved.commit_info.get("dirty") else ""),
        f"{count} benchmark{'s' * (count != 1)}",
    ]
    return ", ".join(part for part in parts if part)


def _facts(saved: Saved, identity: Json) -> dict[str, str]:
    """In the words of a run's facts, as far as the file has them."""
    info = saved.machine_info
    facts = {name: str(saved.bench[name]) for name in ("suite", "profile") if saved.bench.get(name)}
    facts |= source_facts({"commit": saved.commit_info.get("id"), "bench": saved.bench.get("version")})
    if saved.commit_info:
        facts["changes"] = "uncommitted" if saved.commit_info.get("dirty") else "none"
    facts |= machine_facts(identity)
    if "python_version" in info:
        facts["python"] = str(info["python_version"])
    return facts
