"""Compile time: what the first two calls (or steps) take beyond later ones, with empty caches and with filled ones.

A cell's first round finds its caches empty, which is `cold`; later rounds are fresh processes that find what the first
one left, which is `warm`. Importing the compiler is in neither. A job has one of the two figures.
"""

from collections.abc import Callable, Iterator
from functools import partial

from bench.record import Quantity, Value
from bench.stats import median_interval
from bench.worker import timing, train
from bench.worker.subject import Subject, load_dataset

PHASE = ("infer", "train")

COLD = Quantity(
    name="compile_time.cold",
    unit="s",
    better="lower",
    title="compile time cold (empty caches; first and second call less two later ones)",
)
WARM = Quantity(
    name="compile_time.warm",
    unit="s",
    better="lower",
    title="compile time warm (caches of an earlier process; first and second call less two later ones)",
)

NOTHING = "nothing is compiled in this mode"

LATER = 7
"""Later calls whose median stands for all of them: it is taken off twice from what is far larger."""


def measure(subject: Subject) -> Iterator[Value]:
    """t_first + t_second - 2 t_later, and what `apply` spent on compiling, in seconds."""
    if not subject.cache:
        yield from (Value(quantity=quantity, reason=NOTHING) for quantity in (COLD, WARM))
        return
    here, other = (COLD, WARM) if subject.cache == "cold" else (WARM, COLD)
    once = caller(subject)
    with subject.steady():
        later = median_interval([timing.timed(once, subject.clock)[1] for _ in range(LATER)]).value
    first, second = subject.first_calls[:2]
    seconds = max(0.0, subject.built + first + second - 2 * later)
    details = {"first_calls": list(subject.first_calls), "later": later, "built": subject.built}
    how = f"first and second call less two later ones, caches {subject.cache}"
    yield Value(quantity=here, value=seconds, how=how, details=details)
    yield Value(quantity=other, reason=f"the caches were {subject.cache} in this job")


def caller(subject: Subject) -> Callable[[], object]:
    """One call, or one training step on a batch that lies on the device."""
    if subject.step is None:
        return subject.rotating()
    return partial(subject.step, next(train.batches(subject, load_dataset(subject.job, "train"))))
