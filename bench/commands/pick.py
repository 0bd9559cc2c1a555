"""Choose variants and modes by limits: which satisfy them, which may, and what excludes the rest."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bench import store
from bench.errors import Exit, UsageError, nearest
from bench.pairs import pairs

if TYPE_CHECKING:
    from bench.leaderboard import Board
    from bench.pick import Candidate, Picked
    from bench.store import Loaded


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

    A limit is satisfied where the whole 95 % interval satisfies it. Exit code 1 where no row satisfies all limits.
    """
    from bench.pick import plain

    if not least and not most:
        raise UsageError("no limit; write --min pckh.total=60 or --max latency=200ms")
    picked = picked_from(loaded(run, Path(str(asked["results"]))), least, most, str(asked["by"]), str(asked["machine"]))
    if asked["format_"] == "json":
        click.echo(json.dumps(plain(picked), indent=2))
    else:
        click.echo(text(picked, markdown=asked["format_"] == "markdown"))
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


def text(picked: "Picked", *, markdown: bool) -> str:
    """What was picked, for people."""
    from tabulate import tabulate

    limits = " ".join(each.option for each in picked.constraints)
    parts = [f"{picked.board.suite}: {limits}, best first by {picked.by}"]
    columns = picked.board.columns
    if picked.satisfied:
        rows = [_cells(candidate, picked) for candidate in picked.satisfied]
        heads = ["variant", "mode", *(f"{name} [{c.unit}]" if c.unit else name for name, c in columns.items())]
        align = ["left", "left", *("right" for _ in columns)]
        form = "pipe" if markdown else "simple"
        parts.append(tabulate(rows, headers=heads, tablefmt=form, colalign=align, disable_numparse=True))
    else:
        parts.append(f"Nothing satisfies all limits for sure; {picked.advice}")
    for title, group in (("Cannot tell", picked.unsure), ("Excluded", picked.excluded)):
        lines = [f"{'- ' if markdown else '  '}{each.name}: {'; '.join(each.reasons)}" for each in group]
        if lines:
            parts.append("\n".join([f"{title}:", *([""] if markdown else []), *lines]))
    said = "\n\n".join(parts)
    return said.replace("~", "\\~") if markdown else said


def _cells(candidate: "Candidate", picked: "Picked") -> list[str]:
    from bench.pick import shown

    cells = [*candidate.entry.key]
    for name, column in picked.board.columns.items():
        cell = candidate.entry.cells[name]
        figure = shown("", cell, column).removesuffix(column.unit).strip() if cell.value is not None else "-"
        cells.append(figure)
    return cells
