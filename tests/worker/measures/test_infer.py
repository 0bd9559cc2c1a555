"""Latency and throughput, on a scripted device."""

from dataclasses import replace

import msgspec
import pytest
from fakes import FakeDevice, FakeQueue, constant
from jobs import QUICK, tiny

from bench.record import Value
from bench.worker.measures import infer
from bench.worker.subject import prepare


def measured(device: FakeDevice, min_samples: int = 100, **changes: tuple[str, ...]) -> dict[str, Value]:
    protocol = msgspec.structs.replace(QUICK, min_samples=min_samples, max_seconds=60.0, half_width=0.01)
    subject = prepare(tiny("infer", protocol=protocol))
    subject = replace(subject, call=lambda _: device.call(), clock=device, **changes)
    return {value.quantity.name: value for value in infer.measure(subject)}


def test_a_constant_call() -> None:
    found = measured(FakeDevice(constant(0.010)))
    assert found["latency"].value == found["latency.p90"].value == pytest.approx(0.010)
    assert found["throughput"].value == pytest.approx(2 / 0.010)  # two images a call
    assert len(found["latency"].samples) == 100


def test_a_percentile_that_too_few_samples_support_says_how_many_it_needs() -> None:
    found = measured(FakeDevice(constant(0.010)), min_samples=6)
    assert found["latency.p99"].value is None
    assert found["latency.p99"].reason.startswith("n/a (6 samples < ")


def test_where_the_host_is_the_device_there_is_no_time_of_its_own() -> None:
    assert measured(FakeDevice(constant(0.010)))["device_latency"].reason == "the host is the device: latency says it"


def test_a_device_with_a_queue_has_a_time_of_its_own() -> None:
    found = measured(FakeQueue(constant(0.010), enqueue=0.001))
    assert found["device_latency"].value == pytest.approx(0.010)
    assert "launch_bound" not in found["latency"].flags


def test_a_host_that_cannot_keep_up_is_flagged() -> None:
    found = measured(FakeQueue(constant(0.002), enqueue=0.009))
    assert "launch_bound" in found["latency"].flags


def test_flags_of_the_warm_up_stay_with_what_was_timed_after_it() -> None:
    found = measured(FakeDevice(constant(0.010)), warm_flags=("warmup_unconverged",))
    assert "warmup_unconverged" in found["latency"].flags
    assert "warmup_unconverged" in found["throughput"].flags
