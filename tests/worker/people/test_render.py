"""Rendering by bits against painting one capsule after the other, and what is done in chunks."""

import pytest
import torch
from torch import Tensor

from bench.worker.people import figures, looks, render
from bench.worker.people.backgrounds import NOISE, Scenes, backgrounds, noise
from bench.worker.people.draws import Draws
from bench.worker.people.spans import spans

CPU = torch.device("cpu")
SIZE = (48, 72)


def scene(count: int, preset: str = "hard") -> tuple[figures.Figures, looks.Looks, Scenes]:
    draws = Draws(torch.arange(count), figures.NUMBERS)
    chosen = figures.PRESETS[preset]
    people, seen = figures.sample(draws, chosen, SIZE), looks.sample(draws, chosen)
    return people, seen, Scenes(draws, "val", SIZE)


def painted(capsules: figures.Capsules, sample: int) -> Tensor:
    """Labels H W by painting from the farthest to the nearest."""
    canvas = torch.zeros(SIZE, dtype=torch.uint8)
    depth = capsules.depth[sample].tolist()
    (capsule, row), start, stop = spans(capsules.ends[sample], capsules.radii[sample], SIZE)
    order = sorted(range(len(depth)), key=lambda c: (-depth[c], -c))
    for c in order:
        for i in (capsule == c).nonzero()[:, 0].tolist():
            canvas[row[i], start[i] : stop[i]] = figures.LABELS[c]
    return canvas


def test_the_nearest_capsule_is_what_painting_leaves() -> None:
    people, seen, scenes = scene(12)
    _, part = render.draw(people.capsules, seen, scenes, SIZE)
    for sample in range(12):
        assert torch.equal(part[sample], painted(people.capsules, sample))


def test_the_image_does_not_depend_on_the_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    people, seen, scenes = scene(7)
    whole = render.draw(people.capsules, seen, scenes, SIZE)
    for pixels in (1, 3 * SIZE[0] * SIZE[1]):
        monkeypatch.setattr(render, "CPU_PIXELS", pixels)
        assert all(map(torch.equal, render.draw(people.capsules, seen, scenes, SIZE), whole))


def test_memory_of_a_chunk_is_bounded() -> None:
    assert render.chunk(1000, (256, 256), CPU) * 256 * 256 <= 1 << 19
    assert render.chunk(1000, (2048, 2048), CPU) == 1
    assert render.chunk(3, (64, 64), CPU) == 3


def test_both_ways_of_reading_the_banks_agree() -> None:
    _, _, scenes = scene(5)
    pixel = torch.zeros(5, *SIZE, dtype=torch.int32)
    empty = -(torch.arange(pixel.numel()).view(pixel.shape) % 3 == 0).int()
    place = scenes._place
    sliced, gathered = pixel.clone(), pixel.clone()
    scenes._slice(sliced, empty.clone(), place)
    scenes._gather(gathered, empty.clone(), place)
    assert sliced.unique().numel() > 100
    assert torch.equal(sliced, gathered)


def test_windows_lie_in_the_banks_and_reach_all_of_them() -> None:
    draws = Draws(torch.arange(3000), figures.NUMBERS)
    place = Scenes(draws, "train", SIZE)._place
    assert place.min() >= 0
    assert place.amax(0).tolist()[:2] == [23, 1]
    assert place[:, 2].max() + SIZE[0] <= 108 and place[:, 3].max() + SIZE[1] <= 108
    assert place[:, 4].max() + SIZE[0] * SIZE[1] <= len(noise(1 << 20, CPU))


def test_splits_share_no_background() -> None:
    banks = [backgrounds(split, 24, CPU) for split in ("train", "val", "test")]
    images = [image.numpy().tobytes() for bank in banks for image in bank.flatten(0, 1)]
    assert len(set(images)) == 3 * 24 * 2


def bytes_of(pixel: Tensor) -> Tensor:
    return torch.stack([pixel >> 8 * byte & 255 for byte in range(4)])


def test_noise_and_colours_never_carry_into_the_next_byte() -> None:
    level = bytes_of(noise(1 << 20, CPU))
    assert level[3].max() == 0
    assert level.min() >= 0
    assert level.max() <= 2 * NOISE
    red, green = level[0].double() - NOISE, level[1].double() - NOISE
    assert float(red.mean()) == pytest.approx(0, abs=0.05)
    assert float(red.std()) == pytest.approx(6, abs=0.1)
    assert float((red * green).mean()) == pytest.approx(0, abs=0.2)
    colours = bytes_of(backgrounds("train", 24, CPU))
    assert colours[3].max() == 0
    assert colours.max() <= 255 - 2 * NOISE


def test_light_falls_off_along_its_slope() -> None:
    people, seen, scenes = scene(1, "easy")
    flat = looks.Looks(seen.colour, torch.ones(1), torch.zeros(1, 2))
    steep = looks.Looks(seen.colour, torch.ones(1), torch.tensor([[0.6, 0.0]]))
    even, lit = (render.draw(people.capsules, light, scenes, SIZE)[0].double() for light in (flat, steep))
    ratio = lit.sum((0, 1, 2)) / even.sum((0, 1, 2))
    expected = 1 + 0.6 * (torch.arange(SIZE[1]) / SIZE[1] - 0.5)
    unclamped = expected <= 1
    assert torch.allclose(ratio[unclamped], expected.double()[unclamped], atol=0.01)


def test_a_sample_takes_exactly_the_numbers_it_may() -> None:
    draws = Draws(torch.arange(1), figures.NUMBERS)
    chosen = figures.PRESETS["default"]
    figures.sample(draws, chosen, SIZE), looks.sample(draws, chosen), Scenes(draws, "val", SIZE)
    with pytest.raises(ValueError, match="numbers were taken"):
        draws.take(8)


def test_every_capsule_has_a_label_and_a_colour() -> None:
    people, seen, _ = scene(2)
    assert people.capsules.depth.shape == (2, len(figures.LABELS))
    assert seen.colour.shape == (2, len(figures.LABELS), 3)
    assert set(figures.LABELS) == set(range(figures.PARTS + 1))
    assert len(figures.LABELS) <= 31, "bits of a positive int32"
