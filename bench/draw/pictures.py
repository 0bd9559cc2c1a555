"""Predicted joints or classes -> pictures: every variant on the same images, and the first stack beside the last.

After Fig. 4 to 12 of the assignment report on stacked hourglasses (variants), Fig. 9 of A. Newell, K. Yang, J. Deng,
Stacked Hourglass Networks for Human Pose Estimation, ECCV 2016 (stacks), and Fig. 5 and 9 of the multi-part body
segmentation study (classes).
"""

import io
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from bench.draw.skeleton import (
    CASING,
    COLOURS,
    FINER,
    INK,
    LIMBS,
    PAPER,
    SIDES,
    Point,
    font,
    key_of_sides,
    palette,
    said,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL.Image import Image
    from PIL.ImageDraw import ImageDraw

NEAR = 0.5  # of the head size, as in PCKh@0.5

WRONG = (255, 25, 25)
SIDE = 192  # of a picture
DOT, RING = 4.0, 5.0  # radii
GAP, GUTTER, MARGIN = 4, 14, 10
HEADING, NOTE = 20, 16  # sizes of letters
ACROSS = 6  # pictures beside one another, so that a printed page can still be read
ON_A_PAGE = 48  # pictures of stacks; more variants get fewer rows

LIGHT = 300_000  # bytes; pictures are kept in a repository
KEYS = ("image", "joints", "labelled", "predicted", "head_size")
KEYS_OF_CLASSES = ("image", "part", "predicted")

OPAQUE = 0.65  # of a class's colour over its pixels


class Person(NamedTuple):
    """One validation image with its truth; `reach` is the distance up to which a joint is found, in pixels."""

    image: "NDArray[Any]"
    joints: "NDArray[Any]"
    labelled: "NDArray[Any]"
    reach: float


class Scene(NamedTuple):
    """One validation image with the class of every pixel, H W."""

    image: "NDArray[Any]"
    classes: "NDArray[Any]"


@dataclass(frozen=True, slots=True, eq=False)
class Examples:
    """What one variant said about some validation images.

    Attributes:
        people: the images with their truth.
        predicted: S n 16 2, in image pixels: one prediction per stack, the last is the network's; of classes S n H W.
    """

    name: str
    score: str
    people: Sequence[Person | Scene]
    predicted: "NDArray[Any]"

    def same_images(self, other: "Examples") -> bool:
        """Whether columns of the two can stand beside one another."""
        pairs = zip(self.people, other.people, strict=False)
        alike = all(a.image.shape == b.image.shape and bool((a.image == b.image).all()) for a, b in pairs)
        return len(self.people) == len(other.people) and alike


def read(path: Path, name: str, score: str, count: int) -> Examples:
    """The first `count` examples of a file.

    Raises:
        OSError, ValueError: it cannot be read, or is not what `bench run` writes.
    """
    import zipfile

    import numpy as np

    try:
        with path.open("rb") as raw, np.load(raw, allow_pickle=False) as file:
            arrays = {key: file[key] for key in (KEYS_OF_CLASSES if "part" in file.files else KEYS)}
    except (KeyError, EOFError, zipfile.BadZipFile) as error:
        raise ValueError(f"not a file of examples: {error}") from None
    if "part" in arrays:
        return Examples(name, score, _scenes(arrays, count), arrays["predicted"][:, :count])
    image, joints, labelled, predicted, head = arrays.values()
    n = len(image) if image.ndim else 0
    shapes = (image.shape[3:], joints.shape, labelled.shape, predicted.shape[1:], head.shape)
    if shapes != ((3,), (n, 16, 2), (n, 16), (n, 16, 2), (n,)) or predicted.ndim != 4 or not n * len(predicted):
        raise ValueError("not a file of examples: its arrays do not fit together")
    people = [
        Person(image[k], joints[k], labelled[k].astype(bool), NEAR * float(head[k])) for k in range(min(n, count))
    ]
    return Examples(name, score, people, predicted[:, :count])


def _scenes(arrays: "dict[str, NDArray[Any]]", count: int) -> list[Scene]:
    image, part, predicted = arrays.values()
    if (
        image.shape != (*part.shape, 3)
        or predicted.ndim != 4
        or predicted.shape[1:] != part.shape
        or not predicted.size
    ):
        raise ValueError("not a file of examples: its arrays do not fit together")
    return [Scene(*each) for each in islice(zip(image, part, strict=True), count)]


@dataclass(frozen=True, slots=True)
class Group:
    """Columns of pictures under one heading."""

    heading: str
    notes: Sequence[str]
    columns: Sequence[Sequence["Image"]]

    @property
    def width(self) -> int:
        """In pixels."""
        return len(self.columns) * (SIDE + GAP) - GAP


def variants(examples: Sequence[Examples]) -> bytes:
    """Truth, then what every variant found, on the same images: a row per image. A PNG."""
    people = examples[0].people
    classes = isinstance(people[0], Scene)
    note = "classes" if classes else "labelled joints"
    truth = Group("truth", [note], [[portrait(person, person[1]) for person in people]])
    found = [Group(e.name, [e.score], [_column(e, -1)]) for e in examples]
    bands = [[truth, *band] for band in _bands(found, ACROSS - 1)]
    return png(sheet(bands, classes=classes))


def stacks(examples: Sequence[Examples]) -> bytes:
    """What the first stack found beside what the last did, for variants that have several. A PNG."""
    rows = max(1, ON_A_PAGE // (2 * len(examples)))
    deep = []
    for each in examples:
        notes = ["stack 1", f"stack {len(each.predicted)}"]
        deep.append(Group(each.name, notes, [_column(each, stack, rows) for stack in (0, -1)]))
    return png(sheet(_bands(deep, ACROSS // 2), classes=isinstance(examples[0].people[0], Scene)))


def _column(examples: Examples, stack: int, rows: int | None = None) -> list["Image"]:
    shown = zip(examples.people, examples.predicted[stack], strict=True)
    return [portrait(*each) for each in islice(shown, rows)]


def _bands(groups: Sequence[Group], most: int) -> list[list[Group]]:
    """Rows of groups, as even as can be."""
    count = -(-len(groups) // most)
    size = -(-len(groups) // count)
    return [list(groups[start : start + size]) for start in range(0, len(groups), size)]


def portrait(person: Person | Scene, found: "NDArray[Any]") -> "Image":
    """One image with the joints or the classes that were found; a class has a colour, the first one none.

    A labelled joint within reach is a dot in its limb's colour. Any other is a red ring with a thin line to where the
    joint is; one without a prediction is ringed where it is. Unlabelled joints and their limbs are left out.
    """
    import numpy as np
    from PIL import ImageDraw

    if isinstance(person, Scene):
        over = OPAQUE * (found > 0)[..., None]
        mixed = (1 - over) * person.image + over * palette()[found]
        return _enlarged(mixed.round().astype(np.uint8))[0].reduce(FINER)
    picture, scale = _enlarged(person.image)
    truth = [(float(x), float(y)) for x, y in person.joints * scale]
    known = np.isfinite(found).all(-1)
    place = [(float(x), float(y)) if k else t for (x, y), k, t in zip(found * scale, known, truth, strict=True)]
    right = known & (np.hypot(*(found - person.joints).T) <= person.reach)
    draw = ImageDraw.Draw(picture)
    for width, casing in ((5.0, True), (2.6, False)):
        for a, b in LIMBS:
            if person.labelled[a] and person.labelled[b]:
                _line(draw, (place[a], place[b]), CASING if casing else COLOURS[SIDES[a]], width)
    for joint in np.flatnonzero(person.labelled):
        if right[joint]:
            _disc(draw, place[joint], DOT + 1, CASING)
            _disc(draw, place[joint], DOT, COLOURS[SIDES[joint]])
        else:
            _line(draw, (place[joint], truth[joint]), WRONG, 1.4)
            _ring(draw, place[joint])
    return picture.reduce(FINER)


def _enlarged(image: "NDArray[Any]") -> tuple["Image", float]:
    """The image as wide as a column, times FINER, and its scale; whole pixels where the widths allow it."""
    from PIL import Image

    small = Image.fromarray(image)
    size = (SIDE, round(SIDE * small.height / small.width))
    whole = SIDE % small.width == 0
    column = small.resize(size, Image.Resampling.NEAREST if whole else Image.Resampling.BILINEAR)
    fine = column.resize((size[0] * FINER, size[1] * FINER), Image.Resampling.NEAREST)
    return fine, SIDE * FINER / small.width


def _line(draw: "ImageDraw", ends: tuple[Point, Point], colour: tuple[int, int, int], width: float) -> None:
    draw.line(ends, colour, round(width * FINER))


def _disc(draw: "ImageDraw", centre: Point, radius: float, colour: tuple[int, int, int]) -> None:
    draw.circle(centre, radius * FINER, colour)


def _ring(draw: "ImageDraw", centre: Point) -> None:
    draw.circle(centre, (RING + 1) * FINER, outline=CASING, width=4 * FINER)
    draw.circle(centre, RING * FINER, outline=WRONG, width=2 * FINER)


def sheet(bands: Sequence[Sequence[Group]], *, classes: bool = False) -> "Image":
    """Groups beside one another, bands below one another, and what the marks mean."""
    from PIL import Image, ImageDraw

    gutter = GUTTER if any(len(group.columns) > 1 for band in bands for group in band) else GAP
    width = max(sum(group.width + gutter for group in band) - gutter for band in bands) + 2 * MARGIN
    heads = [max(len(_wrapped(group.heading, group.width)) for group in band) * (HEADING + 3) for band in bands]
    rows = [max(len(column) for group in band for column in group.columns) for band in bands]
    tall = bands[0][0].columns[0][0].height + GAP
    heights = [head + NOTE + 8 + n * tall + MARGIN for head, n in zip(heads, rows, strict=True)]
    picture = Image.new("RGB", (width, MARGIN + sum(heights) + NOTE + MARGIN), PAPER)
    draw = ImageDraw.Draw(picture)
    y = MARGIN
    for band, head, height in zip(bands, heads, heights, strict=True):
        x = MARGIN
        for group in band:
            _place(picture, group, (x, y), head)
            x += group.width + gutter
        y += height
    if classes:
        said(draw, (MARGIN, y), "a colour for each class, none for the background", NOTE)
    else:
        _key(draw, y)
    return picture


def _place(picture: "Image", group: Group, corner: tuple[int, int], head: int) -> None:
    """Draw a group: heading (at the bottom of `head` pixels), notes and columns."""
    from PIL import ImageDraw

    draw = ImageDraw.Draw(picture)
    x, y = corner
    lines = _wrapped(group.heading, group.width)
    for n, text in enumerate(lines):
        draw.text((x, y + head - (len(lines) - n) * (HEADING + 3)), text, INK, font(HEADING))
    for n, (note, column) in enumerate(zip(group.notes, group.columns, strict=True)):
        left = x + n * (SIDE + GAP)
        draw.text((left, y + head), note, INK, font(NOTE))
        for row, cell in enumerate(column):
            picture.paste(cell, (left, y + head + NOTE + 8 + row * (cell.height + GAP)))


def _key(draw: "ImageDraw", y: int) -> None:
    """What colours and marks mean, in one line."""
    middle = y + NOTE / 2 + 2
    x = key_of_sides(draw, (MARGIN, y), middle, NOTE)
    draw.circle((x + 5, middle), DOT + 1, COLOURS["right"], CASING)
    x = said(draw, (x + 16, y), f"within {NEAR:g} head sizes", NOTE)
    draw.circle((x + 5, middle), RING, outline=WRONG, width=2)
    draw.line([(x + 5, middle), (x + 22, middle)], WRONG, 1)
    said(draw, (x + 28, y), "farther off; line to the true place", NOTE)


def _wrapped(text: str, width: int) -> list[str]:
    """Lines that fit: broken behind hyphens, underscores and blanks, within a word where there is no other way."""
    fits: Callable[[str], bool] = lambda line: font(HEADING).getlength(line.rstrip()) <= width  # noqa: E731
    lines = [""]
    for part in _parts(re.findall(r"[^-_ ]*[-_ ]?", text), fits):
        if fits(lines[-1] + part):
            lines[-1] += part
        else:
            lines.append(part)
    return lines


def _parts(words: Iterable[str], fits: Callable[[str], bool]) -> Iterator[str]:
    for word in words:
        if fits(word):
            yield word
        else:
            yield from word


def png(picture: "Image", most: int = LIGHT) -> bytes:
    """A PNG with a palette, of as many colours as `most` bytes allow."""
    for colours in (256, 128, 64, 32):
        data = _with_palette(picture, colours)
        if len(data) <= most:
            break
    return data


def _with_palette(picture: "Image", colours: int) -> bytes:
    from PIL import Image

    # The marks are few pixels, which a palette would sacrifice to the images.
    marks = (*COLOURS.values(), WRONG, CASING, INK)
    chosen = picture.quantize(colours - len(marks), Image.Quantize.MEDIANCUT).getpalette() or []
    palette = Image.new("P", (1, 1))
    palette.putpalette([*chosen[: 3 * (colours - len(marks))], *(part for colour in marks for part in colour)])
    data = io.BytesIO()
    picture.quantize(palette=palette, dither=Image.Dither.NONE).save(data, "PNG", optimize=True)
    return data.getvalue()
