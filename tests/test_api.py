"""bench from Python: the straight line with its parts, and the three public functions."""

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest
import torch
from builders import trained
from command_line import HEAD, PROTOCOL, SCRIPTED, Project, acts
from jobs import ROOT, header, job, record
from torch import nn

import bench
from bench import api, host, own, store
from bench.engines import local
from bench.errors import Exit, NotComparable, StoreError, SuiteError, UsageError
from bench.record import Record, Value
from bench.suite import load_suite

SHORT: dict[str, Any] = {
    "min_samples": 3,
    "min_seconds": 0.0,
    "max_seconds": 0.1,
    "warmup_calls": 1,
    "warmup_seconds": 0.0,
    "warmup_limit": 0.02,
    "warmup_window": 0.01,
    "windows": 1,
    "window_seconds": 0.01,
}


class Small(nn.Module):
    """A network of one's own, of a class that a worker can import."""

    def __init__(self, width: int = 4) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, width, 3, padding=1)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.conv(image)
        return out


def make(width: int = 4) -> nn.Module:
    """A builder that a worker can import."""
    return Small(width)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A project in which workers are scripted."""
    monkeypatch.setattr(local, "COMMAND", (sys.executable, str(SCRIPTED)))
    monkeypatch.chdir(tmp_path)
    project = Project(tmp_path)
    monkeypatch.setenv("STAGE", str(project.stage))
    project.suite(HEAD + acts(a="", b="") + PROTOCOL)
    return project


def test_what_is_public_is_offered() -> None:
    assert dir(bench) == ["load_records", "measure", "run"]
    assert bench.run is api.run
    with pytest.raises(AttributeError, match="no attribute 'rnu'"):
        bench.rnu  # noqa: B018


@pytest.mark.parametrize(
    ("cuda", "profile", "device", "chosen"),
    [
        (False, None, None, ("quick", "cpu", "no CUDA device here")),
        (True, None, None, ("gpu", "cuda", "H200 is here")),
        (True, None, "cpu", ("quick", "cpu", "--device cpu")),
        (True, None, "cuda:1", ("gpu", "cuda:1", "--device cuda:1")),
        (True, "quick", None, ("quick", "cpu", "as asked")),
        (True, "gpu", None, ("gpu", "cuda", "as asked")),
        (True, "accuracy", None, ("accuracy", "cuda", "as asked")),
        (False, "accuracy", None, ("accuracy", "cpu", "as asked")),
        (False, "gpu", "cpu", ("gpu", "cpu", "as asked")),
    ],
)
def test_profile_and_device(
    monkeypatch: pytest.MonkeyPatch, cuda: bool, profile: str | None, device: str | None, chosen: tuple[str, str, str]
) -> None:
    monkeypatch.setattr(host, "has_cuda", lambda: (cuda, "H200 is here" if cuda else "no CUDA device here"))
    found = api.choose("stacked_speed", profile, device)
    assert (found.profile, found.device, found.why) == chosen


def test_the_gpu_profile_needs_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host, "has_cuda", lambda: (False, "no CUDA device here"))
    with pytest.raises(UsageError, match="device cuda: no CUDA device here; use cpu"):
        api.choose("stacked_speed", "gpu", None)


def outcome(variant: str = "a", status: str = "ok", mode: str = "fp32", flags: Sequence[str] = ()) -> Record:
    """A record of which the outcome alone counts."""
    of = job(variant=variant, mode=mode)
    values = [msgspec.structs.replace(value, flags=list(flags)) for value in record(job=of).values]
    return record(job=of, status=status, values=values)


OF: dict[str, Any] = {
    "variants": [{"name": "a"}, {"name": "b"}, {"name": "maybe", "optional": True}],
    "modes": {"fp32": {}, "rare": {"optional": True}},
}


@pytest.mark.parametrize(
    ("records", "planned", "code"),
    [
        ([outcome("a"), outcome("b")], 2, Exit.FINE),
        ([outcome("a"), outcome("b", "failed")], 2, Exit.FAILED),
        ([outcome("a"), outcome("b", "oom")], 2, Exit.FAILED),
        ([outcome("a"), outcome("b", "timeout")], 2, Exit.FAILED),
        ([outcome("a"), outcome("b", "crashed")], 2, Exit.FAILED),
        ([outcome("a"), outcome("b", "skipped")], 2, Exit.NOT_MEASURED),
        ([outcome("a", "failed"), outcome("b", "skipped")], 2, Exit.FAILED),
        ([outcome("a")], 2, Exit.NOT_MEASURED),
        ([outcome("a", flags=["mismatch"])], 1, Exit.FAILED),
        ([outcome("a", flags=["noisy"])], 1, Exit.FINE),
        ([outcome("a", "crashed"), outcome("a")], 1, Exit.FINE),
        ([outcome("a"), outcome("maybe", "failed")], 2, Exit.FINE),
        ([outcome("a"), outcome("a", "skipped", mode="rare")], 2, Exit.FINE),
        ([outcome("a"), outcome("b", "failed", mode="rare")], 2, Exit.FINE),
        ([], 0, Exit.FINE),
    ],
)
def test_the_exit_code_of_a_run(records: list[Record], planned: int, code: Exit) -> None:
    assert api.exit_code(OF, records, planned) == code


def prepared(project: Project) -> api.Prepared:
    return api.prepare(load_suite(project.folder / "suites" / "tiny.toml"), "cpu")


def test_each_record_is_on_disk_when_it_is_told(project: Project, tmp_path: Path) -> None:
    ready = prepared(project)
    told: list[api.Progress] = []
    folder = tmp_path / "results" / "tiny"
    folder.mkdir(parents=True)

    with store.new_run(folder, header("now")) as run:

        def tell(now: api.Progress) -> None:
            told.append(now)
            assert [r.id for r in store.read(run.path).records] == [p.record.id for p in told]

        api.execute(ready, ready.jobs, run, tell=tell)
    assert [(now.done, now.total) for now in told] == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert told[-1].left == 0 and all(now.left > 0 for now in told[:-1])
    assert all(now.record.machine == ready.machine for now in told)
    assert {now.record.environment["network"] for now in told} == set(ready.networks.values())


def test_a_run_stops_where_it_is_asked_to(project: Project, tmp_path: Path) -> None:
    ready = prepared(project)
    told: list[api.Progress] = []
    with store.new_run(tmp_path, header("now")) as run:
        api.execute(ready, ready.jobs, run, tell=told.append, stop=lambda: len(told) == 2)
    assert len(told) == len(store.read(run.path).records) == 2


def test_what_is_left_of_a_run(project: Project) -> None:
    ready = prepared(project)
    now = api.header_of(ready.suite, "now", ready.machine)
    done = [record(job=ready.jobs[0]), record(job=ready.jobs[1], status="failed")]
    left = api.jobs_left(ready, store.Loaded(Path("x"), now, done, []), now, force=False)
    assert left == ready.jobs[1:]
    with pytest.raises(NotComparable, match="planned with other options"):
        api.jobs_left(ready, store.Loaded(Path("x"), now, [record(5)], []), now, force=True)


def test_a_header_says_what_was_asked_where_and_of_which_code(project: Project) -> None:
    suite = load_suite(ROOT / "suites" / "smoke.toml")
    found = api.header_of(suite, "a-run", {"id": "x"}, ["bench", "run"])
    assert (found.run, found.suite["name"], found.machine) == ("a-run", "smoke", {"id": "x"})
    assert (found.command, found.seed, found.started[:2]) == (["bench", "run"], 0, "20")
    assert {"bench", "commit"} <= found.source.keys()


def test_nothing_to_measure_is_an_error(project: Project) -> None:
    suite = load_suite(project.folder / "suites" / "tiny.toml")
    with pytest.raises(UsageError, match="nothing to measure with these modes and measures; see: bench show tiny"):
        api.prepare(replace(suite, measures=()), "cpu")


def test_run_returns_the_file_of_the_run(project: Project) -> None:
    told: list[api.Progress] = []
    path = bench.run("tiny", results=project.results, tell=told.append)
    assert project.runs == [path]
    assert len(told) == len(store.read(path).records) == 4
    again = bench.run(project.folder / "suites" / "tiny.toml", results=project.results, device="cpu")
    assert store.runs(project.results) == [path, again]


def test_run_refuses_before_anything_is_written(project: Project) -> None:
    for call, error, words in (
        (lambda: bench.run("tinny", results=project.results), SuiteError, "did you mean 'tiny'"),
        (lambda: bench.run("tiny", profile="quick", results=project.results), UsageError, "unknown profile 'quick'"),
        (lambda: bench.run("tiny", device="tpu", results=project.results), UsageError, "device tpu: unknown"),
        (
            lambda: bench.run("tiny", results=project.folder / "suites" / "tiny.toml"),
            StoreError,
            "cannot write results",
        ),
    ):
        with pytest.raises(error, match=words):
            call()
    assert project.runs == []


COLUMNS = "suite run variant mode phase round attempt status why quantity unit better value low high flags how reason"


def test_a_frame_has_a_row_for_each_value(project: Project) -> None:
    project.suite(HEAD.replace("rounds   = 1", "rounds = 2") + acts(a="", b="fail") + PROTOCOL)
    path = bench.run("tiny", results=project.results)
    frame = bench.load_records(path)
    assert set(frame.columns) == {*COLUMNS.split(), "samples", "details", "machine", "started", "seconds", "origin"}
    values = sum(max(1, len(record.values)) for record in store.read(path).records)
    assert len(frame) == values == 6
    latency = frame[(frame.quantity == "latency") & (frame["round"] == 1)].iloc[0]
    assert (latency.variant, latency["mode"], latency.unit, latency.value) == ("a", "fp32", "s", 0.021)
    assert latency.samples == [0.021] * 3
    bad = frame[frame.variant == "b"]
    assert set(bad.status) == {"failed"} and set(bad.why) == {"ValueError: the middle layer is missing"}
    assert bad.quantity.isna().all()


def test_all_runs_below_a_folder_are_one_frame(project: Project) -> None:
    first = bench.run("tiny", results=project.results)
    second = bench.run("tiny", results=project.results)
    frame = bench.load_records(project.results)
    assert set(frame.run) == {first.stem, second.stem}
    assert len(frame) == 8


def test_what_is_no_run_cannot_be_loaded(project: Project) -> None:
    with pytest.raises(StoreError, match="cannot read"):
        bench.load_records(project.folder / "none.jsonl")
    assert bench.load_records(project.folder / "suites").empty


def test_a_live_module_is_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By real workers, which import its class from this file."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))
    network = Small(6)
    modes = {"last": {"channels_last": True}}
    image = torch.zeros(1, 3, 32, 32)
    frame = bench.measure(network, image, modes=modes, measures=("params", "infer"), rounds=1, device="cpu", **SHORT)
    assert set(frame.status) == {"ok"}, set(frame.why)
    params = frame[frame.quantity == "params"].iloc[0]
    assert (params.value, params.variant) == (6 * 3 * 9 + 6, "Small")
    latency = frame[frame.quantity == "latency"]
    assert set(latency["mode"]) == {"fp32", "last"} and (latency.value > 0).all()
    assert list(tmp_path.iterdir()) == [], "nothing is left behind"


def test_all_modes_are_a_ladder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a live module, by real workers; of all modes only two, since each is a process."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))
    some = {name: mode for name, mode in api.combinations().items() if name in ("fp32", "channels_last")}
    monkeypatch.setattr(api, "combinations", lambda device: some)
    frame = bench.measure(Small(6), (1, 3, 32, 32), modes="all", rounds=1, device="cpu", **SHORT)
    assert set(frame["mode"]) == {"fp32", "channels_last"} and set(frame.state) == {"measured"}, set(frame.reason)
    assert list(frame.latency) == sorted(frame.latency), "the fastest first"
    plain, last = (frame[frame["mode"] == name].iloc[0] for name in ("fp32", "channels_last"))
    assert plain.speedup == 1 and last.speedup == pytest.approx(plain.latency / last.latency)
    assert 0 <= last.error < 1e-5 and list(tmp_path.iterdir()) == []


def test_a_ladder_without_a_suite_is_short_unless_it_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    variant = own.variant_of("my.nets:build", (2, 3, 32, 48), {}, Path())
    suite = api.own_ladder(variant, "cpu", rounds=4, protocol={"max_seconds": 1.0}, wanted=["amp"])
    assert (suite.name, suite.rounds, list(suite.modes)) == ("my-nets-build-modes", 4, ["fp32", "amp"])
    assert (suite.protocol.max_seconds, suite.protocol.warmup_limit) == (1.0, 5.0)
    (network,) = suite.variants
    assert (network.infer, network.data["size"], network.data["options"]) == ({"batch": 2}, [32, 48], {"channels": 3})


def test_jobs_may_be_left_out(project: Project, tmp_path: Path) -> None:
    ready = prepared(project)
    with store.new_run(tmp_path, header("now")) as run:
        api.execute(ready, ready.jobs, run, leave_out=lambda job: job.variant == "a")
    records = store.read(run.path).records
    assert {record.job.variant for record in records} == {"b"} and len(records) == len(ready.jobs) // 2


def test_a_builder_is_measured_by_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))
    frame = bench.measure(
        "test_api:make", (1, 3, 32, 32), options={"width": 5}, measures=["params"], rounds=1, device="cpu"
    )
    assert frame[frame.quantity == "params"].iloc[0].value == 5 * 3 * 9 + 5


@pytest.mark.parametrize(
    ("model", "shape", "more", "words"),
    [
        ("stacked_hourglass", (3, 32, 32), {}, r"input of shape \(3, 32, 32\): give an image batch, \(B, C, H, W\)"),
        ("stacked_hourglass", (), {}, r"give an image batch"),
        ("stacked_hourglass", (0, 3, 64, 64), {}, "give an image batch"),
        ("staked_hourglass", (1, 3, 64, 64), {}, "unknown arch 'staked_hourglass'; did you mean 'stacked_hourglass'"),
        ("stacked_hourglass", (1, 3, 64, 64), {"measures": ["infr"]}, "unknown measure 'infr'; did you mean 'infer'"),
        ("stacked_hourglass", (1, 3, 64, 64), {"modes": {"x": {"am": 1}}}, "unknown mode 'am'; did you mean 'amp'"),
        ("stacked_hourglass", (1, 3, 64, 64), {"device": "tpu"}, "device tpu: unknown; write cpu, cuda or cuda:N"),
        (
            "stacked_hourglass",
            (1, 3, 64, 64),
            {"max_second": 1},
            "'max_second'; did you mean 'max_seconds'",
        ),
        ("stacked_hourglass", (1, 3, 64, 64), {"max_seconds": "1"}, "protocol: Expected `float`"),
        ("stacked_hourglass", (1, 3, 64, 64), {"rounds": 0}, "rounds = 0: must be at least 1"),
        ("stacked_hourglass", (1, 3, 64, 64), {"rounds": 0, "modes": "all"}, "rounds = 0: must be at least 1"),
        ("stacked_hourglass", (1, 3, 64, 64), {"device": "tpu", "modes": "all"}, "device tpu: unknown"),
        ("stacked_hourglass", (1, 3, 64, 64), {"modes": "al"}, "modes = 'al'; write \"all\", or a mapping"),
        ("my.nets", (1, 3, 64, 64), {}, "'my.nets' names no function; write package.module:function"),
    ],
)
def test_a_wrong_question_is_answered_before_anything_starts(
    monkeypatch: pytest.MonkeyPatch, model: str, shape: tuple[int, ...], more: dict[str, Any], words: str
) -> None:
    monkeypatch.setattr(local, "COMMAND", ("no-such-program",))
    with pytest.raises(UsageError, match=words):
        bench.measure(model, shape, **more)


def test_a_headline_is_the_phases_own_figure() -> None:
    latency = record().values[0]
    other = Value(quantity=msgspec.structs.replace(latency.quantity, name="other"), value=2.0)
    figures: dict[str, list[float]] = {}
    now = api._progress(record(values=[other, latency]), 1, 2, 3.0, figures)
    assert (now.quantity, now.interval and now.interval.value) == ("latency", 0.012)
    again = api._progress(record(1, values=[other]), 2, 2, 0.0, figures)
    assert again.quantity == "other"
    assert api._progress(record(2, values=[]), 2, 2, 0.0, figures).interval is None


def test_the_headline_of_accuracy_may_be_any_number() -> None:
    figures: dict[str, list[float]] = {}
    now = api._progress(trained("original", 60.0), 1, 2, 3.0, figures)
    assert (now.quantity, now.unit, now.interval and now.interval.value) == ("pckh.total", "%", 60.0)
    only = trained("slim", 60.0, change=-0.5)
    only = msgspec.structs.replace(only, values=[v for v in only.values if v.quantity.name.startswith("pckh_change")])
    below = api._progress(only, 2, 2, 0.0, figures)
    assert below.interval is not None and below.interval.value == -0.5
