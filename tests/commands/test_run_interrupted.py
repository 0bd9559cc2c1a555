"""Ctrl-C, a kill, and going on from there: nothing that was acknowledged is lost, nothing is measured twice."""

import json
import re
import shlex
import signal
from collections import Counter
from pathlib import Path

import pytest
from command_line import HEAD, PROTOCOL, Done, Project, Running, Typed, acts, is_running, until

from bench import store

THREE = HEAD.replace('"params", "infer"', '"infer"') + acts(a="wait", b="wait", c="wait") + PROTOCOL


def begun(project: Project) -> list[int]:
    """The worker of each job that has begun."""
    return [int(path.read_text()) for path in project.stage.glob("*.started") if path.read_text()]


def let_go(project: Project) -> None:
    (project.stage / "go").touch()


def started(project: Project, *arguments: str, text: str = THREE) -> Running:
    """A run whose first worker has begun its job, and waits."""
    project.suite(text)
    running = project.start("run", "tiny", *arguments, scripted=True)
    until(lambda: begun(project))
    return running


def hear(running: Running, words: str) -> str:
    """What is said until a line with these words."""
    assert running.stderr
    heard = ""
    for line in running.stderr:
        heard += line
        if words in line:
            return heard
    raise AssertionError(f"never said: {words}; but: {heard}")


def end(running: Running, before: str = "") -> Done:
    out, err = running.communicate(timeout=30)
    return Done(running.returncode, out, before + err)


def asked_again(project: Project, done: Done) -> Done:
    """What comes of typing the command that the last line offers."""
    command = done.err.splitlines()[-1].partition("complete it with: ")[2]
    program, *arguments = shlex.split(command)
    assert program == "bench", done.err
    return project.bench(*arguments, scripted=True)


def rows(page: str) -> list[tuple[str, ...]]:
    """What a page has figures of, without the figures."""
    return [(cell["variant"], cell["mode"], cell["quantity"]) for cell in json.loads(page)["cells"]]


def interrupted(project: Project, *arguments: str) -> Done:
    """A run that gets one Ctrl-C during its first job."""
    running = started(project, *arguments)
    running.send_signal(signal.SIGINT)
    heard = hear(running, "stopping after the current job; Ctrl-C again kills it")
    let_go(project)
    return end(running, heard)


def test_one_ctrl_c_ends_the_run_after_the_current_job(project: Project) -> None:
    done = interrupted(project)
    assert done.code == 130
    loaded = store.read(project.runs[0])
    assert [record.status for record in loaded.records] == ["ok"]
    assert loaded.problems == []
    assert done.err.splitlines()[-1] == (
        f"interrupted; complete it with: bench run tiny --resume {project.runs[0].stem}"
    )
    assert len(begun(project)) == 1
    assert not any(is_running(pid) for pid in begun(project))
    assert "Tiny" in done.out and "--resume" in done.out, "what was measured is shown, and what is missing is told"


def test_what_the_last_line_offers_completes_the_run(project: Project) -> None:
    first = interrupted(project, "--format", "json")
    (path,) = project.runs
    before = path.read_bytes()
    done = asked_again(project, first)
    assert done.code == 0, done.err
    assert f"resuming results/tiny/{path.name}: 1 of 3 jobs are done" in done.err
    assert project.runs == [path]
    assert path.read_bytes().startswith(before), "what was there is never touched"
    records = store.read(path).records
    assert Counter(record.job.variant for record in records) == {"a": 1, "b": 1, "c": 1}
    assert len({record.id for record in records}) == 3
    whole = project.bench("run", "tiny", "--format", "json", scripted=True)
    assert rows(done.out) == rows(whole.out)
    again = asked_again(project, first)
    assert (again.code, len(store.read(path).records)) == (0, 3), "there is nothing left to do"


def test_a_run_goes_on_as_it_was_asked_for(project: Project) -> None:
    """Without typing its options again: other jobs would be measured that its table does not show."""
    text = THREE + "\n[profiles.other]\nseed = 3\n"
    running = started(project, "--variant", "a", "--variant", "c", "--rounds", "2", "--profile", "other", text=text)
    running.send_signal(signal.SIGINT)
    heard = hear(running, "stopping after")
    let_go(project)
    assert end(running, heard).code == 130
    (path,) = project.runs
    done = project.bench("run", "tiny", "--resume", path.stem, scripted=True)
    assert done.code == 0, done.err
    loaded = store.read(path)
    cells = Counter((record.job.variant, record.job.round) for record in loaded.records)
    assert cells == {("a", 0): 1, ("a", 1): 1, ("c", 0): 1, ("c", 1): 1}
    assert {record.job.seed for record in loaded.records} == {3}


def test_phases_keep_their_own_rounds_when_a_run_goes_on(project: Project) -> None:
    text = THREE.replace("[modes.fp32]", "[infer]\nrounds = 2\n[modes.fp32]").replace("rounds   = 1", "rounds = 4")
    running = started(project, "--variant", "a", text=text)
    running.send_signal(signal.SIGINT)
    hear(running, "stopping after")
    let_go(project)
    end(running)
    done = project.bench("run", "tiny", "--resume", "tiny", scripted=True)
    assert done.code == 0
    assert "1 of 2 jobs are done" in done.err


def test_results_elsewhere_are_in_the_line_that_is_offered(project: Project) -> None:
    first = interrupted(project, "--results", "my results")
    assert asked_again(project, first).code == 0
    (path,) = (project.folder / "my results").rglob("*.jsonl")
    assert len(store.read(path).records) == 3


def test_a_ctrl_c_during_the_last_job_leaves_nothing_to_do(project: Project) -> None:
    done = interrupted(project, "--variant", "a")
    assert done.code == 0
    assert "kept in" in done.err.splitlines()[-1]


def test_a_second_ctrl_c_kills_the_job(project: Project) -> None:
    running = started(project)
    running.send_signal(signal.SIGINT)
    heard = hear(running, "Ctrl-C again kills it")
    running.send_signal(signal.SIGINT)
    done = end(running, heard)
    assert done.code == 130
    (worker,) = begun(project)
    until(lambda: not is_running(worker))
    loaded = store.read(project.runs[0])
    assert (loaded.records, loaded.problems) == ([], [])
    let_go(project)
    assert asked_again(project, done).code == 0
    assert len(store.read(project.runs[0]).records) == 3


def test_being_told_to_end_kills_the_job_too(project: Project) -> None:
    """As a batch system does, with SIGTERM."""
    running = started(project)
    running.send_signal(signal.SIGTERM)
    done = end(running)
    assert done.code == 130
    assert "interrupted; complete it with: bench run tiny --resume " in done.err
    (worker,) = begun(project)
    until(lambda: not is_running(worker))


def test_a_worker_dies_with_its_parent(project: Project) -> None:
    running = started(project)
    (worker,) = begun(project)
    assert is_running(worker)
    running.kill()
    running.communicate(timeout=30)
    until(lambda: not is_running(worker))
    assert store.read(project.runs[0]).problems == []


@pytest.mark.parametrize("acknowledged", [0, 1, 4])
def test_killed_at_any_moment(project: Project, acknowledged: int) -> None:
    """What was said to be done is on disk; the rest is done by going on."""
    project.suite(HEAD.replace("rounds   = 1", "rounds = 3") + acts(a="", b="") + PROTOCOL)
    running = project.start("run", "tiny", scripted=True)
    heard = hear(running, f"[{acknowledged}/8]" if acknowledged else "writing ")
    running.kill()
    done = end(running, heard)
    assert done.code == -signal.SIGKILL
    (path,) = project.runs
    known = re.findall(r"^\[\d+/8\]", done.err, re.MULTILINE)
    loaded = store.read(path)
    assert len(loaded.records) >= len(known) >= acknowledged
    assert all("torn last line" in problem for problem in loaded.problems)
    done = project.bench("run", "tiny", "--resume", path.stem, scripted=True)
    assert done.code == 0, done.err
    ok = Counter(record.id for record in store.read(path).records if record.status == "ok")
    assert len(ok) == 8 and set(ok.values()) == {1}


def test_a_run_that_another_process_is_writing(project: Project) -> None:
    running = started(project)
    path = project.runs[0]
    done = project.bench("run", "tiny", "--resume", path.stem, scripted=True)
    assert done.said[-1].endswith("another process is writing this run; wait for it, or start a new run")
    assert done.code == 2
    let_go(project)
    assert end(running).code == 0


@pytest.fixture
def earlier(project: Project, bench: Typed) -> Path:
    """A run of which one job failed; `mended` in the stage makes it go well."""
    project.suite(HEAD.replace('"params", "infer"', '"infer"') + acts(a="", b="fail once") + PROTOCOL)
    assert bench("run", "tiny").code == 5
    return project.runs[0]


def edited(path: Path, **changes: object) -> None:
    """Change a run's header: the run was made elsewhere, or of other code."""
    first, rest = path.read_text().split("\n", 1)
    header = json.loads(first)
    for key, value in changes.items():
        header[key] = header.get(key, {}) | value if isinstance(value, dict) else value
    path.write_text(json.dumps(header) + "\n" + rest)


def test_what_failed_is_tried_again(project: Project, bench: Typed, earlier: Path) -> None:
    (project.stage / "mended").touch()
    done = bench("run", "tiny", "--resume", earlier.stem)
    assert done.code == 0
    assert "1 of 2 jobs are done" in done.err
    outcomes = Counter((record.job.variant, record.status) for record in store.read(earlier).records)
    assert outcomes == {("a", "ok"): 1, ("b", "failed"): 1, ("b", "ok"): 1}


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"machine": {"id": "00000000"}}, "machine"),
        ({"source": {"commit": "0" * 40}}, "commit"),
        ({"source": {"dirty": "something"}}, "uncommitted changes"),
        ({"machine": {"id": "0"}, "source": {"commit": "0"}}, "machine, commit"),
    ],
    ids=str,
)
def test_what_changed_since_is_refused_unless_the_networks_are_the_same(
    project: Project, bench: Typed, earlier: Path, changes: dict[str, object], what: str
) -> None:
    edited(earlier, **changes)
    before = earlier.read_bytes()
    done = bench("run", "tiny", "--resume", earlier.stem)
    assert done.said == [f"results/tiny/{earlier.name}: {what} changed since; start a new run, or add --force"]
    assert (done.code, done.out) == (6, "")
    assert earlier.read_bytes() == before
    done = bench("run", "tiny", "--resume", earlier.stem, "--force", NETWORK="another one")
    assert done.said == [f"results/tiny/{earlier.name}: the network of a, b changed since; start a new run"]
    assert (done.code, done.out) == (6, "")
    assert earlier.read_bytes() == before
    (project.stage / "mended").touch()
    assert bench("run", "tiny", "--resume", earlier.stem, "--force").code == 0
    assert earlier.read_bytes().startswith(before)


@pytest.mark.parametrize(
    ("old", "new"), [("max_seconds        = 0.1", "max_seconds = 0.2"), ("size  = 16", "size  = 32")]
)
def test_another_protocol_is_refused_even_by_force(
    project: Project, bench: Typed, earlier: Path, old: str, new: str
) -> None:
    suite = project.folder / "suites" / "tiny.toml"
    assert old in suite.read_text()
    suite.write_text(suite.read_text().replace(old, new))
    done = bench("run", "tiny", "--resume", earlier.stem, "--force")
    assert done.code == 6
    assert done.said[-1].endswith(
        "it was planned with other options (profile, protocol, seed or device); give the same ones, or start a new run"
    )


def test_another_seed_is_refused(bench: Typed, earlier: Path) -> None:
    assert bench("run", "tiny", "--resume", earlier.stem, "--seed", "5").code == 6


def test_more_rounds_may_be_asked_for(bench: Typed, earlier: Path, project: Project) -> None:
    (project.stage / "mended").touch()
    done = bench("run", "tiny", "--resume", earlier.stem, "--rounds", "2")
    assert done.code == 0
    assert "1 of 4 jobs are done" in done.err
