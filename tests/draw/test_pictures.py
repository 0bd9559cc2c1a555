"""Pictures: where each mark is, what is left out, how sheets are laid out, and what is no file of examples."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from trainings import Arrays, arrays, noisy

from bench.draw import pictures, skeleton
from bench.draw.pictures import GAP, GUTTER, MARGIN, SIDE, WRONG, Examples
from bench.draw.skeleton import COLOURS, SIDES

WRIST, ANKLE = 10, 5


def read(folder: Path, given: Arrays, name: str = "a", count: int = 4) -> Examples:
    path = folder / f"{name}.npz"
    np.savez_compressed(path, allow_pickle=False, **given)
    return pictures.read(path, name, "PCKh@0.5 80.0 %", count)


def portrait(folder: Path, given: Arrays) -> Image.Image:
    examples = read(folder, given)
    return pictures.portrait(examples.people[0], examples.predicted[-1][0])


def at(given: Arrays, place: np.ndarray) -> tuple[float, float]:
    scale = SIDE / given["image"].shape[2]
    return float(place[0]) * scale, float(place[1]) * scale


def colours_near(picture: Image.Image, place: tuple[float, float], radius: int) -> set[tuple[int, ...]]:
    x, y = round(place[0]), round(place[1])
    window = picture.crop((x - radius, y - radius, x + radius + 1, y + radius + 1))
    return {tuple(pixel) for pixel in np.asarray(window).reshape(-1, 3).tolist()}


@pytest.mark.parametrize("size", [64, 96, 100, 128, 192, 256])
def test_right_joints_are_dots_of_their_side(tmp_path: Path, size: int) -> None:
    given = arrays(size)
    picture = portrait(tmp_path, given)
    assert picture.size == (SIDE, SIDE)
    for joint, place in enumerate(given["joints"][0]):
        x, y = at(given, place)
        assert picture.getpixel((int(x), int(y))) == COLOURS[SIDES[joint]], joint
    assert WRONG not in colours_near(picture, (96, 96), 96)


def test_a_wrong_joint_is_ringed_with_a_line_to_the_truth(tmp_path: Path) -> None:
    given = arrays()
    truth = given["joints"][0, WRIST].copy()
    given["predicted"][0, 0, WRIST] = truth + np.array([-9, -12])
    picture = portrait(tmp_path, given)
    found = at(given, given["predicted"][0, 0, WRIST])
    assert WRONG in colours_near(picture, found, 6)
    assert picture.getpixel((round(found[0] - pictures.RING + 0.6), round(found[1]))) == WRONG
    true = at(given, truth)
    middle = ((found[0] + true[0]) / 2, (found[1] + true[1]) / 2)
    assert any(r > 180 and g < 100 and b < 100 for r, g, b in colours_near(picture, middle, 2))
    ankle = at(given, given["joints"][0, ANKLE])
    assert WRONG not in colours_near(picture, ankle, 8)
    assert COLOURS["right"] not in colours_near(picture, true, 2)


@pytest.mark.parametrize(("share", "wrong"), [(0.5, False), (0.49, False), (0.51, True)])
def test_half_a_head_is_near_enough(tmp_path: Path, share: float, wrong: bool) -> None:
    given = arrays(size=80)  # heads of 8 pixels, so that half of one is a whole number
    given["joints"] = given["joints"].round()
    given["predicted"] = given["joints"][None].copy()
    given["predicted"][0, 0, WRIST, 0] -= share * 8
    found = at(given, given["predicted"][0, 0, WRIST])
    assert (WRONG in colours_near(portrait(tmp_path, given), found, 7)) is wrong


def test_an_unlabelled_joint_is_left_out(tmp_path: Path) -> None:
    given = arrays()
    given["predicted"][0, 0, WRIST] = [5, 60]
    given["labelled"][0, WRIST] = False
    picture = portrait(tmp_path, given)
    shade = tuple(given["image"][0, 0, 0].tolist())
    assert colours_near(picture, at(given, np.array([5, 60])), 7) == {shade}
    assert COLOURS["right"] not in colours_near(picture, at(given, given["joints"][0, WRIST]), 6)


def test_a_joint_without_a_prediction_is_ringed_where_it_is(tmp_path: Path) -> None:
    given = arrays()
    given["predicted"][0, 0, WRIST] = np.nan
    assert WRONG in colours_near(portrait(tmp_path, given), at(given, given["joints"][0, WRIST]), 6)


def opened(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data))


def test_variants_are_columns_and_images_rows(tmp_path: Path) -> None:
    examples = [read(tmp_path, arrays(), name) for name in "abc"]
    image = opened(pictures.variants(examples))
    assert image.mode == "P"
    assert image.width == 2 * MARGIN + 4 * SIDE + 3 * GAP
    fewer = opened(pictures.variants([read(tmp_path, arrays(), name, count=2) for name in "abc"]))
    assert image.height - fewer.height == 2 * (SIDE + GAP)


def test_many_variants_are_broken_into_even_bands_that_each_show_the_truth(tmp_path: Path) -> None:
    examples = [read(tmp_path, arrays(count=1), f"v{n}") for n in range(9)]
    image = opened(pictures.variants(examples)).convert("RGB")
    assert image.width == 2 * MARGIN + 6 * SIDE + 5 * GAP
    one = opened(pictures.variants(examples[:5]))
    assert one.width == image.width and image.height > one.height + SIDE
    groups = [pictures.Group(str(n), [""], []) for n in range(9)]
    assert [len(band) for band in pictures._bands(groups, 5)] == [5, 4]
    assert [len(band) for band in pictures._bands(groups, 3)] == [3, 3, 3]


def test_two_variants_differ_where_one_is_wrong(tmp_path: Path) -> None:
    good, bad = arrays(), arrays()
    bad["predicted"][0, 1, WRIST] = [8, 8]
    same, other = (opened(pictures.variants([read(tmp_path, each)])).convert("RGB") for each in (good, bad))
    top = same.height - MARGIN - pictures.NOTE - MARGIN - 4 * (SIDE + GAP)
    column = MARGIN + SIDE + GAP
    cells = [(column, top + row * (SIDE + GAP)) for row in range(4)]
    differs = [same.crop((x, y, x + SIDE, y + SIDE)) != other.crop((x, y, x + SIDE, y + SIDE)) for x, y in cells]
    assert differs == [False, True, False, False]
    x, y = at(bad, np.array([8, 8]))
    place = (column + x, cells[1][1] + y)
    assert WRONG in colours_near(other, place, 6) and WRONG not in colours_near(same, place, 6)


def test_stacks_are_pairs(tmp_path: Path) -> None:
    deep = [read(tmp_path, noisy(arrays(stacks=n), n), f"{n} stacks") for n in (2, 8)]
    image = opened(pictures.stacks(deep))
    assert image.width == 2 * MARGIN + 4 * SIDE + 2 * GAP + GUTTER


def test_many_stacks_get_fewer_rows(tmp_path: Path) -> None:
    deep = [read(tmp_path, arrays(stacks=2), f"v{n}") for n in range(9)]
    bands = 3
    rows = pictures.ON_A_PAGE // 18
    assert rows == 2
    image = opened(pictures.stacks(deep))
    assert bands * rows * SIDE < image.height < bands * (rows + 1) * SIDE


def test_sheets_of_noisy_images_stay_small(tmp_path: Path) -> None:
    noise = np.random.default_rng(1)
    given = arrays(size=64, stacks=8)
    blurred = given["image"] + noise.normal(0, 12, given["image"].shape)
    given["image"] = blurred.clip(0, 255).astype(np.uint8)
    examples = [read(tmp_path, noisy(given, n), f"v{n}") for n in range(9)]
    assert len(pictures.variants(examples)) < pictures.LIGHT
    assert len(pictures.stacks(examples)) < pictures.LIGHT


def test_fewer_colours_where_bytes_are_few() -> None:
    noise = np.random.default_rng(1).integers(0, 255, (200, 200, 3)).astype(np.uint8)
    picture = Image.fromarray(noise)
    counts = [len(opened(pictures.png(picture, most)).getcolors() or []) for most in (10**6, 1)]
    assert counts[0] > 200 and counts[1] <= 32


@pytest.mark.parametrize("name", ["original", "6-stacks-64ch-4-residuals", "x" * 60, "a b", ""])
def test_headings_fit(name: str) -> None:
    lines = pictures._wrapped(name, SIDE)
    assert "".join(lines) == name
    assert all(skeleton.font(pictures.HEADING).getlength(line.rstrip()) <= SIDE for line in lines)
    assert len(lines) <= 4


def test_the_same_images_are_told_from_others(tmp_path: Path) -> None:
    given, changed = arrays(), arrays()
    changed["image"][1, 3, 3] = 0
    one = read(tmp_path, given, "one")
    assert one.same_images(read(tmp_path, noisy(given, 1), "two"))
    assert not one.same_images(read(tmp_path, changed, "two"))
    assert not one.same_images(read(tmp_path, arrays(size=32), "two"))
    assert not one.same_images(read(tmp_path, given, "two", count=2))


@pytest.mark.parametrize(
    "change",
    [
        {"joints": np.zeros((5, 14, 2))},
        {"head_size": np.zeros(4)},
        {"image": np.zeros((5, 3, 64, 64), np.uint8)},
        {"predicted": np.zeros((5, 16, 2))},
        {"predicted": np.zeros((0, 5, 16, 2))},
        {"image": np.array(1)},
    ],
    ids=lambda change: "-".join(f"{key}{value.shape}" for key, value in change.items()),
)
def test_arrays_that_do_not_fit_are_refused(tmp_path: Path, change: Arrays) -> None:
    with pytest.raises(ValueError, match="not a file of examples: its arrays do not fit together"):
        read(tmp_path, arrays() | change)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 torn", b"text"])
def test_what_is_no_archive_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.npz"
    path.write_bytes(content)
    with pytest.raises(ValueError):
        pictures.read(path, "a", "", 4)


def test_an_archive_of_other_things_is_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", other=np.zeros(3))
    with pytest.raises(ValueError, match="not a file of examples"):
        pictures.read(tmp_path / "a.npz", "a", "", 4)
