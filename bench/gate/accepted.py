"""Changes that somebody accepted: a file beside the suite, which people read and commit, and what follows from it.

`<folder of the suite>/accepted/<suite>.toml` holds `[[accepted]]` tables. Each is about one cell and one pair of
networks: the same change is known again in any later gate, another change of that cell is not covered.
"""

import tomllib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from bench.errors import SuiteError, UsageError, nearest
from bench.gate import INCONCLUSIVE, PASS, Finding, Judgement
from bench.gate.page.rows import ACCEPTED, clean, compared
from bench.suite.positions import Problem, describe, line_of_broken

HEADING = """\
# Changes that were intended: `bench accept` writes this file, `bench gate` reads it.
# Commit it with the change; an entry that no longer applies can be removed.
"""

FEW = 3
"""Up to so many cells are named in a note."""


class Accepted(msgspec.Struct, frozen=True, kw_only=True):
    """One accepted change.

    Attributes:
        cell: `variant/mode/quantity`; reason: why the change is meant.
        base, head: identities of the two networks, by which the change is known again.
        change: what was measured when it was accepted, for people.
    """

    cell: str
    reason: str
    base: str
    head: str
    change: str = ""

    @property
    def key(self) -> tuple[str, str, str]:
        """What is accepted; the rest is said about it."""
        return self.cell, self.base, self.head


FIELDS = Accepted.__struct_fields__
OPTIONAL = {"change"}


def file_of(suite: Path) -> Path:
    """Where the accepted changes of a suite's file are kept."""
    return suite.parent / "accepted" / f"{suite.stem}.toml"


def load(suite: Path) -> list[Accepted]:
    """The accepted changes of a suite, by the suite's own file; none where there is no such file.

    Raises:
        SuiteError: the file is broken; every problem with its line.
    """
    path = file_of(suite)
    text = _text(path)
    try:
        raw = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        line = line_of_broken(text, str(error))
        raise SuiteError([f"{path}:{line}: not valid TOML: {error}; mend this line"]) from None
    if found := list(_problems(raw)):
        raise SuiteError(describe(str(path), text, found))
    return [msgspec.convert(entry, Accepted) for entry in raw.get("accepted", [])]


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8") if path.exists() else ""
    except UnicodeDecodeError as error:
        raise SuiteError([f"{path}:1: not UTF-8 text ({error.reason}); save it as UTF-8"]) from None
    except OSError as error:
        raise UsageError(f"{path}: cannot read ({error.strerror})") from None


def _problems(raw: dict[str, Any]) -> Iterator[Problem]:
    """Unknown and missing keys, and values that are no text: a slip must not accept anything, nor be overlooked."""
    for key in raw:
        if key != "accepted":
            yield Problem((key,), f"unknown key '{key}'", "write [[accepted]]")
    entries = raw.get("accepted", [])
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        yield Problem(("accepted",), "'accepted' is no list of tables", "write [[accepted]]")
        return
    for index, entry in enumerate(entries):
        for key, value in entry.items():
            if key not in FIELDS:
                yield Problem(("accepted", index, key), f"unknown key '{key}'", nearest(key, FIELDS))
            elif not isinstance(value, str) or (not value.strip() and key not in OPTIONAL):
                yield Problem(("accepted", index, key), f"{key} is no text", f'write {key} = "..."')
        for key in FIELDS if all(key in FIELDS for key in entry) else ():  # a misspelt key is one mistake, not two
            if key not in entry and key not in OPTIONAL:
                yield Problem(("accepted", index, key), f"missing key '{key}'", f'write {key} = "..."')


def apply(judgement: Judgement, accepted: Sequence[Accepted]) -> Judgement:
    """The judgement with accepted regressions as passes, and a note on acceptances that match nothing.

    One is matched by its cell and its pair of networks, first weights and protocol among them as far as the figure
    hangs on these. Where they are others by now it does not apply; one of a cell that was not gated this time may
    still.
    """
    reasons = {one.key: one.reason for one in accepted if one.base != one.head}

    def judged(finding: Finding) -> Finding:
        pair = judgement.identities.get(finding.cell)
        if (
            finding.verdict == INCONCLUSIVE
            or not finding.acceptable
            or pair is None
            or (finding.cell, *pair) not in reasons
        ):
            return finding
        return msgspec.structs.replace(finding, verdict=PASS, reason=ACCEPTED + reasons[finding.cell, *pair])

    notes = [*judgement.notes, *_unmatched(judgement, accepted)]
    return msgspec.structs.replace(judgement, findings=[judged(one) for one in judgement.findings], notes=notes)


def _unmatched(judgement: Judgement, accepted: Iterable[Accepted]) -> Iterator[str]:
    pairs = judgement.identities
    over = [one.cell for one in accepted if one.cell in pairs and (one.base, one.head) != tuple(pairs[one.cell])]
    absent = [one.cell for one in accepted if one.cell not in pairs]
    many = "changes" if len(over) > 1 else "change"
    if over:
        applies, them = ("apply", "them") if len(over) > 1 else ("applies", "it")
        where = file_of(Path(judgement.path))
        past = f"remove {them} from {where} once past"
        yield f"{len(over)} accepted {many} {applies} to other networks or another protocol ({_some(over)}); {past}"
    if absent:
        are = "changes are of cells that were" if len(absent) > 1 else "change is of a cell that was"
        yield f"{len(absent)} accepted {are} not gated here ({_some(absent)})"


def _some(cells: Sequence[str]) -> str:
    return ", ".join(cells[:FEW]) + (", ..." if len(cells) > FEW else "")


def entry(judgement: Judgement, finding: Finding, reason: str) -> Accepted:
    """The acceptance of a finding's change.

    Raises:
        UsageError: the judgement does not say which networks were compared, or they are the same.
    """
    pair = judgement.identities.get(finding.cell)
    if pair is None:
        raise UsageError(f"{finding.cell}: the judgement does not name its networks; gate it again, then accept it")
    base, head = pair
    if base == head:
        said = "base and head are the same network, so that there is no change to accept"
        raise UsageError(f"{finding.cell}: {said}; gate it again")
    return Accepted(cell=finding.cell, reason=clean(reason), base=base, head=head, change=compared(finding))


def write(suite: Path, entries: Iterable[Accepted]) -> list[Accepted]:
    """Put entries into the suite's file, with its comments kept; those that were new or have another reason now.

    Raises:
        SuiteError: the file is broken.
        UsageError: it cannot be written.
    """
    known = {one.key: (index, one.reason) for index, one in enumerate(load(suite))}
    new = [one for one in entries if known.get(one.key, (0, None))[1] != one.reason]
    if not new:
        return []
    path = file_of(suite)
    text = _text(path) or HEADING
    for one in new:
        text = _with_reason(text, known[one.key][0], one.reason) if one.key in known else _with_entry(text, one)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{path}: cannot write ({error.strerror})") from None
    return new


def _with_reason(text: str, index: int, reason: str) -> str:
    import tomlkit

    document: Any = tomlkit.parse(text)
    document["accepted"][index]["reason"] = reason
    return tomlkit.dumps(document)


def _with_entry(text: str, one: Accepted) -> str:
    """One more [[accepted]] at the end, a blank line in front of it; one more element where it is an inline list."""
    import tomlkit
    from tomlkit.items import Array

    fields = {key: value for key, value in msgspec.structs.asdict(one).items() if value}
    document: Any = tomlkit.parse(text)
    if isinstance(document.get("accepted"), Array):
        document["accepted"].append(fields)
        return tomlkit.dumps(document)
    return f"{text.rstrip()}\n\n{tomlkit.dumps({'accepted': [fields]})}"
