"""SegNet-Basic against the counts of both readings, and what its indices do."""

from typing import Any

import pytest
import torch
from counted import count, macs, on_meta
from torch import nn

from archs.segnet_basic import build, check

COUNTS = {
    "indices": ({}, 1_417_497, 35_166_617_600),
    "doubled": ({"filters": 128}, 5_644_825, 138_412_032_000),
    "deconv": ({"upsample": "deconv"}, 1_482_009, 35_723_673_600),
}


@pytest.mark.parametrize("name", COUNTS)
def test_known_counts(name: str) -> None:
    options, parameters, multiply_adds = COUNTS[name]
    model = on_meta(build, **options)
    assert count(model) == parameters
    assert macs(model, 3, 320, 320) == multiply_adds


def identical(model: nn.Module) -> nn.Module:
    """The network with convolutions that change nothing, over the first `filters` channels."""
    for name, part in model.named_modules():
        if isinstance(part, nn.Conv2d) and name != "head":
            nn.init.dirac_(part.weight)
            nn.init.zeros_(part.bias)
    model.norm = nn.Identity()
    nn.init.dirac_(model.head.weight)
    nn.init.zeros_(model.head.bias)
    return model.eval()


def test_a_maximum_comes_back_to_where_it_was_and_nothing_else_does() -> None:
    model = identical(build(filters=3, classes=3))
    image = torch.zeros(1, 3, 16, 16)
    image[0, 1, 5, 11] = 2.0
    with torch.no_grad():
        (out,) = model(image)
    assert out[0, 1, 5, 11] > 1.9
    assert (out[0, 1] > 1.0).sum() == 1


def test_a_transposed_convolution_begins_by_repeating() -> None:
    model = identical(build(filters=3, classes=3, upsample="deconv"))
    image = torch.zeros(1, 3, 16, 16)
    image[0, 1, 5, 11] = 2.0
    with torch.no_grad():
        (out,) = model(image)
    assert torch.allclose(out[0, 1], out[0, 1, 0, 0].expand(16, 16))
    assert out[0, 1, 0, 0] > 1.9


def test_the_decoder_is_linear() -> None:
    model = build(filters=4, classes=2)
    relus = {name.partition(".")[0] for name, part in model.named_modules() if isinstance(part, nn.ReLU)}
    assert relus == {"encoder"}


def test_the_norms_of_the_program_have_nothing_to_learn() -> None:
    norms = [part for part in on_meta(build, upsample="deconv").modules() if isinstance(part, nn.BatchNorm2d)]
    assert [norm.affine for norm in norms] == [False] * 8


@pytest.mark.parametrize("size", [(16, 16), (45, 60), (360, 480)])
def test_with_indices_the_output_has_the_size_of_any_image(size: tuple[int, int]) -> None:
    model = build(filters=2, classes=3).eval()
    with torch.no_grad():
        assert model(torch.randn(1, 3, *size))[0].shape == (1, 3, *size)


@pytest.mark.parametrize(
    ("options", "size", "message"),
    [
        ({"upsample": "deconv"}, (360, 480), "size 360x480 is not divisible by 16, as upsample = 'deconv' needs"),
        ({}, (12, 64), "size 12x64: must be at least 16x16"),
        ({"filters": 0}, (64, 64), "filters = 0: must be at least 1"),
        ({"classes": 0}, (64, 64), "classes = 0: must be at least 1"),
    ],
)
def test_check_says_what_cannot_be_built(options: dict[str, Any], size: tuple[int, int], message: str) -> None:
    assert check(options, size) == message


def test_check_accepts_what_can_be_built() -> None:
    assert check({}, (360, 480)) is None
    assert check({"upsample": "deconv"}, (320, 320)) is None
