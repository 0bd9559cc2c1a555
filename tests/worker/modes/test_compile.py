"""torch.compile: one graph or a failure, never eager. Most tests use dynamo's eager backend."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from jobs import own_network, tiny
from torch import Tensor

from bench.errors import Failed, Unavailable
from bench.record import Record, Value
from bench.worker import compiling
from bench.worker.modes import amp
from bench.worker.modes import compile as module
from bench.worker.subject import Subject, prepare, without_grad
from bench.worker.work import work

TWO_LAYERS = """
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 16, 1))
    def forward(self, image):
        return [self.body(image)]
"""

COMPILED = {"compile": "default"}

SMALL = {"use": "random", "size": 16, "train": 8, "val": 5, "options": {}}

Backend = Callable[[Any, list[Tensor]], Callable[..., Any]]


@pytest.fixture(autouse=True)
def process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What the mode changes in the process is put back; its caches are empty."""
    monkeypatch.setenv(compiling.INDUCTOR, str(tmp_path / "caches" / "inductor"))
    monkeypatch.setenv(compiling.TRITON, str(tmp_path / "caches" / "triton"))
    monkeypatch.setenv("_TORCHINDUCTOR_PYOBJECT_TENSOR_DATA_PTR", "0")  # which inductor sets by itself
    yield
    torch._dynamo.reset()
    module.counters.clear()
    module.config.freezing = False


def with_backend(monkeypatch: pytest.MonkeyPatch, backend: str | Backend) -> None:
    """Compile by another backend than inductor, which needs seconds and a C++ compiler."""
    monkeypatch.setattr(module, "lacking", lambda _: None)
    monkeypatch.setattr(
        module, "compiled", lambda call, _: torch.compile(call, fullgraph=True, dynamic=False, backend=backend)
    )


@pytest.fixture
def eager(monkeypatch: pytest.MonkeyPatch) -> None:
    with_backend(monkeypatch, "eager")


def by_name(record: Record) -> dict[str, Value]:
    return {value.quantity.name: value for value in record.values}


def small(folder: Path, phase: str, *measures: str, code: str = TWO_LAYERS, **changes: Any) -> Record:
    asked = {"mode": "compiled", "modes": COMPILED, "data": SMALL} | own_network(folder, code)
    return work(tiny(phase, *measures, **asked | changes))


def subject_of(folder: Path, phase: str = "infer", **changes: Any) -> Subject:
    return prepare(tiny(phase, **{"modes": COMPILED, "data": SMALL} | own_network(folder, TWO_LAYERS) | changes))


def called(subject: Subject) -> Subject:
    """The subject after a call, as after its warm-up."""
    with without_grad(subject.job):
        subject.forward(subject.inputs[0])
    return subject


@pytest.mark.usefixtures("eager")
def test_inference_is_compiled_compared_and_timed(tmp_path: Path) -> None:
    record = small(tmp_path, "infer", "infer", "compile_time", "eval_time")
    assert (record.status, record.reason) == ("ok", "")
    found = by_name(record)
    assert (found["error"].value or 0.0) <= module.TOLERANCE
    assert (found["latency"].value or 0) > 0
    assert (found["compile_time.cold"].value or 0) > (found["latency"].value or 0)
    assert found["compile_time.warm"].reason == "the caches were cold in this job"
    assert record.environment["grad"] == "no_grad"


@pytest.mark.usefixtures("eager")
@pytest.mark.parametrize("phase", ["infer", "train"])
def test_with_the_other_modes_each_is_still_proved(tmp_path: Path, phase: str) -> None:
    """Compiled code calls no hooks: what the compiler was given is looked at instead."""
    modes = {"channels_last": True, "amp": "bfloat16", "compile": "default"}
    record = small(tmp_path, phase, "compile_time", modes=modes)
    assert (record.status, record.reason) == ("ok", "")
    assert (by_name(record)["compile_time.cold"].value or 0) > 0


@pytest.mark.usefixtures("eager")
def test_a_step_is_compiled_and_compiled_once(tmp_path: Path) -> None:
    record = small(tmp_path, "train", "train_time")
    assert (record.status, record.reason) == ("ok", "")
    assert module.graphs() == 1


@pytest.mark.usefixtures("eager")
def test_before_a_training_for_accuracy_nothing_was_called_and_the_proof_calls(tmp_path: Path) -> None:
    subject = module.apply(subject_of(tmp_path, "accuracy"), "default")
    assert module.prove(subject) is None
    assert module.graphs() == 1
    assert subject.model.training


def test_what_breaks_the_graph_is_a_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with_backend(monkeypatch, "eager")
    code = TWO_LAYERS.replace("return [", "print(float(image.sum()))\n        return [")
    record = small(tmp_path, "infer", "infer", code=code)
    assert record.status == "failed"
    assert record.reason.startswith("torch.compile raised ")
    assert "latency" not in by_name(record)


def crashing(when: str) -> Backend:
    """A backend with inductor's own crash of the full-width hourglass in bfloat16: a buffer that is read too early."""

    def crash(*_: Any) -> Any:
        raise UnboundLocalError("cannot access local variable 'buf45'")

    def backend(graph: Any, _: list[Tensor]) -> Callable[..., Any]:
        return crash() if when == "compile" else crash

    return backend


@pytest.mark.parametrize("when", ["compile", "run"])
@pytest.mark.parametrize("phase", ["infer", "train"])
def test_a_compiler_that_crashes_is_a_failure_and_never_eager(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, phase: str, when: str
) -> None:
    with_backend(monkeypatch, crashing(when))
    record = small(tmp_path, phase, "infer" if phase == "infer" else "train_time")
    assert record.status == "failed"
    assert record.reason == "torch.compile raised UnboundLocalError: cannot access local variable 'buf45'"
    assert record.values == []


def test_a_crash_in_the_backward_pass_is_the_compilers_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from torch._dynamo.backends.common import aot_autograd
    from torch._functorch.aot_autograd import make_boxed_func

    crash = crashing("run")(None, [])
    backend = aot_autograd(
        fw_compiler=lambda graph, _: make_boxed_func(graph.forward), bw_compiler=lambda *_: make_boxed_func(crash)
    )
    with_backend(monkeypatch, backend)
    record = small(tmp_path, "train", "train_time")
    assert record.reason == "torch.compile raised UnboundLocalError: cannot access local variable 'buf45'"


def test_memory_that_ran_out_in_compiled_code_is_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def backend(graph: Any, _: list[Tensor]) -> Callable[..., Any]:
        def run(*_: Any) -> Any:
            raise torch.OutOfMemoryError("all gone")

        return run

    with_backend(monkeypatch, backend)
    assert small(tmp_path, "infer", "infer").status == "oom"


@pytest.mark.usefixtures("eager")
def test_compiling_again_while_timed_is_a_failure(tmp_path: Path) -> None:
    subject = called(module.apply(subject_of(tmp_path), "default"))
    with without_grad(subject.job):
        with subject.steady():
            subject.forward(subject.inputs[1])
        other = torch.rand(5, 3, 16, 16)
        reason = r"^recompiled during timing \(.*size mismatch at index 0\. expected 2, actual 5"
        with pytest.raises(Failed, match=reason), subject.steady():
            subject.forward(other)
        subject.forward(other)  # not timed, it may
        with subject.steady():
            subject.forward(other)


@pytest.mark.usefixtures("eager")
def test_an_error_of_the_networks_own_is_not_taken_for_that(tmp_path: Path) -> None:
    subject = module.apply(subject_of(tmp_path), "default")
    with pytest.raises(RuntimeError, match="too hot"), subject.steady():
        raise RuntimeError("too hot")


@pytest.mark.usefixtures("eager")
def test_a_graph_that_was_compiled_behind_torchs_back_is_found_by_the_count(tmp_path: Path) -> None:
    subject = module.apply(subject_of(tmp_path), "default")
    with pytest.raises(Failed, match=r"recompiled during timing \(1 graphs, 0 before\)"), subject.steady():
        module.counters["stats"]["unique_graphs"] += 1


def test_a_call_that_is_not_compiled_is_found_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As TORCH_COMPILE_DISABLE=1 does, silently."""
    monkeypatch.setattr(module, "lacking", lambda _: None)
    monkeypatch.setattr(module, "compiled", lambda call, _: call)
    record = small(tmp_path, "infer", "infer")
    assert (record.status, record.reason) == ("failed", "compile: mode not applied (no graph was compiled)")


@pytest.mark.usefixtures("eager")
def test_counters_that_tell_of_less_are_the_reason(tmp_path: Path) -> None:
    subject = called(module.apply(subject_of(tmp_path), "default"))
    assert module.prove(subject) is None
    module.counters["inductor"]["cudagraph_skips"] = 1
    assert module.prove(subject) == "mode not applied (1 graphs are run without CUDA graphs)"
    module.counters["graph_break"]["a print\nin line 3"] = 2
    assert module.prove(subject) == "2 graph breaks, first: a print"


@pytest.mark.usefixtures("eager")
def test_weights_that_are_not_frozen_are_found_out(tmp_path: Path) -> None:
    subject = subject_of(tmp_path, modes={"compile": "freezing"})
    before = subject.model.body[1].running_var.clone()
    subject = called(module.apply(subject, "freezing"))
    assert module.prove(subject) == "mode not applied (batch norms still read their statistics)"
    assert torch.equal(subject.model.body[1].running_var, before)


@pytest.mark.usefixtures("eager")
def test_products_in_another_type_than_the_networks_are_found_out(tmp_path: Path) -> None:
    subject = subject_of(tmp_path, modes={"amp": "bfloat16", "compile": "default"})
    plain = subject.call
    subject = called(module.apply(amp.apply(subject, "bfloat16"), "default"))
    assert module.prove(subject) is None
    reason = module.prove(replace(subject, call=plain))
    assert reason == "2 of 2 products ran in float32"


@pytest.mark.parametrize(
    ("option", "reason"),
    [
        ({"mod": "default"}, "compile: unknown key 'mod'; did you mean 'mode'?"),
        ({"mode": "max-autotun"}, "compile: unknown mode 'max-autotun'; did you mean 'max-autotune'?"),
        ({"freezing": 1}, "compile: freezing is true or false, and options is a table of inductor's options"),
        (
            {"options": {"reorder_for_peak_memry": False}},
            "compile.options: inductor has no option 'reorder_for_peak_memry'; did you mean 'reorder_for_peak_memory'?",
        ),
        ({"options": {"qqqq": 1}}, "compile.options: inductor has no option 'qqqq'; torch._inductor.config lists them"),
        ({"options": {"reorder_for_peak_memory": "no"}}, "compile.options: Unexpected type of attr"),
    ],
    ids=str,
)
def test_a_table_that_is_wrong_is_one_clear_line(tmp_path: Path, option: dict[str, Any], reason: str) -> None:
    record = small(tmp_path, "infer", "infer", modes={"compile": option})
    assert record.status == "failed"
    assert record.reason.startswith(reason)


def test_a_table_becomes_inductors_options() -> None:
    own = {"reorder_for_peak_memory": False}
    table = {"mode": "max-autotune", "freezing": True, "options": own}
    options = module.inductor_options(table)
    assert options.items() >= {"freezing": True, "max_autotune": True, "reorder_for_peak_memory": False}.items()
    assert module.inductor_options("default") == {}
    assert module.inductor_options("freezing") == {"freezing": True}
    assert module.inductor_options("reduce-overhead") == {module.GRAPHS: True}


@pytest.mark.usefixtures("eager")
@pytest.mark.parametrize("option", ["reduce-overhead", {"mode": "reduce-overhead"}])
def test_cuda_graphs_need_cuda(tmp_path: Path, option: Any) -> None:
    record = small(tmp_path, "infer", "infer", modes={"compile": option})
    assert record.status == "skipped"
    assert record.reason == "reduce-overhead replays CUDA graphs, and this job runs on cpu"


@pytest.mark.usefixtures("eager")
def test_frozen_weights_cannot_be_trained(tmp_path: Path) -> None:
    record = small(tmp_path, "train", "train_time", modes={"compile": "freezing"})
    assert (record.status, record.reason) == ("skipped", "freezing makes the weights constants: for inference only")


def test_without_a_compiler_the_mode_is_unavailable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module.shutil, "which", lambda _: None)
    said = r"^no C\+\+ compiler for inductor on CPU \(g\+\+ not found\)$"
    with module.config.patch({"cpp.cxx": (None, "g++")}), pytest.raises(Unavailable, match=said):
        module.apply(subject_of(tmp_path), "default")


@pytest.mark.parametrize(
    ("found", "capability", "reason"),
    [
        (None, (9, 0), "no Triton for inductor on cuda (triton not installed)"),
        (object(), (6, 1), "compute capability 6.1 < 7.0 (Triton)"),
        (object(), (9, 0), None),
    ],
)
def test_on_cuda_it_needs_triton(
    monkeypatch: pytest.MonkeyPatch, found: object, capability: tuple[int, int], reason: str | None
) -> None:
    monkeypatch.setattr(module.importlib.util, "find_spec", lambda _: found)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: capability)
    assert module.lacking(torch.device("cuda")) == reason


@pytest.mark.skipif(module.lacking(torch.device("cpu")) is not None, reason="no C++ compiler")
def test_inductor_freezes_compiles_cold_and_then_warm(tmp_path: Path) -> None:
    """The one test that generates code: weights are constants, and the second round finds the first one's caches."""
    modes = {"channels_last": True, "amp": "bfloat16", "compile": "freezing"}
    costs = {}
    for number, state in enumerate(("cold", "warm")):
        record = small(tmp_path, "infer", "compile_time", modes=modes, round=number)
        assert (record.status, record.reason) == ("ok", "")
        found = by_name(record)
        assert 0 < (found["error"].value or 0) < 3e-2
        costs[state] = found[f"compile_time.{state}"].value or 0
    assert costs["cold"] > costs["warm"] > 0
