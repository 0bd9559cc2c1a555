"""Answers without looking: the background, and what each pixel is most often."""

import torch
from jobs import RECIPE, tiny

from bench.worker import class_maps
from bench.worker.subject import prepare
from bench.worker.train import Batch


def test_background_is_class_0_everywhere() -> None:
    assert class_maps.background(5, (3, 4)).argmax(0).tolist() == [[0] * 4] * 3
    assert (class_maps.background(1, (3, 4)) < 0).all()


def test_every_pixel_answers_what_it_is_most_often() -> None:
    data = {"use": "synthetic", "size": 32, "train": 64, "val": 4, "options": {}}
    subject = prepare(tiny("accuracy", data=data, train={"batch": 16, "samples": 16, "recipe": RECIPE}))
    seen: list[torch.Tensor] = []

    def truth(batch: Batch) -> torch.Tensor:
        seen.append(batch["part"])
        return batch["part"]

    found = class_maps.most_frequent(subject, truth, 25)
    labels = torch.cat(seen)
    assert labels.shape == (64, 32, 32)
    assert torch.equal(found.argmax(0), labels.long().mode(0).values)
    assert found.shape == (25, 32, 32)


def test_of_a_mask_there_is_one_map() -> None:
    data = {"use": "synthetic", "size": 32, "train": 64, "val": 4, "options": {}}
    subject = prepare(tiny("accuracy", data=data, train={"batch": 16, "samples": 16, "recipe": RECIPE}))
    found = class_maps.most_frequent(subject, lambda batch: batch["mask"], 1)
    assert found.shape == (1, 32, 32)
    assert 0 < float((found > 0).float().mean()) < 0.5, "people are in the middle, and smaller than half of the image"
