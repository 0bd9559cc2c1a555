"""People in JPEG files: what was written comes back, at any size, and what is broken is named."""

from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
import torch
from jobs import tiny
from PIL import Image, ImageDraw

from bench.errors import Failed
from bench.worker.datasets import jpeg_people, synthetic
from bench.worker.export import Annotation, Person
from bench.worker.work import work

CPU = torch.device("cpu")
SIZE = (256, 256)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("people")
    data = {"use": "synthetic", "size": SIZE[0], "val": 6, "options": {}}
    options = {"action": "write", "splits": ["val"], "out": "people"}
    assert work(tiny("data", data=data, options=options, artefacts=str(folder))).status == "ok"
    return folder


def by_hand(folder: Path, **changes: object) -> Path:
    """A folder with one image of 40 x 20 pixels, white but for a black square whose middle is its only joint."""
    image = Image.new("RGB", (40, 20), "white")
    ImageDraw.Draw(image).rectangle((8, 12, 11, 15), "black")
    (folder / "train" / "images").mkdir(parents=True)
    image.save(folder / "train" / "images" / "000000.jpg", quality=95)
    person = Person(
        image="images/000000.jpg",
        joints=[(10.0, 14.0)],
        labelled=[True],
        visible=[False],
        head_box=(8, 12, 12, 16),
        head_size=4.0,
    )
    whole = {"source": "hand", "size": (20, 40), "split": "train", "options": {}, "people": [person]}
    (folder / "train" / "annotation.json").write_bytes(msgspec.json.encode(Annotation(**whole | changes)))
    return folder


def test_what_was_written_comes_back(written: Path) -> None:
    was = synthetic.load("val", size=SIZE, count=6).batch(range(6), CPU)
    dataset = jpeg_people.load("val", size=SIZE, count=6, path=str(written))
    found = dataset.batch([4, 0, 5], CPU)
    assert found.keys() == {"image", "joints", "labelled", "visible", "head_box", "head_size"}
    for name in found.keys() - {"image"}:
        assert torch.equal(found[name], was[name][[4, 0, 5]]), name
        assert found[name].dtype == was[name].dtype
    image, expected = found["image"], was["image"][[4, 0, 5]]
    assert (image.shape, image.dtype) == (expected.shape, torch.uint8)
    lost = (image.float() - expected.float()).abs().mean((1, 2, 3))  # the backgrounds are noise, JPEG's worst case
    assert lost.mean() < 12 and (lost > 0).all()


@pytest.mark.parametrize("size", [(20, 40), (40, 80), (60, 40), (10, 20)])
def test_joints_stay_on_what_they_mark(tmp_path: Path, size: tuple[int, int]) -> None:
    (sample,) = [jpeg_people.load("train", size=size, count=1, path=str(by_hand(tmp_path))).batch([0], CPU)]
    assert sample["image"].shape == (1, 3, *size)
    dark = 255 - sample["image"][0].float().mean(0)
    rows, columns = (torch.arange(side) + 0.5 for side in size)
    middle = torch.stack([(dark.sum(0) * columns).sum(), (dark.sum(1) * rows).sum()]) / dark.sum()
    assert torch.allclose(sample["joints"][0, 0], middle, atol=0.4)
    x, y = size[1] / 40, size[0] / 20
    assert sample["joints"].tolist() == [[[10 * x, 14 * y]]]
    assert sample["head_box"].tolist() == [[8 * x, 12 * y, 12 * x, 16 * y]]
    assert sample["head_size"].item() == pytest.approx(4 * (x * y) ** 0.5)
    assert (sample["labelled"].tolist(), sample["visible"].tolist()) == ([[True]], [[False]])


def test_files_are_repeated_where_there_are_fewer(written: Path) -> None:
    dataset = jpeg_people.load("val", size=SIZE, count=15, path=str(written))
    assert len(dataset) == 15
    batch = dataset.batch([1, 7, 13, 2], CPU)
    for name, values in batch.items():
        assert torch.equal(values[0], values[1]) and torch.equal(values[0], values[2]), name
        assert name in ("labelled", "visible") or not torch.equal(values[0], values[3]), name


def test_fewer_may_be_asked_for(written: Path) -> None:
    assert len(jpeg_people.load("val", size=SIZE, count=2, path=str(written))) == 2


def test_every_batch_is_decoded_anew(tmp_path: Path) -> None:
    dataset = jpeg_people.load("train", size=(20, 40), count=1, path=str(by_hand(tmp_path)))
    before = dataset.batch([0], CPU)["image"]
    Image.new("RGB", (40, 20), "black").save(tmp_path / "train" / "images" / "000000.jpg")
    assert before.float().mean() > 200
    assert dataset.batch([0], CPU)["image"].max() == 0


def cut(folder: Path) -> None:
    file = folder / "train" / "images" / "000000.jpg"
    file.write_bytes(file.read_bytes()[:-40])


def lose(folder: Path) -> None:
    (folder / "train" / "images" / "000000.jpg").unlink()


def other_kind(folder: Path) -> None:
    Image.new("RGB", (40, 20)).save(folder / "train" / "images" / "000000.jpg", "PNG")


def cut_short(folder: Path) -> None:
    file = folder / "train" / "images" / "000000.jpg"
    file.write_bytes(file.read_bytes()[:100])


def other_size(folder: Path) -> None:
    Image.new("RGB", (30, 20)).save(folder / "train" / "images" / "000000.jpg")


@pytest.mark.parametrize(
    ("do", "said"),
    [
        (cut, r"cannot be decoded \(.*truncated"),
        (cut_short, r"cannot be decoded \(.*Truncated"),
        (lose, r"no such file, but annotation\.json names it"),
        (other_kind, r"not a JPEG file"),
        (other_size, r"20 x 30 pixels, but annotation\.json says 20 x 40"),
    ],
)
def test_a_broken_image_is_named(tmp_path: Path, do: Callable[[Path], None], said: str) -> None:
    dataset = jpeg_people.load("train", size=(20, 40), count=1, path=str(by_hand(tmp_path)))
    do(tmp_path)
    with pytest.raises(Failed, match=rf"^.*000000\.jpg: {said}.*; write the folder again: bench data write") as error:
        dataset.batch([0], CPU)
    assert "\n" not in str(error.value)


BARE = Person(image="images/000001.jpg", joints=[], labelled=[], visible=[], head_size=1.0)
UNEVEN = Person(image="images/000000.jpg", joints=[(1.0, 2.0)], labelled=[True, False], visible=[True], head_size=1.0)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"format": 2}, "format 2, this bench reads 1"),
        ({"people": []}, "nobody is in it"),
        ({"people": [UNEVEN]}, "do not fit together"),
        ({"people": [BARE]}, r"images/000001\.jpg has no joints; write the folder again"),
        ({"people": [msgspec.structs.replace(UNEVEN, labelled=[True]), BARE]}, r"images/000001\.jpg has no joints"),
        ({"size": (0, 40)}, "do not fit together"),
        ({"size": ("a", 40)}, r"broken \(Expected `int`, got `str`"),
    ],
    ids=lambda value: "" if isinstance(value, dict) else value,
)
def test_a_broken_annotation_is_named(tmp_path: Path, changes: dict[str, object], said: str) -> None:
    folder = by_hand(tmp_path, **changes)
    with pytest.raises(Failed, match=rf"annotation\.json: .*{said}"):
        jpeg_people.load("train", size=(20, 40), count=1, path=str(folder))


def test_text_that_ends_early_is_no_annotation(tmp_path: Path) -> None:
    file = by_hand(tmp_path) / "train" / "annotation.json"
    file.write_bytes(file.read_bytes()[:-5])
    with pytest.raises(Failed, match=r"annotation\.json: broken \(.*truncated"):
        jpeg_people.load("train", size=(20, 40), count=1, path=str(tmp_path))


def test_a_split_that_is_not_there(written: Path) -> None:
    with pytest.raises(Failed, match=r"train/annotation\.json: no such file; make it: bench data write"):
        jpeg_people.load("train", size=SIZE, count=1, path=str(written))


def test_files_that_nobody_named() -> None:
    with pytest.raises(Failed, match="write where they lie, --data jpeg_people=DIR"):
        jpeg_people.load("train", size=SIZE, count=1)


def test_labels_that_only_some_people_have_are_left_out(tmp_path: Path) -> None:
    folder = by_hand(tmp_path)
    file = folder / "train" / "annotation.json"
    annotation = msgspec.json.decode(file.read_bytes(), type=Annotation)
    bare = msgspec.structs.replace(annotation.people[0], head_box=None, head_size=None)
    people = [annotation.people[0], bare]
    file.write_bytes(msgspec.json.encode(msgspec.structs.replace(annotation, people=people)))
    batch = jpeg_people.load("train", size=(20, 40), count=2, path=str(folder)).batch([0, 1], CPU)
    assert batch.keys() == {"image", "joints", "labelled", "visible"}
