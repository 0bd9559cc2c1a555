"""Which cells may be compared, and what comes of it: ratios to the baseline, speed-ups, the best of a column."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from bench.stats import Interval, ratio_intervals
from bench.table.cells import Cell, Column, Ratio, Row, Section
from bench.table.merge import Key, Rounds, averaged
from bench.table.study import Study

FAMILIES = {("infer", "eval_time"): "eval", ("infer", "peak_memory"): "memory"}
"""(Phase, quantity) whose fingerprint is not called as the phase."""

RATIO_UNITS = ("s", "byte", "image/s", "J", "W")
"""Units in which a ratio says something, besides exact counts; decibels and relative errors have none."""


def family_of(phase: str, quantity: str) -> str:
    """The family of protocols that a quantity of a phase belongs to."""
    return FAMILIES.get((phase, quantity), phase)


Groups = Mapping[Key, Rounds]
Fields = dict[str, Any]


def fields(group: Rounds, column: Column) -> Fields:
    """What determines the figure: the fingerprint of its family and, for what depends on it, the machine."""
    first = group[min(group)]
    family = family_of(first.job.phase, column.key)
    found: Fields = dict(first.fingerprints.get(family) or first.fingerprints.get(first.job.phase) or {})
    if not column.portable:
        found["machine"] = "+".join(sorted({str(record.machine.get("id", "")) for record in group.values()}))
    return found


def differences(ours: Fields, base: Fields) -> dict[str, str]:
    """Field -> how it differs from the baseline's."""
    names = sorted(name for name in ours.keys() | base.keys() if ours.get(name) != base.get(name))
    return {name: f"{name} {_said(ours.get(name))} instead of {_said(base.get(name))}" for name in names}


def _said(value: Any) -> str:
    return "unset" if value in (None, "") else str(value)


def with_ratios(section: Section, groups: Groups, study: Study) -> Section:
    """Every compared column gets its ratio to the baseline in the same mode."""
    if study.baseline not in study.variants:
        return section

    def one_column(column: Column, cells: list[Cell]) -> list[Cell]:
        if not column.quantity.exact and column.quantity.unit not in RATIO_UNITS:
            return cells
        modes = dict.fromkeys(row.mode for row in section.rows)
        ratios: dict[Key, Ratio] = {}
        for mode in modes:
            rows = [(row, cell) for row, cell in zip(section.rows, cells, strict=True) if row.mode == mode]
            ratios |= _ratios(rows, column, groups, study)
        keys = [(row.variant, row.mode) for row in section.rows]
        return [replace(cell, ratio=ratios[key]) for key, cell in zip(keys, cells, strict=True)]

    changed = _each_column(section, one_column)
    compared = [any(row.cells[i].ratio for row in changed.rows) for i in range(len(section.columns))]
    columns = [replace(column, compared=c) for column, c in zip(section.columns, compared, strict=True)]
    return replace(changed, columns=tuple(columns))


def _ratios(rows: Sequence[tuple[Row, Cell]], column: Column, groups: Groups, study: Study) -> dict[Key, Ratio]:
    """The ratios of the rows of one mode."""
    base = next((pair for pair in rows if pair[0].variant == study.baseline), None)
    refused: dict[str, Ratio] = {}
    notes: dict[str, tuple[str, ...]] = {}
    for row, cell in rows:
        reason, labels = _verdict((row, cell), base, column, groups=groups, study=study)
        notes[row.variant] = labels
        if reason:
            refused[row.variant] = Ratio(reason=reason)
    cells = {row.variant: cell for row, cell in rows if row.variant not in refused}
    intervals = _intervals(cells, column, study.baseline)
    result: dict[Key, Ratio] = {}
    for row, _ in rows:
        ratio = Ratio(intervals.get(row.variant), notes=notes[row.variant])
        if ratio.interval is None:
            ratio = Ratio(reason=f"no round in which {study.baseline} was measured too")
        result[row.variant, row.mode] = refused.get(row.variant, ratio)
    return result


def _verdict(
    pair: tuple[Row, Cell], base: tuple[Row, Cell] | None, column: Column, *, groups: Groups, study: Study
) -> tuple[str, tuple[str, ...]]:
    """Why a row is not compared with the baseline's (empty: it is), and what to say beside the ratio."""
    row, cell = pair
    if cell.value is None:
        return cell.reason, ()
    if row.struck:
        return row.notes[0], ()
    if base is None or base[1].value is None:
        return f"not compared: {study.baseline} has no value here", ()
    if base[0].struck:
        return f"not compared: {study.baseline} has a mismatch here", ()
    if cell.value <= 0 or base[1].value <= 0:
        return "not compared: a ratio needs positive values", ()
    ours, theirs = (fields(groups[_key(r)], column) for r in (row, base[0]))
    differing = differences(ours, theirs)
    confounds = [how for field, how in differing.items() if not study.is_factor(field)]
    if confounds:
        return f"not compared with {study.baseline}: {', '.join(confounds)}", ()
    return "", tuple(differing.values())


def _intervals(cells: Mapping[str, Cell], column: Column, baseline: str) -> Mapping[str, Interval]:
    """Paired by round where rounds were averaged; of the values themselves where they were not."""
    if baseline not in cells:
        return {}
    if all(averaged(column.quantity, (value for _, value in cell.rounds)) for cell in cells.values()):
        return ratio_intervals({variant: dict(cell.rounds) for variant, cell in cells.items()}, baseline)
    base = cells[baseline].value
    return {v: Interval(cell.value / base, None, None) for v, cell in cells.items() if cell.value and base}


def with_differences(section: Section, groups: Groups, study: Study) -> Section:
    """A section without ratios says beside a variant's name how its protocol differs from the baseline's."""
    keys = [_key(row) for row in section.rows]
    base = next((key for key in keys if key[0] == study.baseline and key in groups), None)

    def noted(row: Row) -> Row:
        if base is None or _key(row) not in groups or row.variant == study.baseline:
            return row
        ours, theirs = (fields(groups[key], section.columns[0]) for key in (_key(row), base))
        differing = differences(ours, theirs) if ours and theirs else {}
        differing.pop("mode", None)  # it has a column of its own
        if "train.recipe" in differing:
            differing = {name: how for name, how in differing.items() if not name.startswith("train.recipe.")}
        confounds = [how for name, how in differing.items() if not study.is_factor(name)]
        labels = [f"not comparable with {study.baseline}: {', '.join(confounds)}"] if confounds else differing.values()
        return replace(row, notes=(*row.notes, *labels))

    return replace(section, rows=tuple(noted(row) for row in section.rows))


def with_speedups(section: Section, groups: Groups, study: Study) -> Section:
    """The latency, else the first column of times, gets the speed-up of every other mode over the reference mode."""
    modes = {row.mode for row in section.rows}
    times = [i for i, column in enumerate(section.columns) if column.quantity.unit == "s"]
    chosen = next((i for i in times if section.columns[i].key == "latency"), next(iter(times), None))
    if chosen is None or study.reference not in modes or len(modes) < 2:
        return section
    rows = {(row.variant, row.mode): row for row in section.rows}
    seen = {key: fields(groups[key], section.columns[chosen]) for key in rows if key in groups}
    cells = {key: (row, row.cells[chosen]) for key, row in rows.items()}
    speedups = {key: _speedup(cells, key, study.reference, seen) for key in rows}

    def one_column(column: Column, cells: list[Cell]) -> list[Cell]:
        if column is not section.columns[chosen]:
            return cells
        return [replace(cell, speedup=speedups[key]) for key, cell in zip(rows, cells, strict=True)]

    columns = list(section.columns)
    columns[chosen] = replace(columns[chosen], speedup=True)
    return replace(_each_column(section, one_column), columns=tuple(columns))


def _speedup(cells: Mapping[Key, tuple[Row, Cell]], key: Key, reference: str, seen: Mapping[Key, Fields]) -> Ratio:
    """Reference over this mode, so that more than 1 is faster; the mode is all that may differ."""
    variant, mode = key
    row, cell = cells[key]
    if mode == reference:
        return Ratio(Interval(1.0, 1.0, 1.0)) if cell.value is not None else Ratio(reason=cell.reason)
    if cell.value is None:
        return Ratio(reason=cell.reason)
    if row.struck:
        return Ratio(reason=row.notes[0])
    _, base = cells.get((variant, reference), (row, Cell()))
    if base.value is None:
        return Ratio(reason=f"not compared: {variant} has no value in {reference}")
    differing = differences(seen[key], seen[variant, reference])
    differing.pop("mode", None)
    if differing:
        return Ratio(reason=f"not compared with {reference}: {', '.join(differing.values())}")
    # The reference stands in the numerator: `this mode` is the base of the ratio.
    pair = {reference: dict(base.rounds), mode: dict(cell.rounds)}
    interval = ratio_intervals(pair, mode).get(reference)
    return Ratio(interval, reason="" if interval else f"no round in which {reference} was measured too")


def with_best(section: Section, groups: Groups, study: Study) -> Section:
    """Marks the best of each column among the comparable rows of a mode, and what cannot be told from it."""

    def one_column(column: Column, cells: list[Cell]) -> list[Cell]:
        best: set[int] = set()
        for mode in dict.fromkeys(row.mode for row in section.rows):
            usable = [
                i
                for i, row in enumerate(section.rows)
                if row.mode == mode and not row.struck and cells[i].value is not None
                if "not_learnt" not in cells[i].flags  # better than other guesses is not good
            ]
            seen = {i: fields(groups[_key(section.rows[i])], column) for i in usable}
            chief = next((i for i in usable if section.rows[i].variant == study.baseline), next(iter(usable), 0))
            best |= _best({i: cells[i] for i in usable if seen[i] == seen[chief]}, column)
        return [replace(cell, best=i in best) for i, cell in enumerate(cells)]

    return _each_column(section, one_column)


def _key(row: Row) -> Key:
    return row.variant, row.mode


def _best(cells: Mapping[int, Cell], column: Column) -> set[int]:
    """Those that share the first place.

    None where nothing stands apart, where not all were obtained alike, or where a figure has no interval.
    """
    kinds = {"estimated" in cell.flags for cell in cells.values()}
    sure = column.quantity.exact or all(cell.low is not None for cell in cells.values())
    if column.quantity.better == "none" or len(cells) < 2 or len(kinds) > 1 or not sure:
        return set()
    sign = 1 if column.quantity.better == "lower" else -1
    top = min(cells.values(), key=lambda cell: sign * (cell.value or 0))
    tied = {i for i, cell in cells.items() if _overlap(cell, top)}
    return tied if len(tied) < len(cells) else set()


def _overlap(one: Cell, other: Cell) -> bool:
    (a, b), (c, d) = (_bounds(cell) for cell in (one, other))
    return a <= d and c <= b


def _bounds(cell: Cell) -> tuple[float, float]:
    value = float(cell.value or 0)
    return (value if cell.low is None else cell.low, value if cell.high is None else cell.high)


def _each_column(section: Section, change: Callable[[Column, list[Cell]], Iterable[Cell]]) -> Section:
    """The section with every column's cells replaced."""
    columns = [list(change(column, [row.cells[i] for row in section.rows])) for i, column in enumerate(section.columns)]
    rows = [replace(row, cells=tuple(cells[r] for cells in columns)) for r, row in enumerate(section.rows)]
    return replace(section, rows=tuple(rows))
