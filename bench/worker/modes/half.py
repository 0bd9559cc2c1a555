"""The whole network in bfloat16 or float16, weights and activations; its outputs stay in that type.

Beside `amp`, which keeps the weights in float32 and casts them in every call: 757 operators more on the 1,312 of the
eight-stack hourglass (counted), each a launch on a GPU. A CPU without bfloat16 or float16 instructions runs
it too, but slower than float32. What a network computes in float32 by its own code stays as it is.

Has not run on a GPU yet.
"""

from collections import Counter
from dataclasses import replace
from typing import Literal

import torch
from torch import Tensor, nn

from bench.errors import Unavailable, first_line
from bench.worker.subject import PRODUCTS, Subject, watch

ORDER = 10
PHASES = ("infer",)
EXCLUDES = ("amp",)

# Measured on the eight-stack hourglass: 1.72e-2 in bfloat16; float16 has three more bits.
TOLERANCES = {"bfloat16": 3e-2, "float16": 1e-2}

# bfloat16 tensor cores came with Ampere, those of float16 with Volta; below, the type would run on ordinary cores.
FIRST_CAPABILITY = {"bfloat16": (8, 0), "float16": (7, 0)}


def probe() -> str | None:
    """Whether a device knows the type is for `apply` to say, which sees both."""
    return None


def apply(subject: Subject, option: Literal["bfloat16", "float16"]) -> Subject:
    """Cast the network and the inputs that are timed; an image that comes in float32 is cast in the call.

    Raises:
        Unavailable: the device has no convolutions in this type, or its compute capability is too low for it.
    """
    dtype = getattr(torch, option)
    check_device(subject.device, option)
    # Outside inference mode, so that the new weights are ordinary tensors in every later mode.
    with torch.inference_mode(False), torch.no_grad():
        subject.model.to(dtype)
        inputs = tuple(image.to(dtype) for image in subject.inputs)
    inner = subject.call

    def call(image: Tensor) -> object:
        return inner(image.to(dtype))  # nothing is done where it has the type

    tolerance = max(subject.tolerance, TOLERANCES[option])
    return replace(subject, call=call, inputs=inputs, tolerance=tolerance)


def check_device(device: torch.device, option: str) -> None:
    """Raise Unavailable with the reason where the device cannot compute in the type."""
    if device.type == "cuda":
        capability = torch.cuda.get_device_capability(device)
        if capability < FIRST_CAPABILITY[option]:
            least = ".".join(map(str, FIRST_CAPABILITY[option]))
            raise Unavailable(f"compute capability {capability[0]}.{capability[1]} < {least} ({option})")
        return
    image = torch.ones(1, 1, 3, 3, dtype=getattr(torch, option), device=device)
    try:
        torch.nn.functional.conv2d(image, image)
    except RuntimeError as error:  # older builds of torch have no float16 convolution on the CPU
        raise Unavailable(f"no {option} on {device.type} ({first_line(error)})") from None


def prove(subject: Subject) -> str | None:
    """Every weight must have the type, and every convolution and linear layer must have read it and put it out."""
    name = str(subject.job.modes["half"])
    wanted = getattr(torch, name)
    weights = [p for p in subject.model.parameters() if p.is_floating_point()]
    kept = sum(p.dtype != wanted for p in weights)
    if kept:
        return f"mode not applied ({kept} of {len(weights)} weights are not in {name})"
    types: Counter[tuple[torch.dtype, torch.dtype]] = Counter()

    def look(_: str, __: nn.Module, image: Tensor, out: Tensor) -> None:
        types[image.dtype, out.dtype] += 1

    total = watch(subject, PRODUCTS, look)
    if types[wanted, wanted] == total > 0:
        return None
    return f"mode not applied ({types[wanted, wanted]} of {total} layers in {name})"
