"""Articulated people drawn over noise, with exact joints, parts and masks: needs no files.

Sample i is the same in every batch, order and process of a device. `left` is the person's own, as in MPII.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from bench.errors import Failed
from bench.worker.people import figures, looks, render
from bench.worker.people.backgrounds import Scenes
from bench.worker.people.draws import Draws
from bench.worker.people.visibility import labelled_in, visible_in

VERSION = 1
"""Of what is drawn: figures of one version are not compared with those of another."""

FIRST = {"train": 0, "val": 10_000_000, "test": 20_000_000}
"""Where each split's indices begin; OTHERS is added for the labels of the shuffled control."""

OTHERS = 30_000_000

REFERENCE = 25.0
"""MPII: head size = 25 x scale."""


@dataclass(frozen=True, slots=True)
class SyntheticPeople:
    """`len` samples of a split.

    Attributes:
        size: (H, W); people are of the shorter side's scale.
        shuffled: the images show other people than their joints and parts.
    """

    split: str
    size: tuple[int, int]
    count: int
    preset: figures.Preset
    shuffled: bool = False

    def __len__(self) -> int:
        return self.count

    def batch(self, indices: Sequence[int], device: torch.device) -> dict[str, Tensor]:
        """Samples drawn on `device`; pixel (column, row) covers [column, column + 1) x [row, row + 1).

        Returns:
            image: N 3 H W, uint8.
            joints: N 16 2, float32, (x, y) pixels in MPII's order, those outside the image too.
            labelled: N 16, bool: in the image.
            visible: N 16, bool: labelled, and the pixel shows a part that meets there; neck and head top always.
            head_size: N, float32, pixels: 0.6 x the diagonal of `head_box`.
            head_box: N 4, float32, x1 y1 x2 y2, pixels.
            part: N H W, uint8: 0 the background, 1 to 24 as in SURREAL.
            mask: N H W, bool: part > 0.
            scale: N, float32: MPII's, head_size / 25.
        """
        index = torch.tensor(list(indices), dtype=torch.int64).to(device) + FIRST[self.split]
        image, labels = self._draw(index)
        if self.shuffled:
            _, labels = self._draw(index + OTHERS)
        return {"image": image, **labels}

    def _draw(self, index: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Images, and everything that is said of them."""
        draws = Draws(index, figures.NUMBERS)
        people = figures.sample(draws, self.preset, self.size)
        seen = looks.sample(draws, self.preset)
        scenes = Scenes(draws, self.split, self.size)
        image, part = render.draw(people.capsules, seen, scenes, self.size)
        labelled = labelled_in(people.joints, self.size)
        return image, {
            "joints": people.joints,
            "labelled": labelled,
            "visible": labelled & visible_in(people.joints, part),
            "head_size": people.head_size,
            "head_box": people.head_box,
            "part": part,
            "mask": part.clamp(max=1).view(torch.bool),
            "scale": people.head_size * (1 / REFERENCE),
        }


def load(
    split: str,
    *,
    size: tuple[int, int],
    count: int,
    preset: Literal["easy", "default", "hard"] = "default",
    shuffled: bool = False,
) -> SyntheticPeople:
    """A split of `count` samples of size (H, W).

    Args:
        preset: how hard; `easy` has no bars and nobody from behind, `hard` more bars, wider poses, less contrast.
        shuffled: give training images the labels of other people: a control that must not learn.
    """
    for kind, name, valid in (("split", split, FIRST), ("preset", preset, figures.PRESETS)):
        if name not in valid:
            raise Failed(f"{kind} = {name!r}: the synthetic people have {', '.join(valid)}")
    return SyntheticPeople(split, size, count, figures.PRESETS[preset], shuffled and split == "train")
