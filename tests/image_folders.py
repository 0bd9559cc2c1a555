"""Folders of images and masks, for tests of the data set that reads them."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from bench.worker.datasets import folder

CPU = torch.device("cpu")
SIZE = (6, 8)

PERSON = np.zeros(SIZE, bool)
PERSON[1:4, 2:5] = PERSON[5, 7] = True
"""Where the person of these tests is."""


def write(root: Path, name: str, image: Any = None, mask: Any = None) -> Path:
    """An image and its mask as PNG files, of arrays or pictures; where there are none, a black one with the person."""
    given = {
        "images": np.zeros((*SIZE, 3), np.uint8) if image is None else image,
        "masks": np.uint8(255) * PERSON if mask is None else mask,
    }
    for kind, picture in given.items():
        file = root / kind / f"{name}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        (picture if isinstance(picture, Image.Image) else Image.fromarray(picture)).save(file)
    return root


def touch(root: Path, names: Iterable[str], image: str = ".jpg", mask: str = ".png") -> Path:
    """Files with nothing in them: their names alone say what is in a split."""
    for kind in ("images", "masks"):
        (root / kind).mkdir(parents=True, exist_ok=True)
    for name in names:
        (root / "images" / f"{name}{image}").touch()
        (root / "masks" / f"{name}{mask}").touch()
    return root


def load(path: Path, split: str = "val", *, count: int = 1, **options: Any) -> folder.ImagesAndMasks:
    """A split of a folder, of samples as large as the files."""
    return folder.load(split, size=options.pop("size", SIZE), count=count, path=str(path), **options)


def only(path: Path, **options: Any) -> dict[str, torch.Tensor]:
    """The sample of a folder's test/, which has one."""
    return {name: values[0] for name, values in load(path, **options).batch([0], CPU).items()}


def names(path: Path, split: str, **options: Any) -> list[str]:
    """The images of a split in their order, without their endings."""
    return [pair.image.stem for pair in load(path, split, **options).pairs]
