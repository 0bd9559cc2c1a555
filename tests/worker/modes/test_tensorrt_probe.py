"""Whether TensorRT can run here: every answer of the probe, cheapest question first."""

import importlib.util
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from faked_tensorrt import write_package

from bench.worker.modes import tensorrt

Install = Callable[..., None]


@pytest.fixture
def cuda(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the probe asks for first; nothing else may believe it."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Has torch_tensorrt found, as code of one's own; it must never be imported into this process."""

    def installed(version: str, code: str = "raise SystemExit") -> None:
        write_package(tmp_path, version, code)
        monkeypatch.syspath_prepend(tmp_path)

    return installed


def test_without_a_device_nothing_else_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(tensorrt, "_not_imported", pytest.fail)
    assert tensorrt.probe() == "no CUDA device"


@pytest.mark.usefixtures("cuda")
@pytest.mark.parametrize(
    ("version", "reason"),
    [
        ("2.11.0+cu130", "torch_tensorrt not installed (pip install torch-tensorrt==2.11.* for torch 2.11)"),
        ("2.10.0", "torch_tensorrt not installed (there is none for torch 2.10; 2.11 to 2.14 are supported)"),
    ],
)
def test_a_missing_package_comes_with_what_to_type(version: str, reason: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    monkeypatch.setattr(torch, "__version__", version)
    assert tensorrt.probe() == reason


@pytest.mark.usefixtures("cuda")
@pytest.mark.parametrize(
    ("package", "running", "reason"),
    [
        ("2.13.0", "2.11.0+cu130", "torch_tensorrt 2.13.0 needs torch 2.13, found 2.11.0"),
        ("2.11.0", "2.13.0+cpu", "torch_tensorrt 2.11.0 needs torch 2.11, found 2.13.0"),
        ("2.15.0", "2.15.0", "torch_tensorrt 2.15.0 is not supported, 2.11 to 2.14 are"),
    ],
)
def test_versions_that_do_not_go_together_are_never_imported(
    package: str, running: str, reason: str, install: Install, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(package)
    monkeypatch.setattr(torch, "__version__", running)
    monkeypatch.setattr(tensorrt, "_not_imported", pytest.fail)
    assert tensorrt.probe() == reason
    assert "torch_tensorrt" not in sys.modules


@pytest.mark.usefixtures("cuda")
def test_the_libraries_have_a_pair_too(install: Install, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install("2.11.0")
    (tmp_path / "tensorrt-11.0.0.dist-info").mkdir()
    (tmp_path / "tensorrt-11.0.0.dist-info" / "METADATA").write_text("Name: tensorrt\nVersion: 11.0.0\n")
    monkeypatch.setattr(torch, "__version__", "2.11.0")
    assert tensorrt.probe() == "torch_tensorrt 2.11.0 needs TensorRT 10.15, found 11.0.0"


@pytest.mark.usefixtures("cuda")
def test_the_other_flavour_is_not_taken_for_it(
    install: Install, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install("2.11.0")
    shutil.rmtree(tmp_path / "torch_tensorrt-2.11.0.dist-info")
    monkeypatch.setattr(torch, "__version__", "2.11.0")
    assert "another runtime" in (tensorrt.probe() or "")


NO_LIBRARIES = """
print("import error when try to import _TensorRTProxyModule, got error ...")
raise Exception("import error when try to import _TensorRTProxyModule, got error Could not find libnvinfer.so.10\\n"
                "  Search paths: ['/usr/local/cuda-13.0/lib64', '/usr/lib', '/usr/lib64']")
"""

NO_BUILDER = """
import sys, types
def builder(_):
    print("Unable to load library: libnvinfer_builder_resource_sm90.so.10.15.1", file=sys.stderr)
    raise TypeError("pybind11::init(): factory function returned nullptr")
def logger(_): ...
logger.ERROR = 1
sys.modules["tensorrt"] = types.SimpleNamespace(Builder=builder, Logger=logger)
"""

NO_CUDA = 'raise OSError("libcudart.so.13: cannot open shared object file: No such file or directory")'


@pytest.mark.usefixtures("cuda")
@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ('print("chatter")', None),
        (NO_LIBRARIES, "TensorRT libraries missing (libnvinfer.so.10 not found)"),
        (NO_BUILDER, "no builder resource for sm90 (libnvinfer_builder_resource_sm90.so)"),
        (
            NO_CUDA,
            "torch_tensorrt cannot be imported (OSError: libcudart.so.13: cannot open shared object file: "
            "No such file or directory)",
        ),
        ("import os; os.kill(os.getpid(), 11)", "the import of torch_tensorrt was killed by signal 11"),
        ("import time; time.sleep(60)", "torch_tensorrt was not imported within 2 s"),
    ],
    ids=["prints", "no libraries", "no builder", "another library", "dies", "hangs"],
)
def test_the_import_is_tried_in_another_process(
    code: str,
    reason: str | None,
    install: Install,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    install("2.13.0", code)
    monkeypatch.setattr(torch, "__version__", "2.13.0+cu132")
    if "sleep" in code:
        monkeypatch.setattr(tensorrt, "LIMIT", 2.0)
    assert tensorrt.probe() == reason
    assert "torch_tensorrt" not in sys.modules
    assert capfd.readouterr() == ("", ""), "what it prints must not reach our output"
