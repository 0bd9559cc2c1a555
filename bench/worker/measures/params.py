"""Parameters: how many are trainable, how many ever get a gradient, buffers and bytes; shared storage once."""

from collections.abc import Iterable, Iterator

from torch import Tensor, nn

from bench.errors import Failed
from bench.record import Quantity, Value
from bench.worker.subject import Subject, storages

PHASE = "static"

PARAMS = Quantity(name="params", unit="1", better="lower", title="parameters", exact=True)
LIVE = Quantity(
    name="live_params", unit="1", better="lower", title="parameters that get a gradient", exact=True, headline=False
)
TRAINABLE = Quantity(
    name="params.trainable", unit="1", better="lower", title="trainable parameters", exact=True, headline=False
)
BUFFERS = Quantity(
    name="params.buffers", unit="1", better="lower", title="elements in buffers", exact=True, headline=False
)
BYTES = Quantity(
    name="params.storage",
    unit="byte",
    better="lower",
    title="bytes of parameters and buffers",
    exact=True,
    headline=False,
)


def measure(subject: Subject) -> Iterator[Value]:
    """Counts of the network as built, before any mode, on the meta device."""
    model = subject.model
    parameters, buffers = list(model.parameters()), list(model.buffers())
    total = elements(parameters)
    live = live_parameters(subject)
    dead = total - live
    yield Value(quantity=PARAMS, value=total, details={"dead": dead} if dead else {})
    yield Value(quantity=LIVE, value=live)
    yield Value(quantity=TRAINABLE, value=elements(p for p in parameters if p.requires_grad))
    yield Value(quantity=BUFFERS, value=elements(buffers))
    yield Value(quantity=BYTES, value=sum(size for _, size in storages([*parameters, *buffers]).values()))


def elements(tensors: Iterable[Tensor]) -> int:
    """Elements in unique storages."""
    return sum(count for count, _ in storages(tensors).values())


def live_parameters(subject: Subject) -> int:
    """Elements of the parameters that a backward pass from every output reaches."""
    outputs = [out for out in subject.forward(subject.inputs[0]) if out.requires_grad]
    if not outputs:
        if any(p.requires_grad for p in subject.model.parameters()):
            raise Failed("no output depends on a trainable parameter")
        return 0
    total = sum((out.float().sum() for out in outputs), start=outputs[0].new_zeros(()))
    total.backward()
    live = elements(p for p in subject.model.parameters() if p.grad is not None)
    clear(subject.model)
    return live


def clear(model: nn.Module) -> None:
    """Forget the gradients."""
    for parameter in model.parameters():
        parameter.grad = None
