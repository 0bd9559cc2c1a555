"""For `pytest-benchmark compare` and what else reads its JSON: the times, one value per round."""

import json
from collections.abc import Iterator, Sequence
from statistics import mean, median, stdev

from bench.pytest_benchmark_json import IDENTITY
from bench.record import Json
from bench.table.cells import About, Cell, Column, Row, Section, Table
from bench.table.comparable import family_of

VERSION = "5.1.0"
"""The version of pytest-benchmark whose layout this is."""

FENCE = 1.5
"""Tukey's fences lie so many interquartile ranges outside the quartiles."""


def render(table: Table) -> str:
    """Times alone, in seconds; a round is a fresh process and its value the median of its samples.

    The format has no place for a mode that changes the answer or for a cell that failed: these are under
    `bench.left_out`, with the reason.
    """
    benchmarks: list[Json] = []
    left_out: list[Json] = []
    for section, row, column, cell in _times(table):
        if row.struck or not cell.rounds:
            reason = next(iter(row.notes), "") if row.struck else cell.reason
            left_out.append({"name": _name(table.about, section, row, column), "reason": reason})
        else:
            benchmarks.append(_benchmark(table.about, section, row, column, cell))
    page = {
        "machine_info": _machine(table.about),
        "commit_info": _commit(table.about),
        "benchmarks": benchmarks,
        "datetime": table.about.started,
        "version": VERSION,
        "bench": {
            "title": table.title,
            "suite": table.about.suite,
            "profile": table.about.profile,
            "version": table.about.source.get("bench", ""),
            "left_out": left_out,
        },
    }
    return json.dumps(page, indent=1, ensure_ascii=False) + "\n"


def summary(values: Sequence[float]) -> Json:
    """What pytest-benchmark says of some times, by its own definitions, without `iterations`.

    Quartiles are the medians of the halves; of an odd number of values, as its third method has them.
    """
    ordered = sorted(values)
    low, high = _first_quartile(ordered), _first_quartile(ordered[::-1])
    middle, sd = mean(ordered), stdev(ordered) if len(ordered) > 1 else 0
    fences = low - FENCE * (high - low), high + FENCE * (high - low)
    outside = sum(not middle - sd <= value <= middle + sd for value in ordered)
    beyond = sum(not fences[0] <= value <= fences[1] for value in ordered)
    total = sum(ordered)
    return {
        "min": ordered[0],
        "max": ordered[-1],
        "mean": middle,
        "stddev": sd,
        "rounds": len(ordered),
        "median": median(ordered),
        "iqr": high - low,
        "q1": low,
        "q3": high,
        "iqr_outliers": beyond,
        "stddev_outliers": outside,
        "outliers": f"{outside};{beyond}",
        "ld15iqr": next(value for value in ordered if value >= fences[0]),
        "hd15iqr": next(value for value in reversed(ordered) if value <= fences[1]),
        "ops": len(ordered) / total if total else 0,
        "total": total,
    }


def _first_quartile(ordered: Sequence[float]) -> float:
    """Of ascending values the first quartile, of descending ones the third."""
    count, quarter = len(ordered), len(ordered) // 4
    if count == 1:
        return ordered[0]
    if count % 2 == 0:
        return median(ordered[: count // 2])
    share, first = (0.25, quarter - 1) if count % 4 == 1 else (0.75, quarter)
    return share * ordered[first] + (1 - share) * ordered[first + 1]


def _times(table: Table) -> Iterator[tuple[Section, Row, Column, Cell]]:
    for section in table.sections:
        for index, column in enumerate(section.columns):
            if column.quantity.unit == "s":
                for row in section.rows:
                    yield section, row, column, row.cells[index]


def _name(about: About, section: Section, row: Row, column: Column) -> str:
    """As pytest would name a test that has the variant and the mode for its parameters."""
    return f"{about.suite}/{section.phase}::{_short(row, column)}"


def _short(row: Row, column: Column) -> str:
    return f"{column.key}[{_parameter(row)}]"


def _parameter(row: Row) -> str:
    return "-".join(part for part in (row.variant, row.mode) if part)


def _benchmark(about: About, section: Section, row: Row, column: Column, cell: Cell) -> Json:
    quantity = column.quantity
    values = [value for _, value in cell.rounds]
    family = family_of(section.phase, quantity.name)
    extra = {
        "phase": section.phase,
        "variant": row.variant,
        "mode": row.mode,
        "quantity": quantity.name,
        "unit": quantity.unit,
        "better": quantity.better,
        "title": quantity.title,
        "flags": list(cell.flags),
        "notes": [*row.notes, *cell.notes],
        "protocol": row.protocol.get(family) or row.protocol.get(section.phase) or {},
    }
    return {
        "group": f"{section.phase} {quantity.name}",
        "name": _short(row, column),
        "fullname": _name(about, section, row, column),
        "params": {"variant": row.variant, "mode": row.mode},
        "param": _parameter(row),
        "extra_info": extra,
        "options": {},
        "stats": summary(values) | {"iterations": 1, "data": values},
    }


def _machine(about: About) -> Json:
    """The machine's identity where pytest-benchmark looks for one; a node is a machine's id, never a host's name."""
    known = about.machines[0] if len(about.machines) == 1 else {}
    system, _, kind = str(known.get("system", "")).partition(" ")
    node = " + ".join(str(machine.get("id", "")) for machine in about.machines)
    info = {"node": node, "system": system, "machine": kind, "processor": str(known.get("cpu", ""))}
    cpu = {"brand_raw": known.get("cpu", ""), "count": known.get("cores", 0)}
    # Rounds of several machines are nobody's: an id that is none of them compares with none of them.
    return info | {"cpu": cpu, IDENTITY: known or {"id": node}}


def _commit(about: About) -> Json:
    source = about.source
    return {
        "id": source.get("commit", "unknown"),
        "time": None,
        "author_time": None,
        "dirty": bool(source.get("dirty")),
        "project": about.suite,
        "branch": "(unknown)",
    }
