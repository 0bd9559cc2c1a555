"""Generated blocks in markdown files: where they stand, what stands in them, and new text in their place. Pure text.

A block begins with a line `<!-- bench:begin SUITE key=value ... -->` and ends with `<!-- bench:end -->`. Markers in
code fences are examples, not blocks.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from bench.errors import UsageError, nearest

MARKER = re.compile(r"^ {0,3}<!--\s*bench:(\w*)(.*)$")
CLOSED = re.compile(r"\s*-->\s*")
END = "<!-- bench:end -->"

FENCE = re.compile(r"^((?: *(?:>|(?:[-+*]|\d{1,9}[.)])(?= )))++ {0,4}| {0,3})(`{3,}(?=[^`]*$)|~{3,})")
"""What stands before a code fence (of quotes and lists, their markers), and the fence.

What follows a fence of backticks has none: such a line is inline code (CommonMark 0.31, 4.5).
"""

CLOSING = re.compile(r"^([ >]*)(`{3,}|~{3,})\s*$")

FOOTNOTE = re.compile(r"^<sup>(\w+)</sup> (.*)$")
MARKED = re.compile(r"^(.*?)(?:\s*<sup>(.*?)</sup>)?$")


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


class OldCell(NamedTuple):
    """One cell as it was written: its text, and the sentences of the footnotes that it is marked with."""

    text: str
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class OldTable:
    """A table that stands in a block.

    Attributes:
        heading: the nearest line in bold above it.
        heads: of its columns; rows: the cells below them.
    """

    heading: str
    heads: tuple[OldCell, ...]
    rows: tuple[tuple[OldCell, ...], ...]


class _Fence(NamedTuple):
    """A code fence that is open: its line, its characters, and what stands before them."""

    line: int
    text: str
    before: str

    def left_by(self, line: str) -> bool:
        """Whether a line is outside of the quote or the list item that the fence stands in, which ends it."""
        if ">" in self.before:
            return not line.lstrip().startswith(">")
        in_list = self.before.strip()
        return bool(in_list and line.strip()) and len(line) - len(line.lstrip(" ")) < len(self.before)

    def closed_by(self, line: str) -> bool:
        """Whether a line is its other end."""
        found = CLOSING.match(line)
        if not found or (">" in found[1]) != (">" in self.before):
            return False
        return found[2].startswith(self.text) and len(found[1]) <= len(self.before) + 3


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
    for number, kind, rest in _markers(lines, name):
        where = f"{name}:{number}"
        if kind == "begin":
            if begun:
                raise UsageError(f"{where}: a second bench:begin in the block of line {begun[0]}; close that by {END}")
            begun = (number, *_attributes(rest, where, sorted(known)))
        elif kind != "end":
            raise UsageError(f"{where}: unknown marker bench:{kind}; write bench:begin SUITE or bench:end")
        elif not CLOSED.fullmatch(rest):
            raise UsageError(f"{where}: a marker is a line of its own; write {END}")
        elif begun is None:
            raise UsageError(f"{where}: bench:end without a bench:begin above it; delete it")
        else:
            first, suite, attributes = begun
            found.append(Block(first, number, suite, attributes, "\n".join(lines[first : number - 1])))
            begun = None
    if begun:
        raise UsageError(f"{name}:{begun[0]}: this block has no end; write {END} below it")
    return found


def _markers(lines: Sequence[str], name: str) -> Iterator[tuple[int, str, str]]:
    """(Line, kind, what follows) of every marker outside of code fences."""
    fence: _Fence | None = None
    hidden = 0
    for number, line in enumerate(lines, 1):
        text = line.removeprefix("\ufeff").expandtabs(4)
        if fence and fence.left_by(text):
            fence = None
        marker = MARKER.match(text)
        if fence:
            hidden = hidden or (number if marker else 0)
            fence = None if fence.closed_by(text) else fence
        elif opened := FENCE.match(text):
            fence, hidden = _Fence(number, opened[2], opened[1]), 0
        elif marker:
            yield number, marker[1], marker[2]
    if fence and hidden:
        raise UsageError(
            f"{name}:{fence.line}: this code fence has no end, so that the marker in line {hidden} is code; "
            f"write {fence.text} where it ends"
        )


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
    """The tables of a block, as they were written; the footnotes of each stand between it and the next."""
    found: list[tuple[str, list[list[str]], dict[str, str]]] = []
    heading, within = "", False
    for line in body.split("\n"):
        if line.startswith("|"):
            if not within:
                found.append((heading, [], {}))
            found[-1][1].append(re.split(r"(?<!\\)\|", line.strip())[1:-1])
        elif line.startswith("**"):
            heading = line
        elif found and (note := FOOTNOTE.match(line)):
            found[-1][2][note[1]] = unescaped(note[2].strip())
        within = line.startswith("|")
    return [_table(*parts) for parts in found if len(parts[1]) > 1]


def _table(heading: str, lines: Sequence[Sequence[str]], notes: Mapping[str, str]) -> OldTable:
    heads, _, *rows = [tuple(_cell(cell.strip(), notes) for cell in line) for line in lines]
    return OldTable(heading, heads, tuple(row for row in rows if len(row) == len(heads)))


def _cell(written: str, notes: Mapping[str, str]) -> OldCell:
    """A cell's text, and what its marks stand for; a mark without a footnote is dropped."""
    found = MARKED.match(written)
    text, marks = (found[1], found[2] or "") if found else (written, "")
    return OldCell(unescaped(text), tuple(notes[mark] for mark in marks.split(",") if mark in notes))


def unescaped(text: str) -> str:
    """A text in which markup was escaped, as it was before."""
    return re.sub(r"\\([\\*|<~])", r"\1", text)
