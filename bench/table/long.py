"""Table -> one flat row per cell, in base units: what csv and json write."""

from collections.abc import Iterator
from typing import Any

from bench.stats import Interval, sigma_between
from bench.table.cells import Cell, Column, Ratio, Row, Section, Table

Flat = dict[str, Any]


def flat(table: Table) -> Iterator[Flat]:
    """Every cell of every section; lists and numbers as they are, None where there is nothing."""
    for section in table.sections:
        for row in section.rows:
            for column, cell in zip(section.columns, row.cells, strict=True):
                yield (
                    _identity(section, row, column)
                    | _measured(cell)
                    | _relative(cell)
                    | _published(cell)
                    | _said(cell, row)
                )


def _identity(section: Section, row: Row, column: Column) -> Flat:
    quantity = column.quantity
    return {
        "phase": section.phase,
        "variant": row.variant,
        "mode": row.mode,
        "quantity": quantity.name,
        "title": quantity.title,
        "unit": quantity.unit,
        "better": quantity.better,
    }


def _measured(cell: Cell) -> Flat:
    values = [value for _, value in cell.rounds]
    logarithms = all(value > 0 for value in values)
    return {
        "value": cell.value,
        "low": cell.low,
        "high": cell.high,
        "rounds": len(cell.rounds),
        "values": values,
        "sigma_within": cell.within,
        "sigma_between": sigma_between(values) if logarithms else None,
    }


def _relative(cell: Cell) -> Flat:
    return _ratio("ratio", cell.ratio) | _ratio("speedup", cell.speedup)


def _ratio(name: str, ratio: Ratio | None) -> Flat:
    interval = ratio.interval if ratio and ratio.interval else None
    return _interval(name, interval) | {
        f"{name}_reason": ratio.reason if ratio else "",
        f"{name}_notes": list(ratio.notes) if ratio else [],
    }


def _published(cell: Cell) -> Flat:
    published = cell.published
    return {
        "published": published.value if published else None,
        "published_ratio": published.ratio if published else None,
        **_interval("published_difference", published.difference if published else None),
        "published_source": published.source if published else "",
    }


def _interval(name: str, interval: Interval | None) -> Flat:
    return {
        name: interval.value if interval else None,
        f"{name}_low": interval.low if interval else None,
        f"{name}_high": interval.high if interval else None,
    }


def _said(cell: Cell, row: Row) -> Flat:
    return {
        "best": cell.best,
        "mismatch": row.struck,
        "flags": list(cell.flags),
        "reason": cell.reason,
        "notes": [*row.notes, *cell.notes],
    }
