"""What a command that measures says while it does, and how Ctrl-C ends it."""

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import FrameType
from typing import Any

import click

from bench import api, reuse, units
from bench.plan import expected_seconds
from bench.record import Job
from bench.suite import Suite
from bench.trainings import with_paces


@dataclass(slots=True)
class Interrupts:
    """What Ctrl-C has asked for: the first one ends the run after the current job, the second kills that job."""

    asked: bool = False
    previous: list[Any] = field(default_factory=list)

    def __call__(self, number: int, _: FrameType | None) -> None:
        """The signal handler."""
        at_once = self.asked or number == signal.SIGTERM
        self.asked = True
        if at_once:
            raise KeyboardInterrupt
        # Not through sys.stderr, which may be in the middle of a line and refuses to be entered twice.
        os.write(2, b"\nstopping after the current job; Ctrl-C again kills it\n")


@contextmanager
def interruptible() -> Iterator[Interrupts]:
    """Signals answered by an Interrupts within, by their former handlers after."""
    interrupts = Interrupts()
    former = {number: signal.signal(number, interrupts) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield interrupts
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)


def talk(text: str) -> None:
    """Say something to the person; data alone goes to stdout."""
    click.echo(text, err=True)


def say_plan(suite: Suite, jobs: list[Job], earlier: dict[str, float]) -> None:
    """How many cells and jobs there are, and how long they may take."""
    parts = []
    earlier = with_paces(earlier, jobs)
    for phase in dict.fromkeys(job.phase for job in jobs):
        cells = {job.cell for job in jobs if job.phase == phase}
        rounds = len({job.round for job in jobs if job.phase == phase})
        what = "with {} seeds" if phase == reuse.PHASE else "in {} rounds"
        parts.append(f"{len(cells)} {phase}" + (f" {what.format(rounds)}" if rounds > 1 else ""))
    known = sum(job.id in earlier or job.cell in earlier for job in jobs)
    basis = "from earlier runs here" if known == len(jobs) else "by the profile's limits"
    minutes = sum(expected_seconds(jobs, earlier)) / 60
    length = f"about {minutes:.0f} min" if minutes >= 1 else "under a minute"
    listed = f"{len(jobs)} jobs ({', '.join(parts)}), seed {suite.seed}, {length} {basis}"
    talk(f"plan: {listed if jobs else 'nothing is left to do'}")


def print_plan(jobs: list[Job]) -> None:
    """The plan as lines of data, in the order in which it would run."""
    for job in jobs:
        click.echo(f"{job.id}  {turn(job)}  {job.cell}")


def turn(job: Job) -> str:
    """Which repetition of its cell a job is."""
    return f"seed {job.seed}" if job.phase == reuse.PHASE else f"round {job.round + 1}"


class Teller:
    """Says how far the run is: one line that is rewritten on a terminal, a line per record elsewhere."""

    def __init__(self) -> None:
        self.live = sys.stderr.isatty() and not os.environ.get("CI")
        self.done = 0

    def __call__(self, now: api.Progress) -> None:
        """After each record."""
        self.done, record = now.done, now.record
        bad = record.status != "ok"
        outcome = f"{record.status}: {record.reason}" if bad else figure(now)
        line = f"[{now.done}/{now.total}] {record.job.cell} {turn(record.job)}  {outcome}"
        line += f"  {record.seconds:.1f} s, {units.duration(now.left)} left"
        if not self.live:
            talk(line)
            return
        width = max(20, (os.get_terminal_size(sys.stderr.fileno()).columns or 80) - 1)
        click.echo(f"\r\x1b[2K{line[:width]}" + ("\n" if bad else ""), err=True, nl=False)

    def end(self) -> None:
        """Leave the line."""
        if self.live:
            talk("")


def figure(now: api.Progress) -> str:
    """The cell's median over the rounds so far, with its interval once there are two."""
    if now.interval is None:
        return "done"
    factor, name = units.scale(now.unit, now.interval.value)
    half = now.interval.half_width
    digits = units.decimals(now.interval.value / factor, half / factor if half else None)
    spread = f" ± {half / factor:.{digits}f}" if half is not None else ""
    return f"{now.quantity} {now.interval.value / factor:.{digits}f}{spread} {name}".rstrip()
