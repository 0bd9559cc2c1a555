"""Counting a network without building it: on the meta device."""

from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode


def on_meta(build: Callable[..., nn.Module], **options: Any) -> nn.Module:
    with torch.device("meta"):
        return build(**options)


def count(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def macs(model: nn.Module, *shape: int, training: bool = False) -> int:
    counter = FlopCounterMode(display=False)
    with torch.no_grad(), counter:
        model.train(training)(torch.empty(1, *shape, device="meta"))
    return counter.get_total_flops() // 2
