"""Contact sheets: a joint's mark says what is known of it."""

import io
from typing import Any

import numpy as np
import pytest
from PIL import Image

from bench.draw import contact_sheet as module
from bench.draw.contact_sheet import BOX, contact_sheet
from bench.draw.skeleton import COLOURS, palette

GREY = (128, 128, 128)


def samples(count: int = 1, joints: int = 16, side: int = 256, **changes: Any) -> dict[str, Any]:
    """Grey images whose joints lie on a diagonal, 15 pixels from one another."""
    places = np.stack([15.0 * (1 + np.arange(joints))] * 2, -1).astype(np.float32) * side / 256
    everywhere = np.ones((count, joints), bool)
    made = {
        "image": np.full((count, side, side, 3), GREY, np.uint8),
        "joints": np.stack([places] * count),
        "labelled": everywhere,
        "visible": everywhere,
    }
    return made | changes


def cell(given: dict[str, Any], n: int) -> Image.Image:
    return module.cell(given, n)


def at(picture: Image.Image, place: tuple[float, float]) -> Any:
    return picture.getpixel((int(place[0]), int(place[1])))


@pytest.mark.parametrize("side", [32, 256, 300])
def test_joints_have_the_colour_of_their_side(side: int) -> None:
    given = samples(side=side)
    picture = cell(given, 0)
    factor = picture.width / side
    assert factor == (8 if side == 32 else 1)
    for joint, side_of in ((0, "right"), (5, "left"), (8, "centre"), (10, "right"), (15, "left")):
        assert at(picture, given["joints"][0, joint] * factor) == COLOURS[side_of]


def test_an_occluded_joint_is_hollow_and_an_unlabelled_one_is_not_drawn() -> None:
    labelled, visible = np.zeros((2, 1, 16), bool)
    labelled[0, [0, 4]] = visible[0, 0] = True
    given = samples(labelled=labelled, visible=visible)
    picture = cell(given, 0)
    (seen, hidden, unknown) = (given["joints"][0, joint] for joint in (0, 4, 8))
    assert [at(picture, place) for place in (seen, hidden, unknown)] == [COLOURS["right"], GREY, GREY]
    near = picture.crop((int(hidden[0]) - 7, int(hidden[1]) - 7, int(hidden[0]) + 8, int(hidden[1]) + 8))
    assert COLOURS["left"] in [colour for _, colour in near.getcolors(1000) or []]
    around = picture.crop((int(unknown[0]) - 6, int(unknown[1]) - 6, int(unknown[0]) + 7, int(unknown[1]) + 7))
    assert around.getcolors() == [(13 * 13, GREY)]


def test_limbs_join_labelled_joints_of_a_known_skeleton() -> None:
    def between(given: dict[str, Any]) -> Any:
        return at(cell(given, 0), given["joints"][0, :2].mean(0))  # of right ankle and knee

    without = np.ones((1, 16), bool)
    without[0, 0] = False
    assert between(samples()) == COLOURS["right"]
    assert between(samples(labelled=without)) == GREY
    assert between(samples(joints=14)) == GREY


def test_the_head_box_is_drawn_where_there_is_one() -> None:
    picture = cell(samples(head_box=np.array([[160.0, 20.0, 200.0, 60.0]], np.float32)), 0)
    assert at(picture, (180, 20)) == at(picture, (160, 40)) == BOX
    assert at(picture, (180, 40)) == GREY


def test_parts_lie_below_in_colours_of_their_own() -> None:
    part = np.zeros((1, 256, 256), np.uint8)
    part[0, 100:, :] = np.arange(256) // 10
    picture = cell(samples(part=part), 0)
    assert picture.size == (256, 2 * 256 + 1)
    assert at(picture, (128, 257 + 50)) == tuple(palette()[0])
    assert [at(picture, (10 * n, 257 + 150)) for n in range(25)] == [tuple(colour) for colour in palette()[:25]]


def test_the_parts_of_a_body_can_be_told_apart() -> None:
    colours = palette()[:25].astype(int)
    apart = np.abs(colours[:, None] - colours[None]).max(-1)
    assert apart[~np.eye(25, dtype=bool)].min() >= 60


@pytest.mark.parametrize(("count", "across"), [(1, 1), (4, 4), (5, 4), (30, 5)])
def test_a_sheet_holds_every_sample(count: int, across: int) -> None:
    tints = np.linspace(10, 250, count).astype(np.uint8)
    image = np.broadcast_to(tints[:, None, None, None], (count, 256, 256, 3)).copy()
    with Image.open(io.BytesIO(contact_sheet(samples(count, image=image), "title"))) as picture:
        assert picture.size == (max(420, across * 262 + 6), -(-count // across) * 262 + 6 + 44)
        found = [at(picture, (6 + n % across * 262 + 200, 28 + n // across * 262 + 40)) for n in range(count)]
    assert found == [(tint,) * 3 for tint in tints]


def test_without_joints_there_are_images_and_parts_and_no_key() -> None:
    part = np.zeros((1, 256, 256), np.uint8)
    part[0, :, 100:] = 1
    given = {"image": samples()["image"], "part": part}
    picture = cell(given, 0)
    assert picture.crop((0, 0, 256, 256)).getcolors() == [(256 * 256, GREY)]
    assert [at(picture, (x, 300)) for x in (50, 150)] == [tuple(colour) for colour in palette()[:2]]
    with (
        Image.open(io.BytesIO(contact_sheet(given, "title"))) as sheet,
        Image.open(io.BytesIO(contact_sheet(samples() | given, "title"))) as labelled,
    ):
        assert sheet.size == labelled.size == (420, 22 + 6 + 513 + 6 + 22)
        below = (0, 22 + 6 + 513 + 6, 420, sheet.height)
        keys = [len(one.crop(below).getcolors(9999) or []) for one in (sheet, labelled)]
    assert keys[0] == 1 < keys[1]
