"""Random numbers from a counter hash, and angles that are exact on every device.

There is no generator state: number k of sample i depends on i and k alone. Sine and cosine are read from a table, for
torch's own differ in the last bit with the place of an element in its vector.
"""

import math
from functools import cache

import torch
from torch import Tensor

GOLDEN = 0x9E3779B97F4A7C15
"""The increment of splitmix64 (Steele, Lea and Flood 2014); MIX are its two factors with the shifts before them."""

MIX = ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB))

TURN = 1 << 14
"""Steps of a full turn: 0.0004 rad each."""


def signed(number: int) -> int:
    """The int64 that has the lowest 64 bits of a number."""
    return (number + (1 << 63)) % (1 << 64) - (1 << 63)


def mixed(state: Tensor) -> Tensor:
    """The output function of splitmix64, elementwise on int64; shifts are made logical by masks."""
    for shift, factor in MIX:
        state = (state ^ (state >> shift & (1 << (64 - shift)) - 1)) * signed(factor)
    return state ^ (state >> 31 & (1 << 33) - 1)


def bits(index: Tensor, count: int) -> Tensor:
    """64 random bits, `count` times for every sample: N count, int64."""
    counter = torch.arange(1, count + 1, device=index.device) * signed(GOLDEN)
    return mixed(mixed(index)[:, None] + counter)


def uniform(index: Tensor, count: int) -> Tensor:
    """`count` numbers in [0, 1) for every sample: N count, float32, multiples of 2^-24."""
    return (bits(index, count) >> 40 & (1 << 24) - 1).float() * 2.0**-24


class Draws:
    """Successive uniform numbers of every sample, N rows; which are taken depends on the order of the calls alone."""

    def __init__(self, index: Tensor, count: int) -> None:
        self.device = index.device
        self._numbers = uniform(index, count)
        self._taken = 0

    def take(self, *shape: int) -> Tensor:
        """The next numbers in [0, 1): N x shape."""
        first, self._taken = self._taken, self._taken + math.prod(shape)
        if self._taken > self._numbers.shape[1]:
            raise ValueError(f"{self._taken} numbers were taken of {self._numbers.shape[1]}")
        return self._numbers[:, first : self._taken].reshape(-1, *shape)

    def between(self, low: float, high: float, *shape: int) -> Tensor:
        """Uniform in [low, high): N x shape."""
        return self.take(*shape) * (high - low) + low

    def around(self, reach: float, *shape: int) -> Tensor:
        """Triangular in (-reach, reach), densest at 0: N x shape."""
        return (self.take(*shape) + self.take(*shape) - 1) * reach

    def chance(self, share: float, *shape: int) -> Tensor:
        """True for this share of the samples: N x shape, bool."""
        return self.take(*shape) < share


@cache
def _circle(device: torch.device) -> Tensor:
    """(sine, cosine) at every step of a turn: TURN 2."""
    steps = [i * math.tau / TURN for i in range(TURN)]
    return torch.tensor([[math.sin(a), math.cos(a)] for a in steps], dtype=torch.float32, device=device)


def direction(angle: Tensor) -> Tensor:
    """(sine, cosine) of angles in radians, rounded to a step: shape x 2.

    In image coordinates this is the direction at an angle from straight down, positive to the right.
    """
    step = (angle * (TURN / math.tau)).round().long() & TURN - 1
    return _circle(angle.device)[step]


def root(square: Tensor) -> Tensor:
    """The square root, correctly rounded: torch's in float32 is not, and differs with an element's place."""
    return square.double().sqrt().float()


@cache
def constant(values: tuple[object, ...], device: torch.device, dtype: torch.dtype = torch.float32) -> Tensor:
    """A table of nested tuples on a device, made once, so that no batch waits for a copy."""
    return torch.tensor(values, dtype=dtype, device=device)
