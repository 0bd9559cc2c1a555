"""A suite as a list of jobs: all of them, each once, in an order of its own in every round."""

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from jobs import RECIPE, ROOT, own_network
from jobs import job as job_with

from bench import plugins
from bench.errors import UsageError
from bench.plan import MOST_JOBS, STARTUP, expected_seconds, measures_by_phase, plan, static_jobs
from bench.record import Job, Protocol
from bench.suite import ModeConfig, Suite, Variant


def variant(name: str, **changes: Any) -> Variant:
    tables = {
        "options": {"stacks": 2},
        "data": {"use": "random", "size": 64, "train": 100, "val": 10, "options": {}},
        "infer": {"batch": 1},
        "train": {"batch": 2, "recipe": RECIPE, "mode": "fast"},
    }
    return Variant(**{"name": name, "arch": "stacked_hourglass", **tables} | changes)


def suite(**changes: Any) -> Suite:
    asked = {
        "name": "study",
        "path": ROOT / "suites" / "study.toml",
        "title": "A study",
        "task": "pose",
        "measures": ("params", "infer", "train_time"),
        "variants": tuple(variant(name) for name in "abc"),
        "modes": {"fp32": ModeConfig({}), "fast": ModeConfig({"channels_last": True})},
        "rounds": 4,
        "seed": 1,
    }
    return Suite(**asked | changes)


def of_round(jobs: list[Job], number: int) -> list[str]:
    return [job.cell for job in jobs if job.phase != "static" and job.round == number]


def test_the_number_of_jobs() -> None:
    # Each of three variants: static once; in four rounds two modes of inference and one of training.
    assert len(plan(suite())) == 3 * (1 + 4 * (2 + 1))


def test_static_jobs_come_first_and_once() -> None:
    jobs = plan(suite())
    assert [job.cell for job in jobs[:3]] == ["a/static", "b/static", "c/static"]
    assert Counter(job.phase for job in jobs)["static"] == 3


def test_each_round_visits_every_cell_once() -> None:
    jobs = plan(suite())
    cells = {f"{name}/{mode}/infer" for name in "abc" for mode in ("fp32", "fast")} | {f"{n}/fast/train" for n in "abc"}
    for number in range(4):
        assert sorted(of_round(jobs, number)) == sorted(cells)


def test_a_round_ends_before_the_next_begins() -> None:
    rounds = [job.round for job in plan(suite())]
    assert rounds == sorted(rounds)


def test_every_round_has_an_order_of_its_own() -> None:
    jobs = plan(suite())
    assert len({tuple(of_round(jobs, number)) for number in range(4)}) == 4


def test_the_same_seed_gives_the_same_list_and_another_seed_another_order() -> None:
    assert plan(suite()) == plan(suite())
    assert of_round(plan(suite()), 0) != of_round(plan(suite(seed=2)), 0)


def test_every_job_has_an_id_of_its_own() -> None:
    jobs = plan(suite())
    assert len({job.id for job in jobs}) == len(jobs)


def test_ids_do_not_depend_on_where_the_suite_lies(tmp_path: Path) -> None:
    elsewhere = tmp_path / "suites" / "study.toml"
    assert [job.id for job in plan(suite(path=elsewhere))] == [job.id for job in plan(suite())]


def test_a_phase_may_have_rounds_of_its_own() -> None:
    variants = (variant("a", infer={"batch": 1, "rounds": 2}, train={"mode": "fp32", "rounds": 1}),)
    counts = Counter(job.phase for job in plan(suite(variants=variants)))
    assert counts == {"static": 1, "infer": 2 * 2, "train": 1}


def test_rounds_are_not_part_of_what_a_job_does() -> None:
    jobs = plan(suite(variants=(variant("a", infer={"batch": 1, "rounds": 2}),)))
    assert all("rounds" not in job.infer | job.train for job in jobs)


def test_a_variant_that_names_no_mode_is_not_trained() -> None:
    variants = (variant("a", train={"batch": 2}), variant("b", train={"mode": "absent"}))
    assert "train" not in {job.phase for job in plan(suite(variants=variants))}


def test_phases_that_nothing_measures_have_no_jobs() -> None:
    assert {job.phase for job in plan(suite(measures=("params",)))} == {"static"}
    assert {job.phase for job in plan(suite(measures=("infer",)))} == {"infer"}
    assert plan(suite(measures=())) == []


def test_each_job_measures_what_belongs_to_its_phase() -> None:
    jobs = plan(suite(measures=("memory", "params", "infer", "train_time")))
    assert {job.phase: job.measures for job in jobs} == {
        "static": ["params"],
        "infer": ["memory", "infer"],
        "train": ["memory", "train_time"],
    }


def test_measures_know_their_phases() -> None:
    assert measures_by_phase(plugins.names("measure")).keys() == {"static", "infer", "train", "accuracy"}


@pytest.mark.parametrize(
    ("phase", "tables"),
    [("static", {"data"}), ("infer", {"data", "infer"}), ("train", {"data", "train"}), ("accuracy", {"data", "train"})],
)
def test_a_job_carries_only_the_tables_of_its_phase(phase: str, tables: set[str]) -> None:
    job = next(job for job in plan(suite(measures=("params", "infer", "train_time", "accuracy"))) if job.phase == phase)
    assert {name for name in ("data", "infer", "train") if getattr(job, name)} == tables


def test_another_training_table_leaves_the_other_phases_as_they_were() -> None:
    plain, other = plan(suite()), plan(suite(variants=tuple(variant(n, train={"mode": "fast"}) for n in "abc")))
    for phase, same in (("static", True), ("infer", True), ("train", False)):
        ids = [{job.id for job in jobs if job.phase == phase} for jobs in (plain, other)]
        assert (ids[0] == ids[1]) is same


def test_another_number_of_images_leaves_the_static_phase_as_it_was() -> None:
    data = {"use": "random", "size": 64, "train": 5, "val": 5, "options": {}}
    jobs = [plan(suite(variants=variants)) for variants in ((variant("a"),), (variant("a", data=data),))]
    assert jobs[0][0].id == jobs[1][0].id


def test_what_every_job_shares() -> None:
    for job in plan(suite(protocol=Protocol(windows=2), timeout=9.0), device="cuda:1", threads=3):
        assert (job.suite, job.device, job.threads, job.seed, job.timeout) == ("study", "cuda:1", 3, 1, 9.0)
        assert job.protocol.windows == 2
        assert job.paths == [str(ROOT)]
        assert Path(job.arch_file) == ROOT / "archs" / "stacked_hourglass.py"


def test_the_plugins_of_a_mode_go_with_it() -> None:
    modes = {job.mode: job.modes for job in plan(suite())}
    assert modes == {"": {}, "fp32": {}, "fast": {"channels_last": True}}


def test_a_network_of_ones_own_has_no_file(tmp_path: Path) -> None:
    own = own_network(tmp_path, "Net = nn.Identity")["arch"]
    assert {job.arch_file for job in plan(suite(variants=(variant("a", arch=own),)))} == {""}


def test_more_jobs_than_anybody_can_mean_are_refused() -> None:
    many = suite(variants=tuple(variant(str(n)) for n in range(30)), rounds=150)
    with pytest.raises(UsageError, match=r"13,530 jobs, at most 10,000; lower the rounds or split the sweep"):
        plan(many)


def test_as_many_as_allowed_are_planned() -> None:
    assert len(plan(suite(variants=(variant("a"),), measures=("infer",), rounds=MOST_JOBS // 2))) == MOST_JOBS


def test_every_network_is_checked_whatever_is_measured() -> None:
    jobs = static_jobs(suite(measures=("infer",)))
    assert [(job.variant, job.phase, job.measures) for job in jobs] == [(n, "static", []) for n in "abc"]


def test_what_a_job_took_before_is_what_it_is_expected_to_take() -> None:
    first, second, third = (job_with(n) for n in range(3))
    other = replace_variant(third)
    earlier = {first.id: 7.0, first.cell: 9.0}
    assert expected_seconds([first, second], earlier) == [7.0, 9.0]
    assert expected_seconds([other], earlier)[0] > STARTUP


def replace_variant(job: Job) -> Job:
    return job_with(job.round, variant="another")


@pytest.mark.parametrize("phase", ["infer", "train"])
def test_without_earlier_runs_the_protocol_tells(phase: str) -> None:
    short = job_with(phase=phase, protocol=Protocol(max_seconds=1.0, train_seconds=1.0))
    long = job_with(phase=phase, protocol=Protocol(max_seconds=60.0, train_seconds=60.0))
    static = job_with(phase="static")
    guesses = expected_seconds([static, short, long], {})
    assert STARTUP == guesses[0] < guesses[1] < guesses[2]


def test_a_plan_does_not_change_the_suite() -> None:
    before = suite()
    plan(before)
    assert before == replace(before) == suite()


def training(**changes: Any) -> Suite:
    """A suite that trains to the end."""
    train = {"batch": 2, "recipe": RECIPE, "mode": "fast", "samples": 100, "seeds": 2, "validations": 4}
    return suite(**{"measures": ("accuracy",), "variants": (variant("a", train=train),)} | changes)


def test_accuracy_is_trained_once_per_seed_in_the_training_mode() -> None:
    jobs = plan(training())
    assert [(job.cell, job.round, job.seed) for job in jobs] == [("a/fast/accuracy", 0, 1), ("a/fast/accuracy", 1, 2)]
    assert jobs[0].modes == {"channels_last": True}
    assert jobs[0].metrics == ["pckh"]
    assert jobs[0].infer == {}


def test_what_plans_a_training_is_not_part_of_it() -> None:
    (job, _) = plan(training())
    assert job.train == {"batch": 2, "recipe": RECIPE, "mode": "fast", "samples": 100, "validations": 4}
    (job,) = plan(training(variants=(variant("a", train={"batch": 2, "recipe": RECIPE, "mode": "fast", "epochs": 3}),)))
    assert job.train["epochs"] == 3


def test_every_mode_with_plugins_is_checked_on_the_trained_weights() -> None:
    assert plan(training())[0].checks == {"fast": {"channels_last": True}}


def test_a_mode_that_only_trains_is_neither_timed_in_inference_nor_checked_there() -> None:
    modes = {"fp32": ModeConfig({}), "quick": ModeConfig({"channels_last": True, "fused": True})}
    trained = variant("a", train={"batch": 2, "recipe": RECIPE, "samples": 8, "mode": "quick"})
    jobs = plan(suite(variants=(trained,), modes=modes, rounds=1, measures=("infer", "train_time", "accuracy")))
    assert sorted(job.cell for job in jobs) == ["a/fp32/infer", "a/quick/accuracy", "a/quick/train"]
    assert all(not job.checks for job in jobs)


def test_a_training_may_take_a_day_or_what_the_suite_says() -> None:
    assert plan(training())[0].timeout == 86400
    train = {"batch": 2, "recipe": RECIPE, "mode": "fast", "samples": 100, "timeout": 50.0}
    assert plan(training(variants=(variant("a", train=train),)))[0].timeout == 50


def test_how_long_is_trained_does_not_change_the_job_that_times_a_step() -> None:
    def steps(**changes: Any) -> list[str]:
        train = {"batch": 2, "recipe": RECIPE, "mode": "fast"} | changes
        return [job.id for job in plan(suite(measures=("train_time",), variants=(variant("a", train=train),)))]

    assert steps() == steps(samples=100, seeds=3, validations=5, flip_test=True, timeout=9.0)


def test_data_that_are_drawn_or_written_differently_are_other_data(tmp_path: Path) -> None:
    def version(use: str, **options: str) -> Any:
        data = {"use": use, "size": 64, "train": 100, "val": 10, "options": options}
        return plan(suite(measures=("train_time",), variants=(variant("a", data=data),)))[0].data.get("version")

    assert version("random") is None
    assert isinstance(version("synthetic"), int)
    (tmp_path / "train").mkdir()
    (tmp_path / "train" / "annotation.json").write_text("{}")
    one = version("jpeg_people", path=str(tmp_path))
    assert one == version("jpeg_people", path=str(tmp_path / "train" / ".."))
    other = tmp_path / "other"
    (other / "train").mkdir(parents=True)
    (other / "train" / "annotation.json").write_text("{ }")
    assert version("jpeg_people", path=str(other)) != one
    assert version("jpeg_people") is None


def test_data_of_many_files_are_told_apart_by_their_names_and_sizes(tmp_path: Path) -> None:
    def version(use: str, **options: str) -> Any:
        data = {"use": use, "size": 64, "train": 100, "val": 10, "options": options}
        return plan(suite(measures=("train_time",), variants=(variant("a", data=data),)))[0].data.get("version")

    def folder(name: str, **sizes: int) -> str:
        for file, size in sizes.items():
            path = tmp_path / name / "images" / f"{file}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(bytes(size))
        return str(tmp_path / name)

    one = version("folder", path=folder("one", a=3, b=5))
    assert one is not None
    assert one == version("folder", path=folder("same", b=5, a=3))
    assert one != version("folder", path=folder("resized", a=3, b=6))
    assert one != version("folder", path=folder("renamed", a=3, c=5))
    assert version("folder") is None


@pytest.mark.parametrize(
    ("task", "metric"), [("pose", "pckh"), ("segmentation", "segmentation"), ("binary", "segmentation")]
)
def test_a_task_has_its_metric(task: str, metric: str) -> None:
    assert [job.metrics for job in plan(training(task=task))] == [[metric], [metric]]


def test_a_training_is_scored_by_one_metric() -> None:
    with pytest.raises(UsageError, match="scored by one metric, not by pckh, other; name one"):
        plan(training(metrics=("pckh", "other")))


def test_the_first_guess_of_a_training_grows_with_its_images_and_pixels() -> None:
    def guess(**changes: Any) -> float:
        return expected_seconds([job_with(phase="accuracy", **changes)], {})[0] - STARTUP

    small = guess(train={"samples": 1000}, data={"size": 128, "train": 50})
    assert guess(train={"epochs": 40}, data={"size": 128, "train": 50}) == pytest.approx(2 * small)
    assert guess(train={"samples": 1000}, data={"size": [256, 128], "train": 50}) == pytest.approx(2 * small)


def test_validation_knows_the_metrics_only_where_accuracy_is_measured() -> None:
    assert static_jobs(training())[0].metrics == ["pckh"]
    assert static_jobs(suite())[0].metrics == []
