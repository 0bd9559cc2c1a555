"""A document's figures beside ours: which of its entries, relative to what, and how far ours are from them.

The rule: of a variant's entries that have the quantity, those with our training batch come first, then the one with
the most epochs, then the first written. The document's own ratio takes the baseline's entry by the same rule.
"""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from bench.record import Json, Quantity
from bench.stats import Interval
from bench.table.cells import Cell, Column, Published, Section
from bench.table.study import Study
from bench.units import parse

NOT_FIGURES = ("table", "epochs", "batch", "note", "source", "where")


def figures(entries: Iterable[Json]) -> list[str]:
    """Names of the quantities that the entries give, in the order written."""
    return list(dict.fromkeys(name for entry in entries for name in entry if name not in NOT_FIGURES))


def choose(entries: Iterable[Json], quantity: str, batch: Any) -> Json | None:
    """The entry to stand beside ours; None where no entry has the quantity."""
    usable = [entry for entry in entries if quantity in entry]
    same = [entry for entry in usable if batch is not None and entry.get("batch") == batch]
    return max(same or usable, key=lambda entry: entry.get("epochs") or 0, default=None)


def with_published(section: Section, study: Study) -> Section:
    """Every cell of the section's first mode of each variant gets the published figure, where there is one."""
    if section.phase == "accuracy":
        study = replace(study, batches=study.trained_batches)
    seen: set[str] = set()
    rows = []
    for row in section.rows:
        if row.variant not in seen and study.published.get(row.variant):
            cells = [
                _beside(c, column, row.variant, study) for c, column in zip(row.cells, section.columns, strict=True)
            ]
            row = replace(row, cells=tuple(cells))
        seen.add(row.variant)
        rows.append(row)
    return replace(section, rows=tuple(rows))


def _beside(cell: Cell, column: Column, variant: str, study: Study) -> Cell:
    """The cell with the variant's published figure, and with the difference between theirs and ours."""
    batch = study.batches.get(variant)
    entry = choose(study.published.get(variant, []), column.key, batch)
    if entry is None:
        return cell
    value, source = parse(entry[column.key]), _source(entry, None if column.quantity.exact else batch)
    ratio, against = None, ""
    base = choose(study.published.get(study.baseline, []), column.key, study.batches.get(study.baseline))
    if base is not None and not column.portable and parse(base[column.key]):
        ratio = value / parse(base[column.key])
        against = f"{study.baseline} in {_source(base, study.batches.get(study.baseline))}"
    published = Published(_written(entry[column.key], column.quantity), value, ratio, source=source, base=against)
    return replace(cell, published=replace(published, difference=_difference(cell, published, column)))


def _difference(cell: Cell, published: Published, column: Column) -> Interval | None:
    """Of the values, where the machine does not matter; of the ratios, in percent, where it does."""
    ours = cell.interval if column.portable else cell.ratio.interval if cell.ratio else None
    theirs = published.value if column.portable else published.ratio
    if ours is None or theirs is None:
        return None

    def away(value: float | None) -> float | None:
        if value is None:
            return None
        return value - theirs if column.portable else (value / theirs - 1) * 100

    return Interval(
        ours.value - theirs if column.portable else (ours.value / theirs - 1) * 100, away(ours.low), away(ours.high)
    )


def _source(entry: Json, batch: Any) -> str:
    """`Table 1, 50 epochs, batch 20 (ours 2)`."""
    parts = [str(entry.get("table") or "the document")]
    if "epochs" in entry:
        parts.append(f"{entry['epochs']} epochs")
    if "batch" in entry:
        ours = "" if batch in (None, entry["batch"]) else f" (ours {batch})"
        parts.append(f"batch {entry['batch']}{ours}")
    else:
        parts.append("batch not stated")
    return ", ".join(parts) + (f": {entry['note']}" if entry.get("note") else "")


def _written(figure: Any, quantity: Quantity) -> str:
    """As the document prints it, with the unit."""
    unit = "" if isinstance(figure, str) or quantity.unit == "1" else f" {quantity.unit}"
    return f"{figure}{unit}"
