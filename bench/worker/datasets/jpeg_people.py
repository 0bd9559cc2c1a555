"""People in JPEG files with an annotation, as `bench data write` makes them: decoded anew for every batch.

So a training can wait for its data, as it does on a real data set. The files are decoded one after the other, by
Pillow, on the CPU.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
import torch
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from bench.errors import Failed
from bench.worker.export import ANNOTATION, FORMAT, Annotation, Person

ANNOTATIONS = ("train/annotation.json", "val/annotation.json")
"""Files of the folder whose content tells one data set of this kind from another."""

AGAIN = "write the folder again: bench data write NAME DIR --force"


@dataclass(frozen=True, slots=True)
class JpegPeople:
    """`len` samples of a split; where the files are fewer, they come again in the same order.

    Attributes:
        folder: what the files' names are relative to.
        written: (H, W) of the files; size: of the samples.
        labels: everything but the images, a row per file, in pixels of the samples.
    """

    folder: Path
    files: tuple[str, ...]
    written: tuple[int, int]
    size: tuple[int, int]
    labels: dict[str, Tensor]
    count: int

    def __len__(self) -> int:
        return self.count

    @property
    def distinct(self) -> int:
        """Samples that differ."""
        return min(self.count, len(self.files))

    def batch(self, indices: Sequence[int], device: torch.device) -> dict[str, Tensor]:
        """Decode the files of these samples.

        Returns:
            image: N 3 H W, uint8.
            joints: N K 2, float32, (x, y) pixels; labelled, visible: N K, bool.
            head_box: N 4, x1 y1 x2 y2; head_size: N; float32, pixels, where the annotation has them.
        """
        rows = [index % len(self.files) for index in indices]
        batch = {"image": torch.stack([self._decoded(self.files[row]) for row in rows])}
        batch |= {name: values[torch.tensor(rows)] for name, values in self.labels.items()}
        return {name: values.to(device) for name, values in batch.items()}

    def _decoded(self, name: str) -> Tensor:
        """An image, 3 H W."""
        file = self.folder / name
        try:
            with Image.open(file, formats=("JPEG",)) as opened:
                image = opened.convert("RGB")
        except FileNotFoundError:
            raise Failed(f"{file}: no such file, but {ANNOTATION} names it; {AGAIN}") from None
        except UnidentifiedImageError:
            raise Failed(f"{file}: not a JPEG file; {AGAIN}") from None
        except (OSError, Image.DecompressionBombError) as error:
            raise Failed(f"{file}: cannot be decoded ({error}); {AGAIN}") from None
        if (image.height, image.width) != self.written:
            found, said = f"{image.height} x {image.width}", " x ".join(map(str, self.written))
            raise Failed(f"{file}: {found} pixels, but {ANNOTATION} says {said}; {AGAIN}")
        if self.size != self.written:
            image = image.resize(self.size[::-1], Image.Resampling.BILINEAR)
        return torch.from_numpy(np.array(image)).permute(2, 0, 1)


def load(split: str, *, size: tuple[int, int], count: int, path: str = "") -> JpegPeople:
    """A split of `count` samples of size (H, W).

    The files are repeated where there are fewer, so that an epoch has the images that the suite says; a sample's
    figure in an accuracy then counts as often as it comes.

    Args:
        path: the folder that `bench data write` wrote, with a folder for every split.
    """
    if not path:
        raise Failed(
            "jpeg_people reads files: write where they lie, --data jpeg_people=DIR (`bench data write` makes DIR)"
        )
    folder = Path(path) / split
    annotation = read(folder / ANNOTATION)
    scale = size[1] / annotation.size[1], size[0] / annotation.size[0]
    files = tuple(person.image for person in annotation.people)
    return JpegPeople(folder, files, annotation.size, size, labels_of(annotation.people, scale), count)


def read(file: Path) -> Annotation:
    """A split's annotation.

    Raises:
        Failed: there is none, or it is broken.
    """
    try:
        annotation = msgspec.json.decode(file.read_bytes(), type=Annotation)
    except FileNotFoundError:
        raise Failed(f"{file}: no such file; make it: bench data write NAME DIR, or name another folder") from None
    except OSError as error:
        raise Failed(f"{file}: cannot be read ({error.strerror})") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Failed(f"{file}: broken ({error}); {AGAIN}") from None
    if annotation.format > FORMAT:
        raise Failed(f"{file}: format {annotation.format}, this bench reads {FORMAT}; {AGAIN}")
    if not annotation.people:
        raise Failed(f"{file}: broken (nobody is in it); {AGAIN}")
    bare = next((person.image for person in annotation.people if not person.joints), None)
    if bare is not None:
        raise Failed(f"{file}: {bare} has no joints; {AGAIN}")
    counts = {len(each) for person in annotation.people for each in (person.joints, person.labelled, person.visible)}
    if len(counts) > 1 or min(annotation.size) < 1:
        raise Failed(f"{file}: broken (joints or sizes do not fit together); {AGAIN}")
    return annotation


def labels_of(people: Sequence[Person], scale: tuple[float, float]) -> dict[str, Tensor]:
    """Everything but the images, as many pixels larger as `scale` says, in x and in y.

    A head's size grows by their geometric mean.
    """
    factor = torch.tensor(scale)
    labels = {
        "joints": torch.tensor([person.joints for person in people]) * factor,
        "labelled": torch.tensor([person.labelled for person in people]),
        "visible": torch.tensor([person.visible for person in people]),
    }
    boxes = [person.head_box for person in people if person.head_box is not None]
    sizes = [person.head_size for person in people if person.head_size is not None]
    if len(boxes) == len(people):
        labels["head_box"] = torch.tensor(boxes) * factor.repeat(2)
    if len(sizes) == len(people):
        labels["head_size"] = torch.tensor(sizes) * factor.prod().sqrt()
    return labels
