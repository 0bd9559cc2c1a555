"""HourGlass and U-Net from one builder: an encoder, a latent space and a decoder, with or without concatenation.

The small pair is that of "HourGlass vs U-Net: A Comparative Study in Image Segmentation" (2023), which gives the widths
3-16-32-64-... and ...-16-8-1 and the latent 128, and leaves open what a block is. Here each encoder step is a 3x3
convolution with ReLU and a 2x2 max pooling, the latent space two 3x3 convolutions, to 128 channels and back, and each
decoder step a 2x2 transposed convolution followed by a 3x3 one: 194,201 parameters and 469,237,760 multiply-adds for
the HourGlass of 3 blocks on 3x256x256, 218,393 and 695,730,176 for the U-Net, of which the difference is the
convolutions that read the concatenated maps.

`form = "full"` is the U-Net of Ronneberger et al., MICCAI 2015, https://arxiv.org/abs/1505.04597 (with padding, so that
the output has the size of the image): its latent space stays wide and its decoder mirrors the encoder. With
`widths = [64, 128, 256, 512]`, `blocks = 4`, `latent = 1024`, `convs = 2` and `norm = "batch"` it is the full-size one.

Shapes: an image is B 3 H W, the output B classes H W. H and W must be divisible by 2^blocks.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn

WIDTHS = (16, 32, 64, 128, 256)
LAST = 8  # channels before the head in the small form


def convolutions(inputs: int, out: int, count: int, norm: str) -> nn.Sequential:
    """`count` times a 3x3 convolution, batch norm where asked for, ReLU."""
    layers: list[nn.Module] = []
    for width in [inputs, *[out] * (count - 1)]:
        layers.append(nn.Conv2d(width, out, 3, padding=1, bias=norm == "none"))
        layers += [nn.BatchNorm2d(out)] * (norm == "batch")
        layers.append(nn.ReLU(inplace=True))
    return nn.Sequential(*layers)


def doubling(inputs: int, out: int, how: str) -> nn.Module:
    """Twice the resolution and other channels: B inputs H W -> B out 2H 2W."""
    if how == "transposed":
        return nn.ConvTranspose2d(inputs, out, 2, stride=2)
    return nn.Sequential(nn.Upsample(scale_factor=2, mode="bilinear"), nn.Conv2d(inputs, out, 1))


class EncoderDecoder(nn.Module):
    """Encoder steps, each followed by pooling; latent space; as many decoder steps; a 1x1 head.

    Args:
        encoder: output channels of each encoder step.
        latent: turns B encoder[-1] h w into what the first decoder step reads.
        read: channels that each decoder step reads; decoder: channels that it puts out.
        concatenate: whether a decoder step also sees what its encoder step put out before the pooling.
    """

    def __init__(
        self,
        encoder: Sequence[int],
        latent: nn.Module,
        read: Sequence[int],
        decoder: Sequence[int],
        *,
        concatenate: bool,
        convs: tuple[int, int],
        norm: str,
        upsample: str,
        classes: int,
    ) -> None:
        super().__init__()
        self.concatenate = concatenate
        self.encoder = nn.ModuleList(convolutions(*widths, convs[0], norm) for widths in pairwise((3, *encoder)))
        self.pool = nn.MaxPool2d(2)
        self.latent = latent
        self.ups = nn.ModuleList(doubling(wide, out, upsample) for wide, out in zip(read, decoder, strict=True))
        beside = [*reversed(encoder)] if concatenate else [0] * len(decoder)
        self.decoder = nn.ModuleList(
            convolutions(out + also, out, convs[1], norm) for out, also in zip(decoder, beside, strict=True)
        )
        self.head = nn.Conv2d(decoder[-1], classes, 1)

    def forward(self, image: Tensor) -> list[Tensor]:
        """Logits B classes H W."""
        x, kept = image, []
        for step in self.encoder:
            x = step(x)
            kept.append(x)
            x = self.pool(x)
        x = self.latent(x)
        for up, step in zip(self.ups, self.decoder, strict=True):
            x, skip = up(x), kept.pop()
            x = step(torch.cat([skip, x], 1) if self.concatenate else x)
        return [self.head(x)]


def build(
    concatenate: bool = True,
    blocks: int = 3,
    widths: list[int] | None = None,
    latent: int = 128,
    form: Literal["small", "full"] = "small",
    convs: int = 1,
    decoder_convs: int = 0,
    norm: Literal["none", "batch"] = "none",
    upsample: Literal["transposed", "bilinear"] = "transposed",
    classes: int = 1,
) -> nn.Module:
    """A U-Net, or the HourGlass that is the same without concatenation.

    Args:
        concatenate: true is the U-Net, false the HourGlass: nothing else differs.
        blocks: encoder steps, and as many decoder steps.
        widths: channels after each encoder step; the first `blocks` of them are used. 16, 32, 64, 128, 256 where
            they are left out.
        latent: channels at the lowest resolution.
        form: "small" goes back from the latent width to the last encoder width, and decodes to one width less than it
            encoded from at each step, 8 at last; "full" decodes from the latent width to the encoder's widths.
        convs: 3x3 convolutions in each encoder step; and in the latent space of the full form.
        decoder_convs: those in each decoder step; 0 is as many as `convs`.
        norm: batch norm after each 3x3 convolution, which then has no bias, or none.
        upsample: 2x2 transposed convolutions, or bilinear ones followed by a 1x1 convolution.
        classes: maps of the output: 1 is a binary mask's logit.
    """
    encoder = list(widths or WIDTHS)[:blocks]
    widest = encoder[-1]
    if form == "small":
        narrow = convolutions(widest, latent, 1, norm), convolutions(latent, widest, 1, norm)
        middle: nn.Module = nn.Sequential(*narrow)
        decoder = [*reversed(encoder[:-1]), LAST]
        read = [widest, *decoder[:-1]]
    else:
        middle = convolutions(widest, latent, convs, norm)
        decoder = [*reversed(encoder)]
        read = [latent, *decoder[:-1]]
    return EncoderDecoder(
        encoder,
        middle,
        read,
        decoder,
        concatenate=concatenate,
        convs=(convs, decoder_convs or convs),
        norm=norm,
        upsample=upsample,
        classes=classes,
    )


def check(options: dict[str, object], size: tuple[int, int]) -> str | None:
    """Why these options cannot be built for an image of size (H, W); None when they can."""
    for name in ("blocks", "latent", "convs", "classes"):
        value = options.get(name, 1)
        if isinstance(value, int) and value < 1:
            return f"{name} = {value}: must be at least 1"
    if isinstance(again := options.get("decoder_convs", 0), int) and again < 0:
        return f"decoder_convs = {again}: must be at least 0"
    blocks, widths = options.get("blocks", 3), options.get("widths") or WIDTHS
    if isinstance(blocks, int) and isinstance(widths, list | tuple):
        if len(widths) < blocks:
            return f"widths has {len(widths)} numbers for {blocks} blocks: give one for each"
        if min(widths) < 1:
            return f"widths = {[*widths]}: each must be at least 1"
        divisor = 2**blocks
        if size[0] % divisor or size[1] % divisor:
            return f"size {size[0]}x{size[1]} is not divisible by {divisor} (2^blocks, blocks {blocks})"
    return None
