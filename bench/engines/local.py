"""Jobs run on this machine, one fresh process at a time."""

import atexit
import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, suppress
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from shutil import rmtree
from tempfile import TemporaryFile, mkdtemp
from time import monotonic

import msgspec

from bench import plugins
from bench.record import Job, Record, decode_record, digest, encode, fingerprints

COMMAND = (sys.executable, "-m", "bench.worker")
"""What a worker is started as; `--pipe FD` follows."""

RETRIES = {"crashed": 1, "timeout": 1}
"""Further attempts by cause: a signal or a hang may be the machine's doing; a missing record or memory is not."""

GRACE = 0.2
"""Seconds in which a worker without an answer may still end by itself, so that its status says why."""

THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "TORCHINDUCTOR_COMPILE_THREADS")

CACHE_VARIABLES = {"TORCHINDUCTOR_CACHE_DIR": "inductor", "TRITON_CACHE_DIR": "triton"}
"""Environment variable -> folder: where compilers keep what they have made."""


def execute(jobs: Sequence[Job]) -> Iterator[Record]:
    """Each job in a fresh process; a record comes for every attempt, whatever happened to the process."""
    for job in jobs:
        attempt = 1
        record = run_one(job)
        yield record
        while attempt <= RETRIES.get(_cause(record), 0):
            attempt += 1
            record = msgspec.structs.replace(run_one(job), attempt=attempt)
            yield record


def _cause(record: Record) -> str:
    """What may be tried again; a training whose time was up was stopped on purpose."""
    by_signal = record.status == "crashed" and record.reason.startswith("killed by")
    hung = record.status == "timeout" and record.job.phase != "accuracy"
    return record.status if by_signal or hung else ""


def validate(jobs: Sequence[Job], timeout: float = 300.0, phase: str = "check") -> list[Record]:
    """One worker looks at every job's network on the meta device; nothing is measured or written.

    Args:
        phase: `check` whether it can be built, or `graph` for what it computes.
    """
    checks = [msgspec.structs.replace(job, phase=phase, measures=[], modes={}) for job in jobs]
    if not checks:
        return []
    # Threads do not matter for shapes; the worker's own chatter matters only where it fails to answer.
    with _Worker(checks, None) as worker:
        lines = worker.answers(timeout)
        records = [_decoded(job, line) for job, line in zip(checks, lines, strict=False)]
        silent = [_without_record(job, worker, timeout) for job in checks[len(records) :]]
    return records + silent


def run_one(job: Job) -> Record:
    """One attempt at a job."""
    log = Path(job.artefacts) / f"{job.id}.log" if job.artefacts else None
    if log:
        log.parent.mkdir(parents=True, exist_ok=True)
    begin, started = monotonic(), datetime.now(UTC).isoformat(timespec="seconds")
    try:
        with _Worker([job], log) as worker:
            lines = worker.answers(job.timeout)
            record = _decoded(job, lines[0]) if lines else _without_record(job, worker)
    except OSError as error:  # a full disk or a temporary folder without rights: the run goes on
        record = _failed(job, "failed", f"the worker could not be started: {error}")
    if record.status != "ok" and not record.values and compiles(job):
        with suppress(OSError):  # what is half filled is neither cold nor warm
            rmtree(caches_of(job))
    name = f"{log.parent.name}/{log.name}" if log else ""
    seconds = monotonic() - begin
    return msgspec.structs.replace(record, job=portable(job), log=name, started=started, seconds=seconds)


def portable(job: Job) -> Job:
    """The job without this machine's folders, as it is kept."""
    return msgspec.structs.replace(job, arch_file="", weights="", paths=[], artefacts="")


class _Worker:
    """A worker process in a process group of its own, which is killed on leaving, whatever it started.

    That it is killed also spares the time in which it would give its memory back piece by piece.
    """

    def __init__(self, jobs: Sequence[Job], log: Path | None) -> None:
        self.jobs = jobs
        self.log = log

    def __enter__(self) -> "_Worker":
        # The jobs come from a file: through a pipe, a worker that answers before we have asked everything blocks both.
        with ExitStack() as opened, TemporaryFile() as questions:
            questions.write(b"".join(encode(job) + b"\n" for job in self.jobs))
            questions.seek(0)
            sink = opened.enter_context(self.log.open("ab")) if self.log else subprocess.DEVNULL
            self.read_end, write_end = os.pipe()
            opened.callback(os.close, write_end)
            try:
                self.process = subprocess.Popen(
                    [*COMMAND, "--pipe", str(write_end)],
                    stdin=questions,
                    stdout=sink,
                    stderr=sink,
                    pass_fds=(write_end,),
                    env=environment(self.jobs[0]),
                    start_new_session=True,
                )
            except OSError:
                os.close(self.read_end)
                raise
        return self

    def __exit__(self, *_: object) -> None:
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            self.process.poll()  # the whole group has ended already
        self.process.wait()
        os.close(self.read_end)

    def answers(self, timeout: float) -> list[bytes]:
        """A line for each job; fewer come back where the worker ended or the time was up."""
        deadline = monotonic() + timeout
        received = b""
        while received.count(b"\n") < len(self.jobs) and (left := deadline - monotonic()) > 0:
            # Waking once a second costs nothing and notices a worker that died while a child holds its pipe open;
            # it is asked before, so that an answer which comes with its end is still read.
            ended = self.process.poll() is not None
            ready, _, _ = select.select([self.read_end], [], [], min(left, 1.0))
            chunk = os.read(self.read_end, 1 << 20) if ready else b""
            received += chunk
            if not chunk and (ready or ended):
                break
        return received.splitlines()[: len(self.jobs)]

    @property
    def status(self) -> int | None:
        """The exit status, negative for a signal; None while it runs."""
        try:
            return self.process.wait(GRACE)  # it may have closed its pipe a moment before it ends
        except subprocess.TimeoutExpired:
            return None


def environment(job: Job) -> dict[str, str]:
    """The worker's environment: fixed thread counts, and the same bench as the parent's."""
    home = str(Path(__file__).resolve().parent.parent.parent)
    paths = [home, *filter(None, [os.environ.get("PYTHONPATH")])]
    threads = dict.fromkeys(THREAD_VARIABLES, str(job.threads))
    ours = {"PYTHONPATH": os.pathsep.join(paths), "PYTHONUNBUFFERED": "1", "BENCH_PARENT": str(os.getpid())}
    caches = {name: str(caches_of(job) / folder) for name, folder in CACHE_VARIABLES.items()} if compiles(job) else {}
    return os.environ | threads | ours | caches


def compiles(job: Job) -> bool:
    """Whether a mode keeps what it compiles, of the job's or of those that are checked after a training."""
    checked = (name for modes in job.checks.values() for name in modes)
    return any(plugins.declared_by([*job.modes, *checked], "COMPILES"))


def caches_of(job: Job) -> Path:
    """The folder of compile caches of the job's cell in its run, its own so that the first round finds it empty.

    Later rounds find what the first one left. It goes when this process ends; nothing of it comes among the results.
    """
    anywhere = (job.artefacts, job.arch_file, job.weights, *job.paths)
    return _caches() / digest([msgspec.structs.replace(job, round=0).id, anywhere])


@cache
def _caches() -> Path:
    """Removed with this process; in the system's temporary folder, which TMPDIR names."""
    folder = mkdtemp(prefix="bench-caches-")
    atexit.register(rmtree, folder, ignore_errors=True)
    return Path(folder)


def _decoded(job: Job, line: bytes) -> Record:
    try:
        record = decode_record(line)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        return _failed(job, "crashed", f"the worker's answer is not a record ({error})")
    if record.id != job.id:
        return _failed(job, "crashed", f"the worker answered for another job ({record.id or 'no id'})")
    return record


def _without_record(job: Job, worker: _Worker, timeout: float | None = None) -> Record:
    status = worker.status
    if status is None:
        return _failed(job, "timeout", f"no record within {timeout or job.timeout:g} s; raise --timeout")
    if status < 0:
        name = signal.Signals(-status).name
        hint = " (the system may have run out of memory)" if -status == signal.SIGKILL else ""
        return _failed(job, "crashed", f"killed by {name}{hint}")
    return _failed(job, "crashed", f"the worker ended with status {status} and no record")


def _failed(job: Job, status: str, reason: str) -> Record:
    return Record(job=job, id=job.id, status=status, reason=reason, fingerprints=fingerprints(job))
