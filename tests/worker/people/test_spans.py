"""Spans against the plain definition of a capsule, pixel by pixel."""

import pytest
import torch
from torch import Tensor

from bench.worker.people.draws import uniform
from bench.worker.people.spans import spans

SIZE = (40, 56)


def covered(ends: Tensor, radii: Tensor) -> Tensor:
    """M H W, from the spans."""
    mask = torch.zeros(len(ends), *SIZE, dtype=torch.int32)
    (capsule, row), start, stop = spans(ends, radii, SIZE)
    assert (start <= stop).all() and start.min() >= 0 and stop.max() <= SIZE[1]
    for c, y, x0, x1 in zip(capsule.tolist(), row.tolist(), start.tolist(), stop.tolist(), strict=True):
        mask[c, y, x0:x1] += 1
    assert mask.max() <= 1, "each row of a capsule comes once"
    return mask.bool()


def hull(ends: Tensor, radii: Tensor) -> Tensor:
    """How far inside the hull of two discs each pixel centre is: the best of many discs between them, M H W."""
    share = torch.linspace(0, 1, 2001, dtype=torch.float64)[:, None]
    row, column = torch.meshgrid(*(torch.arange(n, dtype=torch.float64) + 0.5 for n in SIZE), indexing="ij")
    pixel = torch.stack([column.flatten(), row.flatten()], -1)
    found = []
    for (a, b), (r, q) in zip(ends.double(), radii.double(), strict=True):
        distance = torch.cdist(pixel, a + (b - a) * share)
        found.append((r + (q - r) * share[:, 0] - distance).amax(1).view(SIZE))
    return torch.stack(found)


def check(ends: Tensor, radii: Tensor) -> None:
    inside, depth = covered(ends, radii), hull(ends, radii)
    wrong = (inside != (depth >= 0)) & (depth.abs() > 2e-3)
    assert not wrong.any(), (wrong.nonzero()[:5], ends, radii)


def test_random_capsules_in_and_beside_the_image() -> None:
    number = uniform(torch.arange(40), 6)
    ends = number[:, :4].view(40, 2, 2) * torch.tensor([80.0, 60.0]) - torch.tensor([12.0, 10.0])
    check(ends, number[:, 4:] ** 2 * 14)


@pytest.mark.parametrize(
    ("ends", "radii"),
    [
        ([[10.0, 20.0], [40.0, 20.0]], [6.0, 6.0]),  # level: its tangents never cross a row
        ([[10.5, 20.5], [40.5, 20.5]], [8.0, 2.0]),
        ([[20.0, 5.0], [20.0, 35.0]], [3.0, 7.0]),  # upright
        ([[20.0, 20.0], [20.0, 20.0]], [6.0, 6.0]),  # a disc
        ([[20.0, 20.0], [22.0, 21.0]], [9.0, 2.0]),  # one disc within the other
        ([[20.0, 20.0], [29.0, 20.0]], [2.0, 11.0]),  # one touches the other from within
    ],
)
def test_special_cases(ends: list[list[float]], radii: list[float]) -> None:
    check(torch.tensor([ends]), torch.tensor([radii]))


def test_a_negative_radius_and_a_place_outside_have_no_rows() -> None:
    ends = torch.tensor([[[20.0, 20.0], [30.0, 25.0]], [[10.0, -30.0], [20.0, -20.0]]])
    (capsule, _), _, _ = spans(ends, torch.tensor([[-1.0, -1.0], [5.0, 5.0]]), SIZE)
    assert capsule.tolist() == []
