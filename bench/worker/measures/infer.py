"""Inference: latency of one call with its percentiles, device time, and sustained images per second."""

from collections.abc import Iterator, Sequence

from bench import stats
from bench.errors import Failed
from bench.record import Quantity, Value
from bench.worker import timing
from bench.worker.subject import Subject

PHASE = "infer"

UNSYNCHRONISED = 0.8
"""A caller waits for at least this share of the time for which the device is busy with the call; noise is less."""

LATENCY = Quantity(name="latency", unit="s", better="lower", title="latency, median of single calls")
P90 = Quantity(name="latency.p90", unit="s", better="lower", title="latency, 90th percentile", headline=False)
P99 = Quantity(name="latency.p99", unit="s", better="lower", title="latency, 99th percentile", headline=False)
DEVICE = Quantity(name="device_latency", unit="s", better="lower", title="time the device is busy", headline=False)
THROUGHPUT = Quantity(name="throughput", unit="image/s", better="higher", title="throughput, calls back to back")


def measure(subject: Subject) -> Iterator[Value]:
    """Time the network alone, on inputs that lie on the device; warm-up and proof came before.

    Raises:
        Failed: a call took less time than the device needs for it.
    """
    call, clock, protocol = subject.rotating(), subject.clock, subject.job.protocol
    with subject.steady():
        taken = timing.latency(call, clock, protocol)
        busy = timing.device_latency(call, clock, protocol)
    if busy and taken.interval.value < UNSYNCHRONISED * busy.interval.value:
        spent, waited = (f"{1e3 * found.interval.value:.3g} ms" for found in (busy, taken))
        raise Failed(f"the timer does not wait for the device: {waited} a call, for which the device is busy {spent}")
    bound = ["launch_bound"] if busy and timing.launch_bound(taken, busy) else []
    yield timed(LATENCY, taken, subject, bound)
    for quantity, q in ((P90, 90.0), (P99, 99.0)):
        found = stats.percentile(taken.samples, q)
        if found is None:
            reason = f"n/a ({len(taken.samples)} samples < {stats.samples_needed(q)})"
            yield Value(quantity=quantity, reason=reason)
        else:
            yield Value(quantity=quantity, value=found, how=f"order statistic of {len(taken.samples)} samples")
    if busy is None:
        yield Value(quantity=DEVICE, reason="the host is the device: latency says it")
    else:
        yield timed(DEVICE, busy, subject)
    images = int(subject.inputs[0].shape[0])
    with subject.steady():
        sustained = timing.throughput(call, images, clock, protocol)
    yield timed(THROUGHPUT, sustained, subject)


def timed(quantity: Quantity, taken: timing.Samples, subject: Subject, flags: Sequence[str] = ()) -> Value:
    """A value with its interval, flags and every raw sample."""
    interval = taken.interval
    return Value(
        quantity=quantity,
        value=interval.value,
        low=interval.low,
        high=interval.high,
        samples=list(taken.samples),
        flags=[*subject.warm_flags, *taken.flags, *flags],
        how=taken.stopped,
        details=taken.details,
    )
