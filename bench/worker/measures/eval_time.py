"""Evaluation time: one pass of the evaluation loop over the validation set, loading and decoding included."""

import math
from collections.abc import Iterator

from torch import Tensor

from bench.record import Quantity, Value
from bench.worker import heatmap, train
from bench.worker.subject import Subject

PHASE = "infer"

EVAL_TIME = Quantity(name="eval_time", unit="s", better="lower", title="eval pass, over the validation set")


def measure(subject: Subject) -> Iterator[Value]:
    """Run the loop over `protocol.eval_images` images; fewer than the set has are scaled up and flagged."""
    images = int(subject.job.data.get("val") or 1)
    batch = int(subject.job.infer.get("batch", 1))
    most = subject.job.protocol.eval_images
    pressure = subject.clock.pressure()
    total = min(most, images)
    for size in {min(batch, total), total % batch} - {0}:  # each size that occurs, untimed: it searches algorithms
        list(train.evaluate(subject, decode, size, size))
    with subject.steady():
        seconds = list(train.evaluate(subject, decode, total, batch))
    flags = [*subject.warm_flags, *subject.clock.flags_since(pressure)]
    seen = min(images, most, len(seconds) * batch)
    if seen >= images:
        how = f"all {images} images"
        yield Value(quantity=EVAL_TIME, value=math.fsum(seconds), samples=seconds, flags=flags, how=how)
        return
    value = math.fsum(seconds) / seen * images
    how = f"estimated from {seen} of {images} images"
    yield Value(quantity=EVAL_TIME, value=value, samples=seconds, flags=["estimated", *flags], how=how)


def decode(outputs: list[Tensor], _: dict[str, Tensor]) -> None:
    """What every evaluation does with the answer, whatever the metric: find the joints in the maps."""
    if outputs[-1].dim() == 4:
        heatmap.decode(outputs[-1].float())
