"""HourGlass and U-Net against the counts of the document's networks, and what concatenation alone changes."""

from typing import Any

import pytest
import torch
from counted import count, macs, on_meta
from torch import nn

from archs.encoder_decoder import build, check

# blocks -> (parameters, multiply-adds on 3x256x256) of the HourGlass, and of the U-Net
COUNTS = {
    1: ((38_569, 678_952_960), (39_721, 754_450_432)),
    3: ((194_201, 469_237_760), (218_393, 695_730_176)),
    4: ((485_337, 515_375_104), (583_257, 817_364_992)),
    5: ((1_354_329, 599_261_184), (1_747_161, 976_748_544)),
}

FULL = {"form": "full", "widths": [64, 128, 256, 512], "blocks": 4, "latent": 1024, "convs": 2, "norm": "batch"}


@pytest.mark.parametrize("concatenate", [False, True])
@pytest.mark.parametrize("blocks", COUNTS)
def test_known_counts(blocks: int, concatenate: bool) -> None:
    model = on_meta(build, blocks=blocks, concatenate=concatenate)
    assert (count(model), macs(model, 3, 256, 256)) == COUNTS[blocks][concatenate]


def test_the_full_size_unet_has_the_published_parameters() -> None:
    # milesial/Pytorch-UNet, 2 classes
    assert count(on_meta(build, classes=2, **FULL)) == 31_037_698


def test_the_small_one_of_the_synthetic_people() -> None:
    small = {"form": "full", "widths": [16, 32, 64], "convs": 2, "decoder_convs": 1, "norm": "batch"}
    biases = 2 * (16 + 32 + 64 + 128) + 16 + 32 + 64  # which a norm makes needless
    assert count(on_meta(build, **small)) == 434_721 - biases


def test_concatenation_is_the_only_difference() -> None:
    torch.manual_seed(0)
    hourglass, unet = (build(concatenate=which, blocks=2) for which in (False, True))
    mine, theirs = hourglass.state_dict(), unet.state_dict()
    assert mine.keys() == theirs.keys()
    wider = [name for name in mine if mine[name].shape != theirs[name].shape]
    assert wider == ["decoder.0.0.weight", "decoder.1.0.weight"]
    # The encoder's maps come first: with nothing read from them, a U-Net is the HourGlass.
    for name, weight in mine.items():
        theirs[name].zero_()
        (theirs[name][:, -weight.shape[1] :] if name in wider else theirs[name]).copy_(weight)
    image = torch.randn(1, 3, 16, 16)
    with torch.no_grad():
        assert torch.allclose(hourglass.eval()(image)[0], unet.eval()(image)[0], atol=1e-6)


def test_what_is_concatenated_is_from_before_the_pooling() -> None:
    model = build(blocks=1, widths=[4], latent=4).eval()
    seen: list[torch.Tensor] = []
    model.encoder[0].register_forward_hook(lambda _, __, out: seen.append(out))
    model.decoder[0].register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    with torch.no_grad():
        model(torch.randn(1, 3, 8, 8))
    assert torch.equal(seen[1][:, :4], seen[0])


@pytest.mark.parametrize("options", [{}, FULL, {"upsample": "bilinear"}, {"concatenate": False, "convs": 2}])
@pytest.mark.parametrize("size", [(32, 32), (64, 96)])
def test_the_output_has_the_size_of_the_image(options: dict[str, Any], size: tuple[int, int]) -> None:
    (out,) = on_meta(build, classes=5, **options)(torch.empty(2, 3, *size, device="meta"))
    assert out.shape == (2, 5, *size)


def test_bilinear_upsampling_has_no_transposed_convolutions() -> None:
    model = on_meta(build, upsample="bilinear", **FULL)
    assert not any(isinstance(part, nn.ConvTranspose2d) for part in model.modules())


@pytest.mark.parametrize(
    ("options", "size", "message"),
    [
        ({}, (256, 250), "size 256x250 is not divisible by 8 (2^blocks, blocks 3)"),
        ({"blocks": 6}, (256, 256), "widths has 5 numbers for 6 blocks: give one for each"),
        ({"blocks": 2, "widths": [4]}, (256, 256), "widths has 1 numbers for 2 blocks: give one for each"),
        ({"widths": [4, 0, 4]}, (256, 256), "widths = [4, 0, 4]: each must be at least 1"),
        ({"blocks": 0}, (256, 256), "blocks = 0: must be at least 1"),
        ({"latent": 0}, (256, 256), "latent = 0: must be at least 1"),
        ({"classes": 0}, (256, 256), "classes = 0: must be at least 1"),
        ({"decoder_convs": -1}, (256, 256), "decoder_convs = -1: must be at least 0"),
    ],
)
def test_check_says_what_cannot_be_built(options: dict[str, Any], size: tuple[int, int], message: str) -> None:
    assert check(options, size) == message


@pytest.mark.parametrize("options", [{}, {"blocks": 5}, FULL])
def test_check_accepts_what_can_be_built(options: dict[str, Any]) -> None:
    assert check(options, (96, 64)) is None
