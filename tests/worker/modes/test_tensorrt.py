"""TensorRT against a fake torch_tensorrt of both dialects: no GPU and no TensorRT is needed, and none is proved."""

import contextlib
import importlib
import json
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import torch
from faked_tensorrt import write_package
from jobs import own_network, tiny

from bench.errors import Failed, Unavailable
from bench.record import FLAGS
from bench.worker.modes import tensorrt
from bench.worker.subject import Subject, loosened, prepare
from bench.worker.work import work

NETWORK = """
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.one, self.two = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1)
        self.norm = nn.BatchNorm2d(4)
    def forward(self, image):
        return [self.two(torch.relu(self.norm(self.one(image))))]
"""

VERSIONS = ["2.11.0", "2.12.1", "2.13.0", "2.14.0"]
DIALECTS = ["2.11.0", "2.13.0"]

Install = Callable[..., None]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Has torch_tensorrt installed, and the CPU in a CUDA device's place, until the test ends."""
    monkeypatch.setattr(tensorrt, "DEVICE", "cpu")

    def installed(version: str) -> None:
        write_package(tmp_path, version)
        monkeypatch.syspath_prepend(tmp_path)

    yield installed
    sys.modules.pop("torch_tensorrt", None)


def fake() -> Any:
    return importlib.import_module("torch_tensorrt")


def applied(tmp_path: Path, option: Any, **behaviour: Any) -> Subject:
    """A network of two convolutions under the mode."""
    fake().behaviour.update(behaviour)
    subject = prepare(tiny("infer", modes={"tensorrt": option}, **own_network(tmp_path, NETWORK)))
    with torch.inference_mode():
        return tensorrt.apply(subject, option)


# What is asked of the compiler


@pytest.mark.parametrize("version", DIALECTS)
@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_every_dialect_is_typed_by_the_model(version: str, dtype: str, install: Install, tmp_path: Path) -> None:
    install(version)
    subject = applied(tmp_path, dtype)
    (call,) = fake().calls
    assert call["kwargs"] == {}
    assert {image.dtype for image in (*call["arg_inputs"], *subject.inputs)} == {getattr(torch, dtype)}
    assert call["disable_tf32"] is (dtype == "float32")
    assert (call["min_block_size"], call["require_full_compilation"]) == (1, False)
    assert (call["optimization_level"], call["workspace_size"]) == (3, 1 << 30)
    assert call["immutable_weights"] and call["cache_built_engines"] and call["reuse_cached_engines"]
    assert "enabled_precisions" not in call or call["enabled_precisions"] == {torch.float32}
    assert tensorrt.prove(subject) is None
    assert tensorrt.notes(subject)["types"] == {"convolutions": {dtype: 2}}


def test_an_engine_that_had_to_be_profiled_to_tell_its_types_is_so_no_longer(install: Install, tmp_path: Path) -> None:
    install("2.11.0")
    subject = applied(tmp_path, "float16")
    assert fake().calls[0]["debugger"]["save_engine_profile"] is True
    assert [engine.profiling for engine in tensorrt.engines_of(subject.model)] == [False]


@pytest.mark.parametrize("version", VERSIONS[1:])
def test_later_versions_are_never_profiled(version: str, install: Install, tmp_path: Path) -> None:
    install(version)
    applied(tmp_path, "float16")
    assert fake().calls[0]["debugger"]["save_engine_profile"] is False


def test_each_round_and_each_mode_has_caches_of_its_own(install: Install, tmp_path: Path) -> None:
    install("2.13.0")
    places = set()
    for number in range(2):
        job = tiny("infer", round=number, artefacts=str(tmp_path), **own_network(tmp_path, NETWORK))
        subject = tensorrt.apply(prepare(job), "float16")
        assert (subject.cache, subject.built > 0) == ("cold", True)
        places |= {fake().calls[-1][name] for name in ("timing_cache_path", "engine_cache_dir")}
    assert len(places) == 4
    timings = Path(fake().calls[-1]["timing_cache_path"])
    timings.parent.mkdir(parents=True)
    timings.touch()
    assert tensorrt.apply(prepare(job), "float16").cache == "warm", "the same job once more"
    other = msgspec.structs.replace(job, variant="other")
    assert tensorrt.apply(prepare(other), "float16").cache == "cold", "another network of the same round"
    assert all(place.startswith(str(tmp_path / "tensorrt")) for place in places)


def test_a_table_passes_its_settings_on(install: Install, tmp_path: Path) -> None:
    install("2.12.1")
    option = {"dtype": "float32", "disable_tf32": False, "optimization_level": 5}
    subject = applied(tmp_path, option)
    assert (fake().calls[0]["disable_tf32"], fake().calls[0]["optimization_level"]) == (False, 5)
    assert subject.tolerance == tensorrt.TF32_TOLERANCE > tensorrt.FLOAT32_TOLERANCE
    assert subject.job.modes["tensorrt"] == option, "the record holds them"


@pytest.mark.parametrize("version", DIALECTS)
@pytest.mark.parametrize(
    ("option", "reason"),
    [
        ({"dtype": "float8"}, "dtype = 'float8': write float32"),
        ({"cudagraph": True}, "dtype = None: write float32"),
        ({"dtype": "float16", "cudagraph": "yes"}, "cudagraph = 'yes': write true or false"),
        ({"dtype": "float16", "enabled_precisions": ["float16"]}, "refused by 2.11 and ignored by 2.13"),
        ({"dtype": "float16", "use_explicit_typing": True}, "dtype says the type"),
        ({"dtype": "float16", "optimisation_level": 5}, "did you mean 'optimization_level'?"),
        ({"dtype": "float16", "arg_inputs": []}, "no setting 'arg_inputs'"),
    ],
)
def test_a_setting_that_would_be_refused_or_swallowed_is_said(
    version: str, option: dict[str, Any], reason: str, install: Install, tmp_path: Path
) -> None:
    install(version)
    with pytest.raises(Failed) as caught:
        applied(tmp_path, option)
    assert reason in str(caught.value)


HALF = {"enabled_precisions": {torch.float16}}


@pytest.mark.parametrize("version", DIALECTS)
def test_what_2_11_refuses_2_13_drops(version: str, install: Install) -> None:
    """The fake does as the real ones do: this is why the type is never asked for in words."""
    install(version)
    image = torch.rand(1, 3, 8, 8)
    program = torch.export.export(torch.nn.Conv2d(3, 4, 3), (image,), strict=False)
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if version < "2.13":
            with pytest.raises(AssertionError, match="use_explicit_typing was set to True"):
                fake().dynamo.compile(program, arg_inputs=[image], **HALF)
        else:
            engine = fake().dynamo.compile(program, arg_inputs=[image], **HALF)
            assert engine(image).dtype == torch.float32


def test_another_device_is_a_reason(install: Install, monkeypatch: pytest.MonkeyPatch) -> None:
    install("2.13.0")
    monkeypatch.setattr(tensorrt, "DEVICE", "cuda")
    with pytest.raises(Unavailable, match="TensorRT needs a CUDA device, the job's is cpu"):
        tensorrt.apply(prepare(tiny("infer")), "float16")


# What is proved, and what is said


@pytest.mark.parametrize("version", DIALECTS)
def test_a_float32_engine_labelled_float16_is_caught(version: str, install: Install, tmp_path: Path) -> None:
    install(version)
    subject = applied(tmp_path, "float16", engine_type=torch.float32)
    assert tensorrt.prove(subject) == "mode not applied (0 of 2 convolutions in float16)"


def test_no_engine_at_all_is_caught(install: Install, tmp_path: Path) -> None:
    install("2.13.0")
    assert tensorrt.prove(applied(tmp_path, "float16", engines=0)) == "mode not applied (0 engines)"


def test_a_network_that_was_never_compiled_is_caught(tmp_path: Path) -> None:
    assert tensorrt.prove(prepare(tiny("infer", modes={"tensorrt": "float16"}))) == "mode not applied (0 engines)"


def test_an_engine_that_tells_names_alone_proves_nothing(
    install: Install, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install("2.13.0")
    monkeypatch.setattr(tensorrt, "detailed", lambda *_: contextlib.nullcontext())
    reason = tensorrt.prove(applied(tmp_path, "float16"))
    assert reason == "not proved (the engine inspector names layers without their types)"


def test_what_is_left_in_pytorch_is_said_and_is_no_failure(install: Install, tmp_path: Path) -> None:
    install("2.13.0")
    left = [torch.ops.aten.clone.default] * 2 + [torch.ops.aten.relu.default]
    subject = applied(tmp_path, "float16", engines=2, left=left)
    assert tensorrt.prove(subject) is None
    told = tensorrt.notes(subject)
    assert told["flags"] == ["partial"] and told["flags"][0] in FLAGS
    total = subject.model.operators
    assert told["note"] == f"partial: 2 engines, 3 of {total} ops in PyTorch (aten.clone x2, aten.relu)"
    assert total >= 4
    assert (told["engines"], told["left_in_torch"]) == (2, {"aten.clone": 2, "aten.relu": 1})


def test_a_whole_network_needs_no_note(install: Install, tmp_path: Path) -> None:
    install("2.13.0")
    told = tensorrt.notes(applied(tmp_path, "float16"))
    assert (told["note"], told["flags"], told["engines"], told["torch_tensorrt"]) == ("", [], 1, "2.13.0")
    assert told["engine_bytes"] == len(b"engine")
    assert json.loads(json.dumps(told)) == told


def test_cuda_graphs_are_proved_and_do_not_outlive_their_mode(install: Install, tmp_path: Path) -> None:
    install("2.13.0")
    graphed = applied(tmp_path, {"dtype": "float16", "cudagraph": True})
    assert tensorrt.prove(graphed) is None
    applied(tmp_path, "float16")
    assert tensorrt.prove(graphed) == "mode not applied (CUDA graphs are off)"


# The network as it is called


def test_an_export_leaves_the_switches_for_tf32_strict(install: Install, tmp_path: Path) -> None:
    install("2.13.0")
    subject = applied(tmp_path, "float32")
    assert loosened(subject.job) == ""


def test_the_answers_are_the_networks_in_parts_of_any_number(install: Install, tmp_path: Path) -> None:
    install("2.13.0")
    plain = prepare(tiny("infer", **own_network(tmp_path, NETWORK)))
    images = torch.rand(5, 3, 32, 32)
    with torch.inference_mode():
        wanted = [plain.forward(images[:count])[-1] for count in range(1, 6)]
    subject = applied(tmp_path, "float32")
    with torch.inference_mode():
        found = [subject.forward(images[:count])[-1] for count in range(1, 6)]
    assert all(torch.allclose(a, b, atol=1e-5) for a, b in zip(wanted, found, strict=True))


def test_an_input_that_is_ready_is_not_copied(install: Install, tmp_path: Path) -> None:
    install("2.13.0")
    subject = applied(tmp_path, "float16")
    seen = []
    (engine,) = tensorrt.engines_of(subject.model)
    engine.register_forward_pre_hook(lambda _, images: seen.append(images[0].data_ptr()))
    subject.call(subject.inputs[0])
    assert seen == [subject.inputs[0].data_ptr()]


BRANCHES = """
class Net(nn.Module):
    def forward(self, image):
        return image if image.sum() > 0 else -image
"""


def test_a_network_that_cannot_be_exported_has_failed(
    install: Install, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install("2.13.0")
    monkeypatch.setattr(tensorrt, "probe", lambda: None)
    record = work(tiny("infer", modes={"tensorrt": "float32"}, **own_network(tmp_path, BRANCHES)))
    assert record.status == "failed"
    assert "\n" not in record.reason and "data-dependent" in record.reason
    assert fake().calls == []


@pytest.mark.parametrize("version", VERSIONS)
def test_a_job_from_start_to_finish(
    version: str, install: Install, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(version)
    monkeypatch.setattr(tensorrt, "probe", lambda: None)
    record = work(tiny("infer", "infer", modes={"tensorrt": "bfloat16"}, **own_network(tmp_path, NETWORK)))
    assert (record.status, record.reason) == ("ok", "")
    values = {value.quantity.name: value for value in record.values}
    assert values["error"].flags == [] and values["error"].details["tolerance"] == tensorrt.TOLERANCES["bfloat16"]
    assert 0 < values["error"].value < 4e-2
    assert (values["latency"].value or 0) > 0
