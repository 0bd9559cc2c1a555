"""PCKh@0.5, the share of joints found within half a head: pooled, per joint and per group, over MPII's 16 joints.

Definition (MPII evaluation toolkit; M. Andriluka, L. Pishchulin, P. Gehler, B. Schiele, 2D Human Pose Estimation: New
Benchmark and State of the Art Analysis, CVPR 2014): the distance between prediction and truth over the head size,
0.6 x the diagonal of the head's box, is at most 0.5. A joint counts where it is labelled, occluded or not. Pelvis and
thorax are in neither total. Publications differ in three conventions, so the quantities are named:

- `pckh.total` pools all labelled joints of the 14 (toolkit, mmpose); `pckh.mean14` is the unweighted mean of the 14
  joints' rates (bearpaw/pytorch-pose, anibali/pytorch-stacked-hourglass). They differ by about half a point.
- `pckh.head` is the head top alone (the latter two and mmpose); `pckh.head_official` is the mean of upper neck and
  head top (toolkit).
- the toolkit's `<= 0.5` is used; others have `<`, which matters for whole-pixel predictions only.
"""

from collections.abc import Iterator, Sequence
from math import isnan
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bench.errors import Failed
from bench.record import Quantity, Value
from bench.worker import heatmap, poses, resample
from bench.worker.subject import Subject

HEADLINE = "pckh.total"
THRESHOLDS = (50.0,)
"""Percent of the headline quantity, for the epochs to a threshold."""

BY_STACK = ("pckh.total", "pckh.limbs")
"""Quantities that are also given after every stack before the last (Newell et al. 2016, Fig. 9)."""

JOINTS = 16
UNCOUNTED = (6, 7)  # pelvis and thorax
COUNTED = tuple(joint for joint in range(JOINTS) if joint not in UNCOUNTED)

GROUPS: dict[str, tuple[int, ...]] = {
    "head": (9,),
    "shoulder": (12, 13),
    "elbow": (11, 14),
    "wrist": (10, 15),
    "hip": (2, 3),
    "knee": (1, 4),
    "ankle": (0, 5),
    "head_official": (8, 9),
}
"""Group -> its joints in MPII's order (0 right ankle ... 5 left ankle, 8 upper neck, 9 head top, 10 right wrist ...
15 left wrist; left and right are the person's). A group's rate is the mean of its joints' rates, as far as defined."""

LIMBS = ("wrist", "elbow", "knee", "ankle")

NEAR = 0.5  # of the head size

KEYS = ("image", "joints", "labelled", "head_size")

SAME = 0.01
"""Pixels by which the truth of the same image may differ: data that are drawn on two devices differ by rounding."""

QUANTITIES = (
    Quantity(name="pckh.total", unit="%", better="higher", title="PCKh@0.5 total"),
    Quantity(name="pckh.mean14", unit="%", better="higher", title="PCKh@0.5 mean of 14 joints' rates"),
    Quantity(name="pckh.limbs", unit="%", better="higher", title="PCKh@0.5 wrists, elbows, knees, ankles"),
    Quantity(name="pckh.head", unit="%", better="higher", title="PCKh@0.5 head top"),
    Quantity(name="pckh.shoulder", unit="%", better="higher", title="PCKh@0.5 shoulders"),
    Quantity(name="pckh.elbow", unit="%", better="higher", title="PCKh@0.5 elbows"),
    Quantity(name="pckh.wrist", unit="%", better="higher", title="PCKh@0.5 wrists"),
    Quantity(name="pckh.hip", unit="%", better="higher", title="PCKh@0.5 hips"),
    Quantity(name="pckh.knee", unit="%", better="higher", title="PCKh@0.5 knees"),
    Quantity(name="pckh.ankle", unit="%", better="higher", title="PCKh@0.5 ankles"),
    Quantity(
        name="pckh.head_official",
        unit="%",
        better="higher",
        title="PCKh@0.5 upper neck and head top, as the MPII toolkit's head",
        headline=False,
    ),
)

MEAN_POSE = Quantity(name="pckh.mean_pose", unit="%", better="none", title="PCKh@0.5 total of the mean pose")
CONSTANT_POSE = Quantity(
    name="pckh.constant_pose", unit="%", better="none", title="PCKh@0.5 total of the best constant pose"
)

MOVED = Quantity(
    name="keypoint_shift",
    unit="pixel",
    better="lower",
    headline=False,
    title="joints moved by the mode, 99th percentile",
)

_MISSING = {"total": "joint", "mean14": "joint", "limbs": "limb", "head": "head top", "head_official": "head"}

Array = Tensor | NDArray[Any]


class People(NamedTuple):
    """Predictions beside the truth, one person per image.

    Attributes:
        predicted, truth: N 16 2, (x, y) in image pixels.
        head_size: N, pixels.
        labelled: N 16, bool.
    """

    predicted: Tensor
    truth: Tensor
    head_size: Tensor
    labelled: Tensor


def pckh(pred: Array, gt: Array, head_size: Array, labelled: Array) -> dict[str, Any]:
    """PCKh@0.5 of predicted joints.

    Args:
        pred, gt: N 16 2, (x, y) in pixels; a prediction that is not finite is wrong.
        head_size: N, pixels, 0.6 x the diagonal of the head's box already.
        labelled: N 16, true where the joint is annotated, occluded or not.

    Returns:
        Percentages: total, mean14, limbs and the GROUPS; `per_joint`, 16 of them; None where no labelled joint
        defines one. `counts`: the labelled instances of each of the 16 joints.

    Raises:
        Failed: shapes that do not fit, or a labelled person without a head size or a position.
    """
    people = _to_cpu(People(*(_tensor(given) for given in (pred, gt, head_size, labelled))))
    correct = _judge(people)
    hits, counts = correct.sum(0).double(), people.labelled.sum(0).double()
    named = {name: _plain(rate) for name, rate in rates(hits, counts).items()}
    per_joint = [_plain(rate) for rate in 100 * hits / counts]
    return named | {"per_joint": per_joint, "counts": [int(count) for count in counts]}


def rates(hits: Tensor, counts: Tensor) -> dict[str, Tensor]:
    """Every percentage but the joints' own, from the joints' correct and labelled instances.

    Args:
        hits, counts: ... 16, float64.

    Returns:
        total, mean14, limbs and the GROUPS -> a tensor of the leading shape; NaN where it is not defined.
    """
    rate = 100 * hits / counts  # 0/0 is NaN, which nanmean leaves out
    counted = list(COUNTED)
    groups = {name: rate[..., list(joints)].nanmean(-1) for name, joints in GROUPS.items()}
    return {
        "total": 100 * hits[..., counted].sum(-1) / counts[..., counted].sum(-1),
        "mean14": rate[..., counted].nanmean(-1),
        "limbs": torch.stack([groups[name] for name in LIMBS], dim=-1).nanmean(-1),
    } | groups


class Metric:
    """Gathers predictions on their device, without a synchronisation, and scores them in `compute`."""

    def __init__(self) -> None:
        self._batches: list[People] = []
        self._flat: list[Tensor] = []  # per batch of maps, the labelled joints whose map says nothing

    def update(self, output: Tensor, batch: dict[str, Tensor]) -> None:
        """Take the network's answer to a batch.

        Args:
            output: heat maps of one stack, N 16 h w, or joints in image pixels, N 16 2. Where a map's maximum is
                not finite, there is no prediction.
            batch: image N C H W, joints N 16 2 in its pixels, labelled N 16, head_size N.

        Raises:
            Failed: the data set lacks a key, or the output does not fit it.
        """
        missing = [key for key in KEYS if key not in batch]
        if missing:
            raise Failed(f"data set has no {', '.join(missing)}: pckh needs {', '.join(KEYS)}")
        joints, labelled = batch["joints"], batch["labelled"] != 0
        if output.dim() not in (3, 4):
            raise Failed(f"pckh needs heat maps N 16 h w or joints N 16 2, the output is {_shape(output)}")
        if output.shape[1] != joints.shape[1]:
            raise Failed(f"the network puts out {output.shape[1]} joints, the data set has {joints.shape[1]}")
        predicted, flat = _locate(output.detach(), batch["image"])
        people = People(predicted, joints.clone(), batch["head_size"].clone(), labelled)
        _check_shapes(people)
        self._batches.append(people)
        if flat is not None:
            self._flat.append((flat & labelled).sum())

    def compute(self) -> Iterator[Value]:
        """Every quantity with its 95 % percentile bootstrap interval over images.

        One image has no interval. The details of `pckh.total` have the joints' rates and counts, each image's
        correct and counted joints of the 14 in the order of `update`, and `flat_maps`: labelled joints whose map has
        no positive and finite maximum (None where joints were given).

        Raises:
            Failed: no images were scored, or a labelled person has no head size or no position.
        """
        people = self.people()
        images = len(people.head_size)
        if images == 0:
            raise Failed("no images were scored: pckh needs at least one")
        correct = _judge(people)
        result = pckh(*people)
        both = resample.sums(torch.cat([correct, people.labelled], dim=1))
        resampled = rates(both[:, :JOINTS], both[:, JOINTS:])
        counted = list(COUNTED)
        details = {
            "per_joint": result["per_joint"],
            "counts": result["counts"],
            "images": {
                "correct": correct[:, counted].sum(1).tolist(),
                "counted": people.labelled[:, counted].sum(1).tolist(),
            },
            "flat_maps": sum(int(flat) for flat in self._flat) if self._flat else None,
        }
        over = f"{images} image{'s' if images > 1 else ''}"
        for quantity in QUANTITIES:
            name = quantity.name.removeprefix("pckh.")
            kept = details if quantity.name == HEADLINE else {}
            if result[name] is None:
                reason = f"no labelled {_MISSING.get(name, name)} in {over}"
                yield Value(quantity=quantity, reason=reason, details=kept)
                continue
            low, high = resample.interval(resampled[name]) if images > 1 else (None, None)
            how = f"bootstrap over {over}" if images > 1 else "one image, no interval"
            yield Value(quantity=quantity, value=result[name], low=low, high=high, how=how, details=kept)

    def people(self) -> People:
        """Everything that was taken, on the CPU in float64, in the order of `update`."""
        if not self._batches:
            none = torch.zeros(0, JOINTS, 2)
            return _to_cpu(People(none, none, none[:, 0, 0], none[..., 0]))
        return _to_cpu(People(*(torch.cat(parts) for parts in zip(*self._batches, strict=True))))

    def scores(self) -> tuple[Tensor, Tensor]:
        """(correct, labelled): N 16 each, bool, on the CPU, in the order of `update`; unlabelled is not correct."""
        people = self.people()
        return _judge(people), people.labelled

    def joints(self) -> Tensor:
        """The predictions: N 16 2, (x, y) in image pixels, float64 on the CPU, in the order of `update`."""
        return self.people().predicted


def _locate(output: Tensor, image: Tensor) -> tuple[Tensor, Tensor | None]:
    """Joints in image pixels, N K 2, and which maps have no positive and finite maximum, N K; no synchronisation."""
    if output.dim() == 3:
        return output.clone(), None
    peak = output.amax(dim=(-2, -1))
    known = peak.isfinite()
    found = to_pixels(heatmap.decode(output.float()), output, image)
    return torch.where(known[..., None], found, torch.nan), ~(known & (peak > 0))


def to_pixels(cells: Tensor, maps: Tensor, image: Tensor) -> Tensor:
    """Joints in a map's cells as image pixels: (x + 0.5) x the image's side over the map's, for each axis.

    Args:
        cells: N K 2, (x, y).
        maps: N K h w; image: N C H W. Only their shapes are used.
    """
    across, down = image.shape[-1] / maps.shape[-1], image.shape[-2] / maps.shape[-2]
    # One axis at a time by a number of the host: a tensor of strides would have to be copied to the device.
    return torch.stack([(cells[..., 0] + 0.5) * across, (cells[..., 1] + 0.5) * down], dim=-1)


def change(of: Metric, against: Metric) -> tuple[float, float, float]:
    """Difference of `pckh.total` between two predictors on the same images, paired by image.

    Returns:
        (difference, low, high) in percentage points, `of` minus `against`, with the 95 % percentile bootstrap
        interval over images; exactly (0, 0, 0) where the two are right about the same number of joints in every
        image. With one image the bounds are the difference.

    Raises:
        Failed: as `compute`, or the images are not the same or have no labelled joint of the 14.
    """
    ours, theirs = _paired(of, against)
    counted = list(COUNTED)
    gained = (_judge(ours).double() - _judge(theirs).double())[:, counted].sum(1)
    labelled = ours.labelled[:, counted].sum(1).double()
    if not labelled.sum():
        raise Failed(f"no labelled joint in {len(labelled)} images: there is no change of {HEADLINE}")
    drawn = resample.sums(torch.stack([gained, labelled], dim=1))
    difference = float(100 * gained.sum() / labelled.sum())
    low, high = resample.interval(100 * drawn[:, 0] / drawn[:, 1])
    return difference, difference if low is None else low, difference if high is None else high


def blind(subject: Subject) -> dict[Quantity, Tensor]:
    """Poses answered without looking, K 2 in pixels, of the first training labels: the mean, and the best one."""
    joints, labelled, head_size = poses.labels(subject)
    best = poses.constant_pose(joints, labelled, head_size, NEAR)
    return {MEAN_POSE: poses.mean_pose(joints, labelled), CONSTANT_POSE: best}


def moved(of: Metric, against: Metric) -> Value:
    """How far the labelled joints lie apart in two predictions on the same images: the 99th percentile, in pixels."""
    found = shift(of, against)
    return Value(quantity=MOVED, value=found["p99"], details=found, reason="" if found["joints"] else "no joints")


def pictured(metrics: Sequence[Metric], batch: dict[str, Tensor]) -> dict[str, NDArray[Any]]:
    """Arrays that the first images are drawn from, besides `image`: the truth, and `predicted`, stacks N K 2."""
    predicted = np.stack([metric.joints()[: len(batch["image"])].float().numpy() for metric in metrics])
    return {"predicted": predicted, **{name: batch[name].numpy() for name in ("joints", "labelled", "head_size")}}


def shift(of: Metric, against: Metric, *, in_heads: bool = False) -> dict[str, float | int | None]:
    """How far the labelled joints (all 16) lie apart in two predictions on the same images.

    Args:
        in_heads: distances over the person's head size instead of in image pixels.

    Returns:
        median, p99 (99th percentile, interpolated linearly) and largest distance, None where there is none;
        `joints`, how many they are taken over; `undefined`, labelled joints left out because either prediction is
        not finite.

    Raises:
        Failed: as `compute`, or the images are not the same.
    """
    ours, theirs = _paired(of, against)
    apart = _distance(ours.predicted, theirs.predicted)
    distances = (apart / ours.head_size[:, None] if in_heads else apart)[ours.labelled]
    finite = distances[distances.isfinite()]
    result: dict[str, float | int | None] = {"joints": len(finite), "undefined": len(distances) - len(finite)}
    if not len(finite):
        return result | {"median": None, "p99": None, "largest": None}
    median, p99 = torch.quantile(finite, finite.new_tensor([0.5, 0.99])).tolist()
    return result | {"median": median, "p99": p99, "largest": float(finite.max())}


def _paired(of: Metric, against: Metric) -> tuple[People, People]:
    ours, theirs = of.people(), against.people()
    if len(ours.head_size) != len(theirs.head_size):
        raise Failed(f"not the same images: {len(ours.head_size)} and {len(theirs.head_size)} were scored")
    for people in (ours, theirs):
        _check_labelled(people)
    same = torch.equal(ours.labelled, theirs.labelled)
    if not same or not (_distance(ours.truth, theirs.truth)[ours.labelled] <= SAME).all():
        raise Failed("not the same images: their labelled joints differ")
    return ours, theirs


def _judge(people: People) -> Tensor:
    """N 16, bool: labelled and within half a head; Failed where the truth does not allow to tell."""
    _check_labelled(people)
    near = _distance(people.predicted, people.truth) / people.head_size[:, None] <= NEAR  # NaN is not
    correct: Tensor = near & people.labelled
    return correct


def _distance(a: Tensor, b: Tensor) -> Tensor:
    return ((a - b) ** 2).sum(-1).sqrt()


def _check_labelled(people: People) -> None:
    """People with labelled joints have a head size, and labelled joints a position."""
    head, labelled = people.head_size, people.labelled
    wrong = labelled.any(1) & ~(head.isfinite() & (head > 0))
    if wrong.any():
        image = int(wrong.nonzero()[0])
        raise Failed(f"image {image} has labelled joints and the head size {float(head[image])}: it must be above 0")
    lost = labelled & ~people.truth.isfinite().all(-1)
    if lost.any():
        image, joint = lost.nonzero()[0].tolist()
        raise Failed(f"joint {joint} of image {image} is labelled and has no position")


def _check_shapes(people: People) -> None:
    """Shapes alone, which the host knows."""
    n = len(people.predicted) if people.predicted.dim() else 0
    expected = ((n, JOINTS, 2), (n, JOINTS, 2), (n,), (n, JOINTS))
    for name, given, shape in zip(People._fields, people, expected, strict=True):
        if tuple(given.shape) != shape:
            raise Failed(f"pckh needs {name} of shape {shape}, not {_shape(given)}")


def _tensor(given: Array) -> Tensor:
    # A copy, since torch warns of arrays that it must not write to, and knows no foreign byte order.
    return given.detach() if isinstance(given, Tensor) else torch.from_numpy(np.array(given, dtype=np.float64))


def _to_cpu(people: People) -> People:
    """Checked, in float64 and bool on the CPU."""
    _check_shapes(people)
    predicted, truth, head_size = (tensor.cpu().double() for tensor in people[:3])
    return People(predicted, truth, head_size, people.labelled.cpu() != 0)


def _shape(tensor: Tensor) -> str:
    return str(tuple(tensor.shape))


def _plain(rate: Tensor) -> float | None:
    value = float(rate)
    return None if isnan(value) else value
