"""Two segmentations of the same images, answers without looking, and what is drawn."""

from pathlib import Path

import numpy as np
import pytest
import torch
from jobs import RECIPE, own_network, tiny
from segmented import batch_of, crowd, fed, saying, values

from bench.errors import Failed
from bench.worker import parts, resample
from bench.worker.confusion import rates
from bench.worker.metrics import segmentation as plugin
from bench.worker.metrics.segmentation import IGNORED, change, moved
from bench.worker.subject import load_dataset, prepare


def test_identical_predictors_do_not_change() -> None:
    logits, batch = crowd(30)
    assert change(fed(logits, batch), fed(logits, batch, size=7)) == (0.0, 0.0, 0.0)
    assert moved(fed(logits, batch), fed(logits, batch, size=7)).value == 0.0


def test_a_change_is_of_minus_against_and_paired() -> None:
    """Images differ widely, and the better predictor is right about every tenth pixel that the worse one misses."""
    logits, batch = crowd(100)
    worse = fed(logits, batch)
    chance = torch.rand(100, 12, 10, generator=torch.Generator().manual_seed(9))
    gained = (logits.argmax(1) != batch["part"]) & (chance < 0.1)
    corrected = torch.where(gained, batch["part"].clamp(max=24).long(), logits.argmax(1))
    better = fed(saying(corrected, 25), batch)
    gain, low, high = change(better, worse)
    assert 0 < low < gain < high
    mious = [value.value or 0.0 for value in (values(better)["miou"], values(worse)["miou"])]
    assert gain == pytest.approx(mious[0] - mious[1])
    assert change(worse, better) == pytest.approx((-gain, -high, -low))
    whole = values(better)["miou"]
    assert whole.low is not None and whole.high is not None and whole.high - whole.low > 2 * (high - low)
    ours, theirs = (resample.sums(m.matrices().flatten(1)).view(-1, 25, 25) for m in (better, worse))
    assert resample.interval(100 * (rates(ours)["miou"] - rates(theirs)["miou"])) == pytest.approx((low, high))


def test_of_one_image_the_bounds_are_the_change() -> None:
    logits, batch = crowd(1)
    gain, low, high = change(fed(logits, batch), fed(logits.roll(1, 1), batch))
    assert gain == low == high > 0


def test_other_images_are_not_compared() -> None:
    logits, batch = crowd(5)
    other = {key: part.roll(1, 0) for key, part in batch.items()}
    fewer = fed(logits[:4], {key: part[:4] for key, part in batch.items()})
    coarse = fed(logits[:, :13], batch)
    for against, said in (
        (fewer, "not the same images: 5 and 4 were scored"),
        (fed(logits, other), "not the same images: their labels differ"),
        (coarse, "not the same classes: 25 and 13 were scored"),
    ):
        for compare in (change, moved):
            with pytest.raises(Failed, match=f"^{said}$"):
                compare(fed(logits, batch), against)
    nothing = fed(logits, batch_of(torch.full((5, 12, 10), IGNORED)))
    for compare in (change, moved):
        with pytest.raises(Failed, match=r"^no pixel that counts in 5 images: there is nothing to compare$"):
            compare(nothing, nothing)


def test_moved_is_the_share_of_pixels_that_changed_class() -> None:
    part = torch.tensor([[[0, 1, 2, 3], [4, IGNORED, IGNORED, 7]]])
    ours = torch.tensor([[[0, 1, 9, 9], [9, 9, 9, 9]]])
    theirs = torch.tensor([[[0, 2, 9, 9], [8, 8, 9, 9]]])
    found = [fed(saying(predicted, 25), batch_of(part)) for predicted in (ours, theirs)]
    value = moved(*found)
    assert value.value == pytest.approx(100 * 2 / 6)
    assert (value.quantity, value.details) == (plugin.MOVED, {"differing": 2, "pixels": 6})
    elsewhere = batch_of(torch.tensor([[[0, 1, 2, 3], [IGNORED, 4, IGNORED, 7]]]))
    with pytest.raises(Failed, match=r"^not the same images: other pixels do not count$"):
        moved(found[0], fed(saying(theirs, 25), elsewhere))


@pytest.mark.parametrize("maps", [1, 5, 25])
def test_what_is_drawn_is_the_first_images_with_parts_numbers(maps: int) -> None:
    logits, batch = crowd(6, max(2, maps))
    metrics = [fed(torch.zeros(6, 2, 12, 10), batch), fed(logits[:, :maps], batch, size=4)]
    found = plugin.pictured(metrics, {key: part[:4] for key, part in batch.items()})
    assert {key: (array.shape, array.dtype) for key, array in found.items()} == {
        "part": ((4, 12, 10), np.uint8),
        "predicted": ((2, 4, 12, 10), np.uint8),
    }
    assert not found["predicted"][0].any()
    level = parts.LEVELS[max(2, maps)]
    predicted = metrics[1].predictions()[:4].numpy()
    assert np.array_equal(np.array(level)[found["predicted"][1]], predicted), "a part that is in the class"
    counts = (batch["part"][:4] != IGNORED).numpy()
    truth = parts.coarse(batch["part"][:4], max(2, maps)).numpy()
    assert np.array_equal(np.array(level)[found["part"]][counts], truth[counts])
    if maps > 1:
        assert not found["part"][~counts].any()


NET = """
class Net(nn.Module):
    def __init__(self, maps):
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(3, maps, 3, stride=2, padding=1), nn.BatchNorm2d(maps))

    def forward(self, image):
        return [self.layers(image)]
"""


@pytest.mark.parametrize("maps", [1, 5, 25])
def test_answers_without_looking_are_the_background_and_the_most_frequent_class(maps: int, tmp_path: Path) -> None:
    data = {"use": "synthetic", "size": 32, "train": 64, "val": 16, "options": {}}
    network = own_network(tmp_path, NET) | {"options": {"maps": maps}}
    subject = prepare(tiny("accuracy", data=data, train={"batch": 16, "samples": 16, "recipe": RECIPE}, **network))
    before = {name: value.clone() for name, value in subject.model.state_dict().items()}
    answers = plugin.blind(subject)
    assert [quantity.name for quantity in answers] == ["miou.background", "miou.constant"]
    assert all(torch.equal(value, before[name]) for name, value in subject.model.state_dict().items())
    batch = load_dataset(subject.job, "val").batch(range(16), subject.device)
    background, constant = (fed(answer.expand(16, *answer.shape), batch) for answer in answers.values())
    assert not background.predictions().any()
    assert len(constant.predictions().unique()) > 1
    assert change(constant, background)[0] > 0
