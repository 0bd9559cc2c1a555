"""A project's Python code as a hash: the functions that ran, and those that they name, with the values that these use.

What runs on the meta device is not all that runs later: a kernel of one device, a backward. So the functions and
classes that are named by what ran are taken in too. That may take in too much, and a cell is measured for nothing; too
little would let a change pass unseen.
"""

import ast
import dis
import enum
import inspect
import sys
import sysconfig
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from os import sep
from os.path import realpath
from pathlib import Path, PurePath
from types import CodeType, FrameType, FunctionType, MethodType, ModuleType
from typing import Any

import torch

import bench
from bench.record import digest

PLAIN = (bool, int, float, complex, str, bytes, type(None))

LIBRARIES = tuple(realpath(folder) + sep for folder in (sysconfig.get_path("stdlib"), *torch.__path__, *bench.__path__))
PACKAGES = ("site-packages", "dist-packages")

DEPTH = 4
"""Levels of a value that are looked at."""

DOCSTRING = getattr(inspect, "CO_HAS_DOCSTRING", 0)
"""Flag of a code object whose first constant is its docstring; 0 where Python (before 3.14) has none."""


def installed(file: str) -> str:
    """The top-level name by which a file of an installed package is imported; empty for any other file."""
    parts = PurePath(file).parts
    found = [i for i, part in enumerate(parts) if part in PACKAGES]
    return PurePath(parts[found[-1] + 1]).stem if found and found[-1] + 1 < len(parts) else ""


class Functions:
    """Notes the Python functions of a project that run: not torch's, bench's, the library's or another package's.

    Attributes:
        ran: their code, each once; foreign: top-level names of the installed packages whose code ran.
    """

    def __init__(self, builder: Path, roots: Iterable[str] = ()) -> None:
        self.package = str(_outermost(builder))
        self.roots = sorted({path for root in roots for path in (root, realpath(root))}, key=len, reverse=True)
        self.ran: dict[int, tuple[CodeType, Mapping[str, Any], dict[str, Any]]] = {}
        self.foreign: set[str] = set()
        self._seen: dict[int, CodeType] = {}  # by id, since a code object hashes all that is in it, each time
        self._files: dict[str, bool] = {}

    def watching(self) -> AbstractContextManager[None]:
        """Note what runs within."""
        return _traced(self._called)  # not setprofile, which is told of every return and of every call of C too

    def _called(self, frame: FrameType, _: str, __: Any) -> None:
        code = frame.f_code
        if id(code) in self._seen:
            return
        self._seen[id(code)] = code
        if code.co_name == "<module>":
            return
        if self.counts(code.co_filename):
            free = {name: frame.f_locals[name] for name in code.co_freevars if name in frame.f_locals}
            self.ran[id(code)] = code, frame.f_globals, free
        elif not realpath(code.co_filename).startswith(LIBRARIES) and (name := installed(code.co_filename)):
            self.foreign.add(name)

    def counts(self, file: str) -> bool:
        """Whether a file may differ between two checkouts."""
        if file not in self._files:
            real = realpath(file)
            ours = real == self.package or real.startswith(self.package + sep)
            other = file.startswith("<") or real.startswith(LIBRARIES) or bool(installed(real))
            self._files[file] = ours or not other
        return self._files[file]

    @property
    def files(self) -> set[str]:
        """Where what ran is written."""
        return {realpath(code.co_filename) for code, _, _ in self.ran.values()}

    def described(self, value: Any, depth: int = DEPTH) -> Any:
        """A value as plain data, the same in every process and for every place of the checkout."""
        if isinstance(value, str):
            return repr(_without(self.roots, value))
        if isinstance(value, PLAIN):
            return repr(value)
        if depth and isinstance(value, list | tuple | set | frozenset):
            inner = [self.described(one, depth - 1) for one in value]
            return [type(value).__name__, sorted(inner, key=repr) if isinstance(value, set | frozenset) else inner]
        if depth and isinstance(value, Mapping):
            return [[self.described(key, 0), self.described(one, depth - 1)] for key, one in value.items()]
        return self._other(value, depth)

    def _other(self, value: Any, depth: int) -> Any:
        """What is neither text nor number nor a container."""
        if isinstance(
            value, PurePath | torch.dtype | torch.device | torch.layout | torch.memory_format | slice | range
        ):
            return _without(self.roots, str(value))
        if isinstance(value, torch.Tensor):
            return ["Tensor", str(value.dtype), list(value.shape)]
        if isinstance(value, enum.Enum):
            return str(value)
        if isinstance(value, partial):
            return ["partial", self.described(value.func), self.described(value.args), self.described(value.keywords)]
        if isinstance(value, ModuleType):
            return value.__name__
        name = getattr(value, "__qualname__", None)
        if name is not None:
            return f"{getattr(value, '__module__', '')}.{name}"
        kind = f"{type(value).__module__}.{type(value).__qualname__}"
        if type(value).__module__ == "numpy" and hasattr(value, "tolist"):
            return [kind, self.described(value.tolist())]
        if depth and self._defines(type(value)) and not isinstance(value, torch.nn.Module):
            return [kind, self.described(getattr(value, "__dict__", {}), depth - 1)]
        return kind

    def _defines(self, kind: type | ModuleType) -> bool:
        """Whether a class or a module is the project's."""
        module = kind if isinstance(kind, ModuleType) else sys.modules.get(kind.__module__)
        file = getattr(module, "__file__", None)
        return bool(file) and self.counts(str(file))

    def values_of(self, kind: type) -> dict[str, Any]:
        """What a class of the project holds besides functions."""
        if not self._defines(kind):
            return {}
        held = {key: value for key, value in vars(kind).items() if not key.startswith("__") and not _functions(value)}
        return {key: self.described(value) for key, value in held.items()}

    def hashed(self, named_by: Iterable[Any] = (), without: "Functions | None" = None) -> str:
        """Hash of what ran; with `without` also of what that and `named_by` name, but for what ran only there.

        Comments, docstrings, the order and place of definitions, and where the checkout lies do not count.
        """
        found = {key: self._entry(*of) for key, of in self.ran.items()}
        if without is not None:
            apart = without.ran.keys() - self.ran.keys()
            for function in self._reached(named_by, apart):
                found[id(function.__code__)] = self._entry(function.__code__, function.__globals__, _cells(function))
        files = self.files | (without.files if without else set())
        return digest([sorted(digest(entry) for entry in found.values()), sorted(map(effects, files))])

    def _entry(self, code: CodeType, scope: Mapping[str, Any], free: Mapping[str, Any]) -> list[Any]:
        """What a function does, its defaults, and the values outside of it that it names."""
        names = _names(code)
        outside = {name: scope[name] for name in names if name in scope} | dict(free)
        for module in [value for value in outside.values() if isinstance(value, ModuleType) and self._defines(value)]:
            outside |= {f"{module.__name__}.{name}": vars(module)[name] for name in names if name in vars(module)}
        values = {name: self.described(value) for name, value in sorted(outside.items()) if name != "__builtins__"}
        return [self._instructions(code), self._defaults(code, scope), values]

    def _defaults(self, code: CodeType, scope: Mapping[str, Any]) -> Any:
        """Of a function that its module or class holds; those of one within another are in that one's code."""
        value: Any = scope.get(code.co_qualname.partition(".")[0])
        for name in code.co_qualname.split(".")[1:]:
            value = vars(value).get(name) if isinstance(value, type) else None
        for function in _functions(value):
            if function.__code__ is code:
                return [self.described(function.__defaults__), self.described(function.__kwdefaults__)]
        return None

    def _instructions(self, code: CodeType) -> list[Any]:
        """The bytecode with names and constants in the place of their indices, which a docstring moves."""
        plain: list[Any] = [code.co_qualname, code.co_flags & ~DOCSTRING, code.co_varnames[: _arguments(code)]]
        for one in dis.get_instructions(code):
            value = self._instructions(one.argval) if isinstance(one.argval, CodeType) else self.described(one.argval)
            plain.append([one.opname, value])
        return [*plain, code.co_exceptiontable.hex()]

    def _reached(self, named_by: Iterable[Any], apart: Iterable[int]) -> list[FunctionType]:
        """Functions of the project that can be come to by names from what ran and from `named_by`."""
        done = {*apart}
        found: list[FunctionType] = []
        waiting = [one for value in named_by for one in self._within(value, set(), done)]
        for code, scope, free in self.ran.values():
            waiting += self._named(code, scope, free, done)
        while waiting:
            function = waiting.pop()
            if id(function.__code__) in done or not self.counts(function.__code__.co_filename):
                continue
            done.add(id(function.__code__))
            found.append(function)
            waiting += self._named(function.__code__, function.__globals__, _cells(function), done)
        return found

    def _named(
        self, code: CodeType, scope: Mapping[str, Any], free: Mapping[str, Any], done: set[int]
    ) -> list[FunctionType]:
        names = _names(code)
        values = [scope[name] for name in names if name in scope] + list(free.values())
        return [function for value in values for function in self._within(value, names, done)]

    def _within(self, value: Any, names: set[str], done: set[int], depth: int = DEPTH) -> Iterator[FunctionType]:
        """The functions in a value: itself, a class's and its bases', those of a module with these names, a list's."""
        if isinstance(value, type):
            for kind in value.__mro__:
                if id(kind) not in done and self._defines(kind):
                    done.add(id(kind))
                    yield from (f for one in [*vars(kind).values()] for f in _functions(one))
        elif isinstance(value, ModuleType):
            if depth and self._defines(value):
                for one in [vars(value)[name] for name in names if name in vars(value)]:
                    yield from self._within(one, names, done, depth - 1)
        elif isinstance(value, list | tuple | set | frozenset | dict):
            for one in (value.values() if isinstance(value, dict) else value) if depth else ():
                yield from self._within(one, names, done, depth - 1)
        else:
            yield from _functions(value)
            if self._defines(type(value)):
                yield from self._within(type(value), names, done)


@contextmanager
def _traced(by: Callable[[FrameType, str, Any], None] | None) -> Iterator[None]:
    """Calls within are told to `by` alone; whoever was told of them before, such as a debugger, is again afterwards."""
    before = sys.gettrace()
    sys.settrace(by)
    try:
        yield
    finally:
        sys.settrace(before)


def unwatched() -> AbstractContextManager[None]:
    """Nothing within is noted."""
    return _traced(None)


def _without(roots: Iterable[str], text: str) -> str:
    for root in roots:
        text = text.replace(root, "")
    return text


def _outermost(file: Path) -> Path:
    """The folder of the outermost package that a file belongs to; the file itself where it belongs to none."""
    folder = file
    while (folder.parent / "__init__.py").is_file():
        folder = folder.parent
    return folder


def _names(code: CodeType) -> set[str]:
    """What a function and those within it name."""
    inner = [_names(one) for one in code.co_consts if isinstance(one, CodeType)]
    return {*code.co_names}.union(*inner)


def _arguments(code: CodeType) -> int:
    return code.co_argcount + code.co_kwonlyargcount


def _cells(function: FunctionType) -> dict[str, Any]:
    """The variables of enclosing functions that a function uses."""
    found = {}
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        try:
            found[name] = cell.cell_contents
        except ValueError:  # not assigned yet
            continue
    return found


def _functions(value: Any) -> list[FunctionType]:
    """The functions behind a value: a method's, a property's, a partial's, what a decorator wraps."""
    if isinstance(value, FunctionType):
        wrapped = getattr(value, "__wrapped__", None)
        return [value, *_functions(wrapped)]
    if isinstance(value, staticmethod | classmethod | MethodType):
        return _functions(value.__func__)
    if isinstance(value, property):
        return [f for one in (value.fget, value.fset) for f in _functions(one)]
    if isinstance(value, partial):
        return _functions(value.func)
    inner = getattr(value, "__dict__", {}).get("__wrapped__")  # of functools.cache, which is no function
    return _functions(inner) if inner is not None else []


def effects(file: str) -> str:
    """What a file does where it is imported, besides defining: a setting of torch, a function put in another's place.

    Left out are constants without a call in them: these count where they are used.
    """
    try:
        body = ast.parse(Path(file).read_bytes()).body
    except (OSError, SyntaxError):  # gone by now, or no file at all: what ran of it is known
        return ""
    return digest(sorted(ast.dump(statement) for statement in body if _acts(statement)))


def _acts(statement: ast.stmt) -> bool:
    if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Import | ast.ImportFrom):
        return False
    if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant):
        return False
    if isinstance(statement, ast.Assign | ast.AnnAssign):
        targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
        calls = any(isinstance(node, ast.Call) and not _makes_plain(node) for node in ast.walk(statement))
        return calls or not all(isinstance(target, ast.Name) for target in targets)
    return True


def _makes_plain(call: ast.Call) -> bool:
    """Whether a call makes nothing but a value that can be looked at."""
    plain = ("frozenset", "set", "tuple", "list", "dict", "range", "float", "int", "str")
    return isinstance(call.func, ast.Name) and call.func.id in plain
