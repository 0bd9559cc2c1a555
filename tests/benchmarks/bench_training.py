"""Images per second of training: bench's fast mode against the style of the document's public implementation.

That style is float32, torch's usual memory order, and targets drawn on the CPU, one joint of one image after the other.

    python tests/benchmarks/bench_training.py [--stacks 1] [--features 64] [--depth 3] [--size 128] [--batch 16]

Rounds of the two alternate, so that the machine's drifts fall on both; the ratio is the median over rounds.
"""

import argparse
import os
from statistics import median
from time import perf_counter

import numpy as np
import torch
from torch import Tensor

from bench import plugins
from bench.record import Job
from bench.worker import train
from bench.worker.apply import apply_modes
from bench.worker.losses import LOSSES
from bench.worker.subject import load_dataset, prepare

RECIPE = {"name": "rmsprop_hourglass", "optimizer": "rmsprop", "lr": 2.5e-4, "loss": "heatmap_mse", "sigma": 1.0}
FAST = {"channels_last": True, "amp": "bfloat16"}


def job_of(asked: argparse.Namespace, modes: dict[str, object]) -> Job:
    """A training job of one hourglass on the synthetic people."""
    return Job(
        suite="benchmark",
        variant="hourglass",
        phase="train",
        arch="stacked_hourglass",
        arch_file=str(plugins.path("arch", "stacked_hourglass")),
        options={"stacks": asked.stacks, "features": asked.features, "depth": asked.depth},
        modes=modes,
        data={"use": "synthetic", "size": asked.size, "train": 22246, "val": 1, "options": {}},
        train={"batch": asked.batch, "recipe": RECIPE},
        threads=len(os.sched_getaffinity(0)),
    )


def drawn(joints: Tensor, labelled: Tensor, side: int, stride: float) -> Tensor:
    """Targets as the public ports draw them: a window of 7 x 7 cells for each joint of each image, with NumPy."""
    maps = np.zeros((len(joints), joints.shape[1], side, side), dtype=np.float32)
    axis = np.arange(7) - 3
    bell = np.exp(-(axis[:, None] ** 2 + axis[None, :] ** 2) / 2).astype(np.float32)
    for n in range(len(joints)):
        for k in range(joints.shape[1]):
            if not labelled[n, k]:
                continue
            x, y = (int(v / stride) for v in joints[n, k])
            left, top = max(0, x - 3), max(0, y - 3)
            right, bottom = min(side, x + 4), min(side, y + 4)
            if left < right and top < bottom:
                maps[n, k, top:bottom, left:right] = bell[top - y + 3 : bottom - y + 3, left - x + 3 : right - x + 3]
    return torch.from_numpy(maps)


def public_style(asked: argparse.Namespace) -> "Trainer":
    """Float32, contiguous, targets on the CPU."""
    subject, step = train.start(prepare(job_of(asked, {})))

    def loss(outputs: list[Tensor], batch: dict[str, Tensor], _: dict[str, float]) -> Tensor:
        side = outputs[-1].shape[-1]
        target = drawn(batch["joints"], batch["labelled"], side, asked.size / side)
        return sum((0.5 * ((output - target) ** 2).mean() for output in outputs), torch.zeros(()))

    step.loss_of = loss
    return Trainer(subject, step)


def fast(asked: argparse.Namespace) -> "Trainer":
    """The suite's fast mode, with bench's own loss."""
    subject, step = train.start(apply_modes(prepare(job_of(asked, FAST))))
    step.loss_of = LOSSES["heatmap_mse"]
    return Trainer(subject, step)


class Trainer:
    """Takes steps and says how many images a second they were."""

    def __init__(self, subject: "train.Subject", step: train.Learner) -> None:
        self.step, self.batch = step, int(subject.job.train["batch"])
        self.source = train.batches(subject, load_dataset(subject.job, "train"))

    def images_per_second(self, steps: int) -> float:
        """Loading included."""
        begin = perf_counter()
        for _ in range(steps):
            self.step(next(self.source))
        return steps * self.batch / (perf_counter() - begin)


def main() -> None:
    """Print both rates of every round, and the median of their ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name, default in (("stacks", 1), ("features", 64), ("depth", 3), ("size", 128), ("batch", 16), ("rounds", 7)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--steps", type=int, default=3, help="timed steps per round")
    asked = parser.parse_args()
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    slow, quick = public_style(asked), fast(asked)
    for trainer in (slow, quick):
        trainer.images_per_second(2)
    ratios = []
    for number in range(asked.rounds):
        a, b = slow.images_per_second(asked.steps), quick.images_per_second(asked.steps)
        ratios.append(b / a)
        print(f"round {number + 1}: public style {a:6.1f} images/s, fast {b:6.1f} images/s, {b / a:.2f} x", flush=True)
    print(
        f"median {median(ratios):.2f} x, from {min(ratios):.2f} to {max(ratios):.2f}, {torch.get_num_threads()} threads"
    )


if __name__ == "__main__":
    main()
