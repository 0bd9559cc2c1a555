"""Two runs beside each other: verdicts on made-up runs whose truth is known; intervals by scipy and by simulation."""

from math import exp, log
from pathlib import Path
from random import Random
from typing import Any

import pytest
from builders import LATENCY, MACHINE, MACS, PARAMS, SUITE, job, record, records
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from jobs import header
from scipy import stats as scipy_stats

from bench.compare import Compared, Comparison, Sample, compare, tolerance, unpaired, welch
from bench.compare import page as compare_page
from bench.compare.side import Key, Side, of_run, sample
from bench.errors import NotComparable
from bench.record import Quantity, Record, Value
from bench.stats import Interval
from bench.store import Loaded
from bench.table.cells import TIMES

PHASES = ("static", "infer", "train", "accuracy")


def side(found: list[Record], run: str = "a-run", **suite: Any) -> Side:
    return of_run(Loaded(Path(f"{run}.jsonl"), header(run, suite=SUITE | suite, machine=MACHINE), found, []))


def timed(*medians: float, machine: dict[str, Any] = MACHINE, flags: tuple[str, ...] = (), **of: Any) -> list[Record]:
    """Rounds of one cell, by their latency."""
    return [
        record(
            job("original", "infer", mode="fp32", number=n, **of),
            [Value(quantity=LATENCY, value=median, flags=list(flags))],
            machine=machine,
        )
        for n, median in enumerate(medians)
    ]


def only(a: list[Record], b: list[Record], **suite: Any) -> Comparison:
    (found,) = compare(side(a, **suite), side(b, "b-run", **suite)).comparisons
    return found


STEADY = (1.000, 1.002, 0.998)


@pytest.mark.parametrize(
    ("factor", "verdict"),
    [(1.2, "worse"), (0.8, "better"), (1.001, "same"), (1.019, "worse"), (0.981, "better")],
)
def test_the_verdict_of_times(factor: float, verdict: str) -> None:
    """The rounds have a spread of 0.2 %, the tolerance is 2 %."""
    found = only(timed(*STEADY), timed(*(factor * x * 1.0001 for x in STEADY)))
    assert (found.verdict, found.tolerance) == (verdict, 2.0)
    assert found.change and found.change.value == pytest.approx(factor * 1.0001)


def test_noise_hides_a_change() -> None:
    found = only(timed(0.9, 1.0, 1.1), timed(0.95, 1.05, 1.15))
    assert (found.verdict, found.why) == ("cannot tell", "")
    assert found.change and found.change.low and found.change.low < 1 < (found.change.high or 0)


@pytest.mark.parametrize(("better", "verdict"), [("lower", "worse"), ("higher", "better"), ("none", "cannot tell")])
def test_the_direction_is_the_quantitys(better: Any, verdict: str) -> None:
    quantity = Quantity(name="rate", unit="image/s", better=better, title="rate")

    def run(factor: float) -> list[Record]:
        cells = (job("original", "infer", mode="fp32", number=n) for n in range(3))
        return [record(of, [Value(quantity=quantity, value=factor * x)]) for of, x in zip(cells, STEADY, strict=True)]

    found = only(run(1.0), run(2.0))
    assert found.verdict == verdict
    assert ("neither direction" in found.why) == (better == "none")


@pytest.mark.parametrize(
    ("a", "b", "why"),
    [
        ((1.0,), (2.0,), "one round, no interval"),
        (STEADY, (2.0,), "one round in B, no interval"),
        ((1.0,), STEADY, "one round in A, no interval"),
    ],
)
def test_one_round_tells_nothing(a: tuple[float, ...], b: tuple[float, ...], why: str) -> None:
    found = only(timed(*a), timed(*b))
    assert (found.verdict, found.why) == ("cannot tell", why)
    assert found.change and found.change.low is None


@given(st.lists(st.floats(0.5, 2.0), min_size=2, max_size=6), st.lists(st.floats(0.5, 2.0), min_size=2, max_size=6))
def test_welch_is_scipys(a: list[float], b: list[float]) -> None:
    one, other = sample(a, relative=True), sample(b, relative=True)
    assert one and other
    assume(min(one.sd, other.sd) > 1e-6)  # scipy warns of rounding below
    ours = welch(one, other)
    theirs = scipy_stats.ttest_ind([log(x) for x in b], [log(x) for x in a], equal_var=False).confidence_interval()
    assert (ours.low, ours.high) == (pytest.approx(theirs.low, abs=1e-9), pytest.approx(theirs.high, abs=1e-9))


def test_welch_without_spread_and_without_values() -> None:
    assert welch(Sample(2, 1.0, 0.0), Sample(2, 3.0, 0.0)) == Interval(2.0, 2.0, 2.0)
    with pytest.raises(ValueError, match="1 and 3 values"):
        welch(Sample(1, 1.0, 0.0), Sample(3, 1.0, 0.1))


@pytest.mark.parametrize(("rounds", "noise"), [((3, 3), (0.01, 0.01)), ((3, 10), (0.03, 0.005)), ((5, 5), (0.1, 0.1))])
def test_the_interval_of_a_ratio_covers_the_truth(rounds: tuple[int, int], noise: tuple[float, float]) -> None:
    """2,000 simulated comparisons; Welch's interval may be a little wide for three rounds of very unlike noise."""
    random, hits = Random(11), 0
    for _ in range(2000):
        a, b = (
            sample([exp(random.gauss(mean, sd)) for _ in range(n)], relative=True)
            for n, mean, sd in zip(rounds, (0.0, 0.2), noise, strict=True)
        )
        assert a and b
        found = welch(a, b)
        hits += found.low is not None and found.high is not None and found.low <= 0.2 <= found.high
    assert 0.93 <= hits / 2000 <= 0.98


@pytest.mark.parametrize(
    ("quantity", "values", "verdict", "shown"),
    [
        (PARAMS, (1000, 1000), "same", f"{TIMES}1"),
        (PARAMS, (10**7, 10**7 + 1), "worse", "+1"),
        (PARAMS, (1000, 500), "better", f"{TIMES}0.500"),
        (MACS, (10, 20), "worse", f"{TIMES}2.00"),
    ],
)
def test_counts_are_equal_or_not(quantity: Quantity, values: tuple[int, int], verdict: str, shown: str) -> None:
    a, b = ([record(job("original", "static"), [Value(quantity=quantity, value=value)])] for value in values)
    found = only(a, b)
    assert (found.verdict, compare_page.change(found)) == (verdict, shown)
    assert found.change and found.change.half_width in (None, 0)


def test_macs_of_another_size_are_not_compared_but_parameters_are() -> None:
    def run(size: int, params: int, macs: int) -> list[Record]:
        values = [Value(quantity=PARAMS, value=params), Value(quantity=MACS, value=macs)]
        return [record(job("original", "static", data={"size": size}), values)]

    found = {one.quantity.name: one for one in compare(side(run(256, 9, 50)), side(run(64, 8, 5))).comparisons}
    assert (found["params"].verdict, found["macs"].verdict) == ("better", "not comparable")
    assert found["macs"].why == "data.size 64 instead of 256" and found["macs"].change is None
    equal = compare(side(run(256, 9, 50)), side(run(64, 9, 50)))
    assert equal.counts == {"same": 2}


MEMORY = Quantity(name="peak_memory", unit="byte", better="lower", title="peak memory")


@pytest.mark.parametrize(("last", "verdict"), [(1009, "same"), (1011, "worse"), (980, "better")])
def test_memory_is_its_maximum(last: int, verdict: str) -> None:
    def run(*peaks: int) -> list[Record]:
        cells = (job("original", "infer", mode="fp32", number=n) for n in range(len(peaks)))
        return [record(of, [Value(quantity=MEMORY, value=peak)]) for of, peak in zip(cells, peaks, strict=True)]

    found = only(run(900, 1000), run(last, 950))
    assert (found.verdict, found.tolerance, found.why) == (verdict, 1.0, "")


def test_the_worst_of_the_rounds_has_no_interval() -> None:
    error = Quantity(name="error", unit="1", better="lower", title="error")

    def run(*errors: float) -> list[Record]:
        cells = (job("original", "infer", mode="fp32", number=n) for n in range(len(errors)))
        return [record(of, [Value(quantity=error, value=x)]) for of, x in zip(cells, errors, strict=True)]

    found = only(run(0.01, 0.02), run(0.01, 0.03))
    assert (found.verdict, found.why) == ("cannot tell", "the worst of the rounds has no interval")
    assert only(run(0.01, 0.02), run(0.01, 0.02)).verdict == "same"


@pytest.mark.parametrize(
    ("other", "why"),
    [
        ({"machine": MACHINE | {"id": "00000000"}}, "machine 00000000 instead of 3f2a91c0"),
        ({"infer": {"batch": 8}}, "infer.batch 8 instead of 1"),
        (
            {"machine": MACHINE | {"id": "00000000"}, "infer": {"batch": 8}, "data": {"size": 64}},
            "machine 00000000 instead of 3f2a91c0, data.size 64 instead of 256 and 1 more",
        ),
    ],
)
def test_times_of_other_machines_and_protocols_are_not_compared(other: dict[str, Any], why: str) -> None:
    found = only(timed(*STEADY), timed(*STEADY, **other))
    assert (found.verdict, found.why, found.change) == ("not comparable", why, None)


def test_of_recipes_the_name_says_it() -> None:
    """The fields of a recipe are in its name; those of one that was changed under its name are listed."""
    step = Quantity(name="train_step", unit="s", better="lower", title="step")

    def run(**recipe: Any) -> list[Record]:
        of = (job("original", "train", mode="fast", number=n, train={"recipe": recipe}) for n in range(3))
        return [record(one, [Value(quantity=step, value=x)]) for one, x in zip(of, STEADY, strict=True)]

    adam = {"name": "adam", "lr": 1e-3, "loss": "mse"}
    other = compare(side(run(**adam)), side(run(name="sgd", lr=0.1, loss="mse")))
    assert [one.why for one in other.comparisons] == ["train.recipe sgd instead of adam"]
    assert [one.what for one in other.differences] == ["train: train.recipe"]
    changed = compare(side(run(**adam)), side(run(**adam | {"lr": 0.1})))
    assert [one.why for one in changed.comparisons] == ["train.recipe.lr 0.1 instead of 0.001"]


def test_a_mode_that_changes_the_answer_is_not_compared() -> None:
    found = only(timed(*STEADY), timed(*STEADY, flags=("mismatch",)))
    assert (found.verdict, found.why) == ("not comparable", "B: mismatch: the mode changes the answer")


def test_a_run_against_itself_is_the_same_and_nothing_differs() -> None:
    found = compare(side(records()), side(records()))
    assert set(found.counts) == {"same", "not comparable"}
    assert found.differences == found.only_a == found.only_b == ()
    assert {one.key.variant for one in found.comparisons if one.verdict == "not comparable"} == {"slim"}


def test_what_one_side_lacks_is_listed_with_the_reason() -> None:
    lost = [r for r in records() if (r.job.variant, r.job.phase) != ("original", "train")]
    out = record(job("original", "train", mode="fast"), status="oom", reason="CUDA out of memory")
    found = compare(side(records()), side([*lost, out]))
    absent = [one for one in found.comparisons if one.key.variant == "original" and one.key.phase == "train"]
    reasons = {one.why for one in absent} | {reason for _, reason in found.only_a}
    assert {one.key.quantity for one in absent} | {key.quantity for key, _ in found.only_a} >= {"train_step"}
    assert all("oom: CUDA out of memory" in reason for reason in reasons)
    assert {one.verdict for one in absent} <= {"cannot tell"}


def test_what_neither_has_is_no_comparison() -> None:
    found = compare(side(records()), side(records()))
    reasons = {reason for key, reason in found.neither if (key.phase, key.variant) == ("train", "deep")}
    assert reasons == {"oom: CUDA out of memory at batch 20; a smaller train.batch may fit"}


def test_nothing_is_compared_where_no_change_is_known() -> None:
    reasons = [record(job("original", "infer", mode="fp32"), [Value(quantity=LATENCY, reason="no clock")])]
    lost = compare(side(reasons), side(reasons))
    assert lost.comparisons == () and lost.neither and not lost.comparable
    elsewhere = MACHINE | {"id": "00000000"}
    slim = Value(quantity=LATENCY, value=1.0)
    mixed = compare(
        side([*timed(*STEADY), record(job("slim", "infer", mode="fp32"), [slim])]),
        side([*timed(*STEADY, machine=elsewhere), record(job("slim", "infer", mode="fp32"), reasons[0].values)]),
    )
    assert mixed.counts == {"cannot tell": 1, "not comparable": 1} and not mixed.comparable
    assert compare(side(timed(1.0)), side(timed(2.0))).comparable, "a ratio without an interval is seen"
    assert compare(side(records()), side(records())).comparable


def test_two_without_a_common_figure() -> None:
    static = [r for r in records() if r.job.phase == "static"]
    with pytest.raises(NotComparable, match=r"no figure in common: static of 3 variants in a-run, infer of 1 variant"):
        compare(side(static), side(timed(*STEADY), "b-run"))


def test_the_tolerance_is_the_suites() -> None:
    gate = {"latency": "5%", "train.peak_memory": "exact", "params": "exact"}
    one, other = side(records(), gate=gate), side(records())
    keys = {(key.phase, key.quantity): key for key in one.figures}
    allowed = {name: tolerance(key, one, other) for name, key in keys.items()}
    assert allowed["infer", "latency"] == 5.0
    assert (allowed["train", "peak_memory"], allowed["infer", "peak_memory"]) == (0.0, 1.0)
    assert (allowed["infer", "throughput"], allowed["static", "macs"]) == (2.0, 0.0)
    assert tolerance(keys["infer", "latency"], one, side(records(), gate={"latency": "1%"})) == 1.0


def test_what_differs() -> None:
    changed = [
        record(r.job, r.values, r.status, r.reason, environment={"python": "3.12", "network": "new"})
        for r in timed(*STEADY, infer={"batch": 8})
    ]
    before = [
        record(r.job, r.values, r.status, r.reason, environment={"python": "3.11", "network": "old"})
        for r in timed(*STEADY)
    ]
    found = {one.what: (one.a, one.b, one.figures) for one in compare(side(before), side(changed)).differences}
    assert found == {
        "python": ("3.11", "3.12", 0),
        "network of original at 256": ("old", "new", 0),
        "infer: infer.batch": ("1", "8", 1),
    }


def test_unpaired_adds_distances_as_squares() -> None:
    assert unpaired(Interval(50.0, 47.0, 54.0), Interval(60.0, 57.0, 63.0)) == Interval(10.0, 5.0, 10 + 18**0.5)
    assert unpaired(Interval(50.0, None, None), Interval(60.0, 57.0, 63.0)) == Interval(10.0, None, None)


def worse_first() -> Compared:
    changed = []
    for r in records():
        factor = {"original": 1.5, "deep": 0.5}.get(r.job.variant, 1.0)
        values = [
            Value(quantity=v.quantity, value=v.value * factor) if v.value and v.quantity.unit == "s" else v
            for v in r.values
        ]
        changed.append(record(r.job, values, r.status, r.reason))
    return compare(side(records()), side(changed, "b-run"))


def test_the_worst_comes_first_and_nothing_is_hidden() -> None:
    found = worse_first()
    verdicts = [one.verdict for one in found.comparisons]
    assert verdicts == sorted(verdicts, key=["worse", "cannot tell", "not comparable", "better", "same"].index)
    assert {one.key.variant for one in found.comparisons if one.verdict == "worse"} == {"original"}
    assert {one.key.variant for one in found.comparisons if one.verdict == "better"} == {"deep"}
    text = compare_page.page(found, "terminal")
    assert text.index("B is worse") < text.index("B is better")
    assert f"{found.counts['same']} the same: --all lists them" in text and "The same (" not in text
    assert "The same (" in compare_page.page(found, "terminal", everything=True)
    said = " ".join(text.split())
    assert "separate sittings" in said and "drift" in said
    assert "Worse and better mean that the 95 % interval excludes no change: of N figures" in said


@pytest.mark.parametrize("width", ["80", "120"])
def test_the_page_keeps_to_the_window(width: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", width)
    lines = compare_page.page(worse_first(), "terminal", everything=True).splitlines()
    assert max(len(line) for line in lines) <= int(width)


@settings(max_examples=10)
@given(st.permutations(records()))
def test_the_order_of_records_does_not_matter(mixed: list[Record]) -> None:
    shuffled = compare(side(records()), side(mixed))
    assert compare_page.page(shuffled, "json") == compare_page.page(compare(side(records()), side(records())), "json")


@given(st.floats(0.3, 3.0), st.floats(0.0, 0.1), st.integers(0, 1000))
def test_swapping_the_two_swaps_the_verdict(factor: float, noise: float, seed: int) -> None:
    random = Random(seed)
    a = timed(*(exp(random.gauss(0, noise)) for _ in range(3)))
    b = timed(*(factor * exp(random.gauss(0, noise)) for _ in range(3)))
    swapped = {"worse": "better", "better": "worse"}
    one, other = only(a, b), only(b, a)
    assert other.verdict == swapped.get(one.verdict, one.verdict)


def test_keys_are_told_apart_by_phase() -> None:
    assert Key("train", "original", "fast", "peak_memory").cell == "original/fast/train"
    names = {one.key for one in compare(side(records()), side(records())).comparisons}
    assert {key.phase for key in names if key.quantity == "peak_memory"} == {"infer", "train"}
