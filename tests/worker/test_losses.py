"""Losses against direct formulas."""

from typing import Any

import pytest
import torch
from torch import Tensor

from bench.errors import Failed
from bench.worker import heatmap
from bench.worker.losses import LOSSES, heatmap_bce, heatmap_mse

STORED = [
    ({}, 1.0769684314727783),
    ({"sigma": 1.5}, 1.1233117580413818),
    ({"sigma": 1.5, "positive": 20.0}, 6.198011875152588),
]


def batch(labelled: Tensor) -> dict[str, Tensor]:
    n, k = labelled.shape
    joints = torch.rand(n, k, 2, generator=torch.Generator().manual_seed(0)) * 31
    return {"image": torch.zeros(n, 3, 32, 32, dtype=torch.uint8), "joints": joints, "labelled": labelled}


def outputs(count: int, n: int, k: int) -> list[Tensor]:
    generator = torch.Generator().manual_seed(1)
    return [torch.randn(n, k, 8, 8, generator=generator) for _ in range(count)]


def direct(out: Tensor, data: dict[str, Tensor], sigma: float) -> float:
    """Half the mean of the squared differences over all cells of all labelled maps, one by one."""
    wanted = heatmap.targets(data["joints"], data["labelled"], (8, 8), stride=4.0, sigma=sigma)
    squares = [
        float(((out[n, k] - wanted[n, k]) ** 2).mean())
        for n in range(out.shape[0])
        for k in range(out.shape[1])
        if data["labelled"][n, k]
    ]
    return 0.5 * sum(squares) / len(squares)


@pytest.mark.parametrize("stacks", [1, 3])
@pytest.mark.parametrize("sigma", [1.0, 2.0])
def test_half_the_mean_squared_error_summed_over_stacks(stacks: int, sigma: float) -> None:
    data, outs = batch(torch.ones(2, 4, dtype=torch.bool)), outputs(stacks, 2, 4)
    expected = sum(direct(out, data, sigma) for out in outs)
    assert float(heatmap_mse(outs, data, {"sigma": sigma})) == pytest.approx(expected, rel=1e-5)


def test_sigma_is_one_where_the_recipe_has_none() -> None:
    data, outs = batch(torch.ones(1, 2, dtype=torch.bool)), outputs(1, 1, 2)
    assert heatmap_mse(outs, data, {}) == heatmap_mse(outs, data, {"sigma": 1.0})


def test_unlabelled_joints_do_not_count() -> None:
    labelled = torch.tensor([[True, False, True], [False, False, True]])
    data, outs = batch(labelled), outputs(1, 2, 3)
    loss = float(heatmap_mse(outs, data, {}))
    assert loss == pytest.approx(direct(outs[0], data, 1.0), rel=1e-5)
    outs[0][0, 1] += 100
    assert float(heatmap_mse(outs, data, {})) == pytest.approx(loss)


def test_a_batch_without_labels_costs_nothing() -> None:
    assert heatmap_mse(outputs(1, 1, 2), batch(torch.zeros(1, 2, dtype=torch.bool)), {}) == 0


def test_a_perfect_answer_costs_nothing() -> None:
    data = batch(torch.ones(1, 2, dtype=torch.bool))
    perfect = heatmap.targets(data["joints"], data["labelled"], (8, 8), stride=4.0, sigma=1.0)
    assert heatmap_mse([perfect], data, {}) == 0


def test_reduced_types_are_summed_in_float32() -> None:
    data, outs = batch(torch.ones(1, 2, dtype=torch.bool)), outputs(2, 1, 2)
    loss = heatmap_mse([out.bfloat16() for out in outs], data, {})
    assert loss.dtype == torch.float32
    assert float(loss) == pytest.approx(float(heatmap_mse(outs, data, {})), rel=0.02)


def test_every_stack_gets_a_gradient() -> None:
    outs = [out.requires_grad_() for out in outputs(3, 1, 2)]
    heatmap_mse(outs, batch(torch.ones(1, 2, dtype=torch.bool)), {}).backward()
    assert all(out.grad is not None and out.grad.abs().sum() > 0 for out in outs)


@pytest.mark.parametrize(
    ("shapes", "said"),
    [
        ([(2, 1, 8, 8)], r"\[2, 1, 8, 8\], its target \[2, 4, 8, 8\]"),
        ([(2, 5, 8, 8)], r"\[2, 5, 8, 8\], its target \[2, 4, 8, 8\]"),
        ([(1, 4, 8, 8)], r"\[1, 4, 8, 8\], its target \[2, 4, 8, 8\]"),
        ([(2, 4, 8, 8), (2, 3, 4, 4)], r"\[2, 3, 4, 4\], its target \[2, 4, 4, 4\]"),
        ([(2, 32)], r"\[2, 32\], its target \[2, 4, 2, 32\]"),
        ([(2, 4, 2)], r"\[2, 4, 2\], its target \[2, 4, 4, 2\]"),
        ([(2,)], r"\[2\], its target \[2, 4, 2\]"),
    ],
)
def test_an_output_that_is_no_map_for_each_joint_is_not_broadcast(shapes: list[tuple[int, ...]], said: str) -> None:
    with pytest.raises(Failed, match=rf"^heatmap_mse: an output is {said}"):
        heatmap_mse([torch.zeros(shape) for shape in shapes], batch(torch.ones(2, 4, dtype=torch.bool)), {})


def test_every_output_gets_targets_at_its_own_resolution() -> None:
    data = batch(torch.ones(2, 4, dtype=torch.bool))
    outs = [torch.randn(2, 4, side, side, generator=torch.Generator().manual_seed(side)) for side in (4, 8, 16)]
    expected = 0.0
    for out in outs:
        side = out.shape[-1]
        wanted = heatmap.targets(data["joints"], data["labelled"], (side, side), stride=32 / side, sigma=1.5)
        expected += 0.5 * float(((out - wanted) ** 2).mean())
    assert float(heatmap_mse(outs, data, {"sigma": 1.5})) == pytest.approx(expected, rel=1e-5)


def test_targets_are_made_once_for_every_size(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[tuple[int, int]] = []
    true = heatmap.targets

    def targets(joints: Tensor, labelled: Tensor, size: tuple[int, int], **options: Any) -> Tensor:
        made.append(size)
        return true(joints, labelled, size, **options)

    monkeypatch.setattr(heatmap, "targets", targets)
    outs = [torch.zeros(1, 2, side, side) for side in (4, 8, 8, 4)]
    heatmap_mse(outs, batch(torch.ones(1, 2, dtype=torch.bool)), {})
    assert made == [(4, 4), (8, 8)]


@pytest.mark.parametrize(("recipe", "expected"), STORED)
def test_losses_of_joints_are_what_they_were(recipe: dict[str, float], expected: float) -> None:
    """Numbers of the first version, whose outputs all had one resolution."""
    labelled = torch.tensor([[True, False, True], [True, True, True]])
    assert float(heatmap_mse(outputs(2, 2, 3), batch(labelled), recipe)) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("positive", [0.0, 20.0])
def test_sigmoid_cross_entropy_cell_by_cell(positive: float) -> None:
    labelled = torch.tensor([[True, False, True], [True, True, True]])
    data, (out,) = batch(labelled), outputs(1, 2, 3)
    wanted = heatmap.targets(data["joints"], labelled, (8, 8), stride=4.0, sigma=1.0)
    chance = out.double().sigmoid()
    cells = -(wanted * chance.log() + (1 - wanted) * (1 - chance).log()) * (1 + positive * wanted)
    expected = float(cells[labelled].mean())
    recipe = {"positive": positive}
    assert float(heatmap_bce([out], data, recipe)) == pytest.approx(expected, rel=1e-5)
    assert float(heatmap_bce([out, out], data, recipe)) == pytest.approx(2 * expected, rel=1e-5)


def test_sigmoid_cross_entropy_is_of_maps_for_each_joint_too() -> None:
    with pytest.raises(Failed, match=r"^heatmap_bce: an output is \[2, 5, 8, 8\], its target \[2, 4, 8, 8\]"):
        heatmap_bce([torch.zeros(2, 5, 8, 8)], batch(torch.ones(2, 4, dtype=torch.bool)), {})


@pytest.mark.parametrize("loss", [heatmap_mse, heatmap_bce])
def test_stacks_weigh_what_the_recipe_says(loss: Any) -> None:
    data, outs = batch(torch.ones(1, 2, dtype=torch.bool)), outputs(2, 1, 2)
    first, second = (float(loss([out], data, {})) for out in outs)
    assert float(loss(outs, data, {"head_weights": [0.5, 3]})) == pytest.approx(0.5 * first + 3 * second)
    with pytest.raises(Failed, match=rf"^{loss.__name__}: head_weights has 3 numbers for 2 outputs: give one for"):
        loss(outs, data, {"head_weights": [1, 1, 1]})


@pytest.mark.parametrize("loss", [heatmap_mse, heatmap_bce])
def test_data_without_joints_say_so(loss: Any) -> None:
    data = {"image": torch.zeros(1, 3, 8, 8), "mask": torch.zeros(1, 8, 8)}
    with pytest.raises(Failed, match=rf"^{loss.__name__}: the data have no 'joints' \(only image, mask\)"):
        loss([torch.zeros(1, 16, 2, 2)], data, {})


def test_losses_are_known_by_the_name_of_their_function() -> None:
    assert {name: loss.__name__ for name, loss in LOSSES.items()} == {name: name for name in LOSSES}
