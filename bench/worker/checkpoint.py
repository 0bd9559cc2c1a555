"""Checkpoints: written whole or not at all, loaded as data and never as code."""

import io
import os
from errno import EINVAL
from hashlib import sha256
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from torch import Tensor, nn

from bench.errors import Failed
from bench.record import Job

BROKEN = (RuntimeError, LookupError, EOFError, ValueError, TypeError, AttributeError)
"""What torch.load raises for bytes that are no checkpoint, by where they stop to make sense."""


def file(job: Job, name: str) -> Path | None:
    """Where a job keeps a file of this name; None where it was given no folder."""
    return Path(job.artefacts) / f"{job.id}-{name}" if job.artefacts else None


def hashes(job: Job) -> dict[str, str]:
    """Name -> sha256 of every file that a job has kept."""
    kept = sorted(Path(job.artefacts).glob(f"{job.id}-*")) if job.artefacts else []
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
    part = path.with_name(f"{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with part.open("wb") as out:
            out.write(data)
            out.flush()
            os.fsync(out.fileno())
        part.replace(path)
    except OSError as error:
        part.unlink(missing_ok=True)
        kept = "; the last complete one is kept" if path.exists() else ""
        raise Failed(
            f"{path.name}: cannot be written ({error.strerror}){kept}; free some space, then --resume"
        ) from None


def load(path: Path) -> Any:
    """What a checkpoint holds, tensors on the CPU.

    Raises:
        Failed: there is none, or it is not a whole checkpoint of plain data.
    """
    try:
        return torch.load(path, weights_only=True, map_location="cpu")
    except OSError as error:
        if error.errno == EINVAL:  # the archive's table lies at its end, and torch seeks before the beginning
            raise Failed(f"{path.name}: truncated, or no checkpoint of torch") from None
        raise Failed(f"{path.name}: cannot be read ({error.strerror})") from None
    except UnpicklingError:
        hint = "save it with torch.save(model.state_dict(), PATH)"
        raise Failed(f"{path.name}: holds more than tensors and plain data, and is not run; {hint}") from None
    except BROKEN:
        raise Failed(f"{path.name}: truncated, or no checkpoint of torch") from None


def load_weights(model: nn.Module, path: Path) -> None:
    """Load a state dict, or a checkpoint of ours that holds one as `model`.

    Raises:
        Failed: it is not one, or one of another architecture.
    """
    state = load(path)
    if isinstance(state, dict) and isinstance(state.get("model"), dict):
        state = state["model"]
    if not (isinstance(state, dict) and state and all(isinstance(value, Tensor) for value in state.values())):
        raise Failed(
            f"{path.name}: not a state dict (name -> tensor); save it with torch.save(model.state_dict(), PATH)"
        )
    wanted = model.state_dict()
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
        raise Failed(f"{path.name}: weights of another architecture: {wrong[0]}{more}")
    model.load_state_dict(state)
