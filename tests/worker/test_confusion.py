"""Figures of a confusion matrix: by hand, against scikit-learn and torchmetrics, and the counting."""

from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sklearn
from torch import Tensor
from torchmetrics.functional import classification as torchmetrics

from bench import contrasts
from bench.errors import Failed
from bench.worker import resample
from bench.worker.confusion import binned, by_image, rates, scattered, scores, tally
from bench.worker.metrics import segmentation

KEYS = ["miou", "miou_fg", "macro_f1", "macro_precision", "macro_recall", "pixel_accuracy"]
KEYS += ["class_accuracy", "class_iou"]


def counted(labels: Any, predicted: Any, classes: int) -> list[list[int]]:
    """One pixel after the other."""
    rows = [[0] * classes for _ in range(classes)]
    for label, guess in zip(labels, predicted, strict=True):
        rows[label][guess] += 1
    return rows


def of(*rows: list[int]) -> dict[str, Any]:
    return scores(torch.tensor(rows))


def test_the_metric_offers_it() -> None:
    assert segmentation.scores is scores


def test_all_right_is_one() -> None:
    found = of([5, 0, 0], [0, 2, 0], [0, 0, 1])
    assert list(found) == KEYS
    assert [found[key] for key in KEYS[:6]] == [1.0] * 6
    assert (found["class_accuracy"], found["class_iou"]) == ([1.0] * 3, [1.0] * 3)


def test_rows_are_labels() -> None:
    """Of four pixels of class 0 one is called 1; of one pixel of class 1 none."""
    found = of([3, 1], [0, 1])
    assert found["class_accuracy"] == [0.75, 1.0]
    assert found["class_iou"] == [0.75, 0.5]
    assert found["macro_precision"] == (1 + 0.5) / 2
    assert found["macro_f1"] == pytest.approx((6 / 7 + 2 / 3) / 2, rel=1e-15)
    assert (found["miou"], found["miou_fg"], found["pixel_accuracy"]) == (0.625, 0.5, 0.8)


def test_a_class_neither_labelled_nor_predicted_is_in_no_mean() -> None:
    found = of([3, 1, 0], [0, 1, 0], [0, 0, 0])
    assert found == of([3, 1], [0, 1]) | {"class_accuracy": [0.75, 1.0, None], "class_iou": [0.75, 0.5, None]}


def test_a_class_predicted_but_not_labelled_counts_as_nothing_and_has_no_recall() -> None:
    found = of([3, 1], [0, 0])
    assert (found["class_iou"], found["class_accuracy"]) == ([0.75, 0.0], [0.75, None])
    assert (found["miou"], found["miou_fg"]) == (0.375, 0.0)
    assert (found["macro_f1"], found["macro_precision"]) == (pytest.approx(3 / 7, rel=1e-15), 0.5)
    assert (found["macro_recall"], found["pixel_accuracy"]) == (0.75, 0.75)


def test_a_class_labelled_but_never_predicted_counts_as_nothing_everywhere() -> None:
    found = of([3, 0], [1, 0])
    assert (found["class_iou"], found["class_accuracy"]) == ([0.75, 0.0], [1.0, 0.0])
    assert (found["miou"], found["miou_fg"]) == (0.375, 0.0)
    assert (found["macro_f1"], found["macro_precision"]) == (pytest.approx(3 / 7, rel=1e-15), 0.375)
    assert (found["macro_recall"], found["pixel_accuracy"]) == (0.5, 0.75)


def test_background_alone_has_no_foreground() -> None:
    found = of([7, 0, 0], [0, 0, 0], [0, 0, 0])
    assert (found["miou"], found["miou_fg"], found["class_iou"]) == (1.0, None, [1.0, None, None])
    assert of([7])["miou_fg"] is None


def test_nothing_counted_has_no_figures() -> None:
    found = scores(np.zeros((3, 3), dtype=np.int32))
    assert [found[key] for key in KEYS] == [None] * 6 + [[None] * 3] * 2


def test_large_counts_keep_their_digits() -> None:
    a, b = 10**9 + 7, 10**9 + 9
    expected = (Fraction(a, a + 1) + Fraction(b, b + 1)) / 2
    assert of([a, 1], [0, b])["miou"] == pytest.approx(float(expected), rel=1e-15)
    assert of([a, 1], [0, b])["pixel_accuracy"] == pytest.approx(float(Fraction(a + b, a + b + 1)), rel=1e-15)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (np.zeros((2, 3), dtype=int), r"a confusion matrix is C x C, not \(2, 3\)"),
        (torch.zeros(4, dtype=torch.int64), r"a confusion matrix is C x C, not \(4,\)"),
        (torch.zeros(2, 2, 2, dtype=torch.int64), r"a confusion matrix is C x C, not \(2, 2, 2\)"),
        (np.zeros((0, 0), dtype=int), r"a confusion matrix is C x C, not \(0, 0\)"),
        (np.eye(2), "a confusion matrix holds whole numbers of an integer type, not float64"),
        (torch.eye(2, dtype=torch.bfloat16), "a confusion matrix holds .* not torch.bfloat16"),
        (torch.eye(2, dtype=torch.bool), "a confusion matrix holds .* not torch.bool"),
        (np.eye(2, dtype=bool), "a confusion matrix holds .* not bool"),
        (torch.tensor([[1, -3], [0, 2]]), "a confusion matrix holds counts, not -3"),
        (np.array([[1, 0], [-1, 2]]), "a confusion matrix holds counts, not -1"),
    ],
)
def test_what_is_no_confusion_matrix_fails(given: Any, message: str) -> None:
    with pytest.raises(Failed, match=f"^{message}$"):
        scores(given)


@pytest.mark.parametrize("kind", ["<i8", ">i4", "u1", "u8"])
def test_any_integers_do(kind: str) -> None:
    assert scores(np.array([[3, 1], [0, 1]], dtype=kind)) == of([3, 1], [0, 1])
    assert scores(torch.tensor([[3, 1], [0, 1]], dtype=torch.uint8)) == of([3, 1], [0, 1])


@settings(max_examples=60)
@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=1, max_size=30))
def test_it_is_what_scikit_learn_says(pixels: list[tuple[int, int]]) -> None:
    """Its means are over classes that are labelled or predicted; recall is asked for over those that are labelled."""
    labels, predicted = ([pixel[side] for pixel in pixels] for side in (0, 1))
    found = scores(np.array(counted(labels, predicted, 6)))
    rest: dict[str, Any] = {"average": "macro", "zero_division": 0}
    assert found["miou"] == pytest.approx(sklearn.jaccard_score(labels, predicted, **rest))
    assert found["macro_f1"] == pytest.approx(sklearn.f1_score(labels, predicted, **rest))
    assert found["macro_precision"] == pytest.approx(sklearn.precision_score(labels, predicted, **rest))
    seen = sorted(set(labels))
    assert found["macro_recall"] == pytest.approx(sklearn.recall_score(labels, predicted, labels=seen, **rest))
    assert found["pixel_accuracy"] == pytest.approx(sklearn.accuracy_score(labels, predicted))
    either = sorted({*labels, *predicted} - {0})
    foreground = sklearn.jaccard_score(labels, predicted, labels=either, **rest) if either else None
    assert found["miou_fg"] == (None if foreground is None else pytest.approx(foreground))
    single = sklearn.recall_score(labels, predicted, labels=seen, average=None, zero_division=0)
    assert [found["class_accuracy"][label] for label in seen] == pytest.approx(list(single))


@pytest.mark.parametrize("seed", range(3))
def test_it_is_what_torchmetrics_says_where_every_class_is_labelled(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    labels = torch.cat([torch.arange(25), torch.randint(25, (5000,), generator=generator)])
    guesses = torch.randint(25, labels.shape, generator=generator)
    predicted = torch.where(torch.rand(labels.shape, generator=generator) < 0.4, labels, guesses)
    rest: dict[str, Any] = {"num_classes": 25, "validate_args": False}
    found = scores(torchmetrics.multiclass_confusion_matrix(predicted, labels, **rest))
    assert found["miou"] == pytest.approx(float(torchmetrics.multiclass_jaccard_index(predicted, labels, **rest)))
    for key, oracle in (
        ("macro_f1", torchmetrics.multiclass_f1_score),
        ("macro_precision", torchmetrics.multiclass_precision),
        ("macro_recall", torchmetrics.multiclass_recall),
    ):
        assert found[key] == pytest.approx(float(oracle(predicted, labels, average="macro", **rest)), rel=1e-6)
    accuracy = torchmetrics.multiclass_accuracy(predicted, labels, average="none", **rest)
    assert found["class_accuracy"] == pytest.approx(accuracy.tolist(), rel=1e-6)


def test_many_matrices_at_once_are_each_by_itself() -> None:
    matrices = torch.randint(0, 3, (4, 2, 5, 5), generator=torch.Generator().manual_seed(1))
    found = rates(matrices.double())
    for row in range(4):
        single = scores(matrices[row, 1])
        for key in KEYS:
            expected = [float("nan") if v is None else v for v in np.atleast_1d(np.array(single[key], dtype=object))]
            assert found[key][row, 1].reshape(-1).tolist() == pytest.approx(expected, nan_ok=True)


def pixels(images: int, classes: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Labels and predictions N 6 7, uint8; some labels are 255, some no class."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(classes + 1, (images, 6, 7), generator=generator)
    labels = torch.where(labels == classes, torch.randint(classes, 256, labels.shape, generator=generator), labels)
    predicted = torch.randint(classes, (images, 6, 7), generator=generator)
    return labels.to(torch.uint8), predicted.to(torch.uint8)


@pytest.mark.parametrize("count", [binned, scattered, tally])
@pytest.mark.parametrize("classes", [2, 25])
@pytest.mark.parametrize("images", [0, 1, 5])
def test_every_pixel_is_counted_under_its_label_and_prediction(count: Any, classes: int, images: int) -> None:
    labels, predicted = pixels(images, classes)
    found = count(labels, predicted, classes)
    assert (found.shape, found.dtype) == ((images, 256, classes), torch.int64)
    for image in range(images):
        expected = np.zeros((256, classes), dtype=int)
        np.add.at(expected, (labels[image].numpy(), predicted[image].numpy()), 1)
        assert np.array_equal(found[image].numpy(), expected)


def some(images: int, seed: int, skill: float) -> Tensor:
    """Confusion matrices of images that differ in how many pixels of which of four classes they have."""
    generator = np.random.default_rng(seed)
    shares = generator.dirichlet([8, 2, 1, 0.5], images)
    right = np.clip(skill + 0.1 * np.random.default_rng(7).standard_normal(images), 0.05, 0.95)
    found = np.zeros((images, 4, 4), dtype=np.int64)
    for image in range(images):
        labels = generator.multinomial(4000, shares[image])
        for label in range(4):
            chance = np.full(4, (1 - right[image]) / 3)
            chance[label] = right[image]
            found[image, label] = generator.multinomial(labels[label], chance)
    return torch.from_numpy(found)


def test_scores_by_image_add_up_to_the_figure() -> None:
    matrices = some(50, 0, 0.7)
    kept = by_image(matrices)
    assert kept is not None
    assert kept["counted"] == matrices[:, 1:].sum((1, 2)).tolist()
    assert sum(kept["correct"]) / sum(kept["counted"]) == pytest.approx(scores(matrices.sum(0))["miou"], rel=1e-12)


def test_an_images_score_is_its_influence_on_the_figure() -> None:
    """The figure with a little more of one image, by differences."""
    matrices = some(20, 0, 0.7)
    kept = by_image(matrices)
    assert kept is not None
    total = sum(kept["counted"])
    miou = float(rates(matrices.double().sum(0))["miou"])
    for image in range(3):
        more = matrices.double().sum(0) + 1e-6 * matrices[image].double()
        slope = (float(rates(more)["miou"]) - miou) / 1e-6
        assert (kept["correct"][image] - miou * kept["counted"][image]) / total == pytest.approx(slope, abs=1e-7)


def test_intervals_from_scores_by_image_are_nearly_those_of_the_bootstrap() -> None:
    ours, theirs = some(200, 0, 0.7), some(200, 0, 0.66)
    scored = {"a": by_image(ours), "b": by_image(theirs)}
    kept = {name: (both["correct"], both["counted"]) for name, both in scored.items() if both is not None}
    drawn = [100 * rates(resample.sums(m.flatten(1)).unflatten(1, (4, 4)))["miou"] for m in (ours, theirs)]
    for combine, exact in (
        (lambda rates: rates["a"], drawn[0]),
        (lambda rates: rates["a"] - rates["b"], drawn[0] - drawn[1]),
    ):
        found, (low, high) = contrasts.by_image(kept, combine), resample.interval(exact)
        assert found is not None and low is not None and high is not None
        assert found == pytest.approx((low, high), abs=0.15 * (high - low))
        assert found[1] - found[0] == pytest.approx(high - low, rel=0.1)


def test_nothing_counted_has_no_scores_by_image() -> None:
    assert by_image(torch.zeros(3, 4, 4, dtype=torch.int64)) is None
