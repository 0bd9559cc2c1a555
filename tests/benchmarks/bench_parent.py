"""Hot paths of the parent: what it does beside every measurement, and before and after all of them.

Run by `tox -e bench`, which compares with what is kept in `stored/`; pytest does not collect this file by itself.
Its checks keep a benchmark from being fast because it does nothing.
"""

import os
from pathlib import Path

import pytest
from builders import SUITE
from jobs import RECIPE, ROOT, header, record
from pytest_benchmark.fixture import BenchmarkFixture

from bench import store
from bench.plan import plan
from bench.record import Record, decode_record, encode
from bench.suite import ModeConfig, Suite, Variant, load_suite
from bench.table import tabulate

RECORDS = 1000


def large_suite() -> Suite:
    """60 variants in three modes over ten rounds: 2,460 jobs."""
    variants = tuple(
        Variant(
            name=f"v{number}",
            arch="stacked_hourglass",
            options={"stacks": number},
            data={"use": "random", "size": 256, "train": 22246, "val": 2958, "options": {}},
            infer={"batch": 1},
            train={"batch": 20, "recipe": RECIPE, "mode": "fast"},
        )
        for number in range(60)
    )
    return Suite(
        name="large",
        path=ROOT / "suites" / "large.toml",
        title="Large",
        task="pose",
        measures=("params", "infer", "train_time"),
        variants=variants,
        modes={"fp32": ModeConfig({}), "fast": ModeConfig({"channels_last": True}), "amp": ModeConfig({"amp": "x"})},
        rounds=10,
    )


def records() -> list[Record]:
    """Records of three variants in two modes over many rounds, forty samples each."""
    plain = record().values[0]
    found = []
    for number in range(RECORDS):
        variant, mode = ("original", "slim", "deep")[number % 3], ("fp32", "fast")[number // 3 % 2]
        first = record(number // 6)
        job = type(first.job)(suite="made_up", variant=variant, mode=mode, phase="infer", round=number // 6)
        samples = [0.012 + 1e-5 * (number % 7) + 1e-6 * i for i in range(40)]
        value = type(plain)(quantity=plain.quantity, value=samples[20], samples=samples)
        found.append(record(job=job, values=[value]))
    return found


def test_encode_and_decode_a_record(benchmark: BenchmarkFixture) -> None:
    sent = records()[0]
    assert benchmark(lambda: decode_record(encode(sent))) == sent


def test_a_jobs_id(benchmark: BenchmarkFixture) -> None:
    job = plan(large_suite())[0]
    assert len(benchmark(lambda: job.id)) == 16


def test_append_a_record(benchmark: BenchmarkFixture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What every job costs beside its measurement, without the wait for the disk: disks differ a hundredfold."""
    monkeypatch.setattr(os, "fsync", lambda _: None)
    sent = records()[0]
    with store.new_run(tmp_path, header()) as run:
        benchmark(store.append, run, sent)
    assert store.read(run.path).records[0] == sent


def test_read_a_thousand_records(benchmark: BenchmarkFixture, tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    path.write_bytes(b"\n".join([encode(header()), *map(encode, records()), b""]))
    assert len(benchmark(store.read, path).records) == RECORDS


def test_plan_a_large_suite(benchmark: BenchmarkFixture) -> None:
    assert len(benchmark(plan, large_suite())) == 60 * (1 + 10 * (3 + 1))


def test_load_a_suite(benchmark: BenchmarkFixture) -> None:
    assert benchmark(load_suite, ROOT / "suites" / "stacked_speed.toml").name == "stacked_speed"


def test_tabulate_a_thousand_records(benchmark: BenchmarkFixture) -> None:
    assert benchmark(tabulate, SUITE, records()).sections
