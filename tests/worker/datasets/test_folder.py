"""A folder of images and masks: what the files say comes back, at any size, and what cannot be read is named."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from image_folders import CPU, PERSON, SIZE, load, only, touch, write
from PIL import Image

from bench.errors import Failed


def test_what_was_written_comes_back(tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (5, *SIZE, 3), dtype=np.uint8)
    masks = np.random.default_rng(1).random((5, *SIZE)) < 0.5
    for n in range(5):
        write(tmp_path / "test", str(n), images[n], np.uint8(255) * masks[n])
    dataset = load(tmp_path, count=5)
    order = [int(pair.image.stem) for pair in dataset.pairs]
    assert sorted(order) == [0, 1, 2, 3, 4]
    batch = dataset.batch([3, 0], CPU)
    assert batch.keys() == {"image", "mask"}
    assert (batch["image"].dtype, batch["mask"].dtype) == (torch.uint8, torch.bool)
    chosen = [order[3], order[0]]
    assert np.array_equal(batch["image"].permute(0, 2, 3, 1), images[chosen])
    assert np.array_equal(batch["mask"], masks[chosen])


def palette(colours: dict[int, tuple[int, int, int]], values: Any) -> Image.Image:
    picture = Image.fromarray(values.astype(np.uint8)).convert("P")
    picture.putdata(values.astype(np.uint8).flatten().tolist())
    table = np.full((256, 3), 77, np.uint8)
    for number, colour in colours.items():
        table[number] = colour
    picture.putpalette(table.flatten().tolist())
    return picture


def layered(colour: tuple[int, int, int]) -> Image.Image:
    """Of one colour, transparent where nobody is."""
    alpha = np.uint8(255) * PERSON
    return Image.fromarray(np.dstack([np.full((*SIZE, 3), colour, np.uint8), alpha]))


MASKS: dict[str, Callable[[], Any]] = {
    "0 and 255": lambda: np.uint8(255) * PERSON,
    "0 and 1": lambda: np.uint8(1) * PERSON,
    "0 and several": lambda: np.where(PERSON, np.arange(1, 49, dtype=np.uint8).reshape(SIZE), np.uint8(0)),
    "one bit": lambda: Image.fromarray(np.uint8(255) * PERSON).convert("1"),
    "16 bits": lambda: np.uint16(256) * PERSON,
    "palette, black first": lambda: palette({0: (0, 0, 0), 1: (128, 0, 0)}, PERSON),
    "palette, black second": lambda: palette({0: (255, 255, 255), 1: (0, 0, 0)}, ~PERSON),
    "white": lambda: np.dstack([np.uint8(255) * PERSON] * 3),
    "blue": lambda: np.dstack([np.zeros(SIZE, np.uint8)] * 2 + [np.uint8(9) * PERSON]),
    "opaque": lambda: np.dstack([np.uint8(255) * PERSON] * 3 + [np.full(SIZE, 255, np.uint8)]),
    "transparent": lambda: layered((255, 255, 255)),
    "grey and transparent": lambda: layered((200, 200, 200)).convert("LA"),
}


@pytest.mark.parametrize("kind", MASKS)
def test_a_person_is_what_is_not_black(tmp_path: Path, kind: str) -> None:
    write(tmp_path / "test", "a", mask=MASKS[kind]())
    assert np.array_equal(only(tmp_path)["mask"], PERSON)


@pytest.mark.parametrize("coloured", [False, True])
def test_a_threshold_is_above_what_is_nobody(tmp_path: Path, coloured: bool) -> None:
    mask = np.array([[0, 1, 99, 100, 101, 255, 0, 200]] * SIZE[0], np.uint8)
    dark = np.zeros_like(mask)
    write(tmp_path / "test", "a", mask=np.dstack([dark, mask, dark]) if coloured else mask)
    assert only(tmp_path, threshold=100)["mask"][0].tolist() == [False] * 4 + [True, True, False, True]
    assert only(tmp_path, threshold=99)["mask"][0].tolist() == [False] * 3 + [True] * 3 + [False, True]


LABELS = np.array([[0, 1, 2, 3, 255, 0, 3, 2]] * SIZE[0], np.uint8)


@pytest.mark.parametrize(
    "mask",
    [LABELS, LABELS.astype(np.uint16), np.dstack([LABELS] * 3), palette({0: (9, 9, 9), 3: (9, 9, 9)}, LABELS)],
    ids=["grey", "16 bits", "grey in colours", "palette"],
)
def test_labels_are_the_values_of_a_mask(tmp_path: Path, mask: Any) -> None:
    sample = only(write(tmp_path / "test", "a", mask=mask).parent, parts=True)
    assert sample.keys() == {"image", "mask", "part"}
    assert (sample["part"].dtype, sample["mask"].dtype) == (torch.uint8, torch.bool)
    assert np.array_equal(sample["part"], LABELS)
    assert np.array_equal(sample["mask"], (LABELS > 0) & (LABELS < 4))


def test_a_mask_of_one_bit_has_two_labels(tmp_path: Path) -> None:
    write(tmp_path / "test", "a", mask=MASKS["one bit"]())
    assert np.array_equal(only(tmp_path, parts=True)["part"], PERSON)


@pytest.mark.parametrize("large", [255, 254, 25])
def test_a_label_that_is_no_class_is_named(tmp_path: Path, large: int) -> None:
    mask = LABELS.repeat(50, 0).repeat(50, 1)
    mask[7, 9] = large  # a pixel that is not among those that are kept
    write(tmp_path / "test", "a", image=np.zeros((300, 400, 3), np.uint8), mask=mask)
    if large == 255:
        assert only(tmp_path, parts=True)["part"].max() == 255
        return
    said = rf"masks/a\.png: label {large}, but parts have 0 to 24, and 255 where nothing is said; mend it"
    with pytest.raises(Failed, match=said):
        only(tmp_path, parts=True)


def test_colours_are_no_labels(tmp_path: Path) -> None:
    write(tmp_path / "test", "a", mask=MASKS["blue"]())
    with pytest.raises(Failed, match=r"masks/a\.png: has colours, not labels; write label n as grey value n"):
        only(tmp_path, parts=True)


@pytest.mark.parametrize("size", [(12, 16), (3, 4), (7, 5), (60, 80)])
def test_a_mask_stays_on_what_it_marks(tmp_path: Path, size: tuple[int, int]) -> None:
    """A white square on black, which is its own mask."""
    square = np.zeros((60, 80), np.uint8)
    square[15:45, 20:60] = 255
    write(tmp_path / "test", "a", image=np.dstack([square] * 3), mask=square)
    sample = only(tmp_path, size=size)
    assert (sample["image"].shape, sample["mask"].shape) == ((3, *size), size)
    light, weight = sample["image"].float().mean(0), sample["mask"].float()
    for each in (light, weight):
        for axis, middle in ((0, size[0] / 2), (1, size[1] / 2)):
            along = torch.arange(size[axis]) + 0.5
            assert (each.sum(1 - axis) * along).sum() / each.sum() == pytest.approx(middle, abs=0.35)
    assert ((light > 128) != sample["mask"]).float().mean() < 0.1


def test_images_are_blended_and_masks_are_not(tmp_path: Path) -> None:
    stripes = np.tile(np.array([0, 255, 0, 255, 0, 255, 0, 255], np.uint8), (SIZE[0], 1))
    labels = np.tile(np.array([0, 3] * 4, np.uint8), (SIZE[0], 1))
    write(tmp_path / "test", "a", image=np.dstack([stripes] * 3), mask=labels)
    sample = only(tmp_path, size=(6, 4), parts=True)
    assert 90 < sample["image"].min() <= sample["image"].max() < 170
    assert set(sample["part"].unique().tolist()) <= {0, 3}


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "LA", "1", "CMYK"])
def test_every_image_has_three_channels(tmp_path: Path, mode: str) -> None:
    root = write(tmp_path / "test", "a")
    (root / "images" / "a.png").unlink()
    picture = Image.new("RGB", SIZE[::-1], "white").convert(mode)
    picture.save(root / "images" / ("a.jpg" if mode == "CMYK" else "a.png"))
    image = only(tmp_path)["image"]
    assert (image.shape, image.dtype) == ((3, *SIZE), torch.uint8)
    assert image.min() >= 254


def test_what_is_transparent_is_black(tmp_path: Path) -> None:
    write(tmp_path / "test", "a", image=layered((10, 20, 30)))
    image = only(tmp_path)["image"].permute(1, 2, 0).numpy()
    assert (image[PERSON] == (10, 20, 30)).all() and (image[~PERSON] == 0).all()


def test_a_photograph_is_turned_as_it_is_seen(tmp_path: Path) -> None:
    root = write(tmp_path / "test", "a", mask=np.zeros((8, 6), np.uint8))
    (root / "images" / "a.png").unlink()
    exif = Image.Exif()
    exif[0x0112] = 6  # EXIF 2.3, orientation: the first row is what is seen on the right
    left = np.zeros((6, 8, 3), np.uint8)
    left[:, :4] = 255
    Image.fromarray(left).save(root / "images" / "a.jpg", exif=exif, quality=95)
    image = only(tmp_path, size=(8, 6))["image"]
    assert image[:, :3].min() > 200 and image[:, 5:].max() < 50


@pytest.mark.parametrize("shape", [(3, 4), (12, 16), (5, 8), (7, 8)])
def test_a_mask_of_another_size_covers_its_image(tmp_path: Path, shape: tuple[int, int]) -> None:
    mask = np.zeros(shape, np.uint8)
    mask[:, shape[1] // 2 :] = 1
    write(tmp_path / "test", "a", mask=mask)
    assert np.array_equal(only(tmp_path)["mask"], [[False] * 4 + [True] * 4] * 6)


@pytest.mark.parametrize("shape", [(8, 6), (60, 40), (6, 4)])
def test_a_mask_of_another_shape_is_of_another_image(tmp_path: Path, shape: tuple[int, int]) -> None:
    write(tmp_path / "test", "a", mask=np.zeros(shape, np.uint8))
    found = f"{shape[0]} x {shape[1]} pixels, but a.png has 6 x 8"
    with pytest.raises(Failed, match=rf"masks/a\.png: {found}; write them in one shape"):
        only(tmp_path)


def test_files_are_repeated_where_there_are_fewer(tmp_path: Path) -> None:
    for n in range(3):
        write(tmp_path / "test", str(n), np.full((*SIZE, 3), n, np.uint8), np.full(SIZE, n % 2, np.uint8))
    dataset = load(tmp_path, count=8)
    assert (len(dataset), dataset.distinct) == (8, 3)
    batch = dataset.batch([1, 4, 7, 2], CPU)
    assert torch.equal(batch["image"][0], batch["image"][1]) and torch.equal(batch["image"][0], batch["image"][2])
    assert not torch.equal(batch["image"][0], batch["image"][3])
    fewer = load(tmp_path, count=2)
    assert (len(fewer), fewer.distinct) == (2, 2)


def test_every_batch_is_decoded_anew(tmp_path: Path) -> None:
    dataset = load(write(tmp_path / "test", "a").parent)
    assert dataset.batch([0], CPU)["mask"].any()
    write(tmp_path / "test", "a", mask=np.zeros(SIZE, np.uint8))
    assert not dataset.batch([0], CPU)["mask"].any()


def content(kind: str) -> bytes:
    """A file of 64 x 48 pixels of noise, whole."""
    data = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8)
    Image.fromarray(noise).save(data, kind)
    return data.getvalue()


BROKEN = (
    ("images/a.jpg", content("JPEG")[:-400], r"cannot be decoded \(image file is truncated.*\); save it again, or"),
    ("images/a.jpg", content("JPEG")[:100], r"cannot be decoded \(.*\); save it again"),
    ("images/a.jpg", content("PNG")[:-400], r"cannot be decoded \(.*\); save it again"),
    ("images/a.jpg", b"", r"not a JPEG or PNG file; save it as one, or take it away"),
    ("images/a.jpg", content("BMP"), r"not a JPEG or PNG file; save it as one"),
    ("masks/a.png", content("PNG")[:-400], r"cannot be decoded \(.*\); save it again, or take image and mask away"),
    ("masks/a.png", content("JPEG"), r"not a PNG file; save it as one, or take it away"),
    ("masks/a.png", b"\x89PNG\r\n\x1a\n", r"not a PNG file|cannot be decoded"),
)


@pytest.mark.parametrize(("name", "data", "said"), BROKEN, ids=range(len(BROKEN)))
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, name: str, data: bytes, said: str) -> None:
    root = touch(tmp_path / "test", ["a"])
    (root / "images" / "a.jpg").write_bytes(content("JPEG"))
    (root / "masks" / "a.png").write_bytes(content("PNG"))
    dataset = load(tmp_path)
    assert dataset.batch([0], CPU)["image"].shape == (1, 3, *SIZE)
    (root / name).write_bytes(data)
    with pytest.raises(Failed, match=f"^{root / name}: {said}") as error:
        dataset.batch([0], CPU)
    assert "\n" not in str(error.value)


def test_a_file_that_is_gone_is_named(tmp_path: Path) -> None:
    dataset = load(write(tmp_path / "test", "a").parent)
    (tmp_path / "test" / "masks" / "a.png").unlink()
    with pytest.raises(Failed, match=r"masks/a\.png: cannot be decoded \(No such file or directory\)"):
        dataset.batch([0], CPU)


def test_an_image_of_16_bits_is_no_photograph(tmp_path: Path) -> None:
    write(tmp_path / "test", "a", image=np.full(SIZE, 4000, np.uint16))
    with pytest.raises(Failed, match=r"images/a\.png: has 16 bits a pixel, .*; save it with 8"):
        only(tmp_path)
