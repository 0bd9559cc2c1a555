"""Choose variants and modes by limits: which satisfy them, which may, and what excludes the rest."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bench import store
from bench.errors import Exit, UsageError, nearest
from bench.pairs import pairs
from bench.record import FLAGS

if TYPE_CHECKING:
    from bench.leaderboard import Board
    from bench.pick import Picked
    from bench.store import Loaded
    from bench.table.grid import Grid


FORMATS = ("terminal", "markdown", "json")


@click.command()
@click.argument("run")
@click.option("--min", "least", multiple=True, metavar="NAME=LIMIT", callback=pairs, help="Such as pckh.total=60.")
@click.option("--max", "most", multiple=True, metavar="NAME=LIMIT", callback=pairs, help="Such as latency=200ms.")
@click.option("--by", default="", metavar="NAME", help="Best first by this [default: the first --max, else latency].")
@click.option("--machine", default="", metavar="ID", help="Times of this machine [default: of the newest run].")
@click.option("--results", default="results", type=Path, metavar="DIR", help="Where runs are kept [default: results].")
@click.option("--format", "format_", type=click.Choice(FORMATS), default="terminal", help="How it is printed.")
def pick(run: str, least: dict[str, str], most: dict[str, str], **asked: object) -> int:
    """Choose among the rows of RUN: a file, a run's name, or a suite (the newest figures of all its runs).

    A limit is satisfied where the whole 95 % interval satisfies it. Rows that were measured by another protocol than
    the others satisfy nothing. Exit code 1 where no row satisfies all limits.
    """
    from bench.pick import plain

    if not least and not most:
        raise UsageError("no limit; write --min pckh.total=60 or --max latency=200ms")
    picked = picked_from(loaded(run, Path(str(asked["results"]))), least, most, str(asked["by"]), str(asked["machine"]))
    if asked["format_"] == "json":
        click.echo(json.dumps(plain(picked), indent=2))
    else:
        click.echo(page(picked, str(asked["format_"])))
    return Exit.FINE if picked.satisfied else Exit.REGRESSION


def loaded(name: str, results: Path) -> "list[Loaded]":
    """One run, or all of a suite; what is wrong with a file is told.

    Raises:
        StoreError: there is none.
    """
    path = Path(name)
    of_suite = [] if path.suffix == store.SUFFIX else store.runs(results, path.stem)
    found = [store.read(each) for each in of_suite or [store.find(results, name)]]
    for problem in (problem for each in found for problem in each.problems):
        click.echo(problem, err=True)
    return found


def picked_from(runs: "list[Loaded]", least: dict[str, str], most: dict[str, str], by: str, machine: str) -> "Picked":
    """The rows of one machine in their groups.

    Raises:
        UsageError: a quantity, a unit or a machine that is not there.
    """
    from bench.leaderboard import Asked, boards
    from bench.leaderboard.standings import snapshot
    from bench.pick import constraint, order_of
    from bench.pick import pick as chosen

    names = tuple(dict.fromkeys([*most, *least, *([by] if by else [])]))
    usual = boards(snapshot(runs), Asked())
    if not usual:
        raise UsageError("this run has no figures")
    first = order_of([], usual[0].columns, by or next(iter(most), ""))
    made = boards(snapshot(runs), Asked(by=first, columns=(*names, first)))
    board = _of_machine(made, machine)
    limits = [constraint(name, text, board.columns[name], least=False) for name, text in most.items()]
    limits += [constraint(name, text, board.columns[name], least=True) for name, text in least.items()]
    return chosen(board, limits, first)


def _of_machine(made: "list[Board]", machine: str) -> "Board":
    """The board of the machine that was asked for, else of the newest run."""
    known = {board.place.machine for board in made}
    if machine and machine not in known:
        raise UsageError(f"no times of a machine '{machine}'; {nearest(machine, known)}")
    wanted = [board for board in made if machine in ("", board.place.machine)]
    newest = max(wanted, key=lambda board: max(entry.run for entry in board.entries))
    if len(made) > 1 and not machine:
        others = ", ".join(sorted(known - {newest.place.machine}))
        click.echo(f"machine {newest.place.machine}; others: {others} (--machine ID)", err=True)
    return newest


def page(picked: "Picked", form: str) -> str:
    """What was picked, for people."""
    from bench import plugins
    from bench.leaderboard.page import machine_name

    board = picked.board
    limits = " ".join(each.option for each in picked.constraints)
    machine = machine_name(board.machine, board.place.device)
    where = f"{machine} (machine {board.place.machine}, {board.place.device})" if board.place.machine else "any machine"
    lead = [f"{board.suite}: {limits}, best first by {picked.by}", f"{where}; records of {board.date}"]
    if not picked.satisfied:
        lead.append(f"Nothing satisfies all limits for sure; {picked.advice}")
    grids = [_satisfied(picked)] if picked.satisfied else []
    renderer: Any = plugins.load("renderer", form)
    return str(renderer.laid_out(lead, grids, list(_others(picked))))


def _satisfied(picked: "Picked") -> "Grid":
    """The rows to choose among, with what must be known of each."""
    from bench.pick import known
    from bench.table.grid import Footnotes, Grid, Head, Text, in_common, value_text

    letters, found = Footnotes(), picked.satisfied
    heads = [Head("variant"), Head("mode")]
    rows = [[Text(one.entry.variant, letters.marks(one.notes)), Text(one.entry.mode)] for one in found]
    for group, (name, column) in enumerate(picked.board.columns.items(), 1):
        cells = [replace(cell, notes=known(cell, column)) for cell in (one.entry.cells[name] for one in found)]
        common = in_common(cells)
        heads.append(Head(name, column.unit, letters.marks([*column.notes, *common]), group))
        for row, cell in zip(rows, cells, strict=True):
            row.append(value_text(cell, column, letters, common))
    title = f"Satisfied ({len(found)})"
    return Grid(title, "", tuple(heads), tuple(map(tuple, rows)), (False,) * len(found), letters.listed())


def _others(picked: "Picked") -> Iterator[str]:
    """A line for each row that does not satisfy the limits, or not for sure, and what its flags mean."""
    for candidate in picked.unsure:
        notes = f" ({'; '.join(candidate.notes)})" if candidate.notes else ""
        yield f"Cannot tell: {candidate.name}: {'; '.join(candidate.reasons)}{notes}"
    for title, group in (("Not comparable", picked.apart), ("Excluded", picked.excluded)):
        yield from (f"{title}: {candidate.name}: {'; '.join(candidate.reasons)}" for candidate in group)
    limited = [each.name for each in picked.constraints]
    rows = [candidate.entry for candidate in (*picked.unsure, *picked.excluded)]
    flags = {flag for entry in rows for name in limited for flag in entry.cells[name].flags}
    yield from (f"{flag}: {sentence}" for flag, sentence in FLAGS.items() if flag in flags)
