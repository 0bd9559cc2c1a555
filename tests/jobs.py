"""Jobs, records and headers for tests that need some."""

from pathlib import Path
from typing import Any

from bench.record import Header, Job, Protocol, Quantity, Record, Value, fingerprints

QUICK = Protocol(
    min_samples=6,
    min_seconds=0.0,
    max_seconds=0.2,
    half_width=0.5,
    warmup_calls=1,
    warmup_seconds=0.0,
    warmup_limit=0.05,
    warmup_window=0.01,
    windows=2,
    window_seconds=0.02,
    train_warmup_steps=1,
    train_steps=2,
    train_seconds=0.0,
    eval_images=4,
    memory_calls=1,
    fvcore_seconds=0.0,
)
"""A protocol that takes as little time as it can; its figures are worth nothing."""

SECONDS = Quantity(name="latency", unit="s", better="lower", title="latency of one call, median")


def job(number: int = 0, **changes: Any) -> Job:
    """A job that differs from others in its round."""
    return Job(**{"suite": "study", "variant": "original", "phase": "infer", "mode": "fp32", "round": number} | changes)


def record(number: int = 0, **changes: Any) -> Record:
    """What came back from `job(number)`: one value with six samples."""
    asked = changes.pop("job", job(number))
    value = Value(quantity=SECONDS, value=0.012, low=0.011, high=0.013, samples=[0.012] * 6)
    answer = {"status": "ok", "id": asked.id, "values": [value], "fingerprints": fingerprints(asked), "seconds": 2.5}
    return Record(**{"job": asked, **answer} | changes)


def header(run: str = "20260101T000000Z-3f2a91c0", **changes: Any) -> Header:
    """The first line of a run."""
    return Header(**{"run": run, "suite": {"name": "study"}, "profile": "quick"} | changes)


ROOT = Path(__file__).parent.parent
HOURGLASS = {"stacks": 1, "features": 8, "depth": 1}
RECIPE = {"name": "tiny", "optimizer": "rmsprop", "lr": 2.5e-4, "loss": "heatmap_mse"}


def tiny(phase: str, *measures: str, **changes: Any) -> Job:
    """A job that a worker does in a moment: a hourglass of one level on images of 32 pixels."""
    asked = {
        "phase": phase,
        "mode": "" if phase == "static" else "fp32",
        "arch": "stacked_hourglass",
        "arch_file": str(ROOT / "archs" / "stacked_hourglass.py"),
        "options": HOURGLASS,
        "data": {"use": "random", "size": 32, "train": 8, "val": 6, "options": {}},
        "infer": {"batch": 2},
        "train": {"batch": 2, "recipe": RECIPE},
        "measures": list(measures),
        "protocol": QUICK,
    }
    return job(**asked | changes)


def own_network(folder: Path, code: str) -> dict[str, Any]:
    """What makes a job measure a network of one's own; `code` defines the class Net."""
    name = f"own_{folder.name}"
    head = "import torch\nfrom torch import nn\n\n"
    (folder / f"{name}.py").write_text(f"{head}{code}\n\ndef make(**options):\n    return Net(**options)\n")
    return {"arch": f"{name}:make", "arch_file": "", "options": {}, "paths": [str(folder)]}
