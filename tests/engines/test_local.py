"""Real processes, whatever becomes of them: a record comes back for every attempt, and nothing is left running."""

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import pytest
from jobs import job

from bench.engines import local
from bench.record import Job, Record, fingerprints

FAKE = Path(__file__).with_name("fake_worker.py")


@pytest.fixture(autouse=True)
def fake_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "COMMAND", (sys.executable, str(FAKE)))


@pytest.fixture
def alarm() -> Iterator[None]:
    """A deadlock fails instead of hanging."""

    def ring(*_: object) -> None:
        raise TimeoutError("deadlock")

    before = signal.signal(signal.SIGALRM, ring)
    signal.alarm(20)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def asked(do: str, folder: Path, **changes: Any) -> Job:
    return job(**{"options": {"do": do}, "artefacts": str(folder / "run"), "timeout": 20.0} | changes)


def executed(do: str, folder: Path, **changes: Any) -> list[Record]:
    return list(local.execute([asked(do, folder, **changes)]))


def is_running(pid: int) -> bool:
    """Whether a process lives; one that only waits to be reaped does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def test_a_record_comes_back(tmp_path: Path) -> None:
    sent = asked("fine", tmp_path, threads=3)
    (record,) = local.execute([sent])
    assert (record.status, record.reason, record.id, record.attempt) == ("ok", "", sent.id, 1)
    assert record.environment["OMP_NUM_THREADS"] == record.environment["MKL_NUM_THREADS"] == "3"


def test_the_record_is_kept_without_this_machines_folders(tmp_path: Path) -> None:
    (record,) = executed("fine", tmp_path, paths=["/somewhere"], arch_file="/somewhere/archs/x.py")
    assert (record.job.arch_file, record.job.paths, record.job.artefacts) == ("", [], "")
    assert record.job.id == record.id


def test_every_job_gets_a_process_of_its_own(tmp_path: Path) -> None:
    records = list(local.execute([asked("fine", tmp_path, round=number) for number in range(2)]))
    assert [record.job.round for record in records] == [0, 1]
    assert len({record.environment["pid"] for record in records} | {os.getpid()}) == 3


def test_a_worker_that_raises_is_not_tried_again(tmp_path: Path) -> None:
    (record,) = executed("fail_with_a_traceback", tmp_path)
    assert (record.status, record.reason) == ("crashed", "the worker ended with status 1 and no record")
    assert record.fingerprints == fingerprints(record.job)
    assert "RuntimeError: as asked" in (tmp_path / record.log).read_text()


def test_a_worker_that_is_killed_is_tried_once_more(tmp_path: Path) -> None:
    records = executed("be_killed", tmp_path)
    assert [(record.status, record.attempt) for record in records] == [("crashed", 1), ("crashed", 2)]
    assert {record.reason for record in records} == {"killed by SIGKILL (the system may have run out of memory)"}


def test_a_second_attempt_may_succeed(tmp_path: Path) -> None:
    assert [record.status for record in executed("be_killed_once", tmp_path)] == ["crashed", "ok"]


def test_a_hang_is_a_timeout_tried_once_more_and_its_children_end_with_it(tmp_path: Path) -> None:
    begin = monotonic()
    records = executed("hang", tmp_path, timeout=0.7)
    assert [record.status for record in records] == ["timeout", "timeout"]
    assert {record.reason for record in records} == {"no record within 0.7 s; raise --timeout"}
    assert all(0.7 <= record.seconds < 3 for record in records)
    assert monotonic() - begin < 6
    assert not is_running(child(tmp_path))


def test_a_training_whose_time_was_up_is_not_tried_again(tmp_path: Path) -> None:
    (record,) = executed("hang", tmp_path, timeout=0.7, phase="accuracy")
    assert (record.status, record.attempt) == ("timeout", 1)
    assert len(executed("be_killed", tmp_path, phase="accuracy")) == 2, "a signal may be the machine's doing"


def child(folder: Path) -> int:
    sleep(0.05)  # the kernel has been told, and needs a moment
    return int((folder / "run" / "child").read_text())


@pytest.mark.parametrize(
    ("do", "reason"),
    [
        ("send_garbage", "the worker's answer is not a record (JSON is malformed"),
        ("send_half", "the worker's answer is not a record (Input data was truncated)"),
        ("say_nothing", "the worker ended with status 0 and no record"),
        ("answer_for_another", "the worker answered for another job (0123456789abcdef)"),
    ],
)
def test_what_is_no_record_of_this_job_is_a_crash_with_its_reason(tmp_path: Path, do: str, reason: str) -> None:
    (record,) = executed(do, tmp_path)
    assert record.status == "crashed"
    assert record.reason.startswith(reason)
    assert record.id == asked(do, tmp_path).id


def test_a_dead_worker_is_noticed_though_its_child_holds_the_pipe(tmp_path: Path) -> None:
    begin = monotonic()
    (record,) = executed("leave_a_child", tmp_path)
    assert (record.status, record.reason) == ("crashed", "the worker ended with status 0 and no record")
    assert monotonic() - begin < 4
    assert not is_running(child(tmp_path))


def test_children_of_a_worker_that_answered_end_too(tmp_path: Path) -> None:
    (record,) = executed("answer_and_leave_a_child", tmp_path)
    assert record.status == "ok"
    assert not is_running(child(tmp_path))


def test_a_worker_that_answered_and_does_not_end_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "GRACE", 0.2)
    (record,) = executed("answer_and_linger", tmp_path)
    assert record.status == "ok"
    assert not is_running(record.environment["pid"])


def test_chatter_goes_to_the_log_beside_the_run(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (record,) = executed("chatter", tmp_path)
    assert record.log == f"run/{record.id}.log"
    assert (tmp_path / record.log).read_text() == "Downloading weights\nUserWarning: old driver\n"
    assert capfd.readouterr() == ("", "")


def test_without_a_folder_there_is_no_log(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (record,) = executed("chatter", tmp_path, artefacts="")
    assert (record.status, record.log) == ("ok", "")
    assert capfd.readouterr() == ("", "")


def test_a_record_may_be_larger_than_a_pipe(tmp_path: Path) -> None:
    (record,) = executed("be_large", tmp_path)
    assert len(record.environment["much"]) == 1_000_000


def test_a_job_may_be_larger_than_a_pipe(tmp_path: Path, alarm: None) -> None:
    (record,) = executed("fine", tmp_path, data={"much": "x" * 1_000_000})
    assert record.status == "ok"


def test_a_record_may_come_in_pieces(tmp_path: Path) -> None:
    (record,) = executed("be_slow", tmp_path)
    assert record.status == "ok"


def test_nothing_that_was_opened_stays_open(tmp_path: Path) -> None:
    before = set(Path("/proc/self/fd").iterdir())
    for do in ("fine", "be_killed", "send_garbage"):
        executed(do, tmp_path)
    assert set(Path("/proc/self/fd").iterdir()) == before


def test_validating_asks_one_worker_for_every_job_in_order(tmp_path: Path) -> None:
    sent = [asked("fine", tmp_path, variant=name) for name in ("a", "b", "c")]
    records = local.validate(sent)
    assert [(record.job.variant, record.job.phase, record.status) for record in records] == [
        ("a", "check", "ok"),
        ("b", "check", "ok"),
        ("c", "check", "ok"),
    ]
    assert len({record.environment["pid"] for record in records}) == 1


def test_validating_nothing_starts_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "COMMAND", ("no-such-program",))
    assert local.validate([]) == []


def test_validating_goes_on_record_when_the_worker_dies_in_between(tmp_path: Path) -> None:
    records = local.validate([asked(do, tmp_path) for do in ("fine", "be_killed", "fine")])
    assert [record.status for record in records] == ["ok", "crashed", "crashed"]
    assert all(record.reason for record in records[1:])


def test_validating_many_variants_does_not_block(tmp_path: Path, alarm: None) -> None:
    """Questions and answers together are more than both pipes hold."""
    records = local.validate([asked("fine", tmp_path, variant=f"{number}-{'x' * 2000}") for number in range(300)])
    assert [record.status for record in records] == ["ok"] * 300


def test_a_worker_that_cannot_start_its_interpreter_is_a_crash(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "COMMAND", (sys.executable, str(tmp_path / "missing.py")))
    (record,) = executed("fine", tmp_path)
    assert (record.status, record.reason) == ("crashed", "the worker ended with status 2 and no record")


def test_the_worker_runs_the_parents_bench(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", "/of/the/user")
    environment = local.environment(job(threads=2))
    home = str(Path(local.__file__).resolve().parent.parent.parent)
    assert environment["PYTHONPATH"].split(os.pathsep) == [home, "/of/the/user"]
    assert environment["OMP_NUM_THREADS"] == environment["OPENBLAS_NUM_THREADS"] == "2"


COMPILING = {"modes": {"compile": "default"}}


def caches(record: Record) -> Path:
    return Path(record.environment["TORCHINDUCTOR_CACHE_DIR"]).parent


def compiled(do: str, folder: Path, **changes: Any) -> Record:
    *_, record = executed(do, folder, **COMPILING | changes)
    return record


def test_a_cell_that_compiles_has_a_folder_of_its_own_that_its_rounds_share(tmp_path: Path) -> None:
    first, again, other = (compiled("fill_caches", tmp_path, **c) for c in ({}, {"round": 1}, {"variant": "wide"}))
    assert (first.environment["found"], again.environment["found"], other.environment["found"]) == (0, 1, 0)
    assert caches(first) == caches(again) != caches(other)
    assert caches(first) == Path(first.environment["TRITON_CACHE_DIR"]).parent
    assert not caches(first).is_relative_to(tmp_path), "nothing of it may lie among the results"


def test_another_run_and_another_code_begin_with_empty_caches(tmp_path: Path) -> None:
    kept = caches(compiled("fill_caches", tmp_path))
    assert caches(compiled("fill_caches", tmp_path, artefacts=str(tmp_path / "other"))) != kept
    assert caches(compiled("fill_caches", tmp_path, paths=["/of/another/checkout"])) != kept


def test_what_a_failure_has_left_in_the_caches_goes(tmp_path: Path) -> None:
    assert compiled("fill_caches_and_hang", tmp_path, timeout=0.7).status == "timeout"
    assert not local.caches_of(asked("fill_caches_and_hang", tmp_path, **COMPILING)).exists()


def test_a_mode_that_does_not_compile_has_no_such_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TORCHINDUCTOR_CACHE_DIR", raising=False)
    assert "TORCHINDUCTOR_CACHE_DIR" not in local.environment(job(modes={"amp": "bfloat16"}))


def test_without_a_temporary_folder_the_run_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(**_: object) -> None:
        raise OSError(28, "No space left on device")

    before = set(Path("/proc/self/fd").iterdir())
    local._caches.cache_clear()
    monkeypatch.setattr(local, "mkdtemp", refuse)
    record = compiled("fine", tmp_path)
    assert (record.status, record.reason) == (
        "failed",
        "the worker could not be started: [Errno 28] No space left on device",
    )
    assert executed("fine", tmp_path)[0].status == "ok"
    assert set(Path("/proc/self/fd").iterdir()) == before
