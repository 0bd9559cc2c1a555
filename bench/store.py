"""results/: one append-only file per run, one JSON line per record, on disk before the next job starts."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from bench.errors import StoreError, nearest
from bench.record import FORMAT, Header, Record, decode_line, encode
from bench.trainings import PHASE, pace

SUFFIX = ".jsonl"


@dataclass(frozen=True, slots=True)
class Run:
    """A run's file, open for appending by this process alone."""

    path: Path
    descriptor: int

    @property
    def artefacts(self) -> Path:
        """Folder for logs and large files, beside the run's file."""
        return self.path.with_suffix("")


@dataclass(frozen=True, slots=True)
class Loaded:
    """What a run's file holds.

    Attributes:
        problems: lines that could not be read, one sentence each; a torn last line is normal after a kill.
    """

    path: Path
    header: Header
    records: list[Record]
    problems: list[str]


def new_name(machine_id: str, folder: Path) -> str:
    """`<utc>-<machine id>`, unique in the folder among runs and folders, so that branches merge without conflicts."""
    stem = f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{machine_id}"
    name, n = stem, 1
    while any(folder.glob(f"{name}*")):
        n += 1
        name = f"{stem}-{n}"
    return name


def check_writable(folder: Path) -> None:
    """Raise StoreError where a run could not be written, before any work is done."""
    made = [path for path in (folder, *folder.parents) if not path.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / f".writable-{os.getpid()}"
        probe.touch()
        probe.unlink()
        for path in made:  # what turns out to be wrong later should leave nothing behind
            path.rmdir()
    except OSError as error:
        raise StoreError(f"{folder}: cannot write results here ({error.strerror}); use --results DIR") from None


@contextmanager
def new_run(folder: Path, header: Header) -> Iterator[Run]:
    """A new run's file with its header; `folder` is results/<suite>."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{header.run}{SUFFIX}"
    with _opened(path, os.O_CREAT | os.O_EXCL) as run:
        _write(run, encode(header))
        yield run


@contextmanager
def continued(path: Path) -> Iterator[Run]:
    """An existing run, open for more records. A torn last line is closed, so that it stays alone."""
    with _opened(path, 0) as run:
        if not path.read_bytes().endswith(b"\n"):
            os.write(run.descriptor, b"\n")
        yield run


@contextmanager
def _opened(path: Path, flags: int) -> Iterator[Run]:
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | flags, 0o644)
    except OSError as error:
        raise StoreError(f"{path}: cannot write ({error.strerror}); use --results DIR") from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield Run(path, descriptor)
    except BlockingIOError:
        raise StoreError(f"{path}: another process is writing this run; wait for it, or start a new run") from None
    finally:
        os.close(descriptor)


def append(run: Run, record: Record) -> None:
    """Put a record on disk: one write of one line, then fsync. When this returns, it survives a kill."""
    _write(run, encode(record))


def _write(run: Run, line: bytes) -> None:
    data = line + b"\n"
    try:
        written = os.write(run.descriptor, data)
        os.fsync(run.descriptor)
    except OSError as error:
        raise StoreError(f"{run.path}: cannot write ({error.strerror}); free some space, then --resume") from None
    if written != len(data):
        raise StoreError(f"{run.path}: only {written} of {len(data)} bytes written; free some space, then --resume")


def read(path: Path) -> Loaded:
    """A run's header and records.

    Raises:
        StoreError: no such file, no header, or a newer format than this bench knows.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise StoreError(f"{path}: cannot read ({error.strerror})") from None
    return parse(path, data)


def parse(path: Path, data: bytes) -> Loaded:
    """A run's header and records from the text of its file, which `path` names in messages; raises as `read` does."""
    lines = data.split(b"\n")
    header: Header | None = None
    records: list[Record] = []
    problems: list[str] = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            item = decode_line(line)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            _refuse_newer(path, number, line)
            torn = number == len(lines)
            problems.append(f"{path}:{number}: {'torn last line' if torn else 'not a record'}, left out ({error})")
            continue
        if item.format > FORMAT:
            _newer(path, number, item.format)
        if isinstance(item, Header):
            header = item
        else:
            records.append(item)
    if header is None:
        raise StoreError(f"{path}:1: not a run of bench (no header line); name a file under results/")
    return Loaded(path, header, records, problems)


def _refuse_newer(path: Path, number: int, line: bytes) -> None:
    """A newer format may have other fields, so ask for its number alone before calling a line broken."""
    try:
        found = msgspec.json.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return
    version = found.get("format") if isinstance(found, dict) else None
    if isinstance(version, int) and version > FORMAT:
        _newer(path, number, version)


def _newer(path: Path, number: int, version: int) -> None:
    raise StoreError(
        f"{path}:{number}: written in format {version} by a newer bench, this one reads up to {FORMAT}; "
        "upgrade with: pip install --upgrade archbench"
    )


def runs(results: Path, suite: str = "*") -> list[Path]:
    """Files of all runs of a suite, oldest first; their names begin with the time."""
    return sorted(results.glob(f"{suite}/*{SUFFIX}"), key=lambda path: path.stem)


def find(results: Path, text: str) -> Path:
    """A run by file, by name, or the latest one of a suite.

    Raises:
        StoreError: there is no such run.
    """
    path = Path(text)
    if path.suffix == SUFFIX:
        if path.is_file():
            return path
        raise StoreError(f"{text}: no such file; bench report SUITE shows the latest run of a suite")
    named = [found for found in runs(results) if found.stem == text]
    of_suite = runs(results, path.stem)
    if named or of_suite:
        return (named or of_suite)[-1]
    known = {found.parent.name for found in runs(results)} | {found.stem for found in runs(results)}
    raise StoreError(f"no run '{text}' under {results}/; {nearest(text, known)}")


def seconds_of_jobs(results: Path, suite: str, machine_id: str) -> dict[str, float]:
    """How long each job took the last time it was ok on this machine, by job id and by cell name.

    Trainings are by job id and by their pace: cells of one name may be trained by protocols as far apart as minutes
    and days.
    """
    found: dict[str, float] = {}
    for path in runs(results, suite):
        if not path.stem.partition("-")[2].startswith(machine_id):
            continue
        # An estimate must not stop a run: a kill or a full disk may have left a file without its header.
        with suppress(StoreError):
            for record in read(path).records:
                if record.status == "ok" and not record.origin:  # what was taken over took no time here
                    found[record.id] = found[_like(record)] = record.seconds
    return found


def _like(record: Record) -> str:
    """What other jobs have in common with this one that take as long."""
    return pace(record.job, record.fingerprints.get(PHASE, {})) if record.job.phase == PHASE else record.job.cell
