"""Automatic mixed precision: convolutions and matrix products in bfloat16 or float16, weights kept in float32."""

from collections import Counter
from dataclasses import replace
from typing import Literal

import torch
from torch import Tensor, nn

from bench.errors import Unavailable
from bench.worker.subject import PRODUCTS, Subject, watch

ORDER = 30
PHASES = ("infer", "train")
EXCLUDES: tuple[str, ...] = ()

# Measured on the eight-stack hourglass: 1.7e-2 in bfloat16; float16 has three more bits.
TOLERANCES = {"bfloat16": 3e-2, "float16": 1e-2}

FIRST_CAPABILITY = {"bfloat16": (8, 0), "float16": (7, 0)}


def probe() -> str | None:
    """Every torch has autocast; whether a device knows the type is for `apply` to say, which sees both."""
    return None


def apply(subject: Subject, option: Literal["bfloat16", "float16"]) -> Subject:
    """Wrap each call in autocast. The context is entered inside the call, since one around a loop caches the casts.

    Raises:
        Unavailable: the device has no autocast, or its compute capability is too low for the type.
    """
    if not torch.amp.is_autocast_available(subject.device.type):
        raise Unavailable(f"no autocast on {subject.device.type}")
    if subject.device.type == "cuda":
        capability = torch.cuda.get_device_capability(subject.device)
        if capability < FIRST_CAPABILITY[option]:
            least = ".".join(map(str, FIRST_CAPABILITY[option]))
            raise Unavailable(f"compute capability {capability[0]}.{capability[1]} < {least} ({option})")
    dtype = getattr(torch, option)
    kind = subject.device.type
    inner = subject.call

    def call(image: Tensor) -> object:
        with torch.autocast(kind, dtype):
            return inner(image)

    tolerance = max(subject.tolerance, TOLERANCES[option])
    return replace(subject, call=call, tolerance=tolerance, scale_loss=option == "float16")


def prove(subject: Subject) -> str | None:
    """Every convolution and linear layer must have put out the reduced type."""
    wanted = getattr(torch, str(subject.job.modes["amp"]))
    types: Counter[torch.dtype] = Counter()

    def look(_: str, __: nn.Module, ___: Tensor, out: Tensor) -> None:
        types[out.dtype] += 1

    total = watch(subject, PRODUCTS, look)
    if types[wanted] == total > 0:
        return None
    return f"mode not applied ({types[wanted]} of {total} layers in {str(wanted).removeprefix('torch.')})"
