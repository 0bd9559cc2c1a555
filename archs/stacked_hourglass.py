"""Stacked hourglass for human pose: S encoder-decoders in a row, each supervised (Newell et al., 2016).

Paper: "Stacked Hourglass Networks for Human Pose Estimation", ECCV 2016, https://arxiv.org/abs/1603.06937.
The default is its 8-stack network with the stem of the common PyTorch ports: 25,594,624 parameters,
28,094,496,768 multiply-adds on a 3x256x256 image; the published PCKh@0.5 on MPII is 90.9 (test set).

Shapes: an image is B 3 H W, the trunk B C H/4 W/4 with C = 2 x features, every output B joints H/4 W/4.
H and W must be divisible by 4 x 2^depth.
"""

from collections.abc import Callable, Sequence
from typing import Literal

import torch.nn.functional as F
from torch import Tensor, nn

Norm = Callable[[int], nn.Module]

STEM_STRIDE = 4
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
    """Pre-activation residual: (norm, ReLU, conv) repeated, plus the input, projected where widths differ."""

    def __init__(self, inputs: int, features: int, norm: Norm = nn.BatchNorm2d, convs: int = 3) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for position, (width, out, kernel) in enumerate(bottleneck_shapes(features, convs)):
            width = inputs if position == 0 else width
            layers += [norm(width), nn.ReLU(inplace=True), nn.Conv2d(width, out, kernel, padding=kernel // 2)]
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
    ) -> None:
        super().__init__()

        def residual(extra: bool = False) -> nn.Sequential:
            wide = features * EXPANSION
            count = blocks + int(extra)
            return nn.Sequential(*[Bottleneck(wide, features, NORMS[norm], bottleneck_convs) for _ in range(count)])

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
            )
            if depth > 1
            else residual()
        )
        self.up = residual()

    def forward(self, x: Tensor) -> Tensor:
        low = self.up(self.inner(self.down(F.max_pool2d(x, 2))))
        out: Tensor = self.skip(x) + F.interpolate(low, scale_factor=2.0, mode="nearest")
        return out


class Stem(nn.Sequential):
    """Image to trunk at a quarter of the resolution: B 3 H W -> B 2*features H/4 W/4.

    "bearpaw" widens to 256 channels in its second bottleneck, as the common PyTorch ports do; "paper" keeps 128
    there, as the original Lua code does. Both keep planes of 64 and 128 whatever `features` is. "scaled" is the
    paper's with widths in proportion to `features` (the same at 128), since in a small network the other two are
    most of the arithmetic.
    """

    def __init__(self, features: int, stem: str, norm: Norm, convs: int) -> None:
        first = features // 2 if stem == "scaled" else 64
        middle = 256 if stem == "bearpaw" else 2 * first
        super().__init__(
            nn.Conv2d(3, first, 7, stride=2, padding=3),
            nn.BatchNorm2d(first),
            nn.ReLU(inplace=True),
            Bottleneck(first, first, norm, convs),
            nn.MaxPool2d(2),
            Bottleneck(2 * first, middle // EXPANSION, norm, convs),
            Bottleneck(middle, features, norm, convs),
        )


class StackedHourglass(nn.Module):
    """Stem, then per stack: hourglass, bottlenecks, 1x1 head; features and head go back into the trunk.

    Args:
        hourglasses: one per stack, all of the same width.
        make_residual: makes the bottlenecks that follow an hourglass, B C H W -> B C H W.
        wide: C, the width of the trunk.
        supervision: "all" returns every stack's maps; "final" computes them all and returns the last;
            "final_no_heads" leaves the intermediate heads out of the network.
    """

    def __init__(
        self,
        stem: nn.Module,
        hourglasses: Sequence[Hourglass],
        make_residual: Callable[[], nn.Module],
        *,
        wide: int,
        joints: int,
        supervision: str,
    ) -> None:
        super().__init__()
        stacks = len(hourglasses)
        bare = supervision == "final_no_heads"
        self.every_output = supervision == "all"
        self.stem = stem
        self.hourglasses = nn.ModuleList(hourglasses)
        self.residuals = nn.ModuleList(make_residual() for _ in range(stacks))
        self.features = nn.ModuleList(
            nn.Sequential(nn.Conv2d(wide, wide, 1), nn.BatchNorm2d(wide), nn.ReLU(inplace=True)) for _ in range(stacks)
        )
        # Keyed by stack, because without intermediate heads only the last stack has one.
        self.heads = nn.ModuleDict(
            {str(i): nn.Conv2d(wide, joints, 1) for i in range(stacks) if not bare or i == stacks - 1}
        )
        self.remap_features = nn.ModuleList(nn.Conv2d(wide, wide, 1) for _ in range(stacks - 1))
        self.remap_heads = nn.ModuleList(nn.Conv2d(joints, wide, 1) for _ in range(0 if bare else stacks - 1))

    def forward(self, image: Tensor) -> list[Tensor]:
        """Heatmaps B joints H/4 W/4 of each supervised stack, the last is the prediction."""
        x = self.stem(image)
        outputs = []
        for i, (hourglass, residual, features) in enumerate(
            zip(self.hourglasses, self.residuals, self.features, strict=True)
        ):
            y = features(residual(hourglass(x)))
            if str(i) in self.heads:
                outputs.append(self.heads[str(i)](y))
            if i < len(self.remap_features):
                x = x + self.remap_features[i](y)
                if len(self.remap_heads):
                    x = x + self.remap_heads[i](outputs[i])
        return outputs if self.every_output else outputs[-1:]


def build(
    stacks: int = 8,
    features: int = 128,
    depth: int | list[int] = 4,
    blocks: int = 1,
    norm: Literal["batch", "layer"] = "batch",
    bottleneck_convs: Literal[2, 3, 4] = 3,
    extra_residual: Literal["low", "skip"] | None = None,
    stem: Literal["bearpaw", "paper", "scaled"] = "bearpaw",
    joints: int = 16,
    supervision: Literal["all", "final", "final_no_heads"] = "all",
    dropout: float = 0.0,
) -> nn.Module:
    """A stacked hourglass network.

    Args:
        stacks: hourglasses in a row.
        features: width of the 3x3 convolutions; the trunk is twice as wide.
        depth: levels of each hourglass, one number or one per stack.
        blocks: bottlenecks at each position, the one after the hourglass included.
        norm: norm of the bottlenecks; those of the stem's first convolution and before the heads stay BatchNorm.
        bottleneck_convs: convolutions in each bottleneck (3 in the paper).
        extra_residual: one more bottleneck per level, on the half-resolution path or on the skip branch.
        stem: width of the stem's second bottleneck, 256 ("bearpaw") or 128 ("paper"); "scaled" is the paper's stem
            with all widths times features / 128.
        joints: heatmaps in each output.
        supervision: which outputs exist and are returned.
        dropout: probability of dropping a whole channel before each head; 0 leaves the layer out.
    """
    depths = [depth] * stacks if isinstance(depth, int) else list(depth)
    make_norm = NORMS[norm]
    wide = features * EXPANSION

    def make_residual() -> nn.Module:
        layers: list[nn.Module] = [Bottleneck(wide, features, make_norm, bottleneck_convs) for _ in range(blocks)]
        return nn.Sequential(*layers, *([nn.Dropout2d(dropout)] if dropout else []))

    hourglasses = [
        Hourglass(features, levels, blocks, norm=norm, bottleneck_convs=bottleneck_convs, extra_residual=extra_residual)
        for levels in depths
    ]
    network_stem = Stem(features, stem, make_norm, bottleneck_convs)
    return StackedHourglass(network_stem, hourglasses, make_residual, wide=wide, joints=joints, supervision=supervision)


def check(options: dict[str, object], size: tuple[int, int]) -> str | None:
    """Why these options cannot be built for an image of size (H, W); None when they can."""
    stacks, depth = options.get("stacks", 8), options.get("depth", 4)
    for name in ("stacks", "features", "blocks", "joints"):
        value = options.get(name, 1)
        if isinstance(value, int) and value < 1:
            return f"{name} = {value}: must be at least 1"
    if options.get("stem") == "scaled" and isinstance(features := options.get("features", 128), int) and features % 4:
        return f"features = {features}: a scaled stem needs a multiple of 4"
    depths = depth if isinstance(depth, list) else [depth]
    if isinstance(depth, list) and len(depth) != stacks:
        return f"depth has {len(depth)} numbers for {stacks} stacks: give one number or one per stack"
    if min(depths) < 1:
        return f"depth = {depth}: must be at least 1"
    dropout = options.get("dropout", 0.0)
    if isinstance(dropout, int | float) and not 0 <= dropout < 1:
        return f"dropout = {dropout}: must be at least 0 and below 1"
    divisor = STEM_STRIDE * 2 ** max(depths)
    if size[0] % divisor or size[1] % divisor:
        return f"size {size[0]}x{size[1]} is not divisible by {divisor} (4 x 2^depth, depth {max(depths)})"
    return None
