"""Training losses, by the name that a recipe gives them.

A recipe's `head_weights` are numbers that the outputs' losses are multiplied by before they are summed, one for each
output in the network's order; without them every output counts once. With its `joint_branch` the first output of a
network for segmentation is joints' heat maps, which heatmap_mse trains times `joint_weight`; that output has no number
in `head_weights`.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bench.errors import Failed
from bench.worker import heatmap
from bench.worker.parts import LEVELS, coarse, nests

Loss = Callable[[Sequence[Tensor], dict[str, Tensor], dict[str, Any]], Tensor]
"""(outputs, batch, recipe) -> scalar. Outputs are every supervised head's maps, N K h w, the prediction's last."""

IGNORED = 255
"""The label of a pixel that does not count."""

PARTS = max(LEVELS)
"""Classes of the labels themselves."""

LABELS = {"bce": ("mask", 1), "cross_entropy": ("part", PARTS - 1)}
"""Loss -> what it reads of a batch, and the last class there."""

LEAST = 1e-12
"""Keeps a mean over no pixels at 0."""


def heatmap_mse(outputs: Sequence[Tensor], batch: dict[str, Tensor], recipe: dict[str, Any]) -> Tensor:
    """Half the mean squared error over joints and cells, summed over the supervised outputs.

    The mean runs over labelled joints' maps, occluded ones included, as in the paper's code. Cells weigh
    1 + positive x target: with `positive` above 0 the few cells with a joint are not drowned by the empty ones, so
    that short trainings leave the plateau at which every map is zero. Every output has targets of its own
    resolution; `sigma` is in its cells.

    Raises:
        Failed: an output is not a map for each joint, which the difference would be broadcast over.
    """
    terms = [
        0.5 * (weight * (maps - target) ** 2).mean()
        for maps, target, weight in _with_targets("heatmap_mse", outputs, batch, recipe)
    ]
    return _summed("heatmap_mse", terms, recipe)


def heatmap_bce(outputs: Sequence[Tensor], batch: dict[str, Tensor], recipe: dict[str, Any]) -> Tensor:
    """Sigmoid cross-entropy of heat maps, as logits, against the targets of heatmap_mse, summed over the outputs.

    Mean and weights of cells are those of heatmap_mse. It is the loss that the study of multi-part body segmentation
    found in the stacked hourglass that it started from.

    Raises:
        Failed: an output is not a map for each joint.
    """
    terms = [
        (weight * F.binary_cross_entropy_with_logits(maps, target, reduction="none")).mean()
        for maps, target, weight in _with_targets("heatmap_bce", outputs, batch, recipe)
    ]
    return _summed("heatmap_bce", terms, recipe)


def bce(outputs: Sequence[Tensor], batch: dict[str, Tensor], recipe: dict[str, Any]) -> Tensor:
    """Binary cross-entropy of logits N 1 h w against `mask` N H W: the mean over pixels, summed over the outputs.

    The mask is bool, or uint8 with 255 where a pixel is left out; where all are, the loss is 0. Where an output has
    another resolution, the mask is resized to it. A label that is neither makes the loss not a number: see Supervised.

    Raises:
        Failed: the data have no masks, or an output is not one map.
    """
    branch, heads = _joints_first("bce", outputs, batch, recipe)
    terms = []
    for logits, mask in _with_labels("bce", heads, batch, (1,)):
        known = mask <= 1
        target = mask.masked_fill(~known, 0).float()
        pixels = F.binary_cross_entropy_with_logits(logits[:, 0], target, reduction="none") * known
        terms.append(_flagged(pixels, mask, known).sum() / known.sum().clamp(min=1))
    return _summed("bce", terms, recipe) + branch


def cross_entropy(
    outputs: Sequence[Tensor],
    batch: dict[str, Tensor],
    recipe: dict[str, Any],
    weights: Mapping[int, Tensor] | None = None,
) -> Tensor:
    """Softmax cross-entropy of logits N K h w against `part` N H W, uint8 0 to 24, summed over the outputs.

    K is 2, 5, 13 or 25, of every output by itself and coarse to fine: the labels are merged to as many classes. Where
    an output has another resolution, they are resized to it. Pixels labelled 255 are left out; where all are, the
    loss is 0. Any other label makes it not a number: see Supervised.

    With `class_weights` in the recipe, its `weighting` says how they act. "outer" is the mean weighted by each
    pixel's class, which is torch's CrossEntropyLoss(weight=...). The study of multi-part body segmentation has two
    other forms: "outer_raw" is the weighted sum divided by the number of pixels, larger by the mean weight of a pixel;
    "direct" multiplies the logits by their classes' weights, in the loss alone.

    Args:
        weights: K -> weights of its classes, K float32, where the recipe asks for them; made by weights.weights_of.

    Raises:
        Failed: the data have no parts, an output has another number of maps, or a later one has fewer.
    """
    if recipe.get("class_weights") and weights is None:
        raise Failed("cross_entropy: class_weights need the counts of the training labels")
    branch, heads = _joints_first("cross_entropy", outputs, batch, recipe)
    pairs = list(_with_labels("cross_entropy", heads, batch, tuple(LEVELS)))
    if not nests(counts := [logits.shape[1] for logits, _ in pairs]):
        raise Failed(f"cross_entropy: outputs of {', '.join(map(str, counts))} maps do not go from coarse to fine")
    way = recipe.get("weighting", "outer")
    terms = [_of_parts(*pair, way, weights[k] if weights else None) for pair, k in zip(pairs, counts, strict=True)]
    return _summed("cross_entropy", terms, recipe) + branch


def _of_parts(logits: Tensor, part: Tensor, way: str, weight: Tensor | None) -> Tensor:
    """The mean over pixels for one output N K h w; `part` N h w is of 25 classes."""
    known = part < PARTS
    target = coarse(part.masked_fill(~known, 0), logits.shape[1]).long()
    counted = known.float()
    if weight is not None and way == "outer":
        counted = counted * weight[target]
    elif weight is not None and way == "direct":
        logits, weight = logits * weight[:, None, None], None
    # Pixel by pixel, since torch's own sum over them adds in any order on CUDA.
    pixels = F.cross_entropy(logits, target, weight=weight, reduction="none") * known
    return _flagged(pixels, part, known).sum() / counted.sum().clamp(min=LEAST)


def _flagged(pixels: Tensor, labels: Tensor, known: Tensor) -> Tensor:
    """The pixels' losses, not a number where a label is neither known nor to be left out; gradients stay finite."""
    return pixels.masked_fill(~known & (labels != IGNORED), torch.nan)


def _summed(name: str, terms: Sequence[Tensor], recipe: dict[str, Any]) -> Tensor:
    """The sum of the outputs' losses, each times its number in `head_weights`.

    Raises:
        Failed: there is not a number for each output.
    """
    factors = recipe.get("head_weights")
    if factors is not None and len(factors) != len(terms):
        raise Failed(f"{name}: head_weights has {len(factors)} numbers for {len(terms)} outputs: give one for each")
    total = terms[0].new_zeros(())
    for term, factor in zip(terms, factors or [None] * len(terms), strict=True):
        total = total + (term if factor is None else factor * term)
    return total


def _of(batch: dict[str, Tensor], key: str, name: str) -> Tensor:
    """What a batch holds under this key.

    Raises:
        Failed: there is nothing.
    """
    if key not in batch:
        raise Failed(f"{name}: the data have no '{key}' (only {', '.join(sorted(batch))}): train on others")
    return batch[key]


def _with_targets(
    name: str, outputs: Sequence[Tensor], batch: dict[str, Tensor], recipe: dict[str, Any]
) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Each output with its targets and its cells' weights, N K h w float32; those of one size are made once."""
    joints, labelled = _of(batch, "joints", name), _of(batch, "labelled", name)
    made: dict[tuple[int, ...], tuple[Tensor, Tensor]] = {}
    for output in outputs:
        wanted = (*labelled.shape, *output.shape[-2:])
        if output.shape != wanted:
            raise Failed(f"{name}: an output is {list(output.shape)}, its target {list(wanted)}: N joints h w")
        height, width = wanted[-2:]
        if wanted not in made:
            stride = (batch["image"].shape[-1] / width, batch["image"].shape[-2] / height)
            sigma = recipe.get("sigma", 1.0)
            target = heatmap.targets(joints, labelled, (height, width), stride=stride, sigma=sigma)
            weight = labelled[..., None, None] / labelled.float().mean().clamp(min=1e-6)
            if recipe.get("positive"):
                weight = weight * (1 + recipe["positive"] * target)
            made[wanted] = target, weight
        yield output.float(), *made[wanted]


def _with_labels(
    name: str, outputs: Sequence[Tensor], batch: dict[str, Tensor], maps: Sequence[int]
) -> Iterator[tuple[Tensor, Tensor]]:
    """Each output, N K h w float32, with the labels N h w at its resolution; those of one size are made once."""
    key, _ = LABELS[name]
    labels = _of(batch, key, name)
    made: dict[tuple[int, ...], Tensor] = {}
    for output in outputs:
        if output.dim() != 4 or len(output) != len(labels) or output.shape[1] not in maps:
            wanted = f"[{len(labels)}, {' or '.join(map(str, maps))}, h, w]"
            raise Failed(f"{name}: an output is {list(output.shape)}, which must be {wanted}")
        size = (output.shape[-2], output.shape[-1])
        if size not in made:
            made[size] = resized(labels, size)
        yield output.float(), made[size]


def resized(labels: Tensor, size: tuple[int, int]) -> Tensor:
    """Labels N H W as N h w: of each cell's centre, without mixing; where that lies between pixels, the later one's."""
    if labels.shape[-2:] == size:
        return labels
    rows, columns = (
        torch.arange(1, 2 * to, 2, device=labels.device) * have // (2 * to)
        for have, to in zip(labels.shape[-2:], size, strict=True)
    )
    return labels[:, rows[:, None], columns]


def _joints_first(
    name: str, outputs: Sequence[Tensor], batch: dict[str, Tensor], recipe: dict[str, Any]
) -> tuple[Tensor, Sequence[Tensor]]:
    """The joint branch's loss, 0 where the recipe has none, and the outputs that are classes.

    Raises:
        Failed: the first output is not a map for each of the data's joints, or it is the only one.
    """
    if not recipe.get("joint_branch"):
        return outputs[0].new_zeros((), dtype=torch.float32), outputs
    joints = _of(batch, "joints", f"{name} with joint_branch").shape[1]
    first, *heads = outputs
    if first.dim() != 4 or first.shape[1] != joints or not heads:
        raise Failed(
            f"{name} with joint_branch: the first of {len(outputs)} outputs is {list(first.shape)} for {joints} "
            f"joints; set the network's joint_branch, and branch_joints = {joints}"
        )
    plain: dict[str, Any] = {key: recipe[key] for key in ("sigma", "positive") if key in recipe}
    return recipe.get("joint_weight", 1.0) * heatmap_mse([first], batch, plain), heads


@dataclass(slots=True)
class Supervised:
    """The loss of a network in training, and of the same network in eval mode, which may have fewer outputs.

    The labels of the first batch are looked at, which waits for the device once. In later batches, whose labels come
    from the same place, a label that is no class makes the loss not a number, which ends the training.

    Attributes:
        name: of the loss.
        model: whose mode tells whether outputs that exist in training alone are there: the joint branch, and those
            that come before the prediction.
    """

    name: str
    loss: Loss
    model: nn.Module
    looked: bool = False

    def __call__(self, outputs: Sequence[Tensor], batch: dict[str, Tensor], recipe: dict[str, Any]) -> Tensor:
        """The loss of a batch.

        Raises:
            Failed: outputs, labels and recipe do not fit together.
        """
        if not self.looked:
            check_labels(self.name, batch)
            self.looked = True
        return self.loss(outputs, batch, recipe if self.model.training else without_aids(recipe, len(outputs)))


def check_labels(name: str, batch: dict[str, Tensor]) -> None:
    """Waits for the device.

    Raises:
        Failed: a pixel's label is no class.
    """
    key, last = LABELS.get(name, ("", 0))
    if not key:
        return
    labels = _of(batch, key, name)
    wrong = labels[(labels > last) & (labels != IGNORED)]
    if len(wrong):
        raise Failed(
            f"{name}: '{key}' has the label {int(wrong.max())} in {len(wrong):,} of {labels.numel():,} pixels: classes "
            f"are 0 to {last}, and {IGNORED} is left out"
        )


def without_aids(recipe: dict[str, Any], outputs: int) -> dict[str, Any]:
    """The recipe for a network in eval mode, with so many outputs: no joint branch, and the last heads' weights."""
    changed = recipe | {"joint_branch": False}
    if "head_weights" in recipe:
        changed["head_weights"] = recipe["head_weights"][-outputs:]
    return changed


LOSSES: dict[str, Loss] = {
    "bce": bce,
    "cross_entropy": cross_entropy,
    "heatmap_bce": heatmap_bce,
    "heatmap_mse": heatmap_mse,
}
