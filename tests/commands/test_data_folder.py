"""A folder of images and masks through the command line: looked at, measured on, and named where it is wrong."""

from pathlib import Path

import numpy as np
import pytest
from command_line import HEAD, PROTOCOL, Project, hourglass
from image_folders import touch, write
from PIL import Image

from bench import store
from bench.draw.contact_sheet import palette

SUITE = HEAD.replace('"random"', '"folder"').replace('["params", "infer"]', '["params", "infer", "eval_time"]')


def filled(root: Path, count: int = 5) -> Path:
    """Grey images, whose left half is a person."""
    for n in range(count):
        mask = np.zeros((30, 40), np.uint8)
        mask[:, :20] = 255
        write(root, f"frame_{n}", np.full((30, 40, 3), 100 + n, np.uint8), mask)
    return root


def test_a_sheet_shows_images_above_their_masks(project: Project) -> None:
    filled(project.folder / "mine" / "test")
    shown = ("--data", "folder=mine", "--out", "x.png", "--n", "5", "--size", "32")
    done = project.bench("data", "show", "folder", *shown)
    assert (done.code, done.out, done.err) == (0, "x.png\n", "")
    with Image.open(project.folder / "x.png") as picture:
        sheet = np.array(picture)
    above, below = sheet[28 : 28 + 256, 6 : 6 + 256], sheet[28 + 257 : 28 + 513, 6 : 6 + 256]
    assert len(np.unique(above.reshape(-1, 3), axis=0)) == 1
    assert 100 <= above.min() == above.max() <= 104
    assert (below[:, :128] == palette()[1]).all() and (below[:, 128:] == palette()[0]).all()


def test_a_suite_is_measured_on_the_files(project: Project) -> None:
    root = filled(project.folder / "mine" / "test")
    project.suite(SUITE + hourglass("a", 4) + PROTOCOL, "files")
    done = project.bench("run", "files", "--data", "folder=mine")
    assert done.code == 0, done.err
    records = store.read(project.runs[-1]).records
    assert [record.status for record in records] == ["ok"] * len(records)
    values = {value.quantity.name: value for record in records for value in record.values}
    assert values["params"].value and values["latency"].value and values["eval_time"].value
    (root / "masks" / "frame_3.png").unlink()
    done = project.bench("run", "files", "--data", "folder=mine")
    assert done.code == 2
    (line,) = done.said
    assert line.endswith(
        f"variant 'a': {root}: 1 of 5 images has no mask: frame_3.png; write masks/frame_3.png or frame_3_mask.png, or "
        "take away what has none"
    )
    assert len(project.runs) == 1


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("", "folder reads files: write where they lie, --data folder=DIR (DIR has images/ and masks/)"),
        ("-o path=none", "none: no such folder; write where images/ and masks/ lie, --data folder=DIR"),
        ("--data folder=mine", "mine/test/images/b.jpg: not a JPEG or PNG file; save it as one, or take it away"),
        ("--data folder=mine -o tset_share=0.1", "data set 'folder': unknown option 'tset_share'; did you mean 'test_"),
    ],
)
def test_what_is_wrong_is_one_line(project: Project, typed: str, said: str) -> None:
    touch(project.folder / "mine" / "test", ["b"])
    done = project.bench("data", "show", "folder", "--out", "x.png", *typed.split())
    assert (done.code, done.out) == (2, "")
    (line,) = done.err.splitlines()
    assert line.startswith(said)
    assert not (project.folder / "x.png").exists()


def test_masks_are_not_written_as_joints(project: Project) -> None:
    filled(project.folder / "mine" / "test")
    done = project.bench("data", "write", "folder", "new", "--data", "folder=mine", "--split", "val", "--n", "2")
    assert done.code == 2
    assert done.err.splitlines()[1:] == ["data set 'folder' has no joints; `bench data write` is about people"]
    assert not (project.folder / "new").exists()
