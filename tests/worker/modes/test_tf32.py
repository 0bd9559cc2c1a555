"""TF32: switched on for the process, proved by results that are not those of strict fp32.

There is no TF32 on a CPU. A stand-in layer rounds its operands as tensor cores do where the switch says so.
"""

from collections.abc import Iterator
from dataclasses import replace

import msgspec
import pytest
import torch
from jobs import tiny
from torch import Tensor, nn

from bench.errors import Unavailable
from bench.worker.measures import accuracy
from bench.worker.modes import tf32
from bench.worker.subject import Subject, loosened, prepare, strict_fp32

APPLY = tf32.apply


@pytest.fixture(autouse=True)
def switches() -> Iterator[None]:
    """Torch's own precision switches are put back."""
    before = {name: backend.fp32_precision for name, backend in tf32.backends().items()}
    yield
    for name, backend in tf32.backends().items():
        backend.fp32_precision = before[name]


@pytest.fixture
def ampere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: (8, 0))


def precision() -> set[str]:
    return {backend.fp32_precision for backend in tf32.backends().values()}


def rounded(tensor: Tensor) -> Tensor:
    """A float32 tensor with 10 bits of mantissa, as TF32 reads it: the other 13 are rounded off."""
    return (tensor.view(torch.int32) + 0x1000 & ~0x1FFF).view(torch.float32)


class TensorCores(nn.Conv2d):
    """A convolution that obeys torch's switch as a GPU does."""

    def forward(self, x: Tensor) -> Tensor:
        weight = self.weight
        if torch.backends.cudnn.conv.fp32_precision == "tf32":  # type: ignore[attr-defined]
            x, weight = rounded(x), rounded(weight)
        return nn.functional.conv2d(x, weight, self.bias)


def on_cuda(subject: Subject) -> Subject:
    """What `apply` is given on a GPU; what it returns is put back on the CPU, where it can run."""
    return replace(APPLY(replace(subject, device=torch.device("cuda")), True), device=subject.device)


def with_network(model: nn.Module) -> Subject:
    return replace(prepare(tiny("infer", modes={"tf32": True})), model=model.eval(), call=model)


def test_every_switch_is_set_and_the_tolerance_widens(ampere: None) -> None:
    subject = on_cuda(prepare(tiny("infer", modes={"tf32": True})))
    assert precision() == {"tf32"}
    assert subject.tolerance == tf32.TOLERANCE


def test_layers_that_round_their_operands_prove_it(ampere: None) -> None:
    subject = on_cuda(with_network(nn.Sequential(TensorCores(3, 8, 3), nn.ReLU(), TensorCores(8, 4, 3))))
    assert tf32.prove(subject) is None
    assert precision() == {"tf32"}, "the proof looks at strict results too"


def test_a_switch_that_changes_nothing_is_no_mode(ampere: None) -> None:
    """As on a CPU, or where the environment forbids TF32."""
    subject = on_cuda(with_network(nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 4, 3))))
    assert tf32.prove(subject) == "mode not applied (0 of 2 layers in tf32)"


def test_a_switch_that_the_network_turned_back_is_found_out(ampere: None) -> None:
    subject = on_cuda(with_network(TensorCores(3, 8, 3)))
    torch.backends.cudnn.conv.fp32_precision = "ieee"  # type: ignore[attr-defined]
    assert tf32.prove(subject) == "mode not applied (cudnn.conv.fp32_precision is ieee)"
    assert loosened(subject.job) == "cudnn.conv.fp32_precision is ieee"


def test_a_job_that_asked_for_it_keeps_the_protocol_and_others_do_not(ampere: None) -> None:
    job = tiny("infer", modes={"tf32": True}, threads=torch.get_num_threads())
    on_cuda(prepare(job))
    assert loosened(job) == ""
    left_on = loosened(msgspec.structs.replace(job, modes={"channels_last": True}))
    assert left_on == ", ".join(f"{name}.fp32_precision is tf32" for name in tf32.backends())


@pytest.mark.parametrize("trained_in", [{}, {"tf32": True}], ids=str)
def test_trained_weights_are_scored_strictly_whatever_mode_came_before(
    ampere: None, monkeypatch: pytest.MonkeyPatch, trained_in: dict[str, bool]
) -> None:
    """A training in TF32, its strict scores, a check of TF32 and one of another mode: one process does them all."""
    seen: list[tuple[tuple[str, ...], set[str]]] = []

    def scored(subject: Subject, _: object) -> list[object]:
        seen.append((tuple(subject.job.modes), precision()))
        return []

    monkeypatch.setattr(tf32, "probe", lambda: None)
    monkeypatch.setattr(tf32, "prove", lambda _: None)
    monkeypatch.setattr(accuracy, "scored", scored)
    monkeypatch.setattr(tf32, "apply", lambda subject, _: on_cuda(subject))
    subject = prepare(tiny("accuracy", modes=trained_in))
    strict_fp32()
    if trained_in:
        subject = on_cuda(subject)
    during = precision()
    for modes in ({}, {"tf32": True}, {"channels_last": True}):
        accuracy.scored_under(subject, modes, accuracy)
        assert precision() == during
    assert seen == [((), {"ieee"}), (("tf32",), {"tf32"}), (("channels_last",), {"ieee"})]


def test_where_it_cannot_run(monkeypatch: pytest.MonkeyPatch) -> None:
    subject = prepare(tiny("infer"))
    with pytest.raises(Unavailable, match=r"no CUDA device \(this job runs on cpu\)"):
        tf32.apply(subject, True)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: (7, 5))
    with pytest.raises(Unavailable, match=r"compute capability 7\.5 < 8\.0 \(tf32\)"):
        on_cuda(subject)
    assert precision() == {"ieee"}
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert tf32.probe() == "no CUDA device"


def test_reduced_types_leave_it_nothing_to_do() -> None:
    assert {"amp", "half"} <= set(tf32.EXCLUDES)
