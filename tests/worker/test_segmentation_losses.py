"""Losses of segmentation against torch's own, and against formulas written out."""

import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bench.errors import Failed
from bench.worker.losses import Supervised, bce, cross_entropy, heatmap_mse, resized
from bench.worker.parts import coarse

SIDE = 8


def drawn(seed: int = 0, count: int = 2) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    part = torch.randint(0, 25, (count, SIDE, SIDE), generator=generator, dtype=torch.uint8)
    joints = torch.rand(count, 16, 2, generator=generator) * SIDE
    image = torch.zeros(count, 3, SIDE, SIDE, dtype=torch.uint8)
    everywhere = torch.ones(count, 16, dtype=torch.bool)
    return {"image": image, "part": part, "mask": part > 12, "joints": joints, "labelled": everywhere}


def logits(maps: int, side: int = SIDE, count: int = 2) -> Tensor:
    return torch.randn(count, maps, side, side, generator=torch.Generator().manual_seed(maps)).requires_grad_()


def close(loss: Tensor, expected: float | Tensor) -> None:
    assert float(loss.detach()) == pytest.approx(float(torch.as_tensor(expected).detach()), rel=1e-5)


def test_cross_entropy_by_hand() -> None:
    # Two pixels, background and a hand: 3/4 and 1/5 of the probability are where they belong.
    out = torch.tensor([[math.log(3), math.log(4)], [0.0, 0.0]]).view(1, 2, 1, 2)
    part = torch.tensor([[[0, 21]]], dtype=torch.uint8)
    close(cross_entropy([out], {"part": part}, {}), (math.log(4 / 3) + math.log(5)) / 2)


def test_cross_entropy_is_torchs_own_summed_over_outputs() -> None:
    data, outs = drawn(), [logits(25), 2 * logits(25)]
    expected = sum(F.cross_entropy(out, data["part"].long()) for out in outs)
    close(cross_entropy(outs, data, {}), expected)


def test_every_output_is_trained_on_as_many_classes_as_it_has_maps() -> None:
    data, outs = drawn(), [logits(2), logits(5), logits(13), logits(25)]
    expected = sum(F.cross_entropy(out, coarse(data["part"], out.shape[1]).long()) for out in outs)
    close(cross_entropy(outs, data, {}), expected)
    close(cross_entropy(outs[:1], data, {}), F.cross_entropy(outs[0], (data["part"] > 0).long()))


def test_outputs_of_every_resolution_get_labels_of_their_own() -> None:
    data, outs = drawn(), [logits(25, 3), logits(25, 4), logits(25, 16)]
    labels = [F.interpolate(data["part"][:, None].float(), size=out.shape[-2:], mode="nearest-exact") for out in outs]
    expected = sum(F.cross_entropy(out, label[:, 0].long()) for out, label in zip(outs, labels, strict=True))
    close(cross_entropy(outs, data, {}), expected)


@pytest.mark.parametrize("size", [(1, 1), (3, 5), (4, 4), (7, 16), (13, 13), (79, 20)])
def test_labels_are_those_of_the_cells_centres(size: tuple[int, int]) -> None:
    labels = torch.randint(0, 25, (2, 16, 20), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    exact = F.interpolate(labels[:, None].double(), size=size, mode="nearest-exact")[:, 0].to(torch.uint8)
    assert torch.equal(resized(labels, size), exact)


def test_labels_at_a_quarter_of_the_resolution_are_those_in_the_middle() -> None:
    labels = torch.arange(64, dtype=torch.uint8).view(1, 8, 8)
    assert resized(labels, (2, 2)).tolist() == [[[18, 22], [50, 54]]]


def test_ignored_pixels_do_not_count() -> None:
    data, outs = drawn(), [logits(13), logits(25)]
    data["part"][:, :3] = 255
    kept = {"part": data["part"][:, 3:]}
    close(cross_entropy(outs, data, {}), cross_entropy([out[:, :, 3:] for out in outs], kept, {}))
    torch.autograd.backward([cross_entropy(outs, data, {})])
    assert outs[1].grad is not None
    assert outs[1].grad[:, :, :3].abs().max() == 0 < outs[1].grad[:, :, 3:].abs().min()


WEIGHTS = {"class_weights": "w1"}


@pytest.mark.parametrize("recipe", [{}, *(WEIGHTS | {"weighting": way} for way in ("outer", "outer_raw", "direct"))])
def test_a_batch_without_labels_costs_nothing(recipe: dict[str, Any]) -> None:
    data, out = drawn(), logits(25)
    data["part"][:] = 255
    loss = cross_entropy([out], data, recipe, {25: torch.ones(25)} if recipe else None)
    loss.backward()
    assert loss == 0
    assert out.grad is not None
    assert out.grad.abs().max() == 0


def spread(classes: int) -> Tensor:
    return torch.linspace(0.1, 3.0, classes)


@pytest.mark.parametrize("maps", [2, 5, 13, 25])
def test_outer_weights_are_torchs(maps: int) -> None:
    data, out = drawn(), logits(maps)
    data["part"][:, :2] = 255
    own = nn.CrossEntropyLoss(weight=spread(maps), ignore_index=255)
    expected = own(out, coarse(data["part"], maps).long())
    recipe = {"class_weights": "w2"}  # which has "outer" where it says nothing
    close(cross_entropy([out], data, recipe, {maps: spread(maps)}), expected)
    close(cross_entropy([out], data, recipe | {"weighting": "outer"}, {maps: spread(maps)}), expected)


def test_outer_raw_divides_by_the_pixels() -> None:
    data, out = drawn(), logits(25)
    data["part"][:, :2] = 255
    counted = data["part"] != 255
    target = data["part"].masked_fill(~counted, 0).long()
    chosen = out.log_softmax(1).gather(1, target[:, None])[:, 0]
    expected = -(spread(25)[target] * chosen)[counted].sum() / counted.sum()
    close(cross_entropy([out], data, WEIGHTS | {"weighting": "outer_raw"}, {25: spread(25)}), expected)


def test_direct_weights_multiply_the_logits() -> None:
    data, out = drawn(), logits(25)
    chosen = (out * spread(25)[None, :, None, None]).log_softmax(1).gather(1, data["part"][:, None].long())
    close(cross_entropy([out], data, WEIGHTS | {"weighting": "direct"}, {25: spread(25)}), -chosen.mean())


def test_weights_that_were_not_counted_are_not_left_out() -> None:
    with pytest.raises(Failed, match="class_weights need the counts"):
        cross_entropy([logits(25)], drawn(), WEIGHTS)


def test_bce_by_hand() -> None:
    out = torch.tensor([math.log(3), 0.0]).view(1, 1, 1, 2)  # 3/4 and 1/2
    expected = -(math.log(3 / 4) + math.log(1 / 2)) / 2
    close(bce([out], {"mask": torch.tensor([[[True, False]]])}, {}), expected)


def test_bce_is_torchs_own_summed_over_outputs() -> None:
    data, outs = drawn(), [logits(1), -logits(1), logits(1, 4)]
    masks = [data["mask"], data["mask"], resized(data["mask"], (4, 4))]
    pairs = zip(outs, masks, strict=True)
    expected = sum(F.binary_cross_entropy_with_logits(out[:, 0], mask.float()) for out, mask in pairs)
    close(bce(outs, data, {}), expected)
    close(bce(outs, data | {"mask": data["mask"].to(torch.uint8)}, {}), expected)


def test_bce_leaves_out_ignored_pixels() -> None:
    data, out = drawn(), logits(1)
    mask = data["mask"].to(torch.uint8)
    mask[:, :3] = 255
    expected = F.binary_cross_entropy_with_logits(out[:, 0, 3:], mask[:, 3:].float())
    close(bce([out], {"mask": mask}, {}), expected)
    loss = bce([out], {"mask": torch.full_like(mask, 255)}, {})
    loss.backward()
    assert loss == 0
    assert out.grad is not None
    assert out.grad.abs().max() == 0


@pytest.mark.parametrize("kind", [bce, cross_entropy])
def test_heads_weigh_what_the_recipe_says(kind: Any) -> None:
    data, maps = drawn(), 1 if kind is bce else 25
    outs = [logits(maps, 2), logits(maps, 4), logits(maps)]
    each = [float(kind([out], data, {}).detach()) for out in outs]
    close(kind(outs, data, {"head_weights": [0.16, 0.4, 1.0]}), 0.16 * each[0] + 0.4 * each[1] + each[2])
    with pytest.raises(Failed, match=rf"^{kind.__name__}: head_weights has 2 numbers for 3 outputs: give one for"):
        kind(outs, data, {"head_weights": [0.4, 1.0]})


@pytest.mark.parametrize(
    ("kind", "shapes", "said"),
    [
        (cross_entropy, [(2, 24, 8, 8)], r"is \[2, 24, 8, 8\], which must be \[2, 2 or 5 or 13 or 25, h, w\]"),
        (cross_entropy, [(2, 1, 8, 8)], r"is \[2, 1, 8, 8\]"),
        (cross_entropy, [(3, 25, 8, 8)], r"is \[3, 25, 8, 8\]"),
        (cross_entropy, [(2, 25)], r"is \[2, 25\]"),
        (cross_entropy, [(2, 16, 8, 8), (2, 25, 8, 8)], r"is \[2, 16, 8, 8\]"),
        (cross_entropy, [(2, 13, 8, 8), (2, 5, 8, 8)], "outputs of 13, 5 maps do not go from coarse to fine"),
        (bce, [(2, 2, 8, 8)], r"is \[2, 2, 8, 8\], which must be \[2, 1, h, w\]"),
        (bce, [(2, 8, 8)], r"is \[2, 8, 8\]"),
    ],
)
def test_outputs_that_are_no_classes(kind: Any, shapes: list[tuple[int, ...]], said: str) -> None:
    with pytest.raises(Failed, match=rf"^{kind.__name__}: .*{said}"):
        kind([torch.zeros(shape) for shape in shapes], drawn(), {})


@pytest.mark.parametrize(("kind", "key"), [(bce, "mask"), (cross_entropy, "part")])
def test_data_without_labels_say_so(kind: Any, key: str) -> None:
    data = drawn()
    del data[key]
    with pytest.raises(Failed, match=rf"^{kind.__name__}: the data have no '{key}' \(only image, "):
        kind([logits(25)], data, {})


@pytest.mark.parametrize(("kind", "key", "maps", "last"), [(bce, "mask", 1, 1), (cross_entropy, "part", 25, 24)])
def test_a_label_that_is_no_class(kind: Any, key: str, maps: int, last: int) -> None:
    good, out = drawn(), logits(maps)
    wrong = good | {key: good[key].to(torch.uint8, copy=True)}
    wrong[key][0, 0, :2] = torch.tensor([254, 25], dtype=torch.uint8)
    said = rf"'{key}' has the label 254 in 2 of 128 pixels: classes are 0 to {last}, and 255 is left out"
    with pytest.raises(Failed, match=rf"^{kind.__name__}: {said}$"):
        Supervised(kind.__name__, kind, nn.Identity())([out], wrong, {})
    supervised = Supervised(kind.__name__, kind, nn.Identity())
    assert supervised([out], good, {}).isfinite()
    loss = supervised([out], wrong, {})  # no longer the first batch: found without waiting for the device
    loss.backward()
    assert loss.isnan()
    assert out.grad is not None
    assert out.grad.isfinite().all()


def test_the_label_that_is_ignored_is_no_fault() -> None:
    data = drawn()
    data["part"][0] = 255
    assert Supervised("cross_entropy", cross_entropy, nn.Identity())([logits(25)], data, {}).isfinite()


BRANCH = {"joint_branch": True, "sigma": 1.5, "positive": 3.0}


def test_a_joint_branch_adds_its_heat_maps_loss() -> None:
    data, outs = drawn(), [logits(16, 4), logits(2), logits(25)]
    joints = heatmap_mse(outs[:1], data, {"sigma": 1.5, "positive": 3.0})
    parts = cross_entropy(outs[1:], data, {})
    close(cross_entropy(outs, data, BRANCH), joints + parts)
    close(cross_entropy(outs, data, BRANCH | {"joint_weight": 0.25}), 0.25 * joints + parts)
    # Its output has no number among the heads' weights.
    weighed = cross_entropy(outs[1:], data, {"head_weights": [0.5, 1.0]})
    close(cross_entropy(outs, data, BRANCH | {"head_weights": [0.5, 1.0]}), joints + weighed)
    close(bce([outs[0], logits(1)], data, BRANCH), joints + bce([logits(1)], data, {}))


def test_every_output_beside_a_joint_branch_gets_a_gradient() -> None:
    outs = [logits(16, 4), logits(25)]
    cross_entropy(outs, drawn(), BRANCH).backward()
    assert all(out.grad is not None and out.grad.abs().max() > 0 for out in outs)


@pytest.mark.parametrize(
    ("shapes", "said"),
    [
        ([(2, 24, 4, 4), (2, 25, 8, 8)], r"the first of 2 outputs is \[2, 24, 4, 4\] for 16 joints"),
        ([(2, 16, 4, 4)], r"the first of 1 outputs is \[2, 16, 4, 4\] for 16 joints"),
    ],
)
def test_a_branch_of_other_joints_says_what_to_set(shapes: list[tuple[int, ...]], said: str) -> None:
    hint = "set the network's joint_branch, and branch_joints = 16"
    with pytest.raises(Failed, match=rf"^cross_entropy with joint_branch: {said}; {hint}$"):
        cross_entropy([torch.zeros(shape) for shape in shapes], drawn(), {"joint_branch": True})


def test_in_eval_mode_outputs_that_help_the_training_are_missing() -> None:
    data, outs = drawn(), [logits(16, 4), logits(25, 2), logits(25)]
    recipe = {"joint_branch": True, "head_weights": [0.4, 0.5]}
    network = nn.Identity()
    supervised = Supervised("cross_entropy", cross_entropy, network)
    close(supervised(outs, data, recipe), cross_entropy(outs, data, recipe))
    network.eval()
    close(supervised(outs[-1:], data, recipe), 0.5 * cross_entropy(outs[-1:], data, {}))
    close(supervised(outs[1:], data, recipe), cross_entropy(outs[1:], data, {"head_weights": [0.4, 0.5]}))


@pytest.mark.parametrize("kind", [bce, cross_entropy])
def test_reduced_types_are_summed_in_float32(kind: Any) -> None:
    data, out = drawn(), logits(1 if kind is bce else 25).detach()
    loss = kind([out.bfloat16()], data, {})
    assert loss.dtype == torch.float32
    assert float(loss) == pytest.approx(float(kind([out], data, {})), rel=0.02)
