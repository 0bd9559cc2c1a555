"""Draw a run's training curves and what its networks predict on validation images."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bench import plugins, store
from bench.errors import Exit, StoreError, UsageError, nearest
from bench.record import Record

if TYPE_CHECKING:
    from bench.draw.charts import Curve
    from bench.draw.losses import Course
    from bench.draw.pictures import Examples


@dataclass(frozen=True, slots=True)
class Training:
    """One variant and seed.

    Attributes:
        record: what the run's table shows.
        source: the same training's record in the run that measured it, with all details; None where that is not here.
        folder: where that run keeps its files.
    """

    record: Record
    source: Record | None
    folder: Path


@dataclass(slots=True)
class Variant:
    """What there is to draw of a variant, and what there is not.

    Attributes:
        trainings: those that ended well, by seed.
        courses: the losses of all trainings; from the start those of trainings that failed.
        lacks: sentences that say what is missing, each once.
    """

    name: str
    trainings: list[Training] = field(default_factory=list)
    courses: "list[Course]" = field(default_factory=list)
    curves: "list[Curve]" = field(default_factory=list)
    examples: "Examples | None" = None
    lacks: dict[str, None] = field(default_factory=dict)


@click.command()
@click.argument("run")
@click.option("--results", default="results", type=Path, metavar="DIR", help="Where runs are kept [default: results].")
@click.option("--out", type=Path, metavar="DIR", help="Where the files go [default: the run's own folder].")
@click.option("--images", type=click.IntRange(min=1), default=4, help="How many images, one per row [default: 4].")
@click.option("--variant", "variants", multiple=True, metavar="NAME", help="Only this variant; may be repeated.")
@click.option("--format", "format_", type=click.Choice(("svg", "png")), default="svg", help="Of the curves and losses.")
def plot(run: str, results: Path, **asked: Any) -> int:
    """Draw the accuracy of RUN: a file, a run's name, or a suite (its latest run).

    curves.svg: the metric and the training loss over the training. losses.svg: the training and the validation loss
    over the epochs, a panel per variant, with why a training failed. variants.png: every variant's joints or classes
    on the same validation images. stacks.png: those of the first and the last stack, of fewer images where variants
    are many.
    """
    loaded = store.read(store.find(results, run))
    for problem in loaded.problems:
        click.echo(problem, err=True)
    found = trained(loaded, results, asked["variants"])
    for variant in found:
        gather(variant, asked["images"])
        if variant.lacks:
            click.echo(f"{variant.name}: {'; '.join(variant.lacks)}; {remedy(loaded, variant)}", err=True)
    files = drawn(found, asked["format_"])
    if not files:
        raise UsageError(f"{loaded.path}: nothing to draw, neither curves nor examples are there")
    write(asked["out"] or loaded.path.with_suffix(""), files)
    return Exit.FINE


def trained(loaded: store.Loaded, results: Path, asked: Iterable[str]) -> list[Variant]:
    """The variants that have accuracy or at least losses of a training that failed, in the suite's order.

    Raises:
        UsageError: there are none, or one is asked for that has none.
    """
    from bench.draw import losses
    from bench.table.merge import latest
    from bench.table.study import study

    found: dict[str, Variant] = {}
    for (name, _), seeds in latest(loaded.records).get("accuracy", {}).items():
        for _, record in sorted(seeds.items()):
            if record.status == "ok":
                training = Training(record, *source(record, loaded.path, results))
                found.setdefault(name, Variant(name)).trainings.append(training)
            elif course := losses.course(name, record):
                found.setdefault(name, Variant(name)).courses.append(course)
    if not found:
        suite = loaded.header.suite.get("name") or "SUITE"
        what = f"bench run {suite} --profile accuracy trains and scores its variants"
        raise UsageError(f"{loaded.path}: no accuracy to draw; {what}")
    for name in asked:
        if name not in found:
            raise UsageError(f"{loaded.path}: no accuracy of a variant '{name}'; {nearest(name, found)}")
    order = study(loaded.header.suite, loaded.records).variants
    return [found[name] for name in order if name in (set(asked) or found) and name in found]


def source(record: Record, path: Path, results: Path) -> tuple[Record | None, Path]:
    """The record that a record was taken over from, itself where it was measured here, and its run's folder."""
    seen = set()
    while record.origin:
        if record.origin in seen:
            return None, path.with_suffix("")
        seen.add(record.origin)
        beside = path.with_name(record.origin + store.SUFFIX)
        try:
            path = beside if beside.is_file() else store.find(results, record.origin)
            rows = store.read(path).records
        except StoreError:
            return None, path.with_suffix("")
        found = same_training(record, rows)
        if found is None:
            return None, path.with_suffix("")
        record = found
    return record, path.with_suffix("")


def same_training(record: Record, rows: list[Record]) -> Record | None:
    """The record of the same job, else of the same variant, seed and protocol; the last one that is ok."""
    ok = [each for each in rows if each.status == "ok" and each.job.phase == "accuracy"]
    asked = (record.job.variant, record.job.seed, record.fingerprints)
    same = [each for each in ok if each.id == record.id]
    alike = [each for each in ok if (each.job.variant, each.job.seed, each.fingerprints) == asked]
    found = same or alike
    return found[-1] if found else None


def gather(variant: Variant, images: int) -> None:
    """Read the curves of every seed and the examples of the lowest, or note why there are none."""
    from bench.draw import charts, losses

    for training in variant.trainings:
        if training.source is None:
            variant.lacks[f"its training is in run {training.record.origin}, which is not here"] = None
            continue
        curves = charts.curves(variant.name, training.source)
        if not curves:
            variant.lacks["no training curve in its record"] = None
        variant.curves += curves
        if course := losses.course(variant.name, training.source):
            variant.courses.append(course)
    first = variant.trainings[0] if variant.trainings else None
    if first and first.source:
        try:
            variant.examples = examples(variant.name, first, images)
        except (OSError, ValueError) as error:
            said = error.strerror if isinstance(error, OSError) else str(error)
            variant.lacks[f"no examples, {examples_file(first)}: {said}"] = None


def examples_file(training: Training) -> Path:
    """Where the predictions on validation images are kept."""
    return training.folder / f"{(training.source or training.record).id}-examples.npz"


def examples(name: str, training: Training, images: int) -> "Examples":
    """The first images with what was predicted.

    Raises:
        OSError, ValueError: the file is not there, or not the one that the record lists.
    """
    from bench.draw import pictures

    path = examples_file(training)
    listed = (training.source or training.record).artefacts.get(path.name)
    if listed is None:
        raise ValueError("its record lists none")
    if hashlib.sha256(path.read_bytes()).hexdigest() != listed:
        raise ValueError("not the file that its record lists")
    return pictures.read(path, name, score(training.record), images)


def score(record: Record) -> str:
    """The metric's headline as a heading; nothing where it was not measured."""
    wanted = plugins.constant(plugins.path("metric", record.job.metrics[0]), "HEADLINE") if record.job.metrics else ""
    for value in record.values:
        if value.quantity.name == wanted and value.value is not None:
            return f"{value.quantity.title.split()[0]} {value.value:.1f} {value.quantity.unit}"
    return ""


def remedy(loaded: store.Loaded, variant: Variant) -> str:
    """The command that trains a variant again and keeps everything."""
    profile = "accuracy" if variant.trainings[0].record.origin else loaded.header.profile
    suite = loaded.header.suite.get("name") or "SUITE"
    chosen = f" --profile {profile}" if profile else ""
    return f"bench run {suite}{chosen} --variant {variant.name} --fresh makes it"


def drawn(found: list[Variant], form: str) -> dict[str, bytes]:
    """File name -> content, of what can be drawn."""
    from bench.draw import charts, losses, pictures

    files = {}
    panels = charts.panels(curve for variant in found for curve in variant.curves)
    if panels:
        files[f"curves.{form}"] = charts.draw(panels, [variant.name for variant in found], form)
    courses = [course for variant in found for course in variant.courses]
    if courses:
        files[f"losses.{form}"] = losses.draw(courses, form)
    shown = [variant.examples for variant in found if variant.examples]
    alike = [each for each in shown if each.same_images(shown[0])]
    for each in shown:
        if each not in alike:
            click.echo(f"{each.name}: its examples are other images than those of {shown[0].name}: left out", err=True)
    if alike:
        files["variants.png"] = pictures.variants(alike)
    deep = [each for each in alike if len(each.predicted) > 1]
    if deep:
        files["stacks.png"] = pictures.stacks(deep)
    return files


def write(folder: Path, files: dict[str, bytes]) -> None:
    """Put files into a folder, and tell where they are."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, data in files.items():
            (folder / name).write_bytes(data)
            click.echo(str(folder / name))
    except OSError as error:
        raise UsageError(f"{folder}: cannot write pictures here ({error.strerror}); use --out DIR") from None
