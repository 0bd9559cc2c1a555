"""TensorRT on a real device, from end to end: `pytest -m gpu`, where torch-tensorrt and its libraries are installed."""

from typing import Any

import pytest
import torch
from jobs import tiny

from bench.errors import Failed
from bench.record import Value
from bench.worker.apply import apply_modes, prove_modes
from bench.worker.modes import tensorrt
from bench.worker.subject import Subject, prepare
from bench.worker.work import work

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here"),
]

OPTIONS = [
    "float32",
    "float16",
    "bfloat16",
    {"dtype": "float16", "cudagraph": True},
    {"dtype": "float32", "disable_tf32": False},
]


@pytest.fixture(scope="module", autouse=True)
def runs_here() -> None:
    reason = tensorrt.probe()
    if reason:
        pytest.skip(reason)


def compiled(option: Any) -> Subject:
    with torch.no_grad():
        return apply_modes(prepare(tiny("infer", device="cuda", modes={"tensorrt": option})))


@pytest.mark.parametrize("option", OPTIONS, ids=str)
def test_it_is_proved_and_right(option: Any) -> None:
    record = work(tiny("infer", "infer", "eval_time", device="cuda", modes={"tensorrt": option}))
    assert (record.status, record.reason) == ("ok", "")
    values: dict[str, Value] = {value.quantity.name: value for value in record.values}
    error = values["error"]
    assert error.value is not None and 0 < error.value <= error.details["tolerance"]
    assert not any("mismatch" in value.flags for value in record.values)


def test_the_inspector_tells_the_types_of_convolutions() -> None:
    told = tensorrt.notes(compiled("float16"))
    assert told["engines"] >= 1 and told["engine_bytes"] > 0
    ((what, types),) = told["types"].items()
    assert what == "convolutions"
    assert "unknown" not in types


def test_a_float32_engine_is_not_taken_for_float16() -> None:
    subject = compiled("float32")
    subject.job.modes["tensorrt"] = "float16"
    with pytest.raises(Failed, match=r"mode not applied \(0 of \d+ convolutions in float16\)"):
        prove_modes(subject)
