"""A network that needs a package which cannot be imported: its cells say so, and everything else is measured."""

from pathlib import Path

import pytest
from command_line import HEAD, PROTOCOL, Done, Project, hourglass

from bench import store

ARCH = '''"""A convolution of a package that is optional."""

{imports}
from torch import nn

NEEDS = {needs}


def build(joints: int = 16) -> nn.Module:
    """One convolution."""
    return nn.Conv2d(3, joints, 1)
'''

LINE = "pip install 'no_such_package'"

ABSENT = ARCH.format(imports="import no_such_package", needs={"no_such_package": LINE})

BUILT_OTHERWISE = ARCH.format(imports="import built_otherwise", needs={"built_otherwise": LINE})
"""Its package is there and raises what torchvision does beside another build of torch."""

RAISES = "raise RuntimeError('operator torchvision::nms does not exist\\nand more')\n"

MISTYPED = ARCH.format(imports="import mistyped", needs={})

WHY = "no_such_package cannot be imported (ModuleNotFoundError: No module named 'no_such_package')"
WHY = f"unavailable: {WHY}; {LINE}"
WHY_NOT = "built_otherwise cannot be imported (RuntimeError: operator torchvision::nms does not exist)"
WHY_NOT = f"unavailable: {WHY_NOT}; {LINE}"

TRAINED = """
[train]
recipe  = "adam_short"
batch   = 2
samples = 4
"""


def variant(arch: str, extra: str = "optional = true") -> str:
    return f'\n[[variants]]\nname = "{arch}"\narch = "{arch}"\noptions = {{ joints = 16 }}\n{extra}\n'


def filled(folder: Path) -> Project:
    """A project with the architectures above."""
    project = Project(folder)
    for name, text in (("absent", ABSENT), ("otherwise", BUILT_OTHERWISE), ("mistyped", MISTYPED)):
        project.write(f"archs/{name}.py", text)
    project.write("built_otherwise.py", RAISES)
    return project


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return filled(tmp_path)


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> tuple[Project, Done]:
    """A run of every phase but accuracy, by real workers; accuracy is another profile's."""
    project = filled(tmp_path_factory.mktemp("unavailable"))
    head = HEAD.replace('"infer"', '"infer", "train_time"')
    profile = '\n[profiles.accuracy]\nmeasures = ["accuracy"]\n'
    text = head + TRAINED + hourglass("a", 4) + variant("absent") + variant("otherwise") + PROTOCOL + profile
    project.suite(text)
    return project, project.bench("run", "tiny")


def test_the_run_is_fine_and_the_others_are_measured(ran: tuple[Project, Done]) -> None:
    project, done = ran
    assert done.code == 0, done.err
    records = store.read(project.runs[0]).records
    phases = {name: {r.job.phase: r.status for r in records if r.job.variant == name} for name in ("a", "absent")}
    assert phases["a"] == {"static": "ok", "infer": "ok", "train": "ok", "accuracy": "skipped"}
    assert phases["absent"] == dict.fromkeys(phases["a"], "skipped")
    assert {r.reason for r in records if r.job.variant == "absent"} == {WHY}
    assert {r.reason for r in records if r.job.variant == "otherwise"} == {WHY_NOT}
    assert all("trains it" in r.reason for r in records if (r.job.variant, r.job.phase) == ("a", "accuracy"))


def test_the_reason_is_said_and_stands_under_every_table(ran: tuple[Project, Done]) -> None:
    _, done = ran
    assert f"absent: {WHY}" in done.said
    assert f"otherwise: {WHY_NOT}" in done.said
    page = " ".join(done.out.split())
    assert page.count(WHY) >= 3 and page.count(WHY_NOT) >= 3
    assert "Traceback" not in done.out + done.err


def test_no_worker_is_started_for_what_is_not_here(ran: tuple[Project, Done]) -> None:
    project, _ = ran
    assert not any(r.log for r in store.read(project.runs[0]).records if r.job.variant in ("absent", "otherwise"))


def test_what_is_not_optional_was_not_measured(project: Project) -> None:
    project.suite(HEAD.replace(', "infer"', "") + hourglass("a", 4) + variant("absent", extra="") + PROTOCOL)
    done = project.bench("run", "tiny")
    assert done.code == 4, done.err
    assert LINE in " ".join(done.out.split())


def test_a_dry_run_and_a_check_say_it(project: Project) -> None:
    project.suite(HEAD + hourglass("a", 4) + variant("absent") + PROTOCOL)
    dry = project.bench("run", "tiny", "--dry-run")
    assert (dry.code, dry.said[0]) == (0, f"absent: {WHY}")
    assert len(dry.out.splitlines()) == 4, "the plan is the suite's, whatever is here"
    checked = project.bench("check", "tiny")
    assert (checked.code, checked.out) == (0, "")
    assert checked.err.splitlines() == ["tiny: ok", f"tiny: absent: {WHY}"]


def test_show_says_what_is_needed_without_importing_it(project: Project) -> None:
    done = project.bench("show", "absent")
    assert done.code == 0
    assert done.out.splitlines()[-1] == f"needs no_such_package: {LINE}"


@pytest.mark.parametrize("extra", ["", "optional = true"], ids=["declared", "optional"])
def test_an_import_that_fails_in_the_file_itself_is_a_failure(project: Project, extra: str) -> None:
    project.suite(HEAD + hourglass("a", 4) + variant("mistyped", extra) + PROTOCOL)
    done = project.bench("run", "tiny")
    assert done.code == 2
    assert "variant 'mistyped': ModuleNotFoundError: No module named 'mistyped'" in done.err
    assert project.runs == []


def test_a_gate_against_a_baseline_without_it_passes(ran: tuple[Project, Done]) -> None:
    """As a baseline of counts is kept: by somebody who does not have the package either."""
    project, _ = ran
    again = project.bench("run", "tiny", "--measure", "params", "--results", "counts")
    assert again.code == 0, again.err
    done = project.bench(
        *("gate", "tiny", "--baseline", str(project.runs[0]), "--measure", "params", "--results", "counts")
    )
    assert done.code == 0, done.out + done.err
    assert WHY in " ".join(done.out.split())
