"""MACs and FLOPs (= 2 x MACs) of one image, counted by torch on the meta device, with fvcore's count beside them.

Both counters see convolutions, transposed convolutions and matrix products without bias; fvcore also counts norms
and upsampling, in units of its own, which are listed per operator and left out of the comparison.
"""

import re
import signal
import warnings
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode, flop_registry

from bench.errors import Failed, Unavailable
from bench.record import Quantity, Value
from bench.worker.subject import Subject, build, evaluating, make_inputs

PHASE = "static"

MACS = Quantity(name="macs", unit="MAC", better="lower", title="MACs, multiply-adds of one image", exact=True)
FLOPS = Quantity(name="flops", unit="FLOP", better="lower", title="FLOPs, 2 x MACs of one image", exact=True)
FVCORE = Quantity(
    name="macs.fvcore", unit="MAC", better="lower", title="multiply-adds as fvcore counts", exact=True, headline=False
)

# fvcore's names for the operators that torch's counter has formulas for.
COMPARED = ("conv", "linear", "matmul", "bmm", "addmm", "einsum")

# A product of matrices under one of these names has no formula and would be missing from the count unseen.
MATRIX_PRODUCT = re.compile(
    r"attention|matmul|linear|conv(?!ert)|einsum|gru|lstm|rnn|(?:^|[^a-z]|add|b)mm(?![a-z])|mv(?![a-z])|dot(?![a-z])"
)


class Unformulated(TorchDispatchMode):
    """Counts calls and output elements of every operator that the FLOP counter has no formula for."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.calls: Counter[str] = Counter()
        self.elements: Counter[str] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        if func._overloadpacket not in flop_registry:
            name = str(func._overloadpacket)
            self.calls[name] += 1
            self.elements[name] += sum(t.numel() for t in _flat(out))
        return out


def _flat(out: Any) -> list[torch.Tensor]:
    if isinstance(out, torch.Tensor):
        return [out]
    return [t for item in out for t in _flat(item)] if isinstance(out, list | tuple) else []


def measure(subject: Subject) -> Iterator[Value]:
    """The count of the eager network in eval mode at batch 1, independent of any execution mode."""
    macs, others = count(subject)
    products = [name for name in others.calls if is_product(name)]
    if products:
        raise Failed(f"matrix products without a FLOP formula would be missing from the count: {', '.join(products)}")
    uncounted = {name: [calls, others.elements[name]] for name, calls in sorted(others.calls.items())}
    theirs = beside(subject)
    flags = []
    details: dict[str, Any] = {"without_formula": uncounted}
    if theirs.value is not None:
        compared = sum(n for name, n in theirs.details["per_operator"].items() if name in COMPARED)
        details["fvcore"] = compared
        if compared != macs:
            flags.append("counter_gap")
    yield Value(quantity=MACS, value=macs, how="torch FlopCounterMode", flags=flags, details=details)
    yield Value(quantity=FLOPS, value=2 * macs, how="torch FlopCounterMode", flags=flags)
    yield theirs


def is_product(operator: str) -> bool:
    """Whether an operator multiplies matrices, by its name; (bi)linear upsampling does not.

    >>> [is_product(f"aten.{name}") for name in ("addmv", "baddbmm", "upsample_bilinear2d", "lgamma")]
    [True, True, False, False]
    """
    name = operator.rpartition(".")[2]
    return "upsample" not in name and bool(MATRIX_PRODUCT.search(name))


def count(subject: Subject) -> tuple[int, Unformulated]:
    """Multiply-adds by torch's counter, and what it has no formula for."""
    others = Unformulated()
    counter = FlopCounterMode(display=False)
    with evaluating(subject.model), torch.no_grad(), others, counter:
        subject.forward(subject.inputs[0])
    return counter.get_total_flops() // 2, others


def beside(subject: Subject) -> Value:
    """fvcore's count, or why there is none: it needs real tensors, and may not trace this network."""
    seconds = subject.job.protocol.fvcore_seconds
    if seconds <= 0:
        return Value(quantity=FVCORE, reason="fvcore not run (protocol.fvcore_seconds = 0)")
    try:
        with time_limit(seconds):
            per_operator = fvcore_count(subject)
    except Unavailable as reason:
        return Value(quantity=FVCORE, reason=str(reason))
    return Value(quantity=FVCORE, value=sum(per_operator.values()), details={"per_operator": per_operator})


def fvcore_count(subject: Subject) -> dict[str, int]:
    """fvcore's count per operator of the network at batch 1 on the CPU.

    Raises:
        Unavailable: fvcore cannot trace the network, as it cannot `max_unpool2d` under torch 2.13.
    """
    image = next(make_inputs(subject.job, 1))[:1]
    model = build(subject.job).eval()
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its own deprecation warnings, when imported and on every operator
        from fvcore.nn import FlopCountAnalysis

        analysis = FlopCountAnalysis(model, image).unsupported_ops_warnings(False).uncalled_modules_warnings(False)
        try:
            found = analysis.by_operator()
        except (TypeError, RuntimeError, NotImplementedError) as error:
            raise Unavailable(
                f"fvcore cannot trace it ({type(error).__name__}: {str(error).splitlines()[0]})"
            ) from None
    return {name: int(n) for name, n in sorted(found.items())}


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Raise Unavailable inside after `seconds`; the worker's main thread owns the alarm."""

    def ring(_: int, __: FrameType | None) -> None:
        raise Unavailable(f"fvcore did not trace it within {seconds:g} s (protocol.fvcore_seconds)")

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
