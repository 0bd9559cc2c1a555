"""A network of one's own, without a suite file: a suite in memory."""

import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from bench import plugins
from bench.errors import UsageError, nearest
from bench.record import Protocol
from bench.suite import ModeConfig, Suite, Variant

FORM = "CxHxW or BxCxHxW, such as 3x256x256"


def shape_of(text: str, batch: int | None = None) -> tuple[int, int, int, int]:
    """The shape (B, C, H, W) that was typed.

    >>> shape_of("3x256x192"), shape_of("8x3x256x256"), shape_of("3x64x64", 4)
    ((1, 3, 256, 192), (8, 3, 256, 256), (4, 3, 64, 64))

    Raises:
        UsageError: it is none, or it names another batch.
    """
    if not re.fullmatch(r"[1-9]\d*(x[1-9]\d*){2,3}", text):
        raise UsageError(f"--input {text}: not a shape of images; write {FORM}")
    *first, channels, height, width = map(int, text.split("x"))
    if first and batch not in (None, first[0]):
        raise UsageError(f"--input {text} and --batch {batch}: two batches; write one of them")
    return (first[0] if first else batch or 1), channels, height, width


def suite_of(  # noqa: PLR0913 - what a suite needs at least
    name: str,
    variant: Variant,
    modes: Mapping[str, ModeConfig],
    measures: Sequence[str],
    rounds: int,
    protocol: Protocol,
) -> Suite:
    """A suite of one network; its folder is the one in which it is measured, so that what lies here can be imported.

    Raises:
        UsageError: a measure or a mode is unknown.
    """
    if rounds < 1:
        raise UsageError(f"rounds = {rounds}: must be at least 1")
    for measure in measures:
        plugins.path("measure", measure)
    for mode in modes.values():
        for plugin in mode.plugins:
            plugins.path("mode", plugin)
    return Suite(
        name=name,
        path=Path.cwd() / "suites" / f"{name}.toml",
        title=name,
        task="pose",
        measures=tuple(measures),
        variants=(variant,),
        modes=dict(modes),
        rounds=rounds,
        protocol=protocol,
    )


def variant_of(model: Any, shape: Sequence[int], options: Mapping[str, Any], folder: Path) -> Variant:
    """The network on random images of a shape (B, C, H, W); a live module travels as a file in the folder.

    Raises:
        UsageError: the name of a builder is none.
    """
    if isinstance(model, str) and not re.fullmatch(r"\w+|[A-Za-z_][\w.]*:[A-Za-z_]\w*", model):
        raise UsageError(f"'{model}' names no function; write package.module:function")
    batch, channels, height, width = map(int, shape)
    size = height if height == width else [height, width]
    data = {"use": "random", "size": size, "train": 1, "val": batch, "options": {"channels": channels}}
    arch, weights = (model, "") if isinstance(model, str) else ("", str(folder / "model.pt"))
    if weights:
        # Whoever holds a live module has imported torch already; bench itself does not import it here.
        sys.modules["torch"].save(model, weights)
    name = model if isinstance(model, str) else type(model).__name__
    return Variant(name, arch, dict(options), data, {"batch": batch}, {}, weights)


def protocol_of(given: Mapping[str, Any]) -> Protocol:
    """The protocol with these fields.

    Raises:
        UsageError: an unknown one, or one of the wrong type.
    """
    known = Protocol.__struct_fields__
    for name in given:
        if name not in known:
            raise UsageError(f"unknown option '{name}'; {nearest(name, known)}")
    try:
        return msgspec.convert(dict(given), Protocol)
    except msgspec.ValidationError as error:
        raise UsageError(f"protocol: {error}") from None
