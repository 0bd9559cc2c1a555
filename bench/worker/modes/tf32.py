"""TF32 in convolutions and matrix products: float32 tensors, of whose mantissa tensor cores read 10 bits.

It is what torch does in convolutions on a GPU if nobody says otherwise; here it is a mode of its own, since every other
mode is strict fp32. Where a network computes in a reduced type already, nothing is left for it to do.

The switches are of the whole process: they reach the backward pass, and a compiler reads them. So `FP32_PRECISION`
tells those who check that nobody changed them what this mode asks for. Has not run on a GPU yet.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Literal

import torch
from torch import Tensor, nn

from bench.errors import Unavailable
from bench.worker.numerics import relative_l2
from bench.worker.subject import PRODUCTS, Subject, watch

ORDER = 25
PHASES = ("infer", "train")
EXCLUDES = ("amp", "half")

FP32_PRECISION = "tf32"
"""What torch's switches must say while this mode is in effect, instead of "ieee"."""

# TF32 rounds operands to 2^-11 = 4.9e-4; errors of about 50 layers in a row add up to some ten times that (estimated).
TOLERANCE = 5e-3

FIRST_CAPABILITY = (8, 0)

SEEN = 1e-6
"""Relative L2 difference between a layer's result and its strict one above which its operands were rounded: in fp32
the order of sums leaves at most some 1e-7, TF32 some 3e-4."""


def probe() -> str | None:
    """TF32 is of NVIDIA's tensor cores alone."""
    return None if torch.cuda.is_available() else "no CUDA device"


def apply(subject: Subject, option: Literal[True]) -> Subject:
    """Switch it on for convolutions, recurrent layers and matrix products.

    Each is set by itself, since before torch 2.12 the global switch does not reach convolutions.

    Raises:
        Unavailable: the job does not run on CUDA, or on a device before Ampere.
    """
    if subject.device.type != "cuda":
        raise Unavailable(f"no CUDA device (this job runs on {subject.device.type})")
    capability = torch.cuda.get_device_capability(subject.device)
    if capability < FIRST_CAPABILITY:
        raise Unavailable(f"compute capability {capability[0]}.{capability[1]} < 8.0 (tf32)")
    for backend in backends().values():
        backend.fp32_precision = FP32_PRECISION
    return replace(subject, tolerance=max(subject.tolerance, TOLERANCE))


def prove(subject: Subject) -> str | None:
    """The switches must still stand, and a layer's result must differ from the one that strict fp32 gives it."""
    wrong = [name for name, backend in backends().items() if backend.fp32_precision != FP32_PRECISION]
    if wrong:
        return f"mode not applied ({wrong[0]}.fp32_precision is {backends()[wrong[0]].fp32_precision})"
    rounded = 0

    def look(_: str, module: nn.Module, image: Tensor, out: Tensor) -> None:
        nonlocal rounded
        with strictly():
            strict = module.forward(image)
        rounded += relative_l2(out.double(), strict.double()) > SEEN

    total = watch(subject, PRODUCTS, look)
    # Not all: cuDNN may have no TF32 kernel for a layer's shape, or find another one faster.
    return None if rounded else f"mode not applied (0 of {total} layers in tf32)"


def backends() -> dict[str, Any]:
    """Torch's switches by name: what each of them covers."""
    cudnn: Any = torch.backends.cudnn  # its parts are not annotated
    return {"cuda.matmul": torch.backends.cuda.matmul, "cudnn.conv": cudnn.conv, "cudnn.rnn": cudnn.rnn}


@contextmanager
def strictly() -> Iterator[None]:
    """Strict fp32 within, TF32 after."""
    for backend in backends().values():
        backend.fp32_precision = "ieee"
    try:
        yield
    finally:
        for backend in backends().values():
            backend.fp32_precision = FP32_PRECISION
