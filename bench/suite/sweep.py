"""A variant with a sweep, written out: one network for each point of the product of its axes."""

import re
from itertools import product
from math import prod
from typing import Any, NamedTuple

MOST = 10_000
"""Networks of a sweep above which it is refused before it is written out."""

_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")


class Point(NamedTuple):
    """One network of a variant: its name with the placeholders filled in, and the builder's options."""

    name: str
    options: dict[str, Any]


def expand(variant: dict[str, Any]) -> list[Point]:
    """The networks that a variant's table stands for; a single one where there is no sweep.

    >>> [point.name for point in expand({"name": "stacks-{stacks}", "sweep": {"stacks": [1, 2]}})]
    ['stacks-1', 'stacks-2']
    """
    axes = variant.get("sweep", {})
    points = [dict(zip(axes, values, strict=True)) for values in product(*axes.values())]
    options = variant.get("options", {})
    return [Point(_fill(variant["name"], point), {**options, **point}) for point in points]


def size(axes: dict[str, Any]) -> int:
    """How many networks the axes of a sweep stand for, without writing them out."""
    return prod(len(values) for values in axes.values() if isinstance(values, list))


def placeholders(name: str) -> list[str]:
    """What stands in braces in a name."""
    return _PLACEHOLDER.findall(name)


def _fill(name: str, point: dict[str, Any]) -> str:
    return _PLACEHOLDER.sub(lambda found: str(point.get(found[1], found[0])), name)
