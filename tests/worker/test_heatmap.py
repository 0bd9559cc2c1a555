"""Targets and decoding, by hand."""

import math

import pytest
import torch
from torch import Tensor

from bench.worker import heatmap


def target(x: float, y: float, *, labelled: bool = True, sigma: float = 1.0, size: int = 16) -> Tensor:
    """The map of one joint at image pixels (x, y), four pixels to a cell."""
    joints, known = torch.tensor([[[x, y]]]), torch.tensor([[labelled]])
    return heatmap.targets(joints, known, (size, size), stride=4.0, sigma=sigma)[0, 0]


@pytest.mark.parametrize(("x", "y", "cell"), [(0, 0, (0, 0)), (3.9, 4, (0, 1)), (34, 21.5, (8, 5)), (63, 63, (15, 15))])
def test_the_peak_is_one_in_the_joints_cell(x: float, y: float, cell: tuple[int, int]) -> None:
    found = target(x, y)
    assert found.max() == 1
    assert found[cell[1], cell[0]] == 1
    assert int((found == 1).sum()) == 1


def test_the_values_are_a_gaussian_of_sigma_one() -> None:
    found = target(34, 34)
    assert float(found[8, 9]) == pytest.approx(math.exp(-1 / 2))
    assert float(found[9, 9]) == pytest.approx(math.exp(-1))
    assert float(found[8, 11]) == pytest.approx(math.exp(-9 / 2))


def test_outside_three_sigmas_it_is_zero() -> None:
    assert int((target(34, 34) > 0).sum()) == 7 * 7
    assert int((target(34, 34, sigma=2.0) > 0).sum()) == 13 * 13
    assert int((target(0, 0) > 0).sum()) == 4 * 4


def test_a_wider_sigma_is_wider() -> None:
    assert float(target(34, 34, sigma=2.0)[8, 9]) == pytest.approx(math.exp(-1 / 8))


def test_an_unlabelled_joint_has_an_empty_map() -> None:
    assert target(34, 34, labelled=False).sum() == 0


def test_maps_need_not_be_square() -> None:
    maps = heatmap.targets(torch.tensor([[[4.0, 12.0]]]), torch.tensor([[True]]), (8, 4), stride=4.0, sigma=1.0)
    assert tuple(maps.shape) == (1, 1, 8, 4)
    assert maps[0, 0, 3, 1] == 1


def decoded(rows: list[list[float]]) -> list[float]:
    found: list[float] = heatmap.decode(torch.tensor(rows)[None, None])[0, 0].tolist()
    return found


@pytest.mark.parametrize(
    ("rows", "place"),
    [
        ([[0, 0, 0], [0, 1, 0], [0, 0, 0]], [1, 1]),
        ([[0, 0, 0], [0, 1, 0.5], [0, 0, 0]], [1.25, 1]),
        ([[0, 0, 0], [0.5, 1, 0], [0, 0, 0]], [0.75, 1]),
        ([[0, 0.5, 0], [0, 1, 0], [0, 0.1, 0]], [1, 0.75]),
        ([[0, 0, 0], [0.5, 1, 0.6], [0, 0.2, 0]], [1.25, 1.25]),
        ([[1, 0.9, 0], [0.9, 0, 0], [0, 0, 0]], [0, 0]),
        ([[0, 0, 0], [0, 0, 0.9], [0, 0.9, 1]], [2, 2]),
        ([[0, 1, 0.5], [0, 0, 0], [0, 0, 0]], [1.25, 0]),
        ([[-1, -1, -1], [-1, -0.5, -0.6], [-1, -1, -1]], [1, 1]),
        ([[0, 0, 0], [0, 0, 0], [0, 0, 0]], [0, 0]),
        ([[0, 0, 0, 0, 0], [0, 0, 0, 1, 0.5]], [3.25, 1]),
        ([[0, 0, 0], [0, 0.5, 0], [0, 1, 0.2]], [1.25, 2]),
        ([[0, 0, 0], [1, 0.5, 0], [0.2, 0, 0]], [0, 1.25]),
        ([[0, 0.2, 0], [0, 0.5, 1], [0, 0, 0.3]], [2, 1.25]),
        ([[0, 0.3, 0], [0.3, 1, 0.3], [0, 0.3, 0]], [1, 1]),
        ([[0, 0, 0], [0.2, 0, 0.3], [0, 0, 0]], [2, 1]),
    ],
    ids=str,
)
def test_decoding_moves_a_quarter_towards_the_larger_neighbour(rows: list[list[float]], place: list[float]) -> None:
    assert decoded(rows) == place


def test_neighbours_are_taken_within_the_row() -> None:
    """The cell before the first of a row is in memory the last of the row above, and no neighbour."""
    assert decoded([[0, 0, 0.9], [1, 0.1, 0], [0.8, 0, 0]]) == [0, 1.25]


@pytest.mark.parametrize(
    ("rows", "place"),
    [
        ([[0, 0, 0], [0, 1, 1], [0, 1, 0]], [1.25, 1.25]),
        ([[0, 0, 1], [1, 1, 0], [0, 0, 0]], [2, 0]),
        ([[0, 0, 0], [0, -1, 0], [0, 0, 0]], [0, 0]),
        ([[-3, -3, -3], [-3, -2, -3], [-3, -1, -2]], [1, 2]),
        ([[-1, -1, -1], [-2, 0, -1], [-1, -2, -1]], [1, 1]),
    ],
    ids=str,
)
def test_ties_take_the_first_maximum_and_nothing_positive_moves_none(
    rows: list[list[float]], place: list[float]
) -> None:
    assert decoded(rows) == place


def test_every_image_and_joint_is_decoded_by_itself() -> None:
    maps = torch.zeros(2, 3, 4, 5)
    places = [[(0, 0), (4, 3), (2, 1)], [(1, 2), (3, 3), (0, 2)]]
    for n, joints in enumerate(places):
        for k, (x, y) in enumerate(joints):
            maps[n, k, y, x] = 1
    assert heatmap.decode(maps).tolist() == [[list(map(float, place)) for place in joints] for joints in places]


def test_what_was_drawn_is_found_again() -> None:
    joints = torch.rand(4, 16, 2, generator=torch.Generator().manual_seed(1)) * 63
    maps = heatmap.targets(joints, torch.ones(4, 16, dtype=torch.bool), (16, 16), stride=4.0, sigma=1.0)
    assert torch.equal(heatmap.decode(maps), (joints / 4).floor())


def test_decoding_keeps_no_gradient_type() -> None:
    assert heatmap.decode(torch.rand(1, 1, 4, 4, dtype=torch.float64)).dtype == torch.float32


@pytest.mark.parametrize(
    "kind", [torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.uint8, torch.int32, torch.int64]
)
def test_every_type_of_maps_is_decoded_alike(kind: torch.dtype) -> None:
    """With few bits, a place beyond 256 and its quarter are no number of the maps' own type."""
    maps = torch.zeros(1, 1, 304, 304, dtype=kind)
    maps[0, 0, 300, 301], maps[0, 0, 300, 302], maps[0, 0, 299, 301] = 10, 5, 7
    found = heatmap.decode(maps)
    assert (found.tolist(), found.dtype) == ([[[301.25, 299.75]]], torch.float32)


def test_arrays_are_decoded_as_tensors_are() -> None:
    maps = torch.rand(2, 3, 6, 9, generator=torch.Generator().manual_seed(0))
    assert torch.equal(heatmap.decode(maps.numpy()), heatmap.decode(maps))


@pytest.mark.parametrize(("n", "k"), [(0, 3), (2, 0), (0, 0)])
def test_no_maps_have_no_joints(n: int, k: int) -> None:
    assert heatmap.decode(torch.zeros(n, k, 4, 5)).shape == (n, k, 2)


def test_each_axis_has_its_own_stride() -> None:
    joints, labelled = torch.tensor([[[10.0, 91.9]]]), torch.ones(1, 1, dtype=torch.bool)
    maps = heatmap.targets(joints, labelled, (33, 24), stride=(4.0, 130 / 33), sigma=1.0)
    cell = heatmap.decode(maps)[0, 0]
    assert abs((cell[0] + 0.5) * 4.0 - 10.0) <= 2.0
    assert abs((cell[1] + 0.5) * 130 / 33 - 91.9) <= 130 / 66
