"""Whatever a network does, the run goes on, the table says why a figure is missing, and the exit code tells."""

import json
from pathlib import Path

import pytest
from command_line import HEAD, PROTOCOL, Done, Project, Typed, acts, copy_of_program

from bench import store

ONLY_INFER = HEAD.replace('"params", "infer"', '"infer"')

GOES_WRONG = '''"""Goes wrong as it is told, but not where shapes are computed."""

import os
import signal

import torch
from torch import nn


class Net(nn.Module):
    def __init__(self, do: str, joints: int) -> None:
        super().__init__()
        self.do = do
        self.conv = nn.Conv2d(3, joints, 3, padding=1)

    def forward(self, image: torch.Tensor) -> list[torch.Tensor]:
        out = self.conv(image)
        if image.device.type != "meta":
            if self.do == "raise":
                raise ValueError("the middle layer is missing")
            if self.do == "allocate":
                torch.empty(1 << 48)
            if self.do == "die":
                os.kill(os.getpid(), signal.SIGKILL)
            if self.do == "nan":
                return [out * float("nan")]
        return [out]


def build(do: str = "", joints: int = 16) -> nn.Module:
    """One convolution."""
    return Net(do, joints)
'''


@pytest.fixture(scope="module")
def wrong(tmp_path_factory: pytest.TempPathFactory) -> tuple[Project, Done]:
    """A run by real workers in which every network but one goes wrong."""
    project = Project(tmp_path_factory.mktemp("wrong"))
    project.write("archs/goes_wrong.py", GOES_WRONG)
    variants = acts(a="", raises="raise", absurd="allocate", dies="die", nan="nan").replace("scripted", "goes_wrong")
    project.suite(ONLY_INFER + variants + PROTOCOL)
    return project, project.bench("run", "tiny")


def test_the_run_goes_on(wrong: tuple[Project, Done]) -> None:
    project, done = wrong
    assert done.code == 5, done.err
    records = store.read(project.runs[0]).records
    outcomes = {record.job.variant: (record.status, record.attempt) for record in records}
    assert outcomes["a"] == ("ok", 1)
    assert outcomes["raises"] == ("failed", 1)
    assert outcomes["absurd"] == ("oom", 1)
    assert outcomes["dies"] == ("crashed", 2)
    assert outcomes["nan"][0] in ("failed", "ok")
    assert len(records) == 6, "a crash is tried once more, nothing else"


def test_the_reason_stands_on_the_line_and_under_the_table(wrong: tuple[Project, Done]) -> None:
    _, done = wrong
    reasons = {
        "raises": "ValueError: the middle layer is missing",
        "absurd": "can't allocate memory",
        "dies": "killed by SIGKILL (the system may have run out of memory)",
    }
    notes = done.out[done.out.index("Inference") :]
    for variant, reason in reasons.items():
        assert any(f"{variant}/fp32/infer" in line and reason in line for line in done.err.splitlines()), variant
        assert reason in " ".join(notes.split()), variant
    row = next(line.split() for line in notes.splitlines() if line.startswith("a "))
    assert float(row[2]) > 0, "the network that is well has its figure"


def test_a_network_that_puts_out_nan_has_no_figure_that_is_ranked(wrong: tuple[Project, Done]) -> None:
    project, done = wrong
    cells = json.loads(project.bench("report", "tiny", "--format", "json").out)["cells"]
    latency = next(cell for cell in cells if (cell["variant"], cell["quantity"]) == ("nan", "latency"))
    assert latency["value"] is None or "mismatch" in latency["flags"]
    assert "nan" in done.out and "Traceback" not in done.err


def test_the_traceback_is_in_the_log_that_the_record_names(wrong: tuple[Project, Done]) -> None:
    project, _ = wrong
    record = next(r for r in store.read(project.runs[0]).records if r.job.variant == "raises")
    log = (project.results / "tiny" / record.log).read_text()
    assert "Traceback" in log and "the middle layer is missing" in log


@pytest.mark.parametrize(
    ("do", "code", "status", "reason"),
    [
        ("fail", 5, "failed", "ValueError: the middle layer is missing"),
        ("be killed", 5, "crashed", "killed by SIGKILL"),
        ("say nothing", 5, "crashed", "the worker ended with status 0 and no record"),
        ("be wrong", 5, "ok", "mismatch"),
        ("be absent", 4, "skipped", "energy: no meter here"),
    ],
)
def test_what_becomes_of_the_exit_code(
    project: Project, bench: Typed, do: str, code: int, status: str, reason: str
) -> None:
    project.suite(ONLY_INFER + acts(a="", b=do))
    done = bench("run", "tiny")
    assert done.code == code
    assert reason in done.out
    last = {record.job.variant: record for record in store.read(project.runs[0]).records}
    assert (last["a"].status, last["b"].status) == ("ok", status)
    project.suite(ONLY_INFER + acts(a="") + acts(extra="optional = true", b=do))
    done = bench("run", "tiny")
    assert done.code == 0
    assert reason in done.out


def test_failed_goes_before_not_measured(project: Project, bench: Typed) -> None:
    project.suite(ONLY_INFER + acts(a="", b="be absent", c="fail"))
    assert bench("run", "tiny").code == 5


def test_a_job_that_hangs_is_ended_at_the_timeout(project: Project, bench: Typed) -> None:
    project.suite(ONLY_INFER + acts(a="", b="hang"))
    done = bench("run", "tiny", "--timeout", "1.5")
    assert done.code == 5
    assert "no record within 1.5 s; raise --timeout" in done.out
    outcomes = [(r.job.variant, r.status) for r in store.read(project.runs[0]).records]
    assert sorted(outcomes) == [("a", "ok"), ("b", "timeout"), ("b", "timeout")]


def test_a_mode_that_is_optional(project: Project, bench: Typed) -> None:
    """The scripted worker is absent in every mode, but only the optional one is measured."""
    modes = "[modes.fp32]\n[modes.fast]\nchannels_last = true\noptional = true\n"
    project.suite(ONLY_INFER.replace("[modes.fp32]\n", modes) + acts(a="be absent"))
    assert bench("run", "tiny", "--mode", "fast").code == 0
    assert bench("run", "tiny", "--mode", "fp32").code == 4


def test_a_phase_that_has_spent_its_minutes(project: Project, bench: Typed) -> None:
    project.suite(ONLY_INFER + acts(a="", b="", c="") + "\n[budget]\ninfer = 0.0001\n")
    done = bench("run", "tiny")
    assert done.code == 4
    assert "the budget of 0.0001 min for infer (budget.infer) is spent; --resume goes on" in done.out
    assert [r.status for r in store.read(project.runs[0]).records] == ["ok", "skipped", "skipped"]


NEVER = '''"""Never available: what a measure says that cannot run here."""

from collections.abc import Iterator

from bench.errors import Unavailable
from bench.record import Value
from bench.worker.subject import Subject

PHASE = "infer"


def measure(subject: Subject) -> Iterator[Value]:
    """Says why there is nothing."""
    raise Unavailable("no meter on this machine")
    yield
'''


@pytest.fixture
def extended(tmp_path: Path) -> Path:
    """A copy of the program with that measure, and with a mode that cannot run here."""
    program = copy_of_program(tmp_path)
    worker = program / "bench" / "worker"
    (worker / "measures" / "never.py").write_text(NEVER)
    mode = (worker / "modes" / "channels_last.py").read_text()
    head, body = mode.split("def probe", 1)
    absent = f'{head}def probe() -> str | None:\n    return "no such hardware"\n\n\ndef _unused{body}'
    (worker / "modes" / "elsewhere.py").write_text(absent)
    return program


def test_a_measure_and_a_mode_that_are_not_available(project: Project, extended: Path) -> None:
    """Real workers: a measure loses only its own cells, an optional mode only its row."""
    modes = "[modes.fp32]\n[modes.absent]\nelsewhere = true\noptional = true\n"
    head = ONLY_INFER.replace('["infer"]', '["infer", "never"]').replace("[modes.fp32]\n", modes)
    project.write("archs/goes_wrong.py", GOES_WRONG)
    project.suite(head + acts(a="").replace("scripted", "goes_wrong") + PROTOCOL)
    done = project.bench("run", "tiny", program=extended)
    assert done.code == 4, done.err
    assert "never: no meter on this machine" in done.out
    assert "no such hardware" in done.out
    found = {record.job.mode: record for record in store.read(project.runs[0]).records}
    assert found["fp32"].status == "skipped" and any(v.quantity.name == "latency" for v in found["fp32"].values)
    assert (found["absent"].status, found["absent"].values) == ("skipped", [])
