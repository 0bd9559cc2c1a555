"""Looks: the colours of people and bars, and the light that falls on an image."""

from dataclasses import dataclass

import torch
from torch import Tensor

from bench.worker.people.draws import Draws, constant
from bench.worker.people.figures import OCCLUDERS, Preset

SKIN = (1.0, 0.78, 0.64)
"""Red, green, blue of any skin, whose tone is a factor."""

CLOTHES = ("skin", "top", "trousers", "shoes", "hair", "eyes", "sleeve", "leg")

WORN = (
    *("top", "sleeve", "skin", "skin") * 2,
    *("trousers", "leg", "shoes", "shoes") * 2,
    *("trousers", "top", "top", "top", "top", "top", "skin", "skin"),
    *("hair", "eyes", "eyes"),
)
"""What every capsule of a person shows, in the order of LABELS."""


@dataclass(frozen=True, slots=True)
class Looks:
    """Appearance of N samples.

    Attributes:
        colour: N P 3, red, green, blue of every capsule, in [0, 1].
        gain: N, brightness in the image's middle.
        slope: N 2, its relative change over the image, along x and y.
    """

    colour: Tensor
    gain: Tensor
    slope: Tensor


def sample(draws: Draws, preset: Preset) -> Looks:
    """Colours and light of a preset."""
    skin = draws.between(0.35, 0.95, 1) * constant(SKIN, draws.device)
    top, trousers, shoes, hair = draws.take(4, 3).unbind(1)
    long = draws.take(2)
    sleeve = torch.where(long[:, :1] < 0.5, top, skin)
    leg = torch.where(long[:, 1:] < 0.75, trousers, skin)
    shades = [skin, top, trousers, shoes, hair * 0.7, torch.full_like(hair, 0.06), sleeve, leg]
    worn = constant(tuple(CLOTHES.index(name) for name in WORN), skin.device, torch.int64)
    person = torch.stack(shades, 1)[:, worn] * draws.between(0.94, 1.06, len(WORN), 1)
    colour = torch.cat([person, draws.take(OCCLUDERS, 3)], 1)
    colour = (colour - 0.5) * preset.contrast + 0.5
    return Looks(colour, draws.between(0.75, 1.2), draws.between(-0.35, 0.35, 2))
