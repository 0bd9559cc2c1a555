"""`bench calibrate`: real commands, workers whose figures are drawn here."""

import json
import signal
from collections.abc import Callable, Iterator, Sequence
from itertools import count
from math import exp
from pathlib import Path
from random import Random
from typing import Any

import msgspec
import pytest
from command_line import HEAD, PROTOCOL, Project, Typed, acts

from bench import host, store
from bench.engines import local
from bench.gate.calibration import ARMS, file_of, noise_floor
from bench.record import Job, Quantity, Record, Value, fingerprints

LATENCY = Quantity(name="latency", unit="s", better="lower", title="latency")
MODE = '\n[modes.fast]\namp = "bfloat16"\n'
SUITE = HEAD + MODE + acts(a="", b="") + PROTOCOL
GATE = '\n[gate]\nlatency = "3%"\n'

Latency = Callable[[Job, int], float | str | None]
"""(Job, how many have been done) -> seconds; None where there is no figure, a text where the job is skipped."""


def answer(job: Job, seconds: float | str | None) -> Record:
    if isinstance(seconds, str):
        return Record(job=job, id=job.id, status="skipped", reason=seconds, fingerprints=fingerprints(job))
    value = Value(quantity=LATENCY, value=seconds, reason="" if seconds else "not a finite number (nan)")
    kept = local.portable(job)
    started = f"2026-01-01T00:00:{job.round:02d}+00:00"
    return Record(job=kept, id=job.id, status="ok", values=[value], fingerprints=fingerprints(job), started=started)


def quiet(job: Job, number: int) -> float:
    """Runs of 0.4 % noise; the slowed ones longer by what their job says."""
    return 0.02 * exp(0.004 * Random(number).gauss(0, 1)) * (1 + job.infer.get("slowdown", 0.0))


@pytest.fixture
def play(project: Project, bench: Typed) -> Callable[[Latency], list[Job]]:
    """Workers that answer at once with a latency; returns the list in which their jobs will be."""
    project.suite(SUITE)

    def playing(latency: Latency) -> list[Job]:
        jobs: list[Job] = []
        numbers = count()

        def execute(asked: Sequence[Job]) -> Iterator[Record]:
            for job in asked:
                jobs.append(job)
                yield answer(job, latency(job, next(numbers)))

        bench.monkeypatch.setattr(local, "execute", execute)
        return jobs

    return playing


def found(project: Project) -> dict[str, Any]:
    path = file_of(project.results, "tiny", host.machine()["id"])
    return dict(json.loads(path.read_text()))


def kept(project: Project) -> bool:
    """Whether there is a noise floor."""
    return file_of(project.results, "tiny", host.machine()["id"]).exists()


def arms_of(project: Project) -> dict[str, list[Record]]:
    (folder,) = project.results.glob("tiny/*-calibration")
    assert sorted(path.stem for path in folder.iterdir()) == sorted(ARMS)
    return {name: store.read(folder / f"{name}.jsonl").records for name in ARMS}


def test_unchanged_code_passes_and_slowed_code_is_found(
    project: Project, bench: Typed, play: Callable[[Latency], list[Job]]
) -> None:
    jobs = play(quiet)
    done = bench("calibrate", "suites/tiny.toml", "--pairs", "10")
    assert done.code == 0
    assert done.out.startswith("NO SIGN AGAINST THE GATE: 0 of 2 gates of 5 pairs raised a false alarm")
    assert "plan: 4 cells x 10 pairs x 3 fresh processes" in done.err
    assert len(jobs) == 4 * 10 * 3
    floor = found(project)
    assert (floor["suite"], floor["tolerance"], floor["slowdown"], floor["pairs"]) == ("tiny", 0.02, 0.05, 10)
    assert list(floor["cells"]) == ["a/fp32", "a/fast", "b/fp32", "b/fast"]
    for cell in floor["cells"].values():
        assert cell["low"] < 0.004 < cell["high"]
        assert cell["slower"][0] == pytest.approx(0.05, abs=0.005)
    last = floor["trials"][-1]
    assert (last["pairs"], last["found"]["hits"], last["found"]["trials"]) == (10, 4, 4)
    assert noise_floor(project.results, "tiny", host.machine()["id"]) is not None
    assert floor["newest"] == "2026-01-01T00:00:09+00:00"
    assert f"kept in {Path('results/tiny')}/noise-" in done.err


def test_the_arms_are_the_same_jobs_in_drawn_orders_and_kept_as_runs(
    project: Project, bench: Typed, play: Callable[[Latency], list[Job]]
) -> None:
    jobs = play(quiet)
    assert bench("calibrate", "suites/tiny.toml", "--pairs", "5", "--slowdown", "30%").code == 0
    arms = arms_of(project)
    assert {len(records) for records in arms.values()} == {4 * 5}
    ids = {name: sorted(record.id for record in records) for name, records in arms.items()}
    assert ids["first"] == ids["second"]
    assert not set(ids["first"]) & set(ids["slowed"])
    assert {record.job.infer.get("slowdown") for record in arms["slowed"]} == {0.3}
    assert {record.job.infer.get("slowdown") for record in arms["first"] + arms["second"]} == {None}
    assert {record.machine["id"] for records in arms.values() for record in records} == {host.machine()["id"]}
    assert {(job.phase, *job.measures) for job in jobs} == {("infer", "infer")}
    # A cell's three arms lie side by side, and neither the cells nor the arms always come in the same order.
    turns = [jobs[i : i + 3] for i in range(0, len(jobs), 3)]
    assert all(len({(job.cell, job.round) for job in turn}) == 1 for turn in turns)
    assert len({[bool(job.infer.get("slowdown")) for job in turn].index(True) for turn in turns}) == 3
    assert len({tuple(turn[0].cell for turn in turns[i : i + 4]) for i in range(0, len(turns), 4)}) > 1
    # What was slowed on purpose is nobody's figure.
    assert store.runs(project.results) == []


def test_two_calibrations_of_the_same_records_are_the_same_file(
    project: Project, bench: Typed, play: Callable[[Latency], list[Job]]
) -> None:
    texts = []
    for _ in range(2):
        play(quiet)
        assert bench("calibrate", "suites/tiny.toml", "--pairs", "5").code == 0
        texts.append(file_of(project.results, "tiny", host.machine()["id"]).read_bytes())
    assert texts[0] == texts[1]
    assert len(list(project.results.rglob("slowed.jsonl"))) == 2  # though both began in the same second, maybe


def test_a_machine_that_alarms_on_unchanged_code_ends_with_1(
    project: Project, bench: Typed, play: Callable[[Latency], list[Job]]
) -> None:
    from bench.gate import sitting

    play(quiet)
    real = sitting.pair

    def biased(arms: Any, cell: Any, turn: Any, tell: Any) -> dict[str, Record]:
        """The second arm is 10 % slower, whoever is first."""
        pair = real(arms, cell, turn, tell)
        (value,) = pair["second"].values
        slower = msgspec.structs.replace(value, value=1.1 * (value.value or 0))
        return pair | {"second": msgspec.structs.replace(pair["second"], values=[slower])}

    bench.monkeypatch.setattr(sitting, "pair", biased)
    done = bench("calibrate", "suites/tiny.toml", "--pairs", "15")
    assert done.code == 1
    assert done.out.startswith("NOT TO BE TRUSTED: 3 of 3 gates of 5 pairs raised a false alarm")
    assert found(project)["trials"][0]["gates"]["hits"] == 3


def test_a_selection_the_suites_tolerance_and_other_formats(
    project: Project, bench: Typed, play: Callable[[Latency], list[Job]]
) -> None:
    jobs = play(quiet)
    project.suite(SUITE + GATE)
    options = ("--variant", "b", "--mode", "fast", "--pairs", "5", "--device", "cpu", "--seed", "3")
    done = bench("calibrate", "suites/tiny.toml", *options, "--format", "json")
    assert done.code == 0
    floor = json.loads(done.out)
    assert done.said[-1] == "not kept: it is of a part of the suite"
    assert not kept(project)
    assert (list(floor["cells"]), floor["tolerance"]) == (["b/fast"], 0.03)
    assert {job.seed for job in jobs} == {3}
    assert floor["protocol"]["infer.batch"] == jobs[0].infer["batch"]
    assert "infer.slowdown" not in floor["protocol"]
    shown = bench("calibrate", "suites/tiny.toml", *options, "--format", "markdown")
    assert "| b         | fast   |" in shown.out


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--slowdown", "0.05"], "'0.05': write a percentage above 0 and up to 100, such as 5%"),
        (["--slowdown", "0%"], "'0%': write a percentage"),
        (["--slowdown", "101%"], "'101%': write a percentage"),
        (["--slowdown", "2%"], "--slowdown 2%: within the gate's tolerance for latency; such as --slowdown 4%"),
        (["--pairs", "1"], "1 is not in the range"),
        (["--variant", "c"], "unknown variant 'c'"),
        (["--mode", "slow"], "unknown mode 'slow'"),
        (["--device", "tpu"], "device tpu: unknown"),
    ],
)
def test_what_is_typed_wrongly_is_told_before_anything_runs(
    options: list[str], said: str, project: Project, bench: Typed, play: Callable[[Latency], list[Job]]
) -> None:
    jobs = play(quiet)
    done = bench("calibrate", "suites/tiny.toml", *options)
    assert done.code == 2
    (line,) = done.said
    assert said in line
    assert jobs == []
    assert not project.results.exists()


def test_no_time_is_exact(project: Project, bench: Typed, play: Callable[[Latency], list[Job]]) -> None:
    play(quiet)
    project.suite(SUITE + '\n[gate]\nlatency = "exact"\n')
    done = bench("calibrate", "suites/tiny.toml")
    assert done.code == 2
    line = SUITE.count("\n") + 3
    assert f'suites/tiny.toml:{line}: gate.latency = "exact": no time is exact; write a percentage' in done.err


def test_a_network_that_cannot_be_built_is_told_with_its_line(project: Project, bench: Typed) -> None:
    project.suite(HEAD + acts(a="", b="not fit") + PROTOCOL)
    done = bench("calibrate", "suites/tiny.toml")
    assert done.code == 2
    assert "variant 'b': do = 'not fit': as asked" in done.err
    assert not project.results.exists()


@pytest.mark.parametrize(("suite", "code"), [(SUITE, 5), (SUITE.replace('do = "" }', 'do = "" }\noptional = true'), 0)])
def test_a_job_that_fails_costs_its_own_cell(
    suite: str, code: int, project: Project, bench: Typed, play: Callable[[Latency], list[Job]]
) -> None:
    jobs = play(lambda job, n: None if (job.variant, job.mode, job.round) == ("b", "fast", 2) else quiet(job, n))
    project.suite(suite)
    done = bench("calibrate", "suites/tiny.toml", "--pairs", "5")
    assert done.code == code
    floor = found(project)
    assert list(floor["cells"]) == ["a/fp32", "a/fast", "b/fp32"]
    assert floor["pairs"] == 5
    assert floor["lost"]["b/fast"].startswith("a pair: failed: latency: not a finite number (nan)")
    assert "b/fast has no figures" in done.out
    assert max(job.round for job in jobs if (job.variant, job.mode) == ("b", "fast")) == 2


def test_a_mode_that_cannot_run_here_is_not_measured(
    project: Project, bench: Typed, play: Callable[[Latency], list[Job]]
) -> None:
    play(lambda job, n: "no such instruction" if job.mode == "fast" else quiet(job, n))
    assert bench("calibrate", "suites/tiny.toml", "--pairs", "5").code == 4
    assert found(project)["lost"]["a/fast"].endswith("skipped: no such instruction")
    project.suite(SUITE.replace(MODE, MODE + "optional = true\n"))
    assert bench("calibrate", "suites/tiny.toml", "--pairs", "5").code == 0


def test_nothing_but_failures_is_one_line(project: Project, bench: Typed, play: Callable[[Latency], list[Job]]) -> None:
    play(lambda job, n: None)
    project.suite(HEAD + acts(a="") + PROTOCOL)
    done = bench("calibrate", "suites/tiny.toml", "--pairs", "5")
    assert (done.code, done.out) == (5, "")
    assert done.err.splitlines()[-1] == (
        "no cell was measured, at least 2 pairs are needed; a/fp32: a pair: failed: latency: not a finite number (nan)"
    )
    assert noise_floor(project.results, "tiny", host.machine()["id"]) is None


@pytest.mark.parametrize(("after", "pairs"), [(1, 0), (23, 1), (24, 2), (60, 5), (119, 9)])
def test_ctrl_c_judges_what_there_is_and_keeps_nothing(
    after: int, pairs: int, project: Project, bench: Typed, play: Callable[[Latency], list[Job]]
) -> None:
    def interrupted(job: Job, number: int) -> float:
        if number == after:
            signal.raise_signal(signal.SIGINT)
        return quiet(job, number)

    jobs = play(interrupted)
    done = bench("calibrate", "suites/tiny.toml", "--pairs", "10", "--format", "json")
    assert done.code == 130
    assert len(jobs) == after + 1
    assert not kept(project)
    said = f"interrupted in pair {after // 12 + 1}"
    if pairs < 2:
        assert done.out == ""
        what = f"{pairs} pair of every cell" if pairs else "no cell"
        assert done.err.splitlines()[-1] == f"{what} was measured, at least 2 pairs are needed; {said}"
        return
    floor = json.loads(done.out)
    assert (floor["pairs"], floor["ended"], len(floor["trials"])) == (pairs, said, int(pairs >= 5))
    assert done.said[-1] == f"not kept: {said}"


def test_a_good_noise_floor_outlives_poor_calibrations(
    project: Project, bench: Typed, play: Callable[[Latency], list[Job]]
) -> None:
    project.suite(SUITE + "\n[profiles.quick]\n[profiles.other]\nseed = 5\n")
    play(quiet)
    assert bench("calibrate", "suites/tiny.toml", "--pairs", "10").code == 0
    good = found(project)
    for options, said in (
        (["--variant", "a"], "it is of a part of the suite"),
        (["--mode", "fast"], "it is of a part of the suite"),
        (["--profile", "other"], "it is of profile other on cpu, and a gate takes profile quick on cpu here"),
        (["--pairs", "3"], "it is shorter than any gate"),
    ):
        done = bench("calibrate", "suites/tiny.toml", "--pairs", "5", *options)
        assert done.code in (0, 4) and done.out
        assert done.said[-1] == f"not kept: {said}"
        assert found(project) == good
    # Named as a gate takes it, and as many pairs as its shortest.
    assert bench("calibrate", "suites/tiny.toml", "--pairs", "5", "--profile", "quick", "--device", "cpu").code == 0
    assert found(project)["pairs"] == 5


def test_no_minutes_measure_nothing(bench: Typed, play: Callable[[Latency], list[Job]]) -> None:
    jobs = play(quiet)
    done = bench("calibrate", "suites/tiny.toml", "--minutes", "0")
    assert (done.code, done.out, jobs) == (4, "", [])
    assert "the budget of 0 min was spent in pair 1" in done.err.splitlines()[-1]
