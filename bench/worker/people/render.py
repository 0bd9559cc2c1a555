"""Rendering: one bit per capsule, prefix sums, nearest capsule by the lowest bit; exact, and the same in any order.

A span adds its bit where it starts and takes it away behind its end; the running sum over the images is then the set of
capsules that cover each pixel. All sums are of integers.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from bench.worker.people.backgrounds import Scenes, packed
from bench.worker.people.draws import constant
from bench.worker.people.figures import LABELS, Capsules
from bench.worker.people.looks import Looks
from bench.worker.people.spans import spans

RANKS = 32
"""Places of a sample in the table of colours: one for the background, and one per bit of a positive int32."""

LOWEST_EXPONENT = 126
"""One less than the exponent field of 1.0, the float of the lowest bit."""

CPU_PIXELS = 1 << 19
"""Pixels rendered at once on the CPU: the working set then stays in the cache. GPU_PIXELS bounds memory alone."""

GPU_PIXELS = 1 << 26


@dataclass(frozen=True, slots=True)
class Scratch:
    """Buffers of a chunk of n samples, used for all chunks: fresh ones would cost page faults.

    Attributes:
        change: n x H x W + 1, int32.
        word: n x H x W, int32.
        level, light: n x H x W, float32.
        short: n x H x W, int16.
    """

    change: Tensor
    word: Tensor
    level: Tensor
    light: Tensor
    short: Tensor

    @classmethod
    def of(cls, pixels: int, device: torch.device) -> "Scratch":
        """Buffers for this many pixels."""
        kinds = (torch.int32, torch.int32, torch.float32, torch.float32, torch.int16)
        return cls(*(torch.empty(pixels + (i == 0), dtype=kind, device=device) for i, kind in enumerate(kinds)))

    def first(self, pixels: int) -> "Scratch":
        """The first of the same buffers, for a last chunk that is shorter."""
        others = (self.word, self.level, self.light, self.short)
        return Scratch(self.change[: pixels + 1], *(buffer[:pixels] for buffer in others))


def draw(capsules: Capsules, looks: Looks, scenes: Scenes, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Images uint8 N 3 H W and their parts uint8 N H W."""
    count, device = len(looks.gain), looks.gain.device
    image = torch.empty(count, 3, *size, dtype=torch.uint8, device=device)
    part = torch.empty(count, *size, dtype=torch.uint8, device=device)
    label = constant(LABELS, device, torch.int32) << 24
    colour = packed(looks.colour) + label
    step = chunk(count, size, device)
    scratch = Scratch.of(step * size[0] * size[1], device)
    for first in range(0, count, step):
        rows = slice(first, min(first + step, count))
        buffers = scratch.first((rows.stop - rows.start) * size[0] * size[1])
        order = nearest(capsules, rows, size, buffers)
        pixel = paint(colour[rows].gather(1, order), buffers)
        scenes.put_behind(pixel, buffers.change[:-1], rows)
        part[rows] = torch.bitwise_right_shift(pixel, 24, out=buffers.change[:-1]).view(-1, *size)
        expose(pixel, looks, rows, (image[rows], buffers))
    return image, part


def chunk(count: int, size: tuple[int, int], device: torch.device) -> int:
    """How many samples are rendered at once."""
    pixels = CPU_PIXELS if device.type == "cpu" else GPU_PIXELS
    return max(1, min(count, pixels // (size[0] * size[1])))


def nearest(capsules: Capsules, rows: slice, size: tuple[int, int], scratch: Scratch) -> Tensor:
    """Find which capsule each pixel shows.

    `scratch.level` then holds, as int32, a pixel's place in its sample's table: 0 the background, 1 + rank a capsule.

    Returns:
        The capsules in order, nearest first: n P.
    """
    order = capsules.depth[rows].argsort(dim=1, stable=True)
    bit = (1 << order.argsort(dim=1)).to(torch.int32).view(-1)
    where, start, stop = spans(capsules.ends[rows].reshape(-1, 2, 2), capsules.radii[rows].reshape(-1, 2), size)
    line = (where[0].div(order.shape[1], rounding_mode="floor") * size[0] + where[1]) * size[1]
    amount = bit.index_select(0, where[0])
    change = scratch.change.zero_()
    change.scatter_add_(0, start.add_(line), amount)
    change.scatter_add_(0, stop.add_(line), amount.neg_())  # behind a row's end is the next row's start
    covered = change.cumsum_(0)[:-1]
    torch.neg(covered, out=scratch.word).bitwise_and_(covered)
    place = scratch.level.copy_(scratch.word).view(torch.int32)
    place.bitwise_right_shift_(23).clamp_(min=LOWEST_EXPONENT).sub_(LOWEST_EXPONENT)
    return order


def paint(colour: Tensor, scratch: Scratch) -> Tensor:
    """The packed colour and part of every pixel, 0 for the background; `scratch.change` becomes -1 there, 0 elsewhere.

    Args:
        colour: n P, packed, nearest first.

    Returns:
        int32, n x H x W, flat.
    """
    n, p = colour.shape
    place = scratch.level.view(torch.int32)
    torch.sub(place, 1, out=scratch.change[:-1]).bitwise_right_shift_(31)
    table = torch.zeros(n, RANKS, dtype=torch.int32, device=colour.device)
    table[:, 1 : 1 + p] = colour
    sample = torch.arange(0, n * RANKS, RANKS, dtype=torch.int32, device=colour.device)
    place.view(n, -1).add_(sample[:, None])
    return torch.index_select(table.view(-1), 0, place, out=scratch.word)


def expose(pixel: Tensor, looks: Looks, rows: slice, target: tuple[Tensor, Scratch]) -> None:
    """Unpack colours, light them and write them as uint8 into the target's n 3 H W."""
    image, scratch = target
    n, _, height, width = image.shape
    gain, slope = looks.gain[rows, None], looks.slope[rows]
    across = torch.arange(width, device=pixel.device) * (1 / width) - 0.5
    down = torch.arange(height, device=pixel.device) * (1 / height) - 0.5
    light = scratch.light.view(n, height, width)
    torch.add(((across * slope[:, :1] + 1) * gain)[:, None], (down * slope[:, 1:] * gain)[..., None], out=light)
    byte = scratch.change[:-1]
    for channel in range(3):
        torch.bitwise_right_shift(pixel, 8 * channel, out=byte).bitwise_and_(255)
        level = scratch.level.copy_(byte).mul_(scratch.light).clamp_(max=255)
        image[:, channel] = scratch.short.copy_(level).view(n, height, width)
