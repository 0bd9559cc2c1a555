"""ICNet against the counts of both widths, and what its branches see."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from counted import count, macs, on_meta
from torch import nn

from archs.icnet import Fusion, build, check, doubled, halved

COUNTS = {1: (6_710_411, 1_405_854_208), 2: (26_755_275, 5_513_823_232)}


@pytest.mark.parametrize("scale", COUNTS)
def test_known_counts(scale: int) -> None:
    model = on_meta(build, scale=scale)
    assert (count(model), macs(model, 3, 320, 320, training=True)) == COUNTS[scale]


def test_auxiliary_heads_are_not_computed_at_inference_and_the_branches_are() -> None:
    model = on_meta(build)
    heads = 19 * 19 * 256 * 25 + 39 * 39 * 128 * 25
    assert macs(model, 3, 320, 320, training=True) - macs(model, 3, 320, 320) == heads


@pytest.mark.parametrize(("side", "sides"), [(320, (19, 39, 79)), (321, (21, 41, 81)), (1025, (65, 129, 257))])
def test_sizes_that_divide_and_sizes_that_do_not(side: int, sides: tuple[int, ...]) -> None:
    model = on_meta(build, classes=7).train()
    assert [tuple(out.shape) for out in model(torch.empty(2, 3, side, side, device="meta"))] == [
        (2, 7, one, one) for one in sides
    ]
    (prediction,) = model.eval()(torch.empty(1, 3, side, side + 64, device="meta"))
    assert prediction.shape == (1, 7, sides[-1], sides[-1] + 16)


def test_corners_stay_on_corners() -> None:
    row = torch.arange(5.0).expand(1, 1, 5, 5)
    assert torch.allclose(doubled(row)[0, 0, 0], torch.arange(0, 4.1, 0.5))
    assert torch.allclose(halved(row)[0, 0, 0], torch.tensor([0.0, 2.0, 4.0]))


def test_fusion_adds_before_its_relu_and_convolves_with_dilation() -> None:
    torch.manual_seed(0)
    fusion = Fusion(4, 6, 5).eval()
    for norm in (part for part in fusion.modules() if isinstance(part, nn.BatchNorm2d)):
        for stored in (norm.running_mean, norm.weight, norm.bias):
            nn.init.normal_(stored)
        nn.init.uniform_(norm.running_var, 0.5, 2)
    low, high = torch.randn(2, 4, 9, 9), torch.randn(2, 6, 9, 9)

    def normed(x: torch.Tensor, norm: nn.BatchNorm2d) -> torch.Tensor:
        shift, spread = norm.running_mean[:, None, None], norm.running_var[:, None, None]
        return (x - shift) / (spread + 1e-5).sqrt() * norm.weight[:, None, None] + norm.bias[:, None, None]

    with torch.no_grad():
        expected = normed(F.conv2d(low, fusion.low[0].weight, padding=2, dilation=2), fusion.low[1])
        expected = (expected + normed(F.conv2d(high, fusion.high[0].weight), fusion.high[1])).clamp(min=0)
        assert torch.allclose(fusion(low, high), expected, atol=1e-5)


def test_every_branch_counts() -> None:
    """Each of the three branches moves the prediction, and so does what the pyramid pools."""
    torch.manual_seed(0)
    model = build(classes=3).eval()
    image = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        before = model(image)[-1]
        for name in ("low.2.2.residual.2.0", "middle.0.0.0", "full.0.0"):
            weight = model.get_submodule(name).weight
            kept = weight.clone()
            weight.mul_(2.0)
            assert not torch.allclose(model(image)[-1], before), name
            weight.copy_(kept)
        assert torch.equal(model(image)[-1], before)


def test_heads_are_the_only_layers_without_a_norm() -> None:
    model = on_meta(build)
    biased = [name for name, part in model.named_modules() if isinstance(part, nn.Conv2d) and part.bias is not None]
    assert biased == ["head", "head_low", "head_half"]


@pytest.mark.parametrize(
    ("options", "size", "message"),
    [
        ({}, (31, 64), "size 31x64: must be at least 32x32"),
        ({"scale": 0}, (64, 64), "scale = 0: must be at least 1"),
        ({"classes": -1}, (64, 64), "classes = -1: must be at least 1"),
    ],
)
def test_check_says_what_cannot_be_built(options: dict[str, Any], size: tuple[int, int], message: str) -> None:
    assert check(options, size) == message


def test_check_accepts_any_size_from_the_least() -> None:
    assert check({}, (33, 47)) is None
