"""A stored run's cells measured once more: only where machine, job, network and code are those of the run."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import builders
import msgspec
import pytest
from command_line import HEAD, PROTOCOL, acts
from jobs import header

from bench import store, trainings
from bench.engines import local
from bench.errors import SuiteError
from bench.gate import again
from bench.gate.again import Again
from bench.plan import plan
from bench.record import Job, Record, Value, encode, fingerprints
from bench.suite import load_suite

CELL = ("a", "fp32", "infer")
MACHINE = {"id": "3f2a91c0", "threads": 1}


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project whose workers find 0.1 s, on a machine of its own."""
    for name in ("suites", "archs"):
        (tmp_path / name).mkdir()
    (tmp_path / "suites" / "tiny.toml").write_text(HEAD + acts(a="", b="") + PROTOCOL)
    (tmp_path / "archs" / "scripted.py").write_text(
        '"""A network."""\n\n\ndef build(do: str = "") -> None:\n    pass\n'
    )
    monkeypatch.chdir(tmp_path)

    def execute(jobs: Sequence[Job]) -> Iterator[Record]:
        for job in jobs:
            values = [Value(quantity=builders.LATENCY, value=0.1)]
            yield Record(job=job, id=job.id, status="ok", values=values, fingerprints=fingerprints(job))

    monkeypatch.setattr(local, "execute", execute)
    monkeypatch.setattr(again, "validate", lambda *_, **__: {"a": "n1", "b": "n1"})
    monkeypatch.setattr(again.host, "machine", lambda: MACHINE)
    return tmp_path


def measured(
    folder: Path, cells: Sequence[Any] = (CELL,), **changes: Any
) -> tuple[dict[Any, list[Record]], str, Again]:
    """What is found again for a run of this project; `changes` are of its `suite`, `machine` and records' facts."""
    suite = load_suite(folder / "suites" / "tiny.toml")
    name, machine = changes.pop("suite", "tiny"), changes.pop("machine", MACHINE)
    jobs = plan(suite, device="cpu", threads=1)
    facts = [{"network": "n1", "code": trainings.code(job)} | changes for job in jobs]
    records = [
        Record(job=job, id=job.id, status="ok", environment={k: v for k, v in fact.items() if v}, machine=machine)
        for job, fact in zip(jobs, facts, strict=True)
    ]
    path = folder / "run.jsonl"
    lines = [encode(header(suite={"name": name}, profile="", machine=machine)), *map(encode, records)]
    path.write_bytes(b"\n".join(lines) + b"\n")
    said: list[str] = []
    with ExitStack() as stack:
        one = Again(store.read(path), {"results": folder / "results"}, stack, said.append)
        return one.measure(cells, 3), "\n".join(said), one


def test_fresh_processes_of_a_cell(here: Path) -> None:
    found, said, one = measured(here)
    assert [record.job.round for record in found[CELL]] == [1000, 1001, 1002]  # never taken for rounds of the run
    assert {record.machine["id"] for record in found[CELL]} == {"3f2a91c0"}
    assert "[again 3/3] a/fp32/infer ok" in said
    assert one.folder is not None and one.folder.parent == here / "results" / "tiny"
    (kept,) = one.folder.glob("*.jsonl")
    assert len(store.read(kept).records) == 3


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"machine": {"id": "11112222"}}, "1 suspected cells are not measured again: the run is of another machine"),
        ({"network": "n2"}, "a/fp32/infer is not measured again: its job or its network is another by now"),
        ({"network": ""}, "a/fp32/infer is not measured again: its job or its network is another by now"),
        ({"code": "0123"}, "a/fp32/infer is not measured again: its job or its network is another by now"),
        ({"suite": "gone"}, "1 suspected cells are not measured again: suites/gone.toml: no such suite"),
    ],
    ids=["machine", "network", "unknown network", "code", "no suite"],
)
def test_what_would_not_compare_is_not_measured(here: Path, changes: dict[str, Any], said: str) -> None:
    found, told, one = measured(here, **changes)
    assert (found, one.folder) == ({}, None)
    assert told.startswith(said)


def test_a_cell_that_the_suite_no_longer_has(here: Path) -> None:
    found, said, _ = measured(here, [CELL, ("gone", "fp32", "infer")])
    assert found.keys() == {CELL}
    assert "gone/fp32/infer is not measured again: its job or its network is another by now" in said


def test_a_network_that_can_no_longer_be_built(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise SuiteError(["suites/tiny.toml:9: variant 'a': no such layer", "and more"])

    monkeypatch.setattr(again, "validate", broken)
    found, said, _ = measured(here)
    assert not found
    assert said == "1 suspected cells are not measured again: suites/tiny.toml:9: variant 'a': no such layer"


def test_a_process_that_fails_is_told(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    execute = local.execute

    def failing(jobs: Sequence[Job]) -> Iterator[Record]:
        for record in execute(jobs):
            bad = {"status": "failed", "reason": "no kernel", "values": []} if record.job.round == 1001 else {}
            yield msgspec.structs.replace(record, **bad)

    monkeypatch.setattr(local, "execute", failing)
    found, said, _ = measured(here)
    assert [record.status for record in found[CELL]] == ["ok", "failed", "ok"]
    assert "[again 2/3] a/fp32/infer failed" in said
