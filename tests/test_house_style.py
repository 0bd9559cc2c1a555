"""Measures of size, and the places at which any error may be caught."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FILES = sorted(file for folder in ("bench", "archs", "tests") for file in (ROOT / folder).rglob("*.py"))

LONGEST_FILE = 400
LONGEST_FUNCTION = 60

BOUNDARIES = {"bench/worker/work.py", "bench/cli.py"}
"""A network's error is its job's result; a bug of our own must not end with an exit code that means a verdict."""


def shown(file: Path) -> str:
    return str(file.relative_to(ROOT))


def tree(file: Path) -> ast.Module:
    return ast.parse(file.read_text(encoding="utf-8"))


@pytest.mark.parametrize("file", FILES, ids=shown)
def test_files_and_functions_are_short(file: Path) -> None:
    assert len(file.read_text(encoding="utf-8").splitlines()) <= LONGEST_FILE
    functions = [node for node in ast.walk(tree(file)) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    long = [f.name for f in functions if (f.end_lineno or f.lineno) - f.lineno + 1 > LONGEST_FUNCTION]
    assert long == []


def catches_everything(handler: ast.ExceptHandler) -> bool:
    names = {node.id for node in ast.walk(handler.type) if isinstance(node, ast.Name)} if handler.type else set()
    return handler.type is None or bool(names & {"Exception", "BaseException"})


def test_any_error_is_caught_at_the_boundaries_alone() -> None:
    found = [
        shown(file)
        for file in FILES
        if not shown(file).startswith("tests/")
        for node in ast.walk(tree(file))
        if isinstance(node, ast.ExceptHandler) and catches_everything(node)
    ]
    assert sorted(found) == sorted(BOUNDARIES)


def test_classes_are_not_managers() -> None:
    words = ("Manager", "Runner", "Context", "Helper", "Util")
    names = [n.name for f in FILES for n in ast.walk(tree(f)) if isinstance(n, ast.ClassDef)]
    assert [name for name in names if name.endswith(words)] == []
    assert [shown(f) for f in FILES if f.stem in {"utils", "helpers", "common", "base", "manager", "handler"}] == []
