"""One process, one job: reads a job as a JSON line on stdin, writes its record as a JSON line.

python -m bench.worker < job.json              the record goes to stdout, all else to stderr
python -m bench.worker --pipe FD < job.json    the record goes to that file descriptor
"""

import argparse
import ctypes
import os
import signal
import sys

import msgspec

from bench.record import decode_job, encode

PR_SET_PDEATHSIG = 1  # linux/prctl.h


def die_with_parent() -> None:
    """Have the kernel kill this process when its parent dies (Linux): an orphan would disturb the next run."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    parent = os.environ.get("BENCH_PARENT", "")
    if parent and int(parent) != os.getppid():
        sys.exit("bench.worker: the parent is gone already")


def main() -> None:
    """Do each job that comes on stdin (more than one only where nothing is measured)."""
    die_with_parent()
    parser = argparse.ArgumentParser(prog="python -m bench.worker", description=__doc__.splitlines()[0])
    parser.add_argument("--pipe", type=int, metavar="FD", help="file descriptor that the record is written to")
    pipe = parser.parse_args().pipe
    if pipe is None:
        # Libraries print; only the record may reach stdout.
        pipe = os.dup(1)
        os.dup2(2, 1)
    from bench.worker.work import work  # imports torch: a wrong command line should not wait for it

    for line in sys.stdin.buffer:
        try:
            job = decode_job(line)
        except msgspec.DecodeError as error:
            sys.exit(f"bench.worker: not a job: {error}")
        with open(pipe, "wb", closefd=False) as out:
            out.write(encode(work(job)) + b"\n")


if __name__ == "__main__":
    main()
