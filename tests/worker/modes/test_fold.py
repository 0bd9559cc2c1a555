"""Batch norms are folded where a convolution alone feeds them, and nowhere else."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from jobs import own_network, tiny
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from bench.errors import Unavailable
from bench.worker.modes import channels_last, fold, half
from bench.worker.numerics import relative_l2
from bench.worker.subject import Subject, prepare, unsettle_norms, watch
from bench.worker.work import work


def norms_run(subject: Subject) -> int:
    return watch(subject, (_BatchNorm,), lambda *_: None)


def of(model: nn.Module) -> Subject:
    """A subject around a network of the test's own."""
    unsettle_norms(model.eval(), 0)
    return replace(prepare(tiny("infer", modes={"fold": True})), model=model, call=model)


def answers(subject: Subject) -> Tensor:
    with torch.inference_mode():
        return subject.forward(subject.inputs[0])[-1].double()


def test_a_pre_activation_network_keeps_the_norms_that_stand_before_convolutions() -> None:
    """The hourglass of one level: stem 1, eight bottlenecks of three, one head; two in three of a bottleneck fold."""
    plain = prepare(tiny("infer", modes={"fold": True}))
    before = norms_run(plain)
    wanted = answers(plain)
    folded = fold.apply(plain, True)
    bottlenecks = sum(type(module).__name__ == "Bottleneck" for module in plain.model.modules())
    assert (before, norms_run(folded)) == (3 * bottlenecks + 2, bottlenecks)
    assert fold.prove(folded) is None
    assert 0 < relative_l2(answers(folded), wanted) < fold.TOLERANCE
    assert norms_run(plain) == before, "the network that was given is left as it was"


class Every(nn.Module):
    """One case: `make` builds its layers, `run` calls them."""

    def __init__(self, layers: dict[str, nn.Module], run: Callable[[Any, Tensor], Any]) -> None:
        super().__init__()
        for name, layer in layers.items():
            self.add_module(name, layer)
        self.run = run

    def forward(self, image: Tensor) -> Any:
        return self.run(self, image)


def conv(inputs: int = 3) -> nn.Module:
    return nn.Conv2d(inputs, 4, 3, padding=1, bias=False)


def norm() -> nn.Module:
    return nn.BatchNorm2d(4)


def read_twice(net: Any, x: Tensor) -> Tensor:
    y = net.a(x)
    return net.n(y) + y


def called_twice(net: Any, x: Tensor) -> Tensor:
    return net.n(net.b(net.m(net.b(net.a(x)))))


@pytest.mark.parametrize(
    ("layers", "run", "left"),
    [
        ({"a": conv(), "n": norm()}, lambda net, x: net.n(net.a(x)), 0),
        ({"a": conv(), "n": norm()}, lambda net, x: net.n(net.a(x).relu()), 1),
        ({"a": conv(), "n": norm(), "m": norm()}, lambda net, x: net.m(net.n(net.a(x))), 1),
        ({"a": conv(), "n": norm()}, read_twice, 1),
        ({"a": conv(), "b": conv(4), "n": norm(), "m": norm()}, called_twice, 2),
        ({"a": conv(), "n": norm(), "m": norm()}, lambda net, x: net.n(net.a(x)) + net.m(net.a(x)), 2),
        ({"a": conv(), "n": nn.BatchNorm2d(4, track_running_stats=False)}, lambda net, x: net.n(net.a(x)), 1),
        ({"a": nn.utils.spectral_norm(conv()), "n": norm()}, lambda net, x: net.n(net.a(x)), 1),
    ],
    ids=[
        "alone",
        "relu between",
        "two norms",
        "read twice",
        "shared layer",
        "two norms of one",
        "no statistics",
        "hook",
    ],
)
@pytest.mark.filterwarnings("ignore:`torch.nn.utils.spectral_norm:FutureWarning")
def test_what_is_folded(layers: dict[str, nn.Module], run: Callable[[Any, Tensor], Any], left: int) -> None:
    plain = of(Every(layers, run))
    wanted = answers(plain)
    folded = fold.apply(plain, True)
    assert norms_run(folded) == left
    assert relative_l2(answers(folded), wanted) < fold.TOLERANCE


def test_nothing_to_fold_is_a_mode_that_was_not_applied() -> None:
    model = Every({"a": conv(), "n": norm()}, lambda net, x: net.n(net.a(x).relu()))
    assert fold.prove(fold.apply(of(model), True)) == "mode not applied (no convolution is followed by a batch norm)"


def test_a_network_as_it_was_built_is_not_taken_for_it() -> None:
    assert fold.prove(prepare(tiny("infer"))) == "mode not applied (the network is as it was built)"


def test_norms_that_still_run_are_found_out() -> None:
    plain = prepare(tiny("infer"))
    folded = fold.apply(plain, True)
    left, before = norms_run(folded), norms_run(plain)
    folded.model.add_module("extra", nn.BatchNorm2d(3).eval())
    assert fold.prove(replace(folded, call=lambda image: folded.model(folded.model.extra(image)))) == (
        f"mode not applied ({left + 1} of {before} batch norms still run, {left} should)"
    )


DEPENDS = """
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.n = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)
    def forward(self, image):
        y = self.n(self.a(image))
        return y if y.sum() > 0 else -y
"""


def test_a_network_that_cannot_be_traced_says_so(tmp_path: Path) -> None:
    own = own_network(tmp_path, DEPENDS)
    with pytest.raises(Unavailable, match=r"torch\.fx cannot trace this network \(symbolically traced variables"):
        fold.apply(prepare(tiny("infer", **own)), True)
    record = work(tiny("infer", "infer", mode="fold", modes={"fold": True}, **own))
    assert record.status == "skipped"


@pytest.mark.parametrize("others", [{}, {"channels_last": True}, {"amp": "bfloat16"}, {"half": "bfloat16"}], ids=str)
def test_it_goes_with_the_other_modes(others: dict[str, Any]) -> None:
    record = work(tiny("infer", "infer", mode="fast", modes={"fold": True} | others))
    assert (record.status, record.reason) == ("ok", "")
    assert all("mismatch" not in value.flags for value in record.values)


def test_the_tolerance_is_the_widest() -> None:
    subject = half.apply(channels_last.apply(fold.apply(prepare(tiny("infer")), True), True), "bfloat16")
    assert subject.tolerance == half.TOLERANCES["bfloat16"]
