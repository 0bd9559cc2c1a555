"""A folder of images and masks of one's own, matched by name: a person or not, or the parts of the body.

    DIR/images/walk.jpg     .jpg, .jpeg or .png
    DIR/masks/walk.png      or walk_mask.png

Where DIR has train/ with val/ or test/ instead, each with images/ and masks/, these are the splits; without a val/,
test/ is validated on. Otherwise the images that a hash of their names picks are held out, as val and test alike: an
image stays where it is when others are added. The frames of one film are nearly one image: folders can keep them
together, a hash of names cannot.

Files are decoded anew for every batch, one after the other, by Pillow, on the CPU; turned as their EXIF tag says, since
that is what masks are drawn on.
"""

import struct
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor

from bench.errors import Failed
from bench.worker.parts import CLASSES

FILES = ("**/*.jpg", "**/*.jpeg", "**/*.png", "**/*.JPG", "**/*.JPEG", "**/*.PNG")
"""What is read of a folder: names and sizes tell one state of the data from another."""

SPLITS = ("train", "val", "test")

IMAGES, MASKS = (".jpg", ".jpeg", ".png"), (".png",)
"""Endings of the files that are read, in small letters or large ones; all others are passed over."""

SUFFIX = "_mask"
"""What a mask's name may have behind its image's."""

IGNORED = 255
"""The label of pixels that nothing is said of."""

NAMED = 3
"""Files that a message names, however many it is about."""

Array = NDArray[Any]


class Pair(NamedTuple):
    """An image's file and its mask's."""

    image: Path
    mask: Path


@dataclass(frozen=True, slots=True)
class ImagesAndMasks:
    """`len` samples of a split; where the files are fewer, they come again in the same order.

    Attributes:
        size: (H, W) of the samples.
        threshold: a mask's pixel above it is a person's.
        parts: masks have the labels of parts, not a person or not.
    """

    pairs: tuple[Pair, ...]
    size: tuple[int, int]
    count: int
    threshold: int = 0
    parts: bool = False

    def __len__(self) -> int:
        return self.count

    @property
    def distinct(self) -> int:
        """Samples that differ."""
        return min(self.count, len(self.pairs))

    def batch(self, indices: Sequence[int], device: torch.device) -> dict[str, Tensor]:
        """Decode the files of these samples.

        Returns:
            image: N 3 H W, uint8, resized bilinearly; what is transparent is black.
            mask: N H W, bool, a person's pixels: of the nearest pixel of the file. With parts: a label from 1 on.
            part: N H W, uint8, with parts only: the labels, 0 the background, 255 where nothing is said.
        """
        samples = [self._decoded(self.pairs[index % len(self.pairs)]) for index in indices]
        values = torch.stack([values for _, values in samples])
        batch = {"image": torch.stack([image for image, _ in samples]), "mask": values}
        if self.parts:
            batch |= {"part": values, "mask": (values > 0) & (values < len(CLASSES))}
        return {name: tensor.to(device) for name, tensor in batch.items()}

    def _decoded(self, pair: Pair) -> tuple[Tensor, Tensor]:
        """An image, 3 H W, uint8, and what its mask says, H W: bool, or labels as uint8."""
        image, mask = decoded(pair.image, ("JPEG", "PNG")), decoded(pair.mask, ("PNG",))
        if not alike(image.size, mask.size):
            found, wanted = (f"{one.height} x {one.width}" for one in (mask, image))
            raise Failed(f"{pair.mask}: {found} pixels, but {pair.image.name} has {wanted}; write them in one shape")
        if image.mode.startswith("I"):
            raise Failed(f"{pair.image}: has 16 bits a pixel, which no screen shows; save it with 8")
        colours = on_black(image)
        if colours.size != self.size[::-1]:
            colours = colours.resize(self.size[::-1], Image.Resampling.BILINEAR)
        values = labels(mask, pair.mask) if self.parts else brightness(mask) > self.threshold
        return torch.from_numpy(np.array(colours)).permute(2, 0, 1), torch.from_numpy(nearest(values, self.size))


def load(  # noqa: PLR0913 - the signature is the list of options; all but three have a default
    split: str,
    *,
    size: tuple[int, int],
    count: int,
    path: str = "",
    threshold: int = 0,
    parts: bool = False,
    test_share: float = 0.2,
    split_seed: int = 0,
) -> ImagesAndMasks:
    """A split of `count` samples of size (H, W).

    The files come in the order of a hash of their names, so that fewer than there are are a fair sample of them. They
    are repeated where there are fewer, so that an epoch has the images that the suite says. A mask may be smaller or
    larger than its image, but not of another shape.

    Args:
        path: the folder.
        threshold: a pixel is a person's where the mask is brighter than this, in any channel. 0: where it is not
            black, which reads masks of 0 and 1, of 0 and 255, with a palette and in colours alike.
        parts: the masks hold the labels of SURREAL's parts (bench/worker/parts.py), 0 the background to 24, and 255
            where nothing is said: a grey value, or the number of a palette's colour. Other labels would be merged and
            mirrored as if they were these.
        test_share: of the images are held out where DIR has no folders for the splits.
        split_seed: of the hash that picks them.

    Raises:
        Failed: an option makes no sense, or the files do not fit together.
    """
    if not path:
        raise Failed("folder reads files: write where they lie, --data folder=DIR (DIR has images/ and masks/)")
    if threshold < 0 or (threshold and parts):
        raise Failed(f"threshold = {threshold}: must be at least 0, and is of no use with parts; leave it out")
    if not 0 < test_share < 1:
        raise Failed(f"test_share = {test_share:g}: must lie between 0 and 1; the default is 0.2")
    pairs = pairs_of(Path(path), split, test_share, split_seed)
    ordered = sorted(pairs, key=lambda stem: (place(stem, split_seed), stem))
    return ImagesAndMasks(tuple(pairs[stem] for stem in ordered), size, count, threshold, parts)


def pairs_of(root: Path, split: str, share: float, seed: int) -> dict[str, Pair]:
    """The files of a split, by name.

    Raises:
        Failed: there is no such split, or nothing in it.
    """
    if split not in SPLITS:
        raise Failed(f"split = {split!r}: a folder has {', '.join(SPLITS)}")
    if not root.is_dir():
        raise Failed(f"{root}: no such folder; write where images/ and masks/ lie, --data folder=DIR")
    folders = [name for name in SPLITS if (root / name).is_dir()]
    if (root / "images").is_dir():
        if folders:
            raise Failed(f"{root}: has images/ and {folders[0]}/ too; keep all of it in one of the two ways")
        found = matched(root)
        held = split != "train"
        chosen = {stem: pair for stem, pair in found.items() if (place(stem, seed) < share) == held}
        if not chosen:
            raise Failed(
                f"{root}: none of its {len(found)} images is in split {split} (test_share = {share:g}); add images, "
                f"change test_share, or make the folders train/ and test/"
            )
        return chosen
    if not folders:
        raise Failed(f"{root}: has no images/; write pictures to {root / 'images'}, masks to {root / 'masks'}")
    wanted = "test" if split == "val" and "val" not in folders else split
    if wanted not in folders:
        there = ", ".join(f"{name}/" for name in folders)
        raise Failed(f"{root}: has no {wanted}/, but {there}; add {wanted}/ with images/ and masks/")
    return matched(root / wanted)


def matched(folder: Path) -> dict[str, Pair]:
    """Every image of a folder with its mask, by name.

    Raises:
        Failed: there are no images, or any file has no partner: of a part of them nobody would know which.
    """
    images = by_stem(folder / "images", IMAGES)
    masks: dict[str, Path] = {}
    if not images:
        raise Failed(f"{folder / 'images'}: no image in it; write files that end in {', '.join(IMAGES)} there")
    strays: list[Path] = []
    for name, file in by_stem(folder / "masks", MASKS).items():
        stem = name if name in images else name.removesuffix(SUFFIX)
        if stem not in images:
            strays.append(file)
        elif masks.setdefault(stem, file) != file:
            both = f"{masks[stem].name} and {file.name}"
            raise Failed(f"{file.parent}: {both} are masks of one image, {images[stem].name}; keep one")
    bare = [file for stem, file in images.items() if stem not in masks]
    if bare:
        mask = f"{bare[0].stem}.png or {bare[0].stem}{SUFFIX}.png"
        said = lonely(bare, len(images), "image", "mask")
        raise Failed(f"{folder}: {said}; write masks/{mask}, or take away what has none")
    if strays:
        said = lonely(strays, len(strays) + len(masks), "mask", "image")
        raise Failed(f"{folder}: {said}; add what is missing, or take away what has none")
    return {stem: Pair(file, masks[stem]) for stem, file in images.items()}


def by_stem(folder: Path, endings: tuple[str, ...]) -> dict[str, Path]:
    """The files with these endings by what stands before it, in the order of their names; none without the folder.

    Letters with accents are one character each, however a file system writes them.
    """
    found: dict[str, Path] = {}
    for file in sorted(folder.iterdir()) if folder.is_dir() else []:
        if file.suffix.lower() in endings and not file.name.startswith("."):
            other = found.setdefault(unicodedata.normalize("NFC", file.stem), file)
            if other != file:
                raise Failed(f"{folder}: {other.name} and {file.name} differ in their endings alone; rename one")
    return found


def lonely(files: Sequence[Path], of: int, kind: str, partner: str) -> str:
    """How many files have no partner, and the names of the first.

    >>> lonely([Path("a.jpg"), Path("b.jpg")], 5, "image", "mask")
    '2 of 5 images have no mask: a.jpg, b.jpg'
    """
    names = ", ".join(file.name for file in files[:NAMED]) + ", ..." * (len(files) > NAMED)
    return f"{len(files)} of {of} {kind}{'s' * (of > 1)} {'have' if len(files) > 1 else 'has'} no {partner}: {names}"


def place(stem: str, seed: int) -> float:
    """Where a name lies from 0 to 1: the same on every machine, whatever other names there are."""
    return int.from_bytes(blake2b(f"{seed}/{stem}".encode(), digest_size=8).digest(), "big") / 2**64


def alike(image: tuple[int, int], mask: tuple[int, int]) -> bool:
    """Whether the sides of two pictures are in one proportion, to a pixel of the smaller one.

    >>> alike((640, 427), (320, 213)), alike((640, 427), (427, 640))
    (True, False)
    """
    return abs(image[0] * mask[1] - image[1] * mask[0]) <= max(*image, *mask)


def decoded(file: Path, formats: tuple[str, ...]) -> Image.Image:
    """A file's picture, turned as its EXIF tag says.

    Raises:
        Failed: it cannot be read, or is of another format, whatever its name says.
    """
    try:
        with Image.open(file, formats=formats) as image:
            ImageOps.exif_transpose(image, in_place=True)  # which decodes it
            return image
    except UnidentifiedImageError:
        raise Failed(f"{file}: not a {' or '.join(formats)} file; save it as one, or take it away") from None
    except (OSError, SyntaxError, ValueError, struct.error, Image.DecompressionBombError) as error:
        reason = getattr(error, "strerror", None) or error
        raise Failed(f"{file}: cannot be decoded ({reason}); save it again, or take image and mask away") from None


def on_black(picture: Image.Image) -> Image.Image:
    """In colours, RGB; where it is transparent, black shines through."""
    if not picture.has_transparency_data:
        return picture.convert("RGB")
    layer = picture.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", layer.size, "black"), layer).convert("RGB")


def brightness(mask: Image.Image) -> Array:
    """The value of each pixel's brightest channel: H W, from 0 to 255, or to 65,535 where the file has 16 bits."""
    if mask.mode.startswith("I") or (mask.mode == "L" and not mask.has_transparency_data):
        return np.asarray(mask)
    brightest: Array = np.asarray(on_black(mask)).max(axis=2)
    return brightest


def labels(mask: Image.Image, file: Path) -> Array:
    """The label of each pixel: H W, uint8, of a part or IGNORED.

    Raises:
        Failed: there is another one, or colours instead of labels.
    """
    plain = mask.mode in ("1", "L", "P") or mask.mode.startswith("I")
    values: Array = np.asarray(mask if plain else mask.convert("RGB"))
    if values.ndim == 3:
        if (values != values[..., :1]).any():
            raise Failed(f"{file}: has colours, not labels; write label n as grey value n, or as colour n of a palette")
        values = values[..., 0]
    outside = values[(values >= len(CLASSES)) & (values != IGNORED)]
    if outside.size:
        known = f"0 to {len(CLASSES) - 1}, and {IGNORED} where nothing is said"
        raise Failed(f"{file}: label {outside.min()}, but parts have {known}; mend it, or leave parts out")
    return values.astype(np.uint8)


def nearest(values: Array, size: tuple[int, int]) -> Array:
    """The values under the middles of H W pixels that are laid over all of them."""
    rows, columns = ((2 * np.arange(new) + 1) * old // (2 * new) for new, old in zip(size, values.shape, strict=True))
    taken: Array = values[rows[:, None], columns]
    return taken
