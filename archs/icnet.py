"""ICNet: an image cascade, of which only a small branch runs the whole depth.

Zhao et al., "ICNet for Real-Time Semantic Segmentation on High-Resolution Images", ECCV 2018,
https://arxiv.org/abs/1704.08545, as the multi-part body segmentation study ran it (hellochick/ICNet-tensorflow, the
model of the original prototxt). With 25 classes 6,710,411 parameters and 1,405,854,208 multiply-adds on 3x320x320;
`scale = 2`, which the study calls doubled filters and which is the network before its pruning, 26,755,275 and
5,513,823,232. Both counts hold the two auxiliary heads, which train and are no part of an inference.

Three branches: the first stages at half the image's resolution; from 1/16 on a fourth of those pixels through all
stages; and three convolutions on the whole image. Cascade feature fusion adds what was computed at a lower resolution,
enlarged and convolved, to the projection of the next higher one. At inference the auxiliary heads are not computed; the
branches are, since the prediction is made from them: the study's sentence that they are dropped holds for heads alone.
Its "dilation 1" in the fusion contradicts code and paper, which have 2.

Shapes: an image is B 3 H W, the prediction B classes h w at about a quarter of it: enlargements take s to 2s - 1, as
in the reference, so that 320 gives 79 and 321 (or any 32n + 1) comes out even: 81. In training mode the outputs are the
heads at about 1/16 and 1/8 and the prediction, whose losses weigh 0.16, 0.4 and 1; otherwise the prediction alone.
"""

import torch.nn.functional as F
from torch import Tensor, nn

BINS = (1, 2, 3, 6)
"""Sides of the grids over which the pyramid pooling averages."""

LEAST = 32


def norm_conv(inputs: int, out: int, kernel: int = 1, *, stride: int = 1, dilation: int = 1) -> nn.Sequential:
    """A convolution without bias and its batch norm."""
    padding = dilation * (kernel // 2)
    conv = nn.Conv2d(inputs, out, kernel, stride, padding, dilation, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(out))


def with_relu(layers: nn.Sequential) -> nn.Sequential:
    """The same layers, then ReLU."""
    return nn.Sequential(*layers, nn.ReLU(inplace=True))


def beginning(widths: tuple[int, int, int], strides: tuple[int, int, int]) -> nn.Sequential:
    """Three 3x3 convolutions on the image."""
    parts = zip((3, *widths[:2]), widths, strides, strict=True)
    return nn.Sequential(*(with_relu(norm_conv(a, b, 3, stride=stride)) for a, b, stride in parts))


class Residual(nn.Module):
    """1x1, 3x3 and 1x1 convolutions plus the input, projected where the shapes differ; ReLU after the sum."""

    def __init__(self, inputs: int, middle: int, *, stride: int = 1, dilation: int = 1) -> None:
        super().__init__()
        out = 4 * middle
        self.residual = nn.Sequential(
            with_relu(norm_conv(inputs, middle, stride=stride)),
            with_relu(norm_conv(middle, middle, 3, dilation=dilation)),
            norm_conv(middle, out),
        )
        self.skip = nn.Identity() if (inputs, stride) == (out, 1) else norm_conv(inputs, out, stride=stride)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.skip(x) + self.residual(x))


def stage(inputs: int, middle: int, count: int, *, dilation: int = 1) -> nn.Sequential:
    """`count` residuals."""
    widths = [inputs, *[4 * middle] * (count - 1)]
    return nn.Sequential(*(Residual(width, middle, dilation=dilation) for width in widths))


def resized(x: Tensor, size: tuple[int, ...]) -> Tensor:
    """Bilinear, corners on corners; the same tensor where it has that size already."""
    return x if x.shape[-2:] == size else F.interpolate(x, size=size, mode="bilinear", align_corners=True)


def halved(x: Tensor) -> Tensor:
    """Half the resolution: s becomes (s - 1) / 2 + 1, rounded down."""
    return resized(x, tuple((side - 1) // 2 + 1 for side in x.shape[-2:]))


def doubled(x: Tensor) -> Tensor:
    """Twice the resolution: s becomes 2s - 1."""
    return resized(x, tuple(2 * side - 1 for side in x.shape[-2:]))


class Fusion(nn.Module):
    """Cascade feature fusion: the lower branch convolved with dilation 2, plus the projected higher one, then ReLU."""

    def __init__(self, low: int, high: int, out: int) -> None:
        super().__init__()
        self.low = norm_conv(low, out, 3, dilation=2)
        self.high = norm_conv(high, out)

    def forward(self, low: Tensor, high: Tensor) -> Tensor:
        """`low` is enlarged already; where that leaves it a pixel short it is brought to the size of `high`."""
        projected = self.high(high)
        return F.relu(resized(self.low(low), projected.shape[-2:]) + projected)


class ICNet(nn.Module):
    """See the module's text; `scale` multiplies every width."""

    def __init__(self, scale: int, classes: int) -> None:
        super().__init__()
        c = 32 * scale
        self.middle = nn.Sequential(  # of the image at half its resolution, down to 1/16 of the image
            beginning((c, c, 2 * c), (2, 1, 1)),
            nn.MaxPool2d(3, stride=2, padding=1),
            stage(2 * c, c, 3),
            Residual(4 * c, 2 * c, stride=2),
        )
        self.low = nn.Sequential(
            stage(8 * c, 2 * c, 3), stage(8 * c, 4 * c, 6, dilation=2), stage(16 * c, 8 * c, 3, dilation=4)
        )
        self.narrow = with_relu(norm_conv(32 * c, 8 * c))
        self.full = beginning((c, c, 2 * c), (2, 2, 2))
        self.fuse_half = Fusion(8 * c, 8 * c, 4 * c)
        self.fuse_full = Fusion(4 * c, 2 * c, 4 * c)
        self.head = nn.Conv2d(4 * c, classes, 1)
        self.head_low = nn.Conv2d(8 * c, classes, 1)
        self.head_half = nn.Conv2d(4 * c, classes, 1)

    def forward(self, image: Tensor) -> list[Tensor]:
        """Logits B classes h w: of the heads at about 1/16 and 1/8 in training mode, and the prediction's at 1/4."""
        half = self.middle(halved(image))
        x = self.low(halved(half))
        pooled = [resized(F.adaptive_avg_pool2d(x, side), x.shape[-2:]) for side in BINS]
        low = doubled(self.narrow(sum(pooled, start=x)))
        fused = doubled(self.fuse_half(low, half))
        prediction = self.head(doubled(self.fuse_full(fused, self.full(image))))
        return [self.head_low(low), self.head_half(fused), prediction] if self.training else [prediction]


def build(scale: int = 1, classes: int = 25) -> nn.Module:
    """An ICNet.

    Args:
        scale: multiplies the filters of every layer but the heads' outputs: 1 is the pruned network, 2 the whole one.
        classes: maps of each output.
    """
    return ICNet(scale, classes)


def check(options: dict[str, object], size: tuple[int, int]) -> str | None:
    """Why these options cannot be built for an image of size (H, W); None when they can."""
    for name in ("scale", "classes"):
        value = options.get(name, 1)
        if isinstance(value, int) and value < 1:
            return f"{name} = {value}: must be at least 1"
    if min(size) < LEAST:
        return f"size {size[0]}x{size[1]}: must be at least {LEAST}x{LEAST}"
    return None
