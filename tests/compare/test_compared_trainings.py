"""Trainings beside each other: seeds are the unit, and what one training of each shows is no verdict."""

from random import Random
from typing import Any

import pytest
from builders import MACHINE, record, trained, training
from test_compare import only, side

from bench.compare import POINTS, compare
from bench.compare import page as compare_page
from bench.record import Quantity, Record, Value

ONE_EACH = "one training each: another seed could turn it; train three (seeds = 3 under [train])"


def scored(right: list[int], counted: list[int], *, seed: int = 0, **other: Any) -> Record:
    """A training with each image's joints."""
    value = 100 * sum(right) / sum(counted)
    of = trained("original", value, seed=seed, **other)
    details = {"images": {"correct": right, "counted": counted}}
    kept = Value(quantity=of.values[0].quantity, value=value, low=value - 5, high=value + 5, details=details)
    return record(of.job, [kept], started=other.get("started", "2026-01-05T10:00:00Z"), origin=other.get("origin", ""))


def test_accuracy_is_paired_by_image() -> None:
    random = Random(5)
    counted = [14] * 400
    hard = [random.random() for _ in counted]
    before = [sum(random.random() > h for _ in range(14)) for h in hard]
    after = [min(14, x + (random.random() < 0.5)) for x in before]
    found = only([scored(before, counted)], [scored(after, counted, started="2026-01-06T10:00:00Z")])
    gain = 100 * (sum(after) - sum(before)) / sum(counted)
    assert (found.verdict, found.why) == ("cannot tell", ONE_EACH), "wherever the interval lies"
    assert not found.relative and found.tolerance == POINTS
    assert found.change and found.change.value == pytest.approx(gain)
    assert found.change.half_width and found.change.half_width < 0.5, "their own intervals are ± 5 points"
    assert found.notes == ("paired by image, one training each: the spread over seeds is not in the interval",)


def test_accuracy_of_other_images_is_compared_by_its_own_intervals() -> None:
    a, b = scored([7] * 10, [14] * 10), scored([7] * 10 + [9], [14] * 11, started="2026-01-06T10:00:00Z")
    found = only([a], [b])
    assert found.verdict == "cannot tell" and found.change
    assert found.change.half_width == pytest.approx((25 + 25) ** 0.5)
    assert "not paired by image" in found.notes[0]


def test_one_and_the_same_training_is_the_same() -> None:
    ours = scored([7] * 10, [14] * 10)
    taken = scored([7] * 10, [14] * 10, origin="a-run")
    found = only([ours], [taken])
    assert (found.verdict, found.why) == ("same", "one and the same training")


def test_with_several_seeds_these_are_the_unit() -> None:
    def run(*scores: float) -> list[Record]:
        return [trained("original", score, seed=n) for n, score in enumerate(scores)]

    found = {one.key.quantity: one for one in compare(side(run(60, 61, 62)), side(run(70, 71, 72), "b")).comparisons}
    total = found["pckh.total"]
    assert (total.verdict, total.relative, total.notes) == ("better", False, ())
    assert total.change and total.change.low == pytest.approx(10 - 2.776 * (2 / 3) ** 0.5, abs=1e-3)


@pytest.mark.parametrize(
    ("seeds", "said"),
    [((1, 1), "one training each"), ((2, 2), "two trainings each"), ((3, 1), "one training of B"), ((3, 3), "")],
)
def test_fewer_than_three_seeds_are_no_verdict(seeds: tuple[int, int], said: str) -> None:
    a, b = ([trained("original", x + 0.1 * n, seed=n) for n in range(k)] for x, k in zip((60, 70), seeds, strict=True))
    found = {one.key.quantity: one for one in compare(side(a), side(b, "b")).comparisons}["pckh.total"]
    assert (found.verdict, found.why.partition(":")[0]) == ("cannot tell" if said else "better", said)
    assert found.change and found.change.value == pytest.approx(10, abs=0.2)


def test_two_that_have_not_learnt_are_neither_better_nor_worse() -> None:
    def run(score: float, *flags: str) -> list[Record]:
        return [trained("original", score + 0.1 * n, seed=n, flags=flags) for n in range(3)]

    def total(a: list[Record], b: list[Record]) -> tuple[str, str]:
        found = {one.key.quantity: one for one in compare(side(a), side(b, "b")).comparisons}["pckh.total"]
        return found.verdict, found.why.partition(":")[0]

    assert total(run(12, "not_learnt"), run(15, "not_learnt")) == ("cannot tell", "not_learnt")
    assert total(run(12, "not_learnt"), run(60)) == ("better", "")
    assert total(run(60), run(12, "not_learnt")) == ("worse", "")


def test_what_seeds_say_is_a_difference_in_any_unit() -> None:
    depth = Quantity(name="depth_error", unit="1", better="lower", title="depth error")

    def run(*errors: float) -> list[Record]:
        return [record(training("original", n), [Value(quantity=depth, value=x)]) for n, x in enumerate(errors)]

    found = only(run(0.40, 0.41, 0.42), run(0.20, 0.21, 0.22))
    assert (found.verdict, found.relative) == ("better", False), "half as much is not within 2 %"
    assert found.change and found.change.value == pytest.approx(-0.2)
    nearly = compare(side(run(0.400, 0.401, 0.402)), side(run(0.403, 0.402, 0.401), "b"))
    assert nearly.counts == {"same": 1}
    assert "within 2 % of depth_error" in compare_page.page(nearly, "terminal")


def test_seeds_that_differ_are_a_difference() -> None:
    def what(a: list[Record], b: list[Record]) -> dict[str, tuple[str, str]]:
        return {one.what: (one.a, one.b) for one in compare(side(a), side(b, "b")).differences}

    ours = [trained("original", 60.0, seed=0)]
    other = [trained("original", 61.0, seed=1)]
    assert what(ours, other) == {"seeds of trainings": ("0", "1")}
    assert "Nothing else differs" not in compare_page.page(compare(side(ours), side(other, "b")), "terminal")
    assert what(ours, [trained("original", 61.0, seed=0)]) == {}
    both = [*ours, trained("slim", 50.0, seed=0), trained("slim", 50.0, seed=1)]
    assert what(both, [*ours, *other]) == {"seeds of trainings": ("original 0, slim 0 + 1", "0 + 1")}


def test_accuracy_needs_no_equal_machines_but_equal_protocols() -> None:
    elsewhere = trained("original", 70.0, machine=MACHINE | {"id": "00000000"})
    verdicts = {one.verdict for one in compare(side([trained("original", 60.0)]), side([elsewhere], "b")).comparisons}
    assert verdicts == {"cannot tell", "same"}
    longer = trained("original", 70.0, tables={"train": {"samples": 99}})
    found = compare(side([trained("original", 60.0)]), side([longer], "b"))
    assert found.counts.keys() == {"not comparable"} and not found.comparable
    assert found.comparisons[0].why == "train.samples 99 instead of 20000"
