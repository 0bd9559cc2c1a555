"""Scores by image of a training, by which two accuracies are compared in pairs; also of one that was taken over."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec

from bench import store
from bench.contrasts import Scores
from bench.errors import StoreError
from bench.record import Record, Value
from bench.trainings import PHASE, key

SAME_JOINTS = {"pckh.mean14": "pckh.total"}
"""Quantities whose scores by image are not kept -> the one over the same joints whose are. What an image adds to the
two differs only in how joints are weighted, so that they are correlated alike between two networks: 0.84 and 0.83 of
two networks on 512 images, where that of the wrists alone was 0.54. The interval was 1 % off that of a bootstrap."""

EXACT = 1e-6
"""Percentage points by which scores by image may miss the figure that they are the scores of."""


def of_record(record: Record, quantity: str) -> Scores | None:
    """What was right and what counted in every image; None where it was not kept or does not add up to the figure."""
    for value in record.values:
        if value.quantity.name == quantity and value.value is not None:
            return _of_value(value)
    return None


def _of_value(value: Value) -> Scores | None:
    images = value.details.get("images")
    if not isinstance(images, dict) or not isinstance(images.get("correct"), list):
        return None
    right, counted = images["correct"], images.get("counted")
    if not isinstance(counted, list) or len(counted) != len(right) or not sum(counted):
        return None
    found = 100 * sum(right) / sum(counted)
    return (right, counted) if abs(found - float(value.value or 0)) <= EXACT else None


def same_images(scores: Sequence[Scores]) -> bool:
    """All were taken over as many images, in which as much was labelled."""
    return all(list(counted) == list(scores[0][1]) for _, counted in scores)


def restored(records: Iterable[Record], results: Path) -> list[Record]:
    """The records, with the details of those that were taken over from a run that lies in the results folder.

    What cannot be found again or read stays as it is, without its scores by image.
    """
    found = list(records)
    origins = {record.origin for record in found if record.origin}
    runs = []
    for path in (path for path in store.runs(results) if path.stem in origins):
        try:
            runs.append(store.read(path))
        except StoreError:
            continue  # whoever asks for the pairs is told that there are none
    return restored_among(found, runs)


def restored_among(records: Iterable[Record], runs: Iterable[store.Loaded]) -> list[Record]:
    """As `restored`, from runs that were read already."""
    trained = {
        (run.path.stem, _training(record)): record
        for run in runs
        for record in run.records
        if record.job.phase == PHASE
    }
    return [_with_details(record, trained.get((record.origin, _training(record)))) for record in records]


def _training(record: Record) -> str:
    return (
        f"{key(record.job, record.fingerprints.get(PHASE, {}))} {record.started}" if record.job.phase == PHASE else ""
    )


def _with_details(record: Record, source: Record | None) -> Record:
    if source is None or not record.origin:
        return record
    details = {value.quantity.name: (value.value, value.details) for value in source.values}
    values = []
    for value in record.values:
        number, kept = details.get(value.quantity.name, (None, {}))
        values.append(msgspec.structs.replace(value, details=kept) if number == value.value else value)
    return msgspec.structs.replace(record, values=values)
