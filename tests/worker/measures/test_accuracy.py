"""The accuracy measure: what a whole training yields, and what it refuses to yield."""

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import torch
from jobs import RECIPE, tiny
from torch import Tensor, nn

from bench.errors import Failed
from bench.record import Job, Record, Value
from bench.worker import fit
from bench.worker.measures import accuracy
from bench.worker.measures.accuracy import CONVERGED
from bench.worker.metrics import pckh
from bench.worker.subject import Subject, build, prepare
from bench.worker.timing import device_for
from bench.worker.work import work

CHECKS = {"fast": {"amp": "bfloat16", "channels_last": True}}


def asked(folder: Path | str = "", **changes: Any) -> Job:
    train = {"batch": 4, "samples": 48, "validations": 6, "recipe": RECIPE | {"optimizer": "adam", "lr": 1e-2}}
    data = {"use": "synthetic", "size": 32, "train": 16, "val": 10, "options": {}}
    fields = {"train": train, "data": data, "metrics": ["pckh"], "checks": CHECKS, "artefacts": str(folder)}
    job = tiny("accuracy", "accuracy", **fields | {"options": {"stacks": 2, "features": 8, "depth": 1}} | changes)
    return job


def by_name(record: Record) -> dict[str, Value]:
    return {value.quantity.name: value for value in record.values}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("artefacts")


@pytest.fixture(scope="module")
def record(folder: Path) -> Record:
    return work(asked(folder))


def test_a_training_yields_scores_curves_and_checks(record: Record) -> None:
    assert (record.status, record.reason) == ("ok", "")
    found = by_name(record)
    assert {
        "pckh.total",
        "pckh.mean14",
        "pckh.limbs",
        "pckh.head",
        "pckh.ankle",
        "pckh.mean_pose",
        "pckh.constant_pose",
    } <= found.keys()
    assert {"pckh.total.stack1", "pckh.limbs.stack1", "loss.train", "loss.test", "converged"} <= found.keys()
    assert {"epochs_to_50", "pckh_change.fast", "keypoint_shift.fast"} <= found.keys()
    assert "pckh.total.stack2" not in found  # the last stack is the prediction
    total = found["pckh.total"]
    assert total.low is not None and total.value is not None and total.high is not None
    assert total.low <= total.value <= total.high
    assert total.how == "bootstrap over 10 images"
    assert len(total.details["images"]["correct"]) == 10


def test_curves_are_in_images_and_belong_to_their_quantity(record: Record) -> None:
    found = by_name(record)
    assert found["pckh.total"].details["curve"]["images"] == [8, 16, 24, 32, 40, 48]
    assert found["loss.test"].details["curve"]["images"] == [8, 16, 24, 32, 40, 48]
    assert len(found["loss.train"].details["curve"]["values"]) == 12
    assert found["loss.train"].value == found["loss.train"].details["curve"]["values"][-1]


def test_a_network_that_knows_no_more_than_the_mean_pose_is_flagged(record: Record) -> None:
    found = by_name(record)  # twelve steps on thumbnails teach nothing
    scored = [value for name, value in found.items() if name in ("pckh.total", "pckh.head", "pckh.limbs")]
    assert all("not_learnt" in value.flags for value in scored)
    assert found["pckh.mean_pose"].flags == []


def test_what_was_kept_is_listed_with_its_hash(record: Record, folder: Path) -> None:
    assert sorted(record.artefacts) == sorted(f"{record.id}-{name}" for name in ("best.pt", "last.pt", "examples.npz"))
    with np.load(folder / f"{record.id}-examples.npz") as kept:
        assert kept["image"].shape == (8, 32, 32, 3)
        assert kept["predicted"].shape == (2, 8, 16, 2)
        assert kept["joints"].shape == (8, 16, 2)
        assert kept["labelled"].dtype == np.bool_
        assert kept["head_size"].shape == (8,)


def test_the_same_job_gives_the_same_record(record: Record) -> None:
    again = work(asked())  # without a folder: nothing to resume
    assert again.id == record.id
    one, other = ([msgspec.structs.replace(v, how="") for v in r.values] for r in (record, again))
    assert one == other


def test_a_killed_training_is_completed_by_the_same_job(record: Record, tmp_path: Path) -> None:
    short = asked(tmp_path)
    interrupted = fit.save
    saved: list[int] = []

    def killed(*arguments: Any, **options: Any) -> None:
        interrupted(*arguments, **options)
        saved.append(1)
        if len(saved) == 3:
            raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fit, "save", killed)
        with pytest.raises(KeyboardInterrupt):
            work(short)
    assert [value.value for value in work(short).values] == [value.value for value in record.values]


def test_the_modes_that_are_checked_do_not_change_what_is_trained(record: Record) -> None:
    job = asked(checks={})
    assert job.id == record.id
    found = by_name(work(job))
    assert "pckh_change.fast" not in found
    assert found["pckh.total"].value == by_name(record)["pckh.total"].value


def test_a_mode_that_changes_nothing_shows_no_change(record: Record) -> None:
    found = by_name(work(asked(checks={"same": {"channels_last": True}})))
    change, shift = found["pckh_change.same"], found["keypoint_shift.same"]
    assert abs(change.value or 0) <= 1.0
    assert (shift.value or 0) < 0.5
    assert shift.details["joints"] > 100


class Scripted:
    """A metric whose paired change is given."""

    HEADLINE = "pckh.total"
    MOVED = pckh.MOVED

    def __init__(self, change: tuple[float, float, float]) -> None:
        self.given = change

    def change(self, *_: Any) -> tuple[float, float, float]:
        return self.given

    def moved(self, *_: Any) -> Value:
        return Value(quantity=self.MOVED, value=1.0)


@pytest.mark.parametrize(
    ("change", "flags"),
    [
        ((-3.0, -4.0, -2.0), ["mismatch"]),
        ((-0.3, -0.5, -0.1), []),  # surely worse, and by less than half a point
        ((-3.0, -7.0, 1.0), []),  # may be chance
        ((2.0, 1.0, 3.0), []),
    ],
)
def test_a_mode_that_clearly_costs_accuracy_is_a_mismatch(
    change: tuple[float, float, float], flags: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(accuracy.plugins, "load", lambda *_: Scripted(change))
    monkeypatch.setattr(accuracy, "answering", lambda *_: None)
    monkeypatch.setattr(accuracy, "scored", lambda *_: [None])
    shift, changed = accuracy.check(prepare(asked()), "fast", {}, None)
    assert (shift.flags, changed.flags) == ([], flags)


@pytest.mark.parametrize(
    ("error", "flags"),
    [
        (Failed("channels_last: mode not applied"), ["mismatch"]),
        (RuntimeError("no kernel for this\nand more"), []),
        (torch.OutOfMemoryError("out of memory"), []),
        (UnboundLocalError("cannot access local variable 'buf45'"), []),
        (AssertionError("a converter's"), []),
    ],
)
def test_a_mode_that_fails_loses_its_own_cells_and_not_the_training(
    error: Exception, flags: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    answering = accuracy.answering

    def fails(subject: Subject, modes: dict[str, Any]) -> Subject:
        if "amp" in modes:
            raise error
        return answering(subject, modes)

    monkeypatch.setattr(accuracy, "answering", fails)
    record = work(asked(checks={"bad": {"amp": "bfloat16"}, "good": {"channels_last": True}}))
    assert (record.status, record.reason) == ("ok", "")
    found = by_name(record)
    assert (found["pckh_change.bad"].value, found["pckh_change.bad"].flags) == (None, flags)
    assert found["pckh_change.bad"].reason == str(error).splitlines()[0]
    assert found["pckh_change.good"].value is not None
    assert found["pckh.total"].value is not None


def test_weights_that_were_given_are_trained_on_and_it_is_said(tmp_path: Path, record: Record) -> None:
    network = build(prepare(asked()).job)
    torch.save(network.state_dict(), tmp_path / "given.pt")
    found = by_name(work(asked(weights=str(tmp_path / "given.pt"), weights_hash="0f3c99aa11", checks={})))
    assert found["pckh.total"].how == "bootstrap over 10 images, trained on from weights 0f3c99aa"
    assert by_name(record)["pckh.total"].how == "bootstrap over 10 images"


def test_a_loss_that_is_not_finite_is_a_reason_and_not_a_number() -> None:
    train = {"batch": 4, "samples": 48, "recipe": RECIPE | {"optimizer": "sgd", "lr": 1e20}}
    record = work(asked(train=train))
    assert record.status == "failed"
    assert "accuracy: the loss is not finite" in record.reason
    assert [value.value for value in record.values] == [None, None]
    assert all("not finite" in value.reason for value in record.values)


def test_a_loss_that_does_not_fall_is_a_reason_and_not_a_number() -> None:
    train = {"batch": 4, "samples": 80, "recipe": RECIPE | {"optimizer": "sgd", "lr": 1e-12}}
    record = work(asked(train=train, data={"use": "synthetic", "size": 32, "train": 4, "val": 4, "options": {}}))
    assert record.status == "failed"
    assert "the loss did not fall" in record.reason
    assert "pckh.total" not in by_name(record)


@pytest.mark.parametrize(
    ("losses", "fallen"),
    [
        ([3.0, 2.0], True),
        ([2.0, 2.0], False),
        ([1.0, 1.2, *[1.0] * 17, 1.0, 0.9], True),
        ([1.0] * 18 + [2, 2], False),
        ([1.0, 0.995], False),
    ],
)
def test_a_loss_has_fallen_where_its_last_tenth_is_below_the_first(losses: list[float], fallen: bool) -> None:
    assert (accuracy.not_fallen(losses) == "") is fallen


@pytest.mark.parametrize(
    ("values", "flags"),
    [
        ([10.0, 20.0, 30.0, 40.0, 50.0], ["unconverged"]),
        ([10.0, 40.0, 49.0, 49.5, 50.0], []),
        ([10.0, 40.0, 49.0, 51.0, 50.0], []),
        ([10.0, 40.0, 49.0, 52.0, 50.0], ["worsened"]),
        ([5.0, 30.0, 50.0, 60.0, 70.0, 72.0, 73.0, 74.0, 40.0, 20.0], ["worsened"]),
        ([10.0, 40.0, 48.9, 48.9, 50.0], ["unconverged"]),
    ],
)
def test_converged_is_the_end_within_a_point_of_the_best_before(values: list[float], flags: list[str]) -> None:
    score = fit.Curve([100 * (i + 1) for i in range(len(values))], values)
    assert accuracy.unsettled(accuracy.late_gain(score)) == flags
    (converged,) = [v for v in accuracy.milestones(asked(), pckh, fit.Course(score=score)) if v.quantity == CONVERGED]
    assert converged.value == (not flags)
    assert converged.how.startswith(f"{values[-1] - max(values[: len(values) * 4 // 5]):+.1f} points since the best of")


def test_two_validations_do_not_tell_whether_it_converged() -> None:
    score = fit.Curve([100, 200], [10.0, 50.0])
    assert accuracy.unsettled(accuracy.late_gain(score)) == []
    (converged, _) = accuracy.milestones(asked(), pckh, fit.Course(score=score))
    assert (converged.value, converged.reason) == (None, "fewer than 5 validations")


def test_a_score_that_fell_is_flagged_otherwise_than_one_that_still_rose(monkeypatch: pytest.MonkeyPatch) -> None:
    falling = iter([10.0, 40.0, 45.0, 50.0, 50.0, 20.0])
    monkeypatch.setattr(accuracy, "validate", lambda *_: (0.0, next(falling)))
    found = by_name(work(asked(checks={})))
    assert found["pckh.total"].flags == ["not_learnt", "worsened"]
    assert (found["converged"].value, found["converged"].how[:12]) == (0, "-30.0 points")


def test_pictures_that_cannot_be_kept_cost_no_score(record: Record, tmp_path: Path) -> None:
    job = asked(tmp_path)
    (tmp_path / f"{job.id}-examples.npz.part").mkdir()
    again = work(job)
    assert (again.status, again.reason) == ("ok", "")
    found = by_name(again)
    assert found["examples"].reason == f"{job.id}-examples.npz: cannot be written (Is a directory)"
    kept = {name: value for name, value in found.items() if name != "examples"}
    assert {name: value.value for name, value in kept.items()} == {n: v.value for n, v in by_name(record).items()}
    assert again.artefacts.keys() == {f"{job.id}-{name}" for name in ("best.pt", "last.pt")}


@pytest.mark.parametrize(
    ("values", "threshold", "expected"),
    [([20.0, 60.0], 50, 175.0), ([60.0, 40.0], 50, 100 * 50 / 60), ([20.0, 50.0], 50, 200), ([20.0, 49.9], 50, None)],
)
def test_thresholds_are_reached_between_validations(
    values: list[float], threshold: float, expected: float | None
) -> None:
    assert accuracy.crossing(fit.Curve([100, 200], values), threshold) == (
        None if expected is None else pytest.approx(expected)
    )


def test_epochs_to_a_threshold_count_the_suites_epochs() -> None:
    course = fit.Course(score=fit.Curve([100, 200], [20.0, 60.0]))
    found = {v.quantity.name: v for v in accuracy.milestones(asked(), pckh, course)}
    assert found["epochs_to_50"].value == pytest.approx(175 / 16)
    course = fit.Course(score=fit.Curve([100, 200], [20.0, 40.0]))
    found = {v.quantity.name: v for v in accuracy.milestones(asked(), pckh, course)}
    assert found["epochs_to_50"].value is None
    assert found["epochs_to_50"].reason == "not reached: 40.0 at best in 12 epochs"


class Perfect(nn.Module):
    """Knows nothing of the image: puts out what it is given."""

    def __init__(self, maps: Tensor) -> None:
        super().__init__()
        self.maps = maps

    def forward(self, image: Tensor) -> list[Tensor]:
        return [self.maps[: len(image)]]


def test_a_flip_test_averages_maps_of_the_image_and_its_mirror_image() -> None:
    maps = torch.rand(2, 16, 8, 8)
    model = Perfect(maps)
    cpu = torch.device("cpu")
    subject = Subject(job=asked(), model=model, call=model, device=cpu, clock=device_for(cpu), inputs=())
    (answer,) = accuracy.flip_tested(subject).forward(torch.rand(2, 3, 32, 32))
    swapped = maps.flip(-1)[:, [5, 4, 3, 2, 1, 0, 6, 7, 8, 9, 15, 14, 13, 12, 11, 10]]
    assert torch.allclose(answer, (maps + swapped) / 2)


def test_a_flip_test_changes_the_answers_and_not_the_training(tmp_path: Path) -> None:
    jobs = [asked(tmp_path, checks={}, train=asked().train | extra) for extra in ({}, {"flip_test": True})]
    plain, flipped = (by_name(work(job)) for job in jobs)
    assert plain["loss.train"].value == flipped["loss.train"].value
    answers = [np.load(tmp_path / f"{job.id}-examples.npz")["predicted"] for job in jobs]
    assert not np.array_equal(*answers)


def test_the_test_split_is_scored_at_the_end_and_not_on_the_way(record: Record, tmp_path: Path) -> None:
    other = work(asked(tmp_path, train=asked().train | {"split": "test"}))
    ours, theirs = by_name(other), by_name(record)
    assert ours["loss.test"].value == theirs["loss.test"].value
    assert ours["pckh.total"].details["curve"] == theirs["pckh.total"].details["curve"]
    assert ours["pckh.total"].details["images"] != theirs["pckh.total"].details["images"]
    assert ours["pckh.mean_pose"].details == {} and ours["pckh.mean_pose"].value != theirs["pckh.mean_pose"].value
    assert other.fingerprints["accuracy"]["train.split"] == "test"


def test_repeated_validation_images_are_scored_once(monkeypatch: pytest.MonkeyPatch) -> None:
    class Repeating:
        distinct = 3

        def __len__(self) -> int:
            return 10

    monkeypatch.setattr(accuracy, "load_dataset", lambda *_: Repeating())
    assert accuracy.images_of(prepare(asked()), "val") == 3
