"""CPU time of `bench report` and `bench leaderboard` over 10,000 records.

Run as `python tests/benchmarks/bench_leaderboard.py`.

It prints user + system seconds of whole processes, imports included, as a markdown table, and ends with 1 where one
is over the goal. A machine that has other work to do counts more of them. pytest does not collect this file.
"""

import resource
import subprocess
import sys
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

TESTS = Path(__file__).parent.parent
sys.path[:0] = [str(TESTS), str(TESTS.parent)]

from builders import (  # noqa: E402
    COUNTS,
    EPOCH,
    INFER_MEMORY,
    LATENCY,
    MACHINE,
    MACS,
    PARAMS,
    STEP,
    SUITE,
    THROUGHPUT,
    trained,
)
from builders import job as made_up_job  # noqa: E402
from builders import record as made_up_record  # noqa: E402
from msgspec.structs import replace  # noqa: E402

from bench.record import Header, Record, Value, encode  # noqa: E402

RUNS, VARIANTS, ROUNDS, SAMPLES = 40, 25, 3, 40
GOAL = 2.0
BLOCK = "<!-- bench:begin made_up -->\n<!-- bench:end -->\n"


def a_run(number: int, variants: int = VARIANTS, rounds: int = ROUNDS) -> tuple[Header, list[Record]]:
    """One run of many variants in two modes: static, infer, train and, in every tenth run, accuracy."""
    noise = Random(number)
    names = [f"v{n}" for n in range(variants)]
    started = f"2026-01-{1 + number // 2:02d}T{10 + number % 2}:00:00Z"
    found = []
    for n, name in enumerate(names):
        params, macs = COUNTS["original"]
        counts = [Value(quantity=PARAMS, value=params + n), Value(quantity=MACS, value=macs + n)]
        found.append(made_up_record(made_up_job(name, "static"), counts, started=started))
        if number % 10 == 0:
            found.append(trained(name, 50.0 + n / 2, started=started))
        for order in range(rounds):
            for mode in ("fp32", "fast"):
                time = (0.1 + n / 100) * (0.5 if mode == "fast" else 1.0) * noise.gauss(1, 0.005)
                samples = [time * noise.gauss(1, 0.01) for _ in range(SAMPLES)]
                values = [
                    Value(quantity=LATENCY, value=time, samples=samples),
                    Value(quantity=THROUGHPUT, value=1 / time, samples=[1 / x for x in samples[:5]]),
                    Value(quantity=INFER_MEMORY, value=int(1e9 + n)),
                ]
                found.append(
                    made_up_record(made_up_job(name, "infer", mode=mode, number=order), values, started=started)
                )
            step = 0.3 * noise.gauss(1, 0.005)
            values = [
                Value(quantity=STEP, value=step, samples=[step] * SAMPLES),
                Value(quantity=EPOCH, value=1000 * step),
            ]
            found.append(made_up_record(made_up_job(name, "train", mode="fast", number=order), values, started=started))
    suite = SUITE | {"variants": [{"name": name} for name in names], "baseline": "v0", "rounds": rounds}
    run = f"202601{1 + number // 2:02d}T{10 + number % 2}0000Z-{MACHINE['id']}"
    return Header(run=run, suite=suite, profile="quick", machine=MACHINE, source={"dirty": ""}, started=started), found


def write(folder: Path, header: Header, records: list[Record]) -> None:
    """A run's file."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = [encode(header), *(encode(replace(record, id=record.job.id)) for record in records), b""]
    (folder / f"{header.run}.jsonl").write_bytes(b"\n".join(lines))


def seconds(folder: Path, *arguments: str) -> float:
    """User + system time of one command."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [sys.executable, "-m", "bench", *arguments]
    environment = {"PYTHONPATH": str(TESTS.parent), "PATH": "/usr/bin:/bin", "OMP_NUM_THREADS": "1"}
    subprocess.run(command, cwd=folder, env=environment, check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main(runs: int = RUNS, variants: int = VARIANTS, rounds: int = 33) -> int:
    """Make the records, run both commands three times, print the least, and find the exit code."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        count = 0
        for number in range(runs):
            header, records = a_run(number, variants)
            count += len(records)
            write(folder / "results" / "made_up", header, records)
        header, records = a_run(0, 4 * variants, rounds)
        write(folder / "one", header, records)
        (folder / "README.md").write_text(BLOCK)
        board = min(seconds(folder, "leaderboard") for _ in range(3))
        report = min(seconds(folder, "report", f"one/{header.run}.jsonl") for _ in range(3))
        size = sum(path.stat().st_size for path in folder.rglob("*.jsonl"))
    print(f"{size / 1e6:.0f} MB of records; CPU seconds, the least of three, goal {GOAL}")
    print()
    print("| command | records | CPU |")
    print("| :-- | --: | --: |")
    print(f"| bench leaderboard, {runs} runs | {count} | {board:.2f} s |")
    print(f"| bench report, one run | {len(records)} | {report:.2f} s |")
    return int(max(board, report) > GOAL)


if __name__ == "__main__":
    sys.exit(main())
