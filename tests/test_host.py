"""This machine and this code as facts; the driver is a stand-in with holes."""

import platform
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from fakes import NvmlError, refuse

from bench import host


def driver(**answers: Callable[..., Any]) -> SimpleNamespace:
    stub = SimpleNamespace(
        NVMLError=NvmlError,
        nvmlInit=lambda: None,
        nvmlShutdown=lambda: None,
        nvmlSystemGetDriverVersion=lambda: b"580.1",
        nvmlDeviceGetCount=lambda: 2,
        nvmlDeviceGetHandleByIndex=lambda index: index,
        nvmlDeviceGetName=lambda handle: f"Example {handle}",
        nvmlDeviceGetEnforcedPowerLimit=lambda handle: 700_000,
    )
    stub.__dict__.update(answers)
    return stub


@pytest.fixture
def use(monkeypatch: pytest.MonkeyPatch) -> Callable[[SimpleNamespace], None]:
    return lambda stub: monkeypatch.setitem(sys.modules, "pynvml", stub)


def test_devices_are_listed_with_their_limits(use: Callable[[SimpleNamespace], None]) -> None:
    use(driver())
    assert host.gpus() == [
        {"name": "Example 0", "power_limit": 700, "driver": "580.1"},
        {"name": "Example 1", "power_limit": 700, "driver": "580.1"},
    ]


def test_without_a_driver_there_are_none(use: Callable[[SimpleNamespace], None]) -> None:
    use(driver(nvmlInit=refuse))
    assert host.gpus() == []
    assert host.has_cuda() == (False, "no CUDA device here")


@pytest.mark.parametrize("call", ["nvmlSystemGetDriverVersion", "nvmlDeviceGetName", "nvmlDeviceGetEnforcedPowerLimit"])
def test_what_the_driver_does_not_answer_is_said(use: Callable[[SimpleNamespace], None], call: str) -> None:
    use(driver(**{call: refuse}))
    devices = host.gpus()
    assert len(devices) == 2
    assert any(str(value).startswith("not readable (") for value in devices[0].values())


@pytest.mark.parametrize("call", ["nvmlDeviceGetCount", "nvmlDeviceGetHandleByIndex"])
def test_a_device_that_is_not_shown_is_not_listed(use: Callable[[SimpleNamespace], None], call: str) -> None:
    use(driver(**{call: refuse}))
    assert host.gpus() == []


def test_the_identity_is_what_the_machine_is(use: Callable[[SimpleNamespace], None]) -> None:
    use(driver())
    one, again, other = host.machine(), host.machine(), host.machine(threads=99)
    assert one == again
    assert one["id"] != other["id"]
    assert len(one["id"]) == 8
    use(driver(nvmlDeviceGetName=lambda handle: "Another"))
    assert host.machine()["id"] != one["id"]


ZEN3 = {"model name": "AMD EPYC", "cpu family": "25", "model": "1", "flags": "fpu avx avx2 sse4_2"}


@pytest.mark.parametrize(
    "other", [{"model": "17"}, {"flags": "fpu avx avx2 avx512f avx512_bf16"}, {"model name": "AMD EPYC 9B14"}]
)
def test_two_processors_of_one_name_are_two_machines(monkeypatch: pytest.MonkeyPatch, other: dict[str, str]) -> None:
    monkeypatch.setattr(host, "_cpu_facts", lambda: ZEN3)
    one = host.machine()
    assert (one["cpu"], one["isa"]) == ("AMD EPYC (family 25, model 1)", "avx avx2")
    monkeypatch.setattr(host, "_cpu_facts", lambda: ZEN3 | other)
    assert host.machine()["id"] != one["id"]


def test_a_processor_that_says_little_is_named_by_its_architecture(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host, "_cpu_facts", lambda: {"Features": "fp asimd sve bf16"})
    assert (host.machine()["isa"], host.cpu_model()) == ("asimd bf16 sve", platform.processor() or platform.machine())
    monkeypatch.setattr(host, "_cpu_facts", dict)
    assert host.machine()["isa"] == ""


def git(folder: Path, *arguments: str) -> None:
    name = ["-c", "user.name=a", "-c", "user.email=a@b.c"]
    subprocess.run(["git", "-C", str(folder), *name, *arguments], check=True, capture_output=True)


def test_the_code_is_its_commit_and_what_differs_from_it(tmp_path: Path) -> None:
    git(tmp_path, "init")
    (tmp_path / "net.py").write_text("a = 1")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-m", "first")
    clean = host.source(tmp_path)
    assert (len(clean["commit"]), clean["dirty"]) == (40, "")
    (tmp_path / "net.py").write_text("a = 2")
    changed = host.source(tmp_path)
    (tmp_path / "new.py").write_text("b = 1")
    assert "" != changed["dirty"] != host.source(tmp_path)["dirty"]


def test_outside_a_checkout_the_commit_is_unknown_and_why(tmp_path: Path) -> None:
    found = host.source(tmp_path)
    assert found["commit"] == "unknown"
    assert "not a git repository" in found["why"]
