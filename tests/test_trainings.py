"""Which earlier trainings answer a job, what is taken over from them, and what is said of it."""

from pathlib import Path

import builders
import msgspec
import pytest
from builders import CHANGE, trained, training
from command_line import Project, Typed
from reused import PROFILES, STUDY, accuracy, cells, runs, said, scripted

from bench import trainings
from bench.record import Job, Quantity, Value

SHIFT = Quantity(
    name="keypoint_shift.fast", unit="pixel", better="lower", title="joints moved by fast, 99th percentile"
)


@pytest.fixture
def bench(project: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Typed:
    """See reused.scripted."""
    return scripted(Typed(project, monkeypatch, capsys), project)


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


@pytest.mark.parametrize(
    "change",
    [
        {"device": "cuda", "threads": 3, "suite": "other", "variant": "b", "mode": "other", "timeout": 1.0},
        {"round": 4, "checks": {"fast": {}}, "paths": ["x"], "measures": ["x"]},
        {"data": training("a").data | {"options": {"path": "/somewhere"}}},
    ],
)
def test_what_a_training_does_not_hang_on(change: dict[str, object]) -> None:
    job = training("a")
    assert trainings.key(msgspec.structs.replace(job, **change)) == trainings.key(job)


@pytest.mark.parametrize(
    "other",
    [
        training("a", 1),
        training("a", train={"samples": 20001}),
        training("a", train={"batch": 8}),
        training("a", train={"flip_test": True}),
        training("a", train={"recipe": builders.RECIPE | {"lr": 0.1}}),
        training("a", data={"size": 128}),
        training("a", data={"val": 999}),
        msgspec.structs.replace(training("a"), options={"cost": 2.0}),
        msgspec.structs.replace(training("a"), weights_hash="x"),
        msgspec.structs.replace(training("a"), weights_without=["head"]),
        msgspec.structs.replace(training("a"), modes={"amp": "bfloat16"}),
    ],
)
def test_what_a_training_hangs_on(other: Job) -> None:
    assert trainings.key(other) != trainings.key(training("a"))


def test_how_long_a_training_takes_hangs_on_the_device_but_not_on_the_seed() -> None:
    job = training("a")
    other = [training("a", 1), training("a", train={"samples": 1}), msgspec.structs.replace(job, device="cuda:1")]
    assert [trainings.pace(one) == trainings.pace(job) for one in other] == [True, False, False]
    assert trainings.with_paces({trainings.pace(job): 7.0, other[1].id: 8.0}, other) == {
        trainings.pace(job): 7.0,
        other[0].id: 7.0,
        other[1].id: 8.0,
    }


def source(**job: object) -> trainings.Source:
    """A training whose checks of the mode `fast` were done as its job says."""
    record = trained("a", 60.0)
    values = [*record.values, Value(quantity=SHIFT, value=0.1)]
    changed = msgspec.structs.replace(record.job, **({"checks": {"fast": {"amp": "bfloat16"}}} | job))
    return trainings.Source(Path("x.jsonl"), msgspec.structs.replace(record, job=changed, values=values))


def checked(asked: Job, found: trainings.Source) -> dict[str, float | str | None]:
    """Name -> value or reason, of what a record that is taken over says of modes."""
    record = trainings.taken_over(asked, found)
    assert record.job.checks == asked.checks
    values = {value.quantity.name: value for value in record.values}
    assert values["pckh.total"].value == 60.0
    return {name: v.reason or v.value for name, v in values.items() if "change" in name or "shift" in name}


def wants(checks: dict[str, object], device: str = "cpu") -> Job:
    return msgspec.structs.replace(training("a"), checks=checks, device=device)


def test_checks_of_the_same_mode_on_the_same_kind_of_device_are_taken_over() -> None:
    values = {"pckh_change.fast": -0.1, "keypoint_shift.fast": 0.1}
    assert checked(wants({"fast": {"amp": "bfloat16"}}), source()) == values
    on_cuda = wants({"fast": {"amp": "bfloat16"}}, "cuda")
    assert checked(on_cuda, source(device="cuda:1")) == values


@pytest.mark.parametrize("asked", [wants({"fast": {"amp": "float16"}}), wants({"fast": {"amp": "bfloat16"}}, "cuda:1")])
def test_checks_of_other_modes_or_devices_are_not(asked: Job) -> None:
    reasons = dict.fromkeys(("pckh_change.fast", "keypoint_shift.fast"), trainings.UNCHECKED)
    assert checked(asked, source()) == reasons
    copy = trainings.Source(Path("y.jsonl"), trainings.taken_over(asked, source()))
    assert checked(asked, copy) == reasons, "a copy knows no more"


def test_modes_that_were_not_checked_say_so() -> None:
    asked = wants({"fast": {"amp": "bfloat16"}, "slow": {}})
    found = {value.quantity.name: value for value in trainings.taken_over(asked, source()).values}
    assert found["pckh_change.slow"].reason == found["keypoint_shift.slow"].reason == trainings.UNCHECKED
    assert found["pckh_change.fast"].value == -0.1
    assert found["keypoint_shift.slow"].quantity.title == "joints moved by slow, 99th percentile"
    assert checked(wants({}), source()) == {}


def test_a_training_without_any_checks_gets_quantities_of_their_own() -> None:
    bare = source(checks={})
    values = [value for value in bare.record.values if value.quantity not in (CHANGE, SHIFT)]
    bare = trainings.Source(bare.path, msgspec.structs.replace(bare.record, values=values))
    asked = msgspec.structs.replace(wants({"slow": {}}), metrics=["pckh"])
    (value,) = [v for v in trainings.taken_over(asked, bare).values if v.reason]
    expected = builders.percent("pckh_change.slow", "pckh.total, slow against fp32")
    assert (value.quantity, value.reason) == (expected, trainings.UNCHECKED)


def test_an_original_goes_before_its_copies_and_a_newer_training_before_both() -> None:
    old = trainings.Source(Path("1-a.jsonl"), trained("a", 60.0))
    copy = trainings.Source(Path("2-a.jsonl"), trainings.taken_over(old.record.job, old))
    later = trainings.Source(Path("0-a.jsonl"), trained("a", 61.0, started="2026-02-05T10:00:00Z", origin="9"))
    job = old.record.job
    assert trainings.matching([job], [copy, old]) == {job.id: [old, copy]}
    assert trainings.matching([job], [old, copy, later]) == {job.id: [later, old, copy]}


def test_the_file_of_the_original_is_named(project: Project, bench: Typed) -> None:
    bench("run", "tiny", "--profile", "accuracy")
    name = f"(results/tiny/{runs(project)[0].name})"
    assert [name in said(bench("run", "tiny"))[0] for _ in range(3)] == [True] * 3


def test_a_change_of_the_code_that_the_network_does_not_show_is_said(project: Project, bench: Typed) -> None:
    bench("run", "tiny", "--profile", "accuracy")
    (path,) = runs(project)
    assert len({record.environment["code"] for record in accuracy(path)}) == 1
    assert "has changed since" not in bench("run", "tiny").out
    file = project.folder / "archs" / "scripted.py"
    file.write_text(file.read_text() + "\nRATE = 0.5\n")
    for _ in range(2):  # the second may be taken from the first one's copy
        found = cells(bench("run", "tiny", "--format", "json"))
        assert found["a"]["value"] == 60.0
        assert str(found["a"]["notes"]).count("; archs/scripted.py has changed since") == 1
    project.write("archs/blocks.py", '"""Shared."""\n')
    both = "; archs/scripted.py or archs/blocks.py has changed since"
    assert both in str(cells(bench("run", "tiny", "--format", "json"))["a"]["notes"])
    text = path.read_text()
    path.write_text(text.replace('"code":', '"old":'))
    for copy in runs(project)[1:]:
        copy.unlink()
    assert "has changed since" not in bench("run", "tiny").out, "nobody knows what it was"


def test_code_is_of_a_file_of_architectures_alone(tmp_path: Path) -> None:
    job = training("a")
    assert trainings.code(job) == trainings.code(msgspec.structs.replace(job, arch_file="/gone/x.py")) == ""
    (tmp_path / "x.py").write_text("1")
    first = trainings.code(here := msgspec.structs.replace(job, arch_file=str(tmp_path / "x.py")))
    (tmp_path / "blocks.py").write_text("2")
    assert len({first, trainings.code(here), ""}) == 3


JPEG = STUDY + PROFILES.replace("size = 32", 'use = "jpeg_people", size = 32')


def folder(project: Project, name: str) -> str:
    """An option that names a folder of data whose annotation is its name."""
    path = project.folder / name / "train" / "annotation.json"
    path.parent.mkdir(parents=True)
    path.write_text(name)
    return f"jpeg_people={path.parent.parent}"


def test_the_newest_version_is_taken_and_no_row_mixes_two() -> None:
    job = msgspec.structs.replace(training("a"), data=training("a").data | {"use": "jpeg_people"})
    jobs = [job, msgspec.structs.replace(job, seed=1)]

    def trained_on(version: str, seed: int, started: str) -> trainings.Source:
        tables = {"data": {"use": "jpeg_people", "version": version}}
        return trainings.Source(Path("x"), trained("a", 60.0, seed=seed, started=started, tables=tables))

    earlier = [trained_on("old", 0, "2025"), trained_on("new", 0, "2026"), trained_on("old", 1, "2027")]
    candidates = trainings.matching(jobs, earlier)
    assert [len(candidates[one.id]) for one in jobs] == [2, 1]
    found = trainings.newest(candidates, jobs, {})
    assert {id_: one.version for id_, one in found.items()} == {jobs[0].id: "new"}
    one = msgspec.structs.replace(jobs[0], data=jobs[0].data | {"version": "old"})
    assert [s.version for s in trainings.matching([one], earlier)[one.id]] == ["old"]
