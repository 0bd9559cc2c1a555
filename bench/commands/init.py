"""Write a suite for a network of one's own."""

import re
from pathlib import Path

import click

from bench import plugins
from bench.errors import Exit, UsageError

TEMPLATE = """\
#:schema ./suite.schema.json
# Measure it with: bench run {path}
title    = "{name}: which variant is worth its time?"
task     = "pose"
measures = ["params", "flops", "infer", "memory"]
baseline = "base"
rounds   = 3

[data]
use   = "random"                  # images of the right shape; `bench list dataset` shows the others
size  = {size}
train = 1000                      # images in an epoch
val   = 100                       # images in the validation set

[infer]
batch = 1

[modes.fp32]                      # the reference that every other mode is compared with
[modes.fast]                      # `bench list mode` shows what can stand here
channels_last = true
amp = "bfloat16"

[[variants]]
name = "base"
arch = "{arch}"
options = {{}}                      # keyword arguments of that function

[[variants]]
name = "changed"
arch = "{arch}"
options = {{}}                      # what differs

[protocol]                        # shorter than the defaults, for a first look
max_seconds  = 5
warmup_limit = 5
"""


@click.command()
@click.argument("name")
@click.option("--arch", required=True, metavar="NAME", help="A name in archs/, or package.module:function.")
@click.option("--size", type=click.IntRange(min=1), default=256, show_default=True, help="Side of the images.")
@click.option("--folder", default="suites", type=Path, show_default=True, help="Where the suite is written.")
def init(name: str, arch: str, size: int, folder: Path) -> int:
    """Write the suite NAME for your own network, to be edited and run."""
    if ":" not in arch:
        plugins.path("arch", arch, folder)
    elif not re.fullmatch(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*", arch):
        raise UsageError(f"'{arch}' names no function; write package.module:function")
    if not re.fullmatch(r"\w[\w.-]*", name):
        raise UsageError(f"'{name}' cannot be a suite's name; write letters, digits, - and _, such as my_study")
    path = folder / f"{name}.toml"
    if path.exists():
        raise UsageError(f"{path} exists already; choose another name, or edit it")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        path.write_text(TEMPLATE.format(name=name, arch=arch, size=size, path=path), encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{path}: cannot write ({error.strerror}); use --folder") from None
    click.echo(f"wrote {path}; edit its variants, then: bench run {path}", err=True)
    return Exit.FINE
