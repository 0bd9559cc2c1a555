"""Random people: shapes, types, and the same in every process."""

import pytest
import torch

from bench.errors import Failed
from bench.worker.datasets import random

CPU = torch.device("cpu")


def test_a_batch_has_the_shapes_and_types_of_the_contract() -> None:
    batch = random.load("val", size=(8, 12), count=5, joints=3).batch([0, 4], CPU)
    assert {name: (tuple(t.shape), t.dtype) for name, t in batch.items()} == {
        "image": ((2, 3, 8, 12), torch.uint8),
        "joints": ((2, 3, 2), torch.float32),
        "labelled": ((2, 3), torch.bool),
        "visible": ((2, 3), torch.bool),
        "head_size": ((2,), torch.float32),
    }


def test_joints_lie_in_the_image() -> None:
    joints = random.load("train", size=(8, 12), count=64).batch(range(64), CPU)["joints"]
    assert joints.min() >= 0
    assert joints[..., 0].max() <= 11
    assert joints[..., 1].max() <= 7
    assert joints[..., 0].max() > 7


def test_it_has_as_many_samples_as_asked_for() -> None:
    assert len(random.load("val", size=(8, 8), count=2958)) == 2958


def test_sample_i_is_always_the_same() -> None:
    first, second = (random.load("val", size=(8, 8), count=40) for _ in range(2))
    assert torch.equal(first.batch([7, 33], CPU)["image"], second.batch([7, 33], CPU)["image"])
    assert not torch.equal(first.batch([7], CPU)["image"], first.batch([8], CPU)["image"])


def test_the_splits_differ() -> None:
    train, val = (random.load(split, size=(8, 8), count=4) for split in ("train", "val"))
    assert not torch.equal(train.batch([0], CPU)["image"], val.batch([0], CPU)["image"])


def test_a_split_that_there_is_not() -> None:
    with pytest.raises(Failed, match="split = 'test': the random people have train and val"):
        random.load("test", size=(8, 8), count=1)


@pytest.mark.parametrize("channels", [1, 3])
def test_channels_are_an_option(channels: int) -> None:
    assert random.load("val", size=(8, 8), count=1, channels=channels).batch([0], CPU)["image"].shape[1] == channels
