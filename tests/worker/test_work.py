"""One job, start to finish, with torch: what is measured, and what becomes of everything that can go wrong."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest
import torch
from jobs import HOURGLASS, own_network, tiny
from torch import Tensor

from bench import plugins
from bench.errors import Failed, Unavailable
from bench.record import Quantity, Record, Value, decode_record, encode, fingerprints
from bench.worker import work as module
from bench.worker.subject import Subject
from bench.worker.work import work

CONVOLUTION = """
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, padding=1)
    def forward(self, image):
        return [self.conv(image)]
"""


def by_name(record: Record) -> dict[str, Value]:
    return {value.quantity.name: value for value in record.values}


def as_stored(record: Record) -> Record:
    """The record as the parent gets it."""
    return decode_record(encode(record))


def test_the_static_phase_counts() -> None:
    job = tiny("static", "params", "flops", options={"features": 64}, data={"use": "random", "size": 256})
    record = as_stored(work(job))
    assert (record.status, record.reason, record.id, record.job) == ("ok", "", job.id, job)
    assert record.fingerprints == fingerprints(job)
    found = by_name(record)
    assert found["params"].value == found["live_params"].value == found["params.trainable"].value == 6_725_248
    assert found["macs"].value == 8_779_202_560
    assert found["flops"].value == 2 * 8_779_202_560
    assert all(value.quantity.exact for value in record.values)


def test_the_infer_phase_measures() -> None:
    record = as_stored(work(tiny("infer", "infer", "eval_time", "memory")))
    assert (record.status, record.reason) == ("ok", "")
    found = by_name(record)
    assert (found["error"].value, found["error"].reason) == (None, "this mode is what the others are compared with")
    units = {name: found[name].quantity.unit for name in ("latency", "throughput", "eval_time", "peak_memory")}
    assert units == {"latency": "s", "throughput": "image/s", "eval_time": "s", "peak_memory": "byte"}
    assert all((found[name].value or 0) > 0 for name in ("latency", "throughput", "eval_time"))
    memory = found["peak_memory"]  # in a process that has freed much before, a tiny network needs no more
    assert (memory.value or 0) > 0 or memory.reason.startswith("smaller than what the worker had freed")
    assert len(found["latency"].samples) >= 6
    assert found["latency.p99"].reason.startswith("n/a (")
    assert found["device_latency"].reason == "the host is the device: latency says it"


def test_the_train_phase_measures() -> None:
    record = as_stored(work(tiny("train", "train_time", "memory")))
    assert (record.status, record.reason) == ("ok", "")
    found = by_name(record)
    assert {name: found[name].quantity.unit for name in ("train_step", "train_epoch", "data_wait")} == dict.fromkeys(
        ("train_step", "train_epoch", "data_wait"), "s"
    )
    assert found["peak_memory"].value is not None or found["peak_memory"].reason
    assert sum(found["train_step"].details["shares"].values()) == pytest.approx(1)


def test_what_was_in_effect_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("SECRET_TOKEN", "hush")
    facts = work(tiny("infer")).environment
    assert facts["threads"] == 1
    assert facts["fp32_precision"] == {"matmul": "ieee", "conv": "ieee"}
    assert facts["grad"] == "inference_mode"
    assert facts["environment"]["OMP_NUM_THREADS"] == "1"
    assert "SECRET_TOKEN" not in str(facts)
    assert facts["warm_up"]["calls"] >= 1


def test_the_builders_own_path_is_kept(tmp_path: Path) -> None:
    assert work(tiny("static", **own_network(tmp_path, CONVOLUTION))).environment["module"] == f"own_{tmp_path.name}.py"


def test_a_network_of_ones_own(tmp_path: Path) -> None:
    record = work(tiny("static", "params", "flops", **own_network(tmp_path, CONVOLUTION)))
    assert (record.status, record.reason) == ("ok", "")
    found = by_name(record)
    assert found["params"].value == 3 * 4 * 9 + 4
    assert found["macs"].value == 3 * 4 * 9 * 32 * 32


def test_a_network_that_raises_while_it_is_built(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = "def Net():\n    raise ValueError('no such backbone\\nsecond line')"
    record = work(tiny("infer", "infer", **own_network(tmp_path, code)))
    assert (record.status, record.reason, record.values) == ("failed", "ValueError: no such backbone", [])
    assert "Traceback" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("answer", "kind"), [("3", "int"), ("[]", "list"), ("[image, 'x']", "list"), ("None", "NoneType")]
)
def test_a_network_that_does_not_put_out_tensors(tmp_path: Path, answer: str, kind: str) -> None:
    code = f"class Net(nn.Module):\n    def forward(self, image):\n        return {answer}"
    record = work(tiny("infer", "infer", **own_network(tmp_path, code)))
    assert record.status == "failed"
    assert record.reason == f"forward returned {kind}: return a tensor or a list of tensors, the prediction last"


@pytest.mark.parametrize("answer", ["image", "(image, 2 * image)", "{'maps': image}"])
def test_a_tensor_a_tuple_and_a_dict_are_outputs_too(tmp_path: Path, answer: str) -> None:
    code = f"class Net(nn.Module):\n    def forward(self, image):\n        return {answer}"
    assert work(tiny("infer", "infer", **own_network(tmp_path, code))).status == "ok"


def test_a_builder_that_returns_no_module(tmp_path: Path) -> None:
    record = work(tiny("static", "params", **own_network(tmp_path, "Net = dict")))
    assert record.reason == "the builder returned dict, not a torch.nn.Module"


def test_a_state_dict_is_loaded(tmp_path: Path) -> None:
    own = own_network(tmp_path, CONVOLUTION)
    weights = {"conv.weight": torch.ones(4, 3, 3, 3), "conv.bias": torch.ones(4)}
    torch.save(weights, tmp_path / "w.pt")
    assert work(tiny("infer", "infer", weights=str(tmp_path / "w.pt"), **own)).status == "ok"
    torch.save({"other": torch.ones(1)}, tmp_path / "w.pt")
    record = work(tiny("infer", "infer", weights=str(tmp_path / "w.pt"), **own))
    assert record.status == "failed"
    assert "w.pt: weights of another architecture: conv.weight is missing, and 2 more" in record.reason


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, Callable[[Subject], Iterator[Value]]], None]:
    """Replaces what a measure does."""

    def replace_measure(name: str, function: Callable[[Subject], Iterator[Value]]) -> None:
        monkeypatch.setattr(plugins.load("measure", name), "measure", function)

    return replace_measure


ONE = Quantity(name="one", unit="1", better="none", title="one")


def raising(error: BaseException) -> Callable[[Subject], Iterator[Value]]:
    def measure(_: Subject) -> Iterator[Value]:
        yield Value(quantity=ONE, value=1)
        raise error

    return measure


def test_a_measure_that_fails_loses_only_its_own_cells(measured: Any) -> None:
    measured("eval_time", raising(ZeroDivisionError("by zero")))
    record = work(tiny("infer", "eval_time", "infer"))
    assert (record.status, record.reason) == ("failed", "eval_time: ZeroDivisionError: by zero")
    assert {"error", "one", "latency", "throughput"} <= by_name(record).keys()


@pytest.mark.parametrize(
    ("errors", "status"),
    [
        ([Unavailable("no meter"), None], "skipped"),
        ([Unavailable("no meter"), Failed("wrong")], "failed"),
        ([MemoryError("all gone"), None], "oom"),
        ([torch.OutOfMemoryError("all gone"), None], "oom"),
        ([RuntimeError("DefaultCPUAllocator: can't allocate memory: 9 bytes"), None], "oom"),
        ([RuntimeError("anything else"), None], "failed"),
    ],
    ids=str,
)
def test_the_status_says_what_kind_of_failure_it_was(
    measured: Any, errors: list[BaseException | None], status: str
) -> None:
    for name, error in zip(("eval_time", "memory"), errors, strict=True):
        if error:
            measured(name, raising(error))
    record = work(tiny("infer", "eval_time", "memory"))
    assert record.status == status
    assert record.reason.startswith("eval_time: ")


def test_an_error_without_a_message_still_has_a_reason(measured: Any) -> None:
    measured("infer", raising(AssertionError()))
    assert work(tiny("infer", "infer")).reason == "infer: AssertionError: AssertionError"


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_a_figure_that_is_not_finite_is_an_empty_cell_with_its_reason(measured: Any, number: float) -> None:
    """JSON has no such numbers; a null among the samples would even make the whole record unreadable."""
    measured("infer", lambda _: iter([Value(quantity=ONE, value=number, samples=[1.0, number])]))
    value = by_name(as_stored(work(tiny("infer", "infer"))))["one"]
    assert value.value is None
    assert value.reason == f"not a finite number ({number})"


def test_interrupts_are_not_swallowed(measured: Any) -> None:
    measured("infer", raising(KeyboardInterrupt()))
    with pytest.raises(KeyboardInterrupt):
        work(tiny("infer", "infer"))


@pytest.mark.parametrize("phase", ["infer", "train"])
@pytest.mark.parametrize(
    "modes",
    [{"amp": "bfloat16"}, {"amp": "float16"}, {"channels_last": True}, {"channels_last": True, "amp": "bfloat16"}],
    ids=str,
)
def test_modes_are_applied_and_proved(phase: str, modes: dict[str, Any]) -> None:
    measure = "infer" if phase == "infer" else "train_time"
    record = work(tiny(phase, measure, mode="fast", modes=modes))
    assert (record.status, record.reason) == ("ok", "")
    assert all("mismatch" not in value.flags for value in record.values)
    if phase == "infer" and "amp" in modes:
        error = by_name(record)["error"]
        assert error.details["dtype"] == modes["amp"]
        assert 1e-6 < (error.value or 0) < error.details["tolerance"]


def test_a_mode_that_does_nothing_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    class Nothing(torch.autocast):
        def __init__(self, kind: str, _: torch.dtype) -> None:
            super().__init__(kind, torch.bfloat16, enabled=False)

    monkeypatch.setattr(torch, "autocast", Nothing)
    record = work(tiny("infer", "infer", mode="fast", modes={"amp": "bfloat16"}))
    assert record.status == "failed"
    assert record.reason.startswith("amp: mode not applied (0 of ")
    assert "latency" not in by_name(record)


def test_a_mode_that_cannot_run_here_is_skipped_with_its_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plugins.load("mode", "amp"), "probe", lambda: "no such hardware")
    record = work(tiny("infer", "infer", mode="fast", modes={"amp": "bfloat16"}))
    assert (record.status, record.reason, record.values) == ("skipped", "no such hardware", [])


def test_modes_are_applied_in_their_own_order_not_the_suites(monkeypatch: pytest.MonkeyPatch) -> None:
    applied: list[str] = []
    for name in ("amp", "channels_last"):
        plugin = plugins.load("mode", name)

        def note(subject: Subject, _: Any, name: str = name) -> Subject:
            applied.append(name)
            return subject

        monkeypatch.setattr(plugin, "apply", note)
        monkeypatch.setattr(plugin, "prove", lambda _: None)
    work(tiny("infer", modes={"amp": "bfloat16", "channels_last": True}))
    assert applied == ["channels_last", "amp"]


def stale(subject: Subject) -> Callable[[Tensor], Any]:
    """A mode whose output buffer is filled once."""
    kept: list[Any] = []

    def call(image: Tensor) -> Any:
        if not kept:
            kept.append(subject.call(image))
        return kept[0]

    return call


def swapped(subject: Subject) -> Callable[[Tensor], Any]:
    return lambda image: [out.flip(1) for out in subject.call(image)]


@pytest.mark.parametrize(("fault", "words"), [(stale, "stale buffer"), (swapped, "relative L2")])
def test_a_mode_that_changes_the_answer_marks_every_figure(
    monkeypatch: pytest.MonkeyPatch, fault: Callable[[Subject], Callable[[Tensor], Any]], words: str
) -> None:
    plugin = plugins.load("mode", "channels_last")
    monkeypatch.setattr(plugin, "apply", lambda subject, _: replace(subject, call=fault(subject)))
    monkeypatch.setattr(plugin, "prove", lambda _: None)
    record = work(tiny("infer", "infer", mode="fast", modes={"channels_last": True}))
    found = by_name(record)
    assert record.status == "ok"
    assert all("mismatch" in value.flags for value in record.values)
    assert words in found["error"].reason + found["error"].how
    assert found["latency"].value is not None


def test_a_mode_that_fills_the_same_buffer_each_time_is_right(monkeypatch: pytest.MonkeyPatch) -> None:
    """As CUDA graphs do: the answer is right until the next call."""
    buffer: list[Tensor] = []

    def apply(subject: Subject, _: Any) -> Subject:
        def call(image: Tensor) -> Tensor:
            out: Tensor = subject.call(image)[-1]
            if not buffer:
                buffer.append(torch.empty_like(out))
            return buffer[0].copy_(out)

        return replace(subject, call=call)

    plugin = plugins.load("mode", "channels_last")
    monkeypatch.setattr(plugin, "apply", apply)
    monkeypatch.setattr(plugin, "prove", lambda _: None)
    record = work(tiny("infer", mode="fast", modes={"channels_last": True}))
    assert (record.status, by_name(record)["error"].value) == ("ok", 0)
    assert by_name(record)["error"].flags == []


def test_a_network_that_fits_is_checked_without_being_measured() -> None:
    record = work(tiny("check"))
    assert (record.status, record.reason, record.values) == ("ok", "", [])
    assert record.environment["network"]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"data": {"use": "random", "size": 30}}, "size 30x30 is not divisible by 8 (4 x 2^depth, depth 1)"),
        ({"options": HOURGLASS | {"joints": 5}}, "joints = 5: data set 'random' has 16"),
        ({"options": HOURGLASS | {"stacks": "x"}}, "TypeError"),
        ({"device": "cuda"}, "sees no CUDA device; use --device cpu"),
    ],
    ids=str,
)
def test_a_network_that_does_not_fit_is_refused_with_the_reason(
    monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any], reason: str
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    record = work(tiny("check", **changes))
    assert record.status == "failed"
    assert reason in record.reason


@pytest.mark.parametrize(
    ("outputs", "said"),
    [
        ("[maps]", ""),
        ("[maps, maps]", ""),
        ("[maps[:, :1]]", "an output is N 1 16 16, not N 16 h w"),
        ("[maps[:, :15]]", "an output is N 15 16 16, not N 16 h w"),
        ("[maps[:, :15], maps]", "an output is N 15 16 16, not N 16 h w"),
        ("[torch.cat([maps, maps[:, :1]], 1)]", "an output is N 17 16 16, not N 16 h w"),
        ("[maps.mean((2, 3))]", "an output is N 16, not N 16 h w"),
        ("[maps.mean(3)]", "an output is N 16 16, not N 16 h w"),
        ("[maps.sum().view(1)]", "an output is N , not N 16 h w"),
    ],
)
def test_a_network_that_is_scored_must_put_out_a_map_for_each_joint(tmp_path: Path, outputs: str, said: str) -> None:
    code = f"""
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 16, 3, 2, 1)
    def forward(self, image):
        maps = self.conv(image)
        return {outputs}
"""
    own = own_network(tmp_path, code)
    record = work(tiny("check", metrics=["pckh"], **own))
    hint = "data set 'random' has 16 joints; build the network with a map for each"
    assert (record.status, record.reason) == (("failed", f"{said}: {hint}") if said else ("ok", ""))
    assert work(tiny("check", **own)).status == "ok"  # nothing that is timed depends on it


def test_the_option_that_is_wrong_comes_first() -> None:
    for metrics in ([], ["pckh"]):
        record = work(tiny("check", metrics=metrics, options=HOURGLASS | {"joints": 5}))
        assert record.reason == "joints = 5: data set 'random' has 16 joints; write joints = 16"


def test_the_same_seed_gives_the_same_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    answers: list[list[Tensor]] = []
    plain = module.answers

    def keep(subject: Subject, images: list[Tensor]) -> list[Tensor]:
        answers.append(plain(subject, images))
        return answers[-1]

    monkeypatch.setattr(module, "answers", keep)
    for seed in (0, 0, 1):
        work(tiny("infer", seed=seed))
    first, again, other = answers
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not torch.equal(first[0], other[0])
    assert not torch.equal(first[0], first[1])


def test_the_job_in_the_record_is_the_job_that_was_asked() -> None:
    job = tiny("static", "params")
    assert msgspec.to_builtins(work(job).job) == msgspec.to_builtins(job)
