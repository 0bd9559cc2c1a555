"""Scores by image of trainings: found in records, and found again where a record was taken over."""

from pathlib import Path
from typing import Any

import msgspec
import pytest
from builders import trained
from jobs import header

from bench import scores, store
from bench.record import Record
from bench.trainings import Source, taken_over

IMAGES = {"correct": [7, 14, 0], "counted": [14, 14, 7]}


def with_images(images: Any, total: float = 60.0, **other: Any) -> Record:
    found = trained("original", total, **other)
    values = [msgspec.structs.replace(found.values[0], details={"images": images}), *found.values[1:]]
    return msgspec.structs.replace(found, values=values)


def test_what_was_kept() -> None:
    assert scores.of_record(with_images(IMAGES), "pckh.total") == ([7, 14, 0], [14, 14, 7])
    assert scores.of_record(with_images(IMAGES), "pckh.mean14") is None


@pytest.mark.parametrize(
    "images",
    [
        None,
        [],
        {},
        {"correct": [7, 14, 0]},
        {"correct": 21, "counted": 35},
        {"correct": [7, 14, 0], "counted": [14, 14]},
        {"correct": [0, 0], "counted": [0, 0]},
        {"correct": [8, 14, 0], "counted": [14, 14, 7]},  # of another figure
    ],
)
def test_what_does_not_add_up_is_not_used(images: Any) -> None:
    assert scores.of_record(with_images(images), "pckh.total") is None


def test_the_same_images() -> None:
    one = ([1, 2], [3, 4])
    assert scores.same_images([one, ([0, 0], [3, 4])])
    assert not scores.same_images([one, ([1, 2], [4, 3])])
    assert not scores.same_images([one, ([1, 2, 3], [3, 4, 5])])


def origin(folder: Path, *records: Record) -> Path:
    """An earlier run in a results folder."""
    (folder / "study").mkdir(exist_ok=True)
    with store.new_run(folder / "study", header(run="20260101T000000Z-aaaa")) as run:
        for one in records:
            store.append(run, one)
    return run.path


def test_a_record_that_was_taken_over_gets_its_scores_back(tmp_path: Path) -> None:
    own = with_images(IMAGES)
    path = origin(tmp_path, trained("slim", 50.0), own, with_images(IMAGES, seed=1))
    over = taken_over(own.job, Source(path, own))
    assert scores.of_record(over, "pckh.total") is None
    other = trained("slim", 50.0)
    (found, same) = scores.restored([over, other], tmp_path)
    assert scores.of_record(found, "pckh.total") == ([7, 14, 0], [14, 14, 7])
    assert [value.value for value in found.values] == [value.value for value in over.values]
    assert found.origin == over.origin and same is other


def test_what_cannot_be_found_again_stays_as_it_is(tmp_path: Path) -> None:
    own = with_images(IMAGES)
    path = origin(tmp_path, own)
    over = taken_over(own.job, Source(path, own))
    assert scores.restored([over], tmp_path / "elsewhere") == [over]
    later = msgspec.structs.replace(over, started="2027-01-01T00:00:00Z")
    assert scores.restored([later], tmp_path) == [later]
    moved = [msgspec.structs.replace(value, value=61.0) for value in over.values[:1]]
    changed = msgspec.structs.replace(over, values=moved)
    assert scores.restored([changed], tmp_path) == [changed]
    path.write_text("torn")
    assert scores.restored([over], tmp_path) == [over]
