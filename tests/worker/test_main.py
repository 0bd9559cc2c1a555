"""The worker as a program: one JSON line in, one out."""

import os
import subprocess
import sys
from pathlib import Path

from jobs import ROOT, own_network, tiny

from bench.engines import local
from bench.record import decode_record, encode

CHATTY = """
print("built")
class Net(nn.Module):
    def forward(self, image):
        print("called")
        return image
"""


def run(stdin: bytes, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "bench.worker", *arguments]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.run(command, input=stdin, capture_output=True, env=environment, timeout=60, check=False)


def test_by_hand_only_the_record_reaches_stdout(tmp_path: Path) -> None:
    job = tiny("static", "params", **own_network(tmp_path, CHATTY))
    done = run(encode(job) + b"\n")
    assert done.returncode == 0
    record = decode_record(done.stdout.strip())
    assert (record.id, record.status) == (job.id, "ok")
    assert b"built" in done.stderr


def test_what_is_no_job_ends_it_with_a_sentence() -> None:
    done = run(b'{"suite": 1}\n')
    assert (done.returncode, done.stdout) == (1, b"")
    assert done.stderr.startswith(b"bench.worker: not a job: ")


def test_through_the_engine(tmp_path: Path) -> None:
    job = tiny("infer", "memory", artefacts=str(tmp_path / "run"), timeout=60.0)
    (record,) = local.execute([job])
    assert (record.status, record.reason) == ("ok", "")
    assert record.environment["environment"]["OMP_NUM_THREADS"] == "1"
    assert record.job.arch_file == ""
    (peak,) = [value for value in record.values if value.quantity.name == "peak_memory"]
    assert 2**16 < (peak.value or 0) < 2**30
