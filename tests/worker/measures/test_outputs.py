"""What a network answers, as a hash and a sample."""

from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import torch
from jobs import own_network, tiny

from bench import gate
from bench.errors import Failed
from bench.record import Value
from bench.worker.apply import apply_modes
from bench.worker.measures import outputs
from bench.worker.subject import make_inputs, prepare


def answered(folder: Path | None = None, forward: str = "image", **changes: Any) -> Value:
    """Of a network whose forward is an expression; of a tiny hourglass without a folder."""
    code = f"class Net(nn.Module):\n    def forward(self, image):\n        return {forward}\n"
    if folder:
        folder = folder / f"n{sha256(forward.encode()).hexdigest()[:8]}"  # a module is imported once
        folder.mkdir(exist_ok=True)
    own = own_network(folder, code) if folder else {}
    subject = apply_modes(prepare(tiny("infer", "outputs", **own | changes)))
    with torch.inference_mode():
        (found,) = outputs.measure(subject)
    return found


def test_the_hash_is_of_the_prediction_in_float32(tmp_path: Path) -> None:
    found = answered(tmp_path, "[image, 2 * image]")
    (image,) = make_inputs(tiny("infer"), 1)
    assert found.details["sha256"] == sha256((2 * image).numpy().tobytes()).hexdigest()
    assert found.details["shape"] == [2, 3, 32, 32]
    assert found.value == pytest.approx(float((4 * image**2).mean().sqrt()), rel=1e-6)


def test_the_same_again_bit_for_bit() -> None:
    assert answered() == answered()


def test_other_weights_give_other_outputs() -> None:
    assert answered(seed=1).details["sha256"] != answered(seed=2).details["sha256"]


@pytest.mark.parametrize("keys", [{"channels_last": True}, {"amp": "bfloat16"}], ids=["layout", "arithmetic"])
def test_a_mode_keeps_the_order_of_the_elements(keys: dict[str, Any]) -> None:
    plain, fast = answered(), answered(modes=keys)
    verdict, said = gate.by_outputs(plain.details, fast.details, "5%")
    assert verdict == gate.PASS, said


def test_half_precision_is_seen_as_what_it_answers(tmp_path: Path) -> None:
    plain, half = answered(tmp_path), answered(tmp_path, "image.to(torch.bfloat16)")
    assert plain.details["sha256"] != half.details["sha256"]
    assert gate.by_outputs(plain.details, half.details, "1%")[0] == gate.PASS


def test_a_network_that_draws_numbers_draws_the_same(tmp_path: Path) -> None:
    found = [answered(tmp_path, "image + torch.rand_like(image)") for _ in range(2)]
    assert found[0] == found[1]


@pytest.mark.parametrize("size", [1, 5, 4096, 4097, 8191, 16 * 4096, 20 * 16 * 64 * 64])
def test_the_sample_is_even_and_reaches_into_every_column(size: int) -> None:
    taken = outputs.places(size)
    count = min(size, outputs.SAMPLE)
    assert all(i * size // count <= place < (i + 1) * size // count for i, place in enumerate(taken))
    assert len(taken) == count
    assert len({place % 64 for place in taken}) == min(size, 64)


def test_the_sample_is_of_all_images(tmp_path: Path) -> None:
    step = "image[:, :1] * 0 + torch.arange(image.shape[0])[:, None, None, None]"
    found = answered(tmp_path, step, infer={"batch": 6}, data={"use": "random", "size": 32, "val": 6, "options": {}})
    assert set(found.details["sample"]) == {0, 1, 2, 3, 4, 5}


def test_a_prediction_that_is_empty_says_so(tmp_path: Path) -> None:
    with pytest.raises(Failed, match=r"the prediction is empty: its shape is \[0, 3, 32, 32\]"):
        answered(tmp_path, "image[:0]")


def test_what_is_not_finite_has_no_figure_that_could_pass(tmp_path: Path) -> None:
    value = answered(tmp_path, "torch.where(image > 0, torch.nan, image)").value
    assert value is not None and value != value


def test_it_runs_where_latency_does() -> None:
    assert outputs.PHASE == "infer"
    assert not outputs.OUTPUTS.headline
