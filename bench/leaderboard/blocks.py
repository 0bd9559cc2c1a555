"""Generated blocks in markdown files: where they stand, what stands in them, and new text in their place. Pure text.

A block begins with a line `<!-- bench:begin SUITE key=value ... -->` and ends with `<!-- bench:end -->`. Markers in
code fences are examples, not blocks.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from bench.errors import UsageError, nearest

MARKER = re.compile(r"^ {0,3}<!--\s*bench:(\w*)(.*)$")
FENCE = re.compile(r"^ {0,3}(`{3,}|~{3,})(.*)$")
END = "<!-- bench:end -->"


@dataclass(frozen=True, slots=True)
class Block:
    """One block of a file.

    Attributes:
        line: of its first marker, from 1; last: of its second one.
        suite: the name after `bench:begin`; attributes: key -> value, as written.
        body: the text between the markers, with `\\n` at line ends.
    """

    line: int
    last: int
    suite: str
    attributes: Mapping[str, str]
    body: str


@dataclass(frozen=True, slots=True)
class OldTable:
    """A table that stands in a block.

    Attributes:
        heading: the nearest line in bold above it.
        heads: of its columns, rows: the texts below them; neither with marks of footnotes.
    """

    heading: str
    heads: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def blocks(text: str, name: str, known: Iterable[str]) -> list[Block]:
    """The blocks of a file in order.

    Args:
        name: the file's, for messages.
        known: attributes that a block may have.

    Raises:
        UsageError: a marker is doubled, not closed, or not written as it should be.
    """
    lines = text.splitlines()
    found: list[Block] = []
    begun: tuple[int, str, dict[str, str]] | None = None
    for number, kind, rest in _markers(lines):
        where = f"{name}:{number}"
        if kind == "begin":
            if begun:
                raise UsageError(f"{where}: a second bench:begin in the block of line {begun[0]}; close that by {END}")
            begun = (number, *_attributes(rest, where, sorted(known)))
        elif kind != "end":
            raise UsageError(f"{where}: unknown marker bench:{kind}; write bench:begin SUITE or bench:end")
        elif begun is None:
            raise UsageError(f"{where}: bench:end without a bench:begin above it; delete it")
        else:
            first, suite, attributes = begun
            found.append(Block(first, number, suite, attributes, "\n".join(lines[first : number - 1])))
            begun = None
    if begun:
        raise UsageError(f"{name}:{begun[0]}: this block has no end; write {END} below it")
    return found


def _markers(lines: Sequence[str]) -> Iterator[tuple[int, str, str]]:
    """(Line, kind, what follows) of every marker outside of code fences."""
    fence = ""
    for number, line in enumerate(lines, 1):
        if opened := FENCE.match(line.removeprefix("\ufeff")):
            if not fence:
                fence = opened[1]
            elif opened[1].startswith(fence) and not opened[2].strip():
                fence = ""
        elif not fence and (marker := MARKER.match(line.removeprefix("\ufeff"))):
            yield number, marker[1], marker[2]


def _attributes(rest: str, where: str, known: Sequence[str]) -> tuple[str, dict[str, str]]:
    """The suite and the attributes of a first marker."""
    inner, close, after = rest.partition("-->")
    if not close or after.strip():
        raise UsageError(f"{where}: a marker is a line of its own; write <!-- bench:begin SUITE -->")
    words = inner.split()
    if not words or "=" in words[0]:
        raise UsageError(f"{where}: no suite; write <!-- bench:begin SUITE -->")
    attributes: dict[str, str] = {}
    for word in words[1:]:
        key, equals, value = word.partition("=")
        if key not in known:
            raise UsageError(f"{where}: unknown attribute '{key}'; {nearest(key, known)}")
        if not equals or not value or key in attributes:
            raise UsageError(f"{where}: attribute {key} needs one value; write {key}=...")
        attributes[key] = value
    return words[0], attributes


def replaced(text: str, bodies: Iterable[tuple[Block, str]]) -> str:
    """The file with new texts in its blocks; its line ends stay as they are, those of a block follow its marker's."""
    lines = text.splitlines(keepends=True)
    for block, body in sorted(bodies, key=lambda pair: -pair[0].line):
        marker = lines[block.line - 1]
        end = marker[len(marker.rstrip("\r\n")) :]
        new = [line + end for line in ["", *body.rstrip("\n").split("\n"), ""]]
        lines[block.line : block.last - 1] = new
    return "".join(lines)


def tables(body: str) -> list[OldTable]:
    """The tables of a block, as they were written."""
    found: list[OldTable] = []
    heading = ""
    pending: list[tuple[str, ...]] = []
    for line in [*body.split("\n"), ""]:
        if line.startswith("|"):
            pending.append(tuple(_cells(line)))
            continue
        if len(pending) > 1:
            width = len(pending[0])
            found.append(OldTable(heading, pending[0], tuple(row for row in pending[2:] if len(row) == width)))
        pending = []
        if line.startswith("**"):
            heading = line
    return found


def _cells(line: str) -> Iterator[str]:
    """The texts of a table's line, without the marks of footnotes."""
    for cell in re.split(r"(?<!\\)\|", line.strip())[1:-1]:
        yield re.sub(r"\s*<sup>.*?</sup>", "", cell).strip()
