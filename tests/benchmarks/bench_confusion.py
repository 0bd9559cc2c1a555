"""Time to count the pixels of a batch by label and prediction, against torchmetrics without its validation.

Run as `python tests/benchmarks/bench_confusion.py`; pytest does not collect this file. Rounds of all alternate, so
that the machine's drifts fall on each; the figures are medians of one thread. It ends with 1 where the counts differ
or ours take longer. Of classes, both are given what the network would answer; of logits, both take the largest first,
and ours also looks for what is not finite and keeps the answer.
"""

import sys
from collections.abc import Callable
from statistics import median
from time import perf_counter

import torch
from torchmetrics.functional.classification import multiclass_confusion_matrix

from bench.worker.confusion import binned, scattered
from bench.worker.metrics.segmentation import Metric

IMAGES, CLASSES, SIDE = 16, 25, 256
ROUNDS = 15


def calls() -> dict[str, tuple[Callable[[], torch.Tensor], ...]]:
    """What is compared -> ours, then theirs; all give a C x C matrix."""
    generator = torch.Generator().manual_seed(0)
    # Smooth, as people are: neighbours mostly share a label. Four fifths are background.
    coarse = torch.randint(-100, CLASSES, (IMAGES, SIDE // 16, SIDE // 16), generator=generator).clamp(min=0)
    label = coarse.repeat_interleave(16, 1).repeat_interleave(16, 2)
    logits = torch.randn(IMAGES, CLASSES, SIDE, SIDE, generator=generator)
    logits += 3 * torch.nn.functional.one_hot(label, CLASSES).movedim(-1, 1)
    predicted, part = logits.argmax(1), label.to(torch.uint8)
    narrow = predicted.to(torch.uint8)

    def theirs(answer: torch.Tensor, ignored: int | None = None) -> torch.Tensor:
        found: torch.Tensor = multiclass_confusion_matrix(
            answer, label, num_classes=CLASSES, ignore_index=ignored, validate_args=False
        )
        return found

    def ours() -> torch.Tensor:
        metric = Metric()
        metric.update(logits, {"part": part})
        return metric.matrices().sum(0)

    return {
        "of classes": (lambda: binned(part, narrow, CLASSES).sum(0)[:CLASSES], lambda: theirs(predicted)),
        "of classes, 255 ignored": (
            lambda: binned(part, narrow, CLASSES).sum(0)[:CLASSES],
            lambda: theirs(predicted, 255),
        ),
        "of classes, as on a GPU": (
            lambda: scattered(part, narrow, CLASSES).sum(0)[:CLASSES],
            lambda: theirs(predicted, 255),
        ),
        "of logits": (ours, lambda: theirs(logits)),
    }


def main() -> int:
    """Print the medians, and find the exit code."""
    torch.set_num_threads(1)
    compared = calls()
    seconds: dict[tuple[str, int], list[float]] = {(name, side): [] for name in compared for side in (0, 1)}
    different = [name for name, (a, b) in compared.items() if not torch.equal(a(), b())]
    for _ in range(ROUNDS):
        for name, pair in compared.items():
            for side, call in enumerate(pair):
                begin = perf_counter()
                call()
                seconds[name, side].append(perf_counter() - begin)
    print(f"{IMAGES} x {SIDE} x {SIDE} pixels, {CLASSES} classes, one thread, median of {ROUNDS}")
    slower = []
    for name in compared:
        ours, theirs = (1e3 * median(seconds[name, side]) for side in (0, 1))
        print(f"{name}: ours {ours:.1f} ms, torchmetrics {theirs:.1f} ms, {theirs / ours:.2f} x")
        if ours > theirs and "GPU" not in name:
            slower.append(name)
    for problem, names in (("counts differ", different), ("slower", slower)):
        if names:
            print(f"{problem}: {', '.join(names)}")
    return int(bool(different or slower))


if __name__ == "__main__":
    sys.exit(main())
