"""Stacked hourglass: S encoder-decoders in a row, each supervised (Newell et al., 2016), for pose or for segmentation.

Paper: "Stacked Hourglass Networks for Human Pose Estimation", ECCV 2016, https://arxiv.org/abs/1603.06937.
The default is its 8-stack network with the stem of the common PyTorch ports: 25,594,624 parameters,
28,094,496,768 multiply-adds on a 3x256x256 image; the published PCKh@0.5 on MPII is 90.9 (test set).

For segmentation, as in the multi-part body segmentation study, `classes` takes the place of `joints` and
`resolution = "full"` keeps the image's: 4 stacks with the paper's stem and 25 classes have 12,874,468 parameters and
348,723,609,600 multiply-adds on 3x320x320.

Shapes: an image is B 3 H W, the trunk B C H/4 W/4 with C = 2 x features, every output B maps H/4 W/4; at full
resolution all of them are H W. H and W must be divisible by 4 x 2^depth, or by 2^depth.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from torch import Tensor, nn

from archs.blocks import EXPANSION, NORMS, Bottleneck, Hourglass, Stem

STEM_STRIDE = 4
INSIDE = 2  # upsampled resolutions with a head of their own, where losses are inside the upsampling path


def featured(wide: int) -> nn.Sequential:
    """What a head reads: a 1x1 convolution, norm and ReLU, B C H W -> B C H W."""
    return nn.Sequential(nn.Conv2d(wide, wide, 1), nn.BatchNorm2d(wide), nn.ReLU(inplace=True))


class HeadsInside(nn.ModuleList):
    """A 1x1 head for each of the highest resolutions within an hourglass, the lowest of them first."""

    def forward(self, levels: Sequence[Tensor]) -> list[Tensor]:
        return [head(level) for head, level in zip(self, levels, strict=True)]


class StackedHourglass(nn.Module):
    """Stem, then per stack: hourglass, bottlenecks, 1x1 head; features and head go back into the trunk.

    Args:
        hourglasses: one per stack, all of the same width.
        make_residual: makes the bottlenecks that follow an hourglass, B C H W -> B C H W.
        maps: those of each stack's head.
        supervision: "all" returns every stack's maps; "inside" also those of heads on the two highest resolutions
            within each hourglass; "final" computes all stacks' and returns the last; "final_no_heads" leaves the
            intermediate heads out of the network.
        beside: after how many stacks the trunk also feeds another stack with a head of its own, and that one; it is
            computed in training mode alone.
    """

    def __init__(
        self,
        stem: nn.Module,
        hourglasses: Sequence[Hourglass],
        make_residual: Callable[[], nn.Module],
        *,
        maps: Sequence[int],
        supervision: str,
        beside: tuple[int, nn.Module] | None = None,
    ) -> None:
        super().__init__()
        stacks, wide = len(hourglasses), hourglasses[0].wide
        bare = supervision == "final_no_heads"
        self.every_output = supervision in ("all", "inside")
        self.stem = stem
        self.hourglasses = nn.ModuleList(hourglasses)
        self.residuals = nn.ModuleList(make_residual() for _ in range(stacks))
        self.features = nn.ModuleList(featured(wide) for _ in range(stacks))
        # Keyed by stack, because without intermediate heads only the last stack has one.
        self.heads = nn.ModuleDict(
            {str(i): nn.Conv2d(wide, maps[i], 1) for i in range(stacks) if not bare or i == stacks - 1}
        )
        self.remap_features = nn.ModuleList(nn.Conv2d(wide, wide, 1) for _ in range(stacks - 1))
        self.remap_heads = nn.ModuleList(nn.Conv2d(maps[i], wide, 1) for i in range(0 if bare else stacks - 1))
        inside = INSIDE if supervision == "inside" else 0
        self.heads_inside = nn.ModuleList(
            HeadsInside(nn.Conv2d(wide, count, 1) for _ in range(inside)) for count in maps if inside
        )
        self.branch = 0
        if beside is not None:
            self.branch, self.beside = beside

    def forward(self, image: Tensor) -> list[Tensor]:
        """Maps B K H W of each supervised stack, the last is the prediction; those of the branch are the first."""
        x = self.stem(image)
        outputs: list[Tensor] = []
        aside: list[Tensor] = []
        for i, (hourglass, residual, features) in enumerate(
            zip(self.hourglasses, self.residuals, self.features, strict=True)
        ):
            if len(self.heads_inside):
                assert isinstance(hourglass, Hourglass)
                levels = hourglass.levels(x)[-INSIDE:]
                outputs += self.heads_inside[i](levels)
            else:
                levels = [hourglass(x)]
            y = features(residual(levels[-1]))
            if str(i) in self.heads:
                outputs.append(self.heads[str(i)](y))
            if i < len(self.remap_features):
                x = x + self.remap_features[i](y)
                if len(self.remap_heads):
                    x = x + self.remap_heads[i](outputs[-1])
            if self.training and self.branch == i + 1:
                aside.append(self.beside(x))
        return [*aside, *outputs] if self.every_output else [*aside, outputs[-1]]


@dataclass(frozen=True, slots=True)
class Parts:
    """What every hourglass of a network, and what follows it, is made of."""

    features: int
    blocks: int
    norm: str
    convs: int
    extra_residual: str | None
    depthwise: bool
    dropout: float

    def hourglass(self, depth: int) -> Hourglass:
        """B C H W to the same, C = 2 x features."""
        return Hourglass(
            self.features,
            depth,
            self.blocks,
            norm=self.norm,
            bottleneck_convs=self.convs,
            extra_residual=self.extra_residual,
            depthwise=self.depthwise,
        )

    def residual(self) -> nn.Module:
        """What follows an hourglass: bottlenecks, and dropout where there is any."""
        wide, norm = self.features * EXPANSION, NORMS[self.norm]
        each = (wide, self.features, norm, self.convs, self.depthwise)
        layers: list[nn.Module] = [Bottleneck(*each) for _ in range(self.blocks)]
        return nn.Sequential(*layers, *([nn.Dropout2d(self.dropout)] if self.dropout else []))

    def branch(self, depth: int, joints: int) -> nn.Module:
        """A whole stack beside the others, trunk to heatmaps."""
        wide = self.features * EXPANSION
        return nn.Sequential(self.hourglass(depth), self.residual(), featured(wide), nn.Conv2d(wide, joints, 1))


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
    supervision: Literal["all", "inside", "final", "final_no_heads"] = "all",
    dropout: float = 0.0,
    classes: int | list[int] = 0,
    resolution: Literal["quarter", "full"] = "quarter",
    depthwise: bool = False,
    joint_branch: int = 0,
    branch_joints: int = 24,
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
        stem: see archs/blocks.py: the ports' (256 channels in its second bottleneck), the paper's (128), or scaled.
        joints: heatmaps in each output, where there are no classes.
        supervision: which outputs exist and are returned; "inside" is one reading of the paper's HG-Int.
        dropout: probability of dropping a whole channel before each head; 0 leaves the layer out.
        classes: logits in each output, one number or one per stack, coarse to fine; 0 is a network for joints.
        resolution: "full" leaves out the stem's stride and pooling.
        depthwise: the 3x3 convolutions of the bottlenecks have one filter per channel.
        joint_branch: after so many stacks the trunk also feeds a parallel stack with heatmaps of its own, the first of
            the outputs, in training mode alone; 0 is none.
        branch_joints: heatmaps of that branch.
    """
    depths = [depth] * stacks if isinstance(depth, int) else list(depth)
    maps = list(classes) if isinstance(classes, list) else [classes or joints] * stacks
    parts = Parts(features, blocks, norm, bottleneck_convs, extra_residual, depthwise, dropout)
    hourglasses = [parts.hourglass(levels) for levels in depths]
    begin = Stem(features, stem, NORMS[norm], bottleneck_convs, depthwise=depthwise, full=resolution == "full")
    beside = (joint_branch, parts.branch(depths[joint_branch - 1], branch_joints)) if joint_branch else None
    return StackedHourglass(begin, hourglasses, parts.residual, maps=maps, supervision=supervision, beside=beside)


def check(options: dict[str, object], size: tuple[int, int]) -> str | None:
    """Why these options cannot be built for an image of size (H, W); None when they can."""
    stacks, depth = options.get("stacks", 8), options.get("depth", 4)
    for name in ("stacks", "features", "blocks", "joints", "branch_joints"):
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
    if options.get("supervision") == "inside" and min(depths) < INSIDE:
        return f"depth = {depth}: heads inside an hourglass need at least {INSIDE} levels"
    dropout = options.get("dropout", 0.0)
    if isinstance(dropout, int | float) and not 0 <= dropout < 1:
        return f"dropout = {dropout}: must be at least 0 and below 1"
    if problem := _heads(options, stacks):
        return problem
    stride = 1 if options.get("resolution") == "full" else STEM_STRIDE
    divisor = stride * 2 ** max(depths)
    if size[0] % divisor or size[1] % divisor:
        factors = f"{stride} x 2^depth" if stride > 1 else "2^depth"
        return f"size {size[0]}x{size[1]} is not divisible by {divisor} ({factors}, depth {max(depths)})"
    return None


def _heads(options: dict[str, object], stacks: object) -> str | None:
    """Why there cannot be these classes, or this branch."""
    classes, branch = options.get("classes", 0), options.get("joint_branch", 0)
    if isinstance(classes, list) and len(classes) != stacks:
        return f"classes has {len(classes)} numbers for {stacks} stacks: give one number or one per stack"
    if isinstance(classes, list) and (min(classes) < 1 or classes != sorted(classes)):
        return f"classes = {classes}: each must be at least 1 and no fewer than the one before, coarse to fine"
    if isinstance(classes, int) and classes < 0:
        return f"classes = {classes}: must be at least 0"
    if isinstance(branch, int) and isinstance(stacks, int) and not 0 <= branch < stacks:
        return f"joint_branch = {branch}: must be 0 (none) to {stacks - 1}, the number of stacks before it"
    return None
