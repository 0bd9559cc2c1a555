"""HRNet for pose: four resolutions in parallel, which exchange what they have; timm's body under a 1x1 head.

Sun, Xiao, Liu, Wang: "Deep High-Resolution Representation Learning for Human Pose Estimation", CVPR 2019,
https://arxiv.org/abs/1902.09212, from timm's classification network without its head and without weights.

The head reads the 1/4 resolution alone, as in the paper, and what the last exchange computes for the other three
resolutions is cut off. With 17 joints timm's features have 29,306,097 parameters with that and 28,536,113 without,
which is the published count (28.54 M, mmpose); with 16 joints 28,536,080, and 63,595,745 of width 48 with 17. At
3x256x192 they take 7,645,003,776 multiply-adds (7.7 G, mmpose, which counts more than convolutions).

Shapes: an image is B 3 H W, the output B joints H/4 W/4. H and W must be divisible by 32.
"""

from typing import Literal

import timm
from torch import Tensor, nn

NEEDS = {"timm": "pip install 'archbench[zoo]'"}

DIVISOR = 32
"""What the coarsest resolution is smaller by; each must be twice the next for their sum."""


class HRNet(nn.Module):
    """timm's body up to its features at 1/4 of the resolution; a 1x1 head."""

    def __init__(self, width: int, joints: int) -> None:
        super().__init__()
        # "" asks for the features as they are, not as widened for classification; 1 is those at 1/4.
        self.body = timm.create_model(
            f"hrnet_w{width}", pretrained=False, features_only=True, feature_location="", out_indices=(1,)
        )
        last = self.body.stage4[-1]
        last.fuse_layers = last.fuse_layers[:1]  # nothing reads the others: they would learn nothing and take time
        self.head = nn.Conv2d(width, joints, 1)

    def forward(self, image: Tensor) -> list[Tensor]:
        """Heatmaps B joints H/4 W/4."""
        return [self.head(self.body(image)[0])]


def build(width: Literal[18, 32, 48] = 32, joints: int = 16) -> nn.Module:
    """An HRNet with heatmaps; nothing is downloaded.

    Args:
        width: channels at 1/4 of the resolution; each coarser one has twice as many.
        joints: heatmaps of the output.
    """
    return HRNet(width, joints)


def check(options: dict[str, object], size: tuple[int, int]) -> str | None:
    """Why these options cannot be built for an image of size (H, W); None when they can."""
    joints = options.get("joints", 16)
    if isinstance(joints, int) and joints < 1:
        return f"joints = {joints}: must be at least 1"
    if size[0] % DIVISOR or size[1] % DIVISOR:
        return f"size {size[0]}x{size[1]} is not divisible by {DIVISOR}"
    return None
