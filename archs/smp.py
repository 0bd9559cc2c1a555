"""U-Net, FPN, DeepLabV3+ or SegFormer of segmentation-models-pytorch, on any of its encoders, without weights.

P. Iakubovskii, https://github.com/qubvel-org/segmentation_models.pytorch; the networks are Ronneberger et al. 2015
(https://arxiv.org/abs/1505.04597), Kirillov et al. 2019 (https://arxiv.org/abs/1901.02446), Chen et al. 2018
(https://arxiv.org/abs/1802.02611) and Xie et al. 2021 (https://arxiv.org/abs/2105.15203), each with its library's
defaults. With version 0.6.0 and 25 classes: a U-Net on a ResNet-34 has 24,439,849 parameters, an FPN 23,158,489, a
DeepLabV3+ 22,443,625, and a SegFormer-B0 (`encoder = "mit_b0"`) 3,720,569.

These are not the papers' networks in every detail: the U-Net has a residual encoder and about half the filters of the
original on its way up.

Shapes: an image is B 3 H W, the output B classes H W. H and W must be divisible by 32.
"""

from typing import Literal

import segmentation_models_pytorch as smp
import torch
from torch import Tensor, nn

NEEDS = {"segmentation_models_pytorch": "pip install 'archbench[zoo]'"}

FAMILIES = {"unet": smp.Unet, "fpn": smp.FPN, "deeplabv3plus": smp.DeepLabV3Plus, "segformer": smp.Segformer}

DIVISOR = 32
"""What the encoders divide the resolution by."""


class Listed(nn.Module):
    """A network with one output, which becomes a list of one."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: Tensor) -> list[Tensor]:
        """Logits B classes H W."""
        return [self.network(image)]


def build(
    family: Literal["unet", "fpn", "deeplabv3plus", "segformer"] = "unet",
    encoder: str = "resnet34",
    classes: int = 25,
) -> nn.Module:
    """A network of segmentation-models-pytorch; nothing is downloaded.

    Args:
        family: what is built on the encoder.
        encoder: a name that the library knows; "mit_b0" with "segformer" is SegFormer-B0.
        classes: maps of the output.
    """
    # The transformers read numbers from tensors while they are built, which tensors without data do not have.
    with torch.device("cpu"):
        return Listed(FAMILIES[family](encoder_name=encoder, encoder_weights=None, classes=classes))


def check(options: dict[str, object], size: tuple[int, int]) -> str | None:
    """Why these options cannot be built for an image of size (H, W); None when they can."""
    classes, encoder = options.get("classes", 1), options.get("encoder", "resnet34")
    if isinstance(classes, int) and classes < 1:
        return f"classes = {classes}: must be at least 1"
    if encoder not in smp.encoders.get_encoder_names() and not str(encoder).startswith("tu-"):
        return f"encoder = '{encoder}': unknown to segmentation-models-pytorch {smp.__version__}"
    if size[0] % DIVISOR or size[1] % DIVISOR:
        return f"size {size[0]}x{size[1]} is not divisible by {DIVISOR}"
    return None
