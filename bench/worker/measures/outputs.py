"""Outputs: what the network answers to fixed images, as a hash and a sample, to tell whether a change moved them."""

from collections.abc import Iterator
from hashlib import sha256
from random import Random

import torch

from bench.errors import Failed
from bench.record import Quantity, Value
from bench.worker.subject import Subject, make_inputs

PHASE = "infer"

OUTPUTS = Quantity(
    name="outputs", unit="1", better="none", title="RMS of the prediction for a fixed image", headline=False
)

SAMPLE = 4096
"""Elements kept beside the hash, evenly spread over the prediction."""


def measure(subject: Subject) -> Iterator[Value]:
    """The root mean square of the prediction for the first validation batch, in the mode's own arithmetic.

    Details hold `sha256` of the values as float32 in memory order N C H W, their `shape`, and an even `sample`.
    A network that draws random numbers is seeded, so that it draws the same ones each time.
    """
    (image,) = make_inputs(subject.job, 1)
    torch.manual_seed(subject.job.seed)
    prediction = subject.forward(subject.place(image))[-1].detach().float().cpu().contiguous()
    flat = prediction.flatten()
    if not len(flat):
        raise Failed(f"the prediction is empty: its shape is {list(prediction.shape)}")
    details = {
        "sha256": sha256(prediction.numpy().tobytes()).hexdigest(),
        "shape": list(prediction.shape),
        "sample": [float(f"{value:.7g}") for value in flat[places(len(flat))].tolist()],
    }
    rms = float(torch.linalg.vector_norm(flat, dtype=torch.float64) / len(flat) ** 0.5)
    yield Value(quantity=OUTPUTS, value=rms, details=details)


def places(size: int) -> list[int]:
    """Where the sample is taken: one drawn element of each of SAMPLE equal parts, since even steps see few columns.

    >>> places(3), [place // 2 for place in places(2 * SAMPLE)[:3]]
    ([0, 1, 2], [0, 1, 2])
    """
    draw, count = Random(0), min(size, SAMPLE)
    return [draw.randrange(i * size // count, (i + 1) * size // count) for i in range(count)]
