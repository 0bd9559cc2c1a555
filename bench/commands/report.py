"""Show the table of a run that was measured before."""

from pathlib import Path
from typing import Any

import click

from bench import plugins, store
from bench.errors import Exit

FORMATS = plugins.names("renderer")


def show_run(loaded: store.Loaded, format_: str) -> None:
    """Print a run's table on stdout; what could not be read of it goes to stderr."""
    from bench.table import tabulate

    for problem in loaded.problems:
        click.echo(problem, err=True)
    render: Any = plugins.load("renderer", format_).render
    click.echo(render(tabulate(loaded.header.suite, loaded.records)).rstrip("\n"))


@click.command()
@click.argument("run")
@click.option("--results", default="results", type=Path, metavar="DIR", help="Where runs are kept [default: results].")
@click.option("--format", "format_", type=click.Choice(FORMATS), default="terminal", help="How the table is printed.")
def report(run: str, results: Path, format_: str) -> int:
    """Print the table of RUN: a file, a run's name, or a suite (its latest run)."""
    show_run(store.read(store.find(results, run)), format_)
    return Exit.FINE
