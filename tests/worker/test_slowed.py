"""A slowdown by a known share: the timed figure is longer by it, and nothing else changes."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from fakes import FakeDevice, FakeQueue, constant, noisy
from jobs import QUICK, tiny
from suite_text import GOOD, problems
from torch import Tensor

from bench.worker import timing
from bench.worker import work as module
from bench.worker.slowed import slowed
from bench.worker.subject import Subject, prepare
from bench.worker.work import work

CALL = 4e-3
"""Seconds of the real call."""


class Ticking(FakeDevice):
    """A clock that also moves by 1 us with every reading, so that who spins gets on; it counts the readings."""

    readings = 0

    def now(self) -> int:
        self.readings += 1
        self.time += 1000
        return self.time


def subject_on(device: FakeDevice, share: float | None) -> Subject:
    """A network whose calls take what the device's stream says."""
    infer = {"batch": 1} if share is None else {"batch": 1, "slowdown": share}

    def call(image: Tensor) -> Tensor:
        device.call()
        return image

    return replace(prepare(tiny("infer", "infer", infer=infer)), call=call, clock=device)


def latency(subject: Subject) -> float:
    return timing.latency(subject.rotating(), subject.clock, QUICK).interval.value


@pytest.mark.parametrize("share", [0.05, 0.3, 1.0])
def test_the_host_spins_for_the_share_of_each_call(share: float) -> None:
    device = Ticking(constant(CALL))
    found = latency(slowed(subject_on(device, share)))
    assert found / CALL == pytest.approx(1 + share, abs=0.002)
    assert device.readings > device.calls * share * CALL / 1e-6  # it spun, rather than slept


def test_noise_is_lengthened_with_the_call() -> None:
    plain, slow = (
        timing.latency(subject.rotating(), subject.clock, QUICK).samples
        for subject in (
            subject_on(Ticking(noisy(CALL, 0.2)), None),
            slowed(subject_on(Ticking(noisy(CALL, 0.2)), 0.3)),
        )
    )
    ratios = [b / a for a, b in zip(plain, slow, strict=False)]
    assert ratios == pytest.approx([1.3] * len(ratios), abs=0.005)


def test_a_queue_is_held_behind_the_call() -> None:
    device = FakeQueue(constant(CALL), enqueue=1e-4)
    subject = slowed(subject_on(device, 0.3))
    before, calls = device.holds, device.calls
    assert before == 1  # measured once, before anything is timed
    found = latency(subject)
    assert found == pytest.approx(1.3 * CALL, rel=1e-6)
    assert device.holds - before == device.calls - calls


def test_a_call_that_the_host_holds_up_is_lengthened_too() -> None:
    launch_bound = FakeQueue(constant(1e-4), enqueue=CALL)
    assert latency(slowed(subject_on(launch_bound, 0.3))) == pytest.approx(1.3 * CALL, rel=1e-6)


def test_without_a_share_the_subject_stays_as_it_is() -> None:
    subject = subject_on(FakeDevice(constant(CALL)), None)
    assert slowed(subject) is subject


def test_the_answer_is_the_same() -> None:
    subject = prepare(tiny("infer", "infer", infer={"batch": 1, "slowdown": 0.3}))
    image = subject.inputs[0]
    with torch.inference_mode():
        assert torch.equal(slowed(subject).forward(image)[-1], subject.forward(image)[-1])


def test_a_job_says_that_it_was_slowed_and_compares_with_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Subject] = []

    def spy(real: Callable[[Subject], Subject]) -> Callable[[Subject], Subject]:
        def called(subject: Subject) -> Subject:
            seen.append(subject)
            return real(subject)

        return called

    monkeypatch.setattr(module, "slowed", spy(slowed))
    plain, slow = (work(tiny("infer", "infer", infer={"batch": 1} | more)) for more in ({}, {"slowdown": 0.3}))
    assert [(r.status, r.reason) for r in (plain, slow)] == [("ok", "")] * 2
    assert len(seen) == 2
    assert plain.id != slow.id
    assert slow.fingerprints["infer"]["infer.slowdown"] == 0.3
    assert "infer.slowdown" not in plain.fingerprints["infer"]


def test_a_suite_cannot_slow_its_networks(tmp_path: Path) -> None:
    text = GOOD.replace("[infer]\nbatch = 1", "[infer]\nbatch = 1\nslowdown = 0.05")
    assert text != GOOD
    assert problems(tmp_path, text) == [f"{tmp_path}/x.toml:19: unknown key 'slowdown'; one of: batch, rounds"]


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
def test_a_real_queue_is_held() -> None:
    asked = {"device": "cuda", "options": {"features": 128}, "data": {"use": "random", "size": 256, "val": 6}}
    plain, slow = (work(tiny("infer", "infer", infer={"batch": 8} | more, **asked)) for more in ({}, {"slowdown": 0.3}))
    assert [(r.status, r.reason) for r in (plain, slow)] == [("ok", "")] * 2
    before, after = (next(v for v in r.values if v.quantity.name == "latency").value for r in (plain, slow))
    assert after / before == pytest.approx(1.3, abs=0.1)
