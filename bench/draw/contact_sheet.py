"""Samples of a data set -> a contact sheet: images with joints, skeleton and head box, and the parts below them."""

import colorsys
import io
from collections.abc import Callable, Mapping
from math import ceil, isqrt
from typing import TYPE_CHECKING, Any

from bench.draw.skeleton import (
    CASING,
    COLOURS,
    FINER,
    INK,
    LIMBS,
    PAPER,
    SIDES,
    Colour,
    Point,
    font,
    key_of_sides,
    said,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL.Image import Image
    from PIL.ImageDraw import ImageDraw

BOX = (110, 235, 110)
SIDE = 256  # smaller images are enlarged to at least this, by a whole factor
ACROSS = 4  # pictures beside one another, more where there are many
DOT = 3.5
GAP = 6
LETTERS = 14
LINE = 22
NARROWEST = 420  # the key's width

TURN = 3 / 8  # between the hues of successive parts: 8 hues of 3 strengths are as many as a body of SURREAL has

Arrays = Mapping[str, "NDArray[Any]"]


def contact_sheet(samples: Arrays, title: str) -> bytes:
    """A PNG: the title, then rows of pictures, then what the marks mean.

    Args:
        samples: image N H W 3; as far as there are any, joints N K 2 with labelled N K and visible N K, head_box N 4,
            and part N H W. All in pixels of the image; (column, row) covers [column, column + 1) x [row, row + 1).
    """
    from PIL import Image, ImageDraw

    cells = [cell(samples, n) for n in range(len(samples["image"]))]
    across = min(len(cells), max(ACROSS, isqrt(len(cells))))
    wide, high = cells[0].width + GAP, cells[0].height + GAP
    rows = ceil(len(cells) / across)
    size = (max(across * wide + GAP, NARROWEST), rows * high + GAP + 2 * LINE)
    picture = Image.new("RGB", size, PAPER)
    draw = ImageDraw.Draw(picture)
    draw.text((GAP, GAP // 2), title, INK, font(LETTERS))
    for n, each in enumerate(cells):
        row, column = divmod(n, across)
        picture.paste(each, (GAP + column * wide, LINE + GAP + row * high))
    if "joints" in samples:
        _key(draw, LINE + GAP + rows * high)
    data = io.BytesIO()
    picture.save(data, "PNG")
    return data.getvalue()


def cell(samples: Arrays, n: int) -> "Image":
    """One sample: what is said of it drawn on the image, its parts below."""
    from PIL import Image

    image = Image.fromarray(samples["image"][n])
    factor = max(1, ceil(SIDE / max(image.size)))
    size = (image.width * factor, image.height * factor)
    fine = image.resize((size[0] * FINER, size[1] * FINER), Image.Resampling.NEAREST)
    annotate(fine, {name: values[n] for name, values in samples.items()}, factor * FINER)
    above = fine.reduce(FINER)
    if "part" not in samples:
        return above
    both = Image.new("RGB", (size[0], 2 * size[1] + 1), PAPER)
    both.paste(above, (0, 0))
    parts = Image.fromarray(palette()[samples["part"][n]])
    both.paste(parts.resize(size, Image.Resampling.NEAREST), (0, size[1] + 1))
    return both


def annotate(picture: "Image", person: Arrays, scale: int) -> None:
    """Draw head box, skeleton and joints on an image that is `scale` times as large as its labels say.

    A visible joint is a dot in its side's colour, an occluded one a ring; one that is not labelled is left out. Joints
    that are not MPII's 16 have no limbs, and the colour of the centre. Where there are none, nothing is drawn.
    """
    from PIL import ImageDraw

    if "joints" not in person:
        return

    draw = ImageDraw.Draw(picture)
    places = [(float(x), float(y)) for x, y in person["joints"] * scale]
    known = len(places) == len(SIDES)
    colours = [COLOURS[side] for side in (SIDES if known else ["centre"] * len(places))]
    labelled = person["labelled"]
    if "head_box" in person:
        draw.rectangle([float(edge) for edge in person["head_box"] * scale], outline=BOX, width=2 * FINER)
    for width, casing in ((4, True), (2, False)):
        for a, b in LIMBS if known else ():
            if labelled[a] and labelled[b]:
                draw.line((places[a], places[b]), CASING if casing else colours[a], width * FINER)
    for joint, place in enumerate(places):
        if labelled[joint]:
            mark = dot if person["visible"][joint] else ring
            mark(draw, place, colours[joint], FINER)


def dot(draw: "ImageDraw", place: Point, colour: Colour, scale: int = 1) -> None:
    """The mark of a visible joint."""
    draw.circle(place, (DOT + 1) * scale, CASING)
    draw.circle(place, DOT * scale, colour)


def ring(draw: "ImageDraw", place: Point, colour: Colour, scale: int = 1) -> None:
    """The mark of an occluded joint."""
    draw.circle(place, (DOT + 2) * scale, outline=CASING, width=4 * scale)
    draw.circle(place, (DOT + 1) * scale, outline=colour, width=2 * scale)


def palette() -> "NDArray[Any]":
    """256 3, uint8: a colour for every part; 24 differ, and 0, the background, is nearly black."""
    import numpy as np

    strength = ((1.0, 1.0), (0.55, 1.0), (0.9, 0.65))  # saturation and value, in turn
    colours = [colorsys.hsv_to_rgb(n * TURN % 1, *strength[n % 3]) for n in range(256)]
    return np.array([CASING, *(tuple(round(255 * c) for c in colour) for colour in colours[1:])], dtype=np.uint8)


def _key(draw: "ImageDraw", y: int) -> None:
    """What colours and marks mean, in one line."""
    middle = y + LINE / 2 - 2
    x = key_of_sides(draw, (GAP, y), middle, LETTERS)
    marks: tuple[tuple[str, Callable[..., None]], ...] = (("visible", dot), ("occluded", ring))
    for text, mark in marks:
        mark(draw, (x + 6, middle), COLOURS["right"])
        x = said(draw, (x + 16, y), text, LETTERS)
    draw.rectangle((x, middle - 5, x + 12, middle + 5), outline=BOX, width=2)
    said(draw, (x + 18, y), "head", LETTERS)
