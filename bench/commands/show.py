"""Show one thing in full: a plugin with its options, a suite as written, a run, or a record."""

from contextlib import suppress
from pathlib import Path

import click
import msgspec

from bench import plugins, store
from bench.errors import Exit, StoreError, UsageError, nearest
from bench.record import Record, encode

FUNCTION = {"arch": "build", "dataset": "load", "mode": "apply"}
"""The function of each kind whose parameters are options in a suite."""


def plugin_text(kind: str, name: str) -> str:
    """The file's help line, and its options with their types and defaults."""
    file = plugins.path(kind, name)
    lines = [f"{kind} {name}: {plugins.help_line(kind, name)}", f"file: {file}"]
    given = {"subject", "split", "size", "count"}  # filled in by bench, not by a suite
    for option in plugins.options(file, FUNCTION[kind]).values() if kind in FUNCTION else ():
        if option.name not in given:
            default = "required" if option.required else f"= {option.default!r}"
            lines.append(f"  {option.name}: {option.annotation} {default}")
    if kind == "arch":
        lines += [f"needs {package}: {line}" for package, line in plugins.needs(file).items()]
    return "\n".join(lines)


def run_text(loaded: store.Loaded) -> str:
    """A run's header in short, and one line per record."""
    header = loaded.header
    lines = [f"run {header.run}: suite {header.suite.get('name')}, profile {header.profile or 'none'}"]
    lines += [
        f"machine {header.machine.get('id')}: {header.machine.get('cpu')}",
        f"commit {header.source.get('commit')}",
    ]
    for record in loaded.records:
        outcome = record.status + (f": {record.reason}" if record.reason else "")
        where = f"{record.job.cell} round {record.job.round + 1}"
        lines.append(f"  {record.id}  {where}  {outcome}  {record.seconds:.1f} s")
    return "\n".join([*lines, *loaded.problems])


def records_named(results: Path, name: str) -> list[Record]:
    """Records of the newest run that has any whose id begins so, or whose cell is called so."""
    for path in reversed(store.runs(results)):
        # One run that cannot be read (killed before its first line, or of a newer bench) must not hide the others.
        with suppress(StoreError):
            records = store.read(path).records
            found = [r for r in records if r.job.cell == name or (len(name) >= 6 and r.id.startswith(name))]
            if found:
                return found
    return []


@click.command()
@click.argument("name")
@click.option("--results", default="results", type=Path, metavar="DIR", help="Where runs are kept [default: results].")
def show(name: str, results: Path) -> int:
    """Show NAME: a plugin, a suite, a run, a cell such as original/fast/infer, or the id of a record.

    Cells and records come as JSON, with every raw sample.
    """
    kinds = [kind for kind in plugins.KINDS if name in plugins.names(kind)]
    for kind in kinds:
        click.echo(plugins.path(kind, name).read_text() if kind in ("suite", "recipe") else plugin_text(kind, name))
    if kinds:
        return Exit.FINE
    records = records_named(results, name)
    if records:
        for record in records:
            click.echo(msgspec.json.format(encode(record), indent=2).decode())
        return Exit.FINE
    try:
        path = store.find(results, name)
    except StoreError:
        known = {each for kind in plugins.KINDS for each in plugins.names(kind)}
        runs = {path.stem for path in store.runs(results)}
        raise UsageError(f"nothing is called '{name}'; {nearest(name, known | runs)}") from None
    click.echo(run_text(store.read(path)))
    return Exit.FINE
