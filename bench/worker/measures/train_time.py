"""Training time: one step with its forward, backward and optimizer shares, and minutes per epoch."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from itertools import chain, pairwise

from bench import stats
from bench.errors import Failed
from bench.record import Quantity, Value
from bench.worker import timing, train
from bench.worker.samples import narrow
from bench.worker.subject import Subject, load_dataset

PHASE = "train"

STEP = Quantity(name="train_step", unit="s", better="lower", title="step, one batch, synchronised")
EPOCH = Quantity(name="train_epoch", unit="s", better="lower", title="epoch, waiting for data included")
WAIT = Quantity(name="data_wait", unit="s", better="lower", title="wait for a batch, per step", headline=False)
PARTS = ("forward", "backward", "optimizer")


@dataclass(slots=True)
class Timed:
    """What the timed steps took, seconds each, in order."""

    steps: list[float] = field(default_factory=list)
    waits: list[float] = field(default_factory=list)
    parts: dict[str, list[float]] = field(default_factory=lambda: {part: [] for part in PARTS})
    losses: list[float] = field(default_factory=list)


def measure(subject: Subject) -> Iterator[Value]:
    """Step through an epoch until the protocol has enough; a whole epoch seen is measured, else estimated.

    Raises:
        Failed: the loss is not finite, or a step was left out.
    """
    per_epoch = train.steps_per_epoch(subject)
    pressure = subject.clock.pressure()
    with timing.no_garbage(), subject.steady():
        timed = run(subject, per_epoch)
    flags = subject.clock.flags_since(pressure)
    if not all(map(math.isfinite, timed.losses)):
        raise Failed(f"the loss is not finite after {len(timed.losses)} steps: {timed.losses[-1]}")
    interval = stats.median_interval(timed.steps)
    noisy = [] if narrow(interval, subject.job.protocol.half_width) else ["noisy"]
    total = math.fsum(chain.from_iterable(timed.parts.values())) or 1.0
    shares = {part: math.fsum(values) / total for part, values in timed.parts.items()}
    yield Value(
        quantity=STEP,
        value=interval.value,
        low=interval.low,
        high=interval.high,
        samples=timed.steps,
        flags=[*noisy, *flags],
        how=f"{len(timed.steps)} steps of {subject.job.train.get('batch')} images",
        details={"shares": shares, "losses": timed.losses},
    )
    wait = stats.median_interval(timed.waits)
    yield Value(quantity=WAIT, value=wait.value, low=wait.low, high=wait.high, samples=timed.waits)
    yield epoch(timed, per_epoch, flags)


def epoch(timed: Timed, per_epoch: int, flags: list[str]) -> Value:
    """Seconds of an epoch: the sum where every step was seen, else the mean step times their number.

    The mean and not the median, since an epoch is a sum: a stall now and then is part of it.
    """
    seen, total = len(timed.steps), math.fsum(timed.waits) + math.fsum(timed.steps)
    details = {"steps": per_epoch, "data_wait_share": math.fsum(timed.waits) / total}
    if seen >= per_epoch:
        return Value(quantity=EPOCH, value=total, flags=flags, how=f"all {per_epoch} steps", details=details)
    how = f"estimated from {seen} of {per_epoch} steps"
    flags = ["estimated", *flags]
    return Value(quantity=EPOCH, value=total / seen * per_epoch, flags=flags, how=how, details=details)


def run(subject: Subject, most: int) -> Timed:
    """Timed steps until the protocol's number and time are reached, or an epoch is over.

    The step is timed from the batch lying on an idle device to the end of the optimizer's work; the wait for the
    batch is timed apart.

    Raises:
        Failed: the loss scaler left a step out.
    """
    clock, protocol = subject.clock, subject.job.protocol
    if subject.step is None:
        raise Failed("no training step: this measure belongs to the train phase")
    source = train.batches(subject, load_dataset(subject.job, "train"))
    timed = Timed()
    scale = 0.0
    while len(timed.steps) < most:
        enough = len(timed.steps) >= protocol.train_steps
        if enough and math.fsum(timed.steps) + math.fsum(timed.waits) >= protocol.train_seconds:
            break
        batch, wait = timing.timed(partial(next, source), clock)
        step, seconds = timing.timed(partial(subject.step, batch), clock)
        timed.waits.append(wait)
        timed.steps.append(seconds)
        marks = (step.begin, step.forward, step.backward, step.optimizer)
        for part, (a, b) in zip(PARTS, pairwise(marks), strict=True):
            timed.parts[part].append(clock.elapsed(a, b))
        timed.losses.append(float(step.loss))
        before, scale = scale, step.scale()
        if scale < before:
            raise Failed(f"float16: step {len(timed.steps)} was left out, since its gradients overflowed")
    return timed
