"""Imports point down. A file imports only from layers below its own; the worker's side is apart."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from bench import plugins

ROOT = Path(__file__).parent.parent

LAYERS = (
    {
        "errors",
        "units",
        "stats",
        "variance",
        "pairs",
        "leaderboard.eligibility",
        "draw.skeleton",
        "suite.positions",
        "suite.sweep",
    },
    {"record", "leaderboard.blocks", "sequential", "contrasts", "suite.condition"},
    {"plugins", "host", "table.cells", "table.study", "draw.charts", "suite.claim_checks"},
    {"suite.schema", "table.merge", "table.long", "table.summary"},
    {
        "trainings",
        "suite.checks",
        "suite.recipe",
        "table.comparable",
        "table.published",
        "table.grid",
        "table.lookup",
        "leaderboard.ranking",
    },
    {"store", "leaderboard.ranking"},
    {"suite", "table", "scores", "leaderboard.standings"},
    {"claims.quoted", "leaderboard", "compare.side", "ladder.combinations"},
    {"claims.effects", "own"},
    {"gate", "claims", "compare", "pick", "ladder", "pytest_benchmark_json"},
    {"compare.sources"},
    {"plan", "gate.page.rows", "gate.calibration"},
    {"engines", "renderers", "draw", "gate.page.markdown", "gate.accepted", "gate.rules"},
    {"validate", "page", "leaderboard.page", "gate.page", "gate.calibration_page", "compare.page", "claims.cards"},
    {"reuse", "leaderboard.fill", "gate.arms", "ladder.page"},
    {"ready", "gate.sitting"},
    {"gate.suspects"},
    {"api", "gate.against", "gate.baseline"},
    {"gate.again", "telling"},
    {"commands", "pytest_plugin"},
    {"cli"},
)
"""Low to high; a folder is one layer, but for the parts of one that are named here."""

SHARED = {"record", "errors", "plugins", "units", "stats"}
"""What the worker may import of the parent's side: plain data and pure functions."""


class Import(NamedTuple):
    """A module that a file imports; `typing_only` where it stands under `if TYPE_CHECKING`."""

    module: str
    line: int
    typing_only: bool


def name_of(file: Path) -> str:
    """`bench.worker.work` of bench/worker/work.py; the package of its __init__.py."""
    parts = file.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


FILES = {name_of(file): file for folder in ("bench", "archs") for file in sorted((ROOT / folder).rglob("*.py"))}


def imports(name: str) -> list[Import]:
    """Every import of a module, those inside functions too."""
    tree = ast.parse(FILES[name].read_text(encoding="utf-8"))
    guarded = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    return [
        Import(module, node.lineno, id(node) in guarded)
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for module in targets(node)
    ]


def targets(node: ast.Import | ast.ImportFrom) -> Iterator[str]:
    """The modules that a statement imports: `from bench import store` is `bench.store`."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
        return
    assert node.level == 0, "imports are absolute"
    module = node.module or ""
    for alias in node.names:
        full = f"{module}.{alias.name}"
        yield full if full in FILES else module


def layer_of(name: str) -> int:
    """The number of a parent module's layer; the package itself and __main__ are the top."""
    parts = name.split(".")[1:] or ["__main__"]
    if parts[-1] == "__main__":
        return len(LAYERS)
    longest_first = [".".join(parts[:count]) for count in range(len(parts), 0, -1)]
    found = [n for part in longest_first for n, layer in enumerate(LAYERS) if part in layer]
    assert found, f"{name}: add it to LAYERS in {Path(__file__).name}, where it belongs"
    return found[0]


PARENT = [name for name in FILES if name.startswith("bench") and not name.startswith("bench.worker")]
WORKER = [name for name in FILES if name.startswith("bench.worker")]
ARCHS = [name for name in FILES if name.startswith("archs")]


@pytest.mark.parametrize("name", PARENT)
def test_imports_point_down(name: str) -> None:
    own = layer_of(name)
    wrong = [f"{name}:{i.line} imports {i.module}" for i in ours(name) if layer_of(i.module) >= own]
    assert wrong == []


def ours(name: str) -> list[Import]:
    return [found for found in imports(name) if found.module.split(".")[0] == "bench"]


@pytest.mark.parametrize("name", PARENT)
def test_nothing_in_the_parent_imports_the_worker_or_torch(name: str) -> None:
    wrong = [i for i in imports(name) if i.module.startswith("bench.worker") or i.module.split(".")[0] == "torch"]
    assert wrong == []


@pytest.mark.parametrize("name", WORKER)
def test_the_worker_imports_plain_data_and_pure_functions_of_the_parent(name: str) -> None:
    allowed = {f"bench.{part}" for part in SHARED} | {"bench"}
    wrong = [i for i in ours(name) if not i.module.startswith("bench.worker") and i.module not in allowed]
    assert wrong == []


@pytest.mark.parametrize("name", ARCHS)
def test_architectures_know_nothing_of_bench(name: str) -> None:
    known = {"archs", "torch", *sys.stdlib_module_names, *plugins.needs(FILES[name])}
    assert [i for i in imports(name) if i.module.split(".")[0] not in known] == []


@pytest.mark.parametrize(("kind", "package"), plugins.PACKAGES.items())
def test_a_plugin_never_imports_another_of_its_kind(kind: str, package: str) -> None:
    plugged = {f"{package}.{name}" for name in plugins.names(kind)}
    wrong = [f"{name}:{i.line} imports {i.module}" for name in plugged for i in imports(name) if i.module in plugged]
    assert wrong == []


def test_nothing_imports_in_a_circle() -> None:
    # `bench` itself offers the public functions by importing them when they are first used.
    graph = {
        name: {i.module for i in imports(name) if not i.typing_only} - {"bench"} for name in FILES if name != "bench"
    }
    done: set[str] = set()

    def visit(name: str, above: tuple[str, ...]) -> None:
        assert name not in above, f"a circle: {' -> '.join((*above, name))}"
        if name not in done:
            for lower in graph.get(name, ()):
                visit(lower, (*above, name))
            done.add(name)

    for name in graph:
        visit(name, ())


def test_the_longest_way_down_is_short() -> None:
    graph = {name: {i.module for i in imports(name) if not i.typing_only} & FILES.keys() - {"bench"} for name in FILES}

    def depth(name: str) -> int:
        return 1 + max((depth(lower) for lower in graph[name]), default=0)

    assert max(depth(name) for name in FILES if name != "bench") <= 12
