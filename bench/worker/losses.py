"""Training losses, by the name that a recipe gives them."""

from collections.abc import Callable, Sequence

from torch import Tensor

from bench.errors import Failed
from bench.worker import heatmap

Loss = Callable[[Sequence[Tensor], dict[str, Tensor], dict[str, float]], Tensor]
"""(outputs, batch, recipe) -> scalar. Outputs are every supervised stack's maps, N K H W."""


def heatmap_mse(outputs: Sequence[Tensor], batch: dict[str, Tensor], recipe: dict[str, float]) -> Tensor:
    """Half the mean squared error over joints and cells, summed over the supervised stacks.

    The mean runs over labelled joints' maps, occluded ones included, as in the paper's code. Cells weigh
    1 + positive x target: with `positive` above 0 the few cells with a joint are not drowned by the empty ones, so
    that short trainings leave the plateau at which every map is zero.

    Raises:
        Failed: an output is not a map for each joint, which the difference would be broadcast over.
    """
    labelled = batch["labelled"]
    wanted = (*labelled.shape, *outputs[-1].shape[-2:])
    for output in outputs:
        if output.shape != wanted:
            raise Failed(f"heatmap_mse: an output is {list(output.shape)}, its target {list(wanted)}: N joints h w")
    height, width = wanted[-2:]
    stride = (batch["image"].shape[-1] / width, batch["image"].shape[-2] / height)
    target = heatmap.targets(batch["joints"], labelled, (height, width), stride=stride, sigma=recipe.get("sigma", 1.0))
    weight = labelled[..., None, None] / labelled.float().mean().clamp(min=1e-6)
    if recipe.get("positive"):
        weight = weight * (1 + recipe["positive"] * target)
    total = outputs[0].new_zeros((), dtype=target.dtype)
    for output in outputs:
        total = total + 0.5 * (weight * (output.float() - target) ** 2).mean()
    return total


LOSSES: dict[str, Loss] = {"heatmap_mse": heatmap_mse}
