"""What a network computes and by which code, as hashes: equal for two checkouts where nothing could have changed.

The operators with their wiring are the exported graph, of every network that runs on the meta device; the Python code
stands beside it, since what it does besides calling operators (a wait, a copy to a list) costs time too.
"""

import random
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from bench.errors import first_line
from bench.record import Job, Json, digest
from bench.worker.functions import OWN, PLAIN, Functions, installed, unwatched
from bench.worker.subject import Subject, builder_file, prepare_static

KNOWN = ("aten", "prim", "prims")
"""Operators of torch's own; what another one does is not seen on the meta device."""

HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")

SAID = (*PLAIN, torch.dtype, torch.device, torch.layout, torch.memory_format)


class _Wiring(TorchDispatchMode):
    """Notes every operator with its arguments; a tensor is named by the operator that made it, or as a parameter."""

    def __init__(self, known: Mapping[str, Tensor]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.names = {id(tensor): name for name, tensor in known.items()}
        self.alive: list[Tensor] = [*known.values()]  # an id may be given to another tensor once its own is gone
        self.seen: list[str] = []
        self.opaque: set[str] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        called = f"{func} {self._named(args)} {self._named(kwargs or {})}"
        with unwatched():  # how torch finds an operator's shapes is Python too, and half of the time
            out = func(*args, **(kwargs or {}))
        self.seen.append(f"{called} {self._named(out)}")
        if getattr(func, "namespace", "") not in KNOWN:
            self.opaque.add(str(func))
        return out

    def _named(self, data: Any) -> Any:
        if isinstance(data, Tensor):
            if id(data) not in self.names:
                self.names[id(data)] = str(len(self.alive))
                self.alive.append(data)
            return f"{self.names[id(data)]}:{data.dtype}{tuple(data.shape)}{data.stride()}"
        if isinstance(data, dict):
            return {key: self._named(value) for key, value in data.items()}
        if isinstance(data, list | tuple):
            return [self._named(item) for item in data]
        # What an unknown object prints may hold its address.
        return data if isinstance(data, SAID) else type(data).__qualname__


NOT_HERE = (RuntimeError, ValueError, TypeError, AssertionError, LookupError, AttributeError, NotImplementedError)
"""What a network raises in train mode that wants more than images, or their numbers."""


def fingerprint(job: Job) -> Json:
    """Hashes of a job's network, and which files its code came from.

    What this process imported of the project for networks of other builders would count as this one's.

    Returns:
        `graph`: operators, wiring, shapes, parameters, and plain attributes of modules, in eval and in train mode.
        `code`: the functions that these forwards ran or name, what the project's files do where they are imported, and
        the options of the builder.
        `built`: all of `code`, and the functions that ran while it was built, on which its first weights hang.
        `module`: the file of the builder; `files`: all files of the project that were imported; `packages`: names of
        installed packages whose code ran, torch's and bench's apart.
        `untrained`: why it does not run in train mode here (it may want targets, or real numbers); its training cannot
        be known to be unchanged then.
        `opaque`: operators that torch does not define, so that nobody can see here whether they changed.
    """
    builder = Path(builder_file(job))
    building, running = Functions(builder, job.paths), Functions(builder, job.paths)
    with building.watching():
        subject = prepare_static(job)
    forwards, untrained = [_forward(subject, False, running)], ""
    try:
        forwards.append(_forward(subject, True, running))
    except NOT_HERE as error:
        untrained = f"{type(error).__name__}: {first_line(error)}"
    model = subject.model
    parameters = [[name, list(p.shape), str(p.dtype), p.requires_grad] for name, p in model.named_parameters()]
    code = running.hashed(_held(model), apart=building.ran.keys() - running.ran.keys())
    return {
        "graph": digest([[one.seen for one in forwards], parameters, [*_attributes(model, running)]]),
        "code": digest([code, job.options]),
        "built": digest([code, building.hashed(), job.arch, job.options, *job.loaded]),
        "module": str(builder),
        "files": sorted(building.files() | running.files()),
        "packages": sorted(building.foreign | running.foreign | {*filter(None, [installed(str(builder))])}),
        "untrained": untrained,
        "opaque": sorted(set().union(*(one.opaque for one in forwards))),
    }


def _forward(subject: Subject, training: bool, running: Functions) -> _Wiring:
    """One call; of two images where it trains, since a norm over one value has none to train on."""
    model, (image,) = subject.model.train(training), subject.inputs
    if training:
        image = image.new_empty(2, *image.shape[1:])
    wiring = _Wiring({**dict(model.named_parameters()), **dict(model.named_buffers()), "in": image})
    torch.manual_seed(subject.job.seed)  # a network that draws its way takes the same one in every process
    random.seed(subject.job.seed)
    with torch.no_grad(), wiring, running.watching():
        subject.forward(image)
    return wiring


def _held(model: nn.Module) -> Iterator[Any]:
    """What a network's modules are and hold, in which functions may be: their classes, hooks and attributes."""
    for module in model.modules():
        yield type(module)
        yield {key: value for key, value in vars(module).items() if key in HOOKS or key not in OWN}


def _attributes(model: nn.Module, functions: Functions) -> Iterator[list[Any]]:
    """Attributes of every module and of its class: a rate, a flag, a waiting time; and what hooks on it."""
    for name, module in model.named_modules():
        held = vars(module)
        own = {key: functions.described(value) for key, value in held.items() if key not in OWN}
        hooks = {key: [functions.described(hook) for hook in held[key].values()] for key in HOOKS}
        yield [name, functions.described(type(module)), own, hooks]
