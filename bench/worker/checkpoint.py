"""Checkpoints: written whole or not at all, loaded as data and never as code."""

import io
import os
import struct
from collections.abc import Sequence
from contextlib import suppress
from errno import EINVAL
from hashlib import sha256
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from torch import Tensor, nn

from bench.errors import Failed
from bench.record import Job

BROKEN = (
    *(RuntimeError, LookupError, EOFError, ValueError, TypeError, AttributeError),
    *(AssertionError, struct.error),  # of the format that torch wrote before 1.6
)
"""What torch.load, and reading what it gives, raise for what is no checkpoint, by where it stops to make sense."""

PART = ".part"
"""What a file's name ends with until it is complete."""

POINTER = b"version https://git-lfs"
"""How the file begins that Git LFS leaves in place of one that it has not fetched."""

INSTEAD = "put a file there that torch.save(model.state_dict(), PATH) wrote"


def file(job: Job, name: str) -> Path | None:
    """Where a job keeps a file of this name; None where it was given no folder."""
    return Path(job.artefacts) / f"{job.id}-{name}" if job.artefacts else None


def hashes(job: Job) -> dict[str, str]:
    """Name -> sha256 of every file that a job has kept; what a kill has left incomplete is none."""
    found = sorted(Path(job.artefacts).glob(f"{job.id}-*")) if job.artefacts else []
    kept = [path for path in found if path.suffix != PART]
    return {path.name: sha256(path.read_bytes()).hexdigest() for path in kept}


def save(state: Any, path: Path) -> None:
    """Put a state on disk. The file of this name is the former one until the new one is complete.

    Raises:
        Failed: it cannot be written; the former one is left as it was.
    """
    buffer = io.BytesIO()
    torch.save(state, buffer)
    put(buffer.getvalue(), path)


def put(data: bytes, path: Path) -> None:
    """Write a file whole, or leave the former one.

    Raises:
        Failed: it cannot be written.
    """
    part = path.with_name(f"{path.name}{PART}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with part.open("wb") as out:
            out.write(data)
            out.flush()
            os.fsync(out.fileno())
        part.replace(path)
    except OSError as error:
        with suppress(OSError):  # there may be no folder to unlink it from
            part.unlink()
        kept = "; the last complete one is kept" if path.exists() else ""
        instead = "free some space or make its folder writable, then --resume"
        raise Failed(f"{path.name}: cannot be written ({error.strerror}){kept}; {instead}") from None


def load(path: Path, instead: str = INSTEAD) -> Any:
    """What a checkpoint holds, tensors on the CPU.

    Args:
        instead: what to do where it cannot be loaded, for the message.

    Raises:
        Failed: there is none, or it is not a whole checkpoint of plain data.
    """
    wrong = "truncated, or no checkpoint of torch"
    try:
        if is_pointer(path):
            raise Failed(f"{path.name}: a Git LFS pointer; fetch the file: git lfs pull")
        return torch.load(path, weights_only=True, map_location="cpu")
    except OSError as error:
        if error.errno != EINVAL:  # the archive's table lies at its end, and torch seeks before the beginning
            wrong = f"cannot be read ({error.strerror})"
    except UnpicklingError as error:
        if "GLOBAL" in str(error):  # a class or function, which torch would have to call
            wrong = "holds more than tensors and plain data, and is not run"
    except BROKEN:
        pass
    raise Failed(f"{path.name}: {wrong}; {instead}")


def is_pointer(path: Path) -> bool:
    """Whether Git LFS has left its pointer in place of a file."""
    with path.open("rb") as file:
        return file.read(len(POINTER)) == POINTER


def load_weights(model: nn.Module, path: Path, without: Sequence[str] = ()) -> None:
    """Load a state dict, or a checkpoint of ours that holds one as `model`.

    Args:
        without: layers that keep the weights they have, such as a classifier of other classes: `head` is `head` and
            all that begins with `head.`.

    Raises:
        Failed: it is not one, or one of another architecture, or the network has no layer of such a name.
    """
    state = load(path)
    if isinstance(state, dict) and isinstance(state.get("model"), dict):
        state = state["model"]
    if not (isinstance(state, dict) and state and all(isinstance(value, Tensor) for value in state.values())):
        raise Failed(f"{path.name}: not a state dict (name -> tensor); {INSTEAD}")
    wanted = model.state_dict()
    for layer in without:
        if not any(_within(name, layer) for name in wanted):
            layers = ", ".join(name for name, _ in model.named_children())
            raise Failed(f"weights_without '{layer}': the network has no such layer; it has {layers}")
    wanted, state = (
        {name: tensor for name, tensor in tensors.items() if not any(_within(name, layer) for layer in without)}
        for tensors in (wanted, state)
    )
    wrong = [
        *(f"{name} is missing" for name in wanted if name not in state),
        *(f"{name} is not in the network" for name in state if name not in wanted),
        *(
            f"{name} has shape {tuple(state[name].shape)}, not {tuple(tensor.shape)}"
            for name, tensor in wanted.items()
            if name in state and state[name].shape != tensor.shape
        ),
    ]
    if wrong:
        more = f", and {len(wrong) - 1} more" if len(wrong) > 1 else ""
        instead = "write the arch and options that they were trained with, or other weights"
        raise Failed(f"{path.name}: weights of another architecture: {wrong[0]}{more}; {instead}")
    model.load_state_dict(state, strict=not without)  # what is missing was looked at


def _within(name: str, layer: str) -> bool:
    return name == layer or name.startswith(f"{layer}.")
