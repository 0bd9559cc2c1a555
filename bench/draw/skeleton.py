"""What all pictures share: MPII's skeleton, the colours of its sides and of classes, and how pictures are lettered."""

import colorsys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL.ImageDraw import ImageDraw

Point = tuple[float, float]
Colour = tuple[int, int, int]

SIDES = ("right",) * 3 + ("left",) * 3 + ("centre",) * 4 + ("right",) * 3 + ("left",) * 3
"""Of MPII's joints; a limb has the side of its first joint."""

LEGS = ((0, 1), (1, 2), (2, 6), (5, 4), (4, 3), (3, 6))
ARMS = ((10, 11), (11, 12), (12, 7), (15, 14), (14, 13), (13, 7))
LIMBS = (*LEGS, (6, 7), (7, 8), (8, 9), *ARMS)

COLOURS: dict[str, Colour] = {"right": (255, 200, 30), "left": (70, 185, 255), "centre": (255, 255, 255)}
CASING = (20, 20, 20)
INK = (34, 34, 34)
PAPER = (255, 255, 255)

TURN = 3 / 8  # between the hues of successive parts: 8 hues of 3 strengths are as many as a body of SURREAL has

FINER = 3
"""Pictures are drawn so much larger and then reduced, for smooth lines."""


def key_of_sides(draw: "ImageDraw", at: Point, middle: float, letters: int) -> float:
    """Name the colours of the sides, a line through `middle` for each, and return where the next thing starts."""
    x, y = at
    for side, colour in COLOURS.items():
        draw.line([(x, middle), (x + 18, middle)], CASING, 6)
        draw.line([(x + 1, middle), (x + 17, middle)], colour, 4)
        x = said(draw, (x + 24, y), side, letters)
    return x


def said(draw: "ImageDraw", at: Point, text: str, letters: int) -> float:
    """Write, and return where the next thing starts."""
    draw.text(at, text, INK, font(letters))
    return at[0] + draw.textlength(text, font(letters)) + letters


def font(letters: int) -> Any:
    """Pillow's own, so that the letters do not depend on the machine."""
    from PIL import ImageFont

    return ImageFont.load_default(letters)


def palette() -> "NDArray[Any]":
    """256 3, uint8: a colour for every part; 24 differ, and 0, the background, is nearly black."""
    import numpy as np

    strength = ((1.0, 1.0), (0.55, 1.0), (0.9, 0.65))  # saturation and value, in turn
    colours = [colorsys.hsv_to_rgb(n * TURN % 1, *strength[n % 3]) for n in range(256)]
    return np.array([CASING, *(tuple(round(255 * c) for c in colour) for colour in colours[1:])], dtype=np.uint8)
