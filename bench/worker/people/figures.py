"""Figures: where the joints of a person are, and the capsules that a person is drawn with.

Lengths of a figure are in statures until it is placed in the image; x points right and y down, in pixels, and pixel
(column, row) covers [column, column + 1) x [row, row + 1). `right` and `left` are the person's own.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from bench.worker.people.draws import Draws, constant, direction, root

PARTS = 24
"""Body parts; with hair, two eyes and OCCLUDERS there are 30 capsules, and a pixel's set of them fits an int32."""

OCCLUDERS = 3

NUMBERS = 160
"""Random numbers that a sample may take."""

LIMBS = 4
"""Right arm, left arm, right leg, left leg, of four segments each."""

LENGTHS = (((0.165, 0.145, 0.05, 0.04),) * 2) + (((0.245, 0.235, 0.05, 0.035),) * 2)
"""Upper arm, forearm, hand, fingers; thigh, shin, foot, toes: in statures."""

SHORTEST = (((0.6, 0.6, 0.8, 0.8),) * 2) + (((0.65, 0.65, 0.7, 0.7),) * 2)
"""How far perspective shortens them at most."""

ARM_RADII = ((0.036, 0.029), (0.029, 0.021), (0.021, 0.024), (0.019, 0.010))
LEG_RADII = ((0.052, 0.040), (0.040, 0.025), (0.026, 0.026), (0.023, 0.016))

SPINE = (0.05, 0.22, 0.42, 0.84)
"""Where the three pieces of the spine begin and end, from pelvis to thorax; each hides part of the one above."""

ARM_ANGLES = ((-0.375, 1.525, 1.2), (-2.2, 3.8, 0.0), (-0.5, 0.5, 0.5), (-0.3, 0.3, 0.3))
LEG_ANGLES = ((-0.175, 1.035, 0.0), (-1.1, 1.6, 0.0), (0.2, 0.9, 0.0), (-0.1, 0.4, 0.0))
"""Of each segment to the one before it, outward, radians: least, and the ranges of two uniform numbers."""

LABELS = (
    *(18, 20, 22, 24, 17, 19, 21, 23, 3, 6, 9, 12, 2, 5, 8, 11),  # limbs
    *(1, 4, 7, 10, 15, 14, 13, 16),  # hips, spine, spine1, spine2, shoulders, neck, head
    *(16, 16, 16),  # hair, eyes
    *(0,) * OCCLUDERS,
)
"""SURREAL's part of every capsule, in the order in which capsules are built."""

LIMB_DEPTH = (3, 2, 1, 0)
TRUNK_DEPTH = (30, 31, 32, 33, 29, 29.5, 28, 26, 25, 24, 24)
"""Nearest is least: head before neck before torso before legs; each piece of the torso before the one above it."""

ARM_BEFORE, ARM_BEHIND, LEG_BEFORE, LEG_BEHIND = 10.0, 50.0, 35.0, 40.0


@dataclass(frozen=True, slots=True)
class Preset:
    """How hard the samples are.

    Attributes:
        pose: factor of every joint's angle.
        rolled: share of people that lie, hang or stand at any angle.
        backs: share of people seen from behind.
        close: share of images cropped to the upper body, as in MPII, where 28 % of the ankles are not labelled.
        occluders: chance of each of OCCLUDERS bars.
        before: share of the bars that lie before the person.
        thickest: radius of a bar, in image sides.
        contrast: factor of a colour's distance from grey.
    """

    pose: float = 1.0
    rolled: float = 0.06
    backs: float = 0.2
    close: float = 0.3
    occluders: float = 0.5
    before: float = 0.5
    thickest: float = 0.045
    contrast: float = 1.0


PRESETS = {
    "easy": Preset(pose=0.6, rolled=0.0, backs=0.0, close=0.0, occluders=0.0),
    "default": Preset(),
    "hard": Preset(pose=1.25, rolled=0.12, occluders=0.9, before=0.7, thickest=0.07, contrast=0.6),
}


@dataclass(frozen=True, slots=True)
class Capsules:
    """Hulls of two discs, P of them per sample.

    Attributes:
        ends: N P 2 2, the centres of the discs, (x, y).
        radii: N P 2; a capsule with a negative radius is not drawn.
        depth: N P, the nearest is least.
    """

    ends: Tensor
    radii: Tensor
    depth: Tensor


@dataclass(frozen=True, slots=True)
class Figures:
    """People in images of N samples.

    Attributes:
        joints: N 16 2, (x, y) pixels in MPII's order, those outside the image too.
        head_box: N 4, x1 y1 x2 y2, pixels.
        head_size: N, pixels: 0.6 x the box's diagonal, 25.6 x the camera's scale in a 256 px image.
        capsules: P = len(LABELS) of them, placed.
    """

    joints: Tensor
    head_box: Tensor
    head_size: Tensor
    capsules: Capsules


@dataclass(frozen=True, slots=True)
class Body:
    """What the stages of a figure share, N rows each: directions of the axis, and sizes in statures.

    `up` is N 4 2: of the whole body, torso, neck and head; `tilt` N 2: angles of the body and the torso.
    """

    up: Tensor
    tilt: Tensor
    cos_yaw: Tensor
    sin_yaw: Tensor
    head: Tensor
    girth: Tensor
    behind: Tensor


def sample(draws: Draws, preset: Preset, size: tuple[int, int]) -> Figures:
    """People of a preset for images of size (H, W): of the shorter side's scale, in the middle."""
    side = min(size)
    body = _body(draws, preset)
    trunk = _trunk(draws, body)
    limbs = _limbs(draws, preset, body, trunk)
    ends, radii = _shapes(draws, body, trunk, limbs)
    joints = _joints(trunk, limbs)
    scale, shift = _camera(draws, preset, joints, body)
    scale, shift = scale * side, shift * side + constant((size[1] / 2, size[0] / 2), shift.device)
    joints = joints * scale[:, None, None] + shift[:, None]
    ends = ends * scale[:, None, None, None] + shift[:, None, None]
    bars = _bars(draws, preset, size)
    capsules = Capsules(
        torch.cat([ends, bars.ends], 1),
        torch.cat([radii * scale[:, None, None], bars.radii], 1),
        torch.cat([_depth(draws), bars.depth], 1),
    )
    head = body.head * scale
    box = _head_box(joints, body.up[:, 3], head)
    return Figures(joints, box, head * 0.75, capsules)


def _body(draws: Draws, preset: Preset) -> Body:
    rolled = draws.chance(preset.rolled)
    any_roll, roll = draws.between(-3.1416, 3.1416), draws.around(0.3) * preset.pose
    roll = torch.where(rolled, any_roll, roll)
    torso = roll + draws.around(0.45) * preset.pose
    neck = torso + draws.around(0.25) * preset.pose
    head = neck + draws.around(0.45) * preset.pose
    up = -direction(torch.stack([roll, torso, neck, head], 1))
    cos_yaw, turned = draws.between(0.45, 1.0), draws.chance(0.5)
    sin_yaw = root(1 - cos_yaw * cos_yaw) * torch.where(turned, 1.0, -1.0)
    return Body(
        up=up,
        tilt=torch.stack([roll, torso], 1),
        cos_yaw=cos_yaw,
        sin_yaw=sin_yaw,
        head=draws.between(0.125, 0.165),
        girth=draws.between(0.85, 1.2),
        behind=draws.chance(preset.backs),
    )


def _across(up: Tensor) -> Tensor:
    """The direction to the image's right of a person that stands upright, for any tilt: N 2."""
    return torch.stack([-up[:, 1], up[:, 0]], 1)


def _trunk(draws: Draws, body: Body) -> Tensor:
    """Pelvis, thorax, upper neck, head top, right and left shoulder, right and left hip: N 8 2."""
    sign = torch.where(body.behind, -1.0, 1.0)
    torso = draws.between(0.25, 0.29) * draws.between(0.85, 1.0)
    shoulder = draws.between(0.095, 0.125) * body.cos_yaw
    hip = draws.between(0.05, 0.065) * body.cos_yaw
    pelvis = torch.zeros_like(body.up[:, 0])
    thorax = body.up[:, 1] * torso[:, None]
    neck = thorax + body.up[:, 2] * 0.045
    top = neck + body.up[:, 3] * body.head[:, None]
    arm = _across(body.up[:, 1]) * (shoulder * sign)[:, None]
    leg = _across(body.up[:, 0]) * (hip * sign)[:, None]
    points = [pelvis, thorax, neck, top, thorax - arm, thorax + arm, pelvis - leg, pelvis + leg]
    return torch.stack(points, 1)


def _limbs(draws: Draws, preset: Preset, body: Body, trunk: Tensor) -> Tensor:
    """The five points of each limb, from shoulder or hip to the finger tips or toes: N 4 5 2."""
    device = trunk.device
    table = constant((*(ARM_ANGLES,) * 2, *(LEG_ANGLES,) * 2), device)  # limb, segment, (least, range, range)
    first, second = draws.take(LIMBS, 4), draws.take(LIMBS, 4)
    relative = (table[..., 0] + table[..., 1] * first + table[..., 2] * second) * preset.pose
    sign = torch.where(body.behind, -1.0, 1.0)[:, None] * constant((-1.0, 1.0, -1.0, 1.0), device)
    angle = body.tilt.flip(1).repeat_interleave(2, 1)
    angles = []
    for segment in range(4):
        angle = angle + sign * relative[..., segment]
        angles.append(angle)
    shortest = constant(SHORTEST, device)
    length = constant(LENGTHS, device) * (shortest + (1 - shortest) * draws.take(LIMBS, 4))
    steps = direction(torch.stack(angles, 2)) * length[..., None]
    points = [trunk[:, 4:8]]
    for segment in range(4):
        points.append(points[-1] + steps[:, :, segment])
    return torch.stack(points, 2)


def _shapes(draws: Draws, body: Body, trunk: Tensor, limbs: Tensor) -> tuple[Tensor, Tensor]:
    """Ends N 27 2 2 and radii N 27 2 of all but the bars, in statures."""
    limb_ends = torch.stack([limbs[:, :, :-1], limbs[:, :, 1:]], 3).flatten(1, 2)
    table = constant((*ARM_RADII, *ARM_RADII, *LEG_RADII, *LEG_RADII), trunk.device)
    ends = torch.cat([limb_ends, _trunk_ends(body, trunk)], 1)
    return ends, torch.cat([table * body.girth[:, None, None], _trunk_radii(draws, body)], 1)


def _trunk_ends(body: Body, trunk: Tensor) -> Tensor:
    """Hips, three of the spine, right and left shoulder, neck, head, hair, eyes: N 11 2 2."""
    pelvis, thorax, neck, top, right, left = trunk[:, :6, None].unbind(1)
    spine = pelvis + (thorax - pelvis) * constant(SPINE, trunk.device)[:, None]
    along, across = top - neck, _across(body.up[:, 3])[:, None] * body.head[:, None, None]
    look = torch.where(body.behind, 0.0, body.sin_yaw * 0.16)[:, None, None]
    back = across * (look * 0.5)
    crown = torch.where(body.behind, 0.45, 0.72)[:, None, None]
    eyes = neck + along * 0.42 + across * look
    pairs = [
        *(trunk[:, 6:8], spine[:, 0:2], spine[:, 1:3], spine[:, 2:4]),
        *(torch.cat([thorax + (shoulder - thorax) * 0.25, shoulder], 1) for shoulder in (right, left)),
        torch.cat([thorax, neck + along * 0.1], 1),
        torch.cat([neck + along * 0.34, neck + along * 0.6], 1),
        torch.cat([neck + along * crown - back, neck + along * 0.66 - back], 1),
        *((eyes + across * offset).expand(-1, 2, 2) for offset in (-0.16, 0.16)),
    ]
    return torch.stack(pairs, 1)


def _trunk_radii(draws: Draws, body: Body) -> Tensor:
    """The radii of the same: N 11 2."""
    girth, head = body.girth, body.head
    chest = draws.between(0.06, 0.078) * girth
    waist, hips, shoulder, neck = chest * 0.92, girth * 0.054, girth * 0.042, girth * 0.028
    hair, eye = torch.where(body.behind, head * 0.36, head * 0.34), torch.where(body.behind, -1.0, head * 0.065)
    pairs = [
        *((hips, hips), (waist, waist), (waist, chest), (chest, chest)),
        *((shoulder, shoulder * 0.9),) * 2,
        *((neck, neck), (head * 0.34, head * 0.4), (hair, head * 0.38), (eye, eye), (eye, eye)),
    ]
    return torch.stack([torch.stack(pair, 1) for pair in pairs], 1)


def _joints(trunk: Tensor, limbs: Tensor) -> Tensor:
    """MPII's 16 joints: N 16 2."""
    r_arm, l_arm, r_leg, l_leg = limbs.unbind(1)
    legs, arms = ([right[:, :3].flip(1), left[:, :3]] for right, left in ((r_leg, l_leg), (r_arm, l_arm)))
    return torch.cat([*legs, trunk[:, :4], *arms], 1)


def _camera(draws: Draws, preset: Preset, joints: Tensor, body: Body) -> tuple[Tensor, Tensor]:
    """Pixels per stature N and the offset N 2, both in image sides; the offset is from the image's middle."""
    close = draws.chance(preset.close)
    scale = draws.between(0.8, 1.2) * torch.where(close, 1.3, 1.0)
    stature = scale * (34.13 / 256) / body.head
    middle = (joints.amin(1) + joints.amax(1)) * 0.5
    jitter = draws.between(-0.05, 0.05, 2)
    down = draws.between(0.12, 0.36) * stature
    shift = jitter - middle * stature[:, None]
    top = joints[..., 1].amin(1) * stature
    below = torch.maximum(shift[:, 1], -0.48 - top)  # rather the feet of tall people are cut off than their heads
    return stature, torch.stack([shift[:, 0], below + torch.where(close, down, 0.0)], 1)


def _depth(draws: Draws) -> Tensor:
    """Depth of the 27 capsules of a person: each arm before or behind the torso, one leg before the other: N 27."""
    arms = torch.where(draws.chance(0.7, 2), ARM_BEFORE, ARM_BEHIND)
    right = draws.chance(0.5, 1)
    legs = torch.where(torch.cat([right, ~right], 1), LEG_BEFORE, LEG_BEHIND)
    device = arms.device
    apart = constant((0.0, 4.5, 0.0, 0.0), device)  # two arms on the same side of the torso do not interlock
    limbs = (torch.cat([arms, legs], 1) + apart)[..., None] + constant(LIMB_DEPTH, device)
    trunk = constant(TRUNK_DEPTH, device).expand(len(arms), -1)
    return torch.cat([limbs.reshape(len(arms), 16), trunk], 1)


def _bars(draws: Draws, preset: Preset, size: tuple[int, int]) -> Capsules:
    """Bars before or behind the person, in pixels; those that are not there have a radius of -1."""
    side = min(size)
    there, before = draws.chance(preset.occluders, OCCLUDERS), draws.chance(preset.before, OCCLUDERS)
    corner = constant(((size[1] - side) / 2, (size[0] - side) / 2), there.device)
    middle = draws.take(OCCLUDERS, 2) * side + corner
    half = direction(draws.between(0.0, 3.1416, OCCLUDERS)) * (draws.between(0.025, 0.225, OCCLUDERS) * side)[..., None]
    radius = torch.where(there, draws.between(0.008, preset.thickest, OCCLUDERS) * side, -1.0)
    order = constant((0.0, 1.0, 2.0), there.device)
    return Capsules(
        torch.stack([middle - half, middle + half], 2),
        torch.stack([radius, radius], 2),
        torch.where(before, order, order + 90.0),
    )


def _head_box(joints: Tensor, up: Tensor, head: Tensor) -> Tensor:
    """A box round the middle of the head, 0.77 as wide as high when upright; its diagonal is head / 0.8: N 4."""
    along, across = up, up.flip(1) * 0.77
    shape = root(along * along + across * across)  # the box round an ellipse of these axes
    diagonal = root(shape[:, 0] * shape[:, 0] + shape[:, 1] * shape[:, 1])
    half = shape * (head * 0.625 / diagonal)[:, None]
    middle = (joints[:, 8] + joints[:, 9]) * 0.5
    return torch.cat([middle - half, middle + half], 1)
