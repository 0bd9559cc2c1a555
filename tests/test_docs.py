"""What the documentation shows is there, and works when it is copied."""

import re
import shutil
import sys
from pathlib import Path

import pytest
from command_line import HEAD, PROTOCOL, ROOT, Project, Typed

from bench import plugins, store

README = (ROOT / "README.md").read_text(encoding="utf-8")
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")


def fenced(text: str, language: str = "") -> list[str]:
    """What stands in fences of a language; of any where none is named."""
    return [
        body
        for found, body in re.findall(r"^```(\w*)\n(.*?)^```$", text, re.M | re.S)
        if not language or found == language
    ]


def test_the_first_two_blocks_of_the_readme_are_a_line_each() -> None:
    first, second = fenced(README)[:2]
    assert first.count("\n") == second.count("\n") == 1
    for block in (first, second):
        assert block.startswith("python3 -m venv ") and "pip install -c constraints.txt " in block
    assert first.rstrip().endswith("bench run suites/stacked_speed.toml")
    assert second.rstrip().endswith("tox")


@pytest.mark.parametrize("text", [README, CONTRIBUTING], ids=["README", "CONTRIBUTING"])
def test_files_that_are_named_exist(text: str) -> None:
    named = set(re.findall(r"`((?:bench|tests|suites|docs|archs)/[\w./-]*)`", text))
    assert [name for name in named - EXAMPLES if "NAME" not in name and not (ROOT / name).exists()] == []


EXAMPLES = {"archs/tiny.py"}
"""Files that the reader is to write."""


@pytest.mark.parametrize("text", [README, CONTRIBUTING], ids=["README", "CONTRIBUTING"])
def test_commands_that_are_named_exist(text: str) -> None:
    code = " ".join([*fenced(text, "sh"), *re.findall(r"`([^`\n]+)`", text)])
    named = set(re.findall(r"(?:^|\s|/)bench ([a-z]+)\b", code))
    assert named <= set(plugins.names("command"))


def test_every_kind_of_plugin_has_its_row() -> None:
    table = "\n".join(line for line in CONTRIBUTING.splitlines() if line.startswith("|"))
    folders = {kind: package.replace(".", "/") for kind, package in plugins.PACKAGES.items() if plugins.names(kind)}
    assert [kind for kind, folder in folders.items() if f"{folder}/NAME.py" not in table] == []
    assert "suites/NAME.toml" in table and "suites/recipes/NAME.toml" in table


def test_every_contract_in_the_table_is_what_check_asks_for() -> None:
    from bench.commands.check import CONSTANTS, FUNCTIONS

    rows = {line.split("`")[1]: line for line in CONTRIBUTING.splitlines() if line.startswith("| a") and "`" in line}
    for kind, functions in FUNCTIONS.items():
        row = rows[f"{plugins.PACKAGES[kind].replace('.', '/')}/NAME.py"]
        assert all(f"{function}(" in row for function in functions), row
        assert all(f"`{constant}`" in row for constant in CONSTANTS.get(kind, ())), row


def test_every_key_of_data_and_training_is_used_in_a_suite_that_can_be_copied() -> None:
    from bench.suite.schema import Data, InferPart, TrainPart

    text = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "suites").glob("*.toml"))
    keys = {key for part in (Data, InferPart, TrainPart) for key in part.model_fields}
    assert [key for key in sorted(keys) if not re.search(rf"\b{key}\s*=", text)] == []


@pytest.fixture
def copied(tmp_path: Path) -> tuple[Project, Path]:
    """A project and a copy of the program, with the files that CONTRIBUTING.md shows."""
    project, program = Project(tmp_path), tmp_path / "program"
    for folder in ("bench", "archs", "suites"):
        shutil.copytree(ROOT / folder, program / folder, ignore=shutil.ignore_patterns("__pycache__"))
    arch, measure = fenced(CONTRIBUTING, "python")[:2]
    project.write("archs/tiny.py", arch)
    (program / "bench" / "worker" / "measures" / "largest.py").write_text(measure, encoding="utf-8")
    return project, program


def test_the_examples_work_when_they_are_copied(copied: tuple[Project, Path]) -> None:
    project, program = copied
    text = HEAD.replace('["params", "infer"]', '["params", "largest", "infer"]')
    project.suite(text + '\n[[variants]]\nname = "a"\narch = "tiny"\noptions = { width = 4 }\n' + PROTOCOL)
    done = project.bench("run", "tiny", program=program)
    assert done.code == 0, done.err
    records = {record.job.phase: record for record in store.read(project.runs[0]).records}
    values = {value.quantity.name: value.value for value in records["static"].values}
    assert values["largest_layer"] == 3 * 4 * 9
    assert values["params"] == 3 * 4 * 9 + 4 + 4 * 16 + 16
    assert records["infer"].status == "ok"
    assert "of the largest" in " ".join(done.out.split()), "the column is headed by the title of the quantity"


def test_the_examples_pass_the_check(copied: tuple[Project, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    from bench.commands.check import plugin_problems

    project, program = copied
    monkeypatch.setattr(plugins, "INSTALLED", program)
    monkeypatch.chdir(project.folder)
    assert plugin_problems("measure", "largest") == plugin_problems("arch", "tiny") == []


def test_what_bench_lists_is_named_where_a_newcomer_looks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each measure and mode that comes with bench stands in a suite that comes with it, or in the page on modes."""
    bench = Typed(Project(tmp_path), monkeypatch, capsys)
    named = "".join(bench("show", name).out for name in ("smoke", "stacked_speed"))
    named += (ROOT / "docs" / "modes.md").read_text(encoding="utf-8")
    assert [name for kind in ("measure", "mode") for name in plugins.names(kind) if name not in named] == []
    assert sys.modules.get("archs.tiny") is None
