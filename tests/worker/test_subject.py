"""What is measured, and how it is prepared."""

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import pytest
import torch
from jobs import own_network, tiny
from torch import Tensor, nn

from bench.errors import Failed
from bench.worker import subject as module
from bench.worker.subject import (
    CONVOLUTIONS,
    INPUTS,
    as_float,
    as_list,
    build,
    evaluating,
    loosened,
    make_inputs,
    prepare,
    prepare_static,
    size_of,
    strict_fp32,
    unsettle_norms,
    watch,
)


@pytest.fixture
def switches() -> Iterator[None]:
    """Torch's own precision switches are put back."""
    backends = (torch.backends.cuda.matmul, torch.backends.cudnn.conv, torch.backends.cudnn.rnn)
    before = [backend.fp32_precision for backend in backends]
    yield
    for backend, precision in zip(backends, before, strict=True):
        backend.fp32_precision = precision


def test_strict_fp32_leaves_no_reduced_precision(switches: None) -> None:
    for backend in (torch.backends.cuda.matmul, torch.backends.cudnn.conv, torch.backends.cudnn.rnn):
        backend.fp32_precision = "tf32"
    strict_fp32()
    assert torch.backends.cuda.matmul.fp32_precision == "ieee"
    assert torch.backends.cudnn.conv.fp32_precision == "ieee"
    assert torch.backends.cudnn.rnn.fp32_precision == "ieee"


def test_inputs_are_distinct_float_batches_in_the_suites_size() -> None:
    subject = prepare(tiny("infer", data={"use": "random", "size": [32, 64], "val": 6}))
    assert len(subject.inputs) == INPUTS
    assert {tuple(image.shape) for image in subject.inputs} == {(2, 3, 32, 64)}
    assert {image.dtype for image in subject.inputs} == {torch.float32}
    assert all(not torch.equal(subject.inputs[0], other) for other in subject.inputs[1:])


def test_the_network_is_in_eval_mode_to_infer_and_in_training_mode_to_train() -> None:
    assert not prepare(tiny("infer")).model.training
    assert prepare(tiny("train")).model.training


def test_untrained_norms_are_far_from_the_identity() -> None:
    model = prepare(tiny("infer")).model
    norms = [part for part in model.modules() if isinstance(part, nn.BatchNorm2d)]
    assert norms
    assert all(not torch.equal(norm.running_mean, torch.zeros_like(norm.running_mean)) for norm in norms)
    assert all((norm.running_var > 0).all() for norm in norms)


def test_norms_without_statistics_are_left_alone() -> None:
    unsettle_norms(nn.Sequential(nn.BatchNorm2d(3, track_running_stats=False), nn.GroupNorm(1, 3)), seed=0)


def test_weights_depend_on_the_seed_alone() -> None:
    first, again, other = (build(tiny("infer", seed=seed)).state_dict() for seed in (3, 3, 4))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not all(torch.equal(first[name], other[name]) for name in first)


def test_a_pickled_module_needs_no_architecture(tmp_path: Path) -> None:
    torch.save(nn.Conv2d(3, 1, 1), tmp_path / "model.pt")
    assert isinstance(build(tiny("infer", arch="", weights=str(tmp_path / "model.pt"))), nn.Conv2d)


def test_a_file_of_weights_that_holds_no_module(tmp_path: Path) -> None:
    torch.save({"weight": torch.ones(1)}, tmp_path / "model.pt")
    with pytest.raises(Failed, match=r"the builder returned dict, not a torch\.nn\.Module"):
        build(tiny("infer", arch="", weights=str(tmp_path / "model.pt")))


def test_the_static_network_has_shapes_but_no_numbers() -> None:
    subject = prepare_static(tiny("static"))
    assert all(parameter.is_meta for parameter in subject.model.parameters())
    assert tuple(subject.inputs[0].shape) == (1, 3, 32, 32)


def test_a_network_with_tensors_that_are_no_parameters_is_still_counted(tmp_path: Path) -> None:
    code = """
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.linspace(0, 1, 3))
        self.register_buffer("offset", torch.arange(3.0))
    def forward(self, image):
        return image * self.weight[:, None, None] + self.offset[:, None, None]
"""
    subject = prepare_static(tiny("static", **own_network(tmp_path, code)))
    assert subject.forward(subject.inputs[0])[-1].is_meta


def test_timed_calls_feed_one_input_after_the_other() -> None:
    subject = prepare(tiny("infer"))
    seen: list[Tensor] = []
    once = module.replace(subject, call=seen.append).rotating()
    for _ in range(2 * INPUTS):
        once()
    assert all(a is not b for a, b in pairwise(seen))
    assert {id(image) for image in seen} == {id(image) for image in subject.inputs}


def test_later_inputs_are_others() -> None:
    first, second = make_inputs(tiny("infer"), 2), make_inputs(tiny("infer"), 2, first=2)
    assert not any(torch.equal(a, b) for a in first for b in second)


@pytest.mark.parametrize(
    ("output", "count"),
    [(torch.ones(1), 1), ([torch.ones(1), torch.ones(2)], 2), ((torch.ones(1),), 1), ({"a": torch.ones(1)}, 1)],
)
def test_outputs_as_a_list(output: Any, count: int) -> None:
    assert len(as_list(output)) == count


def test_images_become_floats_around_zero() -> None:
    image = torch.tensor([0, 255, 128], dtype=torch.uint8)[None, :, None, None]
    assert as_float(image).flatten().tolist() == pytest.approx([-0.4404, 1 - 0.4440, 128 / 255 - 0.4327])
    assert as_float(torch.full((1, 1, 1, 1), 255, dtype=torch.uint8)).item() == pytest.approx(0.5)


@pytest.mark.parametrize(("size", "expected"), [(64, (64, 64)), ([32, 48], (32, 48)), (None, (256, 256))])
def test_a_size_is_a_side_or_two(size: Any, expected: tuple[int, int]) -> None:
    assert size_of({} if size is None else {"size": size}) == expected


@pytest.mark.parametrize("training", [True, False])
def test_evaluating_puts_the_mode_back_even_after_an_error(training: bool) -> None:
    model = nn.BatchNorm2d(1).train(training)
    with pytest.raises(ValueError, match="x"), evaluating(model):
        assert not model.training
        raise ValueError("x")
    assert model.training is training


def test_every_convolution_is_watched_once_and_let_go() -> None:
    subject = prepare(tiny("infer"))
    convolutions = {name for name, part in subject.model.named_modules() if isinstance(part, nn.Conv2d)}
    seen: list[str] = []
    assert watch(subject, CONVOLUTIONS, lambda name, *_: seen.append(name)) == len(convolutions)
    assert sorted(seen) == sorted(convolutions)
    subject.forward(subject.inputs[0])
    assert len(seen) == len(convolutions)


def test_watching_while_training_moves_no_statistics() -> None:
    subject = prepare(tiny("train"))
    before = {name: buffer.clone() for name, buffer in subject.model.named_buffers()}
    watch(subject, CONVOLUTIONS, lambda *_: None)
    assert all(torch.equal(before[name], buffer) for name, buffer in subject.model.named_buffers())
    assert subject.model.training


def test_a_network_that_loosens_fp32_or_takes_threads_is_found_out(
    switches: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = tiny("infer", threads=torch.get_num_threads())
    prepare(job)
    assert loosened(job) == ""
    torch.backends.cudnn.conv.fp32_precision = "tf32"
    assert loosened(job) == "cudnn.conv.fp32_precision is tf32"
    strict_fp32()
    assert loosened(msgspec.structs.replace(job, threads=job.threads + 1)).startswith("threads are ")
    monkeypatch.setenv("NVIDIA_TF32_OVERRIDE", "1")
    assert loosened(job) == "the environment sets NVIDIA_TF32_OVERRIDE"


@pytest.mark.parametrize("batch", [1, 8, 16, 32, 64])
def test_no_two_inputs_are_equal_whatever_the_batch(batch: int) -> None:
    images = list(make_inputs(tiny("infer", infer={"batch": batch}), INPUTS + 2))
    assert all(not torch.equal(a, b) for i, a in enumerate(images) for b in images[:i])
