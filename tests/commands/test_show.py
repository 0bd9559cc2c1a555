"""`bench show` says everything about one thing, whatever kind of thing it is."""

import json
from pathlib import Path

import pytest
from command_line import HEAD, PROTOCOL, TINY, Done, Project, Typed, acts

from bench import plugins, store


@pytest.fixture
def run(project: Project, bench: Typed) -> Path:
    """A run by scripted workers, of two rounds."""
    project.suite(HEAD.replace("rounds   = 1", "rounds = 2") + acts(a="", b="fail") + PROTOCOL)
    bench("run", "tiny")
    return project.runs[0]


def test_an_architecture_with_its_options(bench: Typed) -> None:
    done = bench("show", "stacked_hourglass")
    assert (done.code, done.err) == (0, "")
    lines = done.out.splitlines()
    file = plugins.path("arch", "stacked_hourglass")
    assert lines[0] == f"arch stacked_hourglass: {plugins.help_line('arch', 'stacked_hourglass')}"
    assert lines[1] == f"file: {file}"
    options = plugins.options(file, "build")
    assert [line.split(":")[0].strip() for line in lines[2:]] == list(options)
    assert "  stacks: int = 8" in lines


@pytest.mark.parametrize("kind", sorted(plugins.PACKAGES))
def test_every_plugin_can_be_shown(bench: Typed, kind: str) -> None:
    for name in plugins.names(kind):
        done = bench("show", name)
        assert done.code == 0
        assert f"{kind} {name}: {plugins.help_line(kind, name)}" in done.out.splitlines()


def test_what_bench_fills_in_is_no_option(bench: Typed) -> None:
    assert "joints: int = 16" in bench("show", "random").out
    assert not {"split", "size", "count"} & {
        line.split(":")[0].strip() for line in bench("show", "random").out.split("\n")
    }
    assert "  option: " in bench("show", "amp").out


def test_a_suite_and_a_recipe_as_they_are_written(bench: Typed) -> None:
    assert bench("show", "tiny").out == TINY + "\n"
    assert "optimizer" in bench("show", "adam_hourglass").out


def test_a_run(bench: Typed, run: Path) -> None:
    for name in (run.stem, str(run)):
        done = bench("show", name)
        assert (done.code, done.err) == (0, "")
        lines = done.out.splitlines()
        assert lines[0] == f"run {run.stem}: suite tiny, profile none"
        assert lines[1].startswith(f"machine {run.stem.split('-')[1]}: ")
        assert len(lines) == 3 + len(store.read(run).records)
        assert any("b/static round 1  failed: ValueError: the middle layer is missing  " in line for line in lines)


def test_a_cell_is_json_with_every_raw_sample(measured: tuple[Project, Done]) -> None:
    project, _ = measured
    done = project.bench("show", "a/fp32/infer")
    assert (done.code, done.err) == (0, "")
    record = json.loads(done.out)
    (latency,) = [value for value in record["values"] if value["quantity"]["name"] == "latency"]
    stored = next(r for r in store.read(project.runs[0]).records if r.job.cell == "a/fp32/infer")
    assert latency["samples"] == next(v for v in stored.values if v.quantity.name == "latency").samples
    assert latency["samples"]


def test_a_cell_of_several_rounds(bench: Typed, run: Path) -> None:
    decoder, text, found = json.JSONDecoder(), bench("show", "a/fp32/infer").out, []
    while text.strip():
        record, length = decoder.raw_decode(text.lstrip())
        found.append(record)
        text = text.lstrip()[length:]
    assert [record["job"].get("round", 0) for record in found] == [0, 1]


def test_a_record_by_the_beginning_of_its_id(bench: Typed, run: Path) -> None:
    record = store.read(run).records[0]
    assert json.loads(bench("show", record.id[:8]).out)["id"] == record.id


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("staked_hourglass", "did you mean 'stacked_hourglass'?"),
        ("chanels_last", "did you mean 'channels_last'?"),
        ("tinny", "did you mean 'tiny'?"),
        ("zzz", "one of: "),
    ],
)
def test_an_unknown_name(bench: Typed, name: str, hint: str) -> None:
    done = bench("show", name)
    assert (done.code, done.out) == (2, "")
    (line,) = done.err.splitlines()
    assert line.startswith(f"nothing is called '{name}'; {hint}")


def test_a_run_that_is_mistyped(bench: Typed, run: Path) -> None:
    assert bench("show", run.stem[:-1]).err == f"nothing is called '{run.stem[:-1]}'; did you mean '{run.stem}'?\n"


def test_a_run_that_was_killed_before_its_first_line_hides_no_cell(project: Project, bench: Typed, run: Path) -> None:
    (run.parent / "99990101T000000Z-3f2a91c0.jsonl").touch()
    assert json.loads(bench("show", store.read(run).records[0].id).out)


def test_a_file_that_is_no_run_is_told_as_such(project: Project, bench: Typed) -> None:
    project.write("other.jsonl", "{}\n")
    done = bench("show", "other.jsonl")
    assert (done.code, done.out) == (2, "")
    assert done.err == "other.jsonl:1: not a run of bench (no header line); name a file under results/\n"
