"""Training steps and epochs, on a clock that moves only when it is told to."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import msgspec
import pytest
import torch
from fakes import FakeDevice, constant
from jobs import QUICK, RECIPE, tiny

from bench.errors import Failed
from bench.record import Value
from bench.worker.measures import train_time
from bench.worker.subject import Subject, prepare
from bench.worker.train import Step

FORWARD, BACKWARD, OPTIMIZER = 0.030, 0.050, 0.020


@dataclass(slots=True)
class Trainer:
    """Steps that take a tenth of a second on a scripted clock."""

    device: FakeDevice
    loss: float = 1.0
    steps: int = 0
    skips: float = math.inf

    def step(self, _: Any) -> Step:
        self.steps += 1
        marks = [self.device.mark()]
        for seconds in (FORWARD, BACKWARD, OPTIMIZER):
            self.device.sleep(seconds)
            marks.append(self.device.mark())
        scale = 1.0 if self.steps < self.skips else 0.5
        return Step(*marks, loss=torch.tensor(self.loss), scale=lambda: scale)


def subject_for(images: int, loss: float = 1.0, **protocol: Any) -> tuple[Subject, Trainer]:
    trainer = Trainer(FakeDevice(constant(0.0)), loss)
    job = tiny(
        "train",
        data={"use": "random", "size": 32, "train": images},
        train={"batch": 2, "recipe": RECIPE},
        protocol=msgspec.structs.replace(QUICK, **protocol),
    )
    return replace(prepare(job), clock=trainer.device, step=trainer.step), trainer


def by_name(values: Iterator[Value]) -> dict[str, Value]:
    return {value.quantity.name: value for value in values}


def test_a_short_epoch_is_measured_in_full() -> None:
    subject, trainer = subject_for(images=9, train_steps=100, train_seconds=30.0)
    found = by_name(train_time.measure(subject))
    assert trainer.steps == 4
    assert found["train_step"].value == pytest.approx(0.1)
    assert found["train_epoch"].value == pytest.approx(0.4)
    assert (found["train_epoch"].how, found["train_epoch"].flags) == ("all 4 steps", [])


def test_a_long_epoch_is_estimated_from_enough_steps() -> None:
    subject, trainer = subject_for(images=2000, train_steps=10, train_seconds=2.0)
    found = by_name(train_time.measure(subject))
    assert trainer.steps == 20
    assert found["train_epoch"].value == pytest.approx(100)
    assert found["train_epoch"].flags == ["estimated"]
    assert found["train_epoch"].how == "estimated from 20 of 1000 steps"


@pytest.mark.parametrize(("steps", "seconds", "taken"), [(10, 0.0, 10), (1, 0.55, 6), (3, 0.1, 3)])
def test_steps_and_time_must_both_be_enough(steps: int, seconds: float, taken: int) -> None:
    subject, trainer = subject_for(images=2000, train_steps=steps, train_seconds=seconds)
    list(train_time.measure(subject))
    assert trainer.steps == taken


def test_the_parts_of_a_step_add_up() -> None:
    subject, _ = subject_for(images=8)
    shares = by_name(train_time.measure(subject))["train_step"].details["shares"]
    assert shares == pytest.approx({"forward": 0.3, "backward": 0.5, "optimizer": 0.2})


def test_waiting_for_data_is_apart_from_the_step_and_in_the_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    subject, trainer = subject_for(images=8)

    def slow(*_: Any) -> Iterator[dict[str, Any]]:
        while True:
            trainer.device.sleep(0.3)
            yield {}

    monkeypatch.setattr(train_time.train, "batches", slow)
    found = by_name(train_time.measure(subject))
    assert found["train_step"].value == pytest.approx(0.1)
    assert found["data_wait"].value == pytest.approx(0.3)
    assert found["train_epoch"].value == pytest.approx(4 * 0.4)
    assert found["train_epoch"].details["data_wait_share"] == pytest.approx(0.75)


@pytest.mark.parametrize("loss", [float("nan"), float("inf")])
def test_a_loss_that_is_not_finite_is_a_failure(loss: float) -> None:
    subject, _ = subject_for(images=8, loss=loss)
    with pytest.raises(Failed, match="the loss is not finite after 2 steps"):
        list(train_time.measure(subject))


def test_a_step_that_the_loss_scaler_left_out_is_a_failure() -> None:
    subject, trainer = subject_for(images=2000, train_steps=10)
    trainer.skips = 4
    with pytest.raises(Failed, match="float16: step 4 was left out, since its gradients overflowed"):
        list(train_time.measure(subject))


def test_an_epoch_is_a_sum_so_that_a_slow_step_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    subject, trainer = subject_for(images=2000, train_steps=10)
    plain = trainer.step

    def sometimes_slow(batch: Any) -> Step:
        trainer.device.sleep(1.0 if trainer.steps == 5 else 0.0)
        return plain(batch)

    found = by_name(train_time.measure(replace(subject, step=sometimes_slow)))
    assert found["train_step"].value == pytest.approx(0.1)
    assert found["train_epoch"].value == pytest.approx(1000 * 0.2)


def test_without_a_step_there_is_nothing_to_time() -> None:
    with pytest.raises(Failed, match="this measure belongs to the train phase"):
        list(train_time.measure(prepare(tiny("train"))))
