"""Feature pyramids against known counts, and where one is an hourglass."""

from typing import Any

import pytest
import torch
from counted import count, macs, on_meta
from torch import Tensor, nn

from archs.blocks import Hourglass
from archs.fpn import Encoder, FeaturePyramid, build, check
from archs.stacked_hourglass import build as stacked_hourglass


def test_the_neck_alone() -> None:
    with torch.device("meta"):
        neck = FeaturePyramid(256, 5)
    assert count(neck) == 3_279_360
    assert macs(neck, 256, 64, 64) == 3_575_644_160


def randomised(model: nn.Module) -> nn.Module:
    """Norms whose statistics and weights matter: with those that they begin with, a missing norm would not show."""
    for norm in (part for part in model.modules() if isinstance(part, nn.BatchNorm2d)):
        nn.init.normal_(norm.running_mean, std=0.3)
        nn.init.uniform_(norm.running_var, 0.5, 2)
        nn.init.uniform_(norm.weight, 0.5, 2)
        nn.init.normal_(norm.bias, std=0.3)
    return model.eval()


def with_weights_of(hourglass: Hourglass, encoder: Encoder, pyramid: FeaturePyramid) -> None:
    """Encoder levels := the hourglass's `down`, laterals := its `skip` and innermost part, `post` := its `up`."""
    level: nn.Module = hourglass
    for i, down in enumerate(encoder.down):
        assert isinstance(level, Hourglass)
        down.load_state_dict(level.down[0].state_dict())
        pyramid.lateral[i].load_state_dict(level.skip[0].state_dict())
        if not isinstance(pyramid.post[i], nn.Identity):
            pyramid.post[i].load_state_dict(level.up[0].state_dict())
        level = level.inner
    assert isinstance(level, nn.Sequential)
    pyramid.lateral[-1].load_state_dict(level[0].state_dict())


def alike(features: int, depth: int, post: str) -> tuple[Hourglass, Encoder, FeaturePyramid]:
    torch.manual_seed(depth)
    hourglass = randomised(Hourglass(features, depth))
    encoder, pyramid = (
        Encoder(features, depth),
        FeaturePyramid(2 * features, depth + 1, 2 * features, skip="residual", post=post, smooth=False),
    )
    with_weights_of(hourglass, encoder, pyramid)
    return hourglass, encoder.eval(), pyramid.eval()


@pytest.mark.parametrize("depth", [1, 2, 4])
def test_an_hourglass_without_what_it_does_before_it_enlarges_is_a_feature_pyramid(depth: int) -> None:
    hourglass, encoder, pyramid = alike(4, depth, "none")
    for level in (part for part in hourglass.modules() if isinstance(part, Hourglass)):
        level.up = nn.Identity()
    x = torch.randn(2, 8, 32, 32)
    with torch.no_grad():
        assert torch.equal(pyramid(encoder(x))[0], hourglass(x))


@pytest.mark.parametrize("depth", [1, 2, 4])
def test_with_it_too_where_the_pyramid_has_it(depth: int) -> None:
    hourglass, encoder, pyramid = alike(4, depth, "residual")
    x = torch.randn(2, 8, 32, 32)
    with torch.no_grad():
        assert torch.equal(pyramid(encoder(x))[0], hourglass(x))
        assert not torch.equal(alike(4, depth, "none")[2](encoder(x))[0], hourglass(x))


HOURGLASS = {"skip": "residual", "post": "residual", "smooth": False, "outputs": "finest"}


@pytest.mark.parametrize("stacks", [1, 3])
def test_one_end_of_the_family_has_the_counts_of_the_stacked_hourglass(stacks: int) -> None:
    family, known = (
        on_meta(build, stacks=stacks, **HOURGLASS),
        on_meta(stacked_hourglass, stacks=stacks, stem="paper"),
    )
    assert count(family) == count(known)
    assert macs(family, 3, 256, 256) == macs(known, 3, 256, 256)


def test_levels_are_halves_of_each_other_and_the_prediction_is_the_finest() -> None:
    outputs = on_meta(build, features=8, depth=3, stacks=2, joints=5)(torch.empty(2, 3, 64, 96, device="meta"))
    shapes = [(2, 5, 2, 3), (2, 5, 4, 6), (2, 5, 8, 12), (2, 5, 16, 24)]
    assert [tuple(out.shape) for out in outputs] == 2 * shapes


def test_only_what_comes_out_is_smoothed() -> None:
    model = on_meta(build, features=8, depth=3, outputs="finest")
    assert [len(pyramid.smooth) for pyramid in model.pyramids] == [1]


def test_a_shared_encoder_is_one() -> None:
    own, shared = (on_meta(build, features=8, stacks=3, shared_encoder=which) for which in (False, True))
    assert count(own) - count(shared) == 2 * count(on_meta(Encoder, features=8, depth=4))
    assert macs(own, 3, 64, 64) == macs(shared, 3, 64, 64)


def plainly(levels: list[Tensor], neck: FeaturePyramid) -> list[Tensor]:
    """The pyramid of 1x1 and 3x3 convolutions, pixel by pixel where it enlarges."""
    conv = nn.functional.conv2d
    finer: list[Tensor] = []
    for level, lateral in zip(reversed(levels), reversed(neck.lateral), strict=True):
        here = conv(level, lateral.weight, lateral.bias)
        if finer:
            here = here + finer[-1].repeat_interleave(2, -1).repeat_interleave(2, -2)
        finer.append(here)
    smoothed = zip(reversed(finer), neck.smooth, strict=True)
    return [conv(level, smooth.weight, smooth.bias, padding=1) for level, smooth in smoothed]


def test_levels_of_their_own_widths_against_a_plain_one() -> None:
    torch.manual_seed(0)
    neck = FeaturePyramid([3, 5, 7], 3, 6)
    levels = [torch.randn(2, width, side, side) for width, side in ((3, 16), (5, 8), (7, 4))]
    with torch.no_grad():
        for mine, expected in zip(neck(levels), plainly(levels, neck), strict=True):
            assert torch.allclose(mine, expected, atol=1e-5)


def test_concatenation_sees_both() -> None:
    torch.manual_seed(0)
    neck = FeaturePyramid(4, 2, 4, merge="concat", smooth=False)
    high, low = torch.randn(1, 4, 8, 8), torch.randn(1, 4, 4, 4)
    with torch.no_grad():
        before = neck([high, low])[0]
        assert not torch.equal(neck([high + 1, low])[0], before)
        assert not torch.equal(neck([high, low + 1])[0], before)
    assert count(neck) == 2 * (4 * 4 + 4) + 8 * 4 + 4


def test_widths_for_other_levels_are_refused() -> None:
    with pytest.raises(ValueError, match="2 widths for 3 levels"):
        FeaturePyramid([3, 5], 3)


@pytest.mark.parametrize(
    ("options", "size", "message"),
    [
        ({}, (256, 250), "size 256x250 is not divisible by 64 (4 x 2^depth, depth 4)"),
        ({"depth": 0}, (256, 256), "depth = 0: must be at least 1"),
        ({"stacks": 0}, (256, 256), "stacks = 0: must be at least 1"),
        ({"stem": "scaled", "features": 6}, (256, 256), "features = 6: a scaled stem needs a multiple of 4"),
    ],
)
def test_check_says_what_cannot_be_built(options: dict[str, Any], size: tuple[int, int], message: str) -> None:
    assert check(options, size) == message
