"""Two stored runs that are written for a test, and what fresh processes of their cells find."""

from collections.abc import Mapping, Sequence
from math import exp
from pathlib import Path
from random import Random
from typing import Any

import builders
import msgspec
from builders import LATENCY, MACHINE, PARAMS
from jobs import header

from bench.gate import Finding, suspects
from bench.gate.arms import Cell
from bench.gate.baseline import Stored, stored
from bench.record import Quantity, Record, Value, encode

RULES = {"latency": "5%", "throughput": "5%", "peak_memory": "1%", "params": "exact", "pckh.total": "1%"}

SUITE = {key: value for key, value in builders.SUITE.items() if key != "variants"}
"""A suite that does not say which variants it has."""

OTHER = MACHINE | {"id": "11112222"}


def write(path: Path, records: Sequence[Record], tail: str = "", **fields: Any) -> Path:
    of = {"run": path.stem, "suite": SUITE, "started": f"at {path.stem}"} | fields
    lines = [encode(header(**of)), *map(encode, records)]
    path.write_bytes(b"\n".join(lines) + b"\n" + tail.encode())
    return path


def timed(
    variant: str, values: Sequence[float | None], of: Quantity = LATENCY, mode: str = "fp32", **other: Any
) -> list[Record]:
    """A figure of each round; `other` is for the records."""
    tables = {key: other.pop(key) for key in ("data", "infer") if key in other}
    found = []
    for number, value in enumerate(values):
        job = builders.job(variant, "infer", mode=mode, number=number, **tables)
        found.append(builders.record(job, [Value(quantity=of, value=value)], **other))
    return found


def counted(variant: str, value: float | None, of: Quantity = PARAMS, **other: Any) -> list[Record]:
    return [builders.record(builders.job(variant, "static"), [Value(quantity=of, value=value)], **other)]


def without_values(records: Sequence[Record], **changes: Any) -> list[Record]:
    return [msgspec.structs.replace(one, values=[], **changes) for one in records]


def noisy(seconds: float, seed: int, noise: float = 0.005, rounds: int = 5) -> list[float]:
    random = Random(seed)
    return [seconds * exp(random.gauss(0, noise)) for _ in range(rounds)]


def about(tmp_path: Path, base: Sequence[Record], head: Sequence[Record], **rules: str) -> Stored:
    return stored(write(tmp_path / "base.jsonl", base), write(tmp_path / "head.jsonl", head), rules or RULES)


def unavailable(cells: Sequence[Cell], processes: int) -> Mapping[Cell, list[Record]]:
    """Nothing can be measured here."""
    return {}


def unasked(cells: Sequence[Cell], processes: int) -> Mapping[Cell, list[Record]]:
    raise AssertionError(f"{cells} are suspected")


def again(variant: str, values: Sequence[float | None], of: Quantity = LATENCY) -> suspects.Fresh:
    """Fresh processes that find these values."""

    def measured(cells: Sequence[Cell], processes: int) -> Mapping[Cell, list[Record]]:
        assert list(cells) == [(variant, "fp32", "infer")]
        assert processes == suspects.FRESH
        return {cells[0]: timed(variant, values, of)}

    return measured


def only(findings: Sequence[Finding]) -> Finding:
    (found,) = findings
    return found


def verdicts(findings: Sequence[Finding]) -> dict[str, str]:
    return {finding.cell: finding.verdict for finding in findings}


STEADY = noisy(0.1, 1)
