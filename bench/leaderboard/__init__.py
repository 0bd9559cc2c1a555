"""Runs -> one board per place: every variant and mode with its newest figures, ranked with ties. A pure function."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import inf
from statistics import median

from bench.errors import UsageError, nearest
from bench.leaderboard.eligibility import Failure, failures
from bench.leaderboard.ranking import Figure, ranks
from bench.leaderboard.standings import TIMED, WHAT, Place, Sitting, Snapshot, Source, declared, sources, trained
from bench.leaderboard.standings import facts as facts_of
from bench.record import Json
from bench.table import TITLES, tabulate
from bench.table.cells import Cell, Column, Row, Table
from bench.table.grid import heading
from bench.table.lookup import split
from bench.table.merge import ACCURACY, Key
from bench.units import scale

BY = ("latency", "pckh.total", "miou", "train_epoch", "params")
"""What ranks, unless a block says so: the first that the records have."""

COLUMNS = ("latency", "train_epoch", "peak_memory", "pckh.total", "pckh.mean14", "miou", "params", "macs")
"""What is shown, as far as the records have it; PCKh as the mean of 14 joints only where the document has it."""

IF_PUBLISHED = "pckh.mean14"

FAILED = ("oom", "failed", "timeout", "crashed", "skipped")
"""Statuses that a row shows in the place of a rank."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What a block asks for; empty: all of it, or what there is."""

    by: str = ""
    mode: str = ""
    profile: str = ""
    columns: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Entry:
    """One row of a board.

    Attributes:
        cells: column's name -> figure, or the reason why there is none.
        published: column's name -> (the document's figure as printed, its source).
        labels: column's name -> how the figure's protocol differs on purpose from the others'.
        notes: sentences about the whole row.
        facts: what the rules look at; failed: those that the row does not meet.
        status: of the job that was to give the ranking figure, where none of its attempts is ok.
        run: that the ranking figure is from.
        rank: None where a rule is not met.
    """

    variant: str
    mode: str
    cells: Mapping[str, Cell]
    published: Mapping[str, tuple[str, str]]
    labels: Mapping[str, tuple[str, ...]]
    notes: tuple[str, ...]
    facts: Mapping[str, float]
    failed: tuple[Failure, ...]
    status: str = ""
    run: str = ""
    rank: int | None = None

    @property
    def key(self) -> Key:
        """Variant and mode."""
        return self.variant, self.mode


@dataclass(frozen=True, slots=True)
class Board:
    """The rows of one place, best first; those without a rank below.

    Attributes:
        place: empty where nothing was timed.
        machine: its facts.
        date: of the newest record that is shown.
        by: the column that ranks.
        columns: name as asked for -> column.
        titles: the same name -> what the column is headed, no two alike; phases: -> the title of its phase.
        conditions: phase's title -> the fields that its rows share.
        reference: the mode that speed-ups refer to.
    """

    suite: str
    place: Place
    machine: Json
    date: str
    by: str
    columns: Mapping[str, Column]
    titles: Mapping[str, str]
    phases: Mapping[str, str]
    entries: tuple[Entry, ...]
    conditions: Mapping[str, str]
    reference: str


@dataclass(slots=True)
class _Figures:
    """Every figure that may stand in a row, and where it is from."""

    columns: dict[tuple[str, str], Column]
    cells: dict[tuple[str, str], dict[Key, Cell]]
    rows: dict[tuple[str, Key], Row]
    found: dict[str, dict[Key, Source]]
    leads: dict[str, str]
    untrained: Mapping[str, str]

    def take(self, table: Table, phase: str, keys: Iterable[Key]) -> None:
        """The cells of some rows of a table."""
        wanted = set(keys)
        for section in (section for section in table.sections if section.phase == phase):
            self.leads.setdefault(section.title, section.lead)
            for index, column in enumerate(section.columns):
                self.columns.setdefault((phase, column.key), column)
                own = self.cells.setdefault((phase, column.key), {})
                own |= {(r.variant, r.mode): r.cells[index] for r in section.rows if (r.variant, r.mode) in wanted}
            self.rows |= {(phase, (r.variant, r.mode)): r for r in section.rows if (r.variant, r.mode) in wanted}


def boards(snapshot: Snapshot, asked: Asked) -> list[Board]:
    """A board for each place, GPUs first; one without a place where nothing was timed.

    Raises:
        UsageError: a quantity or a mode that the records do not have.
    """
    accuracy, untrained = trained(snapshot)
    counts = sources(snapshot.sittings, "static", snapshot.study, _quantity(asked.by, "static"))
    shared = _table(snapshot.suite, [accuracy, counts])
    made = []
    for place in snapshot.places or [Place("", "")]:
        figures = _Figures({}, {}, {}, {"static": counts, ACCURACY: accuracy}, {}, untrained)
        for phase in TIMED:
            here = [sitting for sitting in snapshot.sittings if sitting.place == place]
            figures.found[phase] = sources(here, phase, snapshot.study, _quantity(asked.by, phase))
        _timed(figures, snapshot.suite, accuracy)
        figures.take(shared, "static", counts)
        figures.take(shared, ACCURACY, accuracy)
        if board := _board(snapshot, place, figures, asked):
            made.append(board)
    if not made and asked.mode:
        raise UsageError(f"no figures in a mode '{asked.mode}'; {nearest(asked.mode, snapshot.study.modes)}")
    return made


def _quantity(by: str, phase: str) -> str:
    """What ranks, where it may be of this phase."""
    named, quantity = split(by)
    return quantity if named in ("", phase) else ""


def _table(suite: Json, found: Iterable[Mapping[Key, Source]]) -> Table:
    records = [record for rows in found for source in rows.values() for record in source.rounds.values()]
    return tabulate(suite, records)


def _timed(figures: _Figures, suite: Json, accuracy: Mapping[Key, Source]) -> None:
    """The figures of each run that some row's times are from, tabulated as that run was planned."""
    sittings: dict[int, Sitting] = {}
    for source in (source for phase in TIMED for source in figures.found[phase].values()):
        sittings[id(source.sitting)] = source.sitting
    published = {entry["name"]: entry.get("published") or [] for entry in suite["variants"]}
    for sitting in sorted(sittings.values(), key=lambda sitting: sitting.header.run, reverse=True):
        wanted = {
            phase: [key for key, source in figures.found[phase].items() if source.sitting is sitting] for phase in TIMED
        }
        names = {key[0] for keys in wanted.values() for key in keys}
        entries = [e for e in sitting.header.suite.get("variants") or [] if e["name"] in names]
        own = sitting.header.suite | {"factors": suite.get("factors") or []}
        own["variants"] = [entry | {"published": published.get(entry["name"], [])} for entry in entries]
        rows = [rounds for phase in TIMED for rounds in sitting.phases.get(phase, {}).items() if rounds[0][0] in names]
        records = [record for _, rounds in rows for record in rounds.values()]
        records += [r for key, source in accuracy.items() if key[0] in names for r in source.rounds.values()]
        table = tabulate(own, records)
        for phase, keys in wanted.items():
            figures.take(table, phase, keys)


def _board(snapshot: Snapshot, place: Place, figures: _Figures, asked: Asked) -> Board | None:
    """The board of one place; None where it has no row in the mode that is asked for."""
    keys = [key for key in _keys(figures, place) if asked.mode in ("", key[1])]
    if not keys:
        return None
    places = _places(figures, asked)
    if not places:
        raise UsageError(f"no figure of {snapshot.study.name} to rank by; bench report {snapshot.study.name} says why")
    by = asked.by or next((name for name in BY if name in places), next(iter(places)))
    places = {by: places[by], **places}
    entries = [_entry(key, snapshot, figures, places, by) for key in keys]
    columns = {name: _scaled(figures.columns[p], [e.cells[name] for e in entries]) for name, p in places.items()}
    phases = {name: TITLES[phase] for name, (phase, _) in places.items()}
    ranked = _ranked(entries, by, columns[by])
    sign = -1.0 if columns[by].quantity.better == "higher" else 1.0
    used = [source for phase, rows in figures.found.items() for key, source in rows.items() if _shown(key, keys)]
    machine = next((s.sitting.machine for s in used if s.sitting.place == place), {})
    return Board(
        suite=snapshot.study.name,
        place=place,
        machine=machine,
        date=max((source.date for source in used), default=""),
        by=by,
        columns=columns,
        titles=_titles(columns, phases),
        phases=phases,
        entries=tuple(sorted(ranked, key=lambda entry: _order(entry, sign * float(entry.cells[by].value or 0)))),
        conditions={title: lead for title, lead in figures.leads.items() if lead},
        reference=snapshot.study.reference,
    )


def _order(entry: Entry, cost: float) -> tuple[float, float, str, str]:
    """By rank, within a rank by the value; those without a rank below, by name."""
    return (inf, 0.0, *entry.key) if entry.rank is None else (entry.rank, cost, *entry.key)


def _titles(columns: Mapping[str, Column], phases: Mapping[str, str]) -> dict[str, str]:
    """What each column is headed: with its phase where that was asked for, or where another one is headed alike."""
    short = {name: heading(column)[0] for name, column in columns.items()}
    alike = Counter(short.values())
    found: dict[str, str] = {}
    for name, title in short.items():
        plain = not split(name)[0] and alike[title] == 1
        long = title if plain else f"{title}, {phases[name].lower()}"
        found[name] = f"{long} ({name})" if long in found.values() else long
    return found


def _shown(key: Key, keys: Sequence[Key]) -> bool:
    return any(key[0] == shown[0] and key[1] in (shown[1], "") for shown in keys)


def _keys(figures: _Figures, place: Place) -> list[Key]:
    """The rows of a place: what was timed there, and what was to be; without a place, what was trained or counted."""
    timed = [key for phase in TIMED for key in figures.found[phase]]
    if not place.machine and not timed:
        return list(figures.found[ACCURACY] or figures.found["static"])
    runs = {id(s.sitting): s for s in figures.found["infer"].values() if not s.confounds}
    missing = [key for source in runs.values() for key in declared(source.sitting)]
    return list(dict.fromkeys([*timed, *missing]))


def _places(figures: _Figures, asked: Asked) -> dict[str, tuple[str, str]]:
    """The columns to show: name as asked for -> (phase, quantity).

    Raises:
        UsageError: a name that the records do not have.
    """
    found: dict[str, tuple[str, str]] = {}
    for name in [*(asked.columns or COLUMNS), *([asked.by] if asked.by else [])]:
        place = _place(figures, name)
        if place is not None:
            found[name] = place
        elif name in asked.columns or name == asked.by:
            known = {quantity for _, quantity in figures.columns}
            raise UsageError(f"no records of a quantity '{name}'; {nearest(split(name)[1], known)}")
    if not asked.columns and not any(c.published for c in figures.cells.get((ACCURACY, IF_PUBLISHED), {}).values()):
        found = {name: place for name, place in found.items() if name != IF_PUBLISHED or name == asked.by}
    return found


def _place(figures: _Figures, name: str) -> tuple[str, str] | None:
    """Without a phase in the name, the first that has it."""
    phase, quantity = split(name)
    phases = [phase] if phase else ["static", *TIMED, ACCURACY]
    return next(((each, quantity) for each in phases if (each, quantity) in figures.columns), None)


def _scaled(column: Column, cells: Sequence[Cell]) -> Column:
    """In the unit that suits all of the board's figures."""
    values = [float(cell.value) for cell in cells if cell.value is not None]
    if not values or column.learnt:
        return column
    factor, unit = scale(column.quantity.unit, median(values))
    return replace(column, factor=factor, unit="" if unit == "1" else unit)


def _entry(key: Key, snapshot: Snapshot, figures: _Figures, places: Mapping[str, tuple[str, str]], by: str) -> Entry:
    """One row, without its rank."""
    origins = {name: _source(figures, phase, key) for name, (phase, _) in places.items()}
    cells = {name: _cell(figures, places[name], source, own, key) for name, (source, own) in origins.items()}
    source, own = origins[by]
    facts, said = _facts(cells[by], figures.columns[places[by]], source, own, places[by][0])
    rows = [figures.rows[each, key] for each in ("infer",) if (each, key) in figures.rows]
    mismatch = [note for row in rows if row.struck for note in row.notes[:1]]
    learnt = [cell for (each, _), found in figures.cells.items() if each == ACCURACY for cell in _of(found, key[0])]
    facts |= {"mismatch": len(mismatch), "not_learnt": any("not_learnt" in cell.flags for cell in learnt)}
    said |= {"mismatch": mismatch[0] if mismatch else ""}
    if key[0] in snapshot.other_networks and source is None:
        said["measured"] = f"its records are of another network: {snapshot.other_networks[key[0]]}"
    return Entry(
        variant=key[0],
        mode=key[1],
        cells=cells,
        published=_published(figures, places, key[0]),
        labels={name: found.labels for name, (found, _) in origins.items() if found and found.labels},
        notes=tuple(_row_notes([s for s, _ in origins.values() if s], figures, key)),
        facts=facts,
        failed=tuple(failures(facts, said)),
        status=_status(cells[by], source),
        run=source.sitting.header.run if source else "",
    )


def _of(found: Mapping[Key, Cell], variant: str) -> list[Cell]:
    return [cell for (name, _), cell in found.items() if name == variant]


def _source(figures: _Figures, phase: str, key: Key) -> tuple[Source | None, Key]:
    """Where a row's figures of a phase are from: counts know no mode, and accuracy is of the mode of the training."""
    rows = figures.found.get(phase, {})
    wanted = (key[0], "") if phase == "static" else key
    if phase == ACCURACY and wanted not in rows:
        wanted = next((own for own in rows if own[0] == key[0]), wanted)
    return rows.get(wanted), wanted


def _cell(figures: _Figures, place: tuple[str, str], source: Source | None, own: Key, key: Key) -> Cell:
    """A figure with everything that must be known of it in a row of this mode."""
    phase = place[0]
    cell = figures.cells.get(place, {}).get(own, Cell(reason="not measured"))
    if source is None:
        others = [mode for name, mode in figures.found.get(phase, {}) if name == key[0]]
        reason = f"measured in mode {others[0]} alone" if others else "no record"
        if phase == ACCURACY:
            reason = figures.untrained.get(key[0], "not trained")
        return Cell(reason=reason)
    notes = list(source.labels)
    if phase == ACCURACY:
        where = {f"machine {r.machine.get('id')}, {r.started.partition('T')[0]}" for r in source.rounds.values()}
        changed = ", with uncommitted changes" if source.sitting.header.source.get("dirty") else ""
        notes.append(f"trained in mode {own[1]} on {' and '.join(sorted(where))}{changed}")
    if source.confounds:
        notes.append(f"not comparable: {', '.join(source.confounds)}")
    return replace(cell, notes=(*cell.notes, *notes), best=False)


def _facts(
    cell: Cell, column: Column, source: Source | None, own: Key, phase: str
) -> tuple[dict[str, float], dict[str, str]]:
    """What the rules look at, and what is known of it."""
    if source is None or cell.value is None:
        return {"measured": False}, {"measured": cell.reason}
    facts, said = facts_of(source, phase, own, column.key)
    return facts | {"interval": column.quantity.exact or cell.low is not None}, said


def _status(cell: Cell, source: Source | None) -> str:
    if cell.value is not None or source is None:
        return ""
    statuses = {record.status for record in source.rounds.values()}
    return next((status for status in FAILED if status in statuses and "ok" not in statuses), "")


def _row_notes(origins: Iterable[Source], figures: _Figures, key: Key) -> Iterator[str]:
    """From which run a row's times are, where it is not the newest of the board, and what is newer and not shown."""
    for phase in TIMED:
        newest = max((s.sitting.header.run for s in figures.found[phase].values()), default="")
        source = figures.found[phase].get(key)
        if source is not None and source.sitting.header.run != newest:
            run = source.sitting.header.run
            yield f"its {WHAT[phase]} are of run {run}, {source.date}: not paired with the newest run's"
    yield from dict.fromkeys(sentence for source in origins for sentence in source.passed)


def _published(figures: _Figures, places: Mapping[str, tuple[str, str]], variant: str) -> dict[str, tuple[str, str]]:
    """The document's figures of a variant, which stand in a table at the variant's first mode."""
    beside = {
        name: next((cell.published for cell in _of(figures.cells[place], variant) if cell.published), None)
        for name, place in places.items()
    }
    return {name: (found.text, found.source) for name, found in beside.items() if found}


def _ranked(entries: Sequence[Entry], by: str, column: Column) -> list[Entry]:
    """The rows with ranks, as far as they meet all rules."""
    found = ranks([Figure(e.key, e.run, e.cells[by]) for e in entries if not e.failed], column)
    return [replace(entry, rank=found.get(entry.key)) for entry in entries]
