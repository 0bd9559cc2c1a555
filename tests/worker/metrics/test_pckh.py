"""PCKh by hand, against a direct count in fractions, and from maps to values."""

import math
from fractions import Fraction
from itertools import product
from random import Random
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from bench.errors import Failed
from bench.record import Value
from bench.worker import heatmap, resample
from bench.worker.metrics import pckh as plugin
from bench.worker.metrics.pckh import Metric, change, pckh, shift

NAMES = ("head", "shoulder", "elbow", "wrist", "hip", "knee", "ankle", "head_official")
EVERY = ("total", "mean14", "limbs", *NAMES)
SIDES = {"shoulder": (12, 13), "elbow": (11, 14), "wrist": (10, 15), "hip": (2, 3), "knee": (1, 4), "ankle": (0, 5)}


def people(n: int = 1) -> dict[str, Tensor]:
    """n images 64 x 64 whose joints all lie at (30, 30), with heads of 10 px: 5 px are near enough."""
    joints, labelled, head = torch.full((n, 16, 2), 30.0), torch.ones(n, 16, dtype=torch.bool), torch.full((n,), 10.0)
    return {"image": torch.zeros(n, 3, 64, 64), "joints": joints, "labelled": labelled, "head_size": head}


def off(batch: dict[str, Tensor], *joints: int) -> Tensor:
    """The truth, but for these joints of every image."""
    moved = batch["joints"].clone()
    moved[:, list(joints), 0] += 100
    return moved


def scored(pred: Tensor, batch: dict[str, Tensor]) -> dict[str, Any]:
    return pckh(pred, batch["joints"], batch["head_size"], batch["labelled"])


def values(metric: Metric) -> dict[str, Value]:
    return {value.quantity.name: value for value in metric.compute()}


def fed(pred: Tensor, batch: dict[str, Tensor], *, size: int = 1000) -> Metric:
    """A metric that has seen everything, `size` images at a time."""
    metric = Metric()
    for first in range(0, len(pred), size):
        metric.update(pred[first : first + size], {k: v[first : first + size] for k, v in batch.items()})
    return metric


def crowd(n: int, seed: int = 0) -> tuple[Tensor, dict[str, Tensor]]:
    generator = torch.Generator().manual_seed(seed)
    batch = people(n)
    batch["joints"] = torch.rand(n, 16, 2, generator=generator) * 64
    batch["labelled"] = torch.rand(n, 16, generator=generator) < 0.8
    return batch["joints"] + 6 * torch.randn(n, 16, 2, generator=generator), batch


@pytest.mark.parametrize(
    ("x", "y", "head", "rate"),
    [(3, 4, 10, 100.0), (0, 5, 10, 100.0), (12.8, 0, 25.6, 100.0), (3, 4, 9.999, 0.0), (5.0000001, 0, 10, 0.0)],
)
def test_half_a_head_is_near_enough(x: float, y: float, head: float, rate: float) -> None:
    gt = np.zeros((1, 16, 2))
    assert pckh(gt + np.array([x, y]), gt, np.array([head]), np.ones((1, 16), bool))["total"] == rate


def test_an_occluded_joint_counts_and_an_unlabelled_one_does_not() -> None:
    batch = people(2)
    batch["visible"] = batch["labelled"] & False
    assert values(fed(off(batch, 9), batch))["pckh.head"].value == 0.0
    batch["labelled"][0, 9] = False
    found = scored(off(batch, 9), batch)
    assert (found["head"], found["counts"][9]) == (0.0, 1)
    assert found["total"] == pytest.approx(100 * 26 / 27)


@pytest.mark.parametrize("joint", [6, 7])
def test_pelvis_and_thorax_are_in_no_total_but_have_rates(joint: int) -> None:
    batch = people()
    found = scored(off(batch, joint), batch)
    assert {name: found[name] for name in EVERY} == dict.fromkeys(EVERY, 100.0)
    assert (found["per_joint"][joint], found["counts"][joint]) == (0.0, 1)
    batch["labelled"] &= torch.arange(16) == joint
    found = scored(off(batch, joint), batch)
    assert [found[name] for name in EVERY] == [None] * len(EVERY)


@pytest.mark.parametrize(("group", "sides"), SIDES.items())
def test_a_group_is_the_mean_of_its_sides(group: str, sides: tuple[int, int]) -> None:
    """One side right in 1 of 1, the other in 0 of 3: 50, not the pooled 25."""
    batch = people(3)
    batch["labelled"][1:, sides[0]] = False
    found = scored(off(batch, sides[1]), batch)
    assert {name for name in NAMES if found[name] != 100.0} == {group}
    assert found[group] == 50.0
    batch["labelled"][:, sides[1]] = False
    assert scored(off(batch, sides[1]), batch)[group] == 100.0
    batch["labelled"][:, sides[0]] = False
    assert scored(batch["joints"], batch)[group] is None


def test_the_head_is_its_top_and_officially_with_the_neck() -> None:
    batch = people()
    neck, top = scored(off(batch, 8), batch), scored(off(batch, 9), batch)
    assert (neck["head"], neck["head_official"]) == (100.0, 50.0)
    assert (top["head"], top["head_official"]) == (0.0, 50.0)
    batch["labelled"][:, 9] = False
    neck = scored(off(batch, 8), batch)
    assert (neck["head"], neck["head_official"]) == (None, 0.0)


def test_limbs_are_the_mean_of_four_groups_as_far_as_defined() -> None:
    batch = people()
    assert scored(off(batch, 10, 15, 0, 8, 9, 12, 2), batch)["limbs"] == pytest.approx((0 + 100 + 100 + 50) / 4)
    batch["labelled"][:, [0, 5]] = False
    assert scored(off(batch, 10, 15), batch)["limbs"] == pytest.approx((0 + 100 + 100) / 3)


def test_pooled_and_mean_differ() -> None:
    """13 joints right in 2 of 2 images, the head top wrong in the one image that has it."""
    batch = people(2)
    batch["labelled"][1, 9] = False
    found = scored(off(batch, 9), batch)
    assert found["total"] == pytest.approx(100 * 26 / 27)
    assert found["mean14"] == pytest.approx(100 * 13 / 14)
    batch["labelled"][0, 9] = False
    assert scored(off(batch, 9), batch)["mean14"] == 100.0


@pytest.mark.parametrize("lost", [math.nan, math.inf, -math.inf])
def test_a_prediction_that_is_not_finite_is_wrong(lost: float) -> None:
    batch = people(2)
    pred = batch["joints"].clone()
    pred[0, 9, 1] = lost
    found = scored(pred, batch)
    assert (found["head"], found["counts"][9]) == (50.0, 2)


def test_no_images_give_no_rates() -> None:
    found = pckh(np.zeros((0, 16, 2)), np.zeros((0, 16, 2)), np.zeros(0), np.zeros((0, 16)))
    assert [found[name] for name in EVERY] == [None] * len(EVERY)
    assert (found["per_joint"], found["counts"]) == ([None] * 16, [0] * 16)


@pytest.mark.parametrize("head", [0.0, -1.0, math.nan, math.inf])
def test_a_labelled_person_needs_a_head(head: float) -> None:
    batch = people(2)
    batch["head_size"][1] = head
    with pytest.raises(Failed, match=r"^image 1 has labelled joints and the head size .*above 0$"):
        scored(batch["joints"], batch)
    batch["labelled"][1] = False
    assert scored(batch["joints"], batch)["total"] == 100.0


def test_a_labelled_joint_needs_a_position() -> None:
    batch = people(2)
    batch["joints"][1, 3, 0] = torch.nan
    with pytest.raises(Failed, match="joint 3 of image 1 is labelled and has no position"):
        scored(people(2)["joints"], batch)


@pytest.mark.parametrize(
    ("key", "shape"),
    [("pred", (2, 16, 3)), ("pred", ()), ("gt", (3, 16, 2)), ("head_size", (2, 1)), ("labelled", (2, 14))],
)
def test_shapes_that_do_not_fit_are_named(key: str, shape: tuple[int, ...]) -> None:
    given = {"pred": (2, 16, 2), "gt": (2, 16, 2), "head_size": (2,), "labelled": (2, 16)} | {key: shape}
    with pytest.raises(Failed, match=r"^pckh needs \w+ of shape \(.*\), not \(.*\)$"):
        pckh(**{name: np.ones(size) for name, size in given.items()})


def mean(rates: list[Fraction | None]) -> Fraction | None:
    defined = [rate for rate in rates if rate is not None]
    return sum(defined, Fraction(0)) / len(defined) if defined else None


def counted(pred: Any, gt: Any, heads: Any, labelled: Any) -> dict[str, Fraction | None]:
    """The definition, joint by joint, without rounding."""
    right, seen = [0] * 16, [0] * 16
    for person, joint in product(range(len(gt)), range(16)):
        if labelled[person][joint]:
            x, y = (Fraction(p) - Fraction(g) for p, g in zip(pred[person][joint], gt[person][joint], strict=True))
            seen[joint] += 1
            right[joint] += 4 * (x * x + y * y) <= Fraction(heads[person]) ** 2
    rate = [Fraction(100 * r, s) if s else None for r, s in zip(right, seen, strict=True)]
    kept = [0, 1, 2, 3, 4, 5, 8, 9, 10, 11, 12, 13, 14, 15]
    found = {name: mean([rate[a], rate[b]]) for name, (a, b) in SIDES.items()}
    found |= {"head": rate[9], "head_official": mean([rate[8], rate[9]]), "mean14": mean([rate[j] for j in kept])}
    found["limbs"] = mean([found[name] for name in ("wrist", "elbow", "knee", "ankle")])
    total = sum(seen[j] for j in kept)
    return found | {"total": Fraction(100 * sum(right[j] for j in kept), total) if total else None}


@settings(max_examples=150)
@given(st.integers(0, 4), st.randoms(use_true_random=False))
def test_it_is_what_a_direct_count_gives(n: int, random: Random) -> None:
    """Few people whose joints are half a head off, just about, on a grid of quarter pixels."""
    pred, gt = (np.array([random.randint(-16, 16) / 4 for _ in range(n * 32)]).reshape(n, 16, 2) for _ in "ab")
    heads = np.array([random.choice([0.5, 2.5, 5.0, 7.5, 10.0]) for _ in range(n)])
    labelled = np.array([random.random() < 0.6 for _ in range(n * 16)], dtype=bool).reshape(n, 16)
    expected = counted(pred, gt, heads, labelled)
    results = [
        pckh(pred, gt, heads, labelled),
        pckh(*(torch.tensor(part) for part in (pred, gt, heads, labelled))),
        pckh(torch.tensor(pred).half(), gt.astype(">f4"), torch.tensor(heads).float(), labelled.astype(np.uint8)),
    ]
    assert results[0] == results[1] == results[2]
    for name, rate in expected.items():
        assert results[0][name] == (None if rate is None else pytest.approx(float(rate), abs=1e-9)), name
    assert results[0]["counts"] == [sum(bool(row[j]) for row in labelled) for j in range(16)]


def drawn(batch: dict[str, Tensor], size: tuple[int, int], stride: float) -> Tensor:
    return heatmap.targets(batch["joints"], batch["labelled"], size, stride=stride, sigma=1.0)


@pytest.mark.parametrize(("size", "stride"), [((16, 16), 4.0), ((32, 24), 2.0), ((8, 8), 8.0)])
def test_what_was_drawn_exactly_is_found_within_a_cell(size: tuple[int, int], stride: float) -> None:
    _, batch = crowd(20)
    side = torch.tensor([size[1], size[0]]) * stride
    batch |= {"image": torch.zeros(20, 3, int(side[1]), int(side[0])), "joints": batch["joints"] / 64 * (side - 0.01)}
    batch["head_size"] = torch.full((20,), 2 * stride)
    metric = fed(drawn(batch, size, stride), batch)
    wrong = (metric.joints() - batch["joints"]).abs().amax(-1)[batch["labelled"]]
    assert wrong.max() <= stride / 2 + stride / 4
    total = values(metric)["pckh.total"]
    assert (total.value, total.low, total.high, total.details["flat_maps"]) == (100.0, 100.0, 100.0, 0)


def test_a_cell_s_centre_is_the_place_in_the_image_for_each_axis() -> None:
    batch = people() | {"image": torch.zeros(1, 3, 64, 48)}
    maps = torch.zeros(1, 16, 16, 24)
    maps[:, :, 5, 7], maps[:, :, 5, 8], maps[:, :, 4, 7] = 1.0, 0.5, 0.25
    assert fed(maps, batch).joints()[0, 0].tolist() == [(7.25 + 0.5) * 2, (4.75 + 0.5) * 4]


def test_flat_maps_are_counted_and_maps_without_a_finite_maximum_predict_nothing() -> None:
    batch = people(2)
    maps = drawn(batch, (16, 16), 4.0)
    maps[0, 3], maps[0, 4], maps[1, 4] = 0.0, -1.0, 0.0
    maps[0, 9, 7, 7], maps[0, 8, 7, 7] = torch.nan, torch.inf
    batch["labelled"][1, 4] = False
    metric = fed(maps, batch, size=1)
    assert metric.joints()[0, 3].tolist() == [2.0, 2.0]
    assert metric.joints()[0, 8:10].isnan().all()
    found = values(metric)
    assert (found["pckh.head_official"].value, found["pckh.shoulder"].value) == (50.0, 100.0)
    assert found["pckh.total"].details["flat_maps"] == 4


@pytest.mark.parametrize("size", [1, 7, 40])
@pytest.mark.parametrize("as_maps", [True, False])
def test_batches_change_nothing(size: int, as_maps: bool) -> None:
    pred, batch = crowd(40)
    given = torch.randn(40, 16, 8, 8, generator=torch.Generator().manual_seed(2)) if as_maps else pred
    assert values(fed(given, batch, size=size)) == values(fed(given, batch))
    assert torch.equal(fed(given, batch, size=size).scores()[0], fed(given, batch).scores()[0])


@pytest.mark.parametrize("shape", [(2, 16, 8, 8), (2, 16, 2)])
def test_taking_a_batch_reads_no_value(shape: tuple[int, ...]) -> None:
    """A tensor on the meta device has none: what would wait for a GPU raises."""
    with torch.device("meta"):
        Metric().update(torch.zeros(shape), people(2))


def test_what_was_taken_is_kept_though_the_buffers_are_reused() -> None:
    batch = people()
    metric = fed(given := batch["joints"].clone(), batch)
    for buffer in (given, *batch.values()):
        buffer.zero_()
    assert values(metric)["pckh.total"].value == 100.0


def test_joints_are_taken_as_they_are_and_the_details_pair_images() -> None:
    pred, batch = crowd(30)
    metric = fed(pred, batch)
    assert torch.equal(metric.joints(), pred.double())
    found = values(metric)
    assert {n.removeprefix("pckh."): v.value for n, v in found.items()} == {n: scored(pred, batch)[n] for n in EVERY}
    details = found["pckh.total"].details
    assert details["flat_maps"] is None
    correct, labelled = metric.scores()
    kept = [j for j in range(16) if j not in (6, 7)]
    right, seen = correct[:, kept].sum(1), labelled[:, kept].sum(1)
    assert details["images"] == {"correct": right.tolist(), "counted": seen.tolist()}
    assert 100 * int(right.sum()) / int(seen.sum()) == scored(pred, batch)["total"]
    assert [details[k] for k in ("per_joint", "counts")] == [scored(pred, batch)[k] for k in ("per_joint", "counts")]
    assert not (correct & ~labelled).any()


def test_quantities_and_intervals() -> None:
    pred, batch = crowd(60)
    metric = fed(pred, batch)
    found = values(metric)
    assert list(found) == [f"pckh.{name}" for name in EVERY]
    assert [name for name, value in found.items() if not value.quantity.headline] == ["pckh.head_official"]
    kinds = {(v.quantity.unit, v.quantity.better, v.how) for v in found.values()}
    assert kinds == {("%", "higher", "bootstrap over 60 images")}
    for value in found.values():
        assert value.low is not None and value.value is not None and value.high is not None
        assert 0 <= value.low < value.value < value.high <= 100
    right, seen = (resample.weights(60) @ part[:, [9]].double() for part in metric.scores())
    assert resample.interval(100 * right / seen) == (found["pckh.head"].low, found["pckh.head"].high)
    one = values(fed(pred[:1], {key: part[:1] for key, part in batch.items()}))[plugin.HEADLINE]
    assert (one.value is None, one.low, one.high, one.how) == (False, None, None, "one image, no interval")


def test_what_no_image_has_is_undefined_with_a_reason() -> None:
    batch = people(3)
    batch["labelled"][:, [9, 10, 15]] = False
    found = values(fed(batch["joints"], batch))
    reasons = [value.reason for value in found.values() if value.value is None]
    assert reasons == ["no labelled head top in 3 images", "no labelled wrist in 3 images"]
    assert (found["pckh.wrist"].low, found["pckh.wrist"].high) == (None, None)


def test_no_images_were_scored() -> None:
    with pytest.raises(Failed, match=r"^no images were scored"):
        list(Metric().compute())
    assert Metric().joints().shape == (0, 16, 2)
    assert [part.shape for part in Metric().scores()] == [(0, 16), (0, 16)]


@pytest.mark.parametrize("key", ["image", "joints", "labelled", "head_size"])
def test_a_data_set_without_joints_is_told_so(key: str) -> None:
    batch = people()
    del batch[key]
    with pytest.raises(Failed, match=f"^data set has no {key}: pckh needs image, joints, labelled, head_size$"):
        Metric().update(torch.zeros(1, 16, 8, 8), batch)


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((1, 14, 8, 8), "the network puts out 14 joints, the data set has 16"),
        ((1, 16), "the output is (1, 16)"),
        ((2, 16, 8, 8), "pckh needs truth of shape (2, 16, 2), not (1, 16, 2)"),
    ],
)
def test_an_output_that_does_not_fit_fails(shape: tuple[int, ...], message: str) -> None:
    with pytest.raises(Failed) as caught:
        Metric().update(torch.zeros(shape), people())
    assert message in str(caught.value) and "\n" not in str(caught.value)


def test_identical_predictors_do_not_change() -> None:
    pred, batch = crowd(30)
    assert change(fed(pred, batch), fed(pred, batch, size=7)) == (0.0, 0.0, 0.0)
    assert shift(fed(pred, batch), fed(pred, batch))["largest"] == 0.0


def test_a_change_is_of_minus_against_and_paired() -> None:
    """Images differ widely, and every second one gains one joint: unpaired intervals are five times as wide."""
    batch = people(100)
    hard = torch.arange(100)[:, None] % 10 * 1.4 > torch.arange(16)
    worse = batch["joints"] + 100 * hard[..., None]
    better = worse.clone()
    worse[::2, 15], better[:, 15] = 500.0, 30.0
    gain, low, high = change(fed(better, batch), fed(worse, batch))
    assert 0 < low < gain < high
    assert gain == pytest.approx(100 * 50 / 1400)
    assert change(fed(worse, batch), fed(better, batch)) == pytest.approx((-gain, -high, -low))
    total = values(fed(better, batch))["pckh.total"]
    assert total.low is not None and total.high is not None and total.high - total.low > 5 * (high - low)


def test_other_images_are_not_compared() -> None:
    pred, batch = crowd(5)
    moved = batch | {"joints": batch["joints"] + 1}
    fewer = batch | {"labelled": batch["labelled"] & False}
    for other in (fed(pred[:4], {k: v[:4] for k, v in batch.items()}), fed(pred, moved), fed(pred, fewer)):
        for compare in (change, shift):
            with pytest.raises(Failed, match=r"^not the same images"):
                compare(fed(pred, batch), other)
    with pytest.raises(Failed, match="no labelled joint"):
        change(fed(pred, fewer), fed(pred, fewer))


def test_a_shift_is_a_distance_over_the_labelled_joints() -> None:
    batch = people(10) | {"head_size": torch.full((10,), 5.0)}
    pred = batch["joints"]
    other = pred + torch.tensor([3.0, 4.0]) * torch.linspace(0, 1, 16)[:, None]
    other[0, 0, 0] = torch.nan
    batch["labelled"][:, 15] = False
    found = shift(fed(other, batch), fed(pred, batch))
    assert (found["joints"], found["undefined"]) == (149, 1)
    apart = np.delete(np.repeat(np.linspace(0, 5, 16)[:15], 10), 0)
    expected = [np.median(apart), np.quantile(apart, 0.99), apart.max()]
    assert [found[k] for k in ("median", "p99", "largest")] == pytest.approx(expected, rel=1e-6)
    heads = shift(fed(other, batch), fed(pred, batch), in_heads=True)
    assert [heads[k] for k in ("median", "p99", "largest")] == pytest.approx([e / 5 for e in expected], rel=1e-6)
    nothing = shift(fed(pred * torch.nan, batch), fed(pred, batch))
    assert nothing == {"joints": 0, "undefined": 150, "median": None, "p99": None, "largest": None}
