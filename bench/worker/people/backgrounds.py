"""Banks of backgrounds and of noise: made once from a fixed seed, and read through windows at random places.

A pixel is one int32 of four bytes: red, green, blue and the part. Colours stop NOISE short of both ends of a byte, so
that noise is one integer addition that never carries into the next byte.
"""

from functools import cache

import torch
from torch import Tensor

from bench.worker.people.draws import Draws, bits, constant, uniform

NOISE = 24
"""Noise lies in [-NOISE, NOISE]: four standard deviations."""

SIGMA = 6.0

BACKGROUNDS = 24
"""Of each split; every sample sees a window of one, mirrored or not."""

CELLS = ((4, 0.45), (12, 0.25), (40, 0.15))
"""Octaves of value noise: cells along a bank image, and their share of the brightness; white noise is the rest."""

WHITE = 0.15

RECTANGLES = 30

NOISE_LENGTH = 1 << 20

BANK_SEEDS = {"train": 101, "val": 102, "test": 103, "noise": 104}


def packed(colour: Tensor) -> Tensor:
    """Colours ... 3 in [0, 1] as ... int32, without a part."""
    level = (colour.clamp(0, 1) * (255 - 2 * NOISE)).to(torch.int32)
    red, green, blue = level.unbind(-1)
    return red + (green << 8) + (blue << 16)


def _octave(index: Tensor, cells: int, edge: int) -> Tensor:
    """Bilinear value noise: images 3 edge edge, in [0, 1)."""
    grid = uniform(index, 3 * (cells + 1) ** 2).view(len(index), 3, cells + 1, cells + 1)
    place = (torch.arange(edge, device=index.device) + 0.5) * (cells / edge)
    first = place.long().clamp(max=cells - 1)
    share = place - first
    rows = grid[:, :, first] * (1 - share)[:, None] + grid[:, :, first + 1] * share[:, None]
    return rows[..., first] * (1 - share) + rows[..., first + 1] * share


def _with_rectangles(image: Tensor, number: Tensor) -> None:
    """Draw RECTANGLES of any colour, half transparent, in place; `number` is RECTANGLES 7."""
    edge = image.shape[-1]
    for row in number.tolist():
        x, y = int(row[0] * edge), int(row[1] * edge)
        width, height = (int((0.03 + 0.17 * side) * edge) + 1 for side in row[2:4])
        box = image[:, y : y + height, x : x + width]
        colour = torch.tensor(row[4:7], device=image.device)[:, None, None]
        box.copy_(box * 0.5 + colour * 0.5)


@cache
def backgrounds(split: str, edge: int, device: torch.device) -> Tensor:
    """The bank of a split: BACKGROUNDS 2 edge edge, packed int32; the second of each pair is the first mirrored."""
    index = torch.arange(BACKGROUNDS, device=device) + BANK_SEEDS[split] * 1_000_000
    images = []
    for one in index.split(1):
        image = uniform(one + 10_000, 3 * edge * edge).view(1, 3, edge, edge) * WHITE
        for number, (cells, weight) in enumerate(CELLS):
            image = image + _octave(one + 1000 * number, cells, edge) * weight
        image = ((image[0] - 0.5) * 1.8 + 0.5).clamp(0, 1)
        _with_rectangles(image, uniform(one + 20_000, RECTANGLES * 7).view(RECTANGLES, 7))
        images.append(packed(image.permute(1, 2, 0)))
    bank = torch.stack(images)
    return torch.stack([bank, bank.flip(-1)], 1)


@cache
def noise(length: int, device: torch.device) -> Tensor:
    """Packed int32 of this length: close to Gaussian in each colour, of deviation SIGMA, with NOISE added."""
    deviation = (8 * (256**2 - 1) / 12) ** 0.5  # of the sum of eight uniform bytes
    pixel = torch.zeros(length, dtype=torch.int32, device=device)
    for channel in range(3):
        number = bits(torch.tensor([BANK_SEEDS["noise"] * 1_000_000 + channel], device=device), length)[0]
        total = torch.zeros(length, device=device)
        for byte in range(8):
            total += number >> 8 * byte & 255
        level = ((total - 8 * 127.5) * (SIGMA / deviation)).round().clamp(-NOISE, NOISE)
        pixel += level.to(torch.int32) + NOISE << 8 * channel
    return pixel


class Scenes:
    """What lies behind N samples, and their noise: windows of the banks."""

    def __init__(self, draws: Draws, split: str, size: tuple[int, int]) -> None:
        edge, pixels = max(size) * 3 // 2, size[0] * size[1]
        self._size = size
        self._bank = backgrounds(split, edge, draws.device)
        self._noise = noise(max(NOISE_LENGTH, 2 * pixels), draws.device)
        choices = (BACKGROUNDS, 2, edge - size[0], edge - size[1], len(self._noise) - pixels)
        place = draws.take(len(choices)).double() * constant(choices, draws.device, torch.float64)
        self._place = place.long()

    def put_behind(self, pixel: Tensor, empty: Tensor, rows: slice) -> None:
        """Add the background, where `empty` is -1 and not 0, and noise everywhere, to packed int32 pixels n x H x W."""
        place = self._place[rows]
        shape = (len(place), *self._size)
        put = self._gather if pixel.device.type != "cpu" else self._slice
        put(pixel.view(shape), empty.view(shape), place)

    def _gather(self, pixel: Tensor, empty: Tensor, place: Tensor) -> None:
        """All samples in a few kernels, for a GPU."""
        _, height, width = pixel.shape
        image, mirrored, y, x, start = place.unbind(1)
        windows = self._bank.unfold(2, height, 1).unfold(3, width, 1)
        pixel.add_(empty.bitwise_and_(windows[image, mirrored, y, x]))
        pixel.add_(self._noise.unfold(0, height * width, 1)[start].view(pixel.shape))

    def _slice(self, pixel: Tensor, empty: Tensor, place: Tensor) -> None:
        """The same sample by sample, without a copy of the windows: four times as fast on a CPU."""
        _, height, width = pixel.shape
        across, down, mirror, image = self._bank.stride()[::-1]
        for number, (i, m, y, x, start) in enumerate(place.tolist()):
            offset = i * image + m * mirror + y * down + x * across
            behind = self._bank.as_strided((height, width), (down, across), offset)
            grain = self._noise.as_strided((height, width), (width, 1), start)
            pixel[number].add_(empty[number].bitwise_and_(behind)).add_(grain)
