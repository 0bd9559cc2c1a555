"""Predictors that never look at the image."""

import math

import pytest
import torch
from jobs import RECIPE, tiny
from torch import Tensor

from bench.worker import poses
from bench.worker.metrics import pckh
from bench.worker.subject import prepare


def test_the_mean_pose_is_of_the_labelled_joints() -> None:
    joints = torch.tensor([[[1.0, 2.0], [9.0, math.nan]], [[3.0, 4.0], [5.0, 7.0]]])
    labelled = torch.tensor([[True, False], [True, True]])
    assert poses.mean_pose(joints, labelled).tolist() == [[2.0, 3.0], [5.0, 7.0]]


def test_a_joint_that_is_never_labelled_has_a_position() -> None:
    joints, nowhere = torch.full((3, 2, 2), math.nan), torch.zeros(3, 2, dtype=torch.bool)
    assert poses.mean_pose(joints, nowhere).tolist() == [[0.0, 0.0], [0.0, 0.0]]
    assert poses.constant_pose(joints, nowhere, torch.ones(3), 0.5).tolist() == [[0.0, 0.0], [0.0, 0.0]]


def two_heaps() -> tuple[Tensor, Tensor, Tensor]:
    """16 joints, each at one of two places far apart, twice as often at the first; nothing lies at their mean."""
    generator = torch.Generator().manual_seed(0)
    first = torch.rand(300, 16, generator=generator) < 2 / 3
    place = torch.where(first[..., None], torch.tensor([10.0, 10.0]), torch.tensor([90.0, 50.0]))
    joints = place + torch.randn(300, 16, 2, generator=generator)
    return joints, torch.ones(300, 16, dtype=torch.bool), torch.full((300,), 10.0)


def test_the_constant_pose_is_where_joints_are_most_often() -> None:
    joints, labelled, head = two_heaps()
    pose = poses.constant_pose(joints, labelled, head, pckh.NEAR)
    assert (pose - 10).abs().max() < 3
    total = {
        name: pckh.pckh(answer.expand(300, -1, -1), joints, head, labelled)["total"]
        for name, answer in (("constant", pose), ("mean", poses.mean_pose(joints, labelled)))
    }
    assert total["mean"] == 0
    assert total["constant"] == pytest.approx(66.7, abs=3)


def test_a_larger_head_counts_more_positions_as_right() -> None:
    joints = torch.tensor([[[0.0, 0.0]], [[4.0, 0.0]], [[8.0, 0.0]], [[30.0, 0.0]], [[31.0, 0.0]]])
    labelled = torch.ones(5, 1, dtype=torch.bool)
    small, large = (poses.constant_pose(joints, labelled, torch.full((5,), size), 0.5) for size in (3.0, 9.0))
    assert small[0, 0] in (30.0, 31.0)
    assert large[0, 0] == 4.0


def test_labels_are_those_of_the_training_batches() -> None:
    data = {"use": "synthetic", "size": 32, "train": 64, "val": 4, "options": {}}
    subject = prepare(tiny("accuracy", data=data, train={"batch": 8, "samples": 8, "recipe": RECIPE}))
    joints, labelled, head_size = poses.labels(subject)
    assert joints.shape == (64, 16, 2)
    assert labelled.shape == (64, 16)
    assert head_size.shape == (64,)
    assert len(joints.unique(dim=0)) == 64


def test_a_part_of_many_images_is_enough() -> None:
    data = {"use": "synthetic", "size": 16, "train": 9000, "val": 4, "options": {}}
    subject = prepare(tiny("accuracy", data=data, train={"batch": 500, "samples": 8, "recipe": RECIPE}))
    assert len(poses.labels(subject)[0]) == 2500, "whole batches"
