"""A made-up ladder: one network in nine modes and three rounds, seeded noise, and one of everything that can come."""

from random import Random
from typing import Any

from builders import ERROR, LATENCY, MACHINE

from bench.record import Job, Quantity, Record, Value, fingerprints

COLD = Quantity(name="compile_time.cold", unit="s", better="lower", title="compile time, empty caches")
WARM = Quantity(name="compile_time.warm", unit="s", better="lower", title="compile time, caches of an earlier process")

CL, AMP = {"channels_last": True}, {"amp": "bfloat16"}

MODES: dict[str, dict[str, Any]] = {
    "fp32": {},
    "fold": {"fold": True},
    "half": {"half": "bfloat16"},
    "channels_last": CL,
    "tf32": {"tf32": True},
    "amp": AMP,
    "compile": {"compile": "default"},
    "cudagraph": {"cudagraph": True},
    "tensorrt-float16": {"tensorrt": "float16"},
    "channels_last+amp": CL | AMP,
    "channels_last+amp+compile-freezing": CL | AMP | {"compile": "freezing"},
}

SUITE: dict[str, Any] = {
    "name": "made_up-modes",
    "title": "Execution modes of original",
    "profile": "quick",
    "measures": ["infer"],
    "modes": {name: {"plugins": keys} for name, keys in MODES.items()},
    "variants": [{"name": "original", "data": {"use": "random", "size": 256}, "infer": {"batch": 1}, "train": {}}],
}

SPEED = {"fp32": 1.0, "fold": 0.98, "half": 2.9, "channels_last": 1.34, "amp": 1.2, "compile": 1.77}
SPEED |= {"channels_last+amp": 2.31, "channels_last+amp+compile-freezing": 3.7}
"""How many times as fast as fp32, of the modes that give a figure."""

OFF = {"fold": 3.7e-7, "half": 0.31, "channels_last": 4.6e-7, "amp": 6.6e-3, "compile": 4.6e-7}
OFF |= {"channels_last+amp": 6.6e-3, "channels_last+amp+compile-freezing": 6e-3}
"""Error against fp32; that of half is beyond its tolerance."""

COMPILING = {"compile": (64.7, 4.1), "channels_last+amp+compile-freezing": (11.8, 1.8)}
"""Seconds with empty and with filled caches."""

UNAVAILABLE = {"tf32": "no CUDA device", "cudagraph": "no CUDA device"}
UNAVAILABLE |= {"tensorrt-float16": "torch_tensorrt is not installed (pip install torch-tensorrt==2.13.*)"}


def job(mode: str, number: int = 0) -> Job:
    """A job of the ladder."""
    return Job(
        suite="made_up-modes",
        variant="original",
        phase="infer",
        mode=mode,
        modes=MODES[mode],
        round=number,
        arch="made_up",
        data={"use": "random", "size": 256},
        infer={"batch": 1},
        threads=16,
    )


def record(of: Job, values: list[Value] | None = None, status: str = "ok", reason: str = "") -> Record:
    """What came back from it."""
    return Record(
        job=of,
        id=of.id,
        status=status,
        reason=reason,
        values=values or [],
        fingerprints=fingerprints(of),
        machine=MACHINE,
        started="2026-01-05T10:00:00Z",
    )


def values(mode: str, time: float) -> list[Value]:
    """What a job of a mode finds."""
    wrong = ["mismatch"] if mode == "half" else []
    found = [Value(quantity=LATENCY, value=time, flags=["noisy", *wrong] if mode == "amp" else wrong)]
    if mode in OFF:
        how = "mismatch: relative L2 3.1e-01 > 3.0e-02" if wrong else "tolerance 3e-02"
        found.append(Value(quantity=ERROR, value=OFF[mode], flags=wrong, how=how))
    else:
        found.append(Value(quantity=ERROR, reason="this mode is what the others are compared with"))
    for quantity, seconds in zip((COLD, WARM), COMPILING.get(mode, ()), strict=False):
        found.append(Value(quantity=quantity, value=seconds))
    return found


def records(*, rounds: int = 3, leave_out: tuple[str, ...] = ()) -> list[Record]:
    """The whole run."""
    noise = Random(3)
    found = []
    for number in range(rounds):
        drift = (1.0, 1.03, 0.99)[number]
        for mode in (mode for mode in MODES if mode not in leave_out):
            if mode in UNAVAILABLE:
                if number == 0:
                    found.append(record(job(mode), status="skipped", reason=UNAVAILABLE[mode]))
                continue
            found.append(record(job(mode, number), values(mode, 0.0585 / SPEED[mode] * drift * noise.gauss(1, 0.01))))
    return found
