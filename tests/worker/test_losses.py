"""Losses against direct formulas."""

import pytest
import torch
from torch import Tensor

from bench.errors import Failed
from bench.worker import heatmap
from bench.worker.losses import LOSSES, heatmap_mse


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
        ([(2, 4, 1, 8), (2, 4, 8, 8)], r"\[2, 4, 1, 8\], its target \[2, 4, 8, 8\]"),
        ([(2, 32)], r"\[2, 32\], its target \[2, 4, 2, 32\]"),
        ([(2, 4, 2)], r"\[2, 4, 2\], its target \[2, 4, 4, 2\]"),
        ([(2,)], r"\[2\], its target \[2, 4, 2\]"),
    ],
)
def test_an_output_that_is_no_map_for_each_joint_is_not_broadcast(shapes: list[tuple[int, ...]], said: str) -> None:
    with pytest.raises(Failed, match=rf"^heatmap_mse: an output is {said}"):
        heatmap_mse([torch.zeros(shape) for shape in shapes], batch(torch.ones(2, 4, dtype=torch.bool)), {})


def test_losses_are_known_by_the_name_of_their_function() -> None:
    assert {name: loss.__name__ for name, loss in LOSSES.items()} == {name: name for name in LOSSES}
