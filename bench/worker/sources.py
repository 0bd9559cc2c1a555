"""The text of Python files: what one does where it is imported, and where a function of it is defined."""

import ast
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple


def source_of(file: str) -> bytes:
    """What is in a file; nothing where it is gone by now, or no file at all."""
    try:
        return Path(file).read_bytes()
    except OSError:
        return b""


class Done(NamedTuple):
    """What a file does where it is imported.

    Attributes:
        statements: all that stands outside of functions; names: what is called there.
    """

    statements: str
    names: frozenset[str] = frozenset()


@cache
def done_by(source: bytes) -> Done:
    """What a file with this text does where it is imported; of a compiled one, all that is in it."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):
        return Done(sha256(source).hexdigest())
    imported = _Imported()
    return Done(ast.dump(imported.visit(tree)), frozenset(imported.called))


@cache
def definitions(source: bytes) -> dict[int, list[str]]:
    """First line of a function -> what is evaluated where it is defined."""
    try:
        nodes = [*ast.walk(ast.parse(source))]
    except (SyntaxError, ValueError):
        return {}
    functions = [node for node in nodes if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    return {
        min(one.lineno for one in (node, *node.decorator_list)): [ast.dump(one) for one in _evaluated(node)]
        for node in functions
    }


def _evaluated(node: ast.FunctionDef | ast.AsyncFunctionDef) -> list[ast.expr]:
    """A function's decorators and defaults."""
    return [*node.decorator_list, *node.args.defaults, *filter(None, node.args.kw_defaults)]


class _Imported(ast.NodeTransformer):
    """Takes out what does nothing where a file is imported: functions and docstrings, and classes of these alone.

    Attributes:
        called: names in what is called.
    """

    def __init__(self) -> None:
        self.called: set[str] = set()

    def visit_Call(self, node: ast.Call) -> ast.Call:
        self._calls(node.func)
        self.generic_visit(node)
        return node

    def visit_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        self._calls(*node.decorator_list)
        for one in _evaluated(node):
            self.visit(one)

    visit_AsyncFunctionDef = visit_FunctionDef

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.ClassDef | None:
        self._calls(*node.decorator_list)
        self.generic_visit(node)
        return node if node.body or node.decorator_list or node.keywords else None

    def visit_Expr(self, node: ast.Expr) -> ast.AST | None:
        return None if isinstance(node.value, ast.Constant) else self.generic_visit(node)

    def visit_Pass(self, _: ast.Pass) -> None:
        return None

    def visit_If(self, node: ast.If) -> ast.AST | None:
        script = not node.orelse and ast.unparse(node.test) == "__name__ == '__main__'"
        return None if script else self.generic_visit(node)

    def _calls(self, *expressions: ast.expr) -> None:
        for node in (one for expression in expressions for one in ast.walk(expression)):
            if isinstance(node, ast.Name | ast.Attribute):
                self.called.add(node.id if isinstance(node, ast.Name) else node.attr)
