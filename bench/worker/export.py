"""Files made from a data set: JPEG images with an annotation, or arrays that a contact sheet is drawn from."""

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import torch
from torch import Tensor

from bench.errors import Failed
from bench.record import Job, Value
from bench.worker.subject import Dataset, load_dataset, size_of

FORMAT = 1
"""Version of the annotation's layout."""

ANNOTATION = "annotation.json"
SAMPLES = "samples.npz"

QUALITY = 90
"""Of the JPEG files, whose colours have half the resolution (4:2:0), as those of cameras and of MPII."""

TOGETHER = 16
"""Samples that are drawn at once: more would only take more memory."""

SHOWN = ("image", "joints", "labelled", "visible", "head_box", "part")

CPU = torch.device("cpu")


class Person(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One image of an annotation, in pixels; (column, row) covers [column, column + 1) x [row, row + 1).

    Attributes:
        image: path of the JPEG file, relative to the annotation.
        joints: (x, y) each, in MPII's order where they are 16.
        head_box: x1 y1 x2 y2; it and head_size are left out where the data set has none.
    """

    image: str
    joints: list[tuple[float, float]]
    labelled: list[bool]
    visible: list[bool]
    head_box: tuple[float, float, float, float] | None = None
    head_size: float | None = None


class Annotation(msgspec.Struct, frozen=True, kw_only=True):
    """What annotation.json holds.

    Attributes:
        source: the data set that the images are of; options: that it was loaded with.
        size: (H, W) of every image.
    """

    format: int = FORMAT
    source: str
    size: tuple[int, int]
    split: str
    options: dict[str, Any]
    people: list[Person]


def export(job: Job, _: list[Value], __: dict[str, Any]) -> None:
    """Do what the job's options ask for: `action`, `splits`, and `out`, which is what people call the folder.

    `show` leaves SAMPLES in the artefacts, `write` a folder for every split.
    """
    for split in job.options["splits"]:
        dataset = load_dataset(job, split)
        if job.options["action"] == "show":
            show(job, split, dataset)
        else:
            write(job, split, dataset)


def show(job: Job, split: str, dataset: Dataset) -> None:
    """The first samples of a split as arrays: SHOWN, as far as the data set has them, images as N H W 3.

    A mask is the only part where there are no others.
    """
    import numpy as np

    batch = sampled(job, dataset, range(min(job.data[split], len(dataset))))
    if "mask" in batch:
        batch.setdefault("part", batch["mask"].to(torch.uint8))
    found = {name: batch[name].numpy() for name in SHOWN if name in batch}
    found["image"] = pixels(batch["image"])
    np.savez(Path(job.artefacts) / SAMPLES, allow_pickle=False, **found)


def write(job: Job, split: str, dataset: Dataset) -> None:
    """Every image of a split as a JPEG file, then the annotation, which is whole where it is there.

    Raises:
        Failed: there is no room, or the data set has nothing that can be written.
    """
    folder, out = Path(job.artefacts) / split, job.options["out"]
    people: list[Person] = []
    for person, data in encoded(job, dataset, min(job.data[split], len(dataset))):
        put(folder / person.image, data, out)
        people.append(person)
    written = Annotation(
        source=job.data["use"],
        size=size_of(job.data),
        split=split,
        options={name: value for name, value in job.data["options"].items() if name != "path"},
        people=people,
    )
    put(folder / f"{ANNOTATION}.partial", msgspec.json.encode(written), out)
    (folder / f"{ANNOTATION}.partial").replace(folder / ANNOTATION)


def put(file: Path, data: bytes, out: str) -> None:
    """Write a file; `out` is what people call the folder that it is for."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)
    except OSError as error:
        raise Failed(f"{out}: cannot be written ({error.strerror}); name a folder with more room") from None


def encoded(job: Job, dataset: Dataset, count: int) -> Iterator[tuple[Person, bytes]]:
    """What the annotation says of each image, and its JPEG file.

    Raises:
        Failed: the data set has no joints.
    """
    from PIL import Image

    for first in range(0, count, TOGETHER):
        batch = sampled(job, dataset, range(first, min(first + TOGETHER, count)))
        if "joints" not in batch:
            raise Failed(f"data set '{job.data['use']}' has no joints; `bench data write` is about people")
        for row, image in enumerate(pixels(batch["image"])):
            data = io.BytesIO()
            Image.fromarray(image).save(data, "JPEG", quality=QUALITY)
            yield person(f"images/{first + row:06d}.jpg", batch, row), data.getvalue()


def person(image: str, batch: dict[str, Tensor], row: int) -> Person:
    """What a batch says of one of its images; float32 numbers are kept exactly."""
    names = ("joints", "labelled", "visible", "head_box", "head_size")
    labels: dict[str, Any] = {name: batch[name][row].tolist() for name in names if name in batch}
    return Person(image=image, **labels)


def sampled(job: Job, dataset: Dataset, indices: range) -> dict[str, Tensor]:
    """A batch on the CPU, in which all joints are labelled, and all labelled ones visible, where nobody says else."""
    batch = dataset.batch(indices, CPU)
    if "joints" not in batch:
        return batch
    labelled = batch.get("labelled", torch.ones(batch["joints"].shape[:2], dtype=torch.bool))
    return {"labelled": labelled, "visible": labelled, **batch}


def pixels(image: Tensor) -> Any:
    """Images N C H W as an array N H W 3; grey ones get three equal channels.

    Raises:
        Failed: they are neither grey nor coloured.
    """
    if image.shape[1] not in (1, 3):
        raise Failed(f"images of {image.shape[1]} channels cannot be looked at; 1 and 3 can")
    return image.expand(-1, 3, -1, -1).permute(0, 2, 3, 1).contiguous().numpy()
