"""The phase `data`: files made from a data set, and no measures."""

import resource
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import torch
from jobs import tiny
from PIL import Image

from bench.record import Job, Record, decode_record, encode
from bench.worker import export
from bench.worker.datasets import random
from bench.worker.work import work

CPU = torch.device("cpu")


def job(action: str, folder: Path, *splits: str, **data: Any) -> Job:
    asked = {"use": "random", "size": 16, "train": 20, "val": 3, "options": {}} | data
    options = {"action": action, "splits": list(splits), "out": "OUT"}
    return tiny("data", data=asked, options=options, artefacts=str(folder))


def as_stored(record: Record) -> Record:
    """The record as the parent gets it."""
    return decode_record(encode(record))


def annotation(folder: Path, split: str) -> export.Annotation:
    return msgspec.json.decode((folder / split / "annotation.json").read_bytes(), type=export.Annotation)


def test_writing_ends_with_a_record_without_values(tmp_path: Path) -> None:
    asked = job("write", tmp_path, "val")
    record = as_stored(work(asked))
    assert (record.status, record.reason, record.values, record.id) == ("ok", "", [], asked.id)
    assert record.fingerprints


def test_every_split_gets_its_folder(tmp_path: Path) -> None:
    work(job("write", tmp_path, "train", "val", size=[16, 24], options={"joints": 5}))
    for split, count in (("train", 20), ("val", 3)):  # 20 are more than are drawn at once
        found = annotation(tmp_path, split)
        names = [f"images/{n:06d}.jpg" for n in range(count)]
        assert [person.image for person in found.people] == names
        files = {str(file.relative_to(tmp_path / split)) for file in (tmp_path / split).rglob("*") if file.is_file()}
        assert files == {*names, "annotation.json"}
        assert (found.format, found.source, found.split, found.size) == (1, "random", split, (16, 24))
        assert found.options == {"joints": 5}
        truth = random.load(split, size=(16, 24), count=count, joints=5).batch(range(count), CPU)
        assert torch.equal(torch.tensor([person.joints for person in found.people]), truth["joints"])
        with Image.open(tmp_path / split / names[0]) as image:
            assert (image.format, image.size, image.mode) == ("JPEG", (24, 16), "RGB")


def test_where_the_source_lies_is_not_written(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    work(job("write", first, "val"))
    again = work(job("write", second, "val", use="jpeg_people", options={"path": str(first)}))
    assert again.status == "ok"
    assert str(tmp_path) not in (second / "val" / "annotation.json").read_text()
    assert [p.joints for p in annotation(second, "val").people] == [p.joints for p in annotation(first, "val").people]


def test_samples_are_shown_as_arrays(tmp_path: Path) -> None:
    assert work(job("show", tmp_path, "val", use="synthetic", size=32)).status == "ok"
    with np.load(tmp_path / "samples.npz") as samples:
        shapes = {name: (values.shape, str(values.dtype)) for name, values in samples.items()}
    assert shapes == {
        "image": ((3, 32, 32, 3), "uint8"),
        "joints": ((3, 16, 2), "float32"),
        "labelled": ((3, 16), "bool"),
        "visible": ((3, 16), "bool"),
        "head_box": ((3, 4), "float32"),
        "part": ((3, 32, 32), "uint8"),
    }


def test_grey_images_are_shown_with_equal_channels(tmp_path: Path) -> None:
    work(job("show", tmp_path, "val", options={"channels": 1}))
    with np.load(tmp_path / "samples.npz") as samples:
        image = samples["image"]
    assert image.shape == (3, 16, 16, 3)
    assert (image == image[..., :1]).all()
    assert image.std() > 0


def test_other_channels_cannot_be_shown(tmp_path: Path) -> None:
    record = work(job("show", tmp_path, "val", options={"channels": 4}))
    assert (record.status, record.reason) == ("failed", "images of 4 channels cannot be looked at; 1 and 3 can")


class Textures:
    """A data set of images alone."""

    def __len__(self) -> int:
        return 4

    def batch(self, indices: Sequence[int], device: torch.device) -> dict[str, torch.Tensor]:
        return {"image": torch.zeros(len(indices), 3, 16, 16, dtype=torch.uint8, device=device)}


class Bare(Textures):
    """A data set of two images that says nothing of what is labelled."""

    def __len__(self) -> int:
        return 2

    def batch(self, indices: Sequence[int], device: torch.device) -> dict[str, torch.Tensor]:
        return super().batch(indices, device) | {"joints": torch.zeros(len(indices), 3, 2)}


def test_a_data_set_without_joints_is_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export, "load_dataset", lambda *_: Textures())
    record = work(job("write", tmp_path, "val", use="textures"))
    assert (record.status, record.reason) == (
        "failed",
        "data set 'textures' has no joints; `bench data write` is about people",
    )
    assert not (tmp_path / "val" / "annotation.json").exists()


class Silhouettes(Textures):
    """A data set of images with a mask each, whose left half is a person's."""

    def batch(self, indices: Sequence[int], device: torch.device) -> dict[str, torch.Tensor]:
        mask = (torch.arange(16) < 8).expand(len(indices), 16, 16)
        return super().batch(indices, device) | {"mask": mask}


@pytest.mark.parametrize(("kind", "found"), [(Textures, {"image"}), (Silhouettes, {"image", "part"})])
def test_a_data_set_without_joints_is_shown_as_far_as_it_goes(
    tmp_path: Path, kind: type[Textures], found: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export, "load_dataset", lambda *_: kind())
    assert work(job("show", tmp_path, "val")).status == "ok"
    with np.load(tmp_path / "samples.npz") as samples:
        assert set(samples) == found
        assert samples["image"].shape == (3, 16, 16, 3)
        if "part" in found:
            assert samples["part"].dtype == np.uint8
            assert (samples["part"] == ([1] * 8 + [0] * 8)).all()


def test_a_data_set_that_has_less_than_was_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export, "load_dataset", lambda *_: Bare())
    assert work(job("write", tmp_path, "val")).status == "ok"
    people = annotation(tmp_path, "val").people
    assert [(p.labelled, p.visible, p.head_box, p.head_size) for p in people] == [
        ([True] * 3, [True] * 3, None, None)
    ] * 2


@pytest.fixture
def small_disk() -> Iterator[None]:
    """No file may become larger than 600 bytes, which is as if the disk were full."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (600, limits[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def test_a_disk_without_room_leaves_no_annotation(tmp_path: Path, small_disk: None) -> None:
    record = work(job("write", tmp_path, "val"))
    assert record.status == "failed"
    assert record.reason == "OUT: cannot be written (File too large); name a folder with more room"
    assert not (tmp_path / "val" / "annotation.json").exists()
