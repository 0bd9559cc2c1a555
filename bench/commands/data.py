"""Look at a data set, or write it to JPEG files."""

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import click
import msgspec

from bench import host, plugins
from bench.engines import local
from bench.errors import Exit, UsageError
from bench.pairs import pairs
from bench.record import Job
from bench.suite.checks import PASSED_TO_DATA

SPLITS = ("train", "val", "test")
WRITTEN = ("train", "val")
"""Splits that are written where none is asked for: every data set has them."""

TRAIN_SHARE = 10
"""Training images for each image of another split that is written beside them."""

PARTIAL = ".partial"
"""Folder within the asked one in which files lie until all of them are there."""

LONGEST = 86_400.0
"""Seconds; a person waits, who can press Ctrl-C."""


@click.command(cls=click.Group)
def data() -> None:
    """Look at a data set, or write it to JPEG files, which data set `jpeg_people` reads."""


def about_a_data_set(function: Callable[..., int]) -> Callable[..., int]:
    """The argument and the options that both commands have."""
    for decorate in (
        click.option(
            "--data", "paths", multiple=True, metavar="NAME=PATH", callback=pairs, help="Where its files lie."
        ),
        click.option(
            *("-o", "--option", "options"),
            multiple=True,
            metavar="KEY=VALUE",
            callback=pairs,
            help="Option of the data set; `bench show NAME` lists them. May be repeated.",
        ),
        click.option("--size", type=click.IntRange(min=1), default=256, show_default=True, help="Side of the images."),
        click.argument("name"),
    ):
        function = decorate(function)
    return function


@data.command()
@about_a_data_set
@click.option("--out", type=Path, required=True, metavar="FILE.png", help="Where the picture goes.")
@click.option("--n", "count", type=click.IntRange(1, 100), default=12, show_default=True, help="How many samples.")
@click.option("--split", type=click.Choice(SPLITS), default="val", show_default=True, help="Of which split.")
def show(name: str, out: Path, count: int, split: str, **asked: Any) -> int:
    """Draw samples of the data set NAME.

    Joints, skeleton and head box are drawn on the images; body parts, or else the mask, stand below them. Prints
    the path of the picture.
    """
    if out.suffix.lower() != ".png":
        raise UsageError(f"--out {out}: a PNG is written; name it {out.with_suffix('.png')}")
    job = job_for("show", name, {split: count}, asked)
    with TemporaryDirectory(prefix="bench-data-") as scratch:
        code = done(msgspec.structs.replace(job, artefacts=scratch))
        if code:
            return code
        picture = drawn(Path(scratch), f"{name}, {split}, {asked['size']} x {asked['size']} pixels")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_bytes(picture)
    except OSError as error:
        raise UsageError(f"{out}: cannot be written ({error.strerror}); name another --out") from None
    click.echo(out)
    return Exit.FINE


def drawn(folder: Path, title: str) -> bytes:
    """The contact sheet of the samples that a worker left in a folder."""
    import numpy as np

    from bench.draw.contact_sheet import contact_sheet

    with np.load(folder / "samples.npz", allow_pickle=False) as samples:
        return contact_sheet(dict(samples), title)


@data.command()
@about_a_data_set
@click.argument("folder", metavar="DIR", type=Path)
@click.option("--n", "count", type=click.IntRange(min=1), default=2000, show_default=True, help="How many images.")
@click.option("--split", "splits", multiple=True, type=click.Choice(SPLITS), help="[default: train and val]")
@click.option("--force", is_flag=True, help="Replace these splits in a DIR that was written so.")
def write(name: str, folder: Path, count: int, force: bool, **asked: Any) -> int:
    """Write the data set NAME to JPEG files in DIR.

    DIR/train and DIR/val get images of quality 90 and an annotation.json: N images for training and a tenth as many
    for validation. So does DIR/test where --split asks for it and the data set has it; without training images, the
    splits that are asked for have N each. They are in place only when all of them are there.
    Read them with `use = "jpeg_people"` in a suite, and `bench run SUITE --data jpeg_people=DIR`.
    """
    splits = [split for split in SPLITS if split in (asked["splits"] or WRITTEN)]
    share = TRAIN_SHARE if "train" in splits else 1
    counts = {split: count if split == "train" else max(1, count // share) for split in splits}
    job = job_for("write", name, counts, asked, out=str(folder))
    numbers = " and ".join(f"{number} {split}" for split, number in counts.items())
    try:
        with prepared(folder, force=force) as partial:
            click.echo(f"writing images of '{name}' to {folder}: {numbers}", err=True)
            code = done(msgspec.structs.replace(job, artefacts=str(partial)))
            if code:
                return code
            for split in splits:
                put(partial, folder, split)
    except OSError as error:
        raise UsageError(f"{folder}: cannot be written ({error.strerror}); name another folder") from None
    click.echo(folder)
    click.echo(
        f'train on it: use = "jpeg_people" in a suite, and bench run SUITE --data jpeg_people={folder}', err=True
    )
    return Exit.FINE


def job_for(action: str, name: str, counts: dict[str, int], asked: dict[str, Any], out: str = "") -> Job:
    """What a worker is asked to do with so many samples of each split.

    Raises:
        UsageError: there is no such data set, or it has no such option.
    """
    options = options_of(name, asked["options"], asked["paths"])
    return Job(
        suite="",
        variant=name,
        phase="data",
        data={"use": name, "size": asked["size"], "options": options, **counts},
        options={"action": action, "splits": list(counts), "out": out},
        threads=host.usable_cores(),
        timeout=LONGEST,
    )


def options_of(name: str, given: dict[str, str], paths: dict[str, str]) -> dict[str, Any]:
    """The data set's options as typed, and where its files lie."""
    file = plugins.path("dataset", name)
    known = plugins.options(file, "load")
    texts = {key for key, option in known.items() if option.annotation == "str"}
    options = {key: text if key in texts else value_of(text) for key, text in given.items()}
    for other, path in paths.items():
        if other != name:
            raise UsageError(f"--data {other}=...: this is about data set '{name}'; write --data {name}=PATH")
        plugins.check_data_path(name, path)
        options["path"] = path
    problems = plugins.check_options(file, "load", options, passed=PASSED_TO_DATA)
    if problems:
        raise UsageError("\n".join(f"data set '{name}': {problem}" for _, problem in problems))
    return options


def value_of(text: str) -> Any:
    """What a text on the command line means: a number, true, false or a list as in JSON, else itself.

    >>> value_of("14"), value_of("true"), value_of("hard")
    (14, True, 'hard')
    """
    try:
        return json.loads(text, parse_constant=str)
    except json.JSONDecodeError:
        return text


def done(job: Job) -> int:
    """Have a worker do it; the exit code, and the reason said where it is not done."""
    record = local.run_one(job)
    if record.status == "ok":
        return Exit.FINE
    if record.status in ("failed", "skipped"):  # the data set speaks of its options and files
        click.echo(record.reason, err=True)
        return Exit.USAGE
    click.echo(f"{record.status}: {record.reason}", err=True)
    return Exit.FAILED


@contextmanager
def prepared(folder: Path, *, force: bool) -> Iterator[Path]:
    """A folder within `folder` for files that are not complete yet; nothing of it is left after.

    Raises:
        UsageError: there is something in the folder that must not be replaced.
        OSError: it cannot be made.
    """
    made = not folder.exists()
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.iterdir()):
        other = stranger(folder)
        if other:
            raise UsageError(f"{folder}: not empty, and {other} is not of `bench data write`; name another folder")
        if not force:
            raise UsageError(f"{folder}: not empty; name another folder, or replace what is in it with --force")
    partial = folder / PARTIAL
    shutil.rmtree(partial, ignore_errors=True)  # of a command that was killed
    partial.mkdir()
    try:
        yield partial
    finally:
        shutil.rmtree(partial, ignore_errors=True)
        if made:
            with suppress(OSError):
                folder.rmdir()  # where nothing came of it


class Listed(msgspec.Struct):
    """An image of an annotation, as far as its file goes."""

    image: str


class Written(msgspec.Struct):
    """An annotation, as far as its files go."""

    format: int
    source: str
    people: list[Listed]


def stranger(folder: Path) -> Path | None:
    """A file in a folder that `bench data write` did not put there; None where there is none."""
    for entry in sorted(folder.iterdir()):
        if entry.name == PARTIAL:
            continue
        if entry.name not in SPLITS or not entry.is_dir():
            return entry.relative_to(folder)
        files = {file.relative_to(entry).as_posix() for file in entry.rglob("*") if not file.is_dir()}
        for file in sorted(files - names_in(entry / "annotation.json")):
            return entry.relative_to(folder) / file
    return None


def names_in(annotation: Path) -> set[str]:
    """The files of a split that its annotation speaks of, itself too; none where it is no annotation."""
    try:
        written = msgspec.json.decode(annotation.read_bytes(), type=Written)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError):
        return set()
    return {annotation.name, *(person.image for person in written.people)}


def put(partial: Path, folder: Path, split: str) -> None:
    """Move a complete split to its place; the former one goes where all is removed that is not needed."""
    place = folder / split
    if place.exists():
        place.rename(partial / f"former-{split}")
    (partial / split).rename(place)
