"""Record a change that a gate found as intended, so that it passes."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from bench.errors import Exit, StoreError, UsageError, nearest

if TYPE_CHECKING:
    from bench.gate import Finding, Judgement
    from bench.gate.accepted import Accepted


@click.command()
@click.argument("cell", default="")
@click.option("--reason", required=True, metavar="TEXT", help="Why the change is meant; it stands in every later gate.")
@click.option("--all", "every", is_flag=True, help="Accept everything that regressed, instead of one cell.")
@click.option(
    "--judgement", default="", metavar="FILE", help="A judgement.json, or a suite (its newest) [default: the newest]."
)
@click.option("--results", default="results", type=Path, metavar="DIR", help="Where runs are kept [default: results].")
def accept(cell: str, reason: str, every: bool, judgement: str, results: Path) -> int:
    """Accept the change of CELL, such as original/fast/latency, as `bench gate` found it.

    The change is written to accepted/SUITE.toml beside the suite, to be committed with it. It is known again by the
    two networks that were compared, and the protocol: the gate passes it with the reason, and no other change of that
    cell.
    """
    from bench.gate import accepted
    from bench.gate.page import read

    if bool(cell) == every:
        raise UsageError("name one cell, such as original/fast/latency, or write --all")
    if not reason.strip():
        raise UsageError('the reason is empty; say why the change is meant: --reason "..."')
    path = _newest(results, judgement)
    found = read(path)
    suite = _suite(found)
    known = accepted.load(suite)
    findings = _chosen(found, "" if every else cell, known, path)
    entries = [accepted.entry(found, finding, reason) for finding in findings]
    new = accepted.write(suite, entries)
    where = _shown(accepted.file_of(suite))
    for one in entries:
        said = f"accepted {one.cell}: {one.change}" if one in new else f"{one.cell} is accepted already"
        click.echo(said, err=True)
    if not entries:
        click.echo(f"nothing regressed in {path}", err=True)
    elif new:
        click.echo(f"wrote {where}; commit it with the change", err=True)
    return Exit.FINE


def _newest(results: Path, named: str) -> Path:
    """A judgement by its file, the newest of a suite, or the newest of all: their folders begin with the time."""
    if named.endswith(".json"):
        return Path(named)
    suite = Path(named).stem or "*"
    found = sorted(results.glob(f"{suite}/*-gate/judgement.json"), key=lambda path: path.parent.name)
    if found:
        return found[-1]
    of = f" of '{suite}'" if named else ""
    hint = nearest(suite, {path.parent.parent.name for path in results.glob("*/*-gate/judgement.json")})
    raise StoreError(f"no judgement{of} under {results}/; " + (hint if named else "bench gate SUITE writes one"))


def _suite(judgement: "Judgement") -> Path:
    """The suite's file; where the judgement comes from another machine, the suite of that name here."""
    from bench.gate.arms import top_of
    from bench.suite import find

    try:
        path = top_of(Path.cwd()) / judgement.path
    except UsageError:  # judged elsewhere: by its name
        path = Path(judgement.path)
    return path if judgement.path and path.is_file() else find(judgement.suite)


def _chosen(judgement: "Judgement", cell: str, known: "list[Accepted]", path: Path) -> "list[Finding]":
    """The finding of a cell; everything that regressed where none is named.

    Raises:
        UsageError: there is no such cell, or it has no change that could be accepted.
    """
    from bench.gate import INCONCLUSIVE, PASS, REGRESSED

    if not cell:
        return [f for f in judgement.findings if f.acceptable and f.verdict != INCONCLUSIVE]
    named = [finding for finding in judgement.findings if finding.cell == cell]
    if not named:
        cells = [finding.cell for finding in judgement.findings]
        raise UsageError(f"{path} has no cell '{cell}'; {nearest(cell, cells)}")
    (finding,) = named[:1]
    before = (finding.cell, *judgement.identities.get(finding.cell, ("", "")))
    if finding.acceptable or before in [one.key for one in known]:
        return [finding]
    if finding.verdict == PASS:
        regressed = [finding.cell for finding in judgement.findings if finding.verdict == REGRESSED]
        hint = nearest(cell, regressed) if regressed else "nothing regressed there"
        raise UsageError(f"{cell} is {PASS} in {path}: there is nothing to accept; {hint}")
    raise UsageError(f"{cell} is {finding.verdict} in {path}: it has no change to accept; gate it again")


def _shown(path: Path) -> Path:
    here = Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) else path
