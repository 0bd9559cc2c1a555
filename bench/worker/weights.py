"""Weights of the classes of parts, by how many pixels of the training labels have them.

As in the study of multi-part body segmentation, whose classes differ in size by hundreds; C are their pixels.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from bench.errors import Failed
from bench.worker.losses import IGNORED, PARTS
from bench.worker.parts import LEVELS, coarse
from bench.worker.subject import Dataset

MOST = 2048
"""Images of a generated data set that are counted: its images have no end."""

AT_ONCE = 16
"""Images in a batch while counting."""

CPU = torch.device("cpu")


def w1(counts: Tensor) -> Tensor:
    """1 - C / sum(C): the share of the pixels that are of other classes. A class without pixels counts as one pixel."""
    pixels = counts.double().clamp(min=1)
    return 1 - pixels / pixels.sum()


def w2(counts: Tensor) -> Tensor:
    """B exp(-(B - mean(B)) / (4 std(B))), where B = max(C) / C: about inverse to the pixels, the rarest damped.

    The deviation is that of a population. The study prints "B = 1/B" where it means 1/A, A = C / max(C). A class
    without pixels counts as one pixel.
    """
    pixels = counts.double().clamp(min=1)
    rarity = pixels.max() / pixels
    deviation = rarity.std(correction=0).clamp(min=torch.finfo(torch.float64).tiny)  # equal classes keep 1
    return rarity * torch.exp(-(rarity - rarity.mean()) / (4 * deviation))


KINDS: dict[str, Callable[[Tensor], Tensor]] = {"w1": w1, "w2": w2}
"""Names that a recipe gives them."""


def class_counts(dataset: Dataset, classes: int = PARTS) -> Tensor:
    """Pixels of each class in the training labels, int64, from one pass over them on the CPU.

    A data set of files tells how many of its samples differ (`distinct`), and all of those are counted. Of one that is
    generated the first 2,048 images are, or as many as it has. They are the same for every seed and on every device.

    Args:
        classes: to which the labels are merged: 2, 5, 13 or 25.

    Raises:
        Failed: the data have no parts, or a pixel's label is no class.
    """
    images = getattr(dataset, "distinct", None) or min(len(dataset), MOST)
    counts = torch.zeros(IGNORED + 1, dtype=torch.int64)
    for first in range(0, images, AT_ONCE):
        batch = dataset.batch(range(first, min(first + AT_ONCE, images)), CPU)
        if "part" not in batch:
            raise Failed("class_weights: the data have no 'part', whose pixels could be counted")
        counts += torch.bincount(batch["part"].flatten().long(), minlength=len(counts))
    wrong = counts[PARTS:IGNORED].nonzero()
    if len(wrong):
        raise Failed(f"class_weights: a training label is {PARTS + int(wrong[0])}: classes are 0 to {PARTS - 1}")
    return merged(counts[:PARTS], classes)


def merged(counts: Tensor, classes: int) -> Tensor:
    """Pixels of the 25 classes as those of a coarser level."""
    parents = coarse(torch.arange(len(counts)), classes)
    return torch.zeros(classes, dtype=counts.dtype).index_add_(0, parents, counts)


def weights_of(counts: Tensor, kind: str, device: torch.device) -> dict[int, Tensor]:
    """Number of classes -> their weights, float32 on the device, each level from its own pixels.

    Raises:
        Failed: there is no such kind.
    """
    if kind not in KINDS:
        raise Failed(f"class_weights = {kind!r}: there are {' and '.join(KINDS)}")
    return {classes: KINDS[kind](merged(counts, classes)).float().to(device) for classes in LEVELS}
