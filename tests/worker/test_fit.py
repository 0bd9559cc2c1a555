"""Trainings to the end: reproducible, resumable, and honest about a loss that is none."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from jobs import RECIPE, tiny
from torch import Tensor

from bench.errors import Failed
from bench.record import Job
from bench.worker import checkpoint, fit, train
from bench.worker.subject import prepare

SHORT = {"batch": 2, "samples": 24, "validations": 4, "recipe": RECIPE | {"warmup": 3, "augment": {"flip": 0.5}}}


def asked(folder: Path | None = None, **changes: Any) -> Job:
    return tiny("accuracy", **{"train": SHORT, "artefacts": str(folder or ""), "metrics": ["pckh"]} | changes)


class Stop(Exception):
    """Stands in for a kill."""


def trained(job: Job, *, stop_at: int = -1) -> tuple[fit.Course, dict[str, Tensor]]:
    """The course and the weights of a training; it is killed at a validation if asked."""
    subject, learner = train.start(prepare(job))
    scores = iter(range(100))

    def validate() -> tuple[float, float]:
        number = next(scores)
        if number == stop_at:
            raise Stop
        # What a network says of the same images depends on its weights alone.
        return float(sum(p.detach().abs().sum() for p in subject.model.parameters())), 10.0 * number

    return fit.fit(subject, learner, validate), subject.model.state_dict()


def test_a_training_takes_its_samples_and_is_validated_on_its_way() -> None:
    course, _ = trained(asked())
    assert course.step == 12
    assert course.test.images == course.score.images == [6, 12, 18, 24]
    assert course.loss.images == [2 * (i + 1) for i in range(12)]
    assert course.score.values == [0.0, 10.0, 20.0, 30.0]


def test_a_training_is_validated_every_so_many_steps_and_at_its_end() -> None:
    course, _ = trained(asked(train=SHORT | {"validate_every": 5}))
    assert course.test.images == course.score.images == [10, 20, 24]


def test_two_trainings_are_the_same_to_the_bit() -> None:
    (one, weights), (other, others) = trained(asked()), trained(asked())
    assert one.loss == other.loss
    assert one.test == other.test
    assert all(torch.equal(weights[name], others[name]) for name in weights)


def test_another_seed_is_another_training() -> None:
    assert trained(asked())[0].loss != trained(asked(seed=1))[0].loss


def test_a_killed_training_goes_on_as_if_nothing_had_happened(tmp_path: Path) -> None:
    options = {"stacks": 1, "features": 8, "depth": 1, "dropout": 0.3}  # draws random numbers in every step
    whole, weights = trained(asked(options=options))
    job = asked(tmp_path, options=options)
    with pytest.raises(Stop):
        trained(job, stop_at=2)
    kept = checkpoint.file(job, "last.pt")
    assert kept is not None
    assert checkpoint.load(kept)["course"]["step"] == 6
    torch.rand(5)  # the new process has drawn other numbers
    resumed, again = trained(job)
    assert resumed.loss == whole.loss
    assert resumed.test == whole.test
    assert all(torch.equal(weights[name], again[name]) for name in weights)


def test_a_finished_training_is_not_repeated(tmp_path: Path) -> None:
    first, _ = trained(asked(tmp_path))
    again, _ = trained(asked(tmp_path), stop_at=0)
    assert again.score == first.score


def test_the_best_weights_are_kept_beside_the_last(tmp_path: Path) -> None:
    job = asked(tmp_path)
    subject, learner = train.start(prepare(job))
    scores = iter([1.0, 5.0, 3.0, 2.0])
    seen = []

    def validate() -> tuple[float, float]:
        seen.append({name: tensor.clone() for name, tensor in subject.model.state_dict().items()})
        return 0.0, next(scores)

    fit.fit(subject, learner, validate)
    best, last = (checkpoint.load(tmp_path / f"{job.id}-{name}.pt")["model"] for name in ("best", "last"))
    assert all(torch.equal(best[name], seen[1][name]) for name in best)
    assert all(torch.equal(last[name], seen[3][name]) for name in last)


def test_a_checkpoint_of_another_job_is_refused(tmp_path: Path) -> None:
    job, other = asked(tmp_path), asked(tmp_path, seed=1)
    trained(other)
    (tmp_path / f"{other.id}-last.pt").rename(tmp_path / f"{job.id}-last.pt")
    with pytest.raises(Failed, match=r"not a checkpoint of this job; delete /.* to train from the beginning"):
        trained(job)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:1000])


def emptied(path: Path) -> None:
    path.write_bytes(b"")


def without(key: str) -> Callable[[Path], None]:
    def spoil(path: Path) -> None:
        torch.save({name: part for name, part in checkpoint.load(path).items() if name != key}, path)

    return spoil


def replaced(**parts: Any) -> Callable[[Path], None]:
    return lambda path: torch.save(checkpoint.load(path) | parts, path)


def weights_alone(path: Path) -> None:
    torch.save(checkpoint.load(path)["model"], path)


@pytest.mark.parametrize(
    "spoil",
    [
        *(cut, emptied, weights_alone),
        *(without(key) for key in ("job", "model", "optimizer", "scaler", "course", "random")),
        *(replaced(**{key: 3}) for key in ("model", "optimizer", "course", "random")),
        replaced(course={"step": 6, "loss": {}}),
        lambda path: torch.save(torch.ones(2), path),
    ],
)
def test_a_broken_checkpoint_says_what_to_delete(tmp_path: Path, spoil: Callable[[Path], None]) -> None:
    job = asked(tmp_path)
    whole, _ = trained(job)
    last = tmp_path / f"{job.id}-last.pt"
    spoil(last)
    with pytest.raises(Failed, match=rf"^{last.name}: .*; delete {last} to train from the beginning$"):
        trained(job)
    last.unlink()
    assert trained(job)[0].loss == whole.loss


def test_memory_that_runs_out_while_resuming_does_not_blame_the_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained(asked(tmp_path))

    def full(*_: Any) -> None:
        raise torch.OutOfMemoryError("all gone")

    monkeypatch.setattr(torch.optim.RMSprop, "load_state_dict", full)
    with pytest.raises(torch.OutOfMemoryError, match="all gone"):
        trained(asked(tmp_path))


def test_a_loss_that_is_not_finite_ends_the_training_and_says_where(tmp_path: Path) -> None:
    job = asked(tmp_path, train=SHORT | {"recipe": RECIPE | {"optimizer": "sgd", "lr": 1e20}})
    course, _ = trained(job)
    assert "the loss is not finite" in course.broken
    assert "images" in course.broken
    assert course.step < 12
    assert all(map(math.isfinite, course.loss.values))


@pytest.mark.parametrize(
    ("table", "steps"),
    [({"batch": 20, "samples": 6000}, 300), ({"batch": 6, "samples": 6000}, 1000), ({"batch": 6, "epochs": 50}, 67)],
)
def test_every_batch_gets_the_same_images(table: dict[str, int], steps: int) -> None:
    subject = prepare(tiny("accuracy", train=table | {"recipe": RECIPE}))  # 8 images in an epoch
    budget = fit.budget_of(subject)
    assert budget.steps == steps
    assert abs(steps * budget.batch - table.get("samples", 400)) <= budget.batch / 2


FROZEN = SHORT | {"recipe": RECIPE | {"optimizer": "sgd", "lr": 0.01, "momentum": 0.9, "freeze_norm": 0.5}}


def test_frozen_norms_stay_what_they_were_and_are_trained_after() -> None:
    subject, learner = train.start(prepare(asked(train=FROZEN)))
    norms = [module for module in subject.model.modules() if isinstance(module, torch.nn.BatchNorm2d)]
    seen = []

    def validate() -> tuple[float, float]:
        subject.model.train()  # as it is left by a validation
        states = [tensor.clone() for norm in norms for tensor in norm.state_dict().values()]
        others = [p.detach().clone() for name, p in subject.model.named_parameters() if "heads" in name]
        seen.append((states, others))
        return 0.0, 0.0

    before = [tensor.clone() for norm in norms for tensor in norm.state_dict().values()]
    fit.fit(subject, learner, validate)
    same = [all(map(torch.equal, before, states)) for states, _ in seen]
    assert same == [True, True, False, False]  # after 3, 6, 9 and 12 steps
    assert not any(torch.equal(a, b) for a, b in zip(seen[0][1], seen[1][1], strict=True))  # all others learn
    moved = [not torch.equal(a, b) for a, b in zip(before, seen[-1][0], strict=True)]
    assert all(moved)  # statistics, weights and biases alike
    assert all(norm.training for norm in norms)
    assert all(p.requires_grad for p in subject.model.parameters())


def test_what_a_network_has_frozen_itself_is_not_thawed() -> None:
    subject = prepare(asked(train=FROZEN))
    norm = next(module for module in subject.model.modules() if isinstance(module, torch.nn.BatchNorm2d))
    norm.weight.requires_grad_(False)
    subject, learner = train.start(subject)
    fit.fit(subject, learner, lambda: (0.0, 0.0))
    assert not norm.weight.requires_grad
    assert norm.bias.requires_grad


@pytest.mark.parametrize("stop_at", [1, 2, 3])  # checkpoints while norms are frozen, at the turn, and after
def test_a_training_with_frozen_norms_goes_on_as_if_nothing_had_happened(tmp_path: Path, stop_at: int) -> None:
    whole, weights = trained(asked(train=FROZEN))
    job = asked(tmp_path, train=FROZEN)
    with pytest.raises(Stop):
        trained(job, stop_at=stop_at)
    resumed, again = trained(job)
    assert resumed.loss == whole.loss
    assert all(torch.equal(weights[name], again[name]) for name in weights)


def test_norms_are_left_alone_where_the_recipe_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: Any) -> None:
        raise AssertionError

    monkeypatch.setattr(train.Learner, "freeze_norms", never)
    assert trained(asked())[0].step == 12
