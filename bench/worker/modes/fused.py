"""The optimizer's step in one kernel for many parameters: fused where it has that, foreach where it has not.

A plain step launches several kernels for each parameter tensor, of which the eight-stack hourglass has 1,464. On CUDA
torch takes foreach by itself, so that RMSprop, which has no fused step, is not changed by this mode there. On a CPU it
gains nothing: measured with Adam, a step had 0.96 of the plain one's speed on a small U-Net, 0.99 on one stack.

Has not run on a GPU yet.
"""

from typing import Any, Literal

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from bench.errors import Unavailable
from bench.worker import train
from bench.worker.subject import Subject

ORDER = 15
PHASES = ("train",)
EXCLUDES: tuple[str, ...] = ()

OPTIMIZER = {"rmsprop": {"foreach": True}, "adam": {"fused": True}, "sgd": {"fused": True}}
"""Recipe's optimizer -> arguments of its constructor, which `train.make_optimizer` reads here (torch 2.13)."""


def probe() -> str | None:
    """Every torch that is supported has both; a device that lacks them is refused by the optimizer itself."""
    return None


def apply(subject: Subject, option: Literal[True]) -> Subject:
    """Nothing to change here: the optimizer is made later, with the arguments in OPTIMIZER.

    Raises:
        Unavailable: nothing is trained, or the recipe's optimizer has neither.
    """
    if not subject.model.training:
        raise Unavailable("it trains only: inference has no optimizer")
    if kind_of(subject) not in OPTIMIZER:
        raise Unavailable(f"optimizer '{kind_of(subject)}' has no fused step")
    return subject


def prove(subject: Subject) -> str | None:
    """The optimizer must hold the arguments, and a step under its settings must run the operators.

    Before a training to the end there is no optimizer yet: then the one that the training will make is looked at.
    """
    recipe = subject.job.train.get("recipe", {})
    optimizer = getattr(subject.step, "optimizer", None)
    if optimizer is None:
        optimizer = train.make_optimizer(subject.model, recipe, subject.job.modes)
    kind = type(optimizer).__name__
    for name in OPTIMIZER[kind_of(subject)]:
        if not all(group.get(name) for group in optimizer.param_groups):
            return f"mode not applied ({kind} has {name} = {optimizer.param_groups[0].get(name)})"
        if not any(operator.startswith(f"_{name}_") for operator in operators(optimizer)):
            return f"mode not applied (a step of {kind} runs no {name} operator)"
    return None


def kind_of(subject: Subject) -> str:
    """The recipe's optimizer."""
    return str(subject.job.train.get("recipe", {}).get("optimizer", "rmsprop"))


def operators(optimizer: torch.optim.Optimizer) -> set[str]:
    """What one step runs, seen on a twin: the same settings on a clone of one parameter, so that no weight moves."""
    group = optimizer.param_groups[0]
    weight = group["params"][0].detach().clone().requires_grad_()
    weight.grad = torch.zeros_like(weight)
    settings: dict[str, Any] = {name: group[name] for name in optimizer.defaults}
    twin = type(optimizer)([weight], **settings)
    listening = Listening()
    with listening:
        twin.step()
    return listening.names


class Listening(TorchDispatchMode):
    """Notes the name of every operator that is run within."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.names: set[str] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.names.add(func.__name__)
        return func(*args, **(kwargs or {}))
