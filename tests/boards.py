"""Runs that were never measured, and the boards that are made of them."""

from pathlib import Path
from typing import Any

from builders import SUITE
from jobs import header

from bench.leaderboard import Asked, Board, boards
from bench.leaderboard.standings import snapshot
from bench.record import Record
from bench.store import Loaded

OLD, NEW = "20260105T100000Z-3f2a91c0", "20260109T100000Z-3f2a91c0"


def run(found: list[Record], name: str = OLD, **changes: Any) -> Loaded:
    suite = SUITE | {"rounds": 3} | changes.pop("suite", {})
    return Loaded(Path(f"{name}.jsonl"), header(name, suite=suite, **changes), found, [])


def made(*runs: Loaded, **asked: Any) -> list[Board]:
    return boards(snapshot(runs, asked.get("profile", "")), Asked(**asked))


def board(*runs: Loaded, **asked: Any) -> Board:
    (one,) = made(*runs, **asked)
    return one
