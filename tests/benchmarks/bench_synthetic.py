"""Images per second that the synthetic people are drawn at: run as a script; pytest does not collect this file.

Both the time of a CPU and of the clock are printed: on a busy machine only the former says what the code costs.
"""

import sys
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import torch

from bench.worker.datasets import synthetic

BATCHES = {256: 64, 128: 128, 64: 256}
"""Image side -> images per batch."""

SECONDS = 3.0


def rate(side: int, count: int, seconds: float) -> tuple[float, float]:
    """Images per CPU-second and per second of the clock, in one thread, after the banks were made."""
    torch.set_num_threads(1)
    dataset = synthetic.load("train", size=(side, side), count=1 << 20)
    cpu = torch.device("cpu")
    dataset.batch(range(count), cpu)
    first, spent, passed = count, time.process_time(), time.perf_counter()
    while time.perf_counter() - passed < seconds:
        image = dataset.batch(range(first, first + count), cpu)["image"]
        assert image.shape == (count, 3, side, side)
        first += count
    drawn = first - count
    return drawn / (time.process_time() - spent), drawn / (time.perf_counter() - passed)


def main() -> None:
    """Print the rates of one process and of two."""
    seconds = float(sys.argv[1]) if sys.argv[1:] else SECONDS
    for side, count in BATCHES.items():
        for processes in (1, 2):
            with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
                asked = [pool.submit(rate, side, count, seconds) for _ in range(processes)]
                rates = [future.result() for future in asked]
            per_cpu = sum(cpu for cpu, _ in rates) / processes
            total = sum(clock for _, clock in rates)
            print(
                f"{side} px, {processes} x 1 thread: {per_cpu:,.0f} images/CPU-s each, {total:,.0f} images/s together"
            )


if __name__ == "__main__":
    main()
