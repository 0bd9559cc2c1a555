"""JSON of pytest-benchmark: its own statistics of our rounds, read by the tool itself."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from builders import MACHINE, SUITE, records
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs
from pytest_benchmark.stats import Stats

from bench.record import Record
from bench.renderers.pytest_benchmark import render, summary
from bench.table import tabulate


def page(found: list[Record]) -> dict[str, Any]:
    table = tabulate(SUITE, found)
    source = {"commit": "a" * 40, "dirty": "ffff", "bench": "0.1.0"}
    written: dict[str, Any] = json.loads(render(replace(table, about=replace(table.about, source=source))))
    return written


@given(st.lists(st.floats(1e-6, 1e3), min_size=1, max_size=12))
def test_the_statistics_are_pytest_benchmarks(values: list[float]) -> None:
    theirs = Stats()
    for value in values:
        theirs.update(value)
    ours = summary(values)
    assert ours.keys() == theirs.as_dict().keys()
    for name, value in theirs.as_dict().items():
        close = isinstance(value, float) and not name.startswith(("ld", "hd"))
        assert ours[name] == (pytest.approx(value, rel=1e-9, abs=1e-9) if close else value), name


def test_a_benchmark_is_a_cell_and_its_data_are_the_rounds() -> None:
    found = {one["name"]: one for one in page(records())["benchmarks"]}
    one = found["latency[original-fp32]"]
    medians = [
        value.value
        for record in records()
        if (record.job.variant, record.job.mode, record.job.phase) == ("original", "fp32", "infer")
        for value in record.values
        if value.quantity.name == "latency"
    ]
    assert one["stats"]["data"] == medians and one["stats"]["rounds"] == 3
    assert one["params"] == {"variant": "original", "mode": "fp32"} and one["group"] == "infer latency"
    assert one["fullname"] == "made_up/infer::latency[original-fp32]"
    assert one["extra_info"]["protocol"]["infer.batch"] == 1
    assert found["eval_time[original-fp32]"]["extra_info"]["flags"] == ["estimated"]
    assert "data.val" in found["eval_time[original-fp32]"]["extra_info"]["protocol"], "it has a family of its own"


def test_times_alone_and_what_is_left_out_has_its_reason() -> None:
    found = page(records())
    assert {one["extra_info"]["unit"] for one in found["benchmarks"]} == {"s"}
    left_out = {one["name"]: one["reason"] for one in found["bench"]["left_out"]}
    assert left_out["made_up/infer::latency[slim-fast]"].startswith("mismatch: ")
    assert left_out["made_up/train::train_step[deep-fast]"].startswith("oom: CUDA out of memory at batch 20")
    assert not {one["fullname"] for one in found["benchmarks"]} & left_out.keys()


def test_whose_figures_they_are() -> None:
    found = page(records())
    assert found["machine_info"]["bench"] == MACHINE
    assert found["machine_info"]["node"] == MACHINE["id"], "never a host's name"
    assert (found["commit_info"]["id"], found["commit_info"]["dirty"]) == ("a" * 40, True)
    assert found["datetime"] == "2026-01-05T10:00:00Z"
    assert found["bench"]["profile"] == "quick"


def test_rounds_of_two_machines_are_nobodys() -> None:
    ids = ("00000000", "00000001")
    mixed = [structs.replace(one, machine=MACHINE | {"id": ids[n % 2]}) for n, one in enumerate(records())]
    assert page(mixed)["machine_info"]["bench"] == {"id": "00000000 + 00000001"}


@pytest.mark.parametrize("options", [[], ["--group-by=param:variant", "--columns=median,iqr,rounds"]])
def test_the_tool_itself_compares_ours(tmp_path: Path, options: list[str]) -> None:
    for name in ("0001_before.json", "0002_after.json"):
        (tmp_path / name).write_text(json.dumps(page(records())))
    command = [sys.executable, "-m", "pytest_benchmark", "compare", "0001_before.json", "0002_after.json", *options]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count("latency[original-fp32]") == 2
    assert "Failed to load" not in done.stdout
