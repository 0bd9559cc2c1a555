"""Where in a TOML file a problem lies: `file:line: what; what to type instead`.

Only used once something is wrong, because tomlkit, which keeps every character, is slow to parse.
"""

import re
from collections.abc import Iterable
from typing import Any, NamedTuple

Place = tuple[str | int, ...]
"""Keys and indices from the top of a file: `("variants", 0, "options", "stacks")`."""

_SENTINEL = "bench-position-of-this-line"


class Problem(NamedTuple):
    """One thing that is wrong, at a place; `hint` says what to type instead."""

    place: Place
    what: str
    hint: str = ""


def describe(file: str, text: str, problems: Iterable[Problem]) -> list[str]:
    """One line for each problem, in the order of the file, none twice."""
    located = [(line_of(text, problem.place), problem) for problem in problems]
    lines = [
        (line, f"{file}:{line}: {problem.what}" + (f"; {problem.hint}" if problem.hint else ""))
        for line, problem in located
    ]
    return [sentence for _, sentence in sorted(dict.fromkeys(lines))]


def line_of(text: str, place: Place) -> int:
    """The line of a key, or of the table that lacks it (its header), counted from 1.

    The value is replaced by a sentinel and the line of the sentinel is looked up in what tomlkit writes: that
    holds for every way in which TOML can say the same thing.
    """
    import tomlkit
    from tomlkit.exceptions import TOMLKitError

    while place:
        try:
            document = tomlkit.parse(text)
            _mark(document, place)
        except (KeyError, IndexError, TypeError, TOMLKitError):
            place = place[:-1]  # a missing key: where its table is
            continue
        lines = tomlkit.dumps(document).splitlines()
        marked = [number for number, line in enumerate(lines, start=1) if _SENTINEL in line]
        return marked[0] if marked else _first_inside(text, place)
    return 1


def _mark(document: Any, place: Place) -> None:
    """Put the sentinel at a place: in the comment of a header, or instead of a value.

    Lists of tables, and tables that are there only by what is in them, have no line of their own.
    """
    from tomlkit.items import AoT, Item, Table

    parent = document
    for key in place[:-1]:
        parent = parent[key]
    item = parent[place[-1]]
    if isinstance(item, Table):
        if not item.is_super_table():
            item.comment(_SENTINEL)
    elif isinstance(item, Item | bool) and not isinstance(item, AoT):  # tomlkit gives booleans as Python's own
        parent[place[-1]] = _SENTINEL


def _first_inside(text: str, place: Place) -> int:
    """The line of the first key below a table that has no header of its own, such as `[modes]` in `[modes.fast]`."""
    import tomllib

    value: Any = tomllib.loads(text)
    for key in place:
        value = value[key]
    keys: list[str | int] = list(value) if isinstance(value, dict) else list(range(len(value)))
    return min((line_of(text, (*place, key)) for key in keys), default=1)


def line_of_broken(text: str, message: str) -> int:
    """The line that a TOML parser's message names; the last one where it says "end of document"."""
    found = re.search(r"line (\d+)", message)
    return int(found[1]) if found else max(1, len(text.splitlines()))
