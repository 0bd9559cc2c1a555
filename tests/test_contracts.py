"""One contract per kind of plugin, over every file of the kind; and a new file is all that a new thing needs."""

import ast
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from jobs import ROOT, tiny

from bench import plugins
from bench.record import decode_record, encode

PLUGINS = [(kind, name) for kind in plugins.PACKAGES for name in plugins.names(kind)]

UNITS = {"1", "s", "byte", "image/s", "FLOP", "MAC", "%", "dB", "J", "W", "pixel"}

UNIT_WORDS = {"s", "ms", "us", "sec", "seconds", "minutes", "hours", "byte", "bytes", "kb", "mb", "gb", "mib", "gib"}
UNIT_WORDS |= {"percent", "hz", "mhz", "joule", "joules", "watt", "watts", "mac", "flop"}


def parameters(file: Path, function: str) -> list[str]:
    return list(plugins.options(file, function))


def check_arch(file: Path) -> None:
    assert all(not option.required for option in plugins.options(file, "build").values())
    if "check" in functions(file):
        assert parameters(file, "check") == ["options", "size"]
    assert all(line for line in plugins.needs(file).values()), "what to type where a package is not here"


def check_mode(file: Path) -> None:
    assert isinstance(plugins.constant(file, "ORDER"), int)
    assert set(plugins.constant(file, "PHASES")) <= {"infer", "train"}
    assert set(plugins.constant(file, "EXCLUDES")) <= set(plugins.names("mode")) - {file.stem}
    assert plugins.constant(file, "GRAD") in (None, "no_grad", "inference_mode")
    assert plugins.constant(file, "COMPILES") in (None, True)
    assert parameters(file, "probe") == []
    assert parameters(file, "prove") == ["subject"]
    assert parameters(file, "apply") == ["subject", "option"]
    assert plugins.options(file, "apply")["option"].annotation, "a suite's option is checked against it"


def check_measure(file: Path) -> None:
    phases = plugins.constant(file, "PHASE")
    assert set([phases] if isinstance(phases, str) else phases) <= {"static", "infer", "train", "accuracy"}
    assert parameters(file, "measure") == ["subject"]


def check_dataset(file: Path) -> None:
    options = plugins.options(file, "load")
    assert next(iter(options)) == "split"
    assert {"size", "count"} <= {name for name, option in options.items() if option.keyword}


def check_metric(file: Path) -> None:
    (metric,) = [node for node in tree(file).body if isinstance(node, ast.ClassDef) and node.name == "Metric"]
    methods = {node.name: [a.arg for a in node.args.args] for node in metric.body if isinstance(node, ast.FunctionDef)}
    assert methods["update"] == ["self", "output", "batch"]
    assert methods["compute"] == ["self"]
    assert parameters(file, "change") == ["of", "against"]
    assert parameters(file, "moved") == ["of", "against"]
    assert parameters(file, "blind") == ["subject"]
    assert parameters(file, "pictured") == ["metrics", "batch"]
    headline = plugins.constant(file, "HEADLINE")
    assert headline in plugins.quantities()
    assert {headline} <= set(plugins.constant(file, "BY_STACK"))
    assert all(isinstance(threshold, float) for threshold in plugins.constant(file, "THRESHOLDS"))
    assert "image" in plugins.constant(file, "KEYS")


def check_renderer(file: Path) -> None:
    assert parameters(file, "render") == ["table"]


def check_engine(file: Path) -> None:
    assert parameters(file, "execute") == ["jobs"]


def check_command(file: Path) -> None:
    (command,) = [node for node in tree(file).body if isinstance(node, ast.FunctionDef) and node.name == file.stem]
    assert any("click.command" in ast.unparse(decorator) for decorator in command.decorator_list)
    assert ast.get_docstring(command), "the command's help page begins with it"


CHECKS: dict[str, Callable[[Path], None]] = {
    "arch": check_arch,
    "mode": check_mode,
    "measure": check_measure,
    "dataset": check_dataset,
    "metric": check_metric,
    "renderer": check_renderer,
    "engine": check_engine,
    "command": check_command,
}


def tree(file: Path) -> ast.Module:
    return ast.parse(file.read_text(encoding="utf-8"))


def functions(file: Path) -> set[str]:
    return {node.name for node in tree(file).body if isinstance(node, ast.FunctionDef)}


def test_every_kind_has_a_contract_and_nearly_every_kind_a_plugin() -> None:
    assert CHECKS.keys() == plugins.PACKAGES.keys()
    assert {"arch", "mode", "measure", "dataset", "renderer", "engine", "command"} <= {kind for kind, _ in PLUGINS}


@pytest.mark.parametrize(("kind", "name"), PLUGINS)
def test_a_plugin_keeps_its_contract(kind: str, name: str) -> None:
    CHECKS[kind](plugins.path(kind, name))


@pytest.mark.parametrize(("kind", "name"), PLUGINS)
def test_the_first_line_of_a_plugin_is_its_help(kind: str, name: str) -> None:
    line = plugins.help_line(kind, name)
    assert re.fullmatch(r"[A-Z0-9].{10,118}[.?]", line), line


@pytest.mark.parametrize(("kind", "name"), PLUGINS)
def test_a_name_can_be_typed_and_imported(kind: str, name: str) -> None:
    assert re.fullmatch(r"[a-z][a-z0-9_]*", name)


def test_quantities_have_base_units_and_names_without_them() -> None:
    found = plugins.quantities()
    assert {
        "params",
        "macs",
        "flops",
        "latency",
        "throughput",
        "train_step",
        "train_epoch",
        "peak_memory",
    } <= found.keys()
    assert {name: unit for name, unit in found.items() if unit not in UNITS} == {}
    assert [name for name in found if set(re.split(r"[._]", name)) & UNIT_WORDS] == []
    assert [name for name in found if not re.fullmatch(r"[a-z][a-z0-9_]*(\.[a-z0-9_]+)*", name)] == []


def test_a_quantity_is_written_once() -> None:
    files = [plugins.path(kind, name) for kind, name in PLUGINS if kind in ("measure", "metric")]
    names = [name for file in files for name in re.findall(r'Quantity\(\s*name="([^"]+)"', file.read_text())]
    assert len(names) == len(set(names)) > 5


NEW_ARCH = '''"""Two convolutions: the smallest network that puts out a heatmap."""

from torch import nn


def build(width: int = 8, joints: int = 16) -> nn.Module:
    """A network for B 3 H W images; the output is B joints H W."""
    return nn.Sequential(nn.Conv2d(3, width, 3, padding=1), nn.ReLU(), nn.Conv2d(width, joints, 1))
'''

NEW_MEASURE = '''"""The largest layer: parameters of the biggest tensor."""

from collections.abc import Iterator

from bench.record import Quantity, Value
from bench.worker.subject import Subject

PHASE = "static"

LARGEST = Quantity(name="largest_layer", unit="1", better="lower", title="parameters of the largest tensor", exact=True)


def measure(subject: Subject) -> Iterator[Value]:
    """The number of elements of the largest parameter."""
    yield Value(quantity=LARGEST, value=max(p.numel() for p in subject.model.parameters()))
'''


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A copy of the program with one more architecture and one more measure: two files, and nothing else."""
    for folder in ("bench", "archs"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "archs" / "tiny.py").write_text(NEW_ARCH)
    (tmp_path / "bench" / "worker" / "measures" / "largest.py").write_text(NEW_MEASURE)
    return tmp_path


def test_a_new_file_is_known_without_being_imported(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plugins, "INSTALLED", project)
    assert "tiny" in plugins.names("arch", project / "suites")
    assert plugins.help_line("measure", "largest") == "The largest layer: parameters of the biggest tensor."
    assert plugins.quantities()["largest_layer"] == "1"
    options = plugins.options(plugins.path("arch", "tiny", project / "suites"), "build")
    assert {name: option.default for name, option in options.items()} == {"width": 8, "joints": 16}


def test_a_new_file_is_measured(project: Path) -> None:
    job = tiny("static", "largest", arch="tiny", arch_file=str(project / "archs" / "tiny.py"), options={"width": 4})
    done = subprocess.run(
        [sys.executable, "-m", "bench.worker"],
        input=encode(job) + b"\n",
        cwd=project,
        env=os.environ | {"PYTHONPATH": str(project)},
        capture_output=True,
        timeout=60,
        check=True,
    )
    record = decode_record(done.stdout.strip())
    assert (record.status, record.reason) == ("ok", "")
    assert [(value.quantity.name, value.value) for value in record.values] == [("largest_layer", 3 * 4 * 9)]
