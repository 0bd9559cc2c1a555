"""Predictors that never look at the image: what a network must beat before it has learnt anything."""

from itertools import islice
from math import ceil

import torch
from torch import Tensor

from bench.worker.subject import Subject, load_dataset
from bench.worker.train import batches

IMAGES = 2048
"""Training images that they are made from, where there are as many."""

CANDIDATES = 512
"""Positions that are tried for each joint."""


def labels(subject: Subject) -> tuple[Tensor, Tensor, Tensor]:
    """The first training images' joints N K 2 (pixels), labelled N K and head_size N, augmented as they are trained."""
    dataset = load_dataset(subject.job, "train")
    count = ceil(min(IMAGES, len(dataset)) / int(subject.job.train.get("batch", 1)))
    taken = islice(batches(subject, dataset), count)
    kept = [(batch["joints"], batch["labelled"], batch["head_size"]) for batch in taken]
    joints, labelled, head_size = (torch.cat(parts) for parts in zip(*kept, strict=True))
    return joints, labelled, head_size


def mean_pose(joints: Tensor, labelled: Tensor) -> Tensor:
    """The mean position of each joint where it is labelled, K 2; zero where it never is."""
    total = torch.where(labelled[..., None], joints, 0).double().sum(0)
    return (total / labelled.sum(0).clamp(min=1)[:, None]).float()


def constant_pose(joints: Tensor, labelled: Tensor, head_size: Tensor, near: float) -> Tensor:
    """The position of each joint, K 2, that is right most often: within `near` head sizes of the labelled ones.

    It is found among the first CANDIDATES labelled positions. A network that is trained on the wrong labels learns
    where joints are most often and not their mean, so that this, and not the mean pose, is what it can reach.
    """
    found = []
    for k in range(joints.shape[1]):
        points, heads = joints[labelled[:, k], k].float(), head_size[labelled[:, k]]
        if not len(points):
            found.append(joints.new_zeros(2, dtype=torch.float32))
            continue
        tried = points[:CANDIDATES]
        hits = (torch.cdist(tried, points) <= near * heads).sum(1)
        found.append(tried[hits.argmax()])
    return torch.stack(found)
