"""Weights and activations in channels-last memory order (NHWC), which vector and tensor cores read best."""

from dataclasses import replace
from typing import Literal

import torch
from torch import Tensor, nn

from bench.worker.subject import CONVOLUTIONS, Subject, watch

ORDER = 20
PHASES = ("infer", "train")
EXCLUDES: tuple[str, ...] = ()

# Both fp32 orders are summed differently; measured at most 8e-7 on the hourglass, so 1e-5 is a wide margin.
TOLERANCE = 1e-5


def probe() -> str | None:
    """Runs wherever torch runs."""
    return None


def apply(subject: Subject, option: Literal[True]) -> Subject:
    """Convert the model and every input from now on."""
    layout = torch.channels_last
    subject.model.to(memory_format=layout)  # type: ignore[call-overload]  # the stubs know it for tensors only
    tolerance = max(subject.tolerance, TOLERANCE)
    return replace(subject, layout=layout, tolerance=tolerance).with_inputs(subject.inputs)


def prove(subject: Subject) -> str | None:
    """Every convolution must read channels-last weights and channels-last activations."""
    wrong: list[str] = []

    def look(name: str, module: nn.Module, image: Tensor, _: Tensor) -> None:
        weight = module.weight
        if not (_is_channels_last(image) and isinstance(weight, Tensor) and _is_channels_last(weight)):
            wrong.append(name)

    total = watch(subject, CONVOLUTIONS, look)
    if total == 0:
        return "mode not applied (the network has no convolutions)"
    if wrong:
        return f"mode not applied ({len(wrong)} of {total} convolutions are not channels-last, first {wrong[0]})"
    return None


def _is_channels_last(tensor: Tensor) -> bool:
    """True also for shapes in which both orders are the same memory (one channel, or one pixel)."""
    return tensor.is_contiguous(memory_format=torch.channels_last)
