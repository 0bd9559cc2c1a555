"""Files of pytest-benchmark, its own and ours, as a side of a comparison."""

import json
from pathlib import Path
from typing import Any

import pytest
from builders import SUITE, records
from command_line import Project, Typed
from jobs import header

from bench import store
from bench.compare import compare
from bench.compare.side import Key, of_run
from bench.errors import UsageError
from bench.page import page
from bench.pytest_benchmark_json import PHASE, read
from bench.store import Loaded

STORED = Path(__file__).parent / "benchmarks" / "stored" / "Linux-CPython-3.11-64bit" / "0001_baseline.json"

CPU = {"cpu": {"brand_raw": "Example CPU", "count": 4}, "system": "Linux", "machine": "x86_64", "node": "a-host"}


def saved(*benchmarks: dict[str, Any], **other: Any) -> bytes:
    return json.dumps({"machine_info": CPU, "benchmarks": list(benchmarks), "version": "5.1.0"} | other).encode()


def benchmark(mean: float = 0.01, name: str = "test_a", *, data: list[float] | None = None, **other: Any) -> Any:
    stats = {"mean": mean, "stddev": mean / 100, "rounds": 100, "min": mean} | ({"data": data} if data else {})
    return {"fullname": f"tests/x.py::{name}", "name": name, "params": None, "extra_info": {}, "stats": stats} | other


def run() -> Loaded:
    return Loaded(Path("a-run.jsonl"), header("a-run", suite=SUITE, machine=records()[0].machine), records(), [])


def test_ours_is_read_as_what_it_was_written_from() -> None:
    ours, theirs = of_run(run()), read("ours.json", page(run(), "pytest_benchmark").encode())
    times = {
        key: figure
        for key, figure in ours.figures.items()
        if figure.quantity.unit == "s" and figure.cell.value and not figure.struck
    }
    assert theirs.figures.keys() == times.keys()
    for key, figure in times.items():
        again = theirs.figures[key]
        assert again.cell.value == pytest.approx(figure.cell.value), key
        assert (again.fields, again.cell.flags) == (figure.fields, figure.cell.flags), key
    found = compare(ours, theirs)
    assert set(found.counts) == {"same"}
    assert found.differences == ()


def test_a_stored_baseline_against_itself() -> None:
    side = read(str(STORED), STORED.read_bytes())
    found = compare(side, side)
    assert found.counts == {"same": len(side.figures)} and len(side.figures) > 3
    assert {key.phase for key in side.figures} == {PHASE}
    assert all("no samples in the file" in figure.told for figure in side.figures.values())


@pytest.mark.parametrize(("factor", "verdict"), [(1.5, "worse"), (0.5, "better"), (1.0001, "same")])
@pytest.mark.parametrize("data", [None, [0.01, 0.0101]])
def test_two_of_theirs(factor: float, verdict: str, data: list[float] | None) -> None:
    a, b = read("a.json", saved(benchmark(data=data))), read("b.json", saved(benchmark(0.01 * factor, data=data)))
    (found,) = compare(a, b).comparisons
    assert (found.verdict, found.key) == (verdict, Key(PHASE, "tests/x.py::test_a", "", "time"))
    assert found.change and found.change.value == pytest.approx(factor)
    assert "in one process" in found.notes[0] and ("no samples in the file" in found.notes[0]) == (data is None)


def test_another_machine_is_refused() -> None:
    other = {"machine_info": CPU | {"cpu": {"brand_raw": "Other CPU", "count": 4}}}
    found = compare(read("a.json", saved(benchmark())), read("b.json", saved(benchmark(), **other)))
    assert found.counts == {"not comparable": 1} and not found.comparable
    assert [one.what for one in found.differences] == ["machine.cpu", "machine"][::-1]
    same_kind = {"machine_info": CPU | {"node": "another-host"}}
    assert compare(read("a.json", saved(benchmark())), read("b.json", saved(benchmark(), **same_kind))).comparable


@pytest.mark.parametrize(
    ("other", "key"),
    [
        ({"extra_info": {"variant": "original", "mode": "fp32"}}, Key("infer", "original", "fp32", "latency")),
        (
            {"extra_info": {"variant": "original", "mode": "fast", "phase": "train", "quantity": "train_step"}},
            Key("train", "original", "fast", "train_step"),
        ),
        ({"params": {"variant": "original", "mode": "fp32"}}, Key("infer", "original", "fp32", "latency")),
        ({"params": {"size": 3}}, Key(PHASE, "tests/x.py::test_a", "", "time")),
    ],
)
def test_a_benchmark_names_its_cell(other: dict[str, Any], key: Key) -> None:
    assert list(read("a.json", saved(benchmark(**other))).figures) == [key]


def test_two_tests_of_one_cell_are_both_kept() -> None:
    named = {"extra_info": {"variant": "original", "mode": "fp32"}}
    side = read("a.json", saved(benchmark(**named), benchmark(name="test_b", **named)))
    assert list(side.figures) == [
        Key("infer", "original", "fp32", "latency"),
        Key(PHASE, "tests/x.py::test_b", "", "time"),
    ]


def test_a_run_and_a_test_of_the_same_cell_have_a_ratio_but_no_verdict() -> None:
    machine = {"machine_info": CPU | {"bench": records()[0].machine}}
    theirs = saved(benchmark(0.4, extra_info={"variant": "original", "mode": "fp32"}), **machine)
    (found,) = compare(of_run(run()), read("theirs.json", theirs)).comparisons
    assert (found.verdict, found.why.partition(",")[0]) == ("cannot tell", "timed by pytest-benchmark")
    assert found.change and found.change.value == pytest.approx(0.4 / 0.448, rel=0.05)
    unknown = saved(benchmark(0.4, extra_info={"variant": "original", "mode": "fp32"}))
    (found,) = compare(of_run(run()), read("theirs.json", unknown)).comparisons
    assert found.verdict == "not comparable" and found.why.startswith("machine ")


def test_a_mean_that_is_no_time() -> None:
    (figure,) = read("a.json", saved(benchmark(0.0))).figures.values()
    assert (figure.cell.value, figure.cell.reason) == (None, "its mean is 0 s")


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b'{"benchmarks": [', "x.json: not JSON, perhaps torn ("),
        (b"", "x.json: not JSON, perhaps torn ("),
        (b"\xff\xfe", "x.json: not JSON, perhaps torn ("),
        (b'{"benchmarks": [NaN]}', "x.json: not JSON, perhaps torn ("),
        (b"[1]", "x.json: not a file of pytest-benchmark ("),
        (b'{"cells": []}', "x.json: not a file of pytest-benchmark (Object missing required field `benchmarks`)"),
        (
            b'{"benchmarks": [{"fullname": "a", "stats": {"mean": 1}}]}',
            "x.json: not a file of pytest-benchmark (Object missing required field `stddev` - at `$.benchmarks[0]",
        ),
        (
            b'{"benchmarks": [{"fullname": "a", "stats": {"mean": 1, "stddev": 0, "rounds": 0}}]}',
            "x.json: benchmarks[0] (a) has no rounds; leave it out",
        ),
    ],
)
def test_torn_and_foreign_files(data: bytes, said: str) -> None:
    with pytest.raises(UsageError) as error:
        read("x.json", data)
    assert str(error.value).startswith(said) and "\n" not in str(error.value)


def test_on_the_command_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    project = Project(tmp_path)
    bench = Typed(project, monkeypatch, capsys)
    folder = project.results / "made_up"
    folder.mkdir(parents=True)
    with store.new_run(folder, run().header) as opened:
        for record in records():
            store.append(opened, record)
    written = bench("report", "made_up", "--format", "pytest_benchmark")
    project.write("ours.json", written.out)
    project.write("a.json", saved(benchmark(0.01)).decode())
    project.write("b.json", saved(benchmark(0.02)).decode())
    project.write("torn.json", written.out[:200])
    same = bench("compare", "made_up", "ours.json")
    assert (same.code, same.err) == (0, "") and "B is worse" not in same.out and "the same: --all" in same.out
    theirs = bench("compare", "a.json", "b.json")
    assert theirs.code == 0 and "B is worse (1)" in theirs.out and "in one process" in theirs.out
    nothing = bench("compare", "made_up", "a.json")
    assert (nothing.code, nothing.out, len(nothing.err.splitlines())) == (6, "", 1)
    torn = bench("compare", "made_up", "torn.json")
    assert (torn.code, torn.out, len(torn.err.splitlines())) == (2, "", 1)
