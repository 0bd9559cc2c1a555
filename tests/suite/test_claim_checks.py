"""What is told of a wrong claim when its suite is loaded, with its line."""

from pathlib import Path

import pytest
from suite_text import GOOD, problems, write

from bench.suite import load_suite

CONDITION = "params('b-1') < 2 * params('a')"


def with_claim(condition: str) -> str:
    assert CONDITION in GOOD
    return GOOD.replace(CONDITION, condition)


@pytest.mark.parametrize(
    "condition",
    [
        "latency('a') < 200 ms",
        "latency('a', mode='fast', batch=16) == latency('a', mode='fp32') +- 5%",
        "latency('a') == latency('b-1') +- 3 ms",
        "pckh.total('a') > pckh.total('b-2') - 1.0",
        "pckh.total('a') > 60 %",
        "pckh.total('a') == pckh.total('b-2') +- 1.0",
        "flops('a') == 2 * macs('a')",
        "throughput('a') > 0.9 / latency('a')",
        "train.peak_memory('a') < 2 GiB",
        "latency('a') - latency('b-1') > 0",
        "latency('a') - latency('b-1') == 0 +- 3 ms",
        "my_metric('a') < latency('a')",
        "1 < latency('a') / latency('b-1') <= 2",
    ],
)
def test_right_claims(tmp_path: Path, condition: str) -> None:
    assert load_suite(write(tmp_path, with_claim(condition))).claims[0].holds_if == (condition,)


@pytest.mark.parametrize(
    ("condition", "said"),
    [
        ("latency('c') < 1 s", "unknown variant 'c' in a claim; one of: a, b-1, b-2, own"),
        ("latency('a', mode='fats') < 1 s", "unknown mode 'fats' in a claim; did you mean 'fast'?"),
        ("latenc('a') < latency('a')", "unknown quantity 'latenc'; did you mean 'latency'?"),
        ("train.peak_memry('a') < 1 GiB", "unknown quantity 'peak_memry'; did you mean 'peak_memory'?"),
        ("latency('a') / 0 < 1", "`latency('a') / 0` divides by zero"),
        ("latency('a') < 200", "[s] < a number without a unit; write the unit with the number: 200 ms, 2 GiB"),
        ("latency('a') + 1 < latency('own')", "[s] + a number without a unit"),
        ("latency('a') == latency('own') +- 5", "[s] +- a number without a unit"),
        ("latency('a') < peak_memory('a')", "[s] < [byte]; compare what has the same unit"),
        ("latency('a') < 95 % * latency('own')", "[s] < [%·s]; compare what has the same unit"),
        ("pckh.total('a') == pckh.total('own') +- 1%", "may be a share or points; write points: +- 1.0"),
        ("latency('a') - latency('own') == 0 +- 5%", "`+- 5 %` of 0 is 0; write how far from 0, such as +- 3 ms"),
        ("latency('a') - latency('own') == 2 s - 2 s +- 5%", "`+- 5 %` of 0 is 0; write how far from 0"),
    ],
)
def test_wrong_claims(tmp_path: Path, condition: str, said: str) -> None:
    text = with_claim(condition)
    line = next(number for number, line in enumerate(text.splitlines(), start=1) if "holds_if" in line)
    (problem,) = problems(tmp_path, text)
    assert problem.startswith(f"{tmp_path / 'x.toml'}:{line}: ") and said in problem


@pytest.mark.parametrize(
    ("test", "right"),
    [
        ("tests/archs/test_fpn.py::test_equal", True),
        ("tests/test_x.py::TestA::test_b[a-1]", True),
        ("tests/test_x.py", False),
        ("--version", False),
        ("-p evil.py::x", False),
        ("tests/test_x.py::a; rm", False),
    ],
)
def test_names_of_tests(tmp_path: Path, test: str, right: bool) -> None:
    text = GOOD.replace(f'holds_if = ["{CONDITION}"]', f'test = "{test}"')
    assert text != GOOD
    if right:
        assert load_suite(write(tmp_path, text)).claims[0].test == test
        return
    (problem,) = problems(tmp_path, text)
    assert f"'{test}' names no test; write \"tests/test_x.py::test_...\"" in problem
