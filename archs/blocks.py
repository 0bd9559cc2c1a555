"""Parts that several architectures share: the pre-activation bottleneck, the hourglass made of it, and its stem.

They are those of the stacked hourglass (Newell et al., 2016): B C H W in and out, C = 2 x features.
"""

from collections.abc import Callable

import torch.nn.functional as F
from torch import Tensor, nn

Norm = Callable[[int], nn.Module]

EXPANSION = 2  # a bottleneck puts out twice as many channels as its 3x3 convolution has


def layer_norm(channels: int) -> nn.Module:
    """One group over (C, H, W): what the speed study calls LayerNorm (not a channel-wise norm)."""
    return nn.GroupNorm(1, channels)


NORMS: dict[str, Norm] = {"batch": nn.BatchNorm2d, "layer": layer_norm}


def bottleneck_shapes(features: int, convs: int) -> list[tuple[int, int, int]]:
    """The (in, out, kernel) of each convolution of a bottleneck, after its input width is known.

    3 is the paper's 1x1, 3x3, 1x1; 4 puts a second 3x3 between them; 2 is 3x3 straight from the trunk, 1x1.
    """
    p, wide = features, features * EXPANSION
    if convs == 2:
        return [(wide, p, 3), (p, wide, 1)]
    return [(wide, p, 1), *[(p, p, 3)] * (convs - 2), (p, wide, 1)]


class Bottleneck(nn.Module):
    """Pre-activation residual: (norm, ReLU, conv) repeated, plus the input, projected where widths differ.

    With `depthwise` a 3x3 convolution that keeps its width has one filter for each channel.
    """

    def __init__(
        self, inputs: int, features: int, norm: Norm = nn.BatchNorm2d, convs: int = 3, depthwise: bool = False
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for position, (width, out, kernel) in enumerate(bottleneck_shapes(features, convs)):
            width = inputs if position == 0 else width
            groups = width if depthwise and kernel == 3 and width == out else 1
            conv = nn.Conv2d(width, out, kernel, padding=kernel // 2, groups=groups)
            layers += [norm(width), nn.ReLU(inplace=True), conv]
        self.residual = nn.Sequential(*layers)
        out = features * EXPANSION
        self.skip = nn.Identity() if inputs == out else nn.Conv2d(inputs, out, 1)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.skip(x) + self.residual(x)
        return out


class Hourglass(nn.Module):
    """One hourglass: `depth` halvings and doublings of the resolution, a skip branch at each level.

    Args:
        features: width of the 3x3 convolutions; input and output are B 2*features H W.
        depth: levels; H and W must be divisible by 2^depth.
        blocks: bottlenecks at each position.
        norm: "batch" or "layer".
        bottleneck_convs: convolutions in a bottleneck (2, 3 or 4).
        extra_residual: one bottleneck more per level, on the "low" path after the pooling or on the "skip".
        depthwise: whether the 3x3 convolutions are depthwise.
    """

    def __init__(
        self,
        features: int,
        depth: int,
        blocks: int = 1,
        *,
        norm: str = "batch",
        bottleneck_convs: int = 3,
        extra_residual: str | None = None,
        depthwise: bool = False,
    ) -> None:
        super().__init__()
        self.wide = features * EXPANSION

        def residual(extra: bool = False) -> nn.Sequential:
            each = (self.wide, features, NORMS[norm], bottleneck_convs, depthwise)
            return nn.Sequential(*[Bottleneck(*each) for _ in range(blocks + int(extra))])

        self.skip = residual(extra_residual == "skip")
        self.down = residual(extra_residual == "low")
        self.inner: nn.Module = (
            Hourglass(
                features,
                depth - 1,
                blocks,
                norm=norm,
                bottleneck_convs=bottleneck_convs,
                extra_residual=extra_residual,
                depthwise=depthwise,
            )
            if depth > 1
            else residual()
        )
        self.up = residual()

    def forward(self, x: Tensor) -> Tensor:
        return self._merged(x, self.inner(self._below(x)))

    def levels(self, x: Tensor) -> list[Tensor]:
        """What every level puts out, the lowest resolution first; the last one is the hourglass's output."""
        low = self._below(x)
        inner = self.inner.levels(low) if isinstance(self.inner, Hourglass) else [self.inner(low)]
        return [*inner, self._merged(x, inner[-1])]

    def _below(self, x: Tensor) -> Tensor:
        low: Tensor = self.down(F.max_pool2d(x, 2))
        return low

    def _merged(self, x: Tensor, inner: Tensor) -> Tensor:
        out: Tensor = self.skip(x) + F.interpolate(self.up(inner), scale_factor=2.0, mode="nearest")
        return out


class Stem(nn.Sequential):
    """Image to trunk at a quarter of the resolution: B 3 H W -> B 2*features H/4 W/4; "full" keeps all of it.

    "bearpaw" widens to 256 channels in its second bottleneck, as the common PyTorch ports do; "paper" keeps 128
    there, as the original Lua code does. Both keep planes of 64 and 128 whatever `features` is. "scaled" is the
    paper's with widths in proportion to `features` (the same at 128), since in a small network the other two are
    most of the arithmetic.
    """

    def __init__(
        self, features: int, stem: str, norm: Norm, convs: int, *, depthwise: bool = False, full: bool = False
    ) -> None:
        first = features // 2 if stem == "scaled" else 64
        middle = 256 if stem == "bearpaw" else 2 * first
        super().__init__(
            nn.Conv2d(3, first, 7, stride=1 if full else 2, padding=3),
            nn.BatchNorm2d(first),
            nn.ReLU(inplace=True),
            Bottleneck(first, first, norm, convs, depthwise),
            nn.Identity() if full else nn.MaxPool2d(2),
            Bottleneck(2 * first, middle // EXPANSION, norm, convs, depthwise),
            Bottleneck(middle, features, norm, convs, depthwise),
        )
