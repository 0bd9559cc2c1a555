"""Random images and joints of the right shapes: for speed, not for accuracy."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from bench.errors import Failed

# Distinct samples that are made once and repeated, so that serving a batch costs a copy and not a generator.
POOL = 32

# Each turn through the pool inverts other bits, so that POOL x TURNS images differ.
TURNS = 255

# An MPII crop's head is a tenth of it (data conventions: head size 25.6 px in a 256 px crop).
HEAD_SHARE = 0.1

SPLIT_SEEDS = {"train": 0, "val": 1}


@dataclass(frozen=True, slots=True)
class RandomPeople:
    """`len` samples, drawn from a pool of POOL distinct ones; sample i is the same in every process.

    Attributes:
        images: POOL 3 H W, uint8.
        joints: POOL joints 2, (x, y) pixels.
    """

    images: Tensor
    joints: Tensor
    count: int

    def __len__(self) -> int:
        return self.count

    def batch(self, indices: Sequence[int], device: torch.device) -> dict[str, Tensor]:
        """image uint8 N 3 H W, joints N K 2, labelled and visible N K, head_size N, all on `device`."""
        index = torch.tensor(list(indices))
        rows, turn = index % POOL, (index // POOL % TURNS).to(torch.uint8)
        joints = self.joints[rows]
        everywhere = torch.ones(joints.shape[:2], dtype=torch.bool)
        head = torch.full((len(rows),), HEAD_SHARE * self.images.shape[-1])
        image = self.images[rows] ^ turn[:, None, None, None]
        batch = {"image": image, "joints": joints, "labelled": everywhere, "visible": everywhere}
        return {name: tensor.to(device) for name, tensor in (batch | {"head_size": head}).items()}


def load(split: str, *, size: tuple[int, int], count: int, joints: int = 16, channels: int = 3) -> RandomPeople:
    """A split of `count` samples of size (H, W).

    Raises:
        Failed: there is no such split.
    """
    if split not in SPLIT_SEEDS:
        raise Failed(f"split = {split!r}: the random people have {' and '.join(SPLIT_SEEDS)}")
    generator = torch.Generator().manual_seed(SPLIT_SEEDS[split])
    images = torch.randint(0, 256, (POOL, channels, *size), generator=generator, dtype=torch.uint8)
    corner = torch.tensor([size[1] - 1, size[0] - 1])
    return RandomPeople(images, torch.rand(POOL, joints, 2, generator=generator) * corner, count)
