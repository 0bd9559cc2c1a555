"""A project and a command line for the tests of the commands."""

import sys
from pathlib import Path

import pytest
from command_line import SCRIPTED, Done, Project, Typed

from bench.engines import local


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


@pytest.fixture
def bench(project: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Typed:
    """The command line in this process; its workers are scripted."""
    monkeypatch.setattr(local, "COMMAND", (sys.executable, str(SCRIPTED)))
    return Typed(project, monkeypatch, capsys)


@pytest.fixture(scope="session")
def measured(tmp_path_factory: pytest.TempPathFactory) -> tuple[Project, Done]:
    """A project in which its suite was run once, by real workers."""
    project = Project(tmp_path_factory.mktemp("measured"))
    return project, project.bench("run", "suites/tiny.toml")
