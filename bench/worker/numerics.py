"""How far a mode's answers are from strict fp32 eager on the same weights and images."""

import math
from collections.abc import Iterable, Iterator, Sequence

import torch
from torch import Tensor

from bench.errors import Failed
from bench.record import Quantity, Value

ERROR = Quantity(name="error", unit="1", better="lower", title="error, relative L2 against fp32 eager")
AGREEMENT = Quantity(
    name="error.argmax_agreement",
    unit="%",
    better="higher",
    title="maps whose maximum lies within one cell of fp32's",
    headline=False,
)

SAME = 1e-6
"""Relative difference below which the outputs for two different images are taken as one stale output."""

STALE = "after the first call (a stale buffer, or one not written in full)"
"""What NaN behind a first answer without it means, since outputs are poisoned once they are copied."""


def compare(reference: Sequence[Tensor], answer: Sequence[Tensor] | None, tolerance: float) -> Iterator[Value]:
    """The error of each image's prediction, and the reason for a mismatch where there is one.

    Args:
        reference: predictions of strict fp32 eager, one per image batch, the images all different.
        answer: the mode's predictions for the same; None where the mode is strict fp32 eager itself.
        tolerance: the largest relative L2 error that the modes allow themselves.

    Raises:
        Failed: strict fp32 eager itself puts out NaN or infinity, or the same for two images.
    """
    broken = shape_problem(reference, reference)
    if broken:
        raise Failed(f"in strict fp32: {broken.removeprefix('mismatch: ')}")
    if alike(reference):
        raise Failed("in strict fp32: the same output for two different images, so that no check could see a stale one")
    if answer is None:
        yield Value(quantity=ERROR, reason="this mode is what the others are compared with")
        return
    broken = shape_problem(reference, answer)
    if broken:
        yield Value(quantity=ERROR, reason=broken, flags=["mismatch"], details={"tolerance": tolerance})
        return
    wanted, got = (torch.cat([t.double().flatten(1) for t in tensors]) for tensors in (reference, answer))
    error = relative_l2(got, wanted)
    details = {
        "tolerance": tolerance,
        "max_abs": float((got - wanted).abs().max()),
        "sqnr_db": -20 * math.log10(error) if error else None,
        "cosine": float(torch.nn.functional.cosine_similarity(got, wanted, dim=1).min()),
        "dtype": str(answer[0].dtype).removeprefix("torch."),
    }
    wrong = error > tolerance
    how = f"mismatch: relative L2 {error:.1e} > {tolerance:.1e}" if wrong else f"tolerance {tolerance:.0e}"
    yield Value(quantity=ERROR, value=error, how=how, flags=["mismatch"] if wrong else [], details=details)
    if reference[0].dim() == 4:
        yield Value(quantity=AGREEMENT, value=argmax_agreement(reference, answer))


def shape_problem(reference: Sequence[Tensor], answer: Sequence[Tensor]) -> str:
    """Why two sets of predictions cannot be the same network's; empty where they can."""
    for wanted, got in zip(reference, answer, strict=True):
        if wanted.shape != got.shape:
            return f"mismatch: shape {tuple(got.shape)} instead of {tuple(wanted.shape)}"
        if not bool(torch.isfinite(got).all()):
            later = got is not answer[0] and bool(torch.isfinite(answer[0]).all())
            return "mismatch: the output holds NaN or infinity" + (f" {STALE}" if later else "")
    if answer is not reference and alike(answer):
        return "mismatch: the same output for two different images (a stale buffer)"
    return ""


def poison(output: Tensor, spared: Iterable[Tensor]) -> None:
    """Fill an output that has been copied with NaN: what a later call leaves unwritten in the same memory then shows.

    Args:
        spared: the network's weights and its input, which an output may share memory with; then it is left alone.
    """
    overlaps = any(size > 1 and stride == 0 for size, stride in zip(output.shape, output.stride(), strict=True))
    held = {tensor.untyped_storage()._cdata for tensor in spared}
    if output.is_floating_point() and not overlaps and output.untyped_storage()._cdata not in held:
        output.detach().fill_(math.nan)


def alike(answer: Sequence[Tensor]) -> bool:
    """Whether two different images got one answer."""
    return relative_l2(answer[1].double(), answer[0].double()) <= SAME


def relative_l2(value: Tensor, reference: Tensor) -> float:
    """|value - reference| / |reference|; 0 where both are zero."""
    norm = float(reference.norm())
    distance = float((value - reference).norm())
    return distance / norm if norm else (0.0 if distance == 0 else math.inf)


def argmax_agreement(reference: Sequence[Tensor], answer: Sequence[Tensor]) -> float:
    """Percent of maps (N K H W) whose maximum is at most one cell away, in x and in y."""
    near: list[Tensor] = []
    for wanted, got in zip(reference, answer, strict=True):
        width = wanted.shape[-1]
        a, b = wanted.flatten(2).argmax(-1), got.flatten(2).argmax(-1)
        near.append(((a % width - b % width).abs() <= 1) & ((a // width - b // width).abs() <= 1))
    return 100 * float(torch.cat(near).float().mean())
