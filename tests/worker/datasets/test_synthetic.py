"""Synthetic people: the contract, the same sample everywhere, and figures that agree with MPII's."""

import hashlib
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from bench.errors import Failed
from bench.worker.datasets import synthetic

CPU = torch.device("cpu")
ROOT = Path(__file__).parents[3]
R_KNEE, R_HIP, L_HIP, PELVIS, THORAX, NECK, TOP = 1, 2, 3, 6, 7, 8, 9
R_ELBOW, R_SHOULDER, L_SHOULDER = 11, 12, 13


def batch(indices: Sequence[int], size: tuple[int, int] = (64, 64), **options: Any) -> dict[str, Tensor]:
    return synthetic.load(options.pop("split", "train"), size=size, count=1000, **options).batch(indices, CPU)


def digest(sample: dict[str, Tensor]) -> str:
    whole = hashlib.sha256()
    for name in sorted(sample):
        whole.update(sample[name].contiguous().numpy().tobytes())
    return whole.hexdigest()


@pytest.fixture(scope="module")
def people() -> dict[str, Tensor]:
    torch.set_num_threads(1)  # before the fixture that does so for each test
    return batch(range(500), (256, 256), split="val")


def test_a_batch_has_the_shapes_and_types_of_the_contract() -> None:
    found = batch([0, 4], (48, 80))
    assert {name: (tuple(t.shape), t.dtype) for name, t in found.items()} == {
        "image": ((2, 3, 48, 80), torch.uint8),
        "joints": ((2, 16, 2), torch.float32),
        "labelled": ((2, 16), torch.bool),
        "visible": ((2, 16), torch.bool),
        "head_size": ((2,), torch.float32),
        "head_box": ((2, 4), torch.float32),
        "part": ((2, 48, 80), torch.uint8),
        "mask": ((2, 48, 80), torch.bool),
        "scale": ((2,), torch.float32),
    }
    assert torch.equal(found["mask"], found["part"] > 0)


def test_it_has_as_many_samples_as_asked_for() -> None:
    assert len(synthetic.load("val", size=(8, 8), count=2958)) == 2958


@pytest.mark.parametrize("size", [(64, 64), (256, 256), (33, 47)])
def test_a_sample_is_bit_identical_in_any_batch_and_order(size: tuple[int, int]) -> None:
    whole = batch(range(100), size)
    for indices in ([42], [99, 42, 3, 3, 17, 0, 64], list(range(99, -1, -1))):
        part = batch(indices, size)
        assert all(torch.equal(part[name], whole[name][indices]) for name in whole)


def test_a_sample_is_bit_identical_with_more_threads() -> None:
    alone = digest(batch(range(40), (128, 128)))
    torch.set_num_threads(2)
    assert digest(batch(range(40), (128, 128))) == alone


def test_a_sample_is_bit_identical_in_another_process() -> None:
    code = (
        "import torch; from test_synthetic import *; torch.set_num_threads(1);"
        "batch([5], (32, 32)); print(digest(batch([7, 31], (64, 64))))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={"PYTHONPATH": f"{ROOT}:{Path(__file__).parent}"},
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    assert done.stdout.strip() == digest(batch([7, 31], (64, 64)))


def test_banks_made_in_inference_mode_serve_training() -> None:
    with torch.inference_mode():
        within = digest(batch([1, 2], (40, 40)))
    assert digest(batch([1, 2], (40, 40))) == within


def test_samples_and_splits_differ() -> None:
    images = torch.cat([batch(range(20), split=split)["image"] for split in ("train", "val", "test")])
    assert len({image.numpy().tobytes() for image in images}) == 60
    joints = torch.cat([batch(range(20), split=split)["joints"] for split in ("train", "val", "test")])
    assert len({joint.numpy().tobytes() for joint in joints}) == 60


def test_people_of_a_wide_image_are_those_of_the_square_in_the_middle() -> None:
    square, wide = batch(range(8), (64, 64)), batch(range(8), (64, 96))
    assert torch.allclose(square["joints"] + torch.tensor([16.0, 0.0]), wide["joints"], atol=1e-4)
    assert torch.equal(square["head_size"], wide["head_size"])
    tall = batch(range(8), (96, 64))
    assert torch.allclose(square["joints"] + torch.tensor([0.0, 16.0]), tall["joints"], atol=1e-4)


def test_a_larger_image_shows_the_same_people() -> None:
    small, large = batch(range(20), (64, 64)), batch(range(20), (256, 256))
    assert torch.allclose(small["joints"] * 4, large["joints"], atol=1e-3)
    # Only pixels at the edge of a part may differ from the large image's pixel nearest to their middle.
    same = small["part"] == large["part"][:, 2::4, 2::4]
    assert same.float().mean() > 0.98


def test_labels_of_the_shuffled_control_are_of_other_people() -> None:
    true, control = batch(range(20)), batch(range(20), shuffled=True)
    assert torch.equal(true["image"], control["image"])
    for name in ("joints", "head_size", "head_box", "part", "mask", "labelled"):
        assert not torch.equal(true[name], control[name]), name
    assert (true["joints"] - control["joints"]).norm(dim=-1).mean() > 10  # of 64 px
    apart = torch.cdist(true["joints"].flatten(1), control["joints"].flatten(1))
    assert apart.min() > 1e-3, "no image's people are another image's labels"
    shown = torch.gather(control["part"].flatten(1), 1, pixels(control["joints"], 64))
    assert (shown[control["visible"]] > 0).float().mean() > 0.95, "joints and parts still belong together"


@pytest.mark.parametrize("split", ["val", "test"])
def test_only_training_is_shuffled(split: str) -> None:
    assert digest(batch(range(4), split=split)) == digest(batch(range(4), split=split, shuffled=True))


def pixels(joints: Tensor, side: int) -> Tensor:
    column, row = joints.floor().long().clamp(0, side - 1).unbind(-1)
    return row * side + column


def test_head_sizes_are_mpii_s_of_the_head_box(people: dict[str, Tensor]) -> None:
    size, box = people["head_size"], people["head_box"]
    diagonal = (box[:, 2:] - box[:, :2]).norm(dim=1)
    assert torch.allclose(0.6 * diagonal, size, rtol=1e-5)
    assert torch.allclose(people["scale"] * 25, size, rtol=1e-6)
    length = (people["joints"][:, TOP] - people["joints"][:, NECK]).norm(dim=1)
    assert torch.allclose(0.75 * length, size, rtol=1e-3)
    assert 25.6 * 0.8 - 0.1 < size.min() < 25.6 * 0.85  # the camera's scale is 0.8 to 1.2, and 1.3 times that close up
    assert 25.6 * 1.4 < size.max() < 25.6 * 1.2 * 1.3 + 0.1
    assert size.mean() == pytest.approx(25.6 * 1.09, rel=0.03)


@pytest.mark.parametrize(
    ("ends", "mpii", "tolerance"),
    [
        ((PELVIS, THORAX), 2.30, 0.1),
        ((R_SHOULDER, R_ELBOW), 1.25, 0.1),
        ((R_ELBOW, 10), 1.00, 0.1),
        ((R_HIP, R_KNEE), 1.80, 0.1),
        ((R_KNEE, 0), 1.75, 0.1),
        ((R_SHOULDER, L_SHOULDER), 1.40, 0.1),
        ((R_HIP, L_HIP), 0.83, 0.1),
        ((THORAX, NECK), 0.31, 0.12),
    ],
)
def test_median_lengths_in_head_sizes_are_mpii_s(
    people: dict[str, Tensor], ends: tuple[int, int], mpii: float, tolerance: float
) -> None:
    first, second = (people["joints"][:, joint] for joint in ends)
    median = ((first - second).norm(dim=1) / people["head_size"]).median()
    assert float(median) == pytest.approx(mpii, abs=tolerance)


@pytest.mark.parametrize(
    ("joints", "least", "most"),
    [([0, 5], 0.66, 0.80), ([1, 4], 0.76, 0.88), ([2, 3, 6], 0.92, 0.99), (list(range(7, 16)), 0.96, 1.0)],
    ids=["ankles", "knees", "hips", "others"],
)
def test_as_many_joints_are_labelled_as_in_mpii(
    people: dict[str, Tensor], joints: list[int], least: float, most: float
) -> None:
    assert least < float(people["labelled"][:, joints].float().mean()) < most


def test_exactly_the_joints_in_the_image_are_labelled(people: dict[str, Tensor]) -> None:
    inside = ((people["joints"] >= 0) & (people["joints"] < 256)).all(-1)
    assert torch.equal(people["labelled"], inside)
    assert not (people["visible"] & ~people["labelled"]).any()
    heads = [NECK, TOP]
    assert torch.equal(people["visible"][:, heads], people["labelled"][:, heads])
    others = [joint for joint in range(16) if joint not in heads]
    share = people["visible"][:, others].sum() / people["labelled"][:, others].sum()
    assert 0.9 < float(share) < 0.99, "bars and limbs hide some"


def test_shares_of_parts(people: dict[str, Tensor]) -> None:
    share = torch.bincount(people["part"].flatten().int(), minlength=25).double() / people["part"].numel() * 100
    assert len(share) == 25
    assert 13 < 100 - float(share[0]) < 16.5
    for least, most, parts in (
        (0.3, 2.2, (1, 2, 3, 4, 5, 6, 7, 10)),  # torso and legs
        (1.1, 1.7, (16,)),
        (0.3, 1.0, (13, 14, 15, 17, 18, 19, 20)),
        (0.1, 0.3, (8, 9, 11, 12, 21, 22, 23, 24)),  # hands, feet, fingers, toes: the rare classes
    ):
        assert all(least < float(share[part]) < most for part in parts), share
    mirrored = [(2, 3), (5, 6), (8, 9), (11, 12), (14, 15), (17, 18), (19, 20), (21, 22), (23, 24)]
    assert all(float(share[left]) == pytest.approx(float(share[right]), rel=0.15) for left, right in mirrored)


def test_right_is_on_the_image_s_left_of_people_seen_from_the_front() -> None:
    easy = batch(range(100), (128, 128), preset="easy")["joints"]
    assert (easy[:, R_SHOULDER, 0] < easy[:, L_SHOULDER, 0]).all()
    assert (easy[:, R_HIP, 0] < easy[:, L_HIP, 0]).all()


def test_a_fifth_is_seen_from_behind(people: dict[str, Tensor]) -> None:
    joints = people["joints"]
    up, across = joints[:, THORAX] - joints[:, PELVIS], joints[:, L_SHOULDER] - joints[:, R_SHOULDER]
    frontal = across[:, 0] * -up[:, 1] + across[:, 1] * up[:, 0] > 0
    assert float(frontal.float().mean()) == pytest.approx(0.8, abs=0.05)


def test_parts_lie_at_their_joints() -> None:
    """The parts of a limb surround its own joints: swapped sides or a shifted grid would show."""
    easy = batch(range(100), (128, 128), preset="easy")
    shown = torch.gather(easy["part"].flatten(1), 1, pixels(easy["joints"], 128)).long()
    for joint, parts in ((1, (3, 6)), (4, (2, 5)), (11, (18, 20)), (14, (17, 19)), (12, (15, 18)), (13, (14, 17))):
        hit = torch.isin(shown[:, joint], torch.tensor(parts))
        assert float(hit.float().mean()) > 0.85, joint


def test_harder_presets_hide_more() -> None:
    hidden = []
    for preset in ("easy", "default", "hard"):
        found = batch(range(300), (64, 64), preset=preset)
        limbs = [1, 4, 7, 11, 12, 13, 14]
        hidden.append(1 - float(found["visible"][:, limbs].sum() / found["labelled"][:, limbs].sum()))
    assert hidden[1] > 2 * hidden[0]
    assert hidden[2] > 2 * hidden[1]


def test_images_have_mpii_s_brightness(people: dict[str, Tensor]) -> None:
    image = people["image"].float() / 255
    assert torch.allclose(image.mean((0, 2, 3)), torch.tensor([0.47, 0.47, 0.47]), atol=0.06)
    assert float((people["image"] == 255).float().mean()) < 0.02


@pytest.mark.parametrize(("split", "preset"), [("validation", "default"), ("val", "medium")])
def test_unknown_names_are_refused_with_the_valid_ones(split: str, preset: Any) -> None:
    with pytest.raises(Failed, match=r"(validation.*train, val, test|medium.*easy, default, hard)$"):
        synthetic.load(split, size=(8, 8), count=1, preset=preset)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
def test_a_gpu_draws_the_same_people() -> None:
    dataset = synthetic.load("val", size=(128, 128), count=64)
    there, here = (dataset.batch(range(64), torch.device(name)) for name in ("cuda", "cpu"))
    assert all(tensor.device.type == "cuda" for tensor in there.values())
    assert torch.allclose(there["joints"].cpu(), here["joints"], atol=1e-3)
    assert (there["part"].cpu() != here["part"]).float().mean() < 1e-4
    assert (there["image"].cpu() != here["image"]).float().mean() < 1e-3
    again = dataset.batch([63, 5], torch.device("cuda"))
    assert all(torch.equal(again[name], there[name][[63, 5]]) for name in again)
