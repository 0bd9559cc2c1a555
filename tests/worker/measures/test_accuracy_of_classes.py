"""Accuracy of a segmentation: the same measure with other outputs, labels and scores."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from jobs import ROOT, tiny

from bench.record import Job, Record, Value
from bench.worker.work import work

SMALL = {"form": "full", "blocks": 2, "widths": [4, 8], "latent": 16, "norm": "batch"}


def asked(loss: str, folder: Path | str = "", **changes: Any) -> Job:
    recipe = {"name": "tiny", "optimizer": "adam", "lr": 1e-2, "loss": loss}
    fields = {
        "arch": "encoder_decoder",
        "arch_file": str(ROOT / "archs" / "encoder_decoder.py"),
        "options": SMALL | {"classes": 25 if loss == "cross_entropy" else 1},
        "train": {"batch": 8, "samples": 480, "validations": 6, "recipe": recipe},
        "data": {"use": "synthetic", "size": 32, "train": 64, "val": 10, "options": {}},
        "metrics": ["segmentation"],
        "checks": {"layout": {"channels_last": True}},
        "artefacts": str(folder),
    }
    return tiny("accuracy", "accuracy", **fields | changes)


def by_name(record: Record) -> dict[str, Value]:
    return {value.quantity.name: value for value in record.values}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("artefacts")


@pytest.fixture(scope="module")
def parts(folder: Path) -> Record:
    return work(asked("cross_entropy", folder))


def test_a_training_yields_scores_curves_and_checks(parts: Record) -> None:
    assert (parts.status, parts.reason) == ("ok", "")
    found = by_name(parts)
    assert {"miou", "miou_fg", "macro_f1", "pixel_accuracy", "group_accuracy.head", "loss.test"} <= found.keys()
    assert {"miou.background", "miou.constant", "miou_change.layout", "label_change.layout"} <= found.keys()
    assert found["miou"].details["curve"]["images"] == [80, 160, 240, 320, 400, 480]
    assert abs(found["miou_change.layout"].value or 0) < 1.0
    assert (found["label_change.layout"].value or 0) < 1.0


def test_the_background_alone_is_one_class_of_many(parts: Record) -> None:
    found = by_name(parts)
    background = found["miou.background"].value
    assert background is not None and 2.0 < background < 6.0, "one class of 25 is found, and mostly right"


def test_what_was_kept_are_the_classes_of_every_pixel(parts: Record, folder: Path) -> None:
    with np.load(folder / f"{parts.id}-examples.npz") as kept:
        assert kept["image"].shape == (8, 32, 32, 3)
        assert kept["predicted"].shape == (1, 8, 32, 32)
        assert kept["part"].shape == (8, 32, 32)
        assert kept["predicted"].dtype == kept["part"].dtype == np.uint8


def test_people_are_told_from_the_background() -> None:
    recipe = {"name": "tiny", "optimizer": "adam", "lr": 3e-3, "loss": "bce"}
    found = by_name(work(asked("bce", train={"batch": 8, "samples": 1600, "validations": 6, "recipe": recipe})))
    score, constant = found["miou"], found["miou.constant"]
    assert score.value is not None and constant.value is not None
    assert score.value > constant.value, "200 steps on thumbnails are enough for more than a map of the middle"
    assert "binary.iou" in found


def test_more_maps_than_classes_are_refused() -> None:
    record = work(asked("cross_entropy", options=SMALL | {"classes": 7}))
    assert record.status == "failed"
    assert "7" in record.reason
