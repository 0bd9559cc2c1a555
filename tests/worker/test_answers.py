"""Answers that are compared: each is copied, and poisoned behind the copy."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from jobs import own_network, tiny
from torch import Tensor

from bench import plugins
from bench.worker import numerics
from bench.worker.subject import Subject
from bench.worker.work import work


def test_a_mode_that_leaves_a_part_of_its_buffer_unwritten_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """On images of which a part is always the same, what is left from the last call would pass for an answer."""
    buffer: list[Tensor] = []

    def apply(subject: Subject, _: Any) -> Subject:
        def call(image: Tensor) -> Tensor:
            out: Tensor = subject.call(image)[-1]
            if not buffer:
                buffer.append(out.clone())
            buffer[0][:, 1:] = out[:, 1:]
            return buffer[0]

        return replace(subject, call=call)

    plugin = plugins.load("mode", "channels_last")
    monkeypatch.setattr(plugin, "apply", apply)
    monkeypatch.setattr(plugin, "prove", lambda _: None)
    record = work(tiny("infer", mode="fast", modes={"channels_last": True}))
    found = {value.quantity.name: value for value in record.values}
    assert found["error"].reason == f"mismatch: the output holds NaN or infinity {numerics.STALE}"


def test_what_a_mode_has_to_say_of_itself_is_in_the_record_and_its_flags_on_every_figure(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    plugin = plugins.load("mode", "channels_last")
    told = {"note": "2 engines, 1 of 9 ops in PyTorch", "flags": ["partial"]}
    monkeypatch.setattr(plugin, "notes", lambda _: told, raising=False)
    record = work(tiny("infer", "infer", mode="fast", modes={"channels_last": True}))
    assert record.environment["modes"] == {"channels_last": told}
    timed = [value for value in record.values if value.samples]
    assert timed and all("partial" in value.flags for value in timed)
    assert "modes" not in work(tiny("infer", "infer")).environment


FADING = """
from torch import nn


class Net(nn.Sequential):
    def __init__(self):
        layers = [nn.Conv2d(3, 8, 3, padding=1), nn.ReLU()]
        for _ in range(30):
            layers += [nn.Conv2d(8, 8, 3, padding=1), nn.ReLU()]
        super().__init__(*layers, nn.Conv2d(8, 2, 1))
"""


def test_a_deep_network_that_fades_every_image_to_one_answer_is_measured_with_livelier_weights(tmp_path: Path) -> None:
    record = work(tiny("infer", "infer", mode="fast", modes={"channels_last": True}, **own_network(tmp_path, FADING)))
    assert (record.status, record.reason) == ("ok", "")
    assert record.environment["weights"].startswith("He et al. 2015")
    assert "weights" not in work(tiny("infer", "infer")).environment
