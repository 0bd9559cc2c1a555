"""Mixed precision: applied inside each call, proved by what the convolutions put out."""

from dataclasses import replace

import pytest
import torch
from jobs import tiny

from bench.errors import Unavailable
from bench.worker.modes import amp
from bench.worker.subject import prepare


@pytest.mark.parametrize("option", ["bfloat16", "float16"])
def test_convolutions_put_out_the_reduced_type_and_weights_stay(option: str) -> None:
    subject = amp.apply(prepare(tiny("infer", modes={"amp": option})), option)  # type: ignore[arg-type]
    with torch.inference_mode():
        assert subject.forward(subject.inputs[0])[-1].dtype == getattr(torch, option)
    assert {parameter.dtype for parameter in subject.model.parameters()} == {torch.float32}
    assert amp.prove(subject) is None


def test_float16_needs_scaled_gradients() -> None:
    subject = prepare(tiny("train"))
    assert amp.apply(subject, "float16").scale_loss
    assert not amp.apply(subject, "bfloat16").scale_loss


def test_the_tolerance_widens_and_never_narrows() -> None:
    subject = prepare(tiny("infer"))
    assert amp.apply(subject, "bfloat16").tolerance == amp.TOLERANCES["bfloat16"] > subject.tolerance
    assert amp.apply(replace(subject, tolerance=0.5), "bfloat16").tolerance == 0.5


def test_plain_float32_is_not_taken_for_it() -> None:
    reason = amp.prove(prepare(tiny("infer", modes={"amp": "bfloat16"})))
    assert reason
    assert reason.startswith("mode not applied (0 of ")
    assert reason.endswith(" layers in bfloat16)")


def test_the_other_reduced_type_is_not_taken_for_it() -> None:
    subject = amp.apply(prepare(tiny("infer", modes={"amp": "bfloat16"})), "float16")
    assert amp.prove(subject)


def test_autocast_ends_with_the_call() -> None:
    subject = amp.apply(prepare(tiny("infer")), "bfloat16")
    with torch.inference_mode():
        subject.forward(subject.inputs[0])
    assert not torch.is_autocast_enabled("cpu")


def test_a_device_that_is_too_old_is_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: (7, 5))
    subject = replace(prepare(tiny("infer")), device=torch.device("cuda"))
    with pytest.raises(Unavailable, match=r"compute capability 7\.5 < 8\.0 \(bfloat16\)"):
        amp.apply(subject, "bfloat16")
    assert amp.apply(subject, "float16").scale_loss


def test_a_torch_without_autocast_is_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.amp, "is_autocast_available", lambda _: False)
    with pytest.raises(Unavailable, match="no autocast on cpu"):
        amp.apply(prepare(tiny("infer")), "bfloat16")


def test_linear_layers_are_proved_too() -> None:
    subject = prepare(tiny("infer", modes={"amp": "bfloat16"}))
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 32 * 32, 4))
    changed = amp.apply(replace(subject, model=model, call=model), "bfloat16")
    assert amp.prove(changed) is None
    assert amp.prove(replace(changed, call=model)) == "mode not applied (0 of 1 layers in bfloat16)"
