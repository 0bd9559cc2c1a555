"""Whatever is wrong with what was asked is one clear line with exit code 2, before anything is run or written."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest
from command_line import HEAD, PROTOCOL, TINY, Project, Typed, acts, copy_of_program, files_below, hourglass
from jobs import header

from bench import host, store
from bench.engines import local
from bench.record import FORMAT


@pytest.fixture(autouse=True)
def no_worker(monkeypatch: pytest.MonkeyPatch, project: Project) -> Callable[[], bool]:
    """A worker that leaves a trace when it is started, and answers nothing."""
    trace = project.folder / "trace"
    monkeypatch.setattr(local, "COMMAND", ("touch", str(trace), "--"))
    return trace.exists


class Bad(NamedTuple):
    """A fault: the last `old` in the suite becomes `new`, and one line says `said`."""

    old: str
    new: str
    said: str


NOT_THE_SUITE = [
    Bad("size  = 16", "size  = ", "not valid TOML: Invalid value (at line 10, column 9); mend this line"),
    Bad('task     = "pose"', 'task = "pose"\nrouns = 3', "unknown key 'rouns'; did you mean 'rounds'?"),
    Bad('"stacked_hourglass"', '"staked_hourglass"', "unknown architecture 'staked_hourglass'; did you mean 'stacked_"),
    Bad("features = 8", "feature = 8", "unknown option 'feature'; did you mean 'features'?"),
    Bad("[modes.fp32]", "[modes.fp32]\nam = true", "unknown key of a mode 'am'; did you mean 'amp'?"),
    Bad('"infer"', '"infr"', "unknown measure 'infr'; did you mean 'infer'?"),
    Bad('"random"', '"randon"', "unknown data set 'randon'; did you mean 'random'?"),
    Bad("rounds   = 1", 'rounds = 1\ntrain = { recipe = "adm_hourglass" }', "unknown recipe 'adm_hourglass'; did you"),
    Bad("rounds   = 1", 'rounds   = "1"', 'rounds = "1": expected a whole number; write it without quotes'),
    Bad("val   = 4", "val   = 4\n[infer]\nbatch = -1", "batch = -1: must be at least 1; write 1 or more"),
    Bad("features = 8", 'features = "8"', 'features = "8": expected int; the default is 128'),
    Bad('name = "b"', 'name = "a"', "two variants are called 'a'; write another name"),
    Bad(
        "stacks = 1, features = 8, depth = 1 }", "}\nsweep = { depth = [1, 2] }", "gives several variants the name 'b'"
    ),
    Bad("rounds   = 1", "rounds = 1\ntrain = { samples = 9, epochs = 1 }", "samples and epochs both say"),
    Bad('baseline = "a"', 'baseline = "A"', "baseline 'A' is no variant; one of: a, b"),
]


@pytest.mark.parametrize("bad", NOT_THE_SUITE, ids=lambda bad: bad.new[:30])
def test_a_fault_in_the_suite(project: Project, bench: Typed, no_worker: Callable[[], bool], bad: Bad) -> None:
    assert bad.old in TINY
    head, _, tail = TINY.rpartition(bad.old)
    project.suite(head + bad.new + tail)
    done = bench("run", "tiny")
    (line,) = done.said
    assert line.startswith("suites/tiny.toml:") and bad.said in line
    assert int(line.split(":")[1]) > 0
    assert (done.code, done.out) == (2, "")
    assert not no_worker() and not project.results.exists()


def test_all_faults_are_told_at_once_in_the_order_of_their_lines(project: Project, bench: Typed) -> None:
    project.suite(TINY.replace("size  = 16", "size  = 0").replace("features = 8", "feature = 8").replace("rou", "ru"))
    done = bench("run", "tiny")
    lines = [int(line.split(":")[1]) for line in done.said]
    assert len(lines) == 3 and lines == sorted(lines)


class Wrong(NamedTuple):
    """A command line, and its answer."""

    arguments: str
    said: str


ON_THE_COMMAND_LINE = [
    Wrong("run tinny", "tinny: no such suite; did you mean 'tiny'?"),
    Wrong("run suites/tinny.toml", "suites/tinny.toml: no such suite; did you mean 'tiny'?"),
    Wrong("run suites", "suites: no such suite; one of:"),
    Wrong("run tiny --profile quick", "suites/tiny.toml: unknown profile 'quick'; there are none"),
    Wrong("run tiny --variant aa", "unknown variant 'aa'; did you mean 'a'?"),
    Wrong("run tiny --mode fp23", "unknown mode 'fp23'; did you mean 'fp32'?"),
    Wrong("run tiny --measure infr", "unknown measure 'infr'; did you mean 'infer'?"),
    Wrong("run tiny --rounds 0", "rounds 0: must be at least 1; write 1 or more"),
    Wrong("run tiny --rounds many", "Invalid value for '--rounds': 'many' is not a valid integer; see: "),
    Wrong("run tiny --seed -1", "seed -1: must be at least 0"),
    Wrong("run tiny --timeout 0", "timeout 0.0: must be at least 1"),
    Wrong("run tiny --device tpu", "device tpu: unknown; write cpu, cuda or cuda:N"),
    Wrong("run tiny --device cuda:x", "device cuda:x: unknown; write cpu, cuda or cuda:N"),
    Wrong("run tiny --device cuda", "device cuda: no CUDA device here; use cpu"),
    Wrong("run tiny --device cuda:1", "device cuda:1: no CUDA device here; use cpu"),
    Wrong("run tiny --profile gpu", "device cuda: no CUDA device here; use cpu"),
    Wrong("run tiny --data random", "'random': write NAME=PATH, such as mpii=/data/mpii; see: "),
    Wrong("run tiny --data random=", "'random=': write NAME=PATH"),
    Wrong("run tiny --data random=.", "data set 'random' is made, it reads no files; leave --data out"),
    Wrong("run tiny --data randm=.", "the suite uses no data set 'randm'; did you mean 'random'?"),
    Wrong(
        "run tiny --format jsn",
        "'jsn' is not one of 'csv', 'json', 'latex', 'markdown', 'pytest_benchmark'",
    ),
    Wrong("run tiny --fromat json", "No such option '--fromat'. Did you mean '--format'?; see: "),
    Wrong("run", "Missing argument 'SUITE'; see: "),
    Wrong("run tiny smoke", "Got unexpected extra argument (smoke); see: "),
    Wrong("run tiny --resume latest", "no run 'latest' under results/; there are none"),
    Wrong("run tiny --resume x.jsonl", "x.jsonl: no such file"),
    Wrong(
        "run tiny --rounds 5000", "suites/tiny.toml: 10,002 jobs, at most 10,000; lower the rounds or split the sweep"
    ),
    Wrong("run tiny --results suites/tiny.toml", "suites/tiny.toml/tiny: cannot write results here (Not a directory)"),
    Wrong("run tiny --results /proc/results", "/proc/results/tiny: cannot write results here ("),
    Wrong("run tiny --mode fp32 --measure train_time", "unknown measure 'train_time'; one of: infer, params"),
]


@pytest.mark.parametrize("wrong", ON_THE_COMMAND_LINE, ids=lambda wrong: wrong.arguments)
def test_a_fault_on_the_command_line(
    project: Project, bench: Typed, no_worker: Callable[[], bool], monkeypatch: pytest.MonkeyPatch, wrong: Wrong
) -> None:
    monkeypatch.setattr(host, "gpus", list)
    before = files_below(project.folder)
    done = bench(*wrong.arguments.split())
    (line,) = done.said
    assert wrong.said in line
    assert (done.code, done.out) == (2, "")
    assert not no_worker() and files_below(project.folder) == before


def test_a_torch_without_cuda_is_told_from_a_machine_without(
    project: Project, bench: Typed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(host, "gpus", lambda: [{"name": "H200"}])
    monkeypatch.setattr(host, "find_spec", lambda _: None)
    done = bench("run", "tiny", "--device", "cuda")
    assert done.code == 2
    assert done.said[0].startswith("device cuda: H200 is here, but torch ")
    assert done.said[0].endswith(" was built without CUDA; use cpu")


def newer(project: Project, where: str) -> Path:
    """A run of which the header or a record has a format that nobody knows yet."""
    folder = project.results / "tiny"
    folder.mkdir(parents=True)
    name = "20260101T000000Z-3f2a91c0"
    with store.new_run(folder, header(name, suite={"name": "tiny"})) as run:
        path = run.path
    number = f'"format":{FORMAT + 1}'
    if where == "header":
        line = json.loads(path.read_text()) | {"format": FORMAT + 1}
        path.write_text(json.dumps(line) + "\n")
    else:
        path.write_text(path.read_text() + '{"type":"record",' + number + ',"new":"layout"}\n')
    return path


@pytest.mark.parametrize("where", ["header", "record"])
def test_a_run_of_a_newer_format(project: Project, bench: Typed, where: str) -> None:
    path = newer(project, where)
    before = path.read_bytes()
    for arguments in (
        ["report", "tiny"],
        ["report", str(path)],
        ["show", path.stem],
        ["run", "tiny", "--resume", "tiny"],
    ):
        done = bench(*arguments)
        (line,) = done.said
        assert line.endswith("upgrade with: pip install --upgrade archbench")
        assert f"{path.name}:{1 if where == 'header' else 2}: written in format {FORMAT + 1}" in line
        assert (done.code, done.out) == (2, "")
    assert path.read_bytes() == before


def test_a_run_of_another_suite_cannot_be_resumed(project: Project, bench: Typed) -> None:
    """Told before its profile is looked for in this suite."""
    folder = project.results / "smoke"
    folder.mkdir(parents=True)
    with store.new_run(folder, header(suite={"name": "smoke"}, profile="quick")) as run:
        path = run.path
    done = bench("run", "tiny", "--resume", path.stem)
    assert done.said == [f"results/smoke/{path.name}: a run of suite 'smoke', not of 'tiny'"]
    assert done.code == 2


NOT_BUILT = (
    HEAD
    + hourglass("a", 4)
    + hourglass("odd", 4, "data = { size = 18 }")
    + hourglass("none", 4).replace("stacks = 1", "stacks = 0")
    + '\n[[variants]]\nname = "elsewhere"\narch = "no_such_package:make"\n'
    + '\n[[variants]]\nname = "broken"\narch = "broken"\n'
    + PROTOCOL
)

BROKEN = '''"""Fails where its shapes are computed."""

import torch
from torch import nn


def build(joints: int = 16) -> nn.Module:
    """Channels that do not fit."""
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.Conv2d(5, joints, 3))
'''


def test_networks_that_cannot_be_built_each_at_its_line(project: Project) -> None:
    """A real worker builds them on the meta device; nothing is measured and nothing is written."""
    project.suite(NOT_BUILT)
    project.write("archs/broken.py", BROKEN)
    done = project.bench("run", "tiny")
    lines = NOT_BUILT.splitlines()

    def at(text: str) -> int:
        return next(number for number, line in enumerate(lines, 1) if text in line)

    assert done.said[:3] == [
        f"suites/tiny.toml:{at(chr(34) + 'odd') - 1}: variant 'odd': size 18x18 is not divisible by 8 "
        "(4 x 2^depth, depth 1)",
        f"suites/tiny.toml:{at('stacks = 0')}: variant 'none': stacks = 0: must be at least 1",
        f"suites/tiny.toml:{at('elsewhere') - 1}: variant 'elsewhere': "
        "ModuleNotFoundError: No module named 'no_such_package'",
    ]
    assert done.said[3].startswith(f"suites/tiny.toml:{at('name = ' + chr(34) + 'broken') - 1}: variant 'broken': ")
    assert len(done.said) == 4
    assert (done.code, done.out, project.runs) == (2, "", [])


@pytest.fixture
def extended(tmp_path: Path) -> Path:
    """A copy of the program with a mode that does not go with amp, and a data set that reads files."""
    program = copy_of_program(tmp_path)
    worker = program / "bench" / "worker"
    amp = (worker / "modes" / "channels_last.py").read_text()
    lines = ['EXCLUDES = ("amp",)' if line.startswith("EXCLUDES") else line for line in amp.splitlines()]
    (worker / "modes" / "contrary.py").write_text("\n".join(lines) + "\n")
    random = (worker / "datasets" / "random.py").read_text()
    assert "joints: int = 16" in random
    files = random.replace("joints: int = 16", 'joints: int = 16, path: str = ""', 1)
    (worker / "datasets" / "files.py").write_text(files)
    return program


def test_modes_that_exclude_each_other(project: Project, extended: Path) -> None:
    project.suite(TINY.replace("[modes.fp32]", '[modes.fp32]\n[modes.both]\ncontrary = true\namp = "bfloat16"'))
    done = project.bench("run", "tiny", program=extended)
    assert done.said == ["suites/tiny.toml:17: 'contrary' and 'amp' exclude each other; write them as two modes"]
    assert (done.code, project.runs) == (2, [])


def test_data_that_do_not_exist(project: Project, extended: Path) -> None:
    project.suite(TINY.replace('"random"', '"files"'))
    done = project.bench("run", "tiny", "--data", "files=/no/such/folder", program=extended)
    assert done.said == ["--data files=/no/such/folder: no such file or folder; write where files lies"]
    assert (done.code, project.runs) == (2, [])


def test_a_variant_that_is_not_fit_leaves_no_run(
    project: Project, bench: Typed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()
    project.suite(HEAD + acts(a="", b="not fit"))
    done = project.bench("run", "tiny", scripted=True)
    assert len(done.said) == 1 and "variant 'b': do = 'not fit': as asked" in done.said[0]
    assert (done.code, project.runs) == (2, [])
