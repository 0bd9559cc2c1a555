import doctest

import pytest

import bench.table.grid
from bench.stats import Interval
from bench.table.grid import number


def test_the_examples_in_the_docstrings() -> None:
    assert doctest.testmod(bench.table.grid).failed == 0


@pytest.mark.parametrize(
    ("interval", "text"),
    [
        (Interval(448.2, 436.1, 460.3), "448 ± 12"),
        (Interval(1234.5, 1104.5, 1364.5), "1234 ± 130"),
        (Interval(12.3456, 12.3036, 12.3876), "12.346 ± 0.042"),
        (Interval(12.3456, None, None), "12.3"),
        (Interval(0.52, 0.52, 0.52), "0.520"),
        (Interval(0.0, None, None), "0"),
        (Interval(3.2e-7, None, None), "3.2e-07"),
        (Interval(float("inf"), None, None), "inf"),
        (Interval(1.0, 0.99999, 1.00001), "1.0000 ± <0.0001"),
    ],
)
def test_digits_follow_the_interval(interval: Interval, text: str) -> None:
    assert number(interval) == text


def test_exact_numbers_are_whole_or_have_two_digits() -> None:
    assert number(Interval(812.0, None, None), exact=True) == "812"
    assert number(Interval(28.094496768, None, None), exact=True) == "28.09"
    assert number(Interval(0.262979, None, None), exact=True) == "0.263"


def test_marks_go_on_after_z() -> None:
    letters = bench.table.grid.Footnotes()
    marks = [letters.marks([f"sentence {i}"])[0] for i in range(28)]
    assert marks[:2] == ["a", "b"]
    assert marks[25:] == ["z", "aa", "ab"]
    assert letters.marks(["sentence 3", "", "sentence 3"]) == ("d",)
