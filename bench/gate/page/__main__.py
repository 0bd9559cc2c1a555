"""`python -m bench.gate.page FILE FORMAT`: show a judgement.json again, in another format or elsewhere."""

import sys
from pathlib import Path

import click

from bench.errors import BenchError, UsageError
from bench.gate.page import FORMATS, read, show
from bench.gate.page.markdown import summary


@click.command()
@click.argument("file", type=Path)
@click.argument("form", type=click.Choice(FORMATS), default="terminal", metavar="[FORMAT]")
@click.option("--limit", type=int, metavar="BYTES", help="Of markdown: what is worst stays, the rest is counted.")
def main(file: Path, form: str, limit: int | None) -> None:
    """Show FILE, the judgement.json of a gate, in one of the formats terminal, markdown, json, junit, github.

    The exit code is 0 whatever the verdict: this only shows.
    """
    try:
        if limit is not None and form != "markdown":
            raise UsageError(f"--limit is for markdown, not for {form}")
        judgement = read(file)
        click.echo(show(judgement, form) if limit is None else summary(judgement, limit).rstrip("\n"))
    except BenchError as error:
        click.echo(str(error), err=True)
        sys.exit(int(error.code))


if __name__ == "__main__":
    main()
