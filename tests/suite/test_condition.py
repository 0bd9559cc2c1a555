import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.suite import condition
from bench.suite.condition import Call, Node, Number, Operation, calls, evaluate, parse, slopes


def sides(text: str, **values: float) -> tuple[float, float]:
    """Both sides of a comparison, with values by variant."""
    (one,) = parse(text)
    known = {call: values[call.variant] for call in one.calls}
    return evaluate(one.left, known), evaluate(one.right, known)


@pytest.mark.parametrize(
    ("text", "left", "right"),
    [
        ("x('a') < 2", 6.0, 2.0),
        ("x('a') - x('b') - 1 < 2 * 3 + 1", 2.0, 7.0),
        ("x('a') / x('b') / 2 < 7 - (2 - 1)", 1.0, 6.0),
        ("-(1 + x('a')) < - -2", -7.0, 2.0),
        ("2*x(\"a\")-x('b') < .5e1", 9.0, 5.0),
        ("x('a') < 200 ms", 6.0, 0.2),
        ("x('a') < 2 GiB", 6.0, 2.0**31),
        ("x('a') < 30 image/s", 6.0, 30.0),
        ("x('a') < 1.5 min", 6.0, 90.0),
        ("x('a') > 60 %", 6.0, 60.0),
    ],
)
def test_arithmetic(text: str, left: float, right: float) -> None:
    assert sides(text, a=6.0, b=3.0) == (left, right)


@pytest.mark.parametrize(
    ("text", "call"),
    [
        ("latency('a') < 1", Call("latency", "a")),
        ("pckh.mean14('a b') < 1", Call("pckh.mean14", "a b")),
        ("latency('a', mode='fast') < 1", Call("latency", "a", "fast")),
        ("latency('a', batch=20) < 1", Call("latency", "a", batch=20)),
        ('train.peak_memory("it\'s", batch=2, mode="fp32") < 1', Call("train.peak_memory", "it's", "fp32", 2)),
    ],
)
def test_quoted_figures(text: str, call: Call) -> None:
    (one,) = parse(text)
    assert one.calls == (call,)
    assert parse(f"{call} < 1")[0] == one


def test_a_chain_is_several_comparisons() -> None:
    assert [str(one) for one in parse("1 < x('a') <= x('b') < 3")] == [
        "1 < x('a')",
        "x('a') <= x('b')",
        "x('b') < 3",
    ]


def test_tolerances() -> None:
    (share,), (amount,) = parse("x('a') == x('b') +- 5%"), parse("x('a') == x('b') +- 3 ms")
    assert share.tolerance and share.tolerance.share == 0.05
    assert amount.tolerance and (amount.tolerance.share, amount.tolerance.amount.value) == (None, 0.003)
    assert str(share) == "x('a') == x('b') +- 5 %"
    assert [str(one) for one in parse(str(share))] == [str(share)]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "it ends too early"),
        ("x('a')", "not one comparison"),
        ("x('a') < ", "it ends too early"),
        ("(x('a') < 1", "`< 1` is no quantity"),
        ("x('a') != 1", "`!= 1` is no quantity"),
        ("1 < 2", "compares no quantity"),
        ("x('a') < True", "`True` is no quantity"),
        ("x('a', 'b') < 1", "is no quantity"),
        ("x(a) < 1", "is no quantity"),
        ("x() < 1", "is no quantity"),
        ("f()('a') < 1", "is no quantity"),
        ("open('a').read() < 1", "`.read.. < 1` is no quantity"),
        ("__import__('os').system('true') < 1", "is no quantity"),
        ("x('a')[0] < 1", "is no quantity"),
        ("x('a') < 2 ** 3", "is no quantity"),
        ("x('a') < 5 // 2", "is no quantity"),
        ("x('a') < lambda: 1", "is no quantity"),
        ("x('a' < 1", "is no quantity"),
        ("x('a) < 1", "is no quantity"),
        ("x('a', batch=0) < 1", "batch=0: write a whole number of at least 1"),
        ("x('a', batch=2.5) < 1", "batch=2.5: write a whole number"),
        ("x('a', mode=fast) < 1", "is no quantity"),
        ("x('a', size=3) < 1", "is no quantity"),
        ("x('a', batch=1, batch=2) < 1", "is no quantity"),
        ("x('a') < 3 parsec", "'3 parsec': write a number and a unit"),
        ("x('a') < 1e999", "`1e999` is no finite number"),
        ("x('a') < 1 +- 5%", "`.- 5%` is no quantity"),
        ("x('a') == 1 +- x('b')", "write a number after .-"),
        ("x('a') / 0 < 1", r"`x\('a'\) / 0` divides by zero"),
        ("1 < x('a') / (2 * 3 - 6)", r"`x\('a'\) / \(2 \* 3 - 6\)` divides by zero"),
        ("x('a') * (1 / 0) < 1", "`1 / 0` divides by zero"),
        ("(" * 150 + "x('a')" + ")" * 150 + " < 1", "longer than 200 words"),
        ("-" * 300 + "x('a') < 1", "longer than 200 words"),
    ],
)
def test_what_is_no_condition(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        parse(text)


def test_as_deep_as_it_may_be() -> None:
    deep = "-" * 90 + "(" * 50 + "x('a')" + ")" * 50 + " < 1"
    assert sides(deep, a=2.0)[0] == 2.0
    assert str(parse(deep)[0]).startswith("-" * 90)


def test_a_divisor_that_the_data_make_zero() -> None:
    with pytest.raises(ZeroDivisionError):
        sides("1 / (x('a') - x('b')) < 1", a=2.0, b=2.0)


LEAVES = st.builds(Call, st.just("x"), st.sampled_from("abc")) | st.sampled_from(
    [Number("2", 2.0), Number("0.5", 0.5), Number("7", 7.0)]
)
TREES = st.recursive(
    LEAVES,
    lambda inner: st.builds(Operation, st.sampled_from("+-*/"), inner, inner) | st.builds(condition.Negative, inner),
    max_leaves=12,
)
POINT = {"a": 1.25, "b": 3.5, "c": -0.75}


def value(node: Node, **moved: float) -> float:
    known = POINT | moved
    return float(evaluate(node, {call: known[call.variant] for call in calls(node)}))


@given(TREES)
def test_what_is_written_is_read_as_the_same_tree(tree: Node) -> None:
    text = f"x('a') < {condition.written(tree)}"
    try:
        (one,) = parse(text)
    except ValueError as error:
        assert "divides by zero" in str(error)
        return
    assert one.right == tree


@pytest.mark.parametrize(("divisor", "slope"), [(1e200, 1e-200), (1e-200, 1e200), (4.0, 0.25)])
def test_slopes_of_a_division_by_what_has_no_square(divisor: float, slope: float) -> None:
    (one,) = parse(f"x('a') / {divisor!r} < 3 / x('b')")
    a, b = one.calls
    assert slopes(one.left, {a: 3.0}) == {a: pytest.approx(slope)}
    assert slopes(one.right, {b: 1e200}) == {b: 0.0}


@given(TREES)
def test_slopes_are_derivatives(tree: Node) -> None:
    try:
        found = slopes(tree, {call: POINT[call.variant] for call in calls(tree)})
        step = 1e-6
        for call, slope in found.items():
            at = POINT[call.variant]
            moved = [value(tree, **{call.variant: at + sign * step}) for sign in (1, -1)]
            assert slope == pytest.approx((moved[0] - moved[1]) / (2 * step), rel=1e-3, abs=1e-2 + 1e-6 * abs(slope))
    except ZeroDivisionError:
        return
