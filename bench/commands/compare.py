"""Compare two runs figure by figure: better, worse, the same, or cannot tell."""

from pathlib import Path

import click

from bench.compare.page import FORMATS, page
from bench.errors import Exit


@click.command()
@click.argument("a", metavar="A")
@click.argument("b", metavar="B")
@click.option("--results", default="results", type=Path, metavar="DIR", help="Where runs are kept [default: results].")
@click.option("--format", "format_", type=click.Choice(FORMATS), default="terminal", help="How it is printed.")
@click.option("--all", "everything", is_flag=True, help="List what is the same, too.")
def compare(a: str, b: str, results: Path, format_: str, everything: bool) -> int:
    """Compare B with A: for every figure of both the ratio with its interval, and a verdict.

    A and B are runs: a file, a run's name, or a suite (its latest run). Each may also be a JSON file of
    pytest-benchmark, or any of these as git had it: REV:SUITE, REV:results/SUITE/RUN.jsonl.

    \b
    bench compare HEAD~1:stacked_speed stacked_speed
    bench compare before.json after.json

    A comparison informs and ends with 0; 6 where nothing can be compared. `bench gate` judges.
    """
    from bench.compare import compare as compared
    from bench.compare.sources import load

    sides = []
    for text in (a, b):
        side, problems = load(text, results)
        sides.append(side)
        for problem in problems:
            click.echo(problem, err=True)
    found = compared(*sides)
    click.echo(page(found, format_, everything))
    return Exit.FINE if found.comparable else Exit.NOT_COMPARABLE
