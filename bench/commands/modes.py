"""How fast can it go? One network in every sensible combination of execution modes, as a ladder."""

import shlex
import sys
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from bench import api, host, own, plugins, store
from bench.errors import Exit, SuiteError, UsageError, nearest
from bench.ladder import Futile, ladder
from bench.ladder.combinations import chosen, combinations, with_ladder
from bench.ladder.page import FORMATS, show
from bench.pairs import pairs
from bench.suite import Suite, load_suite
from bench.telling import Teller, interruptible, print_plan, say_plan, talk

OF_SUITES = {"profile": "--profile", "variant": "--variant", "data_paths": "--data"}
OF_MEASURING = {"image": "--input", "batch": "--batch", "modes": "--mode", "rounds": "--rounds", "device": "--device"}


@click.command()
@click.argument("network", metavar="NETWORK")
@click.option("--input", "image", metavar="CxHxW", help="Of a network without a suite: 3x256x256, or 8x3x256x256.")
@click.option("--batch", type=click.IntRange(min=1), metavar="N", help="Images in a call [default: the suite's, or 1].")
@click.option("--variant", metavar="NAME", help="Which network of a suite [default: its baseline, or its only one].")
@click.option("--profile", metavar="NAME", help="Profile of the suite [default: gpu on a CUDA device, else quick].")
@click.option("--mode", "modes", multiple=True, metavar="NAME", help="Only this mode and fp32; may be repeated.")
@click.option("--rounds", type=click.IntRange(min=1), metavar="N", help="Rounds, each a fresh process per mode.")
@click.option("--device", metavar="NAME", help="cpu, cuda or cuda:N.")
@click.option("--data", "data_paths", multiple=True, metavar="NAME=PATH", callback=pairs, help="Where data lie.")
@click.option("--results", default="results", type=Path, metavar="DIR", help="Where runs are kept [default: results].")
@click.option("--dry-run", is_flag=True, help="Check and print the plan, measure nothing.")
@click.option("--format", "form", type=click.Choice(FORMATS), default="terminal", help="How the ladder is printed.")
def modes(network: str, **asked: Any) -> int:
    """Measure NETWORK in each sensible combination of modes, and print them as a ladder, the fastest first.

    NETWORK is a suite, a builder with the shape of its images, or an earlier ladder's file, which is printed again:

    \b
    bench modes stacked_speed --variant original
    bench modes mypackage.nets:build --input 3x256x256
    bench modes results/.../20260105T100000Z-3f2a91c0.jsonl

    Each job is a fresh process; every record is on disk before the next job starts. A mode that gives no figure is not
    tried again in the next round. Ctrl-C stops after the current job and prints what there is.
    """
    if network.endswith(store.SUFFIX):
        refuse(asked, OF_SUITES | OF_MEASURING, "a ladder's file is printed as it is")
        return finish(store.find(asked["results"], network), asked["form"])
    suite, device = suite_asked(network, asked)
    folder = asked["results"] / suite.name
    if not asked["dry_run"]:
        store.check_writable(folder)
    prepared = ready(suite, device, asked["image"])
    machine = prepared.machine["id"]
    say_plan(suite, prepared.jobs, store.seconds_of_jobs(asked["results"], suite.name, machine))
    if asked["dry_run"]:
        print_plan(prepared.jobs)
        return Exit.FINE
    return measured(prepared, folder, asked)


def refuse(asked: dict[str, Any], options: dict[str, str], why: str) -> None:
    """Raise UsageError for the first option that was given and says nothing here."""
    for name, option in options.items():
        if asked[name] not in (None, (), {}):
            raise UsageError(f"{option}: {why}; leave it out")


def suite_asked(network: str, asked: dict[str, Any]) -> tuple[Suite, str]:
    """A ladder in memory, of a suite's network or of one's own, and the device.

    Raises:
        UsageError: the network, an option or a mode is wrong.
    """
    if asked["image"] is not None:
        refuse(asked, OF_SUITES, "--input is for a network without a suite")
        return own_ladder(network, asked)
    if ":" in network or (network in plugins.names("arch") and network not in plugins.names("suite")):
        raise UsageError(f"{network}: of which images? write --input 3x256x256")
    choice = api.choose(network, asked["profile"], asked["device"])
    loaded = load_suite(network, choice.profile or None, rounds=asked["rounds"], data_paths=asked["data_paths"])
    variant = asked["variant"] or only(loaded)
    talk(f"profile {loaded.profile or 'none'} on {choice.device}: {choice.why}")
    suite = with_ladder(loaded, variant, chosen(combinations(choice.device), asked["modes"]))
    if asked["batch"]:
        (one,) = suite.variants
        suite = replace(suite, variants=(replace(one, infer=one.infer | {"batch": asked["batch"]}),))
    return suite, choice.device


def ready(suite: Suite, device: str, image: str | None) -> api.Prepared:
    """The plan, after the network was built and called once without arithmetic; a refusal names the input.

    Raises:
        UsageError: the network cannot be built, or refuses the input.
    """
    try:
        return api.prepare(suite, device)
    except SuiteError as error:
        raise UsageError(f"{error}" + (f" (--input {image})" if image else "")) from None


def only(suite: Suite) -> str:
    """The network that is meant where none is named.

    Raises:
        UsageError: it could be any of several.
    """
    names = [variant.name for variant in suite.variants]
    if suite.baseline in names or len(names) == 1:
        return suite.baseline if suite.baseline in names else names[0]
    raise UsageError(f"{suite.name}: which network? write --variant, {nearest('', names)}")


def own_ladder(network: str, asked: dict[str, Any]) -> tuple[Suite, str]:
    """The ladder of a network without a suite, and the device."""
    shape = own.shape_of(asked["image"], asked["batch"])
    device = asked["device"] or ("cuda" if host.has_cuda()[0] else "cpu")
    api.check_device(device)
    variant = own.variant_of(network, shape, {}, Path())
    return api.own_ladder(variant, device, rounds=asked["rounds"] or 3, protocol={}, wanted=asked["modes"]), device


def measured(prepared: api.Prepared, folder: Path, asked: dict[str, Any]) -> int:
    """Run the jobs as `bench run` does, but for those of modes that cannot give a figure, and print the ladder."""
    name = store.new_name(prepared.machine["id"], folder)
    header = api.header_of(prepared.suite, name, prepared.machine, ["bench", *sys.argv[1:]])
    futile, teller = Futile(), Teller()

    def tell(now: api.Progress) -> None:
        futile.saw(now.record)
        teller(now)

    with ExitStack() as stack:
        opened = stack.enter_context(store.new_run(folder, header))
        interrupts = stack.enter_context(interruptible())
        talk(f"writing {opened.path}")
        stack.callback(teller.end)
        with suppress(KeyboardInterrupt):  # the second one: the worker is dead, the records before it are on disk
            api.execute(prepared, prepared.jobs, opened, tell=tell, stop=lambda: interrupts.asked, leave_out=futile)
    code = finish(opened.path, asked["form"])
    talk(f"kept in {opened.path}; show it again with: {shlex.join(['bench', 'modes', str(opened.path)])}")
    left = [job for job in prepared.jobs[teller.done :] if not futile(job)]
    return Exit.INTERRUPTED if interrupts.asked and left else code


def finish(path: Path, form: str) -> int:
    """Print the ladder of a run; the exit code is that of a run in which what cannot run here is optional."""
    loaded = store.read(path)
    for problem in loaded.problems:
        talk(problem)
    suite = loaded.header.suite
    if len(suite.get("variants", [])) != 1:
        raise UsageError(f"{path}: no ladder, but a run of several networks; see: bench report {path}")
    click.echo(show(ladder(suite, loaded.records), form))
    reference = next(iter(suite["modes"]))
    counted = [record for record in loaded.records if record.status != "skipped" or record.job.mode == reference]
    return api.exit_code(suite, counted, len({record.id for record in counted}))
