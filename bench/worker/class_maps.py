"""Answers of a segmentation that never look at the image: what a network must beat before it has learnt anything."""

from collections.abc import Callable
from itertools import islice
from math import ceil

import torch
from torch import Tensor

from bench.worker.subject import Subject, load_dataset
from bench.worker.train import Batch, batches

IMAGES = 2048
"""Training images that the most frequent classes are taken from, where there are as many."""


def background(maps: int, size: tuple[int, int]) -> Tensor:
    """Logits of class 0 everywhere, maps H W."""
    return _logits(torch.zeros(size, dtype=torch.int64), maps)


def most_frequent(subject: Subject, truth: Callable[[Batch], Tensor], maps: int) -> Tensor:
    """Logits of the class that each pixel has most often in the images that the training begins with, maps H W.

    Args:
        truth: a batch -> its labels N H W, integers; what is no class is not counted.
        maps: of the network; one is a mask's, with two classes.
    """
    dataset = load_dataset(subject.job, "train")
    count = ceil(min(IMAGES, len(dataset)) / int(subject.job.train.get("batch", 1)))
    seen = torch.zeros(0)
    for batch in islice(batches(subject, dataset), count):
        labels = truth(batch).long()
        each = torch.stack([(labels == one).sum(0) for one in range(max(2, maps))])
        seen = each if not len(seen) else seen + each
    return _logits(seen.argmax(0), maps)


def _logits(chosen: Tensor, maps: int) -> Tensor:
    """1 for the chosen class of each pixel (H W) and 0 for others; where there is one map 1 and -1."""
    if maps == 1:
        return (2.0 * chosen - 1.0)[None]
    return torch.nn.functional.one_hot(chosen, maps).permute(2, 0, 1).float()
