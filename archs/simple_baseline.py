"""SimpleBaseline for pose: a ResNet of timm, three transposed convolutions, a 1x1 head.

Xiao, Wu, Wei: "Simple Baselines for Human Pose Estimation and Tracking", ECCV 2018, https://arxiv.org/abs/1804.06208.
On a ResNet-50 with 17 joints 33,999,697 parameters and 5,426,380,800 multiply-adds at 3x256x192, which is what is
published (34.0 M and 5.46 G, mmpose); with 16 joints 33,999,440 parameters.

Weights before training are torch's own. The authors' (a deviation of 0.001 behind the ResNet) answer every image alike
until they are trained, so that no mode could be compared with another.

Shapes: an image is B 3 H W, the output B joints H/4 W/4. H and W must be divisible by 32.
"""

from typing import Literal

import timm
from torch import Tensor, nn

NEEDS = {"timm": "pip install 'archbench[zoo]'"}

STEPS = 3
WIDTH = 256
DIVISOR = 32
"""What the ResNet divides the resolution by; the output is 8 times as large as what it leaves."""


def doubling(inputs: int) -> list[nn.Module]:
    """A 4x4 transposed convolution of stride 2, batch norm, ReLU: B inputs h w -> B 256 2h 2w."""
    up = nn.ConvTranspose2d(inputs, WIDTH, 4, stride=2, padding=1, bias=False)
    return [up, nn.BatchNorm2d(WIDTH), nn.ReLU(inplace=True)]


class SimpleBaseline(nn.Module):
    """The features of a ResNet at 1/32 of the resolution, enlarged three times; a 1x1 head."""

    def __init__(self, depth: int, joints: int) -> None:
        super().__init__()
        self.body = timm.create_model(f"resnet{depth}", pretrained=False, features_only=True, out_indices=(4,))
        inputs = [*self.body.feature_info.channels(), *[WIDTH] * (STEPS - 1)]
        self.ups = nn.Sequential(*(layer for width in inputs for layer in doubling(width)))
        self.head = nn.Conv2d(WIDTH, joints, 1)

    def forward(self, image: Tensor) -> list[Tensor]:
        """Heatmaps B joints H/4 W/4."""
        return [self.head(self.ups(self.body(image)[0]))]


def build(depth: Literal[50, 101, 152] = 50, joints: int = 16) -> nn.Module:
    """A SimpleBaseline; nothing is downloaded.

    Args:
        depth: layers of the ResNet.
        joints: heatmaps of the output.
    """
    return SimpleBaseline(depth, joints)


def check(options: dict[str, object], size: tuple[int, int]) -> str | None:
    """Why these options cannot be built for an image of size (H, W); None when they can."""
    joints = options.get("joints", 16)
    if isinstance(joints, int) and joints < 1:
        return f"joints = {joints}: must be at least 1"
    if size[0] % DIVISOR or size[1] % DIVISOR:
        return f"size {size[0]}x{size[1]} is not divisible by {DIVISOR}"
    return None
