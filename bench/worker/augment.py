"""Random changes of training images and their labels, on the device that holds them."""

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from bench.errors import Failed

Batch = dict[str, Tensor]

MIRRORED_JOINTS = (5, 4, 3, 2, 1, 0, 6, 7, 8, 9, 15, 14, 13, 12, 11, 10)
"""MPII's joints after a mirror: left and right change places."""

MIRRORED_PARTS = (0, 1, 3, 2, 4, 6, 5, 7, 9, 8, 10, 12, 11, 13, 15, 14, 16, 18, 17, 20, 19, 22, 21, 24, 23)
"""SURREAL's part labels after a mirror."""

ORDERS = {len(MIRRORED_JOINTS): MIRRORED_JOINTS, len(MIRRORED_PARTS): MIRRORED_PARTS}
"""Number of maps -> their order after a mirror."""

SIDELESS = (1, 2, 5, 13)
"""Numbers of maps without left and right: a person, and the merged classes of parts."""

LABELS = 256
"""Labels of parts that there can be; those above the parts, such as 255 where a pixel does not count, have no sides."""


KEPT = ("image", "joints", "labelled", "visible", "head_size", "part", "mask")
"""What changes with the image."""


def augment(batch: Batch, options: dict[str, Any], generator: torch.Generator) -> Batch:
    """The batch scaled, rotated, mirrored and recoloured as a recipe's `augment` table says.

    The crop's scale is 1 + scale x n and its rotation rotate x n degrees (n normal; cut off at one and two
    deviations, as the common PyTorch ports of the stacked hourglass do), about the image's centre, zero outside.

    Args:
        batch: image uint8 N C H W, and as far as it has them joints N K 2 (pixels; the first one covers 0 to 1),
            labelled and visible N K, head_size N, part N H W, mask N H W.
        options: scale, rotate, rotate_share, flip, gain, rotate180 (the share of the images that are turned upside
            down; left and right stay what they are); what is left out is off.
        generator: on the CPU, so that the same numbers are drawn whatever the device.

    Returns:
        A new batch; joints that leave the image are no longer labelled. What is not named above (head_box, scale) is
        left out, since it would not fit.

    Raises:
        Failed: the data's joints have no known left and right.
    """
    count, device = len(batch["image"]), batch["image"].device
    normal = torch.randn(count, 2, generator=generator)
    chance = torch.rand(count, 2, generator=generator)
    gain = 1 + options.get("gain", 0.0) * (2 * torch.rand(count, batch["image"].shape[1], generator=generator) - 1)
    scale = 1 + options.get("scale", 0.0) * normal[:, 0].clamp(-1, 1)
    turned = chance[:, 0] < options.get("rotate_share", 1.0)
    angle = math.radians(options.get("rotate", 0.0)) * normal[:, 1].clamp(-2, 2) * turned
    flipped = chance[:, 1] < options.get("flip", 0.0)
    changed = {name: batch[name] for name in KEPT if name in batch}
    if options.get("scale") or options.get("rotate"):
        changed = _moved(changed, scale.to(device), angle.to(device))
    if options.get("flip"):
        changed = _mirrored(changed, flipped.to(device))
    if options.get("rotate180"):
        upended = torch.rand(count, generator=generator) < options["rotate180"]  # after all that other options draw
        changed = _upended(changed, upended.to(device))
    if options.get("gain"):
        image = changed["image"].float() * gain.to(device)[:, :, None, None]
        changed = changed | {"image": image.clamp(0, 255).round().to(torch.uint8)}
    return changed


def mirror(batch: Batch) -> Batch:
    """Every image of the batch mirrored left to right, labels too."""
    return _mirrored(batch, torch.ones(len(batch["image"]), dtype=torch.bool, device=batch["image"].device))


def mirror_back(maps: Tensor) -> Tensor:
    """Maps N K H W of mirrored images as maps of the images themselves, for a flip test.

    K = 16 are MPII's joints, 25 SURREAL's parts; 1, 2, 5 and 13 are classes that have no sides.

    Raises:
        Failed: it is not known which of so many maps are left and right.
    """
    count = maps.shape[1]
    if count not in ORDERS and count not in SIDELESS:
        known = ", ".join(map(str, sorted([*ORDERS, *SIDELESS])))
        raise Failed(f"flip test: of {count} maps it is not known which are left and right (of {known} it is)")
    return maps.flip(-1)[:, list(ORDERS.get(count, range(count)))]


def _moved(batch: Batch, scale: Tensor, angle: Tensor) -> Batch:
    """Scaled by 1 / scale and rotated by `angle` (radians), about the centre."""
    height, width = batch["image"].shape[-2:]
    cos, sin = torch.cos(angle), torch.sin(angle)
    # From output to input, in pixels about the centre, then in grid_sample's units of half a side; and back.
    linear = torch.stack([cos, -sin, sin, cos], -1).view(-1, 2, 2) * scale[:, None, None]
    back = linear.mT / (scale**2)[:, None, None]  # a rotation's inverse is its transpose
    side = torch.tensor([width, height], dtype=torch.float32, device=scale.device)
    theta = torch.cat([linear * side[None, None, :] / side[None, :, None], torch.zeros_like(linear[..., :1])], -1)
    grid = F.affine_grid(theta, [len(scale), 1, height, width], align_corners=False)

    def sampled(maps: Tensor, mode: str) -> Tensor:
        return F.grid_sample(maps.float(), grid, mode=mode, padding_mode="zeros", align_corners=False)

    changed = batch | {"image": sampled(batch["image"], "bilinear").round().to(torch.uint8)}
    for name in ("part", "mask"):
        if name in batch:
            changed[name] = sampled(batch[name][:, None], "nearest")[:, 0].to(batch[name].dtype)
    if "joints" in batch:
        moved = (batch["joints"] - side / 2) @ back.mT + side / 2
        inside = ((moved >= 0) & (moved < side)).all(-1)
        changed |= {"joints": moved, "labelled": batch["labelled"] & inside}
        if "visible" in batch:
            changed["visible"] = batch["visible"] & inside
    if "head_size" in batch:
        changed["head_size"] = batch["head_size"] / scale
    return changed


def _mirrored(batch: Batch, flipped: Tensor) -> Batch:
    """The images in `flipped` mirrored; left and right of their labels change places.

    Raises:
        Failed: nobody has said which of the data's joints are left and right.
    """
    joints = batch["joints"].shape[1] if "joints" in batch else len(MIRRORED_JOINTS)
    if joints != len(MIRRORED_JOINTS):
        raise Failed(f"augment.flip: the data has {joints} joints, left and right are known of MPII's 16 only")
    changed = _turned(batch, (-1,))
    if "part" in batch:
        table = torch.arange(LABELS, dtype=batch["part"].dtype, device=batch["part"].device)
        table[: len(MIRRORED_PARTS)] = torch.tensor(MIRRORED_PARTS, dtype=table.dtype)
        changed["part"] = table[changed["part"].long()]
    if "joints" in batch:
        order = list(MIRRORED_JOINTS)
        changed |= {name: changed[name][:, order] for name in ("joints", "labelled", "visible") if name in batch}
    return _where(flipped, changed, batch)


def _upended(batch: Batch, upended: Tensor) -> Batch:
    """The images in `upended` rotated by 180 degrees, labels too; left and right stay what they are."""
    return _where(upended, _turned(batch, (-2, -1)), batch)


def _turned(batch: Batch, axes: tuple[int, ...]) -> Batch:
    """Images, labels of pixels and joints reversed along these axes: -1 are the columns, -2 the rows."""
    turned = dict(batch)
    for name in ("image", "part", "mask"):
        if name in batch:
            turned[name] = batch[name].flip(axes)
    if "joints" in batch:
        joints = batch["joints"].clone()
        for axis in axes:
            x_or_y = -1 - axis
            joints[..., x_or_y] = batch["image"].shape[axis] - joints[..., x_or_y]
        turned["joints"] = joints
    return turned


def _where(chosen: Tensor, changed: Batch, batch: Batch) -> Batch:
    """The samples in `chosen`, N bool, as they were changed, the others as they were."""
    return {
        name: torch.where(chosen.view([-1] + [1] * (kept.dim() - 1)), changed[name], kept)
        for name, kept in batch.items()
    }
