"""Accuracy that was trained before: what is taken over, what is not, and what a run says of it."""

import json
import re
from collections.abc import Sequence
from pathlib import Path

import builders
import msgspec
import pytest
from command_line import Project, Typed, acts
from reused import PROFILES, STUDY, accuracy, cells, runs, said, scripted

import bench as package
from bench import api, reuse, store
from bench.plan import plan
from bench.record import Record
from bench.suite import load_suite


@pytest.fixture
def bench(project: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Typed:
    """See reused.scripted."""
    return scripted(Typed(project, monkeypatch, capsys), project)


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


def test_nothing_was_trained(project: Project, bench: Typed) -> None:
    done = bench("run", "tiny", "--format", "json")
    assert done.code == 0, "what the profile does not train does not count as unmeasured"
    assert said(done) == [
        "accuracy: 0 of 2 variants from earlier records; --profile accuracy or --fresh trains the others"
    ]
    reason = "not trained yet: bench run tiny --profile accuracy --variant b trains it, in about 6 min"
    assert cells(done)["b"]["reason"] == reason
    (path,) = runs(project)
    records = store.read(path).records
    assert [(r.job.phase, r.status) for r in records] == [("accuracy", "skipped")] * 2 + [("static", "ok")] * 2
    assert "2 jobs: 2 ok" in bench("report", "tiny").out


def test_without_a_budget_no_time_is_said(project: Project, bench: Typed) -> None:
    project.suite(STUDY + PROFILES.replace("budget", "# budget"))
    assert cells(bench("run", "tiny", "--format", "json"))["a"]["reason"] == (
        "not trained yet: bench run tiny --profile accuracy --variant a trains it"
    )


def test_what_was_trained_is_taken_over_and_marked(project: Project, bench: Typed) -> None:
    trained = bench("run", "tiny", "--profile", "accuracy", "--variant", "a")
    assert trained.code == 0
    assert re.search(r"\[1/1\] a/fp32/accuracy seed 0  pckh.total 60.0 %", trained.err)
    (source,) = runs(project)
    done = bench("run", "tiny", "--format", "json")
    assert done.code == 0
    assert said(done) == [
        f"accuracy: 1 of 2 variants from earlier records (results/tiny/{source.name}); "
        "--profile accuracy or --fresh trains the others"
    ]
    found = cells(done)
    assert (found["a"]["value"], found["b"]["value"]) == (60.0, None)
    day = accuracy(source)[0].started.partition("T")[0]
    machine = accuracy(source)[0].machine["id"]
    assert f"trained in an earlier run: {source.stem}, machine {machine}, {day}" in str(found["a"]["notes"])
    copy = accuracy(runs(project)[-1])[0]
    assert (copy.origin, copy.id, copy.id) == (source.stem, copy.job.id, accuracy(source)[0].id)
    assert all(not value.samples and not value.details for value in copy.values)
    again = bench("report", "tiny", "--format", "json")
    source.unlink()
    assert bench("report", "tiny", "--format", "json").out == again.out == done.out, "a run is complete by itself"


def test_a_copy_keeps_its_origin(project: Project, bench: Typed) -> None:
    bench("run", "tiny", "--profile", "accuracy")
    source = runs(project)[0]
    bench("run", "tiny")
    origin = source.stem
    source.unlink()
    done = bench("run", "tiny")
    assert "2 of 2 variants" in said(done)[0] and said(done)[0].endswith("; --fresh trains them again")
    assert {record.origin for record in accuracy(runs(project)[-1])} == {origin}


def test_a_run_that_trains_does_only_what_is_missing(project: Project, bench: Typed) -> None:
    bench("run", "tiny", "--profile", "accuracy", "--variant", "a")
    plan = bench("run", "tiny", "--profile", "accuracy", "--dry-run")
    assert [line.split("  ")[1:] for line in plan.out.splitlines()] == [["seed 0", "b/fp32/accuracy"]]
    done = bench("run", "tiny", "--profile", "accuracy")
    assert done.code == 0
    assert [bool(record.origin) for record in accuracy(runs(project)[-1])] == [True, False]
    assert "1 of 2 variants from earlier records" in said(done)[0]
    nothing = bench("run", "tiny", "--profile", "accuracy")
    assert (nothing.code, "plan: nothing is left to do" in nothing.err) == (0, True)
    assert said(bench("run", "tiny", "--profile", "accuracy", "--fresh", "--dry-run")) == []
    assert len(bench("run", "tiny", "--profile", "accuracy", "--fresh", "--dry-run").out.splitlines()) == 2


def test_fresh_trains_in_a_run_that_otherwise_would_not(project: Project, bench: Typed) -> None:
    bench("run", "tiny", "--profile", "accuracy")
    plan = bench("run", "tiny", "--fresh", "--dry-run")
    assert sorted(line.split("  ")[2] for line in plan.out.splitlines()) == [
        *("a/fp32/accuracy", "a/static", "b/fp32/accuracy", "b/static")
    ]
    assert bench("run", "tiny", "--fresh").code == 0
    before, after = (accuracy(path) for path in runs(project))
    assert [record.origin for record in after] == ["", ""]
    assert {r.environment["network"] for r in after} == {r.environment["network"] for r in before}
    assert {r.job.data["size"] for r in after} == {32}


def test_the_newest_training_is_taken(project: Project, bench: Typed) -> None:
    for _ in range(2):
        bench("run", "tiny", "--profile", "accuracy", "--fresh")
    old, new = runs(project)
    text = old.read_text().replace('"started":"20', '"started":"19')
    old.write_text(text)
    bench("run", "tiny")
    assert {record.origin for record in accuracy(runs(project)[-1])} == {new.stem}


@pytest.mark.parametrize(
    ("old", "new"),
    [("samples = 100", "samples = 200"), ("size = 32", "size = 64"), ('do = ""', 'do = "be absent"')],
)
def test_another_protocol_is_not_taken(project: Project, bench: Typed, old: str, new: str) -> None:
    bench("run", "tiny", "--profile", "accuracy")
    project.suite((STUDY + PROFILES).replace(old, new))
    done = bench("run", "tiny")
    assert "0 of 2 variants from earlier records" in said(done)[0]


def test_neither_the_timing_protocol_nor_the_suites_name_matter(project: Project, bench: Typed) -> None:
    bench("run", "tiny", "--profile", "accuracy")
    project.suite((STUDY + PROFILES).replace("min_samples        = 3", "min_samples = 4"), name="other")
    assert "2 of 2 variants from earlier records" in said(bench("run", "other"))[0]


def test_another_network_of_the_same_name_is_not_taken(bench: Typed) -> None:
    bench("run", "tiny", "--profile", "accuracy", NETWORK="before")
    assert "0 of 2 variants" in said(bench("run", "tiny"))[0]
    assert said(bench("run", "tiny", "--profile", "accuracy", "--dry-run")) == []


def test_another_machines_training_is_taken(project: Project, bench: Typed) -> None:
    bench("run", "tiny", "--profile", "accuracy")
    (path,) = runs(project)
    here = accuracy(path)[0].machine["id"]
    path.write_text(path.read_text().replace(here, "0123abcd"))
    done = bench("run", "tiny")
    assert "2 of 2 variants" in said(done)[0]
    assert "machine 0123abcd" in done.out and "several machines" not in done.out


def test_the_records_of_the_checkout_are_found_from_elsewhere(project: Project, bench: Typed) -> None:
    bench("run", "tiny", "--profile", "accuracy")
    done = bench("run", "tiny", "--results", "elsewhere")
    assert f"2 of 2 variants from earlier records ({runs(project)[0]})" in said(done)[0]


def test_a_file_that_cannot_be_read_stops_nothing(project: Project, bench: Typed) -> None:
    bench("run", "tiny", "--profile", "accuracy")
    (project.results / "tiny" / "20200101T000000Z-x.jsonl").write_text('{"type":"run","format":99}\n')
    assert "2 of 2 variants" in said(bench("run", "tiny"))[0]


def test_how_long_it_took_here_is_what_it_will_take(project: Project, bench: Typed) -> None:
    bench("run", "tiny", "--profile", "accuracy")
    (path,) = runs(project)
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    path.write_text("".join(json.dumps(line | {"seconds": 1800.0}) + "\n" for line in lines))
    project.suite((STUDY + PROFILES).replace("samples = 100", "samples = 200\nseeds = 2"))
    reason = cells(bench("run", "tiny", "--format", "json"))["a"]["reason"]
    assert str(reason).endswith("trains it, in about 6 min"), "another protocol: two of the four trainings' 12 min"
    project.suite((STUDY + PROFILES).replace("samples = 100", "samples = 100\nseeds = 2"))
    done = bench("run", "tiny", "--format", "json")
    assert "0 of 2 variants" in said(done)[0], "one of two seeds is not the variant"
    assert cells(done)["a"]["value"] == 60.0
    assert "1 of 2 seeds (not trained yet: " in str(cells(done)["a"]["notes"])
    assert "trains it, in about 30 min)" in str(cells(done)["a"]["notes"]), "another seed takes as long"
    plan = bench("run", "tiny", "--profile", "accuracy", "--dry-run").err
    assert "about 60 min from earlier runs here" in plan


def test_variants_that_the_profile_leaves_out_say_so(project: Project, bench: Typed) -> None:
    text = STUDY + acts(extra='profiles = ["x"]', c="") + PROFILES + "\n[profiles.x]\n"
    project.suite(text)
    done = bench("run", "tiny", "--profile", "x", "--format", "json")
    assert done.code == 0
    assert cells(done)["c"]["reason"] == "not trained: the profile accuracy leaves this variant out"
    alone = bench("run", "tiny", "--profile", "x", "--variant", "c")
    assert (alone.code, said(alone)) == (0, [])
    assert "not trained: the profile accuracy leaves this variant out" in alone.out
    assert "data.size 32" in bench("run", "tiny", "--profile", "x").out, "the others' protocol stands above them"


def test_a_run_goes_on_with_what_it_took_over(project: Project, bench: Typed) -> None:
    text = STUDY.replace('do = ""', 'do = "fail once"') + PROFILES
    project.suite(text)
    assert bench("run", "tiny", "--profile", "accuracy").code == 5
    (project.stage / "mended").touch()
    assert bench("run", "tiny", "--profile", "accuracy", "--resume", "tiny").code == 0
    (project.stage / "mended").unlink()
    assert bench("run", "tiny").code == 5
    path = runs(project)[-1]
    taken = len(accuracy(path))
    (project.stage / "mended").touch()
    done = bench("run", "tiny", "--resume", path.stem)
    assert done.code == 0, done.err
    assert "0 of 2 jobs are done" in done.err
    assert len(accuracy(path)) == taken == 2, "they are there already"
    runs(project)[0].unlink()
    assert bench("run", "tiny", "--resume", path.stem).code == 0


def test_a_run_that_trains_counts_what_it_took_over_as_done(project: Project, bench: Typed) -> None:
    bench("run", "tiny", "--profile", "accuracy")
    bench("run", "tiny", "--profile", "accuracy")
    source, path = runs(project)
    source.unlink()
    done = bench("run", "tiny", "--profile", "accuracy", "--resume", path.stem)
    assert (done.code, "2 of 2 jobs are done" in done.err) == (0, True)
    assert len(accuracy(path)) == 2
    fresh = bench("run", "tiny", "--profile", "accuracy", "--resume", path.stem, "--fresh")
    assert (fresh.code, "0 of 2 jobs are done" in fresh.err) == (0, True)
    assert [bool(record.origin) for record in accuracy(path)] == [True, True, False, False]


def test_a_fresh_run_goes_on_as_one(project: Project, bench: Typed) -> None:
    project.suite(STUDY.replace('do = ""', 'do = "fail once"') + PROFILES)
    assert bench("run", "tiny", "--fresh").code == 5
    (project.stage / "mended").touch()
    (path,) = runs(project)
    done = bench("run", "tiny", "--resume", path.stem)
    assert (done.code, "0 of 4 jobs are done" in done.err) == (0, True)
    assert [r.status for r in accuracy(path)] == ["failed", "failed", "ok", "ok"]


def test_what_is_trained_in_between_is_taken_when_a_run_goes_on(project: Project, bench: Typed) -> None:
    bench("run", "tiny")
    (path,) = runs(project)
    bench("run", "tiny", "--profile", "accuracy")
    assert bench("run", "tiny", "--resume", path.stem).code == 0
    assert [record.status for record in accuracy(path)] == ["skipped", "skipped", "ok", "ok"]


def test_times_of_what_was_taken_over_are_not_times_of_here(project: Project, bench: Typed) -> None:
    bench("run", "tiny", "--profile", "accuracy")
    source = runs(project)[0]
    bench("run", "tiny")
    machine = accuracy(source)[0].machine["id"]
    source.unlink()
    known = store.seconds_of_jobs(project.results, "tiny", machine)
    assert not any("accuracy" in name for name in known) and "a/static" in known


def test_a_suite_without_the_profile_has_no_accuracy(project: Project, bench: Typed) -> None:
    project.suite(STUDY)
    done = bench("run", "tiny", "--fresh")
    assert (done.code, said(done), "Accuracy" in done.out) == (0, [], False)


def test_folders_of_data_sets_that_the_accuracy_profile_alone_uses(project: Project, bench: Typed) -> None:
    """No data set of these reads files, so the path is refused for that reason, not as an unknown set."""
    project.suite(STUDY + PROFILES.replace("size = 32", 'use = "synthetic", size = 32'))
    done = bench("run", "tiny", "--data", "synthetic=.", "--dry-run")
    assert done.said == ["--data synthetic=...: data set 'synthetic' is made, it reads no files; leave --data out"]
    done = bench("run", "tiny", "--data", "mpii=.", "--dry-run")
    assert done.said[0].startswith("--data mpii=...: the suite uses no data set 'mpii'")


def test_from_python(project: Project, bench: Typed) -> None:
    first = package.run("tiny", profile="accuracy", results=project.results)
    taken = package.run("tiny", results=project.results)
    assert {record.origin for record in accuracy(taken)} == {first.stem}
    anew = package.run("tiny", results=project.results, fresh=True)
    assert {record.origin for record in accuracy(anew)} == {""}
    frame = package.load_records(taken)
    assert set(frame[frame.phase == "accuracy"].origin) == {first.stem}
    assert set(frame[frame.phase == "static"].origin) == {""}


def test_networks_of_the_same_size_are_not_built_again(project: Project, bench: Typed) -> None:
    project.suite(STUDY + PROFILES.replace("size = 32", "size = 16"))
    suite = load_suite("tiny")
    run = reuse.Run(suite, plan(suite), {"a": "network a", "b": "network b"}, "machine")
    study = reuse.accuracy_profile(suite, {})
    assert reuse.networks(run, study, ["a", "b"]) == {"a": "network a", "b": "network b"}
    project.suite(STUDY + PROFILES)
    study = reuse.accuracy_profile(load_suite("tiny"), {})
    assert (
        reuse.networks(run, study, ["b"]).keys() == {"b"}
        and "network b" not in reuse.networks(run, study, ["b"]).values()
    )


def test_a_mismatch_on_trained_weights_is_one_wherever_it_was_found() -> None:
    found: Sequence[Record] = [builders.trained("original", 60.0, flags=("mismatch",), origin="a-run")]
    assert api.exit_code(builders.SUITE, found, 1) == 5
    spared = builders.SUITE | {"modes": builders.SUITE["modes"] | {"fast": {"optional": True}}}
    other = [msgspec.structs.replace(r, job=msgspec.structs.replace(r.job, mode="fp32")) for r in found]
    assert api.exit_code(spared, other, 1) == 0


def test_who_asks_for_a_few_other_measures_gets_those_alone(project: Project, bench: Typed) -> None:
    bench("run", "tiny", "--profile", "accuracy")
    done = bench("run", "tiny", "--measure", "params", "--format", "json")
    assert done.code == 0, done.err
    assert said(done) == []
    assert cells(done) == {}
    again = bench("run", "tiny", "--resume", runs(project)[-1].stem)
    assert accuracy(runs(project)[-1]) == []
    assert again.code == 0, again.err


LAYERS = """
[profiles.accuracy.variant.a]
options  = { joints = 12 }
"""


@pytest.mark.parametrize("more", [(), ("--fresh",)])
def test_accuracy_of_another_network_is_not_shown(project: Project, bench: Typed, more: tuple[str, ...]) -> None:
    project.suite(STUDY + PROFILES + LAYERS)
    bench("run", "tiny", "--profile", "accuracy")
    found = cells(bench("run", "tiny", "--format", "json", *more))
    assert (found["a"]["value"], found["b"]["value"]) == (None, 60.0)
    assert found["a"]["reason"] == (
        "not comparable: profile accuracy trains it with other options (joints 12 instead of unset)"
    )


def test_accuracy_from_other_weights_is_not_shown(project: Project, bench: Typed) -> None:
    project.write("suites/w.pt", "weights")
    project.suite(STUDY + PROFILES + LAYERS.replace("options  = { joints = 12 }", 'weights = "w.pt"'))
    bench("run", "tiny", "--profile", "accuracy")
    found = cells(bench("run", "tiny", "--format", "json"))
    assert re.fullmatch(r"not comparable: .* with other weights \([0-9a-f]{8} instead of none\)", found["a"]["reason"])


def test_the_advice_is_what_must_be_typed_here(project: Project, bench: Typed, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    bench.monkeypatch.chdir(elsewhere)
    reason = cells(bench("run", "../suites/tiny.toml", "--results", "kept", "--format", "json"))["a"]["reason"]
    command = "bench run ../suites/tiny.toml --profile accuracy --variant a --results kept"
    assert reason == f"not trained yet: {command} trains it, in about 6 min"
    assert bench(*command.split()[1:]).code == 0
    package.run("../suites/tiny.toml", results="other")
    (path,) = store.runs(Path("other"))
    assert accuracy(path)[0].reason == reason.replace("kept", "other")


def test_the_advice_says_where_the_data_lie(project: Project, bench: Typed) -> None:
    project.suite(STUDY + PROFILES.replace("size = 32", 'use = "jpeg_people", size = 32'))
    reason = str(cells(bench("run", "tiny", "--format", "json"))["a"]["reason"])
    assert "--variant a --data jpeg_people=PATH trains it" in reason
    reason = str(cells(bench("run", "tiny", "--data", "jpeg_people=stage", "--format", "json"))["a"]["reason"])
    assert "--variant a --data jpeg_people=stage trains it" in reason
