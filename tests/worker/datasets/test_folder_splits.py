"""A folder of images and masks: which files are in which split, and what does not fit together is named."""

import shutil
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from image_folders import SIZE, load, names, touch

from bench.errors import Failed
from bench.worker.datasets import folder


def test_folders_are_the_splits(tmp_path: Path) -> None:
    for split, each in (("train", ["a", "b", "c"]), ("test", ["d", "e"])):
        touch(tmp_path / split, each)
    assert sorted(names(tmp_path, "train")) == ["a", "b", "c"]
    assert sorted(names(tmp_path, "val")) == sorted(names(tmp_path, "test")) == ["d", "e"]
    touch(tmp_path / "val", ["f"])
    assert names(tmp_path, "val") == ["f"]
    assert sorted(names(tmp_path, "test")) == ["d", "e"]


def test_a_share_of_the_images_is_held_out(tmp_path: Path) -> None:
    everything = [f"{n:04d}" for n in range(1000)]
    touch(tmp_path, everything)
    train, val = names(tmp_path, "train"), names(tmp_path, "val")
    assert sorted(train + val) == everything
    assert 160 < len(val) < 240
    assert names(tmp_path, "test") == val
    assert 440 < len(names(tmp_path, "val", test_share=0.5)) < 560
    assert set(val) < set(names(tmp_path, "val", test_share=0.5))
    other = names(tmp_path, "val", split_seed=1)
    assert 160 < len(other) < 240 and len(set(other) & set(val)) < 80


def test_an_image_stays_in_its_split(tmp_path: Path) -> None:
    few, many = [f"walk_{n}" for n in range(40)], [f"run_{n}" for n in range(40)]
    first = touch(tmp_path / "first", few)
    second = touch(tmp_path / "second", [*many, *reversed(few)], image=".png", mask="_mask.png")
    for split in ("train", "val"):
        before, after = names(first, split), names(second, split)
        assert [name for name in after if name in few] == before
        assert len(after) > len(before) > 0


def test_the_split_is_the_same_in_every_version(tmp_path: Path) -> None:
    touch(tmp_path, "abcdefghijklmnopqrstuvwxyz")
    assert "".join(names(tmp_path, "val")) == "rtdwf"


def test_the_first_files_are_a_fair_sample(tmp_path: Path) -> None:
    touch(tmp_path / "test", [f"{film}_{n:02d}" for film in "abcd" for n in range(50)])
    first = "".join(name[0] for name in names(tmp_path, "val", count=100)[:100])
    assert all(15 <= first.count(film) <= 35 for film in "abcd"), first


def test_names_are_matched_however_they_are_written(tmp_path: Path) -> None:
    composed, apart = (unicodedata.normalize(form, "\u00e9t\u00e9") for form in ("NFC", "NFD"))
    root = touch(tmp_path / "test", ["a.b", "c_mask"])
    touch(root, ["e"], image=".JPEG", mask="_mask.PNG")
    touch(root, ["f"], image=".jpeg")
    for kind, name in (("images", f"{composed}.jpg"), ("masks", f"{apart}.png")):
        (root / kind / name).touch()
    for name in ("._a.b.jpg", ".DS_Store", "notes.txt", "Thumbs.db"):
        (root / "images" / name).touch()
    found = {pair.image.name: pair.mask.name for pair in load(tmp_path).pairs}
    assert found == {
        "a.b.jpg": "a.b.png",
        "c_mask.jpg": "c_mask.png",
        "e.JPEG": "e_mask.PNG",
        "f.jpeg": "f.png",
        f"{composed}.jpg": f"{apart}.png",
    }


def test_an_accent_does_not_move_an_image(tmp_path: Path) -> None:
    """File systems write it as one character or as two."""
    splits = []
    for form in ("NFC", "NFD"):
        root = touch(tmp_path / form, (unicodedata.normalize(form, f"\u00e9t\u00e9 {n}") for n in range(40)))
        splits.append([unicodedata.normalize("NFC", name) for name in names(root, "val")])
    assert splits[0] == splits[1]
    assert 0 < len(splits[0]) < 40


def lose(*lost: str) -> Callable[[Path], None]:
    def do(root: Path) -> None:
        for name in lost:
            (root / name).unlink()

    return do


def add(*added: str) -> Callable[[Path], None]:
    def do(root: Path) -> None:
        for name in added:
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).touch()

    return do


NOT_TOGETHER = (
    (shutil.rmtree, r"ROOT: no such folder; write where images/ and masks/ lie, --data folder=DIR"),
    (lose(*(f"images/{n}.jpg" for n in range(5))), r"ROOT/images: no image in it; write files that end in \.jpg, \.j"),
    (lambda root: shutil.rmtree(root / "images"), r"ROOT: has no images/; write pictures to ROOT/images, masks to "),
    (lambda root: shutil.rmtree(root / "masks"), r"ROOT: 5 of 5 images have no mask: 0\.jpg, 1\.jpg, 2\.jpg, \.\.\.; "),
    (lose("masks/3.png"), r"ROOT: 1 of 5 images has no mask: 3\.jpg; write masks/3\.png or 3_mask\.png, or take away"),
    (lose("masks/3.png", "masks/1.png", "masks/2.png"), r"ROOT: 3 of 5 images have no mask: 1\.jpg, 2\.jpg, 3\.jpg; "),
    (lose("images/2.jpg"), r"ROOT: 1 of 5 masks has no image: 2\.png; add what is missing, or take away what has none"),
    (add("masks/9_mask.png", "masks/8.png"), r"ROOT: 2 of 7 masks have no image: 8\.png, 9_mask\.png; add what is mis"),
    (add("images/1.png"), r"ROOT/images: 1\.jpg and 1\.png differ in their endings alone; rename one"),
    (add("masks/1_mask.png"), r"ROOT/masks: 1\.png and 1_mask\.png are masks of one image, 1\.jpg; keep one"),
    (add("test/images/1.png"), r"ROOT: has images/ and test/ too; keep all of it in one of the two ways"),
)


@pytest.mark.parametrize(("do", "said"), NOT_TOGETHER, ids=[said[:50] for _, said in NOT_TOGETHER])
@pytest.mark.parametrize("split", ["train", "val"])
def test_files_that_do_not_fit_together_are_named(
    tmp_path: Path, do: Callable[[Path], None], said: str, split: str
) -> None:
    root = touch(tmp_path / "data", map(str, range(5)))
    do(root)
    with pytest.raises(Failed, match="^" + said.replace("ROOT", str(root))) as error:
        load(root, split)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("there", "split", "said"),
    [
        (["train", "val"], "test", "has no test/, but train/, val/; add test/ with images/ and masks/"),
        (["test"], "train", "has no train/, but test/; add train/"),
        (["train"], "val", "has no test/, but train/; add test/"),
        (["train"], "tset", "split = 'tset': a folder has train, val, test"),
    ],
)
def test_a_split_that_is_not_there(tmp_path: Path, there: list[str], split: str, said: str) -> None:
    for name in there:
        touch(tmp_path / name, ["a"])
    with pytest.raises(Failed, match=said):
        load(tmp_path, split)


def test_a_split_that_nothing_falls_into(tmp_path: Path) -> None:
    touch(tmp_path, ["a", "b"])
    said = r"none of its 2 images is in split val \(test_share = 1e-06\); add images, change test_share, or make the f"
    with pytest.raises(Failed, match=said):
        load(tmp_path, "val", test_share=1e-6)
    with pytest.raises(Failed, match="none of its 2 images is in split train"):
        load(tmp_path, "train", test_share=1 - 1e-6)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"path": ""}, r"folder reads files: write where they lie, --data folder=DIR"),
        ({"threshold": -1}, "threshold = -1: must be at least 0"),
        ({"threshold": 5, "parts": True}, "threshold = 5: must be at least 0, and is of no use with parts"),
        ({"test_share": 0.0}, "test_share = 0: must lie between 0 and 1; the default is 0.2"),
        ({"test_share": 1.0}, "test_share = 1: must lie between 0 and 1"),
    ],
    ids=str,
)
def test_options_that_make_no_sense(tmp_path: Path, options: dict[str, Any], said: str) -> None:
    given = {"path": str(touch(tmp_path / "test", ["a"]).parent)} | options
    with pytest.raises(Failed, match=said):
        folder.load("val", size=SIZE, count=1, **given)
