"""The training and evaluation loops, used by train time, evaluation time and accuracy alike."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from itertools import count
from typing import Any

import torch
from torch import Tensor

from bench.errors import Failed
from bench.worker import heatmap, timing
from bench.worker.losses import LOSSES
from bench.worker.subject import Dataset, Subject, as_float, load_dataset

Batch = dict[str, Tensor]

FIRST_SCALE = 2.0**16
"""torch's own first loss scale."""

SETTLING = 40
"""Steps after which a loss scale must have settled: from 2^16 it can halve 16 times before it is below 1."""


@dataclass(frozen=True, slots=True)
class Step:
    """Marks of the device's clock around the parts of one training step, and its loss, still on the device.

    The marks are events on CUDA: reading the parts adds no synchronisation to the step. `scale` reads the loss scale,
    which falls where float16 gradients overflowed and the optimizer was left out.
    """

    begin: Any
    forward: Any
    backward: Any
    optimizer: Any
    loss: Tensor
    scale: Callable[[], float]


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
    scaler = torch.amp.GradScaler(subject.device.type, init_scale=FIRST_SCALE, enabled=subject.scale_loss)
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
        return Step(begin, forward, backward, mark(), loss.detach(), scaler.get_scale)

    return replace(subject, step=step), step


def settle(subject: Subject, step: Callable[[Batch], Step], source: Iterator[Batch]) -> None:
    """Warm-up steps, as many as the protocol asks for and until one was not left out by the loss scaler.

    Raises:
        Failed: every step overflows.
    """
    scale = FIRST_SCALE if subject.scale_loss else 1.0
    for taken in count(1):
        before, scale = scale, step(next(source)).scale()
        if scale >= before and taken >= subject.job.protocol.train_warmup_steps:
            subject.clock.synchronize()
            return
        if taken >= SETTLING + subject.job.protocol.train_warmup_steps:
            raise Failed(f"float16: the gradients still overflow after {taken} steps (loss scale {scale:g})")


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

    Each size of batch that occurs goes through it once untimed, since the first one searches algorithms.

    Args:
        score: takes decoded joints (N K 2, cells) and the batch; called inside the timed part.
        most: stop after this many images.

    Yields:
        Seconds of each batch; the last batch may be short.
    """
    dataset = load_dataset(subject.job, "val")
    size = subject.job.infer.get("batch", 1)
    total = min(most, len(dataset))

    def once(first: int, last: int, score: Callable[[Tensor, Batch], None]) -> None:
        batch = dataset.batch(range(first, last), subject.device)
        output = subject.forward(subject.place(as_float(batch["image"])))[-1]
        score(heatmap.decode(output.float()) if output.dim() == 4 else output, batch)

    for length in {min(size, total), total % size} - {0}:
        once(0, length, lambda *_: None)
    with timing.no_garbage():
        for first in range(0, total, size):
            yield timing.timed(partial(once, first, min(first + size, total), score), subject.clock)[1]
