"""Weights of classes, by hand, and the pixels that they are counted from."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest
import torch
from torch import Tensor

from bench.errors import Failed
from bench.worker import weights
from bench.worker.datasets import random, synthetic
from bench.worker.parts import coarse

CPU = torch.device("cpu")


@dataclass
class Labels:
    """A data set whose sample i is a pixel of class i, modulo 25, and one of another label."""

    count: int
    other: int = 255
    asked: list[int] = field(default_factory=list)

    def __len__(self) -> int:
        return self.count

    def batch(self, indices: Sequence[int], device: torch.device) -> dict[str, Tensor]:
        self.asked += indices
        pixels = [[[index % 25, self.other]] for index in indices]
        return {"part": torch.tensor(pixels, dtype=torch.uint8, device=device)}


class Files(Labels):
    """Ten files, which come again and again."""

    distinct = 10


def test_w1_is_the_share_of_all_other_classes() -> None:
    assert weights.w1(torch.tensor([8, 4, 2])).tolist() == pytest.approx([6 / 14, 10 / 14, 12 / 14])


def test_w2_by_hand() -> None:
    # B = 1, 2, 4; mean 7/3, population deviation sqrt(42 / 27) = 1.24722.
    assert weights.w2(torch.tensor([8, 4, 2])).tolist() == pytest.approx([1.30638, 2.13820, 2.86399], rel=1e-5)


def test_w2_of_classes_of_one_size_is_one() -> None:
    assert weights.w2(torch.tensor([7, 7, 7])).tolist() == [1.0, 1.0, 1.0]


@pytest.mark.parametrize("kind", ["w1", "w2"])
def test_a_class_without_pixels_counts_as_one(kind: str) -> None:
    of = weights.KINDS[kind]
    assert torch.equal(of(torch.tensor([100, 0, 5])), of(torch.tensor([100, 1, 5])))
    assert of(torch.tensor([100, 0, 5])).isfinite().all()


def test_pixels_are_counted_once_each_without_those_to_be_ignored() -> None:
    data = Labels(60)
    counts = weights.class_counts(data)
    assert counts.dtype == torch.int64
    assert counts.tolist() == [3] * 10 + [2] * 15
    assert data.asked == list(range(60))


def test_a_generated_data_set_is_sampled_and_files_are_all_counted() -> None:
    generated, files = Labels(5000), Files(5000)
    assert weights.class_counts(generated).sum() == weights.MOST == 2048
    assert weights.class_counts(files).tolist() == [1] * 10 + [0] * 15
    assert files.asked == list(range(10))


@pytest.mark.parametrize("classes", [2, 5, 13, 25])
def test_merged_classes_have_the_pixels_of_their_members(classes: int) -> None:
    data = synthetic.load("train", size=(32, 32), count=20)
    part = data.batch(range(20), CPU)["part"]
    expected = torch.bincount(coarse(part, classes).flatten().long(), minlength=classes)
    assert torch.equal(weights.class_counts(data, classes), expected)
    assert expected.sum() == 20 * 32 * 32


def test_every_level_has_weights_from_its_own_pixels() -> None:
    counts = torch.arange(25) ** 3
    found = weights.weights_of(counts, "w1", CPU)
    assert {classes: len(weight) for classes, weight in found.items()} == {2: 2, 5: 5, 13: 13, 25: 25}
    pixels = int(counts.sum())  # none of the background, which counts as one
    assert found[2].tolist() == pytest.approx([pixels / (pixels + 1), 1 / (pixels + 1)])
    assert found[25].dtype == torch.float32


def test_a_label_that_is_no_class_is_told() -> None:
    with pytest.raises(Failed, match=r"^class_weights: a training label is 30: classes are 0 to 24$"):
        weights.class_counts(Labels(3, other=30))


def test_data_without_parts_are_told() -> None:
    with pytest.raises(Failed, match=r"^class_weights: the data have no 'part'"):
        weights.class_counts(random.load("train", size=(8, 8), count=4))


def test_an_unknown_kind() -> None:
    with pytest.raises(Failed, match="class_weights = 'w3': there are w1 and w2"):
        weights.weights_of(torch.ones(25), "w3", CPU)
