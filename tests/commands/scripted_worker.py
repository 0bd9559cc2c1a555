"""A worker without torch: answers at once, or does what the option `do` of its job says, so that runs are quick."""

import argparse
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from msgspec.structs import replace

from bench.record import Job, Quantity, Record, Value, decode_job, digest, encode, fingerprints
from bench.worker.__main__ import die_with_parent

QUANTITIES = {
    "static": Quantity(name="params", unit="1", better="lower", title="parameters", exact=True),
    "infer": Quantity(name="latency", unit="s", better="lower", title="latency"),
    "train": Quantity(name="train_step", unit="s", better="lower", title="training step"),
    "accuracy": Quantity(name="pckh.total", unit="%", better="higher", title="PCKh@0.5 total"),
}


def answer(job: Job, status: str = "ok", reason: str = "") -> Record:
    """A record that looks like one; the network's fingerprint changes with the variable NETWORK."""
    network = digest([job.arch, job.options, job.data.get("size"), os.environ.get("NETWORK", "")])
    environment = {"network": network, "pid": os.getpid()}
    values = []
    if status == "ok" and job.phase == "accuracy":
        score = 60.0 + job.seed
        values = [Value(quantity=QUANTITIES["accuracy"], value=score, low=score - 1, high=score + 1, samples=[score])]
    elif status == "ok" and job.phase in QUANTITIES:
        number = 7 if job.phase == "static" else 0.02 + 0.001 * job.round
        values = [Value(quantity=QUANTITIES[job.phase], value=number, samples=[number] * 3)]
    return Record(
        job=job,
        id=job.id,
        status=status,
        reason=reason,
        values=values,
        fingerprints=fingerprints(job),
        environment=environment,
    )


def mismatch(job: Job) -> Record:
    record = answer(job)
    flagged = Value(quantity=record.values[0].quantity, value=1.0, flags=["mismatch"])
    return Record(job=job, id=job.id, status="ok", values=[flagged], fingerprints=record.fingerprints)


def wait(job: Job) -> Record:
    """Say that the job has begun, then wait for the word of the test."""
    stage = Path(os.environ["STAGE"])
    (stage / f"{job.id}.started").write_text(str(os.getpid()))
    while not (stage / "go").exists():
        time.sleep(0.01)
    return answer(job)


def hang(job: Job) -> Record:
    time.sleep(60)
    return answer(job)


def be_killed(job: Job) -> Record:
    os.kill(os.getpid(), signal.SIGKILL)
    return answer(job)


def say_nothing(job: Job) -> Record:
    sys.exit(0)


def fail_once(job: Job) -> Record:
    """Fails until the file `mended` is there."""
    mended = (Path(os.environ["STAGE"]) / "mended").exists()
    return answer(job) if mended else answer(job, "failed", "ValueError: not yet")


LADDER = {"fp32": 2.0, "channels_last": 1.0, "amp": 1.5, "channels_last+amp": 0.5}
"""Mode -> how many times as long as another a call takes."""


def climb(job: Job) -> Record:
    """Every mode comes out in its own way: those of LADDER are fast or slow, one is wrong, the others cannot run."""
    if job.mode == "channels_last+amp":
        return mismatch(job)
    if job.mode not in LADDER:
        return answer(job, "skipped", f"no device for {job.mode}")
    record = answer(job)
    values = [replace(value, value=0.02 * LADDER[job.mode] * (1 + 0.01 * job.round)) for value in record.values]
    return replace(record, values=values)


ACTS: dict[str, Callable[[Job], Record]] = {
    "": answer,
    "wait": wait,
    "hang": hang,
    "be killed": be_killed,
    "say nothing": say_nothing,
    "fail": lambda job: answer(job, "failed", "ValueError: the middle layer is missing"),
    "fail once": fail_once,
    "be absent": lambda job: answer(job, "skipped", "energy: no meter here"),
    "be wrong": mismatch,
    "climb": climb,
    "climb and fail": lambda job: answer(job, "failed", "no graph") if job.mode == "amp" else climb(job),
}


def done(job: Job) -> Record:
    """Checks go well, unless they are what is scripted."""
    do = str(job.options.get("do", ""))
    if job.phase != "check":
        return ACTS[do](job)
    return answer(job, "failed", "do = 'not fit': as asked") if do == "not fit" else answer(job)


def serve(answer_to: Callable[[Job], Record]) -> None:
    """Be a worker: a job on each line of stdin, its record on the pipe."""
    die_with_parent()
    parser = argparse.ArgumentParser()
    parser.add_argument("--pipe", type=int, required=True)
    pipe = parser.parse_args().pipe
    out: BinaryIO
    with open(pipe, "wb", closefd=False) as out:
        for line in sys.stdin.buffer:
            out.write(encode(answer_to(decode_job(line))) + b"\n")
            out.flush()


if __name__ == "__main__":
    serve(done)
