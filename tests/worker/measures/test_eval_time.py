"""A pass over the validation set, whole or estimated."""

import math

import msgspec
import pytest
import torch
from jobs import QUICK, tiny

from bench.record import Value
from bench.worker.measures import eval_time
from bench.worker.subject import prepare


def measured(val: int, batch: int, most: int) -> Value:
    protocol = msgspec.structs.replace(QUICK, eval_images=most)
    data = {"use": "random", "size": 32, "val": val}
    with torch.inference_mode():
        (value,) = eval_time.measure(prepare(tiny("infer", data=data, infer={"batch": batch}, protocol=protocol)))
    return value


def flags(value: Value) -> list[str]:
    """But for what other processes on the machine do."""
    return [flag for flag in value.flags if flag != "contended"]


def test_a_whole_set_is_summed() -> None:
    value = measured(val=5, batch=2, most=100)
    assert (value.how, flags(value), len(value.samples)) == ("all 5 images", [], 3)
    assert value.value == math.fsum(value.samples)


def test_a_part_is_scaled_up_and_says_so() -> None:
    value = measured(val=100, batch=2, most=4)
    assert (value.how, flags(value), len(value.samples)) == ("estimated from 4 of 100 images", ["estimated"], 2)
    assert value.value == pytest.approx(math.fsum(value.samples) * 25)


@pytest.mark.parametrize(("batch", "most"), [(4, 6), (8, 3)])
def test_a_short_last_batch_counts_by_its_images(batch: int, most: int) -> None:
    value = measured(val=1000, batch=batch, most=most)
    assert value.how == f"estimated from {most} of 1000 images"
    assert value.value == pytest.approx(math.fsum(value.samples) * 1000 / most)
