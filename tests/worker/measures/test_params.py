"""Parameters of small networks, counted by hand."""

from pathlib import Path

import pytest
from jobs import own_network, tiny

from bench.errors import Failed
from bench.record import Value
from bench.worker.measures import params
from bench.worker.subject import prepare_static


def counted(folder: Path, body: str, forward: str) -> dict[str, Value]:
    code = f"""
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        {body}
    def forward(self, image):
        return {forward}
"""
    subject = prepare_static(tiny("static", **own_network(folder, code)))
    return {value.quantity.name: value for value in params.measure(subject)}


def test_a_convolution_and_a_norm(tmp_path: Path) -> None:
    found = counted(
        tmp_path, "self.conv = nn.Conv2d(3, 4, 3); self.norm = nn.BatchNorm2d(4)", "self.norm(self.conv(image))"
    )
    convolution, norm = 3 * 4 * 9 + 4, 2 * 4
    assert found["params"].value == found["live_params"].value == found["params.trainable"].value == convolution + norm
    assert found["params.buffers"].value == 2 * 4 + 1  # mean, variance, and the number of batches
    assert found["params.storage"].value == 4 * (convolution + norm + 2 * 4) + 8
    assert found["params"].details == {}


def test_tied_weights_count_once(tmp_path: Path) -> None:
    body = (
        "self.a = nn.Linear(32, 32, bias=False); self.b = nn.Linear(32, 32, bias=False); self.b.weight = self.a.weight"
    )
    found = counted(tmp_path, body, "self.b(self.a(image))")
    assert found["params"].value == found["live_params"].value == 32 * 32
    assert found["params.storage"].value == 4 * 32 * 32


def test_views_of_one_storage_count_once(tmp_path: Path) -> None:
    body = "self.a = nn.Parameter(torch.ones(3, 1, 1)); self.b = nn.Parameter(self.a.data.view(1, 3, 1, 1))"
    assert counted(tmp_path, body, "image * self.a * self.b")["params"].value == 3


def test_dead_parameters_are_found(tmp_path: Path) -> None:
    found = counted(tmp_path, "self.used = nn.Conv2d(3, 2, 1); self.unused = nn.Conv2d(3, 5, 1)", "self.used(image)")
    assert found["params"].value == 8 + 20
    assert found["live_params"].value == 8
    assert found["params"].details == {"dead": 20}


def test_every_output_keeps_its_parameters_alive(tmp_path: Path) -> None:
    body = "self.a = nn.Conv2d(3, 2, 1); self.b = nn.Conv2d(3, 2, 1)"
    assert counted(tmp_path, body, "[self.a(image), self.b(image)]")["live_params"].value == 16


def test_frozen_parameters_are_not_trainable(tmp_path: Path) -> None:
    body = "self.a = nn.Conv2d(3, 3, 1).requires_grad_(False); self.b = nn.Conv2d(3, 2, 1)"
    found = counted(tmp_path, body, "self.b(self.a(image))")
    assert found["params"].value == 12 + 8
    assert found["params.trainable"].value == found["live_params"].value == 8


def test_a_network_without_parameters(tmp_path: Path) -> None:
    found = counted(tmp_path, "pass", "image")
    assert {name: value.value for name, value in found.items()} == dict.fromkeys(found, 0)


def test_an_output_that_depends_on_no_parameter_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(Failed, match="no output depends on a trainable parameter"):
        counted(tmp_path, "self.a = nn.Conv2d(3, 3, 1)", "image")
