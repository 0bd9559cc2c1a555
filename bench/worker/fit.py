"""A training to the end of its budget: validated on its way, kept in checkpoints, resumed where it was killed."""

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from bench.errors import Failed
from bench.worker import checkpoint, schedule, train
from bench.worker.subject import Subject, load_dataset

VALIDATIONS = 10
"""How often a training is scored on its way, where the suite does not say."""

POINTS = 50
"""Points of the loss curve, each a mean over a share of the training."""

Validate = Callable[[], tuple[float, float]]
"""-> (loss, score) of the network as it is now; a higher score is better."""


@dataclass(slots=True)
class Curve:
    """A figure over the training: `images` seen so far, and its value there."""

    images: list[int] = field(default_factory=list)
    values: list[float] = field(default_factory=list)

    def add(self, images: int, value: float) -> None:
        """The next point."""
        self.images.append(images)
        self.values.append(value)


@dataclass(slots=True)
class Course:
    """How a training went, as plain data that a checkpoint keeps.

    Attributes:
        step: steps taken.
        loss: of the training, the mean since the point before; test: of the validation images; score: theirs.
        broken: why it ended before its budget.
    """

    step: int = 0
    loss: Curve = field(default_factory=Curve)
    test: Curve = field(default_factory=Curve)
    score: Curve = field(default_factory=Curve)
    broken: str = ""


@dataclass(frozen=True, slots=True)
class Budget:
    """How long a training is: `steps` of `batch` images, `per_epoch` of them in an epoch."""

    steps: int
    batch: int
    per_epoch: float

    def marks(self, count: int) -> set[int]:
        """The steps, counted from 1, at which each of `count` even shares of the training is over."""
        return {max(1, round(self.steps * k / count)) for k in range(1, count + 1)}

    def validations(self, table: dict[str, Any]) -> set[int]:
        """The steps after which it is scored, as the job's train table says; the last one is always among them."""
        if every := table.get("validate_every"):
            return {*range(every, self.steps, every), self.steps}
        return self.marks(table.get("validations", VALIDATIONS))


def budget_of(subject: Subject) -> Budget:
    """The job's budget: the same number of images whatever the batch, to half a batch."""
    table = subject.job.train
    images = int(subject.job.data.get("train") or 1)
    batch = int(table.get("batch", 1))
    samples = int(table.get("samples") or table.get("epochs", 1) * images)
    return Budget(max(1, round(samples / batch)), batch, images / batch)


def fit(subject: Subject, learner: train.Learner, validate: Validate) -> Course:
    """Train to the end of the budget, from the last checkpoint where there is one, or until the loss is not finite.

    Raises:
        Failed: a checkpoint cannot be written, or the one that is there cannot be read.
    """
    budget, last = budget_of(subject), checkpoint.file(subject.job, "last.pt")
    course = resumed(subject, learner, last) if last and last.exists() else Course()
    validations = budget.validations(subject.job.train)
    points = budget.marks(POINTS) | validations
    losses: list[Tensor] = []
    source = train.batches(subject, load_dataset(subject.job, "train"), course.step)
    recipe = subject.job.train.get("recipe") or {}
    frozen = schedule.frozen(recipe, budget.steps)
    while course.step < budget.steps:
        learner.set_rate(schedule.factor(recipe, course.step, budget.steps, budget.per_epoch))
        if frozen:
            # At every step: a validation leaves all layers in training mode.
            learner.freeze_norms(course.step < frozen)
        losses.append(learner(next(source)).loss)
        course.step += 1
        images = course.step * budget.batch
        if course.step in points:
            # Between these points the loop itself does not wait for the device; a data set or the loss scaler may.
            loss = float(torch.stack(losses).mean())
            losses.clear()
            if not math.isfinite(loss):
                course.broken = f"the loss is not finite ({loss}) after {images:,} images"
                return course
            course.loss.add(images, loss)
        if course.step in validations:
            loss, score = validate()
            is_best = score >= max(course.score.values, default=-math.inf)
            course.test.add(images, loss)
            course.score.add(images, score)
            save(subject, learner, course, is_best=is_best)
    return course


def save(subject: Subject, learner: train.Learner, course: Course, *, is_best: bool) -> None:
    """The whole state as the last checkpoint, and the weights as the best one where they are.

    Raises:
        Failed: the disk is full, or the folder cannot be written.
    """
    best, last = (checkpoint.file(subject.job, name) for name in ("best.pt", "last.pt"))
    if best is None or last is None:
        return
    weights = subject.model.state_dict()
    if is_best:
        checkpoint.save({"model": weights}, best)
    cuda = [torch.cuda.get_rng_state(subject.device)] if subject.device.type == "cuda" else []
    state = {
        "job": subject.job.id,
        "model": weights,
        "optimizer": learner.optimizer.state_dict(),
        "scaler": learner.scaler.state_dict(),
        "course": asdict(course),
        "random": [torch.get_rng_state(), *cuda],
    }
    checkpoint.save(state, last)


def resumed(subject: Subject, learner: train.Learner, last: Path) -> Course:
    """Take over the state of a checkpoint, so that the training goes on as if it had not been interrupted.

    Raises:
        Failed: it is broken, or of another job.
    """
    instead = f"delete {last} to train from the beginning"
    state = checkpoint.load(last, instead)
    try:
        return taken_over(state, subject, learner)
    except torch.OutOfMemoryError:
        raise
    except checkpoint.BROKEN:
        raise Failed(f"{last.name}: not a checkpoint of this job; {instead}") from None


def taken_over(state: Any, subject: Subject, learner: train.Learner) -> Course:
    """The course so far, with the network, the learner and the random numbers as they were then.

    Raises one of checkpoint.BROKEN where the state is none of this job's.
    """
    if state["job"] != subject.job.id:
        raise ValueError(f"of job {state['job']}")
    subject.model.load_state_dict(state["model"])
    learner.optimizer.load_state_dict(state["optimizer"])
    learner.scaler.load_state_dict(state["scaler"])
    torch.set_rng_state(state["random"][0])
    if subject.device.type == "cuda":
        torch.cuda.set_rng_state(state["random"][1], subject.device)
    kept = state["course"]
    course = Course(step=kept["step"])
    for name in ("loss", "test", "score"):
        setattr(course, name, Curve(**kept[name]))
    return course
