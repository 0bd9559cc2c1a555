"""The bootstrap over images: how far a figure would move if other images of the same kind had been scored.

An image is drawn whole, with all of its joints or pixels, since these are right or wrong together: an interval over
single joints would be too narrow (A. C. Davison, D. V. Hinkley, Bootstrap Methods and their Application, 1997).
The draws depend on the seed and the number of images alone, so that the same images are drawn for two
predictors and their difference is paired.
"""

from collections.abc import Iterator

import torch
from torch import Tensor

RESAMPLES = 1000
"""At 1,000 resamples, a 95 % bound lies within one percentage point of its place (2.5 or 97.5 %)."""

CHUNK = 8_000_000
"""Weights that are held at once, 64 MB."""


def weights(images: int, seed: int = 0, resamples: int = RESAMPLES) -> Tensor:
    """How often each image was drawn in each resample: multinomial counts that sum to `images`.

    Returns:
        resamples x images, float64, on the CPU. All of it is held: 200 MB for 25,000 images and 1,000 resamples;
        where sums are all that is wanted, `sums` takes them without that.

    Raises:
        ValueError: fewer than one image.
    """
    return torch.cat(list(_chunks(images, seed, resamples)))


def sums(values: Tensor, seed: int = 0, resamples: int = RESAMPLES) -> Tensor:
    """Sum of every column in each resample: `weights(...) @ values`, without holding all weights.

    Args:
        values: images x columns, on the CPU; counts are summed exactly.

    Returns:
        resamples x columns, float64.

    Raises:
        ValueError: fewer than one image.
    """
    values = values.double()
    return torch.cat([chunk @ values for chunk in _chunks(len(values), seed, resamples)])


def interval(statistics: Tensor) -> tuple[float | None, float | None]:
    """The 95 % percentile interval: 2.5 % and 97.5 % points, interpolated linearly.

    Args:
        statistics: one per resample. Those that are not defined in a resample, such as the rate of a joint that
            none of the drawn images has, are NaN and left out.

    Returns:
        (low, high), in the statistic's unit; None twice where no resample defines it.
    """
    defined = statistics.double()
    defined = defined[~defined.isnan()]
    if not len(defined):
        return None, None
    low, high = torch.quantile(defined, defined.new_tensor([0.025, 0.975])).tolist()
    return low, high


def _chunks(images: int, seed: int, resamples: int) -> Iterator[Tensor]:
    """The rows of `weights`, as many at a time as CHUNK allows; every row is drawn by itself, so that the size of a
    chunk changes nothing.
    """
    if images < 1:
        raise ValueError(f"a bootstrap over {images} images")
    generator = torch.Generator().manual_seed(seed)
    rows = max(1, CHUNK // images)
    for first in range(0, resamples, rows):
        chunk = torch.empty(min(rows, resamples - first), images, dtype=torch.float64)
        for row in chunk:
            drawn = torch.randint(images, (images,), generator=generator)
            row.copy_(torch.bincount(drawn, minlength=images))
        yield chunk
