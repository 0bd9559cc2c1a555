"""Base units in the store, human units on the page."""

import re
from math import floor, isfinite, log10

_TIME = ((60.0, "min"), (1.0, "s"), (1e-3, "ms"), (1e-6, "us"), (1e-9, "ns"))
_BYTES = ((2.0**30, "GiB"), (2.0**20, "MiB"), (2.0**10, "KiB"), (1.0, "B"))
_COUNTS = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"), (1.0, ""))

_SCALES: dict[str, tuple[tuple[float, str], ...]] = {
    "s": _TIME,
    "byte": _BYTES,
    "MAC": tuple((factor, f"{prefix}MAC") for factor, prefix in _COUNTS),
    "FLOP": tuple((factor, f"{prefix}FLOP") for factor, prefix in _COUNTS),
    "1": _COUNTS,
}
WRITTEN = {"min": 60.0, "h": 3600.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "%": 1.0, "": 1.0}
WRITTEN |= {"GiB": 2.0**30, "MiB": 2.0**20, "KiB": 2.0**10, "B": 1.0, "GB": 1e9, "MB": 1e6}
WRITTEN |= {prefix + kind: factor for factor, prefix in _COUNTS for kind in ("MAC", "FLOP")}
WRITTEN |= {"k": 1e3, "M": 1e6, "G": 1e9, "image/s": 1.0}
"""Unit as it may be typed -> its size in base units."""


def scale(unit: str, typical: float) -> tuple[float, str]:
    """The factor and the name of the human unit in which `typical` (in base units) reads well.

    >>> scale("s", 0.0123)
    (0.001, 'ms')
    >>> scale("image/s", 81.0)
    (1.0, 'image/s')
    """
    steps = _SCALES.get(unit)
    if steps is None:
        return 1.0, "" if unit == "1" else unit
    for factor, name in steps:
        if abs(typical) >= factor:
            return factor, name
    return steps[-1]


def decimals(value: float, half_width: float | None) -> int:
    """Digits after the point that the interval supports: two significant digits of its half-width.

    Without an interval, three significant digits of the value.

    >>> decimals(12.3456, 0.042), decimals(1234.5, 30.0), decimals(12.3456, None)
    (3, 0, 1)
    """
    if half_width is not None and half_width > 0 and isfinite(half_width):
        return max(0, 1 - floor(log10(half_width)))
    return max(0, 2 - floor(log10(abs(value)))) if value and isfinite(value) else 0


def parse(text: str | float) -> float:
    """A published figure with its unit, in base units.

    >>> parse("14.8 min"), parse(86.4), parse("3 %")
    (888.0, 86.4, 3.0)

    Raises:
        ValueError: the number or the unit is not known.
    """
    if isinstance(text, int | float):
        return float(text)
    match = re.fullmatch(r"\s*([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)\s*([A-Za-z%/]*)\s*", text)
    if not match or match[2] not in WRITTEN:
        raise ValueError(f'\'{text}\': write a number and a unit, such as "14.8 min" or "23 ms"')
    return float(match[1]) * WRITTEN[match[2]]


def duration(seconds: float) -> str:
    """A span of time for people: `45 s`, `3 min 20 s`, `1 h 05 min`."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
