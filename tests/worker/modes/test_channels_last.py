"""Channels-last: weights, inputs and every activation between them."""

from dataclasses import replace
from pathlib import Path

import torch
from jobs import own_network, tiny

from bench.worker.modes import channels_last
from bench.worker.subject import prepare


def test_weights_and_inputs_are_converted() -> None:
    subject = channels_last.apply(prepare(tiny("infer")), True)
    assert all(image.is_contiguous(memory_format=torch.channels_last) for image in subject.inputs)
    assert subject.model.stem[0].weight.is_contiguous(memory_format=torch.channels_last)
    assert channels_last.prove(subject) is None


def test_later_images_are_placed_in_the_same_order() -> None:
    subject = channels_last.apply(prepare(tiny("infer")), True)
    assert subject.place(torch.rand(2, 3, 8, 8)).is_contiguous(memory_format=torch.channels_last)


def test_the_answers_stay() -> None:
    plain = prepare(tiny("infer"))
    with torch.inference_mode():
        before = plain.forward(plain.inputs[0])[-1]
        after = channels_last.apply(plain, True).forward(plain.inputs[0])[-1]
    assert torch.allclose(before, after, atol=1e-5)


def test_the_usual_order_is_not_taken_for_it() -> None:
    reason = channels_last.prove(prepare(tiny("infer")))
    assert reason
    assert reason.startswith("mode not applied (")
    assert "first stem.0" in reason


def test_inputs_alone_are_not_enough() -> None:
    plain = prepare(tiny("infer"))
    assert channels_last.prove(replace(plain, layout=torch.channels_last).with_inputs(plain.inputs))


FALLS_BACK = """
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3)
    def forward(self, image):
        return self.b(self.a(image).contiguous())
"""


def test_a_network_that_falls_back_in_between_is_found_out(tmp_path: Path) -> None:
    subject = channels_last.apply(prepare(tiny("infer", **own_network(tmp_path, FALLS_BACK))), True)
    assert channels_last.prove(subject) == "mode not applied (1 of 2 convolutions are not channels-last, first b)"


def test_a_network_without_convolutions_cannot_have_it(tmp_path: Path) -> None:
    code = "class Net(nn.Module):\n    def forward(self, image):\n        return image"
    subject = channels_last.apply(prepare(tiny("infer", **own_network(tmp_path, code))), True)
    assert channels_last.prove(subject) == "mode not applied (the network has no convolutions)"
