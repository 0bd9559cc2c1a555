"""Faults that a mode may have are noticed by comparing its answers with strict fp32."""

import math
from collections.abc import Callable

import pytest
import torch
from jobs import HOURGLASS, ROOT
from torch import Tensor, nn

from bench import plugins
from bench.errors import Failed
from bench.record import Value
from bench.worker import numerics
from bench.worker.subject import unsettle_norms

TOLERANCE = 1e-5

Answers = list[Tensor]


@pytest.fixture(scope="module")
def network() -> nn.Module:
    torch.manual_seed(0)
    model: nn.Module = plugins.load_file(ROOT / "archs" / "stacked_hourglass.py").build(**HOURGLASS).eval()
    unsettle_norms(model, 0)
    return model


@pytest.fixture(scope="module")
def images() -> list[Tensor]:
    return [torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(seed)) for seed in (1, 2)]


def answers(network: nn.Module, images: list[Tensor]) -> Answers:
    with torch.inference_mode():
        return [network(image)[-1].clone() for image in images]


def compared(reference: Answers, answer: Answers, tolerance: float = TOLERANCE) -> dict[str, Value]:
    return {value.quantity.name: value for value in numerics.compare(reference, answer, tolerance)}


def test_the_same_answers_are_right(network: nn.Module, images: list[Tensor]) -> None:
    found = compared(answers(network, images), answers(network, images))
    assert found["error"].value == 0
    assert found["error"].flags == []
    assert found["error"].details["sqnr_db"] is None
    assert found["error"].details["cosine"] == pytest.approx(1)
    assert found["error.argmax_agreement"].value == 100


def test_rounding_within_the_tolerance_is_right(network: nn.Module, images: list[Tensor]) -> None:
    reference = answers(network, images)
    found = compared(reference, [out * (1 + 1e-6) for out in reference])
    assert found["error"].value == pytest.approx(1e-6, rel=0.1)
    assert found["error"].flags == []
    assert found["error"].details["sqnr_db"] == pytest.approx(120, abs=1)


def holding_nan(reference: Answers) -> Answers:
    broken = [out.clone() for out in reference]
    broken[1][0, 0, 0, 0] = math.nan
    return broken


def holding_infinity(reference: Answers) -> Answers:
    broken = [out.clone() for out in reference]
    broken[0][-1, -1, -1, -1] = math.inf
    return broken


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (holding_nan, f"mismatch: the output holds NaN or infinity {numerics.STALE}"),
        (holding_infinity, "mismatch: the output holds NaN or infinity"),
        (
            lambda reference: [out[:, :-1] for out in reference],
            "mismatch: shape (2, 15, 8, 8) instead of (2, 16, 8, 8)",
        ),
        (lambda reference: [out[:1] for out in reference], "mismatch: shape (1, 16, 8, 8) instead of (2, 16, 8, 8)"),
        (
            lambda reference: [reference[0], reference[0]],
            "mismatch: the same output for two different images (a stale buffer)",
        ),
    ],
)
def test_broken_answers_have_no_error_but_a_reason(
    network: nn.Module, images: list[Tensor], fault: Callable[[Answers], Answers], reason: str
) -> None:
    reference = answers(network, images)
    found = compared(reference, fault(reference), tolerance=1.0)
    assert found.keys() == {"error"}
    assert (found["error"].value, found["error"].reason, found["error"].flags) == (None, reason, ["mismatch"])


@pytest.mark.parametrize(
    "fault",
    [
        lambda reference: [out[:, [1, 0, *range(2, out.shape[1])]] for out in reference],
        lambda reference: [out.flip(-1) for out in reference],
        lambda reference: [out.flip(0) for out in reference],
        lambda reference: [torch.zeros_like(out) + torch.randn_like(out) * 1e-3 for out in reference],
        lambda reference: [out * 1.001 for out in reference],
    ],
    ids=["swapped channels", "mirrored", "images in another order", "forgotten", "scaled"],
)
def test_wrong_answers_are_a_mismatch(
    network: nn.Module, images: list[Tensor], fault: Callable[[Answers], Answers]
) -> None:
    reference = answers(network, images)
    error = compared(reference, fault(reference))["error"]
    assert error.flags == ["mismatch"]
    assert error.how.startswith("mismatch: relative L2 ")
    assert (error.value or 0) > TOLERANCE


def test_batch_norm_left_in_training_is_a_mismatch(network: nn.Module, images: list[Tensor]) -> None:
    reference = answers(network, images)
    network.train()
    try:
        assert compared(reference, answers(network, images))["error"].flags == ["mismatch"]
    finally:
        network.eval()


def test_a_dropped_norm_is_a_mismatch(network: nn.Module, images: list[Tensor]) -> None:
    reference = answers(network, images)
    kept = network.stem[1]
    network.stem[1] = nn.Identity()
    try:
        assert compared(reference, answers(network, images))["error"].flags == ["mismatch"]
    finally:
        network.stem[1] = kept


def test_a_reduced_type_is_right_or_wrong_by_its_tolerance(network: nn.Module, images: list[Tensor]) -> None:
    reference = answers(network, images)
    reduced = [out.bfloat16() for out in reference]
    strict, loose = (compared(reference, reduced, tolerance)["error"] for tolerance in (1e-5, 3e-2))
    assert (strict.flags, loose.flags) == (["mismatch"], [])
    assert strict.details["dtype"] == "bfloat16"


def test_a_reference_that_does_not_depend_on_the_image_could_not_show_a_stale_buffer() -> None:
    same = [torch.ones(1, 2, 4, 4)] * 2
    with pytest.raises(Failed, match="the same output for two different images"):
        compared(same, same)


def test_outputs_that_are_no_maps_have_no_maxima() -> None:
    logits = [torch.tensor([[1.0, 2.0]]), torch.tensor([[2.0, 1.0]])]
    assert compared(logits, logits).keys() == {"error"}


def test_relative_error_by_hand() -> None:
    assert numerics.relative_l2(torch.tensor([3.0, 5.0]), torch.tensor([3.0, 4.0])) == pytest.approx(0.2)
    assert numerics.relative_l2(torch.zeros(2), torch.zeros(2)) == 0
    assert numerics.relative_l2(torch.ones(2), torch.zeros(2)) == math.inf


def peaks(*cells: tuple[int, int]) -> Tensor:
    """One map of 6 x 6 per cell (x, y), with its maximum there."""
    maps = torch.zeros(1, len(cells), 6, 6)
    for index, (x, y) in enumerate(cells):
        maps[0, index, y, x] = 1
    return maps


@pytest.mark.parametrize(
    ("moved", "share"),
    [((2, 3), 100), ((3, 3), 100), ((3, 4), 100), ((4, 3), 0), ((2, 5), 0), ((1, 2), 100)],
)
def test_maxima_agree_within_one_cell_in_either_direction(moved: tuple[int, int], share: float) -> None:
    assert numerics.argmax_agreement([peaks((2, 3))], [peaks(moved)]) == share


def test_a_maximum_at_the_end_of_a_row_is_not_near_the_next_rows_begin() -> None:
    assert numerics.argmax_agreement([peaks((5, 2))], [peaks((0, 3))]) == 0


def test_the_share_of_maps_that_agree() -> None:
    wanted, got = peaks((0, 0), (1, 1), (2, 2), (3, 3)), peaks((0, 0), (1, 1), (2, 2), (0, 3))
    assert numerics.argmax_agreement([wanted], [got]) == 75


def test_a_copied_output_is_poisoned_unless_it_shares_memory_with_what_must_stay() -> None:
    weight, answer = torch.ones(2, 3), torch.ones(2, 3)
    numerics.poison(answer, [weight])
    assert bool(answer.isnan().all())
    for output in (weight, weight[0], torch.ones(1, 3).expand(4, 3), torch.ones(3, dtype=torch.int64)):
        before = output.clone()
        numerics.poison(output, [weight])
        assert torch.equal(output, before)
