"""Counter hash and exact functions: known answers, and no dependence on an element's place."""

import math

import pytest
import torch

from bench.worker.people.draws import TURN, Draws, bits, direction, mixed, root, signed, uniform

GOLDEN = 0x9E3779B97F4A7C15
MASK = (1 << 64) - 1


def splitmix64(seed: int, count: int) -> list[int]:
    """The published generator in Python's integers."""
    found = []
    for _ in range(count):
        seed = (seed + GOLDEN) & MASK
        z = seed
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
        found.append(z ^ (z >> 31))
    return found


def test_the_reference_itself_gives_the_published_numbers() -> None:
    assert splitmix64(1234567, 3) == [6457827717110365317, 3203168211198807973, 9817491932198370423]


@pytest.mark.parametrize("seed", [0, 1, 1234567, (1 << 63) + 5, MASK])
def test_the_hash_is_splitmix64(seed: int) -> None:
    state = torch.tensor([signed(seed + GOLDEN * (k + 1)) for k in range(5)])
    assert mixed(state).tolist() == [signed(number) for number in splitmix64(seed, 5)]


def test_numbers_of_a_sample_are_those_of_its_own_counter() -> None:
    table = bits(torch.tensor([3, 10_000_000]), 4)
    own = mixed(torch.tensor([10_000_000])).item() & MASK
    assert table[1].tolist() == [signed(number) for number in splitmix64(int(own), 4)]


def test_numbers_are_uniform_and_unrelated() -> None:
    table = uniform(torch.arange(2000), 50).double()
    assert table.min() >= 0
    assert table.max() < 1
    assert float(table.mean()) == pytest.approx(0.5, abs=0.005)
    assert float(table.var()) == pytest.approx(1 / 12, abs=0.001)
    assert torch.corrcoef(table.T).sub(torch.eye(50)).abs().max() < 0.12
    assert torch.corrcoef(table[:50]).sub(torch.eye(50)).abs().max() < 0.7


def test_draws_never_hand_out_a_number_twice_or_one_too_many() -> None:
    draws = Draws(torch.arange(3), 7)
    taken = torch.cat([draws.take(2, 2).flatten(1), draws.take()[:, None], draws.take(2)], 1)
    assert torch.equal(taken, uniform(torch.arange(3), 7))
    with pytest.raises(ValueError, match="8 numbers were taken of 7"):
        draws.take()


def test_directions_are_sine_and_cosine_to_a_step() -> None:
    angle = torch.linspace(-20, 20, 999, dtype=torch.float64)
    exact = torch.stack([angle.sin(), angle.cos()], -1)
    assert (direction(angle.float()) - exact).abs().max() < 0.51 * math.tau / TURN + 1e-5


def test_roots_and_directions_do_not_depend_on_the_place_of_an_element() -> None:
    value = uniform(torch.tensor([5]), 1000)[0] * 300
    for function in (root, direction):
        whole = function(value)
        alone = torch.cat([function(value[i : i + 1].clone()) for i in range(1000)])
        assert torch.equal(whole, alone)
        assert torch.equal(whole[3:10], function(value[3:10].clone()))
    assert root(value).tolist() == [
        float(torch.tensor(math.sqrt(number), dtype=torch.float32)) for number in value.tolist()
    ]
