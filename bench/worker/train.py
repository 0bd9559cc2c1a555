"""The training and evaluation loops, used by train time, evaluation time and accuracy alike."""

import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from itertools import count
from typing import Any

import torch
from torch import Tensor

from bench import plugins
from bench.errors import Failed
from bench.worker import timing, weights
from bench.worker.augment import augment
from bench.worker.losses import LOSSES, Loss, Supervised, cross_entropy
from bench.worker.subject import Dataset, Subject, as_float, load_dataset

Batch = dict[str, Tensor]

FIRST_SCALE = 2.0**16
"""torch's own first loss scale."""

LEARNING_RATE = 2.5e-4
"""Of a recipe that names none: Newell et al. 2016."""

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


def make_optimizer(model: torch.nn.Module, recipe: dict[str, Any], modes: Iterable[str] = ()) -> torch.optim.Optimizer:
    """The recipe's optimizer over all trainable parameters, implemented as these modes ask for.

    Raises:
        Failed: the recipe names an optimizer that is not known.
    """
    parameters = [p for p in model.parameters() if p.requires_grad]
    kind = recipe.get("optimizer", "rmsprop")
    common = {"lr": recipe.get("lr", LEARNING_RATE), "weight_decay": recipe.get("weight_decay", 0.0)}
    common |= implementation(kind, modes)
    match kind:
        case "rmsprop":
            return torch.optim.RMSprop(parameters, momentum=recipe.get("momentum", 0.0), alpha=0.99, **common)
        case "adam":
            return torch.optim.Adam(parameters, **common)
        case "sgd":
            return torch.optim.SGD(parameters, momentum=recipe.get("momentum", 0.0), **common)
        case other:
            raise Failed(f"recipe {recipe.get('name')}: optimizer '{other}' is none of rmsprop, adam, sgd")


def implementation(optimizer: str, modes: Iterable[str]) -> dict[str, Any]:
    """Arguments of this optimizer's constructor that modes choose, each in its constant OPTIMIZER, if it has one."""
    tables = (getattr(plugins.load("mode", mode), "OPTIMIZER", {}) for mode in modes)
    return {name: value for table in tables for name, value in table.get(optimizer, {}).items()}


@dataclass(slots=True)
class Learner:
    """One training step by the job's recipe, and what it carries from step to step.

    Attributes:
        norms: the network's batch norms, with those of their parameters that are trained.
    """

    subject: Subject
    recipe: dict[str, Any]
    loss_of: Loss
    optimizer: torch.optim.Optimizer
    scaler: torch.amp.GradScaler
    norms: tuple[tuple[torch.nn.Module, tuple[Tensor, ...]], ...] = ()

    def __call__(self, batch: Batch) -> Step:
        """One step. It does not wait for the device, but in float16: the scaler asks whether gradients overflowed."""
        mark = self.subject.clock.mark
        begin = mark()
        self.optimizer.zero_grad(set_to_none=True)
        outputs = self.subject.forward(self.subject.place(as_float(batch["image"])))
        loss = self.loss_of(outputs, batch, self.recipe)
        forward = mark()
        self.scaler.scale(loss).backward()
        backward = mark()
        self.scaler.step(self.optimizer)
        self.scaler.update()
        return Step(begin, forward, backward, mark(), loss.detach(), self.scaler.get_scale)

    def set_rate(self, factor: float) -> None:
        """The recipe's learning rate times this, from the next step on."""
        for group in self.optimizer.param_groups:
            group["lr"] = factor * self.recipe.get("lr", LEARNING_RATE)

    def freeze_norms(self, frozen: bool) -> None:
        """Batch norms that use their statistics, update nothing and are not trained; or, if not frozen, that are."""
        for norm, parameters in self.norms:
            norm.train(not frozen)
            for parameter in parameters:
                parameter.requires_grad_(not frozen)


def start(subject: Subject) -> tuple[Subject, Learner]:
    """The subject with a `step` that trains it by the job's recipe, and that step."""
    recipe = subject.job.train.get("recipe", {})
    name = recipe.get("loss", "heatmap_mse")
    if name not in LOSSES:
        raise Failed(f"recipe {recipe.get('name')}: loss '{name}' is none of {', '.join(sorted(LOSSES))}")
    loss = Supervised(name, weighted(subject, LOSSES[name], recipe), subject.model)
    scaler = torch.amp.GradScaler(subject.device.type, init_scale=FIRST_SCALE, enabled=subject.scale_loss)
    norms = tuple(
        (module, tuple(p for p in module.parameters() if p.requires_grad))
        for module in subject.model.modules()
        if isinstance(module, torch.nn.modules.batchnorm._BatchNorm)
    )
    optimizer = make_optimizer(subject.model, recipe, subject.job.modes)
    learner = Learner(subject, recipe, loss, optimizer, scaler, norms)
    return replace(subject, step=learner), learner


def weighted(subject: Subject, loss: Loss, recipe: dict[str, Any]) -> Loss:
    """The loss with the recipe's weights of classes, where it has some: counts the training labels once."""
    kind = recipe.get("class_weights")
    if not kind:
        return loss
    if loss is not cross_entropy:
        raise Failed(f"recipe {recipe.get('name')}: class_weights are of loss 'cross_entropy' alone")
    counts = weights.class_counts(load_dataset(subject.job, "train"))
    return partial(cross_entropy, weights=weights.weights_of(counts, kind, subject.device))


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


def batches(subject: Subject, dataset: Dataset, first: int = 0) -> Iterator[Batch]:
    """Training batches without end, augmented as the recipe says, from batch `first` on.

    Every epoch visits all images in an order of its own. Every batch is full: the one at the end of an epoch goes
    on with the next one. A batch depends on the job's seed and on its number alone.
    """
    size = subject.job.train.get("batch", 1)
    options = (subject.job.train.get("recipe") or {}).get("augment")
    order = Order(len(dataset), subject.job.seed)
    for number in count(first):
        batch = dataset.batch([order[number * size + k] for k in range(size)], subject.device)
        yield augment(batch, options, generator(subject.job.seed, "augment", number)) if options else batch


class Order:
    """Position in the training -> index of the image: a new permutation for every epoch."""

    def __init__(self, length: int, seed: int) -> None:
        self.length, self.seed = length, seed
        self.epoch, self.permutation = -1, torch.empty(0)

    def __getitem__(self, position: int) -> int:
        epoch, place = divmod(position, self.length)
        if epoch != self.epoch:
            self.epoch = epoch
            self.permutation = torch.randperm(self.length, generator=generator(self.seed, "order", epoch))
        return int(self.permutation[place])


def generator(seed: int, purpose: str, number: int) -> torch.Generator:
    """A random stream of its own for each seed, purpose and number, on the CPU."""
    key = hashlib.sha256(f"{seed}/{purpose}/{number}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(key[:8]) >> 1)


def steps_per_epoch(subject: Subject) -> int:
    """Full batches in an epoch of the suite's `train` images."""
    images = subject.job.data.get("train") or 1
    return max(1, int(images) // int(subject.job.train.get("batch", 1)))


def evaluate(
    subject: Subject, take: Callable[[list[Tensor], Batch], None], images: int, size: int, *, split: str = "val"
) -> Iterator[float]:
    """The evaluation loop over the validation split: load, place, forward, and what `take` does.

    Args:
        take: takes the network's outputs and the batch; called inside the timed part.
        images: stop after this many; size: images in a batch, the last one may be short.
        split: another one in the validation split's place.

    Yields:
        Seconds of each batch.
    """
    dataset = load_dataset(subject.job, split)
    total = min(images, len(dataset))

    def once(first: int, last: int) -> None:
        batch = dataset.batch(range(first, last), subject.device)
        take(subject.forward(subject.place(as_float(batch["image"]))), batch)

    with timing.no_garbage():
        for first in range(0, total, size):
            yield timing.timed(partial(once, first, min(first + size, total)), subject.clock)[1]
