"""A fingerprint of the network itself: which operators run on which shapes, whatever the code is called."""

from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from bench.record import digest
from bench.worker.subject import Subject


class _Operators(TorchDispatchMode):
    """Notes every operator with the shapes of its arguments and its other arguments."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.seen: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        self.seen.append(f"{func} {_shapes(args)} {_shapes(kwargs or {})} {_shapes(out)}")
        return out


def _shapes(data: Any) -> Any:
    if isinstance(data, torch.Tensor):
        return f"{data.dtype}{tuple(data.shape)}"
    if isinstance(data, dict):
        return {key: _shapes(value) for key, value in data.items()}
    return [_shapes(item) for item in data] if isinstance(data, list | tuple) else data


def fingerprint(subject: Subject) -> tuple[str, torch.Tensor]:
    """Hash of the operators, shapes and parameters of a forward on the meta device, and that forward's prediction.

    A change of code that leaves the computation as it was leaves this as it was.
    """
    operators = _Operators()
    with torch.no_grad(), operators:
        output = subject.forward(subject.inputs[0])[-1]
    parameters = [[name, list(p.shape), p.requires_grad] for name, p in subject.model.named_parameters()]
    return digest({"operators": operators.seen, "parameters": parameters}), output
