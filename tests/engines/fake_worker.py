"""A worker without torch: does what the job's option `do` says, so that the engine meets every kind of end."""

import argparse
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from bench.record import Job, Record, decode_job, encode, fingerprints

Send = Callable[[bytes], None]


def answer(job: Job, **changes: object) -> bytes:
    """A record that says what environment the worker found."""
    seen = {name: os.environ.get(name, "") for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "PYTHONUNBUFFERED")}
    facts = {"pid": os.getpid(), **seen}
    whole = {
        "job": job,
        "id": job.id,
        "status": "ok",
        "fingerprints": fingerprints(job),
        "environment": facts,
    } | changes
    return encode(msgspec.convert(whole, Record, from_attributes=True)) + b"\n"


def fine(job: Job, send: Send) -> None:
    send(answer(job))


def fail_with_a_traceback(job: Job, send: Send) -> None:
    raise RuntimeError("as asked")


def be_killed(job: Job, send: Send) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def be_killed_once(job: Job, send: Send) -> None:
    """The first attempt dies, the second one answers."""
    mark = Path(job.artefacts) / "attempted"
    if mark.exists():
        send(answer(job))
        return
    mark.touch()
    os.kill(os.getpid(), signal.SIGKILL)


def hang(job: Job, send: Send) -> None:
    start_child(job)
    time.sleep(60)


def start_child(job: Job) -> None:
    """A child that outlives its parent and holds the pipe open, as data loaders do."""
    child = subprocess.Popen(["sleep", "60"], close_fds=False)
    (Path(job.artefacts) / "child").write_text(str(child.pid))


def leave_a_child(job: Job, send: Send) -> None:
    start_child(job)


def answer_and_leave_a_child(job: Job, send: Send) -> None:
    start_child(job)
    send(answer(job))


def answer_and_linger(job: Job, send: Send) -> None:
    send(answer(job))
    time.sleep(60)


def send_garbage(job: Job, send: Send) -> None:
    send(b"Segmentation fault\n")


def send_half(job: Job, send: Send) -> None:
    send(answer(job)[:40])


def say_nothing(job: Job, send: Send) -> None:
    """End well, without a record."""


def answer_for_another(job: Job, send: Send) -> None:
    send(answer(job, id="0123456789abcdef"))


def chatter(job: Job, send: Send) -> None:
    print("Downloading weights", flush=True)
    print("UserWarning: old driver", file=sys.stderr, flush=True)
    send(answer(job))


def fill_caches(job: Job, send: Send) -> None:
    """As a compiler does: leave something for later processes, and say what earlier ones left."""
    names = ("TORCHINDUCTOR_CACHE_DIR", "TRITON_CACHE_DIR")
    folder = Path(os.environ[names[0]])
    folder.mkdir(parents=True, exist_ok=True)
    found = len(list(folder.iterdir()))
    (folder / "kernel.so").touch()
    send(answer(job, environment={"found": found, **{name: os.environ[name] for name in names}}))


def fill_caches_and_hang(job: Job, send: Send) -> None:
    """A compiler that does not come to an end."""
    fill_caches(job, lambda _: None)
    time.sleep(60)


def be_large(job: Job, send: Send) -> None:
    send(answer(job, environment={"much": "x" * 1_000_000}))


def be_slow(job: Job, send: Send) -> None:
    """A line that comes in pieces."""
    line = answer(job)
    send(line[:30])
    time.sleep(0.1)
    send(line[30:])


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--pipe", type=int)
    pipe = parser.parse_args().pipe
    for line in sys.stdin.buffer:
        job = decode_job(line)
        with open(pipe, "wb", closefd=False) as out:

            def send(data: bytes, out: object = out) -> None:
                out.write(data)  # type: ignore[attr-defined]
                out.flush()  # type: ignore[attr-defined]

            globals()[job.options["do"]](job, send)


if __name__ == "__main__":
    main()
