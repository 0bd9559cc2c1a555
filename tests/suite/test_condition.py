import pytest

from bench.suite import condition


def test_conditions() -> None:
    assert condition.calls("-(1 + latency('a')) <= macs('b') / 2 < 3") == [("latency", "a"), ("macs", "b")]
    for text, said in {
        "latency('a')": "not one comparison",
        "latency('a') < ": "not an expression",
        "latency('a') != 1": "not one comparison",
        "1 < 2": "compares no quantity",
        "latency('a') < True": "is no quantity",
        "latency('a', 'b') < 1": "is no quantity",
        "latency(a) < 1": "is no quantity",
        "f()('a') < 1": "is no quantity",
        "latency('a') < 2 ** 3": "is no quantity",
    }.items():
        with pytest.raises(ValueError, match=said):
            condition.calls(text)
