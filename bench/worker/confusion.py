"""Figures of a confusion matrix, and its counting on a device: rows are the labels, columns the predictions.

With TP, FP and FN of a class: IoU = TP / (TP + FP + FN), F1 = 2 TP / (2 TP + FP + FN), precision =
TP / (TP + FP), recall, which is the class's accuracy, = TP / (TP + FN). Means over classes have equal weights.
Publications differ in what a class adds that is missing, so the rules are named:

- neither labelled nor predicted: it has no figures and is in no mean;
- predicted but not labelled: its IoU, F1 and precision are 0 and in the means, its recall is undefined and in none
  (torchmetrics counts a recall of 0 there, mmsegmentation leaves F1 out);
- labelled but never predicted: all are 0 and in the means (mmsegmentation leaves precision and F1 out).
"""

from math import isnan
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bench.errors import Failed

LABELS = 256
"""Values that a label can have."""

SCORES = ("miou", "miou_fg", "macro_f1", "macro_precision", "macro_recall", "pixel_accuracy")
BY_CLASS = ("class_accuracy", "class_iou")

Array = Tensor | NDArray[Any]


def scores(confusion: Array) -> dict[str, Any]:
    """Every figure of a confusion matrix, as fractions in float64.

    Args:
        confusion: C x C, whole numbers, rows are the labels and columns the predictions; class 0 is the background.

    Returns:
        miou, miou_fg (without class 0), macro_f1, macro_precision, macro_recall, pixel_accuracy; class_accuracy and
        class_iou, C each. None where there is nothing to take it from; see the module for classes that are missing.

    Raises:
        Failed: not a square matrix, not integers, or a count below 0.
    """
    found = rates(_matrix(confusion).double())
    by_class = {name: [plain(share) for share in found[name]] for name in BY_CLASS}
    return {name: plain(found[name]) for name in SCORES} | by_class


def rates(confusion: Tensor) -> dict[str, Tensor]:
    """As `scores`, of many matrices at once, with class_f1 and class_precision besides.

    Args:
        confusion: ... C C, float64.

    Returns:
        Tensors of the leading shape, those by class with C at the end; NaN where it is not defined.
    """
    labelled, predicted, hits = confusion.sum(-1), confusion.sum(-2), confusion.diagonal(dim1=-2, dim2=-1)
    recall = hits / labelled  # 0/0 is NaN, which nanmean leaves out
    iou = hits / (labelled + predicted - hits)
    f1 = 2 * hits / (labelled + predicted)
    precision = torch.where((predicted == 0) & (labelled > 0), 0.0, hits / predicted)
    return {
        "miou": iou.nanmean(-1),
        "miou_fg": iou[..., 1:].nanmean(-1),
        "macro_f1": f1.nanmean(-1),
        "macro_precision": precision.nanmean(-1),
        "macro_recall": recall.nanmean(-1),
        "pixel_accuracy": hits.sum(-1) / labelled.sum(-1),
        "class_accuracy": recall,
        "class_iou": iou,
        "class_f1": f1,
        "class_precision": precision,
    }


def tally(labels: Tensor, predicted: Tensor, classes: int) -> Tensor:
    """Pixels of each image by label, whatever it is, and predicted class; no synchronisation with the device.

    That way labels that do not count or are wrong need no pass of their own.

    Args:
        labels, predicted: N H W, uint8, the latter below `classes`.

    Returns:
        N LABELS classes, int64.
    """
    return (binned if labels.device.type == "cpu" else scattered)(labels, predicted, classes)


def binned(labels: Tensor, predicted: Tensor, classes: int) -> Tensor:
    """As `tally`, image by image with bins that stay in a core's cache; on a device it would wait for the host."""
    counts = torch.zeros(len(labels), LABELS * classes, dtype=torch.int64, device=labels.device)
    cells = torch.add(predicted.flatten(1), labels.flatten(1).short(), alpha=classes)  # below 2^15: see parts.LEVELS
    for row, image in zip(counts, cells, strict=True):
        row.copy_(torch.bincount(image, minlength=len(row)))
    found: Tensor = counts.unflatten(1, (LABELS, classes))
    return found


def scattered(labels: Tensor, predicted: Tensor, classes: int) -> Tensor:
    """As `tally`, for a device: bincount would ask for its largest bin. Whole numbers add up alike in any order."""
    images, bins = len(labels), LABELS * classes
    first = torch.arange(images, device=labels.device)[:, None] * bins
    cells = (first + labels.flatten(1).long() * classes + predicted.flatten(1)).flatten()
    counts = torch.zeros(images * bins, dtype=torch.int64, device=labels.device)
    counts.scatter_add_(0, cells, counts.new_ones(()).expand(len(cells)))
    found: Tensor = counts.unflatten(0, (images, LABELS, classes))
    return found


def by_image(matrices: Tensor) -> dict[str, list[float]] | None:
    """Scores by image whose sums are in the ratio of the mIoU, for intervals of combinations of trainings.

    The mIoU is no share of things that are right: `counted` are the labelled pixels of a person, which tell images
    apart, and `correct` is the mIoU's share of them plus the image's influence on the mIoU, which sums to zero over
    images (the infinitesimal jackknife; B. Efron, The Jackknife, the Bootstrap and Other Resampling Plans, 1982). It
    may be below 0 or above `counted`. Resampled, the ratio moves as the mIoU does to first order: classes that few
    images have are the limit of that. `change` has no such limit.

    Args:
        matrices: N C C, whole numbers.

    Returns:
        correct and counted, N each; None where no pixel counts.
    """
    pixels = matrices.double()
    hits = pixels.diagonal(dim1=1, dim2=2)
    united = pixels.sum(1) + pixels.sum(2) - hits
    seen = united.sum(0) > 0
    if not seen.any():
        return None
    hits, united = hits[:, seen], united[:, seen]
    iou = hits.sum(0) / united.sum(0)
    influence = ((hits - iou * united) / united.sum(0)).mean(1)
    person = matrices[:, 1:].sum((1, 2))
    correct = iou.mean() * person + influence * person.sum()
    return {"correct": correct.tolist(), "counted": person.tolist()}


def _matrix(confusion: Array) -> Tensor:
    """Checked, int64, on the CPU."""
    if confusion.ndim != 2 or confusion.shape[0] != confusion.shape[1] or not confusion.shape[0]:
        raise Failed(f"a confusion matrix is C x C, not {tuple(confusion.shape)}")
    if isinstance(confusion, Tensor):
        whole = not (confusion.is_floating_point() or confusion.is_complex() or confusion.dtype == torch.bool)
    else:
        whole = np.issubdtype(confusion.dtype, np.integer)
    if not whole:
        raise Failed(f"a confusion matrix holds whole numbers of an integer type, not {confusion.dtype}")
    if isinstance(confusion, Tensor):
        matrix = confusion.detach().cpu().long()
    else:
        matrix = torch.from_numpy(confusion.astype(np.int64))
    if (matrix < 0).any():
        raise Failed(f"a confusion matrix holds counts, not {int(matrix.min())}")
    return matrix


def plain(share: Tensor) -> float | None:
    """A number, None where it is not defined."""
    value = float(share)
    return None if isnan(value) else value
