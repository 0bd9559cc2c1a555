"""Base units in the store, human units on the page."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench import units


@pytest.mark.parametrize(
    ("unit", "typical", "expected"),
    [
        ("s", 888.0, (60.0, "min")),
        ("s", 59.0, (1.0, "s")),
        ("s", 2e-4, (1e-6, "us")),
        ("s", 0.0, (1e-9, "ns")),
        ("byte", 3 * 2**30, (2**30, "GiB")),
        ("byte", 2**20, (2**20, "MiB")),
        ("byte", 1000, (1.0, "B")),
        ("MAC", 28_094_496_768, (1e9, "GMAC")),
        ("FLOP", 5e12, (1e12, "TFLOP")),
        ("1", 25_594_624, (1e6, "M")),
        ("1", 12.0, (1.0, "")),
        ("1", -2_500.0, (1e3, "k")),
        ("%", 86.4, (1.0, "%")),
        ("dB", 40.0, (1.0, "dB")),
    ],
)
def test_scale(unit: str, typical: float, expected: tuple[float, str]) -> None:
    assert units.scale(unit, typical) == expected


@given(st.sampled_from(["s", "byte", "MAC", "FLOP", "1"]), st.floats(1e-9, 1e15))
def test_a_scaled_number_has_few_digits_before_the_point(unit: str, typical: float) -> None:
    factor, _ = units.scale(unit, typical)
    assert typical / factor < 1000 * (1 + 1e-12) or factor == max(f for f, _ in units._SCALES[unit]) or unit == "byte"
    assert typical / factor >= 1 or factor == min(f for f, _ in units._SCALES[unit])


@pytest.mark.parametrize(
    ("value", "half_width", "digits"),
    [
        (12.3456, 0.042, 3),
        (12.3456, 0.42, 2),
        (12.3456, 4.2, 1),
        (1234.5, 42.0, 0),
        (12.3456, 0.0, 1),
        (12.3456, math.inf, 1),
        (0.000123, None, 6),
        (0.0, None, 0),
        (math.nan, None, 0),
    ],
)
def test_decimals(value: float, half_width: float | None, digits: int) -> None:
    assert units.decimals(value, half_width) == digits


@given(st.floats(1e-9, 1e9))
def test_an_interval_shows_two_significant_digits(half_width: float) -> None:
    digits = units.decimals(1.0, half_width)
    assert half_width >= 10 or 10 <= half_width * 10**digits < 100 * (1 + 1e-9)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("14.8 min", 888.0),
        ("1.5 h", 5400.0),
        ("23 ms", 0.023),
        ("7us", 7e-6),
        ("86.4", 86.4),
        (86, 86.0),
        ("3%", 3.0),
        ("-2.5e-1 s", -0.25),
        ("25.6 M", 25.6e6),
        ("28.1 GMAC", 28.1e9),
        ("2 GiB", 2.0 * 2**30),
        ("2 GB", 2e9),
        ("41 image/s", 41.0),
    ],
)
def test_parse(text: str | float, value: float) -> None:
    assert units.parse(text) == pytest.approx(value, rel=1e-12)


@pytest.mark.parametrize("text", ["", "min", "14.8 parsec", "about 3 s", "1 2", "--3 s", "1e s"])
def test_parse_refuses_what_is_no_number_with_a_unit(text: str) -> None:
    with pytest.raises(ValueError, match="write a number and a unit"):
        units.parse(text)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-3, "0 s"),
        (0.4, "0 s"),
        (59.4, "59 s"),
        (59.6, "1 min 00 s"),
        (200, "3 min 20 s"),
        (3599.6, "1 h 00 min"),
        (3900, "1 h 05 min"),
        (90_000, "25 h 00 min"),
    ],
)
def test_duration(seconds: float, text: str) -> None:
    assert units.duration(seconds) == text
