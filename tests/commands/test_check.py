"""`bench check` finds what is wrong with suites and plugins without running anything."""

import shutil
from pathlib import Path

import pytest
from command_line import HEAD, ROOT, TINY, Project, Typed, acts, hourglass

from bench import plugins
from bench.commands import check


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the program, which may be spoilt."""
    copy = tmp_path / "program"
    for folder in ("bench", "archs", "suites"):
        shutil.copytree(ROOT / folder, copy / folder, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(plugins, "INSTALLED", copy)
    return copy


def test_everything_that_comes_with_bench_is_well(bench: Typed) -> None:
    done = bench("check")
    assert (done.code, done.out) == (0, "")
    assert done.err.splitlines() == [f"{name}: ok" for name in plugins.names("suite")]


def test_real_networks_are_built(project: Project) -> None:
    """Those of the smoke suite, and two that do not fit, each with its line."""
    project.suite(TINY.replace("size  = 16", "size  = 18") + "\n[profiles.quick]\nrounds = 2\n[profiles.gpu]\n")
    done = project.bench("check", "tiny", "smoke")
    lines = done.out.splitlines()
    assert [line.partition(": size 18x18 is not divisible by 8")[0] for line in lines] == [
        "suites/tiny.toml:16: variant 'a'",
        "suites/tiny.toml:22: variant 'b'",
    ]
    assert done.err.splitlines() == ["tiny: 2 problem(s)", "smoke: ok"]
    assert (done.code, project.runs) == (2, [])


def test_a_fault_in_the_file_has_its_line(project: Project, bench: Typed) -> None:
    project.suite(TINY.replace("rounds ", "rouns "), "broken")
    done = bench("check", "broken", "tiny")
    assert done.out == "suites/broken.toml:6: unknown key 'rouns'; did you mean 'rounds'?\n"
    assert done.err.splitlines() == ["broken: 1 problem(s)", "tiny: ok"]
    assert done.code == 2


def test_a_suite_that_is_not_there(bench: Typed) -> None:
    done = bench("check", "smokes")
    assert (done.code, done.out) == (2, "smokes: no such suite; did you mean 'smoke'?\n")


def test_a_device_that_is_not_here(bench: Typed) -> None:
    done = bench("check", "tiny", "--device", "tpu")
    assert (done.code, done.err) == (2, "device tpu: unknown; write cpu, cuda or cuda:N\n")


def test_every_profile_is_checked(project: Project, bench: Typed) -> None:
    text = (
        HEAD
        + acts(a="")
        + '\n[profiles.quick]\n[profiles.gpu]\n[profiles.gpu.variant.a]\noptions = { do = "not fit" }\n'
    )
    project.suite(text)
    done = bench("check", "tiny")
    assert done.code == 2
    assert "variant 'a': do = 'not fit': as asked" in done.out


def test_too_many_jobs_are_a_problem_of_the_suite(project: Project, bench: Typed) -> None:
    project.suite(HEAD.replace("rounds   = 1", "rounds = 99999") + acts(a=""))
    done = bench("check", "tiny")
    assert done.code == 2
    assert "100,000 jobs, at most 10,000" in done.out + done.err


def test_a_network_that_profiles_share_is_built_once(project: Project) -> None:
    from bench.suite import load_suite

    path = project.suite(HEAD + hourglass("a", 4) + hourglass("same", 4) + hourglass("c", 8))
    built: set[str] = set()
    first = check.not_yet_built(load_suite(path), built)
    assert [variant.name for variant in first.variants] == ["a", "c"]
    assert check.not_yet_built(load_suite(path), built).variants == ()
    path.write_text(path.read_text().replace("size  = 16", "size  = 32"))
    assert [variant.name for variant in check.not_yet_built(load_suite(path), built).variants] == ["a", "c"]


@pytest.mark.parametrize(
    ("file", "old", "new", "said"),
    [
        ("bench/worker/modes/amp.py", "def prove(", "def proof(", "amp.py: defines no function prove()"),
        ("bench/worker/modes/amp.py", "ORDER = ", "ORDR = ", "amp.py:1: no ORDER; see CONTRIBUTING.md"),
        ("bench/worker/measures/infer.py", "PHASE = ", "PHASES = ", "infer.py:1: no PHASE; see CONTRIBUTING.md"),
        ("bench/worker/datasets/random.py", "def load(", "def read(", "random.py: defines no function load()"),
        ("bench/renderers/csv.py", '"""For', '# """For', "csv.py:"),
        ("bench/worker/metrics/pckh.py", "HEADLINE = ", "HEAD = ", "pckh.py:1: no HEADLINE; see CONTRIBUTING.md"),
        ("bench/worker/metrics/pckh.py", "BY_STACK = ", "STACK = ", "pckh.py:1: no BY_STACK; see CONTRIBUTING.md"),
        ("bench/worker/metrics/pckh.py", "def moved(", "def move(", "pckh.py: defines no function moved()"),
        ("bench/worker/metrics/pckh.py", "class Metric:", "class Metrics:", "pckh.py: defines no class Metric"),
        ("bench/worker/metrics/pckh.py", "def compute(", "def computed(", "class Metric has no method compute()"),
        ("archs/stacked_hourglass.py", "def build(", "def make(", "stacked_hourglass.py: defines no function build()"),
    ],
)
def test_what_a_plugin_lacks(bench: Typed, program: Path, file: str, old: str, new: str, said: str) -> None:
    path = program / file
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new, 1))
    kind = next(k for k, package in plugins.PACKAGES.items() if file.startswith(package.replace(".", "/")))
    name = path.stem
    if old.startswith('"""'):
        path.write_text("def render(table):\n    return ''\n")
        said = "csv.py:1: no docstring; its first line is the help text"
    assert any(said in problem for problem in check.plugin_problems(kind, name))


def test_every_plugin_is_looked_at(bench: Typed, program: Path) -> None:
    path = program / "bench" / "renderers" / "csv.py"
    path.write_text('"""For a spreadsheet."""\n')
    done = bench("check")
    assert done.code == 2
    assert done.out == f"{path}: defines no function render()\n"


def test_what_a_class_may_inherit_is_not_missed(bench: Typed, program: Path) -> None:
    path = program / "bench" / "worker" / "metrics" / "pckh.py"
    text = path.read_text()
    path.write_text(text.replace("class Metric:", "class Metric(Base):").replace("def compute(", "def computed("))
    assert check.plugin_problems("metric", "pckh") == []
