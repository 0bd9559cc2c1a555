"""Segmentation of body parts or of the person: mIoU, F1, precision, recall and accuracy from one confusion matrix.

Pixels are counted over the whole evaluation set, at the labels' size, and every figure is taken from these totals, not
averaged over images; `bench.worker.confusion` has the formulas, and the rules for classes that are missing. Means over
classes have equal weights.

`binary.*` is about person (any part) against background, which is what `tf.metrics.precision` and `recall` say of
part labels, since they cast them to bool. `group_accuracy.*` is the unweighted mean of the members' accuracies.
"""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import interpolate

from bench.errors import Failed
from bench.record import Quantity, Value
from bench.worker import class_maps, parts, resample
from bench.worker.confusion import SCORES, by_image, plain, rates, scores, tally
from bench.worker.subject import Subject, evaluating

HEADLINE = "miou"
THRESHOLDS = (50.0,)
"""Percent of the headline quantity, for the epochs to a threshold."""

BY_STACK = ("miou",)
"""Quantities that are also given after every stack before the last."""

KEYS = ("image",)
"""What every batch must have; `check` asks for the labels: `mask` of a network with one map, `part` of others."""

IGNORED = 255
"""The label of pixels that do not count."""

_UNCOUNTED = 128  # is added to the prediction of a pixel that does not count: classes are fewer

QUANTITIES = (
    Quantity(name="miou", unit="%", better="higher", title="mIoU"),
    Quantity(name="miou_fg", unit="%", better="higher", title="mIoU without the background"),
    Quantity(name="macro_f1", unit="%", better="higher", title="F1, mean of classes"),
    Quantity(name="macro_precision", unit="%", better="higher", title="precision, mean of classes"),
    Quantity(name="macro_recall", unit="%", better="higher", title="recall, mean of classes"),
    Quantity(name="pixel_accuracy", unit="%", better="higher", title="pixel accuracy"),
    Quantity(name="binary.iou", unit="%", better="higher", title="IoU of person", headline=False),
    Quantity(name="binary.f1", unit="%", better="higher", title="F1 of person", headline=False),
    Quantity(name="binary.precision", unit="%", better="higher", title="precision of person", headline=False),
    Quantity(name="binary.recall", unit="%", better="higher", title="recall of person", headline=False),
    Quantity(name="group_accuracy.background", unit="%", better="higher", title="accuracy of background"),
    Quantity(name="group_accuracy.head", unit="%", better="higher", title="accuracy of head"),
    Quantity(name="group_accuracy.torso", unit="%", better="higher", title="accuracy of torso"),
    Quantity(name="group_accuracy.upper_legs", unit="%", better="higher", title="accuracy of upper legs"),
    Quantity(name="group_accuracy.lower_legs", unit="%", better="higher", title="accuracy of lower legs"),
    Quantity(name="group_accuracy.neck", unit="%", better="higher", title="accuracy of neck"),
    Quantity(name="group_accuracy.shoulder", unit="%", better="higher", title="accuracy of shoulders"),
    Quantity(name="group_accuracy.upper_arms", unit="%", better="higher", title="accuracy of upper arms"),
    Quantity(name="group_accuracy.lower_arms", unit="%", better="higher", title="accuracy of lower arms"),
    Quantity(name="group_accuracy.feet", unit="%", better="higher", title="accuracy of feet"),
    Quantity(name="group_accuracy.hands", unit="%", better="higher", title="accuracy of hands"),
    Quantity(name="group_accuracy.fingers", unit="%", better="higher", title="accuracy of fingers"),
    Quantity(name="group_accuracy.toes", unit="%", better="higher", title="accuracy of toes"),
)
"""Of every network; the groups of one with 25 classes alone. The accuracy of each class comes on top."""

BACKGROUND = Quantity(name="miou.background", unit="%", better="none", title="mIoU of the background everywhere")
CONSTANT = Quantity(name="miou.constant", unit="%", better="none", title="mIoU of every pixel's most frequent class")

MOVED = Quantity(
    name="label_change", unit="%", better="lower", title="pixels whose class the mode changes", headline=False
)
"""What `moved` says."""


class Counted(NamedTuple):
    """What is kept of one batch, on its device.

    Attributes:
        pixels: N C C, int64: counted pixels by label (rows) and predicted class (columns).
        outside: pixels whose label is neither a class nor IGNORED.
        broken: N, bool: logits are not finite.
        predicted: N H W, uint8: the class, and _UNCOUNTED more where the label is IGNORED.
    """

    pixels: Tensor
    outside: Tensor
    broken: Tensor
    predicted: Tensor


class Metric:
    """Counts pixels on the device, without a synchronisation, and scores them in `compute`.

    Kept of every image: the matrix, 8 C^2 bytes, and for `moved` and `predictions` one byte a pixel: with 25 classes
    and 256 x 256 pixels 5 kB and 66 kB, of 3,000 images 200 MB.

    Attributes:
        maps: of the network, 0 before the first batch.
        size: (H, W) of the labels.
    """

    def __init__(self) -> None:
        self._batches: list[Counted] = []
        self.maps, self.size = 0, (0, 0)

    def update(self, output: Tensor, batch: dict[str, Tensor]) -> None:
        """Take the network's answer to a batch.

        Args:
            output: logits N K h w, brought to the labels' size bilinearly (pixel centres, align_corners=False) where
                that is another. With K = 1 a logit above 0 is a person; else the largest one is the class, with K = 2,
                5 or 13 that of `parts.coarse`.
            batch: part N H W, uint8, 0 to 24; where K = 1 mask N H W, bool, or uint8, 0 and 1. IGNORED where a pixel
                does not count.

        Raises:
            Failed: the data set lacks the labels, or the output does not fit them.
        """
        labels = _labels(output, batch)
        maps, size = output.shape[1], (labels.shape[1], labels.shape[2])
        if len(output) != len(labels):
            raise Failed(f"the network puts out {len(output)} images, the data set has labels of {len(labels)}")
        if self._batches and (self.maps, self.size) != (maps, size):
            before = f"{self.maps} maps on labels of {self.size} pixels"
            raise Failed(f"batches of one network are alike: {before}, then {maps} on {size}")
        self.maps, self.size = maps, size
        classes = max(2, maps)
        logits = output.detach()
        predicted = _predicted(logits, size)
        pixels = tally(labels, predicted, classes)
        low, high = logits.amin((1, 2, 3)), logits.amax((1, 2, 3))  # NaN where there is one
        self._batches.append(
            Counted(
                pixels=pixels[:, :classes].clone(),
                outside=pixels[:, classes:IGNORED].sum(),
                broken=~(low.isfinite() & high.isfinite()),
                predicted=torch.where(labels == IGNORED, predicted + _UNCOUNTED, predicted),
            )
        )

    def compute(self) -> Iterator[Value]:
        """Every quantity with its 95 % percentile bootstrap interval over images.

        One image has no interval. The details of `miou` have the names of the classes, the confusion matrix (rows are
        labels), the classes' IoU in percent, and scores by image that add up to the figure: see `confusion.by_image`.

        Raises:
            Failed: no images were scored, logits are not finite, or labels are no classes.
        """
        matrices = self.matrices()
        images, total = len(matrices), matrices.sum(0)
        found = percentages(total.double())
        resampled = percentages(resample.sums(matrices.flatten(1)).unflatten(1, total.shape))
        details = {
            "classes": list(parts.NAMES[len(total)]),
            "confusion": total.tolist(),
            "class_iou": [None if share is None else 100 * share for share in scores(total)["class_iou"]],
            "images": by_image(matrices),
        }
        over = f"{images} image{'s' if images > 1 else ''}"
        how = f"bootstrap over {over}" if images > 1 else "one image, no interval"
        for quantity in quantities(len(total)):
            kept = details if quantity.name == HEADLINE else {}
            value = plain(found[quantity.name])
            if value is None:
                reason = f"{_missing(quantity.name, total)} in {over}"
                yield Value(quantity=quantity, reason=reason, details=kept)
                continue
            low, high = resample.interval(resampled[quantity.name]) if images > 1 else (None, None)
            yield Value(quantity=quantity, value=value, low=low, high=high, how=how, details=kept)

    def matrices(self) -> Tensor:
        """The confusion matrix of every image: N C C, int64, on the CPU, in the order of `update`.

        Raises:
            Failed: as `compute`.
        """
        if not sum(len(counted.pixels) for counted in self._batches):
            raise Failed("no images were scored: segmentation needs at least one")
        broken = sum(int(counted.broken.sum()) for counted in self._batches)
        if broken:
            raise Failed(f"{broken} image{'s have' if broken > 1 else ' has'} logits that are not finite")
        outside = sum(int(counted.outside) for counted in self._batches)
        if outside:
            # A coarser network is scored on the parts' labels too.
            count = 2 if self.maps == 1 else len(parts.CLASSES)
            said = f"allowed are 0 to {count - 1}, and {IGNORED} for pixels that do not count"
            have = "pixels have" if outside > 1 else "pixel has"
            raise Failed(f"{outside} {have} a label that is none of the {count} classes: {said}")
        return torch.cat([counted.pixels for counted in self._batches]).cpu()

    def predictions(self) -> Tensor:
        """The predicted class of every pixel: N H W, uint8, on the CPU, in the order of `update`."""
        return (self.kept() % _UNCOUNTED).cpu()

    def kept(self) -> Tensor:
        """`Counted.predicted` of all batches, on its device."""
        if not self._batches:
            return torch.zeros(0, 0, 0, dtype=torch.uint8)
        return torch.cat([counted.predicted for counted in self._batches])


def quantities(classes: int) -> list[Quantity]:
    """What a network of so many classes is scored by."""
    grouped = classes == len(parts.CLASSES)
    kept = [quantity for quantity in QUANTITIES if grouped or not quantity.name.startswith("group_accuracy.")]
    titles = {f"class_accuracy.{name}": f"accuracy of {_words(name)}" for name in parts.NAMES[classes]}
    own = [Quantity(name=k, unit="%", better="higher", title=title, headline=False) for k, title in titles.items()]
    return kept + own


def percentages(matrices: Tensor) -> dict[str, Tensor]:
    """Every quantity of matrices with as many classes as a level of `parts` has.

    Args:
        matrices: ... C C, float64.

    Returns:
        Name of the quantity -> a tensor of the leading shape; NaN where it is not defined.
    """
    classes = matrices.shape[-1]
    by_class, person = rates(matrices), rates(_person(matrices))
    accuracy = by_class["class_accuracy"]
    found = {name: by_class[name] for name in SCORES}
    found |= {
        "binary.iou": person["class_iou"][..., 1],
        "binary.f1": person["class_f1"][..., 1],
        "binary.precision": person["class_precision"][..., 1],
        "binary.recall": person["class_accuracy"][..., 1],
    }
    if classes == len(parts.CLASSES):
        for number, name in enumerate(parts.GROUPS):
            found[f"group_accuracy.{name}"] = accuracy[..., parts.members(number)].nanmean(-1)
    found |= {f"class_accuracy.{name}": accuracy[..., number] for number, name in enumerate(parts.NAMES[classes])}
    return {name: 100 * share for name, share in found.items()}


def _person(matrices: Tensor) -> Tensor:
    """All classes but the background as one: ... 2 2."""
    rows = torch.stack([matrices[..., 0, :], matrices[..., 1:, :].sum(-2)], dim=-2)
    return torch.stack([rows[..., 0], rows[..., 1:].sum(-1)], dim=-1)


def change(of: Metric, against: Metric) -> tuple[float, float, float]:
    """Difference of `miou` between two predictors on the same images, paired by image.

    Returns:
        (difference, low, high) in percentage points, `of` minus `against`, with the 95 % percentile bootstrap
        interval over images; exactly (0, 0, 0) where the matrices of every image are the same. With one image the
        bounds are the difference.

    Raises:
        Failed: as `compute`, or the images are not the same, or no pixel counts.
    """
    ours, theirs = _paired(of, against)
    if torch.equal(ours, theirs):
        return 0.0, 0.0, 0.0
    pair = torch.stack([ours, theirs], dim=1)
    drawn = _gain(resample.sums(pair.flatten(1)).unflatten(1, pair.shape[1:]))
    difference = float(_gain(pair.sum(0).double()))
    low, high = resample.interval(drawn) if len(pair) > 1 else (None, None)
    return difference, difference if low is None else low, difference if high is None else high


def _gain(pair: Tensor) -> Tensor:
    """Percentage points of mIoU by which the first of two matrices is better: of ... 2 C C."""
    miou = 100 * rates(pair)["miou"]
    return miou[..., 0] - miou[..., 1]


def moved(of: Metric, against: Metric) -> Value:
    """Share of the pixels that count whose predicted class differs in two predictions on the same images, percent.

    Raises:
        Failed: as `change`.
    """
    _paired(of, against)
    ours, theirs = of.kept(), against.kept()
    theirs = theirs.to(ours.device)
    counted = ours < _UNCOUNTED
    if ours.shape != theirs.shape or not torch.equal(counted, theirs < _UNCOUNTED):
        raise Failed("not the same images: other pixels do not count")
    differing, pixels = int(((ours != theirs) & counted).sum()), int(counted.sum())
    return Value(quantity=MOVED, value=100 * differing / pixels, details={"differing": differing, "pixels": pixels})


def _paired(of: Metric, against: Metric) -> tuple[Tensor, Tensor]:
    ours, theirs = of.matrices(), against.matrices()
    if len(ours) != len(theirs):
        raise Failed(f"not the same images: {len(ours)} and {len(theirs)} were scored")
    if ours.shape != theirs.shape:
        raise Failed(f"not the same classes: {ours.shape[1]} and {theirs.shape[1]} were scored")
    if not torch.equal(ours.sum(2), theirs.sum(2)):
        raise Failed("not the same images: their labels differ")
    if not ours.sum():
        raise Failed(f"no pixel that counts in {len(ours)} images: there is nothing to compare")
    return ours, theirs


def blind(subject: Subject) -> dict[Quantity, Tensor]:
    """Logits that are answered without looking, K H W: the background, and the class that a pixel has most often.

    The latter is made from the labels that the subject's training begins with, and is the better one.
    """
    with evaluating(subject.model), torch.no_grad():
        maps = subject.forward(subject.inputs[0][:1])[-1].shape[1]
    constant = class_maps.most_frequent(subject, lambda batch: _truth(maps, batch), maps)
    size = constant.shape[1], constant.shape[2]
    return {BACKGROUND: class_maps.background(maps, size).to(constant.device), CONSTANT: constant}


def pictured(metrics: Sequence[Metric], batch: dict[str, Tensor]) -> dict[str, NDArray[Any]]:
    """What the first images are drawn from, besides `image`: `part`, n H W, and `predicted`, stacks n H W, uint8.

    A merged class has the number of the first part in it, and a pixel that does not count that of the background.
    """
    maps, count = metrics[-1].maps, len(batch["image"])
    truth = _truth(maps, batch)
    part = _firsts(maps)[torch.where(truth == IGNORED, 0, truth).long()]
    predicted = [_firsts(metric.maps)[metric.predictions()[:count].long()] for metric in metrics]
    return {"part": part.numpy(), "predicted": torch.stack(predicted).numpy()}


def _firsts(maps: int) -> Tensor:
    """Class of a network -> the first part in it, uint8."""
    parents = parts.LEVELS[max(2, maps)]
    return torch.tensor([parents.index(parent) for parent in range(max(2, maps))], dtype=torch.uint8)


def check(outputs: Sequence[Tensor], batch: dict[str, Tensor]) -> str:
    """Why outputs cannot be scored on such data, from their shapes; empty where they can."""
    try:
        for output in outputs:
            _labels(output, batch)
    except Failed as problem:
        return str(problem)
    return ""


def _labels(output: Tensor, batch: dict[str, Tensor]) -> Tensor:
    """What an output is scored on: N H W, uint8, IGNORED where a pixel does not count."""
    if output.dim() != 4 or 0 in output.shape[1:]:
        raise Failed(f"segmentation needs logits N K h w, the output is {tuple(output.shape)}")
    return _truth(output.shape[1], batch)


def _truth(maps: int, batch: dict[str, Tensor]) -> Tensor:
    """As `_labels`, of a network with so many maps."""
    key = "mask" if maps == 1 else "part"
    if key not in batch:
        raise Failed(f"there is no {key}, on which a network with {maps} map{'s' if maps > 1 else ''} is scored")
    labels = batch[key]
    if labels.dim() != 3 or labels.dtype not in (torch.uint8, *([torch.bool] if maps == 1 else [])):
        raise Failed(f"segmentation needs {key} N H W of {torch.uint8}, not {tuple(labels.shape)} of {labels.dtype}")
    return labels.to(torch.uint8) if maps == 1 else parts.coarse(labels, maps)


def _predicted(logits: Tensor, size: tuple[int, ...]) -> Tensor:
    """Classes at the labels' size: N H W, uint8."""
    if tuple(logits.shape[2:]) != size:
        logits = interpolate(logits.float(), size=size, mode="bilinear", align_corners=False)
    if logits.shape[1] == 1:
        return (logits[:, 0] > 0).to(torch.uint8)
    return logits.max(1).indices.to(torch.uint8)  # argmax takes three times as long on the CPU


def _missing(name: str, total: Tensor) -> str:
    """What there is none of, where a quantity is not defined."""
    if not total.sum():
        return "no pixel that counts"
    if name in ("miou_fg", "binary.iou", "binary.f1", "binary.precision"):
        return "no person, labelled or predicted,"
    return f"no labelled {_words('person' if name == 'binary.recall' else name.partition('.')[2])}"


def _words(name: str) -> str:
    return name.replace("_", " ")
