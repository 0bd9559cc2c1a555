"""`bench pick` through the command line: groups, formats, machines and exit codes."""

import json
from pathlib import Path

import pytest
from builders import SUITE, records, trained
from command_line import Project, Typed
from jobs import header
from msgspec.structs import replace

from bench import store
from bench.record import Record

RUN = "20260105T100000Z-3f2a91c0"


def measured(project: Project, found: list[Record], run: str = RUN) -> Path:
    with store.new_run(project.results / "made_up", header(run, suite=SUITE | {"rounds": 3})) as opened:
        for each in found:
            store.append(opened, each)
        return opened.path


@pytest.fixture(autouse=True)
def made_up(project: Project) -> Path:
    return measured(project, [*records(), trained("original", 60.0), trained("slim", 50.0)])


def test_groups_are_printed_best_first(bench: Typed) -> None:
    done = bench("pick", "made_up", "--max", "latency=300ms", "--min", "pckh.total=49")
    assert (done.code, done.err) == (0, "")
    head, _, rest = done.out.partition("\n\n")
    assert head == "made_up: --max latency=300ms --min pckh.total=49, best first by latency"
    rest = " ".join(rest.split())
    assert rest.index("original fast") < rest.index("slim fp32") < rest.index("Excluded:")
    assert "  deep, fp32: latency 627 ± 14 ms, above 300ms; pckh.total not measured (not trained)\n" in done.out
    assert "  slim, fast: the mode changes the answer beyond its tolerance (mismatch: " in done.out


def test_where_nothing_satisfies_it_says_what_to_loosen(bench: Typed) -> None:
    done = bench("pick", "made_up", "--max", "latency=1ms")
    assert done.code == 1
    said = next(line for line in done.out.splitlines() if line.startswith("Nothing satisfies all limits for sure; "))
    option = said.rpartition(": it satisfies ")[2].split()
    assert bench("pick", "made_up", *option).code == 0


def test_formats(bench: Typed) -> None:
    data = json.loads(bench("pick", "made_up", "--max", "latency=300ms", "--format", "json").out)
    assert [row["variant"] for row in data["satisfied"]] == ["original", "slim"]
    text = bench("pick", "made_up", "--max", "latency=300ms", "--format", "markdown").out
    assert "| variant   | mode   |" in text and "\n- deep, fp32: latency 627 ± 14 ms, above 300ms\n" in text


@pytest.mark.parametrize("name", ["made_up", RUN, f"results/made_up/{RUN}.jsonl"])
def test_a_suite_a_run_and_a_file(bench: Typed, name: str) -> None:
    assert bench("pick", name, "--max", "latency=300ms").code == 0


def test_a_suite_joins_its_runs_and_a_run_stands_alone(project: Project, bench: Typed) -> None:
    later = "20260205T100000Z-3f2a91c0"
    measured(project, [trained("deep", 80.0)], later)
    assert "deep fp32" in " ".join(bench("pick", "made_up", "--min", "pckh.total=70").out.split())
    done = bench("pick", later, "--max", "latency=300ms")
    assert done.code == 2 and done.err.startswith("no records of a quantity 'latency'; ")


def test_times_are_of_one_machine(project: Project, bench: Typed) -> None:
    machine = {"id": "aaaa0000", "cpu": "Other"}
    measured(project, [replace(r, machine=machine) for r in records()[:6]], "20260301T100000Z-aaaa0000")
    done = bench("pick", "made_up", "--max", "latency=10s")
    assert done.err == "machine aaaa0000; others: 3f2a91c0 (--machine ID)\n"
    assert bench("pick", "made_up", "--max", "latency=10s", "--machine", "3f2a91c0").code == 0
    assert bench("pick", "made_up", "--max", "latency=10s", "--machine", "3f2a").code == 2


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["made_up"], "no limit; write --min pckh.total=60 or --max latency=200ms"),
        (
            ["made_up", "--max", "latency"],
            "Invalid value for '--max': 'latency': write NAME=LIMIT, such as latency=200ms; see: ",
        ),
        (
            ["made_up", "--max", "latency=200"],
            "--max latency=200: latency has a unit (h, min, s, ms, us); write latency=200ms",
        ),
        (["made_up", "--min", "pkch.total=60"], "no records of a quantity 'pkch.total'; did you mean 'pckh.total'?"),
        (["made_up", "--max", "params=6M", "--by", "lat"], "no records of a quantity 'lat'; "),
        (["made_ip", "--max", "params=6M"], "no run 'made_ip' under results/; did you mean 'made_up'?"),
        (["x.jsonl", "--max", "params=6M"], "x.jsonl: no such file; "),
    ],
)
def test_bad_input_is_one_line(bench: Typed, arguments: list[str], said: str) -> None:
    done = bench("pick", *arguments)
    assert (done.code, done.out) == (2, "")
    (line,) = done.err.splitlines()
    assert line.startswith(said)
