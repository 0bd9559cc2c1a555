"""Write the leaderboards of markdown files anew from the records, or check that they are up to date."""

import os
import shlex
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import click

from bench import plugins, store
from bench.errors import Exit, StoreError, UsageError, nearest
from bench.record import FLAGS
from bench.store import Loaded

if TYPE_CHECKING:
    from bench.leaderboard import Board, Entry
    from bench.leaderboard.blocks import Block
    from bench.leaderboard.fill import Filled

BEGIN = "<!-- bench:begin SUITE -->"


class Page(NamedTuple):
    """A markdown file as it is: its text with its line ends, and its blocks."""

    path: Path
    text: str
    blocks: "list[Block]"


class Change(NamedTuple):
    """A file that is not what the records say: where that shows, and its new content."""

    path: Path
    where: str
    data: bytes


@click.command()
@click.argument("files", nargs=-1, type=Path)
@click.option("--check", is_flag=True, help="Write nothing; exit 1 where a block is not what the records say.")
@click.option("--explain", is_flag=True, help="Write nothing; print which rules of a rank each row meets.")
@click.option("--results", default="results", type=Path, metavar="DIR", help="Where runs are kept [default: results].")
def leaderboard(files: tuple[Path, ...], check: bool, explain: bool, results: Path) -> int:
    """Write the blocks of FILES anew from the records.

    A block stands between the lines <!-- bench:begin SUITE key=value ... --> and <!-- bench:end -->.
    Without FILES: README.md, results/LEADERBOARD.md and docs/*.md, as far as they have blocks.

    \b
    kind=table       a table for each machine (default), or
    kind=pareto      a chart of accuracy against cost, written beside the file, or
    kind=claims      the document's claims, by the newest run with most figures
    by=latency       what ranks; the cost of a chart
    mode=fast        rows of this mode alone
    profile=quick    times of runs in this profile alone
    columns=a,b      what is shown, such as latency,pckh.total,train.peak_memory
    file=x/y.svg     where a chart goes [default: images/pareto_SUITE.svg]

    The same records give the same bytes. A row without a record any more stays and is marked stale; a run that failed
    or was cut short does not take the place of an older one that was not.
    """
    pages = read_pages(files, results)
    if explain:
        for line in [line for page in pages for line in explained(page, results)]:
            click.echo(line)
        return Exit.FINE
    changes = changed(pages, results)
    if check:
        for change in changes:
            click.echo(f"{change.where}: stale; refresh it with: {command(files, results)}", err=True)
        return Exit.REGRESSION if changes else Exit.FINE
    for change in changes:
        replace_file(change.path, change.data)
        click.echo(f"{change.path}: written", err=True)
    if not changes:
        click.echo("nothing to write: all blocks are up to date", err=True)
    return Exit.FINE


def command(files: Sequence[Path], results: Path) -> str:
    """What refreshes the blocks that were checked."""
    words = ["bench", "leaderboard", *map(str, files)]
    return shlex.join(words + (["--results", str(results)] if results != Path("results") else []))


def read_pages(files: Sequence[Path], results: Path) -> list[Page]:
    """The files with their blocks.

    Raises:
        UsageError: a file cannot be read, or has no block; its markers are wrong.
    """
    if files:
        pages = [_page(path) for path in dict.fromkeys(files)]
        for page in (page for page in pages if not page.blocks):
            raise UsageError(f"{page.path}:1: no block; write {BEGIN} and <!-- bench:end --> where it belongs")
        return pages
    usual = [Path("README.md"), results / "LEADERBOARD.md", *sorted(Path("docs").glob("*.md"))]
    pages = [page for path in usual if path.is_file() and (page := _page(path)).blocks]
    if not pages:
        raise UsageError(f"no block in README.md, {usual[1]} or docs/*.md; write {BEGIN} and <!-- bench:end --> there")
    return pages


def _page(path: Path) -> Page:
    from bench.leaderboard.blocks import blocks
    from bench.leaderboard.fill import ATTRIBUTES

    try:
        text = path.read_bytes().decode("utf-8")
    except OSError as error:
        raise UsageError(f"{path}: cannot read ({error.strerror}); name a markdown file") from None
    except UnicodeDecodeError as error:
        raise UsageError(f"{path}:1: not UTF-8 text ({error.reason}); save it as UTF-8") from None
    return Page(path, text, blocks(text, str(path), ATTRIBUTES))


def changed(pages: Iterable[Page], results: Path) -> list[Change]:
    """What is not as the records say; nothing is written.

    Raises:
        UsageError: a block asks for what the records do not have, or two charts go to one file.
    """
    from bench.leaderboard.blocks import replaced

    load = runs_of(results)
    changes: list[Change] = []
    drawn: dict[Path, tuple[str, bytes]] = {}
    for page in pages:
        bodies = []
        first = ""
        for block in page.blocks:
            where = f"{page.path}:{block.line}"
            made = _filled(block, where, load)
            bodies.append((block, made.body))
            if replaced(page.text, [(block, made.body)]) != page.text:
                first = first or where
            for name, data in made.files.items():
                path = page.path.parent / name
                before, same = drawn.setdefault(path.resolve(), (where, data))
                if same != data:
                    raise UsageError(f"{where}: {path} is the chart of {before}; write file=ANOTHER.svg")
                if before == where and (not path.is_file() or path.read_bytes() != data):
                    changes.append(Change(path, f"{where}: {path}", data))
        if first:
            changes.append(Change(page.path, first, replaced(page.text, bodies).encode()))
    return changes


def _filled(block: "Block", where: str, load: "Callable[[str], list[Loaded]]") -> "Filled":
    """What belongs into a block; its place stands before what is wrong with it."""
    from bench.leaderboard.fill import filled

    try:
        return filled(block, load(block.suite))
    except UsageError as error:
        raise UsageError(f"{where}: {error}") from None


def runs_of(results: Path) -> "Callable[[str], list[Loaded]]":
    """Reads the runs of a suite, once; what is wrong with a file is told.

    The function raises UsageError where there is no run, or no such suite.
    """
    read: dict[str, list[Loaded]] = {}

    def load(suite: str) -> list[Loaded]:
        if suite not in read:
            read[suite] = _runs(results, suite)
        return read[suite]

    return load


def _runs(results: Path, suite: str) -> list[Loaded]:
    measured = {path.parent.name for path in store.runs(results)}
    if suite not in measured:
        known = set(plugins.names("suite"))
        if suite in known:
            raise UsageError(f"no run of '{suite}' under {results}/; measure it first: bench run {suite}")
        raise UsageError(f"unknown suite '{suite}'; {nearest(suite, measured | known)}")
    found = []
    for path in store.runs(results, suite):
        try:
            found.append(store.read(path))
        except StoreError as error:  # a run that was killed before its first line must not hide the others
            click.echo(f"{error}: left out", err=True)
    for problem in (problem for run in found for problem in run.problems):
        click.echo(problem, err=True)
    if not found:
        raise UsageError(f"no run of '{suite}' under {results}/ can be read; measure it again: bench run {suite}")
    return found


def explained(page: Page, results: Path) -> Iterator[str]:
    """Each row of a file's blocks with the rules of a rank that it meets or not."""
    from bench.leaderboard.fill import found
    from bench.leaderboard.page import title

    load = runs_of(results)
    for block in page.blocks:
        where = f"{page.path}:{block.line}"
        try:
            boards = found(block, load(block.suite))
        except UsageError as error:
            raise UsageError(f"{where}: {error}") from None
        for board in boards:
            yield f"{where}: {block.suite}, {title(board).replace('**', '')}"
            for entry in board.entries:
                yield from _explained(entry, board)


def _explained(entry: "Entry", board: "Board") -> Iterator[str]:
    """One row: its rank, the rules, the flags that it is ranked in spite of, and newer figures that are not shown."""
    from bench.leaderboard.eligibility import QUALIFYING, RULES
    from bench.leaderboard.page import fixed

    broken = {failure.rule.id: failure for failure in entry.failed}
    rank = "not ranked" if entry.rank is None else f"rank {entry.rank}"
    met = ", ".join(rule.id for rule in RULES if rule.id not in broken and rule.fact in entry.facts)
    yield f"  {', '.join(filter(None, entry.key))}: {rank}; meets {met or 'nothing'}"
    for id_, failure in broken.items():
        yield f"    fails {id_}: {failure.text}; {fixed(failure.rule.fix, entry, board)}"
    flags = [flag for flag in entry.cells[board.by].flags if flag in QUALIFYING]
    if flags:
        yield f"    flagged, which costs no rank: {', '.join(f'{flag} ({FLAGS[flag]})' for flag in flags)}"
    for note in entry.notes:
        yield f"    {note}"


def replace_file(path: Path, data: bytes) -> None:
    """Put new content in the place of a file, at once, with its mode; a link goes on pointing to the file.

    Raises:
        UsageError: the file cannot be written.
    """
    real = path.resolve()
    try:
        real.parent.mkdir(parents=True, exist_ok=True)
        mode = real.stat().st_mode & 0o7777 if real.exists() else 0o644
        descriptor, name = tempfile.mkstemp(dir=real.parent, prefix=f".{real.name}.")
        temporary = Path(name)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            temporary.chmod(mode)
            temporary.replace(real)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise UsageError(f"{path}: cannot write ({error.strerror})") from None
