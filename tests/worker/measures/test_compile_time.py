"""What compiling takes, from first calls on a scripted device."""

from dataclasses import replace

import pytest
from fakes import FakeDevice, constant, slow_start
from jobs import tiny

from bench.record import Value
from bench.worker import timing
from bench.worker.measures import compile_time
from bench.worker.subject import Subject, prepare


def scripted(first: list[float], cache: str, built: float = 0.0) -> Subject:
    device = FakeDevice(slow_start(first, constant(0.5)))
    subject = replace(prepare(tiny("infer")), call=lambda _: device.call(), clock=device, cache=cache, built=built)
    return replace(subject, first_calls=timing.first_calls(subject.rotating(), device))


def measured(subject: Subject) -> dict[str, Value]:
    return {value.quantity.name: value for value in compile_time.measure(subject)}


@pytest.mark.parametrize(("cache", "other"), [("cold", "warm"), ("warm", "cold")])
def test_two_later_calls_are_taken_off_the_first_two(cache: str, other: str) -> None:
    subject = scripted([40.0, 2.0], cache, built=3.0)
    assert subject.first_calls == (40.0, 2.0, 0.5)
    found = measured(subject)
    assert found[f"compile_time.{cache}"].value == pytest.approx(3.0 + 40.0 + 2.0 - 2 * 0.5)
    assert found[f"compile_time.{cache}"].details["first_calls"] == [40.0, 2.0, 0.5]
    assert found[f"compile_time.{other}"].reason == f"the caches were {cache} in this job"


def test_first_calls_that_were_faster_took_no_time_to_compile() -> None:
    assert measured(scripted([0.4, 0.4], "warm"))["compile_time.warm"].value == 0


def test_a_mode_that_compiles_nothing_says_so() -> None:
    found = measured(prepare(tiny("infer")))
    assert {value.reason for value in found.values()} == {compile_time.NOTHING}
    assert len(found) == 2
