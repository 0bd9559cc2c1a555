"""What is wrong with a suite's claims: their language, and the variants, modes and units that they name."""

import re
from collections.abc import Collection, Iterator, Mapping
from difflib import get_close_matches
from typing import Any, NamedTuple

from bench.errors import nearest
from bench.record import PHASES
from bench.suite import condition
from bench.suite.condition import Call, Comparison, Negative, Node, Number, Operation
from bench.suite.positions import Place, Problem

EXAMPLE = "write such as latency('6-stacks') < latency('original')"

CLOSE = 0.85
"""A name this near to a known quantity is a slip of the pen; another one may be a metric's."""

TEST = r"(?!-)[\w./-]+\.py::[\w.:\[\]-]+"
"""How pytest names a test, and nothing that it would take for an option."""


class Known(NamedTuple):
    """The names that a claim may use; `units` is quantity -> unit, as far as measures and metrics write them out."""

    variants: Collection[str]
    modes: Collection[str]
    units: Mapping[str, str]


def claim_problems(claim: Mapping[str, Any], place: Place, known: Known) -> Iterator[Problem]:
    """Every problem of one claim, whose shape may be wrong: that is told elsewhere."""
    conditions, test = claim.get("holds_if"), claim.get("test")
    if not conditions and not test:
        hint = 'write holds_if = [...] or test = "tests/...::test_..."'
        yield Problem((*place, "holds_if"), "a claim needs a way to be checked", hint)
    if isinstance(test, str) and test and not re.fullmatch(TEST, test):
        yield Problem((*place, "test"), f"'{test}' names no test", 'write "tests/test_x.py::test_..."')
    for j, text in enumerate(conditions if isinstance(conditions, list) else []):
        if isinstance(text, str):
            yield from _condition_problems(text, (*place, "holds_if", j), known)


def _condition_problems(text: str, place: Place, known: Known) -> Iterator[Problem]:
    try:
        comparisons = condition.parse(text)
    except ValueError as error:
        yield Problem(place, f"'{text}': {error}", EXAMPLE)
        return
    for call in dict.fromkeys(call for one in comparisons for call in one.calls):
        yield from unknown_quantity(plain(call.quantity), place, known.units)
        if call.variant not in known.variants:
            yield Problem(place, f"unknown variant '{call.variant}' in a claim", nearest(call.variant, known.variants))
        if call.mode and call.mode not in known.modes:
            yield Problem(place, f"unknown mode '{call.mode}' in a claim", nearest(call.mode, known.modes))
    for comparison in comparisons:
        try:
            _check_units(comparison, known.units)
        except ValueError as error:
            what, _, hint = str(error).partition("; ")
            yield Problem(place, f"'{text}': {what}", hint)


def unknown_quantity(name: str, place: Place, known: Collection[str]) -> Iterator[Problem]:
    """A name that is nearly a quantity's."""
    close = get_close_matches(name, known, n=1, cutoff=CLOSE)
    if name not in known and close:
        yield Problem(place, f"unknown quantity '{name}'", f"did you mean '{close[0]}'?")


def plain(name: str) -> str:
    """The quantity without the phase in front.

    >>> plain("train.peak_memory"), plain("pckh.total")
    ('peak_memory', 'pckh.total')
    """
    phase, _, quantity = name.partition(".")
    return quantity if quantity and phase in PHASES else name


Dimension = dict[str, int] | None
"""Base unit -> its power, empty for a plain number; None where it is not known, or for zero, which fits all."""

_OF_UNIT: dict[str, dict[str, int]] = {"1": {}, "": {}, "MAC": {}, "FLOP": {}, "image/s": {"s": -1}}
"""Counts are plain numbers, since claims relate them to one another."""

_WRITTEN = {"s": "s", "ms": "s", "us": "s", "min": "s", "h": "s", "image/s": "image/s", "%": "%"}
_WRITTEN |= dict.fromkeys(["B", "KiB", "MiB", "GiB", "MB", "GB"], "byte")


def _check_units(comparison: Comparison, units: Mapping[str, str]) -> None:
    """Raise ValueError where times are compared with counts, a number stands for a time, or a share of 0 is allowed."""
    left = _dimension(comparison.left, units)
    side = _joined(left, _dimension(comparison.right, units), comparison.sign)
    tolerance = comparison.tolerance
    if tolerance is None:
        return
    if tolerance.share is None:
        _joined(side, _dimension(tolerance.amount, units), "+-")
    elif side == {"%": 1}:
        raise ValueError(f"`{tolerance}` of a percentage may be a share or points; write points: +- 1.0")
    elif condition.is_zero(comparison.right):
        raise ValueError(f"`{tolerance}` of 0 is 0; write how far from 0, such as +- 3 ms")


def _dimension(node: Node, units: Mapping[str, str]) -> Dimension:
    match node:
        case Number():
            return _of_unit(_WRITTEN.get(node.unit, "1")) if node.value else None
        case Call():
            unit = units.get(plain(node.quantity))
            return None if unit is None else _of_unit(unit)
        case Negative():
            return _dimension(node.operand, units)
        case Operation(sign, left, right):
            ours, theirs = _dimension(left, units), _dimension(right, units)
            if sign in "+-":
                return _joined(ours, theirs, sign)
            if ours is None or theirs is None:
                return None
            sense = 1 if sign == "*" else -1
            powers = {name: ours.get(name, 0) + sense * theirs.get(name, 0) for name in [*ours, *theirs]}
            return {name: power for name, power in powers.items() if power}


def _of_unit(unit: str) -> dict[str, int]:
    return _OF_UNIT.get(unit, {unit: 1})


def _joined(left: Dimension, right: Dimension, sign: str) -> Dimension:
    """Of what is added or compared; a bare number beside a percentage is in points."""
    if left is None or right is None:
        return right if left is None else left
    points: tuple[Dimension, ...] = ({"%": 1}, {})
    if left == right or (left in points and right in points):
        return left or right
    bare = not left or not right
    hint = "; write the unit with the number: 200 ms, 2 GiB" if bare else "; compare what has the same unit"
    raise ValueError(f"{_said(left)} {sign} {_said(right)}{hint}")


def _said(dimension: dict[str, int]) -> str:
    powers = "·".join(unit if power == 1 else f"{unit}^{power}" for unit, power in sorted(dimension.items()))
    return f"[{powers}]" if powers else "a number without a unit"
