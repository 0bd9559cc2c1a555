"""List suites, architectures, modes, measures and everything else that has a name."""

import json

import click

from bench import plugins
from bench.errors import Exit


@click.command("list")
@click.argument("kind", required=False, type=click.Choice(plugins.KINDS))
@click.option("--format", "format_", type=click.Choice(["terminal", "json"]), default="terminal", help="How to print.")
def list(kind: str | None, format_: str) -> int:
    """List everything that has a name, or only one KIND; `bench show NAME` says more."""
    found = [
        {"kind": each, "name": name, "help": plugins.help_line(each, name)}
        for each in ([kind] if kind else plugins.KINDS)
        for name in plugins.names(each)
    ]
    if format_ == "json":
        click.echo(json.dumps(found, indent=2))
        return Exit.FINE
    wide = max((len(item["name"]) for item in found), default=0)
    heading = ""
    for item in found:
        if item["kind"] != heading:
            heading = item["kind"]
            click.echo(f"{heading}s" if heading != "arch" else "architectures (arch)")
        click.echo(f"  {item['name']:<{wide}}  {item['help']}")
    return Exit.FINE
