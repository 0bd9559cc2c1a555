"""Measure a suite: every variant in every mode, in fresh processes, and show the table."""

import shlex
import sys
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import click

from bench import api, reuse, store
from bench.errors import Exit, UsageError
from bench.page import FORMATS, page
from bench.pairs import pairs
from bench.suite import Suite, find, load_suite
from bench.telling import Teller, interruptible, print_plan, say_plan, talk
from bench.validate import said


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
