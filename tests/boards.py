"""Runs that were never measured, the boards that are made of them, and what stands in a block."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from builders import LATENCY, SUITE
from jobs import header
from msgspec.structs import replace

from bench.leaderboard import Asked, Board, Entry, boards
from bench.leaderboard.blocks import Block
from bench.leaderboard.fill import filled
from bench.leaderboard.standings import snapshot
from bench.record import Record
from bench.store import Loaded

OLD, NEW = "20260105T100000Z-3f2a91c0", "20260109T100000Z-3f2a91c0"

GPU = {"id": "aaaa0000", "cpu": "Other CPU", "threads": 8, "torch": "2.13.0", "gpus": [{"name": "H200"}]}


def run(found: list[Record], name: str = OLD, **changes: Any) -> Loaded:
    suite = SUITE | {"rounds": 3} | changes.pop("suite", {})
    return Loaded(Path(f"{name}.jsonl"), header(name, suite=suite, **changes), found, [])


def made(*runs: Loaded, **asked: Any) -> list[Board]:
    return boards(snapshot(runs, asked.get("profile", "")), Asked(**asked))


def board(*runs: Loaded, **asked: Any) -> Board:
    (one,) = made(*runs, **asked)
    return one


def entry(of: Board, variant: str, mode: str = "fp32") -> Entry:
    return next(each for each in of.entries if each.key == (variant, mode))


def text(*runs: Loaded, body: str = "", **attributes: str) -> str:
    return filled(Block(1, 2, "made_up", attributes, body), runs).body


def rows(of: str, *words: str) -> list[str]:
    """The lines of a text's tables that hold all of these words."""
    return [line for line in of.splitlines() if line.startswith("|") and all(word in line for word in words)]


def notes_of(of: str, row: str, head: str) -> list[str]:
    """The footnotes of a row's cell in a text with one table; `head` begins the column's heading."""
    heads = [cell.strip() for cell in rows(of)[0].split("|")]
    cell = row.split("|")[next(i for i, title in enumerate(heads) if title.startswith(head))]
    marks = cell.partition("<sup>")[2].partition("</sup>")[0].split(",")
    known = dict(line.removeprefix("<sup>").split("</sup> ", 1) for line in of.splitlines() if line.startswith("<sup>"))
    return [known[mark].strip() for mark in marks if mark]


def changed(found: list[Record], change: Callable[[Record], Record], **only: Any) -> list[Record]:
    """The records, changed where their jobs are as said."""
    return [change(r) if all(getattr(r.job, k) == v for k, v in only.items()) else r for r in found]


def broken(record: Record, status: str = "timeout", reason: str = "no record within 600 s") -> Record:
    return replace(record, status=status, reason=reason, values=[])


def flagged(record: Record, flag: str) -> Record:
    values = [replace(v, flags=[*v.flags, flag]) if v.quantity == LATENCY else v for v in record.values]
    return replace(record, values=values)


def slower(record: Record, factor: float) -> Record:
    values = [replace(v, value=v.value * factor) if v.quantity == LATENCY and v.value else v for v in record.values]
    return replace(record, values=values)


def infer_batch(record: Record, batch: int) -> Record:
    prints = {name: fields | {"infer.batch": batch} for name, fields in record.fingerprints.items()}
    return replace(record, fingerprints=prints)
