"""The parts of a body as SURREAL names them, the groups that tables show, and coarser labels that nest in each other.

Classes: 0 is the background, 1 to 24 are SURREAL's parts in its order (G. Varol et al., Learning from Synthetic
Humans, CVPR 2017). Coarser labels merge whole classes, so that every class has one parent at every level.
"""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor

from bench.errors import Failed

CLASSES = (
    "background",
    "hips",
    "left_up_leg",
    "right_up_leg",
    "spine",
    "left_leg",
    "right_leg",
    "spine1",
    "left_foot",
    "right_foot",
    "spine2",
    "left_toe_base",
    "right_toe_base",
    "neck",
    "left_shoulder",
    "right_shoulder",
    "head",
    "left_arm",
    "right_arm",
    "left_fore_arm",
    "right_fore_arm",
    "left_hand",
    "right_hand",
    "left_hand_index1",
    "right_hand_index1",
)
"""Names of the 25 classes: SURREAL's own, in lower case. `hand_index1` are the fingers."""

GROUPS = (
    "background",
    "head",
    "torso",
    "upper_legs",
    "lower_legs",
    "neck",
    "shoulder",
    "upper_arms",
    "lower_arms",
    "feet",
    "hands",
    "fingers",
    "toes",
)
"""Names of the 13 groups, in the order of the published table's columns."""

GROUP_OF = (0, 2, 3, 3, 2, 4, 4, 2, 9, 9, 2, 12, 12, 5, 6, 6, 1, 7, 7, 8, 8, 10, 10, 11, 11)
"""Class -> its group: the torso has four members, the limbs and shoulders two, the others one."""

_REGIONS = ("background", "head", "torso", "arms", "legs")
_REGION_OF_GROUP = (0, 1, 2, 4, 4, 1, 2, 3, 3, 4, 3, 3, 4)  # neck to the head, shoulders to the torso

LEVELS: dict[int, tuple[int, ...]] = {
    2: tuple(int(part > 0) for part in range(len(CLASSES))),
    5: tuple(_REGION_OF_GROUP[group] for group in GROUP_OF),
    13: GROUP_OF,
    25: tuple(range(len(CLASSES))),
}
"""Number of classes -> the parent of each of the 25."""

NAMES: dict[int, tuple[str, ...]] = {2: ("background", "person"), 5: _REGIONS, 13: GROUPS, 25: CLASSES}
"""Number of classes -> their names."""

# On the CPU whatever the default device is when this is imported.
_TABLES = {classes: torch.tensor(parents, device="cpu") for classes, parents in LEVELS.items()}


def members(group: int) -> list[int]:
    """The classes of a group, ascending.

    >>> [CLASSES[part] for part in members(GROUPS.index("torso"))]
    ['hips', 'spine', 'spine1', 'spine2']
    """
    return [part for part, of in enumerate(GROUP_OF) if of == group]


def coarse(labels: Tensor, classes: int) -> Tensor:
    """Labels of the 25 classes as those of a coarser level; no synchronisation with the device.

    Args:
        labels: any shape, any integer type. What is not from 0 to 24, such as 255 for pixels that do not count, stays
            as it is.
        classes: of the level, a key of LEVELS; 25 changes nothing.

    Returns:
        The labels' shape and type.

    Raises:
        Failed: there is no such level, or the labels are no integers.
    """
    if classes not in LEVELS:
        *fewer, most = LEVELS
        raise Failed(f"coarse-to-fine heads have {', '.join(map(str, fewer))} or {most} classes, not {classes}")
    if labels.is_floating_point() or labels.is_complex() or labels.dtype == torch.bool:
        raise Failed(f"labels of parts are integers, not {labels.dtype}")
    if classes == len(CLASSES):
        return labels
    table = _TABLES[classes].to(labels.device, non_blocking=True)
    known = (labels >= 0) & (labels < len(CLASSES))
    parents = table[labels.clamp(0, len(CLASSES) - 1).long()].to(labels.dtype)
    return torch.where(known, parents, labels)


def nests(counts: Sequence[int]) -> bool:
    """Whether heads of so many classes go from coarse to fine: each class lies in one class of the head before it.

    >>> nests([2, 5, 13, 25]), nests([5, 5, 25]), nests([13, 5]), nests([2, 7])
    (True, True, False, False)
    """
    if any(count not in LEVELS for count in counts):
        return False
    pairs = [(LEVELS[before], after) for before, after in pairwise(counts)]
    return all(len(set(zip(LEVELS[after], parents, strict=True))) == after for parents, after in pairs)
