"""Errors, their exit codes, and hints."""

import pytest

from bench import errors
from bench.errors import BenchError, Exit, SuiteError, nearest


def leaves(error: type[BenchError]) -> list[type[BenchError]]:
    return [error, *(leaf for child in error.__subclasses__() for leaf in leaves(child))]


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("BenchError", 70),
        ("UsageError", 2),
        ("SuiteError", 2),
        ("StoreError", 2),
        ("NotComparable", 6),
    ],
)
def test_an_error_carries_the_exit_code_that_the_docstring_says(name: str, code: int) -> None:
    line = next(line for line in (errors.__doc__ or "").splitlines() if name in line.split())
    assert getattr(errors, name).code == code
    assert str(code) in line.split()


def test_every_error_is_drawn_in_the_tree() -> None:
    assert errors.__doc__
    assert [error.__name__ for error in leaves(BenchError) if error.__name__ not in errors.__doc__] == []


def test_every_error_says_in_a_sentence_what_it_is() -> None:
    assert [error for error in leaves(BenchError) if not (error.__doc__ or "").strip().endswith((".", "`."))] == []


def test_exit_codes_are_the_documented_ones() -> None:
    assert {code.name: int(code) for code in Exit} == {
        "FINE": 0,
        "REGRESSION": 1,
        "USAGE": 2,
        "INCONCLUSIVE": 3,
        "NOT_MEASURED": 4,
        "FAILED": 5,
        "NOT_COMPARABLE": 6,
        "BUG": 70,
        "INTERRUPTED": 130,
    }


def test_a_suites_problems_are_one_line_each() -> None:
    error = SuiteError(problem for problem in ["x.toml:1: one", "x.toml:7: two"])
    assert error.problems == ["x.toml:1: one", "x.toml:7: two"]
    assert str(error) == "x.toml:1: one\nx.toml:7: two"


def test_nearest_where_nothing_is_valid() -> None:
    assert nearest("anything", []) == "there are none"


def test_nearest_lists_all_where_none_is_near() -> None:
    assert nearest("xyz", {"params", "flops"}) == "one of: flops, params"
