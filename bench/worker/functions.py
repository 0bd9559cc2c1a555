"""A project's Python code as a hash: what its files do where they are imported, and the functions that ran.

What runs on the meta device is not all that runs later: a kernel of one device, a backward. So the functions and
classes that are named by what ran are taken in too. That may take in too much, and a cell is measured for nothing; too
little would let a change pass unseen.
"""

import dis
import enum
import inspect
import re
import sys
import sysconfig
from argparse import Namespace
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from os import sep
from os.path import realpath
from pathlib import Path, PurePath
from types import CodeType, FrameType, FunctionType, MethodType, ModuleType, SimpleNamespace
from typing import Any

import torch

import bench
from bench.record import digest
from bench.worker.sources import definitions, done_by, source_of

PLAIN = (bool, int, float, complex, str, bytes, type(None))

PRINTED = (PurePath, torch.dtype, torch.device, torch.layout, torch.memory_format, slice, range)
"""Types whose text says all of a value."""

SETS, LISTS = (set, frozenset), (list, tuple, deque)
NAMESPACES = (SimpleNamespace, Namespace)

OWN = frozenset(vars(torch.nn.Module()))
"""What every module holds; its parameters, buffers and parts show in the wiring."""

LIBRARIES = tuple(realpath(folder) + sep for folder in (sysconfig.get_path("stdlib"), *torch.__path__, *bench.__path__))
PACKAGES = ("site-packages", "dist-packages")

DEPTH = 6
"""Levels of a value that are looked at."""

DOCSTRING = getattr(inspect, "CO_HAS_DOCSTRING", 0)
"""Flag of a code object whose first constant is its docstring; 0 where Python (before 3.14) has none."""

ADDRESS = re.compile("0x[0-9a-f]+", re.IGNORECASE)
"""Where an object lies in memory, as it prints that."""

Used = tuple[Any, Collection[str]]
"""A value, and names of which some may be used of it."""


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
            inside = real.startswith(self.package + sep) and not installed(real.removeprefix(self.package))
            ours = real == self.package or inside  # but for an environment that lies in the project's folder
            other = file.startswith("<") or real.startswith(LIBRARIES) or bool(installed(real))
            self._files[file] = ours or not other
        return self._files[file]

    def imported(self) -> dict[str, ModuleType]:
        """The project's modules in this process, by name: what one network imports where no other one was built."""
        return {name: one for name, one in [*sys.modules.items()] if (file := _file(one)) and self.counts(file)}

    def files(self) -> set[str]:
        """Where what ran is written, and what was imported."""
        written = {code.co_filename for code, _, _ in self.ran.values()}
        return {realpath(file) for file in written | {*map(_file, self.imported().values())}}

    def described(self, value: Any, depth: int = DEPTH) -> Any:
        """A value as plain data, the same in every process and for every place of the checkout."""
        if isinstance(value, str):
            return repr(_without(self.roots, value))
        if isinstance(value, PLAIN):
            return repr(value)
        if isinstance(value, PRINTED):
            return _without(self.roots, str(value))
        if depth and isinstance(value, SETS + LISTS):
            inner = [self.described(one, depth - 1) for one in value]
            return [type(value).__name__, sorted(inner, key=repr) if isinstance(value, SETS) else inner]
        if depth and isinstance(value, Mapping):
            return [[self.described(one, depth - 1) for one in item] for item in value.items()]
        if isinstance(value, torch.Tensor):
            return ["Tensor", str(value.dtype), list(value.shape)]
        if isinstance(value, ModuleType):
            return value.__name__
        return [_kind(value), *(self.described(one, depth - 1) for one in self._held(value))] if depth else _kind(value)

    def _held(self, value: Any) -> Iterator[Any]:
        """What a class, a function or an object holds, as far as the project may have put it there."""
        if isinstance(value, type):
            yield from (self.values_of(kind) for kind in value.__mro__)
        elif isinstance(value, FunctionType):
            if self.counts(value.__code__.co_filename):
                yield from (value.__defaults__, value.__kwdefaults__, _cells(value), vars(value))
        elif isinstance(value, partial):
            yield from (value.func, value.args, value.keywords)
        elif isinstance(value, enum.Enum):
            yield from (value.name, value.value)
        elif hasattr(value, "__qualname__"):
            yield getattr(value, "__self__", None)
        else:
            yield from self._state(value)

    def _state(self, value: Any) -> Iterator[Any]:
        """What is in an object of a class of the project, or in one that says all in what it prints."""
        if type(value).__module__ == "numpy" and hasattr(value, "tolist"):
            yield value.tolist()
        elif isinstance(value, torch.nn.Module):
            yield from (type(value), {key: one for key, one in vars(value).items() if key not in OWN})
        elif self._defines(type(value)) or isinstance(value, NAMESPACES):
            yield from (type(value), object.__getstate__(value))
        elif object.__getstate__(value) is None:
            yield ADDRESS.sub("", repr(value))

    def _defines(self, kind: type | ModuleType) -> bool:
        """Whether a class or a module is the project's."""
        module = kind if isinstance(kind, ModuleType) else sys.modules.get(kind.__module__)
        return bool(file := _file(module)) and self.counts(file)

    def values_of(self, kind: type) -> dict[str, Any]:
        """What a class of the project holds besides functions."""
        if not self._defines(kind):
            return {}
        return {key: value for key, value in vars(kind).items() if not key.startswith("__") and not _functions(value)}

    def hashed(self, named_by: Iterable[Any] = (), apart: Iterable[int] = ()) -> str:
        """Hash of the project's imported files, of what ran, and of the functions that these and `named_by` name.

        Comments, docstrings, the order and place of functions, and where the checkout lies do not count; nor does what
        is `apart`, ids of code, unless it is called where a file is imported.
        """
        files = {name: (module, done_by(source_of(_file(module)))) for name, module in self.imported().items()}
        called = [(vars(m)[one], done.names) for m, done in files.values() for one in done.names if one in vars(m)]
        used = [*((value, ()) for value in named_by), *(one for of in self.ran.values() for one in _named(*of))]
        found = {key: self._entry(*of) for key, of in self.ran.items()}
        for function in (*self._reached(called, set()), *self._reached(used, {*apart})):
            found[id(function.__code__)] = self._entry(function.__code__, function.__globals__, _cells(function))
        statements = {name: done.statements for name, (_, done) in files.items()}
        return digest([sorted(digest(entry) for entry in found.values()), statements])

    def _entry(self, code: CodeType, scope: Mapping[str, Any], free: Mapping[str, Any]) -> list[Any]:
        """What a function does, what was done where it was defined, and the values outside of it that it names."""
        names = _names(code)
        outside = {name: scope[name] for name in names if name in scope} | dict(free)
        modules = [*outside.values()]
        while modules:
            module = modules.pop()
            if isinstance(module, ModuleType) and self._defines(module):
                inner = {f"{module.__name__}.{name}": vars(module)[name] for name in names if name in vars(module)}
                modules += [value for name, value in inner.items() if name not in outside]
                outside |= inner
        values = {name: self.described(value) for name, value in sorted(outside.items()) if name != "__builtins__"}
        defined = definitions(source_of(code.co_filename)).get(code.co_firstlineno)
        return [self._instructions(code), defined, values]

    def _instructions(self, code: CodeType) -> list[Any]:
        """The bytecode with names and constants in the place of their indices, which a docstring moves."""
        plain: list[Any] = [code.co_qualname, code.co_flags & ~DOCSTRING, code.co_varnames[: _arguments(code)]]
        for one in dis.get_instructions(code):
            value = self._instructions(one.argval) if isinstance(one.argval, CodeType) else self.described(one.argval)
            plain.append([one.opname, value])
        return [*plain, code.co_exceptiontable.hex()]

    def _reached(self, used: Iterable[Used], done: set[int]) -> list[FunctionType]:
        """Functions of the project that can be come to by names, but for those whose code is done."""
        found: list[FunctionType] = []
        waiting = [one for value, names in used for one in self._within(value, names, done)]
        while waiting:
            function = waiting.pop()
            if id(function.__code__) in done or not self.counts(function.__code__.co_filename):
                continue
            done.add(id(function.__code__))
            found.append(function)
            inner = _named(function.__code__, function.__globals__, _cells(function))
            waiting += [one for value, names in inner for one in self._within(value, names, done)]
        return found

    def _within(self, value: Any, names: Collection[str], done: set[int], depth: int = DEPTH) -> Iterator[FunctionType]:
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


def _file(module: Any) -> str:
    """Where a module was read from; empty where that is no file."""
    file = getattr(module, "__dict__", {}).get("__file__")  # not its attribute, which one that is lazy would import for
    return file if isinstance(file, str) else ""


def _kind(value: Any) -> str:
    """The name of a class or a function, else of a value's class."""
    named = value if hasattr(value, "__qualname__") else type(value)
    return f"{getattr(named, '__module__', '')}.{named.__qualname__}"


def _names(code: CodeType) -> set[str]:
    """What a function and those within it name."""
    inner = [_names(one) for one in code.co_consts if isinstance(one, CodeType)]
    return {*code.co_names}.union(*inner)


def _named(code: CodeType, scope: Mapping[str, Any], free: Mapping[str, Any]) -> list[Used]:
    """The values outside of a function that it names."""
    names = _names(code)
    return [(value, names) for value in (*(scope[name] for name in names if name in scope), *free.values())]


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
