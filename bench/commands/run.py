"""Measure a suite: every variant in every mode, in fresh processes, and show the table."""

import os
import shlex
import signal
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

import click

from bench import api, reuse, store, units
from bench.errors import Exit, UsageError
from bench.page import FORMATS, page
from bench.pairs import pairs
from bench.plan import expected_seconds
from bench.record import Job
from bench.suite import Suite, find, load_suite
from bench.trainings import with_paces
from bench.validate import said


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


@click.command()
@click.argument("suite")
@click.option("--profile", metavar="NAME", help="Profile of the suite [default: gpu on a CUDA device, else quick].")
@click.option("--variant", "variants", multiple=True, metavar="NAME", help="Only this variant; may be repeated.")
@click.option("--mode", "modes", multiple=True, metavar="NAME", help="Only this mode; may be repeated.")
@click.option("--measure", "measures", multiple=True, metavar="NAME", help="Only this measure; may be repeated.")
@click.option("--rounds", type=int, metavar="N", help="Rounds, each a fresh process per cell.")
@click.option("--seed", type=int, metavar="N", help="Seed of the order, of weights and of inputs.")
@click.option("--device", metavar="NAME", help="cpu, cuda or cuda:N.")
@click.option("--data", "data_paths", multiple=True, metavar="NAME=PATH", callback=pairs, help="Where data lie.")
@click.option("--results", default="results", type=Path, metavar="DIR", help="Where runs are kept [default: results].")
@click.option("--resume", metavar="RUN", help="Complete an earlier run: only what is not yet ok.")
@click.option("--force", is_flag=True, help="Resume although machine or commit differ, if the networks are the same.")
@click.option("--fresh", is_flag=True, help="Train for accuracy, although earlier records may have it.")
@click.option("--timeout", type=float, metavar="SECONDS", help="Limit of each job.")
@click.option("--dry-run", is_flag=True, help="Check and print the plan, measure nothing.")
@click.option("--format", "format_", type=click.Choice(FORMATS), default="terminal", help="How the table is printed.")
def run(suite: str, **asked: Any) -> int:
    """Measure SUITE (a path, or a name in suites/) and print its table.

    Each job is a fresh process; every record is on disk before the next job starts. Ctrl-C stops after the current
    job, and `--resume RUN` goes on from there.
    """
    earlier = store.read(store.find(asked["results"], asked["resume"])) if asked["resume"] else None
    measures = asked["measures"]
    if earlier:
        asked = as_before(earlier, find(suite).stem, asked)
    choice = api.choose(suite, asked["profile"], asked["device"])
    loaded = load_asked(suite, choice, asked)
    talk(f"profile {loaded.profile or 'none'} on {choice.device}: {choice.why}")
    folder = asked["results"] / loaded.name
    if not asked["dry_run"]:
        store.check_writable(folder)
    overrides = {key: asked[key] for key in ("timeout", "data_paths")}
    wish = reuse.Asked(asked["results"], asked["fresh"], overrides, earlier.path if earlier else None, suite)
    prepared = api.prepare(loaded, choice.device, wish if shows_accuracy(measures, earlier) else None)
    machine = prepared.machine["id"]
    header = api.header_of(loaded, store.new_name(machine, folder), prepared.machine, ["bench", *sys.argv[1:]])
    left = prepared.jobs
    if earlier:
        left = api.jobs_left(prepared, earlier, header, force=asked["force"])
        talk(f"resuming {earlier.path}: {len(prepared.jobs) - len(left)} of {len(prepared.jobs)} jobs are done")
    for line in [*filter(None, [prepared.said]), *said(prepared.absent)]:
        talk(line)
    here = [job for job in left if job.variant not in prepared.absent]
    say_plan(loaded, here, store.seconds_of_jobs(asked["results"], loaded.name, machine))
    if asked["dry_run"]:
        print_plan(left)
        return Exit.FINE
    with ExitStack() as stack:
        opened = stack.enter_context(store.continued(earlier.path) if earlier else store.new_run(folder, header))
        interrupts = stack.enter_context(interruptible())
        talk(f"writing {opened.path}")
        teller = Teller()
        stack.callback(teller.end)
        with suppress(KeyboardInterrupt):  # the second one: the worker is dead, the records before it are on disk
            api.execute(prepared, left, opened, tell=teller, stop=lambda: interrupts.asked)
    stopped = interrupts.asked and teller.done < len(left)
    return finish(opened.path, prepared.wanted, stopped=stopped, format_=asked["format_"])


def shows_accuracy(measures: tuple[str, ...], earlier: store.Loaded | None) -> bool:
    """Earlier accuracies are shown unless a few other measures were asked for, now or when the run was begun."""
    if measures:
        return "accuracy" in measures
    return earlier is None or any(record.job.phase == reuse.PHASE for record in earlier.records)


def as_before(earlier: store.Loaded, suite: str, asked: dict[str, Any]) -> dict[str, Any]:
    """What an earlier run was asked for, wherever the command line does not ask for something else.

    Raises:
        UsageError: the run is of another suite.
    """
    header, was = earlier.header, earlier.header.suite
    if was.get("name") != suite:
        raise UsageError(f"{earlier.path}: a run of suite '{was.get('name')}', not of '{suite}'")
    variants = was.get("variants", [])
    # A phase has rounds of its own only where --rounds, which means every phase, was not given.
    own_rounds = any("rounds" in variant.get(phase, {}) for variant in variants for phase in ("infer", "train"))
    before = {
        "profile": header.profile or None,
        "seed": header.seed,
        "rounds": None if own_rounds else was.get("rounds"),
        "device": earlier.records[0].job.device if earlier.records else None,
        "variants": tuple(variant["name"] for variant in variants),
        "modes": tuple(was.get("modes", {})),
        "measures": tuple(was.get("measures", [])),
    }
    fresh = asked["fresh"] or "--fresh" in header.command
    return asked | {key: value for key, value in before.items() if asked[key] in (None, ())} | {"fresh": fresh}


def load_asked(suite: str, choice: api.Choice, asked: dict[str, Any]) -> Suite:
    """The suite with what the command line overrides and selects."""
    overrides = {key: asked[key] for key in ("rounds", "seed", "timeout", "data_paths")}
    if paths := asked["data_paths"]:
        plain = load_suite(suite, choice.profile or None)
        others = reuse.data_sets(plain) - {variant.data["use"] for variant in plain.variants}
        overrides["data_paths"] = {name: path for name, path in paths.items() if name not in others}
    loaded = load_suite(suite, choice.profile or None, **overrides)
    return loaded.select(variants=asked["variants"], modes=asked["modes"], measures=asked["measures"])


def finish(path: Path, wanted: set[str], *, stopped: bool, format_: str) -> int:
    """Show what was measured, say where it lies, and find the exit code, for which the wanted jobs count."""
    loaded = store.read(path)
    for problem in loaded.problems:
        talk(problem)
    click.echo(page(loaded, format_))
    name = path.stem if path.parent.parent == Path("results") else str(path)
    if stopped:
        command = loaded.header.command or ["bench", "run", loaded.header.suite["name"]]
        talk(f"interrupted; complete it with: {shlex.join([*command, '--resume', name])}")
        return Exit.INTERRUPTED
    talk(f"kept in {path}; show it again with: {shlex.join(['bench', 'report', name])}")
    return api.exit_code(loaded.header.suite, [r for r in loaded.records if r.id in wanted], len(wanted))


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
