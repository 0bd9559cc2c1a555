"""Pairs as they are typed on the command line: NAME=PATH and KEY=VALUE."""

import click

EXAMPLES = {"NAME=PATH": "mpii=/data/mpii", "KEY=VALUE": "preset=hard", "NAME=LIMIT": "latency=200ms"}


def pairs(_: click.Context, parameter: click.Parameter, values: tuple[str, ...]) -> dict[str, str]:
    """Callback of an option that may be repeated, with another name; its metavar, one of EXAMPLES, shows a pair."""
    split = [value.partition("=") for value in values]
    for name, sign, value in split:
        if not (name and sign and value):
            form = str(parameter.metavar)
            raise click.BadParameter(f"'{name}{sign}{value}': write {form}, such as {EXAMPLES[form]}")
    found = {name: value for name, _, value in split}
    for name, sign, value in split:
        if found[name] != value:
            raise click.BadParameter(f"{name}{sign}{value} and {name}{sign}{found[name]}: write {name} once")
    return found
