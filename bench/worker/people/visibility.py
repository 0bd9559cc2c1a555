"""Which joints are labelled and which are visible, read from the rendered parts."""

import torch
from torch import Tensor

from bench.worker.people.draws import constant

RIGHT = {"ankle": (6, 9, 12), "knee": (3, 6), "hip": (1, 3), "wrist": (20, 22, 24), "elbow": (18, 20)}
LEFT = {"ankle": (5, 8, 11), "knee": (2, 5), "hip": (1, 2), "wrist": (19, 21, 23), "elbow": (17, 19)}

MEETING: tuple[tuple[int, ...], ...] = (
    *(RIGHT["ankle"], RIGHT["knee"], RIGHT["hip"]),
    *(LEFT["hip"], LEFT["knee"], LEFT["ankle"]),
    *((1, 4), (10, 13, 14, 15)),  # pelvis, thorax
    *(tuple(range(25)), tuple(range(25))),  # upper neck and head top: always visible in MPII
    *(RIGHT["wrist"], RIGHT["elbow"], (15, 18)),
    *((14, 17), LEFT["elbow"], LEFT["wrist"]),
)
"""SURREAL's parts that meet at each of MPII's joints."""


def labelled_in(joints: Tensor, size: tuple[int, int]) -> Tensor:
    """Joints N 16 2 that lie in an image of (H, W): N 16, bool."""
    x, y = joints.unbind(-1)
    return (x >= 0) & (x < size[1]) & (y >= 0) & (y < size[0])


def visible_in(joints: Tensor, part: Tensor) -> Tensor:
    """Whether the pixel under each joint shows a part that meets there: N 16, bool.

    Args:
        joints: N 16 2, pixels; those outside are moved to the nearest pixel.
        part: N H W, uint8.
    """
    height, width = part.shape[-2:]
    column = joints[..., 0].floor().clamp(0, width - 1).long()
    row = joints[..., 1].floor().clamp(0, height - 1).long()
    shown = part.flatten(1).gather(1, row * width + column).long()
    allowed = constant(tuple(sum(1 << p for p in parts) for parts in MEETING), part.device, torch.int64)
    return (allowed >> shown & 1).bool()
