"""The whole network in a reduced type: weights, inputs, every layer and the outputs."""

from dataclasses import replace

import pytest
import torch
from jobs import tiny

from bench.errors import Unavailable
from bench.worker.modes import half
from bench.worker.subject import Subject, prepare
from bench.worker.work import work


def subject_for(option: str) -> Subject:
    return prepare(tiny("infer", modes={"half": option}))


@pytest.mark.parametrize("option", ["bfloat16", "float16"])
def test_weights_inputs_and_outputs_have_the_type(option: str) -> None:
    subject = half.apply(subject_for(option), option)  # type: ignore[arg-type]
    wanted = getattr(torch, option)
    assert {parameter.dtype for parameter in subject.model.parameters()} == {wanted}
    assert {image.dtype for image in subject.inputs} == {wanted}
    with torch.inference_mode():
        assert {out.dtype for out in subject.forward(subject.inputs[0])} == {wanted}
    assert half.prove(subject) is None


def test_images_that_come_later_are_cast_in_the_call() -> None:
    subject = half.apply(subject_for("bfloat16"), "bfloat16")
    with torch.inference_mode():
        assert subject.forward(subject.place(torch.rand(1, 3, 32, 32)))[-1].dtype == torch.bfloat16


def test_plain_float32_is_not_taken_for_it() -> None:
    subject = subject_for("bfloat16")
    count = len(list(subject.model.parameters()))
    assert half.prove(subject) == f"mode not applied ({count} of {count} weights are not in bfloat16)"


def test_the_other_reduced_type_is_not_taken_for_it() -> None:
    reason = half.prove(half.apply(subject_for("bfloat16"), "float16"))
    assert reason and reason.endswith("weights are not in bfloat16)")


def test_one_layer_that_computes_in_float32_is_found_out() -> None:
    subject = half.apply(subject_for("bfloat16"), "bfloat16")
    layers = sum(isinstance(layer, torch.nn.Conv2d) for layer in subject.model.modules())
    subject.model.heads["0"].register_forward_hook(lambda _, __, out: out.float())
    assert half.prove(subject) == f"mode not applied ({layers - 1} of {layers} layers in bfloat16)"


def test_the_answers_are_those_of_float32_within_the_tolerance() -> None:
    for option in half.TOLERANCES:
        record = work(tiny("infer", "infer", "eval_time", mode="half", modes={"half": option, "channels_last": True}))
        assert (record.status, record.reason) == ("ok", "")
        error = next(value for value in record.values if value.quantity.name == "error")
        assert error.details["dtype"] == option
        assert 1e-5 < (error.value or 0) < error.details["tolerance"] == half.TOLERANCES[option]


def test_a_device_that_is_too_old_is_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: (7, 5))
    subject = replace(prepare(tiny("infer")), device=torch.device("cuda"))
    with pytest.raises(Unavailable, match=r"compute capability 7\.5 < 8\.0 \(bfloat16\)"):
        half.apply(subject, "bfloat16")
    assert half.apply(subject, "float16").tolerance == half.TOLERANCES["float16"]


def test_a_cpu_without_the_type_is_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise RuntimeError("\"slow_conv2d_cpu\" not implemented for 'Half'\nsecond line")

    monkeypatch.setattr(torch.nn.functional, "conv2d", refuse)
    with pytest.raises(Unavailable, match=r"no float16 on cpu \(\"slow_conv2d_cpu\" not implemented for 'Half'\)$"):
        half.apply(prepare(tiny("infer")), "float16")


def test_it_does_not_go_with_autocast() -> None:
    assert "amp" in half.EXCLUDES
