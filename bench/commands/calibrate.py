"""Prove the gate on this machine: its false alarms on unchanged code, its power on slowed code, the noise floor."""

import re
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec

from bench import api, host, store, units
from bench.errors import Exit, UsageError
from bench.pairs import pairs as name_and_path
from bench.plan import expected_seconds, plan
from bench.record import Json, fingerprints
from bench.suite import Suite, load_suite
from bench.validate import validate

if TYPE_CHECKING:
    from collections.abc import Callable

    from bench.gate.arms import Arm
    from bench.gate.arms import Cell as Place
    from bench.gate.calibration import NoiseFloor
    from bench.gate.sitting import Order, Said, Sitting

QUANTITY, MEASURE, PHASE = "latency", "infer", "infer"
"""What is calibrated, its measure and phase."""

Slowdown = tuple[float, float]
"""Shares: what the slowed arm is slowed by, and what the gate tolerates."""

INTERRUPTED = "interrupted"
"""How the end of a sitting begins that somebody stopped."""


def talk(text: str) -> None:
    """Say something to the person; data alone goes to stdout."""
    click.echo(text, err=True)


def percentage(_: click.Context, __: click.Parameter, text: str) -> float:
    """Callback of an option: the share that `5%` is."""
    match = re.fullmatch(r"(\d+\.?\d*|\.\d+) ?%", text.strip())
    if not match or not 0 < float(match[1]) <= 100:
        raise click.BadParameter(f"'{text}': write a percentage above 0 and up to 100, such as 5%")
    return float(match[1]) / 100


@click.command()
@click.argument("suite")
@click.option("--profile", metavar="NAME", help="Profile of the suite [default: gpu on a CUDA device, else quick].")
@click.option("--variant", "variants", multiple=True, metavar="NAME", help="Only this variant; may be repeated.")
@click.option("--mode", "modes", multiple=True, metavar="NAME", help="Only this mode; may be repeated.")
@click.option("--device", metavar="NAME", help="cpu, cuda or cuda:N.")
@click.option("--pairs", type=click.IntRange(min=2), default=20, metavar="N", help="Pairs per cell [default: 20].")
@click.option("--slowdown", default="5%", metavar="P%", callback=percentage, help="Slow one arm by this [default: 5%].")
@click.option("--minutes", type=click.FloatRange(min=0), metavar="M", help="Stop measuring after M minutes.")
@click.option(
    "--data", "data_paths", multiple=True, metavar="NAME=PATH", callback=name_and_path, help="Where data lie."
)
@click.option("--results", default="results", type=Path, metavar="DIR", help="Where records go [default: results].")
@click.option("--seed", type=int, metavar="N", help="Seed of the order, of weights and of inputs.")
@click.option(
    "--format",
    "form",
    type=click.Choice(("terminal", "markdown", "json")),
    default="terminal",
    help="How it is printed.",
)
def calibrate(suite: str, **asked: Any) -> int:
    """Measure SUITE's latencies in pairs of the same code, and in pairs of which one is slowed on purpose.

    The gate is played on them: what it says of unchanged code is a false alarm, what it does not say of slowed code is
    a miss. Ctrl-C ends the sitting early and judges what there is. The noise floor is kept in
    results/SUITE/noise-MACHINE.json, to be committed, unless it is of a part of the suite or ended early.

    Exit code: 0, or 1 where false alarms are more frequent than the nominal 5 %, beyond doubt: the gate is not to be
    trusted here. 2 a mistake, 4 too little was measured, 5 a job failed, 130 interrupted.
    """
    from bench.gate.calibration import FEWEST, write
    from bench.gate.calibration_page import show
    from bench.gate.sitting import Order

    choice = api.choose(suite, asked["profile"], asked["device"])
    loaded = load_suite(suite, choice.profile or None, seed=asked["seed"], data_paths=asked["data_paths"])
    loaded = loaded.select(variants=asked["variants"], modes=asked["modes"])
    shares = (asked["slowdown"], tolerance_of(loaded))
    if shares[0] <= shares[1]:
        least = f"--slowdown {200 * shares[1]:g}%"
        raise UsageError(
            f"--slowdown {100 * shares[0]:g}%: within the gate's tolerance for {QUANTITY}; such as {least}"
        )
    talk(f"profile {choice.profile or 'none'} on {choice.device}: {choice.why}")
    machine = host.machine()
    arms = arms_of(loaded, shares[0], choice.device, machine["threads"])
    with ExitStack() as stack:
        tell = kept(arms, loaded, machine, asked["results"], stack)
        say_plan(arms[0], asked["pairs"], store.seconds_of_jobs(asked["results"], loaded.name, machine["id"]))
        found = sit(arms, asked["pairs"], Order(loaded.seed, asked["minutes"]), tell)
    floor = floor_of(found, arms[0], loaded, shares, machine)
    if floor.pairs < FEWEST:
        what = f"{floor.pairs} pair of every cell" if floor.pairs else "no cell"
        why = [floor.ended, *(f"{name}: {reason}" for name, reason in floor.lost.items())]
        talk(f"{what} was measured, at least {FEWEST} pairs are needed; {'; '.join(filter(None, why))}")
        return exit_code(floor, loaded)
    click.echo(show(floor, asked["form"]))
    reason = why_not_kept(floor, asked, choice, api.choose(suite, None, None))
    talk(f"not kept: {reason}" if reason else f"kept in {write(floor, asked['results'])}")
    return exit_code(floor, loaded)


def why_not_kept(floor: "NoiseFloor", asked: dict[str, Any], choice: api.Choice, usual: api.Choice) -> str:
    """Why a calibration must not take an earlier one's place; empty where it is of what a gate here `usual`ly takes."""
    if asked["variants"] or asked["modes"]:
        return "it is of a part of the suite"
    taken, known = (f"profile {one.profile or 'none'} on {one.device}" for one in (choice, usual))
    if taken != known:
        return f"it is of {taken}, and a gate takes {known} here"
    return floor.ended or ("" if floor.trials else "it is shorter than any gate")


def tolerance_of(suite: Suite) -> float:
    """The slowdown that the suite's gate allows, as a share.

    Raises:
        UsageError: no gate can judge a time by that rule.
    """
    from bench.gate import DEFAULT_RULES, tolerance
    from bench.gate.rules import chosen

    rule = suite.gate.get(QUANTITY, DEFAULT_RULES[QUANTITY])
    return tolerance(chosen({QUANTITY: rule}, (), suite.path, suite.profile)[QUANTITY])


def arms_of(suite: Suite, slowdown: float, device: str, threads: int) -> "tuple[Arm, ...]":
    """The same tree three times, the last time with slowed jobs.

    Raises:
        SuiteError: a network cannot be built.
    """
    from dataclasses import replace

    from bench.gate.arms import Arm
    from bench.gate.calibration import ARMS, SLOWED

    validate(suite, device=device, threads=threads)
    planned = plan(replace(suite, measures=(MEASURE,)), device=device, threads=threads)
    made = {(job.variant, job.mode, job.phase): job for job in planned if job.round == 0}
    # In the suite's order, which the page and the file follow; a plan is shuffled.
    jobs = {
        c: made[c] for variant in suite.variants for mode in suite.modes if (c := (variant.name, mode, PHASE)) in made
    }
    slow = {cell: msgspec.structs.replace(job, infer={**job.infer, "slowdown": slowdown}) for cell, job in jobs.items()}
    return tuple(Arm(name, suite.root, suite, slow if name == SLOWED else jobs, {}, {}) for name in ARMS)


def kept(
    arms: "tuple[Arm, ...]", suite: Suite, machine: Json, results: Path, stack: ExitStack
) -> "Callable[[Said], None]":
    """What keeps each record in the run of its arm, and tells of it."""
    folder = results / suite.name
    store.check_writable(folder)
    folder /= f"{store.new_name(machine['id'], folder)}-calibration"
    runs = {}
    for arm in arms:
        header = api.header_of(suite, arm.name, machine, ["bench", *sys.argv[1:]])
        runs[arm.name] = stack.enter_context(store.new_run(folder, header))
    talk(f"writing {folder}/")

    def tell(said: "Said") -> None:
        record = msgspec.structs.replace(said.record, machine=machine)
        store.append(runs[said.arm], record)
        value = next((v.value for v in record.values if v.quantity.name == QUANTITY and v.value), None)
        factor, unit = units.scale("s", value or 0.0)
        outcome = f"{record.status}: {record.reason}" if record.status != "ok" else "no latency"
        shown = f"{value / factor:.4g} {unit}" if value and record.status == "ok" else outcome
        talk(f"[pair {said.pair}/{said.pairs}] {record.job.cell} {said.arm}  {shown}  {record.seconds:.1f} s")

    return tell


def say_plan(arm: "Arm", pairs: int, earlier: dict[str, float]) -> None:
    """How much will be measured, and how long that may take."""
    jobs = list(arm.jobs.values())
    minutes = 3 * pairs * sum(expected_seconds(jobs, earlier)) / 60
    length = f"about {minutes:.0f} min" if minutes >= 1 else "under a minute"
    talk(f"plan: {len(jobs)} cells x {pairs} pairs x 3 fresh processes, the third of them slowed, {length}")


def sit(arms: "tuple[Arm, ...]", pairs: int, order: "Order", tell: "Callable[[Said], None]") -> "Sitting":
    """Measure every cell in all arms, so many times, in drawn orders; Ctrl-C and the time end it early.

    A cell whose job failed once is not measured further.
    """
    from bench.gate.sitting import Sitting, Turn, pair, shuffled

    cells = list(arms[0].jobs)
    found = Sitting(dict.fromkeys([(cell, QUANTITY) for cell in cells], 0.0))
    begin, number = order.clock(), 0
    try:
        for number in range(pairs):
            for cell in shuffled({cell for cell, _ in found.open}, f"{order.seed}/{number}"):
                if order.minutes is not None and order.clock() - begin > 60 * order.minutes:
                    found.ended = f"the budget of {order.minutes:g} min was spent in pair {number + 1}"
                    return found
                found.add(cell, pair(arms, cell, Turn(number, pairs, order.seed), tell))
    except KeyboardInterrupt:
        found.ended = f"{INTERRUPTED} in pair {number + 1}"
    return found


def floor_of(found: "Sitting", arm: "Arm", suite: Suite, shares: Slowdown, machine: Json) -> "NoiseFloor":
    """What was found: the noise of the cells that were measured, and what gates over all cells say."""
    from math import log

    from bench.gate.calibration import FEWEST, FIRST, SECOND, SLOWED, NoiseFloor, cells_of, plan_of, trials_of

    def against_first(other: str, cell: "Place") -> list[float]:
        one, two = (found.values((cell, QUANTITY), name) for name in (FIRST, other))
        return [log(b.value or 0) - log(a.value or 0) for a, b in zip(one, two, strict=True)]

    lost = {cell: f"{name}: {reason}" for (cell, name), reason in found.lost.items()}
    lost |= {cell: f"a pair: {reason}" for (cell, _), reason in found.missing.items()}
    kept = [cell for cell in arm.jobs if cell not in lost]
    unchanged, slower = ({name_of(c): against_first(other, c) for c in kept} for other in (SECOND, SLOWED))
    pairs, every = min(map(len, unchanged.values()), default=0), plan_of(len(arm.jobs))
    records = [record for of in found.records.values() for record in of]
    return NoiseFloor(
        suite=suite.name,
        machine=machine,
        profile=suite.profile,
        protocol=in_common([fingerprints(job)["infer"] for job in arm.jobs.values()]),
        newest=max((record.started for record in records), default=""),
        tolerance=shares[1],
        slowdown=shares[0],
        pairs=pairs,
        cells=cells_of(unchanged, slower, shares[1], every) if pairs >= FEWEST else {},
        trials=trials_of(unchanged, slower, shares[1], every),
        lost={name_of(cell): reason for cell, reason in lost.items()},
        ended=found.ended,
    )


def name_of(cell: "Place") -> str:
    """`variant/mode`."""
    return f"{cell[0]}/{cell[1]}"


def in_common(tables: list[Json]) -> Json:
    """The keys whose values all tables agree on."""
    return {key: value for key, value in tables[0].items() if all(table.get(key) == value for table in tables)}


def exit_code(floor: "NoiseFloor", suite: Suite) -> Exit:
    """130 where somebody stopped it, 1 where the gate is not to be trusted, 5 a job failed, 4 something is missing.

    What is marked optional, as a mode or a variant, does not count.
    """
    if floor.ended.startswith(INTERRUPTED):
        return Exit.INTERRUPTED
    spared = {variant.name for variant in suite.variants if variant.optional}
    spared_modes = {name for name, mode in suite.modes.items() if mode.optional}
    counted = []
    for name, reason in floor.lost.items():
        variant, _, mode = name.rpartition("/")
        if variant not in spared and mode not in spared_modes:
            counted.append(reason.partition(": ")[2].partition(":")[0])
    if floor.distrusted:
        return Exit.REGRESSION
    if any(status in api.BAD for status in counted):
        return Exit.FAILED
    return Exit.NOT_MEASURED if counted or not floor.trials else Exit.FINE
