"""Feature pyramids and hourglasses as one family: an encoder, a way down again, and what is done where they meet.

Lin et al., "Feature Pyramid Networks for Object Detection", CVPR 2017, https://arxiv.org/abs/1612.03144, and Newell et
al., "Stacked Hourglass Networks", ECCV 2016, https://arxiv.org/abs/1603.06937, as the comparison of hourglass and FPN
puts them side by side: both enlarge what is low to the nearest pixel and add it to what is high, once its channels
fit; an hourglass has residuals on its skips, keeps the finest level alone, and is stacked; an FPN has 1x1 convolutions
there, keeps every level behind a 3x3 convolution, and is not stacked. A U-Net concatenates.

The neck alone over five levels of 256 channels, 64 to 4 pixels: 3,279,360 parameters, 3,575,644,160 multiply-adds, most
of them in the finest 3x3 convolution; an hourglass of as many levels has 2,788,864 and 1,741,422,592. With
`skip = "residual"`, `post = "residual"`, `smooth = false` and `outputs = "finest"` the network is a stacked hourglass
but for its order of parameters.

Shapes: an image is B 3 H W, the trunk B C H/4 W/4 with C = 2 x features; level i is B C H/4/2^i W/4/2^i. Outputs are
B joints h w: of every stack the coarsest level first, the last is the prediction, at H/4 W/4.
H and W must be divisible by 4 x 2^depth.
"""

from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from archs.blocks import EXPANSION, Bottleneck, Stem

STEM_STRIDE = 4


def aligned(how: str, inputs: int, width: int) -> nn.Module:
    """A skip connection: B inputs H W -> B width H W."""
    if how == "residual":
        return Bottleneck(inputs, width // EXPANSION)
    return nn.Conv2d(inputs, width, 1) if how == "conv" else nn.Identity()


def afterwards(how: str, width: int) -> nn.Module:
    """What is done to a merged level before it is enlarged: B width H W -> B width H W."""
    if how == "residual":
        return Bottleneck(width, width // EXPANSION)
    return nn.Conv2d(width, width, 3, padding=1) if how == "conv3" else nn.Identity()


class FeaturePyramid(nn.Module):
    """The way down: from the coarsest level on, enlarge, merge with the next finer one, smooth.

    Args:
        channels: those of the levels, finest first; one number for all.
        levels: how many.
        width: channels of what comes out.
        skip: "conv" (1x1), "residual" or "identity", on the way from a level to where it is merged.
        merge: "add", or "concat" followed by a 1x1 convolution back to `width`.
        post: "none", "conv3" or "residual", between a merge and the enlargement.
        smooth: whether a 3x3 convolution follows at every level that comes out.
        keep: how many levels come out, the finest ones; 0 is all.
    """

    def __init__(
        self,
        channels: int | Sequence[int],
        levels: int,
        width: int = 256,
        *,
        skip: str = "conv",
        merge: str = "add",
        post: str = "none",
        smooth: bool = True,
        keep: int = 0,
    ) -> None:
        super().__init__()
        every = [channels] * levels if isinstance(channels, int) else list(channels)
        if len(every) != levels:
            raise ValueError(f"{len(every)} widths for {levels} levels: give one number or one per level")
        self.levels, self.keep = levels, keep or levels
        self.lateral = nn.ModuleList(aligned(skip, one, width) for one in every)
        self.post = nn.ModuleList(afterwards(post, width) for _ in range(levels - 1))
        joined = levels - 1 if merge == "concat" else 0
        self.merge = nn.ModuleList(nn.Conv2d(2 * width, width, 1) for _ in range(joined))
        self.smooth = nn.ModuleList(afterwards("conv3", width) for _ in range(self.keep if smooth else 0))

    def forward(self, levels: Tensor | Sequence[Tensor]) -> list[Tensor]:
        """Levels finest first, each half as large as the one before, to as many B width h w.

        A single B C H W is pooled to as many levels as there are.
        """
        if isinstance(levels, Tensor):
            levels = [levels]
            while len(levels) < self.levels:
                levels.append(F.max_pool2d(levels[-1], 2))
        merged = [self.lateral[-1](levels[-1])]
        for i in reversed(range(self.levels - 1)):
            low = F.interpolate(self.post[i](merged[0]), scale_factor=2.0, mode="nearest")
            high = self.lateral[i](levels[i])
            merged.insert(0, self.merge[i](torch.cat([high, low], 1)) if len(self.merge) else high + low)
        kept = merged[: self.keep]
        return [smooth(level) for smooth, level in zip(self.smooth, kept, strict=True)] if len(self.smooth) else kept


class Encoder(nn.Module):
    """The way up: a bottleneck after each pooling, B C H W to `depth` + 1 levels, the input itself the finest."""

    def __init__(self, features: int, depth: int) -> None:
        super().__init__()
        self.down = nn.ModuleList(Bottleneck(features * EXPANSION, features) for _ in range(depth))

    def forward(self, x: Tensor) -> list[Tensor]:
        """Finest first."""
        levels = [x]
        for down in self.down:
            levels.append(down(F.max_pool2d(levels[-1], 2)))
        return levels


class Stack(nn.Module):
    """What follows a pyramid: a bottleneck and a 1x1 convolution on its finest level, and a head for each output."""

    def __init__(self, features: int, joints: int, outputs: int) -> None:
        super().__init__()
        wide = features * EXPANSION
        self.features = nn.Sequential(
            Bottleneck(wide, features), nn.Conv2d(wide, wide, 1), nn.BatchNorm2d(wide), nn.ReLU(inplace=True)
        )
        self.heads = nn.ModuleList(nn.Conv2d(wide, joints, 1) for _ in range(outputs))

    def forward(self, levels: Sequence[Tensor]) -> tuple[Tensor, list[Tensor]]:
        """The finest level's features, and maps of the levels that have a head, coarsest first."""
        finest = self.features(levels[0])
        read = [*reversed(levels[1:]), finest]
        return finest, [head(level) for head, level in zip(self.heads, read, strict=True)]


class PyramidNetwork(nn.Module):
    """Stem, then per stack: encoder, pyramid, heads; the finest features and maps go back into the trunk."""

    def __init__(
        self,
        stem: nn.Module,
        encoders: Sequence[Encoder],
        pyramids: Sequence[FeaturePyramid],
        features: int,
        joints: int,
        outputs: int,
    ) -> None:
        super().__init__()
        wide, stacks = features * EXPANSION, len(pyramids)
        self.stem = stem
        self.encoders = nn.ModuleList(encoders)
        self.pyramids = nn.ModuleList(pyramids)
        self.stacks = nn.ModuleList(Stack(features, joints, outputs) for _ in range(stacks))
        self.remap_features = nn.ModuleList(nn.Conv2d(wide, wide, 1) for _ in range(stacks - 1))
        self.remap_heads = nn.ModuleList(nn.Conv2d(joints, wide, 1) for _ in range(stacks - 1))

    def forward(self, image: Tensor) -> list[Tensor]:
        """Maps B joints h w of every stack's levels, the last is the prediction."""
        x = self.stem(image)
        outputs: list[Tensor] = []
        for i, (pyramid, stack) in enumerate(zip(self.pyramids, self.stacks, strict=True)):
            encoder = self.encoders[i % len(self.encoders)]  # a shared one is the only one
            y, maps = stack(pyramid(encoder(x)))
            outputs += maps
            if i < len(self.remap_features):
                x = x + self.remap_features[i](y) + self.remap_heads[i](maps[-1])
        return outputs


def build(
    stacks: int = 1,
    features: int = 128,
    depth: int = 4,
    skip: Literal["identity", "conv", "residual"] = "conv",
    merge: Literal["add", "concat"] = "add",
    post: Literal["none", "conv3", "residual"] = "none",
    smooth: bool = True,
    outputs: Literal["all", "finest"] = "all",
    shared_encoder: bool = False,
    stem: Literal["bearpaw", "paper", "scaled"] = "paper",
    joints: int = 16,
) -> nn.Module:
    """A feature pyramid network, an hourglass network, or what lies between them.

    Args:
        stacks: encoders and pyramids in a row.
        features: width of the bottlenecks' 3x3 convolutions; trunk and levels are twice as wide.
        depth: halvings of the resolution; there is one level more.
        skip: what a level passes through on its way to where it is merged.
        merge: sum, or concatenation and a 1x1 convolution.
        post: what a merged level passes through before it is enlarged.
        smooth: a 3x3 convolution at every level that comes out.
        outputs: maps of every level, or of the finest.
        shared_encoder: whether all stacks have one encoder.
        stem: see archs/stacked_hourglass.py.
        joints: heatmaps in each output.
    """
    wide = features * EXPANSION
    encoders = [Encoder(features, depth) for _ in range(1 if shared_encoder else stacks)]
    heads = depth + 1 if outputs == "all" else 1

    def pyramid() -> FeaturePyramid:
        return FeaturePyramid(wide, depth + 1, wide, skip=skip, merge=merge, post=post, smooth=smooth, keep=heads)

    begin = Stem(features, stem, nn.BatchNorm2d, 3)
    return PyramidNetwork(begin, encoders, [pyramid() for _ in range(stacks)], features, joints, heads)


def check(options: dict[str, object], size: tuple[int, int]) -> str | None:
    """Why these options cannot be built for an image of size (H, W); None when they can."""
    for name in ("stacks", "features", "depth", "joints"):
        value = options.get(name, 1)
        if isinstance(value, int) and value < 1:
            return f"{name} = {value}: must be at least 1"
    if options.get("stem") == "scaled" and isinstance(features := options.get("features", 128), int) and features % 4:
        return f"features = {features}: a scaled stem needs a multiple of 4"
    depth = options.get("depth", 4)
    divisor = STEM_STRIDE * 2 ** (depth if isinstance(depth, int) else 4)
    if size[0] % divisor or size[1] % divisor:
        return f"size {size[0]}x{size[1]} is not divisible by {divisor} (4 x 2^depth, depth {depth})"
    return None
