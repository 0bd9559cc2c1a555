"""The pytest plugin, in pytests of their own: what it measures, what it refuses, and that it leaves others alone."""

import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from command_line import HEAD, PROTOCOL, SCRIPTED, SCRIPTED_ARCH, TINY, acts

pytest_plugins = ["pytester"]

ROOT = Path(__file__).parent.parent

HEAVY = {"torch", "pandas", "scipy", "numpy", "pydantic", "msgspec", "rich", "altair", "tomlkit", "click"}

SCRIPTED_WORKERS = f"""
import sys
from bench.engines import local
local.COMMAND = (sys.executable, {str(SCRIPTED)!r})
"""

SUITE = HEAD + "\n[modes.other]\nchannels_last = true\n" + acts(a="", b="fail", c="be absent", d="be wrong") + PROTOCOL

FIXED = """
def pytest_benchmark_generate_machine_info(config):
    return {"node": "x", "machine": "x86_64", "system": "Linux", "cpu": {}}
"""
"""Reading the processor takes pytest-benchmark a second, and clocks differ from one reading to the next."""


@pytest.fixture
def project(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """A folder with a suite, in which workers are scripted and any warning is an error."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), str(ROOT / "tests")]))
    monkeypatch.setenv("STAGE", str(pytester.path))
    for name in [name for name in os.environ if name.startswith("PYTEST_XDIST_")]:
        monkeypatch.delenv(name)  # these pytests have one process each, whoever runs this one
    for name, text in {"archs/scripted.py": SCRIPTED_ARCH, "suites/tiny.toml": SUITE}.items():
        (pytester.path / name).parent.mkdir(exist_ok=True)
        (pytester.path / name).write_text(text)
    pytester.makeini("[pytest]\nfilterwarnings = error\naddopts = --strict-markers --strict-config\n")
    pytester.makeconftest(SCRIPTED_WORKERS)
    return pytester


def typed(project: pytest.Pytester, *arguments: str, plugin: str = "bench.pytest_plugin") -> pytest.RunResult:
    return project.runpytest_subprocess("-p", plugin, "-p", "no:cacheprovider", *arguments, timeout=120)


def test_a_cell_is_measured(project: pytest.Pytester) -> None:
    project.makepyfile(
        """
        import pytest

        def test_default_mode(bench_case):
            case = bench_case("suites/tiny.toml", "a")
            assert case.latency == pytest.approx(0.02) == case.value("latency")
            assert case.record.status == "ok" and case.record.job.mode == "fp32"
            assert len(case.records) == 1 and case.flags == ()

        @pytest.mark.bench(rounds=3)
        def test_rounds(bench_case):
            case = bench_case("suites/tiny.toml", "a", "other")
            assert [record.job.round for record in case.records] == [0, 1, 2]
            assert len({record.environment["pid"] for record in case.records}) == 3, "fresh processes"
            cell = case.cell("latency")
            assert cell.low < case.latency < cell.high
            assert case.record.job.modes == {"channels_last": True}
            assert len(bench_case("suites/tiny.toml", "a", rounds=2).records) == 2, "the call goes before the marker"
        """
    )
    typed(project).assert_outcomes(passed=2)
    kept = [path for path in project.path.rglob("*.jsonl") if "runpytest-0" not in path.parts]
    assert kept == [], "nothing is kept but in pytest's temporary folder, unless it is asked for"


def test_what_goes_wrong_fails_with_the_records_reason(project: pytest.Pytester) -> None:
    project.makepyfile(
        """
        import pytest

        @pytest.mark.parametrize("variant", ["a", "b", "c", "d", "aa"])
        def test_variant(bench_case, variant):
            bench_case("suites/tiny.toml", variant)

        def test_quantity(bench_case):
            bench_case("suites/tiny.toml", "a").value("latencyy")

        def test_setting(bench_case):
            bench_case("suites/tiny.toml", "a", profil="quick")

        def test_device(bench_case):
            bench_case("suites/tiny.toml", "a", device="gpu")

        def test_suite(bench_case):
            bench_case("no_such_suite", "a")
        """
    )
    done = typed(project, "-rfs")
    done.assert_outcomes(passed=1, failed=7, skipped=1)
    said = done.stdout.str()
    for line in (
        "b/fp32/infer: failed: ValueError: the middle layer is missing",
        "c/fp32/infer: energy: no meter here",
        "d/fp32/infer: mismatch: the mode changes the answer",
        "unknown variant 'aa'; did you mean 'a'?",
        "a/fp32/infer: unknown quantity 'latencyy'; did you mean 'latency'?",
        "bench_case: unknown setting 'profil'; did you mean 'profile'?",
        "device gpu: unknown; write cpu, cuda or cuda:N",
        "no_such_suite: no such suite; ",
    ):
        assert line in said, line
    assert "Traceback" not in said and "pytest_plugin.py" not in said.split("short test summary")[0]


def test_runs_are_kept_where_the_ini_file_says(project: pytest.Pytester) -> None:
    project.makepyfile("def test_a(bench_case):\n    assert bench_case('suites/tiny.toml', 'a').latency > 0\n")
    typed(project, "-o", "bench_results=kept").assert_outcomes(passed=1)
    (run,) = project.path.rglob("*.jsonl")
    assert run.parent == project.path / "kept" / "tiny"
    header = json.loads(run.read_text().splitlines()[0])
    assert header["machine"]["id"] in run.stem


def test_side_by_side_it_fails(project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTEST_XDIST_WORKER_COUNT", "2")
    project.makepyfile("def test_a(bench_case):\n    bench_case('suites/tiny.toml', 'a')\n")
    done = typed(project, "-rs")
    done.assert_outcomes(failed=1)
    assert "run this test without -n" in done.stdout.str()


def test_a_real_network(project: pytest.Pytester) -> None:
    (project.path / "suites" / "tiny.toml").write_text(TINY)
    project.makeconftest("")
    project.makepyfile(
        """
        def test_a(bench_case):
            case = bench_case("suites/tiny.toml", "a")
            assert 0 < case.latency < 10
            assert case.value("throughput") > 0
            assert case.record.environment["module"].endswith("stacked_hourglass.py")
        """
    )
    typed(project).assert_outcomes(passed=1)


def test_importing_the_plugin_is_light() -> None:
    code = "import sys, bench.pytest_plugin; print(*sys.modules)"
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=60)
    assert not {name.partition(".")[0] for name in done.stdout.split()} & HEAVY


@pytest.fixture
def installed(project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """The entry point as pyproject.toml has it, as pip would write it down."""
    points = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["entry-points"]["pytest11"]
    assert list(points.values()) == ["bench.pytest_plugin"]
    folder = project.mkdir("site") / "archbench-0.0.0.dist-info"
    folder.mkdir()
    lines = [f"{name} = {target}" for name, target in points.items()]
    (folder / "entry_points.txt").write_text("\n".join(["[pytest11]", *lines]))
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: archbench\nVersion: 0.0.0\n")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(folder.parent), os.environ["PYTHONPATH"]]))
    return project


@pytest.mark.parametrize("how", ["entry point", "and -p", "and conftest"])
def test_installed_it_is_loaded_once(installed: pytest.Pytester, how: str) -> None:
    installed.makepyfile("def test_a(bench_case):\n    assert bench_case('suites/tiny.toml', 'a').latency > 0\n")
    if how == "and conftest":
        installed.makeconftest(SCRIPTED_WORKERS + "pytest_plugins = ['bench.pytest_plugin']\n")
    arguments = ["-p", "bench.pytest_plugin"] if how == "and -p" else []
    installed.runpytest_subprocess(*arguments, "-p", "no:cacheprovider", timeout=120).assert_outcomes(passed=1)


def test_without_pytest_benchmark_it_is_no_matter(project: pytest.Pytester) -> None:
    project.makepyfile("def test_a():\n    pass\n")
    typed(project, "-p", "no:benchmark").assert_outcomes(passed=1)


@pytest.fixture
def timed(project: pytest.Pytester) -> pytest.Pytester:
    """A project of somebody who uses pytest-benchmark alone."""
    project.makeconftest(FIXED)
    project.makepyfile("def test_a(benchmark):\n    benchmark.pedantic(lambda: None, rounds=3)\n")
    return project


def saved(project: pytest.Pytester) -> Path:
    (path,) = (project.path / ".benchmarks").rglob("*.json")
    return path


def test_saved_figures_say_which_machine_they_are_of(timed: pytest.Pytester) -> None:
    typed(timed, "--benchmark-save=a").assert_outcomes(passed=1)
    identity = json.loads(saved(timed).read_text())["machine_info"]["bench"]
    assert {"id", "cpu", "gpus", "torch"} <= identity.keys()
    typed(timed, "--benchmark-compare=0001").assert_outcomes(passed=1)


def test_another_machine_is_refused(timed: pytest.Pytester) -> None:
    typed(timed, "--benchmark-save=a").assert_outcomes(passed=1)
    path = saved(timed)
    page = json.loads(path.read_text())
    page["machine_info"]["bench"] |= {"id": "00000000", "gpus": [{"name": "Other GPU"}]}
    path.write_text(json.dumps(page))
    refused = typed(timed, "--benchmark-compare=0001")
    assert refused.ret == pytest.ExitCode.USAGE_ERROR
    said = refused.stderr.str()
    assert (
        "are of another machine: 00000000, this one is " in said
        and "gpus [] instead of [{'name': 'Other GPU'}]" in said
    )
    assert "--bench-allow-other-machine" in said and "Traceback" not in said
    allowed = typed(timed, "--benchmark-compare=0001", "--bench-allow-other-machine", "-W", "default")
    allowed.assert_outcomes(passed=1)
    assert "another machine: 00000000" in allowed.stdout.str() + allowed.stderr.str()


def test_files_from_before_compare_as_they_did(timed: pytest.Pytester) -> None:
    """Any warning would be an error here: the identity that is new must not count as a difference."""
    typed(timed, "--benchmark-save=a", plugin="no:bench.pytest_plugin").assert_outcomes(passed=1)
    assert "bench" not in json.loads(saved(timed).read_text())["machine_info"]
    typed(timed, "--benchmark-compare=0001", "-W", "error").assert_outcomes(passed=1)


def test_a_difference_that_pytest_benchmark_sees_is_still_told(timed: pytest.Pytester) -> None:
    typed(timed, "--benchmark-save=a", plugin="no:bench.pytest_plugin").assert_outcomes(passed=1)
    timed.makeconftest(FIXED.replace("x86_64", "arm64"))
    done = typed(timed, "--benchmark-compare=0001", "-W", "default")
    assert "Benchmark machine_info is different" in done.stdout.str() + done.stderr.str()
