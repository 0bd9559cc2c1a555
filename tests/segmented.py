"""Labels and logits for tests of segmentation, and a metric that has seen them."""

import torch
from torch import Tensor

from bench.record import Value
from bench.worker import parts
from bench.worker.metrics.segmentation import IGNORED, Metric


def values(metric: Metric) -> dict[str, Value]:
    return {value.quantity.name: value for value in metric.compute()}


def fed(logits: Tensor, batch: dict[str, Tensor], *, size: int = 1000) -> Metric:
    """A metric that has seen everything, `size` images at a time."""
    metric = Metric()
    for first in range(0, len(logits), size):
        metric.update(logits[first : first + size], {k: v[first : first + size] for k, v in batch.items()})
    return metric


def batch_of(part: Tensor) -> dict[str, Tensor]:
    part = part.to(torch.uint8)
    return {"image": torch.zeros(len(part), 3, *part.shape[1:]), "part": part, "mask": part > 0}


def saying(classes: Tensor, count: int) -> Tensor:
    """Logits whose largest is that of these classes, N H W."""
    logits: Tensor = torch.nn.functional.one_hot(classes.long(), count).movedim(-1, 1).float()
    return logits


def crowd(images: int, classes: int = 25, seed: int = 0, skill: float = 2.0) -> tuple[Tensor, dict[str, Tensor]]:
    """Logits and labels of 12 x 10 pixels; images differ in their classes, and some pixels do not count."""
    generator = torch.Generator().manual_seed(seed)
    span = torch.randint(3, 26, (images, 1, 1), generator=generator)
    span[::5] = 25
    part = torch.randint(1000, (images, 12, 10), generator=generator) % span
    logits = skill * saying(parts.coarse(part, classes), classes)
    logits = logits + torch.randn(logits.shape, generator=torch.Generator().manual_seed(seed + 1))
    part[torch.rand(part.shape, generator=generator) < 0.1] = IGNORED
    return logits, batch_of(part)
