"""Judge a change: is a network slower, bigger or worse than in another revision, or than stored records say?"""

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any

import click
import msgspec

from bench import api, host, store
from bench.errors import StoreError, UsageError
from bench.pairs import pairs

if TYPE_CHECKING:
    from bench.gate import Judgement
    from bench.gate.sitting import Said
    from bench.suite import Suite

Judged = tuple[Path, Path | None, "Judgement"]
"""The suite's file, the folder for the records, if any, and the verdict."""

MEASURING = {
    "profile": "--profile",
    "variants": "--variant",
    "modes": "--mode",
    "minutes": "--minutes",
    "everything": "--all",
    "seed": "--seed",
    "device": "--device",
    "data_paths": "--data",
}
"""Options of what is measured, which stored runs are not."""

FORMATS = ("terminal", "markdown", "json", "junit", "github")


def talk(text: str) -> None:
    """Say something to the person; data alone goes to stdout."""
    click.echo(text, err=True)


@click.command()
@click.argument("suite")
@click.option("--against", metavar="REV", help="Measure this revision of git beside the working tree, in pairs.")
@click.option("--baseline", metavar="RUN", help="Judge the stored run SUITE by this one, and confirm what got worse.")
@click.option(
    "--allow-mismatch",
    "allowed",
    multiple=True,
    metavar="FIELD",
    help="Compare with --baseline although the machines differ in this, such as driver; may be repeated.",
)
@click.option("--profile", metavar="NAME", help="Profile of the suite [default: gpu on a CUDA device, else quick].")
@click.option("--variant", "variants", multiple=True, metavar="NAME", help="Only this variant; may be repeated.")
@click.option("--mode", "modes", multiple=True, metavar="NAME", help="Only this mode; may be repeated.")
@click.option("--measure", "measures", multiple=True, metavar="NAME", help="Only rules about this measure's figures.")
@click.option("--minutes", type=click.FloatRange(min=0), metavar="N", help="Stop measuring after N minutes.")
@click.option("--all", "everything", is_flag=True, help="Measure cells too whose network and job are unchanged.")
@click.option("--strict", is_flag=True, help="What is inconclusive fails, with exit code 3.")
@click.option("--seed", type=int, metavar="N", help="Seed of the order, of weights and of inputs.")
@click.option("--device", metavar="NAME", help="cpu, cuda or cuda:N.")
@click.option("--data", "data_paths", multiple=True, metavar="NAME=PATH", callback=pairs, help="Where data lie.")
@click.option("--results", default="results", type=Path, metavar="DIR", help="Where records go [default: results].")
@click.option("--format", "form", type=click.Choice(FORMATS), default="terminal", help="How the verdict is printed.")
@click.option("--output", type=Path, metavar="FILE", help="Write the format to a file, and print for the terminal.")
def gate(suite: str, **asked: Any) -> int:
    """Judge SUITE, a path or a name in suites/, by its [gate]; with --baseline a run of it.

    Exit code: 0 nothing got worse, 1 something did, 2 a mistake, 3 inconclusive (--strict), 4 something was not
    measured, 5 a job failed, 6 not comparable, 130 interrupted.
    """
    check(asked)
    from bench.gate import accepted, exit_code
    from bench.gate.page import show

    begin = monotonic()
    with ExitStack() as stack:
        stack.enter_context(terminable())
        judge = against if asked["baseline"] is None else stored
        file, folder, judgement = judge(suite, asked, stack)
    judgement = accepted.apply(judgement, accepted.load(file))
    judgement = msgspec.structs.replace(judgement, seconds=monotonic() - begin, strict=asked["strict"])
    click.echo(show(judgement, "terminal" if asked["output"] else asked["form"]))
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        write(folder / "judgement.json", show(judgement, "json"))
        talk(f"kept in {folder}/")
    if asked["output"]:
        write(asked["output"], show(judgement, asked["form"]))
    return exit_code(judgement)


def check(asked: dict[str, Any]) -> None:
    """Raise UsageError for options that do not go together, and for a file that could not be written later."""
    if (asked["against"] is None) == (asked["baseline"] is None):
        raise UsageError("write one of --against REV and --baseline RUN; see: bench gate --help")
    if asked["allowed"] and asked["baseline"] is None:
        raise UsageError("--allow-mismatch: --against measures both sides on this machine; leave it out")
    if asked["baseline"] is not None:
        given = [name for name, option in MEASURING.items() if asked[name] not in (None, (), {}, False)]
        if given:
            raise UsageError(f"{MEASURING[given[0]]}: with --baseline the stored runs are judged as they are")
    output = asked["output"]
    if output and asked["form"] == "github":
        raise UsageError("--output: GitHub reads annotations in the log only; leave it out, or use --format junit")
    if output and not (output.parent.is_dir() and os.access(output if output.exists() else output.parent, os.W_OK)):
        raise UsageError(f"--output {output}: cannot write there; name a file in a folder that exists")


@contextmanager
def terminable() -> Iterator[None]:
    """A cancelled job is stopped as by Ctrl-C within, so that its worktree goes and what was measured is judged.

    So is one whose terminal is gone, unless it was started to outlive that (nohup).
    """
    former = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}
    heeded = [number for number, handler in former.items() if handler != signal.SIG_IGN]
    for number in heeded:
        signal.signal(number, signal.default_int_handler)
    try:
        yield
    finally:
        for number in heeded:
            signal.signal(number, former[number])


def write(path: Path, text: str) -> None:
    """Raise UsageError where a file cannot be written; the verdict is printed by then."""
    try:
        path.write_text(text + "\n", encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{path}: cannot write ({error.strerror})") from None


def against(suite: str, asked: dict[str, Any], stack: ExitStack) -> Judged:
    """Measure both trees, keep the records of each as a run of its own, and judge."""
    from bench.gate.against import Asked, case
    from bench.gate.sitting import sit

    choice = api.choose(suite, asked["profile"], asked["device"])
    talk(f"profile {choice.profile or 'none'} on {choice.device}: {choice.why}")
    kept = {key: asked[key] for key in ("against", "variants", "modes", "measures", "everything", "minutes")}
    overrides = {key: asked[key] for key in ("seed", "data_paths")}
    wish = Asked(profile=choice.profile, device=choice.device, overrides=overrides, **kept)
    ready = stack.enter_context(case(suite, wish, talk))
    talk(ready.planned)
    if ready.timed and (said := calibrated(asked["results"], ready.suite, ready.machine["id"])):
        talk(said)
    folder = asked["results"] / ready.suite.name
    store.check_writable(folder)
    folder /= f"{store.new_name(ready.machine['id'], folder)}-gate"
    runs = {}
    for arm in ready.arms if ready.timed or ready.others else ():
        header = api.header_of(arm.suite, arm.name, ready.machine, ["bench", *sys.argv[1:]])
        runs[arm.name] = stack.enter_context(store.new_run(folder, header))

    def tell(said: "Said") -> None:
        job = said.record.job
        network = {"network": ready.network(said.arm, job.variant)}
        facts = {"machine": ready.machine, "environment": said.record.environment | network}
        store.append(runs[said.arm], msgspec.structs.replace(said.record, **facts))
        talk(line(said))

    found = sit(ready.arms, ready.timed, ready.others, ready.order, tell)
    return ready.suite.path, folder, ready.judgement(found)


def calibrated(results: Path, suite: "Suite", machine_id: str) -> str:
    """What a calibration on this machine says of such a gate, in one line; empty where there was none."""
    from bench.gate.calibration import noise_floor
    from bench.gate.calibration_page import verdict

    try:
        floor = noise_floor(results, suite.name, machine_id)
    except StoreError as error:  # a gate does not hang on it
        return str(error)
    if floor is None or floor.profile != suite.profile:
        return ""
    return f"calibrated {floor.newest.partition('T')[0]}: {verdict(floor)}"


def stored(run: str, asked: dict[str, Any], stack: ExitStack) -> Judged:
    """Judge a run by a stored one; what looks worse is measured again, if this is the machine and the code."""
    from bench.gate import DEFAULT_RULES, baseline
    from bench.gate.again import Again
    from bench.gate.rules import chosen

    head = store.find(asked["results"], run)
    rules = chosen(store.read(head).header.suite.get("gate") or DEFAULT_RULES, asked["measures"], head)
    about = baseline.stored(earlier(asked["results"], asked["baseline"]), head, rules, asked["allowed"])
    again = Again(about.head, asked, stack, talk)
    findings = baseline.judge(about, again.measure)
    judgement = baseline.judgement_of(about, findings, str(again.file), host.machine())
    return again.file, again.folder, judgement


def earlier(results: Path, text: str) -> Path:
    """The run to judge by: a file, or what SUITE may be."""
    try:
        return Path(text) if Path(text).is_file() else store.find(results, text)
    except StoreError as error:
        raise UsageError(f"--baseline: {error}") from None


def line(said: "Said") -> str:
    """What came of one job."""
    record = said.record
    value = next((value for value in record.values if value.value is not None), None)
    figure = f"{value.quantity.name} {value.value:.4g} {value.quantity.unit}" if value else ""
    outcome = figure if record.status == "ok" else f"{record.status}: {record.reason}"
    return f"[pair {said.pair}/{said.pairs}] {record.job.cell} {said.arm}  {outcome}  {record.seconds:.1f} s"
