"""Segmentation: from logits to values, by hand and against torchmetrics; test_confusion is about the figures."""

import math
import re
from typing import Any

import numpy as np
import pytest
import torch
from jobs import record
from segmented import batch_of, crowd, fed, saying, values
from torch import Tensor
from torchmetrics.classification import MulticlassConfusionMatrix, MulticlassJaccardIndex

from bench import plugins
from bench.errors import Failed
from bench.record import decode_record, encode
from bench.scores import of_record
from bench.worker import parts, resample
from bench.worker.confusion import scores
from bench.worker.metrics import segmentation as plugin
from bench.worker.metrics.segmentation import IGNORED, Metric

MAIN = ["miou", "miou_fg", "macro_f1", "macro_precision", "macro_recall", "pixel_accuracy"]
BINARY = ["binary.iou", "binary.f1", "binary.precision", "binary.recall"]


def matrix_of(predicted: Tensor, labels: Tensor, classes: int) -> Any:
    """Counted with NumPy, pixels that do not count left out."""
    found = np.zeros((classes, classes), dtype=int)
    kept = labels.flatten() != IGNORED
    np.add.at(found, (labels.flatten()[kept].numpy(), predicted.flatten()[kept].numpy()), 1)
    return found


def test_groups_are_written_out_as_parts_names_them() -> None:
    written = [name for name in plugins.quantities() if name.startswith("group_accuracy.")]
    assert written == [f"group_accuracy.{name}" for name in parts.GROUPS]


def test_quantities_of_a_network_with_25_classes() -> None:
    found = values(fed(*crowd(20)))
    groups = [f"group_accuracy.{name}" for name in parts.GROUPS]
    classes = [f"class_accuracy.{name}" for name in parts.CLASSES]
    assert list(found) == MAIN + BINARY + groups + classes
    assert [name for name, value in found.items() if value.quantity.headline] == MAIN + groups
    assert {(v.quantity.unit, v.quantity.better, v.how) for v in found.values()} == {
        ("%", "higher", "bootstrap over 20 images")
    }


def test_figures_are_those_of_all_pixels_together() -> None:
    logits, batch = crowd(20)
    matrix = matrix_of(logits.argmax(1), batch["part"], 25)
    expected, found = scores(matrix), values(fed(logits, batch, size=3))
    assert {name: found[name].value for name in MAIN} == pytest.approx({name: 100 * expected[name] for name in MAIN})
    accuracy = [found[f"class_accuracy.{name}"].value for name in parts.CLASSES]
    assert accuracy == pytest.approx([100 * share for share in expected["class_accuracy"]])
    details = found["miou"].details
    assert details["confusion"] == matrix.tolist()
    assert details["classes"] == list(parts.CLASSES)
    assert details["class_iou"] == pytest.approx([100 * share for share in expected["class_iou"]])


@pytest.mark.parametrize("seed", range(3))
def test_it_is_what_torchmetrics_says(seed: int) -> None:
    logits, batch = crowd(24, seed=seed)
    rest: dict[str, Any] = {"num_classes": 25, "ignore_index": IGNORED, "validate_args": False}
    confusion, jaccard = MulticlassConfusionMatrix(**rest), MulticlassJaccardIndex(**rest)
    for first in range(0, 24, 8):
        for oracle in (confusion, jaccard):
            oracle.update(logits[first : first + 8], batch["part"][first : first + 8].long())
    found = values(fed(logits, batch, size=8))["miou"]
    assert found.details["confusion"] == confusion.compute().tolist()
    assert found.value == pytest.approx(100 * float(jaccard.compute()), rel=1e-6)


def test_a_group_is_the_mean_of_its_members_not_their_pool() -> None:
    """Left foot right in 1 of 1 pixel, right foot in 0 of 3: 50, not 25; of the toes only one side is labelled."""
    part, predicted = torch.tensor([[[8, 9, 9, 9, 11, 11]]]), torch.tensor([[[8, 8, 8, 8, 11, 0]]])
    found = values(fed(saying(predicted, 25), batch_of(part)))
    assert [found[f"class_accuracy.{side}_foot"].value for side in ("left", "right")] == [100.0, 0.0]
    assert found["group_accuracy.feet"].value == 50.0
    assert found["group_accuracy.toes"].value == 50.0
    assert found["class_accuracy.right_toe_base"].reason == "no labelled right toe base in 1 image"
    assert found["group_accuracy.upper_arms"].reason == "no labelled upper arms in 1 image"


def test_a_person_is_any_part() -> None:
    """Person: 2 of 4 labelled pixels found, one of them as another part; 1 of 2 background pixels is called a part."""
    part, predicted = torch.tensor([[[1, 2, 3, 4, 0, 0]]]), torch.tensor([[[1, 5, 0, 0, 6, 0]]])
    found = values(fed(saying(predicted, 25), batch_of(part)))
    assert [found[name].value for name in BINARY] == pytest.approx([40.0, 400 / 7, 200 / 3, 50.0])


def test_pixels_that_do_not_count_are_left_out() -> None:
    logits, batch = crowd(6)
    whole = values(fed(logits, batch))
    other = torch.where((batch["part"] == IGNORED)[:, None], torch.randn(logits.shape), logits)
    assert values(fed(other, batch)) == whole
    assert int(np.sum(whole["miou"].details["confusion"])) == int((batch["part"] != IGNORED).sum())


def test_where_no_pixel_counts_nothing_is_defined() -> None:
    found = values(fed(torch.randn(3, 25, 4, 4), batch_of(torch.full((3, 4, 4), IGNORED))))
    assert {(value.value, value.low, value.reason) for value in found.values()} == {
        (None, None, "no pixel that counts in 3 images")
    }
    assert found["miou"].details["images"] is None


def test_what_no_image_has_is_undefined_with_a_reason() -> None:
    nobody = torch.zeros(2, 4, 4)
    found = values(fed(saying(nobody, 25), batch_of(nobody)))
    assert found["miou"].value == 100.0
    nothing = "no person, labelled or predicted, in 2 images"
    assert [found[name].reason for name in ("miou_fg", *BINARY[:3])] == [nothing] * 4
    assert found["binary.recall"].reason == "no labelled person in 2 images"
    assert found["group_accuracy.head"].reason == "no labelled head in 2 images"
    seen = values(fed(saying(nobody + 1, 25), batch_of(nobody)))
    assert [seen[name].value for name in ("miou_fg", *BINARY)] == [0.0, 0.0, 0.0, 0.0, None]


@pytest.mark.parametrize("label", [25, 100, 254])
@pytest.mark.parametrize("maps", [2, 25])
def test_labels_that_are_no_class_fail(label: int, maps: int) -> None:
    batch = batch_of(torch.zeros(3, 4, 4))
    batch["part"][0, 1, 2:4] = batch["part"][2, 0, 0] = label
    metric = fed(torch.randn(3, maps, 4, 4), batch, size=2)
    said = "3 pixels have a label that is none of the 25 classes: allowed are 0 to 24, and 255 for pixels"
    with pytest.raises(Failed, match=f"^{said} that do not count$"):
        list(metric.compute())


def test_one_map_is_a_person_where_it_is_above_zero() -> None:
    batch = batch_of(torch.tensor([[[0, 0, 0, 7, 24]]]))
    found = values(fed(torch.tensor([[[[-3.0, 0.0, 0.1, 0.1, -0.1]]]]), batch))
    assert found["miou"].details["confusion"] == [[2, 1], [1, 1]]
    classes = ["class_accuracy.background", "class_accuracy.person"]
    assert list(found) == MAIN + BINARY + classes
    assert found["miou"].value == pytest.approx(100 * (2 / 4 + 1 / 3) / 2)
    assert found["miou_fg"].value == found["binary.iou"].value == pytest.approx(100 / 3)
    assert [found[name].value for name in classes] == pytest.approx([200 / 3, 50.0])
    del batch["part"]
    batch["mask"] = batch["mask"].to(torch.uint8)
    assert values(fed(torch.tensor([[[[-3.0, 0.0, 0.1, 0.1, -0.1]]]]), batch)) == found
    batch["mask"][..., 1:3] = torch.tensor([IGNORED, IGNORED])
    assert values(fed(torch.zeros(1, 1, 1, 5), batch))["miou"].details["confusion"] == [[1, 0], [2, 0]]
    batch["mask"][..., 0] = 2
    with pytest.raises(Failed, match=r"^1 pixel has a label that is none of the 2 classes: allowed are 0 to 1, "):
        list(fed(torch.zeros(1, 1, 1, 5), batch).compute())


@pytest.mark.parametrize("classes", [2, 5, 13])
def test_a_coarse_network_is_scored_on_merged_labels(classes: int) -> None:
    logits, batch = crowd(10, classes)
    merged = parts.coarse(batch["part"], classes)
    expected = scores(matrix_of(logits.argmax(1), merged, classes))
    found = values(fed(logits, batch))
    assert list(found) == MAIN + BINARY + [f"class_accuracy.{name}" for name in parts.NAMES[classes]]
    assert [found[name].value for name in MAIN] == pytest.approx([100 * expected[name] for name in MAIN])


def test_logits_are_brought_to_the_labels_size_between_pixel_centres() -> None:
    """Two cells, -1 and 3, become eight pixels: with centres at x / 4 - 3 / 8 they pass zero at 1 / 4, x = 2.5."""
    batch = batch_of(torch.zeros(1, 2, 8))
    logits = torch.tensor([-1.0, 3.0]).expand(1, 1, 1, 2)
    assert fed(logits, batch).predictions()[0].tolist() == [[0, 0, 0, 1, 1, 1, 1, 1]] * 2
    assert fed(logits.half(), batch).predictions()[0].tolist() == [[0, 0, 0, 1, 1, 1, 1, 1]] * 2
    two = torch.cat([torch.zeros_like(logits), logits], dim=1)
    assert fed(two, batch).predictions()[0].tolist() == [[0, 0, 0, 1, 1, 1, 1, 1]] * 2


def test_logits_of_the_labels_size_are_taken_as_they_are() -> None:
    logits, batch = crowd(3)
    assert torch.equal(fed(logits, batch).predictions().long(), logits.argmax(1))
    assert torch.equal(fed(logits.bfloat16(), batch).predictions().long(), logits.bfloat16().argmax(1))
    last = logits.contiguous(memory_format=torch.channels_last)
    assert torch.equal(fed(last, batch).predictions().long(), logits.argmax(1))
    assert not fed(torch.zeros_like(logits), batch).predictions().any(), "of equal ones the first"


@pytest.mark.parametrize("size", [1, 7, 40])
@pytest.mark.parametrize("cells", [12, 5])
def test_batches_change_nothing(size: int, cells: int) -> None:
    logits, batch = crowd(40)
    logits = logits[:, :, :cells]
    assert values(fed(logits, batch, size=size)) == values(fed(logits, batch))
    assert torch.equal(fed(logits, batch, size=size).predictions(), fed(logits, batch).predictions())


def test_the_order_of_images_changes_no_figure() -> None:
    logits, batch = crowd(30)
    backwards = fed(logits.flip(0), {key: part.flip(0) for key, part in batch.items()}, size=7)
    found, other = values(fed(logits, batch, size=7)), values(backwards)
    assert [value.value for value in other.values()] == [value.value for value in found.values()]
    assert other["miou"].details["confusion"] == found["miou"].details["confusion"]


def test_what_was_taken_is_kept_though_the_buffers_are_reused() -> None:
    logits, batch = crowd(5)
    metric, expected = fed(logits, batch), values(fed(logits.clone(), {k: v.clone() for k, v in batch.items()}))
    for buffer in (logits, *batch.values()):
        buffer.zero_()
    assert values(metric) == expected


@pytest.mark.parametrize("maps", [1, 5, 25])
@pytest.mark.parametrize("cells", [4, 8])
def test_taking_a_batch_reads_no_value(maps: int, cells: int) -> None:
    """A tensor on the meta device has none: what would wait for a GPU raises."""
    with torch.device("meta"):
        Metric().update(torch.zeros(2, maps, cells, cells), batch_of(torch.zeros(2, 8, 8)))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
@pytest.mark.parametrize("maps", [1, 5, 25])
def test_a_gpu_counts_alike_without_a_synchronisation(maps: int) -> None:
    logits, batch = crowd(8, max(2, maps))
    there = logits[:, :maps].cuda(), {key: part.cuda() for key, part in batch.items()}
    metric = Metric()
    torch.cuda.set_sync_debug_mode("error")
    try:
        metric.update(*there)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert values(metric) == values(fed(logits[:, :maps], batch))
    assert torch.equal(metric.predictions(), fed(logits[:, :maps], batch).predictions())


@pytest.mark.parametrize("wrong", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("maps", [1, 25])
@pytest.mark.parametrize("cells", [4, 8])
def test_logits_that_are_not_finite_fail(wrong: float, maps: int, cells: int) -> None:
    logits = torch.randn(4, maps, cells, cells)
    logits[1, 0, 2, 3] = wrong
    metric = fed(logits, batch_of(torch.zeros(4, 8, 8)), size=3)
    with pytest.raises(Failed, match=r"^1 image has logits that are not finite$"):
        list(metric.compute())
    logits[3, -1, 0, :2] = wrong
    metric = fed(logits, batch_of(torch.zeros(4, 8, 8)), size=3)
    with pytest.raises(Failed, match=r"^2 images have logits that are not finite$"):
        list(metric.compute())


def test_intervals_are_those_of_the_bootstrap_over_images() -> None:
    logits, batch = crowd(60)
    metric = fed(logits, batch)
    found = values(metric)
    for name in [*MAIN, *BINARY, "group_accuracy.head", "class_accuracy.head"]:
        value = found[name]
        assert value.low is not None and value.value is not None and value.high is not None
        assert 0 <= value.low < value.value < value.high <= 100, name
    matrices = metric.matrices()
    drawn = [(row[:, None, None] * matrices).sum(0) for row in resample.weights(60)]
    miou = torch.tensor([100 * scores(matrix.long())["miou"] for matrix in drawn])
    assert resample.interval(miou) == pytest.approx((found["miou"].low, found["miou"].high), abs=1e-4)
    one = values(fed(logits[:1], {key: part[:1] for key, part in batch.items()}))["miou"]
    assert (one.value is None, one.low, one.high, one.how) == (False, None, None, "one image, no interval")


def test_scores_by_image_are_those_that_are_compared_in_pairs() -> None:
    logits, batch = crowd(30)
    sent = record(values=list(fed(logits, batch).compute()))
    kept = of_record(decode_record(encode(sent)), "miou")
    assert kept is not None
    counted = (batch["part"] > 0) & (batch["part"] != IGNORED)
    assert list(kept[1]) == counted.sum((1, 2)).tolist()


def test_predictions_are_in_the_order_of_update_where_no_pixel_counts_too() -> None:
    logits, batch = crowd(9)
    found = fed(logits, batch, size=2).predictions()
    assert (found.dtype, found.device.type) == (torch.uint8, "cpu")
    assert torch.equal(found.long(), logits.argmax(1))
    assert Metric().predictions().shape == (0, 0, 0)


def test_no_images_were_scored() -> None:
    with pytest.raises(Failed, match=r"^no images were scored: segmentation needs at least one$"):
        list(Metric().compute())


PART = torch.zeros(2, 8, 8, dtype=torch.uint8)


@pytest.mark.parametrize(
    ("shape", "batch", "message"),
    [
        ((2, 25, 8), {"part": PART}, "segmentation needs logits N K h w, the output is (2, 25, 8)"),
        ((2, 0, 8, 8), {"part": PART}, "segmentation needs logits N K h w, the output is (2, 0, 8, 8)"),
        ((2, 25, 8, 8), {"mask": PART > 0}, "there is no part, on which a network with 25 maps is scored"),
        ((2, 1, 8, 8), {"part": PART}, "there is no mask, on which a network with 1 map is scored"),
        ((2, 7, 8, 8), {"part": PART}, "coarse-to-fine heads have 2, 5, 13 or 25 classes, not 7"),
        ((3, 25, 8, 8), {"part": PART}, "the network puts out 3 images, the data set has labels of 2"),
        ((2, 5, 8, 8), {"part": PART.long()}, "needs part N H W of torch.uint8, not (2, 8, 8) of torch.int64"),
        ((2, 5, 8, 8), {"part": PART[0]}, "needs part N H W of torch.uint8, not (8, 8) of torch.uint8"),
        ((2, 1, 8, 8), {"mask": PART.float()}, "needs mask N H W of torch.uint8, not (2, 8, 8) of torch.float32"),
    ],
)
def test_what_does_not_fit_fails(shape: tuple[int, ...], batch: dict[str, Tensor], message: str) -> None:
    with pytest.raises(Failed, match=f"{re.escape(message)}$"):
        Metric().update(torch.zeros(shape), batch)
    if shape[0] == 2:
        assert plugin.check([torch.zeros(shape, device="meta")], batch).endswith(message)


@pytest.mark.parametrize("maps", [1, 2, 5, 13, 25])
def test_what_fits_can_be_scored(maps: int) -> None:
    batch = {"part": PART, "mask": PART > 0}
    outputs = [torch.zeros(1, 2, 4, 4, device="meta"), torch.zeros(1, maps, 8, 8, device="meta")]
    assert plugin.check(outputs, batch) == ""
    del batch["part"]
    said = f"there is no part, on which a network with {maps} maps is scored"
    assert plugin.check(outputs[1:], batch) == ("" if maps == 1 else said)
    assert plugin.check(outputs, batch) == "there is no part, on which a network with 2 maps is scored"


def test_batches_of_one_network_are_alike() -> None:
    metric = fed(torch.zeros(2, 25, 8, 8), {"part": PART})
    said = r"^batches of one network are alike: 25 maps on labels of \(8, 8\) pixels, then "
    with pytest.raises(Failed, match=said + r"13 on \(8, 8\)$"):
        metric.update(torch.zeros(2, 13, 8, 8), {"part": PART})
    with pytest.raises(Failed, match=said + r"25 on \(8, 7\)$"):
        metric.update(torch.zeros(2, 25, 8, 8), {"part": PART[:, :, :7]})
