"""SegNet-Basic: four encoder steps that pool, four decoder steps that put values back where the maximum was.

Badrinarayanan, Kendall, Cipolla: "SegNet: A Deep Convolutional Encoder-Decoder Architecture for Image Segmentation",
2015, https://arxiv.org/abs/1511.00561, its small variant, as body parts were segmented with it in the multi-part body
segmentation study. With 25 classes 1,417,497 parameters and 35,166,617,600 multiply-adds on 3x320x320; 128 filters
are 5,644,825 and 138,412,032,000.

`upsample = "deconv"` is what the study's program ran (tkuanlun350/Tensorflow-SegNet): trainable 2x2 transposed
convolutions in the place of indices, and batch norms without scale and shift: 1,482,009 and 35,723,673,600. Its text
describes the indices, and a decoder without bias, which no norm after it would notice.

Shapes: an image is B 3 H W, the output B classes H W. With "deconv" H and W must be divisible by 16; with "indices" any
size of 16 or more will do.
"""

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

STEPS = 4
KERNEL = 7


def convolution(inputs: int, filters: int, *, affine: bool, relu: bool) -> nn.Sequential:
    """A 7x7 convolution with bias, batch norm, ReLU where asked for; the decoder has none."""
    layers = [nn.Conv2d(inputs, filters, KERNEL, padding=KERNEL // 2), nn.BatchNorm2d(filters, affine=affine)]
    return nn.Sequential(*layers, *([nn.ReLU(inplace=True)] if relu else []))


def replicating(filters: int) -> nn.ConvTranspose2d:
    """Twice the resolution; before training every value is repeated, which is what bilinear is with a 2x2 kernel."""
    up = nn.ConvTranspose2d(filters, filters, 2, stride=2, bias=False)
    with torch.no_grad():
        up.weight.copy_(torch.eye(filters)[:, :, None, None].expand_as(up.weight))
    return up


class SegNetBasic(nn.Module):
    """Local response norm on the image; encoder; decoder; 1x1 head."""

    def __init__(self, filters: int, classes: int, *, indices: bool) -> None:
        super().__init__()
        self.norm = nn.LocalResponseNorm(5, alpha=1e-4, beta=0.75)
        inputs = [3, *[filters] * (STEPS - 1)]
        self.encoder = nn.ModuleList(convolution(width, filters, affine=indices, relu=True) for width in inputs)
        self.decoder = nn.ModuleList(convolution(filters, filters, affine=indices, relu=False) for _ in range(STEPS))
        self.ups = nn.ModuleList() if indices else nn.ModuleList(replicating(filters) for _ in range(STEPS))
        self.head = nn.Conv2d(filters, classes, 1)

    def forward(self, image: Tensor) -> list[Tensor]:
        """Logits B classes H W."""
        x, places = self.norm(image), []
        for step in self.encoder:
            x = step(x)
            size = x.shape[-2:]
            if len(self.ups):
                x = F.max_pool2d(x, 2)
            else:
                x, where = F.max_pool2d(x, 2, return_indices=True)
                places.append((where, size))
        for number, step in enumerate(self.decoder):
            if len(self.ups):
                x = self.ups[number](x)
            else:
                where, size = places.pop()
                x = F.max_unpool2d(x, where, [2, 2], output_size=size)
            x = step(x)
        return [self.head(x)]


def build(filters: int = 64, upsample: Literal["indices", "deconv"] = "indices", classes: int = 25) -> nn.Module:
    """A SegNet-Basic.

    Args:
        filters: channels everywhere; the study's "doubled" is 128.
        upsample: by the indices of the pooling, or by trainable 2x2 transposed convolutions.
        classes: maps of the output.
    """
    return SegNetBasic(filters, classes, indices=upsample == "indices")


def check(options: dict[str, object], size: tuple[int, int]) -> str | None:
    """Why these options cannot be built for an image of size (H, W); None when they can."""
    for name in ("filters", "classes"):
        value = options.get(name, 1)
        if isinstance(value, int) and value < 1:
            return f"{name} = {value}: must be at least 1"
    least = 2**STEPS
    if min(size) < least:
        return f"size {size[0]}x{size[1]}: must be at least {least}x{least}"
    if options.get("upsample") == "deconv" and (size[0] % least or size[1] % least):
        return f"size {size[0]}x{size[1]} is not divisible by {least}, as upsample = 'deconv' needs"
    return None
