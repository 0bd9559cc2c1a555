"""The training and evaluation loops, used by train time, evaluation time and accuracy alike."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import count
from typing import Any

import torch
from torch import Tensor

from bench.errors import Failed
from bench.worker import heatmap
from bench.worker.losses import LOSSES
from bench.worker.subject import Dataset, Subject, as_float, load_dataset

Batch = dict[str, Tensor]


@dataclass(frozen=True, slots=True)
class Step:
    """Marks of the device's clock around the parts of one training step, and its loss, still on the device.

    The marks are events on CUDA: reading the parts adds no synchronisation to the step.
    """

    begin: Any
    forward: Any
    backward: Any
    optimizer: Any
    loss: Tensor


def make_optimizer(model: torch.nn.Module, recipe: dict[str, Any]) -> torch.optim.Optimizer:
    """The recipe's optimizer over all trainable parameters.

    Raises:
        Failed: the recipe names an optimizer that is not known.
    """
    parameters = [p for p in model.parameters() if p.requires_grad]
    common = {"lr": recipe.get("lr", 2.5e-4), "weight_decay": recipe.get("weight_decay", 0.0)}
    match recipe.get("optimizer", "rmsprop"):
        case "rmsprop":
            return torch.optim.RMSprop(parameters, momentum=recipe.get("momentum", 0.0), alpha=0.99, **common)
        case "adam":
            return torch.optim.Adam(parameters, **common)
        case "sgd":
            return torch.optim.SGD(parameters, momentum=recipe.get("momentum", 0.0), **common)
        case other:
            raise Failed(f"recipe {recipe.get('name')}: optimizer '{other}' is none of rmsprop, adam, sgd")


def start(subject: Subject) -> tuple[Subject, Callable[[Batch], Step]]:
    """The subject with a `step` that trains it by the job's recipe, and that step."""
    recipe = subject.job.train.get("recipe", {})
    name = recipe.get("loss", "heatmap_mse")
    if name not in LOSSES:
        raise Failed(f"recipe {recipe.get('name')}: loss '{name}' is none of {', '.join(sorted(LOSSES))}")
    loss_of = LOSSES[name]
    optimizer = make_optimizer(subject.model, recipe)
    scaler = torch.amp.GradScaler(subject.device.type, enabled=subject.scale_loss)
    mark = subject.clock.mark

    def step(batch: Batch) -> Step:
        begin = mark()
        optimizer.zero_grad(set_to_none=True)
        loss = loss_of(subject.forward(subject.place(as_float(batch["image"]))), batch, recipe)
        forward = mark()
        scaler.scale(loss).backward()
        backward = mark()
        scaler.step(optimizer)
        scaler.update()
        return Step(begin, forward, backward, mark(), loss.detach())

    return replace(subject, step=step), step


def batches(subject: Subject, dataset: Dataset) -> Iterator[Batch]:
    """Training batches without end, in the data set's order. Every batch is full: the one at the end of an
    epoch goes on at the data set's beginning.
    """
    size = subject.job.train.get("batch", 1)
    length = len(dataset)
    for i in count():
        yield dataset.batch([(i * size + k) % length for k in range(size)], subject.device)


def steps_per_epoch(subject: Subject) -> int:
    """Full batches in an epoch of the suite's `train` images."""
    images = subject.job.data.get("train") or 1
    return max(1, int(images) // int(subject.job.train.get("batch", 1)))


def evaluate(subject: Subject, score: Callable[[Tensor, Batch], None], most: int) -> Iterator[float]:
    """The evaluation loop over the validation split: load, place, forward, decode, score.

    Args:
        score: takes decoded joints (N K 2, cells) and the batch; called inside the timed part.
        most: stop after this many images.

    Yields:
        Seconds of each batch; the last batch may be short.
    """
    job, clock = subject.job, subject.clock
    dataset = load_dataset(job, "val")
    size = job.infer.get("batch", 1)
    total = min(most, len(dataset))
    for first in range(0, total, size):
        clock.synchronize()
        begin = clock.now()
        batch = dataset.batch(range(first, min(first + size, total)), subject.device)
        output = subject.forward(subject.place(as_float(batch["image"])))[-1]
        score(heatmap.decode(output.float()) if output.dim() == 4 else output, batch)
        clock.synchronize()
        yield (clock.now() - begin) / 1e9
