"""Heatmaps: targets drawn from joints, and joints decoded from maps.

A map is a quarter of the image or smaller; `stride` is image pixels per cell. Coordinates are (x, y), 0-based; the
centre of cell (x, y) lies at image pixel (x + 0.5) * stride.
"""

from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor

CUTOFF = 3.0  # in sigmas: the window outside which a target is exactly zero, 7x7 cells at sigma 1


def targets(
    joints: Tensor, labelled: Tensor, size: tuple[int, int], *, stride: float | tuple[float, float], sigma: float
) -> Tensor:
    """One Gaussian of peak 1 per labelled joint, centred on the joint's cell.

    Args:
        joints: N K 2, image pixels.
        labelled: N K, bool; unlabelled joints get an empty map.
        size: (H, W) of the maps.
        stride: image pixels per cell, or those in x and in y.
        sigma: in cells.

    Returns:
        N K H W, float32.
    """
    across, down = stride if isinstance(stride, tuple) else (stride, stride)
    cell = torch.stack([joints[..., 0] / across, joints[..., 1] / down], -1).floor()
    rows = torch.arange(size[0], device=joints.device)
    columns = torch.arange(size[1], device=joints.device)
    horizontal = _bell(columns - cell[..., 0, None], sigma)  # N K W
    vertical = _bell(rows - cell[..., 1, None], sigma)  # N K H
    maps: Tensor = vertical[..., :, None] * horizontal[..., None, :] * labelled[..., None, None]
    return maps


def _bell(distance: Tensor, sigma: float) -> Tensor:
    near = distance.abs() <= round(CUTOFF * sigma)
    return torch.exp(-(distance**2) / (2 * sigma**2)) * near


def decode(maps: Tensor | NDArray[Any]) -> Tensor:
    """The cell of each map's maximum, moved a quarter cell towards its larger neighbour.

    The move is made per axis where both neighbours exist, and not where no value is positive.

    Args:
        maps: N K H W, of any real type.

    Returns:
        N K 2, float32 (x, y) in cells.
    """
    maps = torch.as_tensor(maps)
    height, width = maps.shape[-2:]
    flat = maps.flatten(2)
    peak, index = flat.max(dim=-1)
    x, y = index % width, index // width

    def offset(position: Tensor, length: int, step: int) -> Tensor:
        inside = (position > 0) & (position < length - 1) & (peak > 0)
        after = flat.gather(-1, (index + step).clamp(max=height * width - 1)[..., None])[..., 0]
        before = flat.gather(-1, (index - step).clamp(min=0)[..., None])[..., 0]
        # In float64, since uint8 has no negative numbers and bfloat16 no quarters beyond 64.
        return 0.25 * torch.sign(after.double() - before.double()) * inside

    return torch.stack([x + offset(x, width, 1), y + offset(y, height, width)], dim=-1).float()
