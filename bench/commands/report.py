"""Show the table of a run that was measured before."""

from pathlib import Path

import click

from bench import store
from bench.errors import Exit
from bench.page import FORMATS, page


@click.command()
@click.argument("run")
@click.option("--results", default="results", type=Path, metavar="DIR", help="Where runs are kept [default: results].")
@click.option("--format", "format_", type=click.Choice(FORMATS), default="terminal", help="How the table is printed.")
def report(run: str, results: Path, format_: str) -> int:
    """Print the table of RUN: a file, a run's name, or a suite (its latest run)."""
    loaded = store.read(store.find(results, run))
    for problem in loaded.problems:
        click.echo(problem, err=True)
    click.echo(page(loaded, format_))
    return Exit.FINE
