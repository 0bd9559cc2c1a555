"""Evaluation time: one pass of the evaluation loop over the validation set, loading and decoding included."""

import math
from collections.abc import Iterator

from torch import Tensor

from bench.record import Quantity, Value
from bench.worker import train
from bench.worker.subject import Subject

PHASE = "infer"

EVAL_TIME = Quantity(name="eval_time", unit="s", better="lower", title="eval pass, over the validation set")


def measure(subject: Subject) -> Iterator[Value]:
    """Run the loop over `protocol.eval_images` images; fewer than the set has are scaled up and flagged."""
    images = int(subject.job.data.get("val") or 1)
    batch = int(subject.job.infer.get("batch", 1))
    most = subject.job.protocol.eval_images
    pressure = subject.clock.pressure()
    seconds = list(train.evaluate(subject, discard, most))
    flags = [*subject.warm_flags, *subject.clock.flags_since(pressure)]
    seen = min(images, most, len(seconds) * batch)
    if seen >= images:
        how = f"all {images} images"
        yield Value(quantity=EVAL_TIME, value=math.fsum(seconds), samples=seconds, flags=flags, how=how)
        return
    value = math.fsum(seconds) / seen * images
    how = f"estimated from {seen} of {images} images"
    yield Value(quantity=EVAL_TIME, value=value, samples=seconds, flags=["estimated", *flags], how=how)


def discard(decoded: Tensor, batch: dict[str, Tensor]) -> None:
    """Time alone is asked for here; the accuracy measures score."""
