"""A tiny project of one's own, and `bench` typed in it: in this process, or in one of its own."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from time import monotonic, sleep
from typing import NamedTuple

import pytest

from bench import cli

ROOT = Path(__file__).parent.parent
SCRIPTED = Path(__file__).parent / "commands" / "scripted_worker.py"

LAUNCH = f"""
import sys
from bench.engines import local
local.COMMAND = (sys.executable, {str(SCRIPTED)!r})
from bench.cli import main
main()
"""
"""The command line, with workers that need no torch."""

PROTOCOL = """
[protocol]                 # as little time as there can be
min_samples        = 3
min_seconds        = 0.0
max_seconds        = 0.1
half_width         = 0.5
warmup_calls       = 1
warmup_seconds     = 0.0
warmup_limit       = 0.02
warmup_window      = 0.01
windows            = 1
window_seconds     = 0.01
train_warmup_steps = 1
train_steps        = 2
train_seconds      = 0.0
eval_images        = 2
memory_calls       = 1
fvcore_seconds     = 0.0
"""

HEAD = """\
title    = "Tiny"
source   = "none"
task     = "pose"
measures = ["params", "infer"]
baseline = "a"
rounds   = 1

[data]
use   = "random"
size  = 16
train = 4
val   = 4

[modes.fp32]
"""

SCRIPTED_ARCH = '''"""What a scripted worker does instead of a network."""


def build(do: str = "", joints: int = 16) -> None:
    """Never called: the scripted worker reads its options."""
'''


def hourglass(name: str, features: int, extra: str = "") -> str:
    """The text of a variant: a hourglass of one level."""
    options = f"{{ stacks = 1, features = {features}, depth = 1 }}"
    return f'\n[[variants]]\nname = "{name}"\narch = "stacked_hourglass"\noptions = {options}\n{extra}\n'


def acts(extra: str = "", **variants: str) -> str:
    """The text of variants that a scripted worker plays: name -> what it does."""
    table = '\n[[variants]]\nname = "{name}"\narch = "scripted"\noptions = {{ do = "{do}" }}\n{extra}\n'
    return "".join(table.format(name=name, do=do, extra=extra) for name, do in variants.items())


TINY = HEAD + hourglass("a", 4) + hourglass("b", 8) + PROTOCOL


class Done(NamedTuple):
    """What a command answered."""

    code: int
    out: str
    err: str

    @property
    def said(self) -> list[str]:
        """The lines on stderr but for the one about the profile, which goes before any check of the networks."""
        return [line for line in self.err.splitlines() if not line.startswith("profile ")]


class Project:
    """A folder with `archs/` and `suites/`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.results = folder / "results"
        self.stage = folder / "stage"
        for name in ("archs", "suites", "stage"):
            (folder / name).mkdir()
        self.write("archs/scripted.py", SCRIPTED_ARCH)
        self.write("suites/tiny.toml", TINY)

    def write(self, name: str, text: str) -> Path:
        """A file of the project."""
        path = self.folder / name
        path.write_text(text, encoding="utf-8")
        return path

    def suite(self, text: str, name: str = "tiny") -> Path:
        """A suite of the project."""
        return self.write(f"suites/{name}.toml", text)

    @property
    def runs(self) -> list[Path]:
        """The files of its runs, oldest first."""
        return sorted(self.results.rglob("*.jsonl"))

    def start(self, *arguments: str, program: Path = ROOT, scripted: bool = False, **variables: str) -> "Running":
        """`bench` in a process of its own."""
        command = ["-c", LAUNCH] if scripted else ["-m", "bench"]
        return subprocess.Popen(
            [sys.executable, *command, *arguments],
            cwd=self.folder,
            env=self.variables(program) | variables,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def variables(self, program: Path = ROOT) -> dict[str, str]:
        """The environment of a process: this program, a page of one width."""
        ours = {"PYTHONPATH": str(program), "OMP_NUM_THREADS": "1", "COLUMNS": "120", "STAGE": str(self.stage)}
        return {name: value for name, value in os.environ.items() if name != "CI"} | ours

    def bench(self, *arguments: str, program: Path = ROOT, scripted: bool = False, **variables: str) -> Done:
        """What `bench` answers."""
        running = self.start(*arguments, program=program, scripted=scripted, **variables)
        out, err = running.communicate(timeout=120)
        return Done(running.returncode, out, err)


Running = subprocess.Popen[str]


def copy_of_program(folder: Path) -> Path:
    """A copy of the program in a folder, to add plugins to."""
    program = folder / "program"
    for part in ("bench", "archs", "suites"):
        shutil.copytree(ROOT / part, program / part, ignore=shutil.ignore_patterns("__pycache__"))
    return program


class Typed:
    """`bench` in this process: for what ends before any worker would start, or with scripted ones."""

    def __init__(self, project: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self.monkeypatch = monkeypatch
        self.capsys = capsys
        monkeypatch.chdir(project.folder)
        monkeypatch.setenv("STAGE", str(project.stage))

    def __call__(self, *arguments: str, **variables: str) -> Done:
        with self.monkeypatch.context() as patch:
            patch.setattr(sys, "argv", ["bench", *arguments])
            for name, value in variables.items():
                patch.setenv(name, value)
            with pytest.raises(SystemExit) as end:
                cli.main()
        out, err = self.capsys.readouterr()
        assert isinstance(end.value.code, int)
        return Done(end.value.code, out, err)


def until(true: Callable[[], object], seconds: float = 30.0) -> None:
    """Wait for something that will be so."""
    end = monotonic() + seconds
    while not true():
        assert monotonic() < end, "this has not come"
        sleep(0.01)


def is_running(pid: int) -> bool:
    """Whether a process lives; one that only waits to be reaped does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def files_below(folder: Path) -> Mapping[str, bytes]:
    """Every file and what is in it."""
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
