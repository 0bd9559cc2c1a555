"""A package that an architecture says it needs: absent, its jobs are skipped; any other import is its own affair."""

from pathlib import Path

import pytest
from jobs import tiny

from bench.worker.work import work


@pytest.mark.parametrize("phase", ["check", "graph", "static", "infer", "train", "accuracy"])
def test_a_package_that_is_not_here_is_unavailable_in_every_phase(phase: str, tmp_path: Path) -> None:
    file = tmp_path / "wants.py"
    file.write_text("import no_such_package\n\nNEEDS = {'no_such_package': 'pip install it'}\n\n\ndef build(): ...\n")
    record = work(tiny(phase, "params", arch="wants", arch_file=str(file), options={}))
    why = "no_such_package cannot be imported (ModuleNotFoundError: No module named 'no_such_package')"
    assert (record.status, record.reason) == ("skipped", f"unavailable: {why}; pip install it")


def test_an_import_of_the_file_itself_that_fails_is_a_failure(tmp_path: Path) -> None:
    file = tmp_path / "mistyped.py"
    file.write_text("import trch\n\nNEEDS = {'json': 'nothing: it is there'}\n\n\ndef build(): ...\n")
    record = work(tiny("static", "params", arch="mistyped", arch_file=str(file), options={}))
    assert (record.status, record.reason) == ("failed", "ModuleNotFoundError: No module named 'trch'")
