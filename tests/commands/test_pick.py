"""`bench pick` through the command line: groups, formats, machines and exit codes."""

import json
from pathlib import Path
from typing import Any

import pytest
from builders import LATENCY, MACHINE, SUITE, job, record, records, trained
from command_line import Project, Typed
from jobs import header
from msgspec.structs import replace

from bench import store
from bench.record import Record, Value

RUN = "20260105T100000Z-3f2a91c0"


def measured(project: Project, found: list[Record], run: str = RUN) -> Path:
    with store.new_run(project.results / "made_up", header(run, suite=SUITE | {"rounds": 3})) as opened:
        for each in found:
            store.append(opened, each)
        return opened.path


def flat(text: str) -> str:
    """Without the ends of lines, which hang on the window."""
    return " ".join(text.split())


def data(bench: Typed, *arguments: str, name: str = "made_up") -> Any:
    return json.loads(bench("pick", name, *arguments, "--format", "json").out)


@pytest.fixture(autouse=True)
def made_up(project: Project) -> Path:
    return measured(project, [*records(), trained("original", 60.0), trained("slim", 50.0)])


def test_groups_are_printed_best_first(bench: Typed) -> None:
    done = bench("pick", "made_up", "--max", "latency=300ms", "--min", "pckh.total=49")
    assert (done.code, done.err) == (0, "")
    first, second, blank, title, *_ = done.out.splitlines()
    assert first == "made_up: --max latency=300ms --min pckh.total=49, best first by latency"
    assert (
        second
        == f"Example CPU, 16 cores, 16 threads, torch 2.13.0 (machine {MACHINE['id']}, cpu); records of 2026-01-05"
    )
    assert (blank, title) == ("", "Satisfied (2)")
    said = flat(done.out)
    assert said.index("original fast") < said.index("slim fp32") < said.index("Excluded: ")
    why = "latency 627 (614 to 641) ms [noisy], above 300ms; pckh.total not measured (not trained)"
    assert f"Excluded: deep, fp32: {why}" in said
    assert "Excluded: slim, fast: the mode changes the answer beyond its tolerance (mismatch: " in said
    assert "noisy: the interval of the median is wider than the protocol asks for" in said


def test_higher_is_better_where_the_quantity_says_so(project: Project, bench: Typed) -> None:
    measured(project, [trained("deep", 55.0)], "20260205T100000Z-3f2a91c0")
    order = [("original", 60.0), ("deep", 55.0), ("slim", 50.0)]
    rows = data(bench, "--min", "pckh.total=40", "--by", "pckh.total")["satisfied"]
    assert list(dict.fromkeys((row["variant"], row["figures"]["pckh.total"]["value"]) for row in rows)) == order


def test_what_has_not_learnt_is_excluded_whatever_it_satisfies(project: Project, bench: Typed) -> None:
    measured(project, [trained("deep", 90.0, flags=("not_learnt",))], "20260205T100000Z-3f2a91c0")
    found = data(bench, "--min", "pckh.total=40")
    assert "deep" not in {row["variant"] for row in found["satisfied"]}
    reasons = {row["variant"]: row["reasons"] for row in found["excluded"]}
    assert reasons["deep"][0].startswith("not_learnt: the network does not clearly beat")


def test_a_time_without_an_interval_satisfies_nothing(project: Project, bench: Typed) -> None:
    once = "20260205T100000Z-3f2a91c0"
    measured(project, [one for one in records() if one.job.round == 0], once)
    found = data(bench, "--max", "latency=9s", name=once)
    assert found["satisfied"] == []
    assert {row["reasons"][0].rpartition(", ")[2] for row in found["cannot_tell"]} == {"no interval to tell by"}


def test_bounds_are_printed_where_they_lie(project: Project, bench: Typed) -> None:
    """Half of a wide interval of a time, put around its value, would end below what the interval reaches."""
    wide = "20260205T100000Z-3f2a91c0"
    times = [
        record(job("original", "infer", mode="fp32", number=n), [Value(quantity=LATENCY, value=x)])
        for n, x in enumerate((0.190, 0.215, 0.243))
    ]
    measured(project, times, wide)
    said = flat(bench("pick", wide, "--max", "latency=290ms").out)
    assert "Cannot tell: original, fp32: latency 215 (158 to 292) ms, its interval reaches beyond 290ms" in said


@pytest.mark.parametrize("limits", [["latency=9s", "params=1G"], ["params=1G"]])
def test_rows_of_another_protocol_are_a_group_of_their_own(project: Project, bench: Typed, limits: list[str]) -> None:
    """Whether the quantity is limited or ranks."""

    def larger(one: Record) -> Record:
        if (one.job.variant, one.job.phase) != ("slim", "infer"):
            return one
        of = job("slim", "infer", mode=one.job.mode, number=one.job.round, infer={"batch": 8})
        return record(of, one.values, one.status, one.reason)

    name = "20260205T100000Z-3f2a91c0"
    measured(project, [larger(one) for one in records()], name)
    by = "params" if len(limits) == 2 else "latency"
    asked = [part for limit in limits for part in ("--max", limit)] + ["--by", by]
    found = data(bench, *asked, name=name)
    why = "latency: infer.batch 8 instead of 1"
    assert "slim" not in {row["variant"] for row in found["satisfied"]}
    rows = {(row["variant"], row["mode"]): row["reasons"] for row in found["not_comparable"]}
    assert rows == {("slim", "fp32"): [why]}, "in fast its answer is wrong"
    assert f"Not comparable: slim, fp32: {why}" in flat(bench("pick", name, *asked).out)
    alone = data(bench, "--max", "params=1G", "--by", "params", name=name)
    assert not alone["not_comparable"] and "slim" in {row["variant"] for row in alone["satisfied"]}


def test_accuracy_of_another_protocol_is_not_comparable(project: Project, bench: Typed) -> None:
    name = "20260205T100000Z-3f2a91c0"
    longer = trained("deep", 80.0, tables={"train": {"samples": 99}})
    measured(project, [*records(), trained("original", 60.0), trained("slim", 50.0), longer], name)
    rows = data(bench, "--min", "pckh.total=40", name=name)["not_comparable"]
    assert {(row["variant"], *row["reasons"]) for row in rows} == {
        ("deep", "pckh.total: train.samples 99 instead of 20000")
    }


def test_what_must_be_known_of_a_row_stands_below_it(project: Project, bench: Typed) -> None:
    name = "20260205T100000Z-3f2a91c0"
    found = [
        *records(),
        trained("original", 60.0),
        trained("slim", 50.0, tables={"train": {"batch": 6}}),
        trained("deep", 70.0, flags=("unconverged",)),
    ]
    measured(project, found, name)
    limits = ["--max", "latency=9s", "--min", "pckh.total=40"]
    page = flat(bench("pick", name, *limits).out)
    for note in (
        "noisy: the interval of the median is wider than the protocol asks for",
        "unconverged: the score still rose at the end of the training",
        "bootstrap over 1000 images, one seed: the spread over seeds is not in it",
        "one training: another seed could turn it; train three (seeds = 3 under [train])",
        "trained in mode fast on machine 3f2a91c0, 2026-01-05",
        "train.batch 6 instead of 16",
        "some jobs that were planned gave no figure (2 of 3 rounds",
        "2 of 3 rounds (oom: CUDA out of memory: 2.1 GiB more than there was)",
    ):
        assert f"] {note}" in page, note
    rows = {(row["variant"], row["mode"]): row for row in data(bench, *limits, name=name)["satisfied"]}
    deep = rows["deep", "fast"]
    assert [note.partition(" (")[0] for note in deep["notes"]] == ["some jobs that were planned gave no figure"]
    assert deep["figures"]["latency"]["flags"] == ["noisy"] and deep["figures"]["pckh.total"]["flags"] == [
        "unconverged"
    ]
    assert any(note.startswith("2 of 3 rounds") for note in deep["figures"]["latency"]["notes"])
    assert any(note.startswith("one training: another seed") for note in deep["figures"]["pckh.total"]["notes"])


def test_three_seeds_need_no_word_on_seeds(project: Project, bench: Typed) -> None:
    name = "20260205T100000Z-3f2a91c0"
    measured(project, [*records(), *(trained("original", 60.0 + n, seed=n) for n in range(3))], name)
    assert "another seed" not in bench("pick", name, "--min", "pckh.total=40").out
    measured(project, [*records(), *(trained("original", 60.0 + n / 9, seed=n) for n in range(2))], f"{name}-2")
    assert "two trainings: another seed could turn it" in flat(bench("pick", f"{name}-2", "--min", "pckh.total=40").out)


def test_where_nothing_satisfies_it_says_what_to_loosen(bench: Typed) -> None:
    done = bench("pick", "made_up", "--max", "latency=1ms")
    assert done.code == 1
    said = next(line for line in done.out.splitlines() if line.startswith("Nothing satisfies all limits for sure; "))
    assert "Satisfied" not in done.out
    option = said.rpartition(": it satisfies ")[2].split()
    assert bench("pick", "made_up", *option).code == 0


def test_formats(bench: Typed) -> None:
    found = data(bench, "--max", "latency=300ms")
    assert [row["variant"] for row in found["satisfied"]] == ["original", "slim"] and found["machine"] == MACHINE["id"]
    text = bench("pick", "made_up", "--max", "latency=300ms", "--format", "markdown").out
    assert f"(machine {MACHINE['id']}, cpu); records of 2026-01-05\n" in text
    assert "| variant   | mode   |" in text
    assert "\n- Excluded: deep, fp32: latency 627 (614 to 641) ms [noisy], above 300ms\n" in text


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
        (
            ["made_up", "--max", "latency=2s", "--max", "latency=3s"],
            "Invalid value for '--max': latency=2s and latency=3s: write latency once; see: ",
        ),
        (
            ["made_up", "--max", "error=10%"],
            "--max error=10%: '%' is no unit of error (it has none); write error=0.1",
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
