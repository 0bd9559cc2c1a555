"""Trainings that never were: their curves, and what the networks say of people that are not there."""

import io
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from jobs import job
from numpy.typing import NDArray

from bench.record import Quantity, Record, Value, fingerprints

PCKH = Quantity(name="pckh.total", unit="%", better="higher", title="PCKh@0.5 total")
LOSS = Quantity(name="loss.train", unit="1", better="lower", title="training loss", headline=False)

LEGS = [[40, 85], [42, 70], [44, 54], [54, 54], [57, 70], [60, 85]]
TRUNK = [[49, 54], [49, 28], [49, 24], [49, 10]]
ARMS = [[25, 45], [33, 38], [40, 28], [58, 28], [66, 38], [76, 40]]
FIGURE = np.array([*LEGS, *TRUNK, *ARMS])
"""A standing person's joints, percent of the image."""

Arrays = dict[str, NDArray[Any]]


def arrays(size: int = 64, stacks: int = 1, count: int = 5) -> Arrays:
    """A file of examples with every prediction right: grey images, heads of a tenth of them."""
    joints = np.repeat((FIGURE * size / 100)[None], count, axis=0).astype(np.float32)
    shade = np.linspace(90, 150, count).astype(np.uint8)
    return {
        "image": np.broadcast_to(shade[:, None, None, None], (count, size, size, 3)).copy(),
        "joints": joints,
        "labelled": np.ones((count, 16), bool),
        "predicted": np.repeat(joints[None], stacks, axis=0),
        "head_size": np.full(count, size / 10, np.float32),
    }


def noisy(given: Arrays, seed: int) -> Arrays:
    """Earlier stacks are further from the truth."""
    noise = np.random.default_rng(seed)
    stacks = len(given["predicted"])
    width = given["image"].shape[1]
    spread = np.array([0.1 / (n + 1) for n in range(stacks)])[:, None, None, None] * width
    moved = given["predicted"] + noise.normal(0, 1, given["predicted"].shape) * spread
    return given | {"predicted": moved.astype(np.float32)}


def curve(quantity: Quantity, start: float, end: float, points: int = 20) -> Value:
    """A quantity that comes near its end within the training."""
    images = [1000 * (n + 1) for n in range(points)]
    values = [end + (start - end) * 0.8**n for n in range(points)]
    return Value(quantity=quantity, value=values[-1], details={"curve": {"images": images, "values": values}})


def training(variant: str, *, end: float = 80.0, seed: int = 1, **other: Any) -> Record:
    """An accuracy record with its curves."""
    asked = job(variant=variant, phase="accuracy", mode="", seed=seed)
    values = [curve(PCKH, 5.0, end), curve(LOSS, 3e-3, 4e-2 / end)]
    answer = {"status": "ok", "id": asked.id, "values": values, "fingerprints": fingerprints(asked)}
    return Record(job=asked, **answer | other)


def keep(folder: Path, record: Record, given: Arrays) -> dict[str, str]:
    """Put a record's examples where its run keeps files; what the record lists."""
    data = io.BytesIO()
    np.savez_compressed(data, allow_pickle=False, **given)
    folder.mkdir(parents=True, exist_ok=True)
    name = f"{record.id}-examples.npz"
    (folder / name).write_bytes(data.getvalue())
    return {name: sha256(data.getvalue()).hexdigest()}
