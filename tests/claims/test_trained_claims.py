"""What claims of trained networks hang on: seeds between networks, images within one training."""

from collections.abc import Sequence
from random import Random
from typing import Any

import builders
import msgspec
import pytest
from builders import record, trained, training
from test_claims import judgement

from bench.record import Record

ONE_EACH = "one training each: another seed could turn it; train three (seeds = 3 under [train])"


def scored(variant: str, right: Sequence[int], counted: Sequence[int], **other: Any) -> Record:
    """A training whose `pckh.total` has its scores by image, and nine points around each figure."""
    total = 100 * sum(right) / sum(counted)
    found = trained(variant, total, **other)
    details = {"images": {"correct": list(right), "counted": list(counted)}}
    values = [
        msgspec.structs.replace(value, low=value.value - 4.5, high=value.value + 4.5)
        if value.quantity.name in ("pckh.total", "pckh.mean14") and value.value is not None
        else value
        for value in found.values
    ]
    values[0] = msgspec.structs.replace(values[0], details=details)
    return msgspec.structs.replace(found, values=values)


COUNTED = [14] * 100
HARD = Random(1).choices([2, 7, 12], k=100)
EASIER = [right + (n % 3 == 0) for n, right in enumerate(HARD)]
"""Right about the same joints, and a third of the images have one more: a small difference that pairing shows."""


def test_accuracy_is_paired_by_image() -> None:
    found = [scored("original", EASIER, COUNTED), scored("slim", HARD, COUNTED)]
    one = judgement("pckh.total('slim') < pckh.total('original')", found)
    assert (one.verdict, one.reason) == ("undecided", ONE_EACH), "wherever the interval lies"
    assert (one.effect.how, one.effect.ratio) == ("paired by image", False)
    assert one.effect.interval is not None and one.effect.interval.low is not None
    assert one.effect.interval.value == pytest.approx(-100 * 34 / 1400)
    assert -3.2 < one.effect.interval.low < -2.6
    assert "one training each: what another seed would change is not in the interval" in one.notes


@pytest.mark.parametrize(
    ("condition", "verdict"),
    [
        ("pckh.total('slim') > 40 %", "holds"),
        ("pckh.total('slim') > 60 %", "fails"),
        ("pckh.total('slim') > pckh.mean_pose('slim')", "holds"),
        ("pckh.total('slim') > pckh.mean_pose('original')", "undecided"),
        ("pckh.total('slim') / latency('slim') > 80 / latency('original')", "holds"),
    ],
)
def test_one_training_says_something_of_its_own_network(condition: str, verdict: str) -> None:
    found = [*builders.records(), trained("original", 60.0), trained("slim", 50.0)]
    one = judgement(condition, found)
    assert one.verdict == verdict
    each = " each" * (verdict == "undecided")
    assert f"one training{each}: what another seed would change is not in the interval" in one.notes


@pytest.mark.parametrize(
    ("seeds", "said"),
    [
        ((1, 1), "one training each"),
        ((2, 2), "two trainings each"),
        ((1, 3), "one training of slim"),
        ((3, 2), "two trainings of original"),
        ((1, 2), "one training of slim and two trainings of original"),
        ((3, 3), ""),
    ],
)
def test_fewer_than_three_seeds_decide_nothing_between_networks(seeds: tuple[int, int], said: str) -> None:
    means = dict(zip(("slim", "original"), (50.0, 60.0), strict=True))
    found = [
        trained(name, mean + 0.1 * n, seed=n)
        for (name, mean), count in zip(means.items(), seeds, strict=True)
        for n in range(count)
    ]
    one = judgement("pckh.total('slim') < pckh.total('original')", found)
    assert (one.verdict, one.reason.partition(":")[0]) == ("undecided" if said else "holds", said)
    assert one.effect.interval is not None and one.effect.interval.value == pytest.approx(-10.0, abs=0.2)
    spread = one.effect.interval.low is not None
    assert spread == (1 not in seeds or seeds == (1, 1)), "one training beside several has no spread"


def test_a_mean_over_the_same_joints_is_correlated_as_they_are() -> None:
    found = [scored("original", EASIER, COUNTED), scored("slim", HARD, COUNTED)]
    one = judgement("pckh.mean14('slim') < pckh.mean14('original')", found)
    assert one.verdict == "undecided" and one.effect.interval is not None and (one.effect.interval.high or 0) < 0
    assert one.effect.how == "paired by image, correlated as pckh.total, whose scores by image are kept"


@pytest.mark.parametrize("other", [None, [13] * 100, [14] * 99])
def test_without_the_same_images_there_are_only_the_two_intervals(other: list[int] | None) -> None:
    slim = trained("slim", 50.0) if other is None else scored("slim", HARD[: len(other)], other)
    found = [scored("original", EASIER, COUNTED), slim]
    one = judgement("pckh.total('slim') < pckh.total('original')", found)
    assert one.effect.how == "not paired: from the figures' own intervals"
    assert one.effect.interval is not None and one.effect.interval.half_width is not None
    assert one.effect.interval.half_width == pytest.approx((4.5**2 + (1.0 if other is None else 4.5) ** 2) ** 0.5, 1e-3)


def test_several_seeds_are_the_unit() -> None:
    found = [trained("original", 60 + x, seed=n) for n, x in enumerate((0.0, 0.5, 1.0))]
    found += [trained("slim", 50 + x, seed=n) for n, x in enumerate((0.0, 0.5, 1.0))]
    one = judgement("pckh.total('slim') < pckh.total('original')", found)
    assert (one.verdict, one.effect.how) == ("holds", "over 3 seeds")
    assert one.effect.interval is not None
    # Welch: 0.5 * sqrt(2 / 3) * t of 4 degrees of freedom
    assert one.effect.interval.half_width == pytest.approx(0.5 * (2 / 3) ** 0.5 * 2.7764, rel=1e-4)


def test_what_has_not_learnt_decides_nothing() -> None:
    found = [trained("original", 60.0), trained("slim", 12.0, flags=("not_learnt",))]
    one = judgement("pckh.total('slim') < pckh.total('original')", found)
    assert one.verdict == "undecided" and one.reason.startswith("slim: not_learnt: the network does not clearly beat")


def test_accuracy_of_another_protocol_is_not_compared() -> None:
    found = [trained("original", 60.0), trained("slim", 50.0, tables={"data": {"size": 128}})]
    one = judgement("pckh.total('slim') < pckh.total('original')", found)
    assert (one.verdict, one.reason) == ("not comparable", "data.size 128 instead of 64 (slim and original)")


def test_accuracy_beside_speed() -> None:
    found = [*builders.records(), trained("original", 60.0), trained("slim", 50.0)]
    one = judgement("pckh.total('slim') / latency('slim') > pckh.total('original') / latency('original')", found)
    assert (one.verdict, one.reason) == ("undecided", ONE_EACH)
    assert one.effect.ratio and one.effect.interval is not None and one.effect.interval.low is not None
    assert any(note.startswith("data.size ") for note in one.notes)
    assert judgement("pckh.total('slim', mode='fp32') > 1 %", found).reason.startswith("slim was not measured in fp32")


def test_where_accuracy_is_from_is_told() -> None:
    found = [trained("original", 60.0), trained("slim", 50.0, origin="20260101T000000Z-aaaa")]
    notes = judgement("pckh.total('slim') < pckh.total('original')", found).notes
    assert any(note.startswith("slim trained in an earlier run: 20260101T000000Z-aaaa") for note in notes)


def test_a_training_that_nobody_asked_for() -> None:
    absent = record(training("slim"), status="skipped", reason="not trained yet", machine={}, started="")
    one = judgement("pckh.total('slim') < pckh.total('original')", [trained("original", 60.0), absent])
    assert (one.verdict, one.reason) == ("undecided", "slim: not trained yet")


def test_quantities_that_are_no_headlines_can_be_quoted() -> None:
    found = judgement("loss.test('original') < 1", [trained("original", 60.0)])
    assert found.verdict == "undecided" and found.reason == ONE_EACH.replace(" each", "")
    assert found.figures[0].cell.value == 0.01
