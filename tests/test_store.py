"""results/: what is acknowledged is on disk, whatever happens next."""

import errno
import os
import random
import signal
import subprocess
import sys
from pathlib import Path
from time import sleep

import builders
import pytest
from jobs import header, job, record

from bench import store
from bench.errors import StoreError
from bench.record import FORMAT, encode
from bench.trainings import pace


def written(folder: Path, *numbers: int, run: str = "20260101T000000Z-3f2a91c0") -> Path:
    """A run with a record for each number."""
    folder.mkdir(parents=True, exist_ok=True)
    with store.new_run(folder, header(run)) as open_run:
        for number in numbers:
            store.append(open_run, record(number))
    return folder / f"{run}.jsonl"


def rounds(path: Path) -> list[int]:
    return [found.job.round for found in store.read(path).records]


def test_what_was_appended_is_read_back(tmp_path: Path) -> None:
    path = written(tmp_path, 0, 1, 2)
    loaded = store.read(path)
    assert loaded.header == header()
    assert loaded.records == [record(0), record(1), record(2)]
    assert loaded.problems == []
    assert loaded.path == path


def test_a_run_without_records_is_a_run(tmp_path: Path) -> None:
    assert rounds(written(tmp_path)) == []


def test_each_record_is_on_disk_before_the_next(tmp_path: Path) -> None:
    with store.new_run(tmp_path, header()) as run:
        for number in range(3):
            store.append(run, record(number))
            assert rounds(run.path) == list(range(number + 1))


def test_artefacts_lie_beside_the_run(tmp_path: Path) -> None:
    with store.new_run(tmp_path, header("a-run")) as run:
        assert run.artefacts == tmp_path / "a-run"


def test_a_run_is_continued_after_what_it_has(tmp_path: Path) -> None:
    path = written(tmp_path, 0)
    with store.continued(path) as run:
        store.append(run, record(1))
    assert rounds(path) == [0, 1]


@pytest.mark.parametrize("kept", [1, 40, -1])
def test_a_torn_last_line_is_reported_and_left_out(tmp_path: Path, kept: int) -> None:
    path = written(tmp_path, 0)
    with path.open("ab") as file:
        file.write(encode(record(1))[:kept])
    loaded = store.read(path)
    assert loaded.records == [record(0)]
    assert len(loaded.problems) == 1
    assert loaded.problems[0].startswith(f"{path}:3: torn last line, left out (")


def test_a_torn_line_stays_alone_when_the_run_is_continued(tmp_path: Path) -> None:
    path = written(tmp_path, 0)
    with path.open("ab") as file:
        file.write(encode(record(1))[:40])
    with store.continued(path) as run:
        store.append(run, record(2))
    loaded = store.read(path)
    assert loaded.records == [record(0), record(2)]
    assert [problem.partition(" (")[0] for problem in loaded.problems] == [f"{path}:3: not a record, left out"]


def test_a_last_line_that_lacks_only_its_newline_is_whole(tmp_path: Path) -> None:
    path = written(tmp_path, 0, 1)
    path.write_bytes(path.read_bytes()[:-1])
    assert rounds(path) == [0, 1]
    with store.continued(path) as run:
        store.append(run, record(2))
    assert rounds(path) == [0, 1, 2]


@pytest.mark.parametrize("garbage", [b"garbage", b'{"type":"record"}', b"\xff\xfe\x00", b"[1, 2]", b'"text"'])
def test_garbage_in_the_middle_is_reported_and_left_out(tmp_path: Path, garbage: bytes) -> None:
    path = written(tmp_path, 0)
    with path.open("ab") as file:
        file.write(garbage + b"\n" + encode(record(1)) + b"\n")
    loaded = store.read(path)
    assert loaded.records == [record(0), record(1)]
    assert [problem.partition(" (")[0] for problem in loaded.problems] == [f"{path}:3: not a record, left out"]


@pytest.mark.parametrize(
    "line",
    [
        encode(record(1, format=FORMAT + 1)),
        encode(header(format=FORMAT + 1)),
        b'{"type":"record","format":%d,"job":"elsewhere"}' % (FORMAT + 1),
        b'{"kind":"something new","format":%d}' % (FORMAT + 7),
    ],
)
def test_a_newer_format_is_refused_whatever_its_layout(tmp_path: Path, line: bytes) -> None:
    path = written(tmp_path, 0)
    with path.open("ab") as file:
        file.write(line + b"\n")
    with pytest.raises(
        StoreError, match=r":3: written in format \d by a newer bench.* pip install --upgrade archbench"
    ):
        store.read(path)


@pytest.mark.parametrize("content", [b"", b"\n\n", b"something else\n", encode(record(0)) + b"\n"])
def test_a_file_without_a_header_is_no_run(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x.jsonl"
    path.write_bytes(content)
    with pytest.raises(StoreError, match="not a run of bench"):
        store.read(path)


def test_a_missing_file_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"cannot read \(No such file"):
        store.read(tmp_path / "none.jsonl")


def test_a_second_writer_is_refused(tmp_path: Path) -> None:
    with store.new_run(tmp_path, header()) as run:
        with pytest.raises(StoreError, match="another process is writing this run"), store.continued(run.path):
            pytest.fail("two writers")
        store.append(run, record(0))
    with store.continued(run.path) as again:
        store.append(again, record(1))
    assert rounds(run.path) == [0, 1]


def test_a_run_is_never_overwritten(tmp_path: Path) -> None:
    path = written(tmp_path, 0)
    with pytest.raises(StoreError, match="File exists"), store.new_run(tmp_path, header()):
        pytest.fail("overwrote a run")
    assert rounds(path) == [0]


def test_where_nothing_can_be_written_we_say_so_before_any_work(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match=r"cannot write results here \(Not a directory\); use --results DIR"):
        store.check_writable(tmp_path / "file" / "results")


def test_checking_leaves_nothing_behind(tmp_path: Path) -> None:
    store.check_writable(tmp_path / "results" / "study")
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_an_error_that_says_what_to_do() -> None:
    full = Path("/dev/full")
    run = store.Run(full, os.open(full, os.O_WRONLY))
    try:
        with pytest.raises(StoreError, match=r"cannot write \(No space left on device\); free some space"):
            store.append(run, record(0))
    finally:
        os.close(run.descriptor)


def test_half_a_line_on_a_full_disk_is_an_error_and_leaves_the_run_readable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = os.write
    with store.new_run(tmp_path, header()) as run:
        store.append(run, record(0))
        monkeypatch.setattr(os, "write", lambda descriptor, data: plain(descriptor, data[:50]))
        with pytest.raises(StoreError, match=r"only 50 of \d+ bytes written"):
            store.append(run, record(1))
        monkeypatch.undo()
    assert rounds(run.path) == [0]


def test_a_failing_disk_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    with store.new_run(tmp_path, header()) as run:
        monkeypatch.setattr(os, "fsync", fail)
        with pytest.raises(StoreError, match="Input/output error"):
            store.append(run, record(0))


WRITER = """
import sys
from pathlib import Path
from bench import store
from jobs import header, record

with store.new_run(Path(sys.argv[1]), header()) as run:
    for number in range(1_000_000):
        store.append(run, record(number))
        print(number, flush=True)
"""


def killed_writer(folder: Path, seconds: float) -> tuple[list[int], store.Loaded]:
    """What a writer acknowledged before it was killed, so many seconds after its first record, and what is there."""
    paths = [str(Path(__file__).parent.parent), str(Path(__file__).parent)]
    writer = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(folder)],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(paths)},
    )
    assert writer.stdout
    with writer, writer.stdout:
        first = writer.stdout.readline()
        sleep(seconds)
        writer.send_signal(signal.SIGKILL)
        acknowledged = [first, *writer.stdout.read().splitlines()]
    return [int(line) for line in acknowledged if line], store.read(folder / f"{header().run}.jsonl")


def test_no_acknowledged_record_is_lost_when_the_writer_is_killed(tmp_path: Path) -> None:
    dice = random.Random(11)
    for repetition in range(20):
        folder = tmp_path / str(repetition)
        folder.mkdir()
        acknowledged, loaded = killed_writer(folder, dice.uniform(0, 0.02))
        kept = [found.job.round for found in loaded.records]
        assert kept[: len(acknowledged)] == acknowledged == list(range(len(acknowledged)))
        assert len(kept) <= len(acknowledged) + 1
        assert all("torn last line" in problem for problem in loaded.problems)


def test_names_are_unique_even_within_a_second(tmp_path: Path) -> None:
    names = []
    for _ in range(4):
        names.append(store.new_name("3f2a91c0", tmp_path))
        written(tmp_path, run=names[-1])
    assert len(set(names)) == 4
    assert all("Z-3f2a91c0" in name for name in names)


def test_runs_are_listed_by_their_time_across_suites(tmp_path: Path) -> None:
    late = written(tmp_path / "a", run="20260103T000000Z-x")
    early = written(tmp_path / "b", run="20260101T000000Z-x")
    middle = written(tmp_path / "a", run="20260102T000000Z-x")
    assert store.runs(tmp_path) == [early, middle, late]
    assert store.runs(tmp_path, "a") == [middle, late]
    assert store.runs(tmp_path / "none") == []


def test_a_run_is_found_by_file_name_and_suite(tmp_path: Path) -> None:
    old = written(tmp_path / "study", run="20260101T000000Z-x")
    new = written(tmp_path / "study", run="20260102T000000Z-x")
    assert store.find(tmp_path, str(old)) == old
    assert store.find(tmp_path, "20260101T000000Z-x") == old
    assert store.find(tmp_path, "study") == new
    assert store.find(tmp_path, "suites/study.toml") == new


def test_a_run_that_is_not_there_is_answered_with_the_nearest(tmp_path: Path) -> None:
    written(tmp_path / "stacked_speed", run="20260101T000000Z-x")
    with pytest.raises(StoreError, match=r"no run 'staked_speed' .*did you mean 'stacked_speed'\?"):
        store.find(tmp_path, "staked_speed")
    with pytest.raises(StoreError, match="no such file"):
        store.find(tmp_path, str(tmp_path / "none.jsonl"))
    with pytest.raises(StoreError, match="there are none"):
        store.find(tmp_path / "empty", "study")


def test_how_long_jobs_took_is_known_from_earlier_runs_on_this_machine(tmp_path: Path) -> None:
    folder = tmp_path / "study"
    folder.mkdir()
    for run, seconds, status in (
        ("20260101T000000Z-here", 1.0, "ok"),
        ("20260102T000000Z-here-2", 2.0, "ok"),
        ("20260103T000000Z-here", 9.0, "failed"),
        ("20260104T000000Z-elsewhere", 8.0, "ok"),
    ):
        with store.new_run(folder, header(run)) as open_run:
            store.append(open_run, record(0, seconds=seconds, status=status))
            store.append(open_run, record(1, seconds=7.0, origin="another run"))
    assert store.seconds_of_jobs(tmp_path, "study", "here") == {job(0).id: 2.0, "original/fp32/infer": 2.0}
    assert store.seconds_of_jobs(tmp_path, "other", "here") == {}


def test_a_run_that_never_got_its_header_does_not_stop_later_ones(tmp_path: Path) -> None:
    written(tmp_path / "study", 0, run="20260101T000000Z-here")
    (tmp_path / "study" / "20260102T000000Z-here.jsonl").touch()
    assert store.seconds_of_jobs(tmp_path, "study", "here")[job(0).id] == 2.5


def test_trainings_are_known_by_what_they_are_not_by_their_name(tmp_path: Path) -> None:
    """A cell of one name may take minutes by one protocol and days by another."""
    short, long = (builders.training("original", train={"samples": samples}) for samples in (100, 100_000))
    run = header(run="20260101T000000Z-here")
    with store.new_run(tmp_path / "study", run) as open_run:
        store.append(open_run, builders.record(short, seconds=60.0))
        store.append(open_run, builders.record(long, seconds=86400.0))
    known = store.seconds_of_jobs(tmp_path, "study", "here")
    assert known == {short.id: 60.0, pace(short): 60.0, long.id: 86400.0, pace(long): 86400.0}
