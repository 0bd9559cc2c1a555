"""Plugins by file name: where each lies, its help line and its options, read from the text without importing it.

A name in a suite or on the command line is a file name. `root` is the folder that holds the suites (`./suites`
where it is not given); a user's `archs/` beside it, its suites and its `recipes/` win over the installed ones.
"""

import sys
from collections.abc import Container, Iterable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from bench.errors import UsageError, nearest

if TYPE_CHECKING:  # ast and typing's machinery are wanted by some commands only, and `bench --help` is not one
    import ast
    from types import ModuleType

INSTALLED = Path(__file__).resolve().parent.parent

PACKAGES = {
    "arch": "archs",
    "mode": "bench.worker.modes",
    "measure": "bench.worker.measures",
    "dataset": "bench.worker.datasets",
    "metric": "bench.worker.metrics",
    "renderer": "bench.renderers",
    "engine": "bench.engines",
    "command": "bench.commands",
}
"""Kind -> package, for the kinds that are Python; suites and recipes are TOML."""

KINDS = (*PACKAGES, "suite", "recipe")

_SHARED = {("arch", "blocks")}  # a file of the folder that defines no plugin


class Option(NamedTuple):
    """A parameter as it is written in a signature.

    Attributes:
        annotation: its source text, "" where there is none.
        default: its value where it is a literal, else its source text; None where there is none.
        required: it has no default.
        keyword: it stands behind the `*`.
    """

    name: str
    annotation: str
    default: Any
    required: bool
    keyword: bool


def folders(kind: str, root: Path | None = None) -> list[Path]:
    """Where files of this kind may lie, the first wins."""
    home = (root or Path("suites")).absolute()
    if kind == "arch":
        return [home.parent / "archs", INSTALLED / "archs"]
    if kind == "suite":
        return [home, INSTALLED / "suites"]
    if kind == "recipe":
        return [home / "recipes", INSTALLED / "suites" / "recipes"]
    return [INSTALLED.joinpath(*PACKAGES[kind].split("."))]


def _files(kind: str, root: Path | None) -> dict[str, Path]:
    suffix = ".py" if kind in PACKAGES else ".toml"
    found: dict[str, Path] = {}
    for folder in folders(kind, root):
        for file in sorted(folder.glob(f"*{suffix}")):
            if not file.name.startswith("_") and (kind, file.stem) not in _SHARED:
                found.setdefault(file.stem, file)
    return found


def names(kind: str, root: Path | None = None) -> list[str]:
    """Every name of this kind, sorted."""
    return sorted(_files(kind, root))


def path(kind: str, name: str, root: Path | None = None) -> Path:
    """The file of a name.

    Raises:
        UsageError: there is none; the message has the nearest name.
    """
    files = _files(kind, root)
    if name not in files:
        raise UsageError(f"unknown {kind} '{name}'; {nearest(name, files)}")
    return files[name]


def help_line(kind: str, name: str, root: Path | None = None) -> str:
    """One line about a plugin: the first of its docstring, or the title of a suite or recipe."""
    file = path(kind, name, root)
    if kind in PACKAGES:
        import ast

        return (ast.get_docstring(_tree(file)) or "").partition("\n")[0]
    import tomllib

    text = file.read_text(encoding="utf-8")
    try:
        title = tomllib.loads(text).get("title", "")
    except tomllib.TOMLDecodeError as error:
        return f"cannot be read: {error}"  # one broken suite must not hide the others in a list
    return str(title) or _first_comment(text)


def _first_comment(text: str) -> str:
    comments = (line.strip("# ") for line in text.splitlines() if line.startswith("#") and not line.startswith("#:"))
    return next(comments, "")


def options(file: Path, function: str) -> dict[str, Option]:
    """The parameters of a module-level function, by name, in order; `*args` and `**kwargs` are left out."""
    arguments = _function(file, function).args
    positional = [*arguments.posonlyargs, *arguments.args]
    undefaulted: list[ast.expr | None] = [None] * (len(positional) - len(arguments.defaults))
    defaults = [*undefaulted, *arguments.defaults, *arguments.kw_defaults]
    return {
        argument.arg: _option(argument, default, keyword=argument in arguments.kwonlyargs)
        for argument, default in zip([*positional, *arguments.kwonlyargs], defaults, strict=True)
    }


def _option(argument: "ast.arg", default: "ast.expr | None", *, keyword: bool) -> Option:
    import ast

    annotation = ast.unparse(argument.annotation) if argument.annotation else ""
    value: Any = None
    if default is not None:
        try:
            value = ast.literal_eval(default)
        except ValueError:
            value = ast.unparse(default)
    return Option(argument.arg, annotation, value, required=default is None, keyword=keyword)


def constant(file: Path, name: str) -> Any:
    """The value of a module-level assignment such as `PHASES = ("infer",)`; None where there is none."""
    import ast

    for node in _tree(file).body:
        if isinstance(node, ast.Assign | ast.AnnAssign) and node.value and name in _targets(node):
            try:
                return ast.literal_eval(node.value)
            except ValueError:
                raise UsageError(f"{file}:{node.lineno}: {name} must be written as a literal") from None
    return None


def declared_by(modes: Iterable[str], name: str) -> list[Any]:
    """What those of these modes have as a constant of this name that have one."""
    files = _files("mode", None)
    found = (constant(files[mode], name) for mode in modes if mode in files)
    return [value for value in found if value is not None]


def needs(file: Path) -> dict[str, str]:
    """The packages that a file says it needs, by the name under which they are imported -> what to type for them.

    It says so as `NEEDS = {"timm": "pip install timm"}`; one that says nothing needs torch alone.

    Raises:
        UsageError: NEEDS is something else.
    """
    found = constant(file, "NEEDS")
    if found is None:
        return {}
    if not isinstance(found, dict) or not all(isinstance(text, str) for pair in found.items() for text in pair):
        raise UsageError(f'{file}: NEEDS = {found!r}; write {{"module": "what to type to install it"}}')
    return found


def _targets(node: "ast.Assign | ast.AnnAssign") -> list[str]:
    import ast

    targets = node.targets if isinstance(node, ast.Assign) else [node.target]
    return [target.id for target in targets if isinstance(target, ast.Name)]


def quantities() -> dict[str, str]:
    """Name -> unit of every `Quantity(name="...", unit="...")` that a measure or metric writes out."""
    return {name: unit for kind in ("measure", "metric") for _, name, unit in _declared(kind)}


def measure_of() -> dict[str, str]:
    """Quantity -> the measure that writes it out; a metric's belong to measure `accuracy`."""
    scores = {name: "accuracy" for _, name, _ in _declared("metric")}
    return scores | {name: measure for measure, name, _ in _declared("measure")}


def _declared(kind: str) -> Iterator[tuple[str, str, str]]:
    """(Plugin, quantity, unit)."""
    import ast

    for plugin, file in _files(kind, None).items():
        for call in (node for node in ast.walk(_tree(file)) if isinstance(node, ast.Call)):
            if isinstance(call.func, ast.Name) and call.func.id == "Quantity":
                written = {k.arg: k.value.value for k in call.keywords if isinstance(k.value, ast.Constant)}
                if "name" in written and "unit" in written:
                    yield plugin, str(written["name"]), str(written["unit"])


def check_options(
    file: Path, function: str, given: dict[str, Any], *, passed: Container[str] = ()
) -> list[tuple[str, str]]:
    """What is wrong with options for `function`: (option, problem in plain words), unknown names and wrong types.

    Parameters that have a default or stand behind the `*` are options, but for those in `passed`: these and the
    others are what bench itself passes.
    """
    known = {
        name: option
        for name, option in options(file, function).items()
        if (option.keyword or not option.required) and name not in passed
    }
    takes_any = _function(file, function).args.kwarg is not None
    problems = []
    for name, value in given.items():
        if name in known:
            problem = check_value(known[name], value)
            problems += [(name, problem)] if problem else []
        elif not takes_any:
            problems.append((name, f"unknown option '{name}'; {nearest(name, known)}"))
    missing = [name for name, option in known.items() if option.required and name not in given]
    return problems + [(name, f"option '{name}' is missing; write {name} = ...") for name in missing]


def check_data_path(name: str, place: str) -> None:
    """Raise UsageError where `--data NAME=PATH` says nothing that data set NAME could read."""
    if "path" not in options(path("dataset", name), "load"):
        raise UsageError(f"--data {name}=...: data set '{name}' is made, it reads no files; leave --data out")
    if not Path(place).exists():
        raise UsageError(f"--data {name}={place}: no such file or folder; write where {name} lies")


def check_value(option: Option, value: Any) -> str | None:
    """Why a value is not of the option's type, in plain words; None where it is.

    >>> check_value(Option("stacks", "int", 8, False, False), "eight")
    'stacks = "eight": expected int; the default is 8'
    """
    import json

    import msgspec

    shown = json.dumps(value, default=str)
    try:
        kind = _evaluate(option.annotation)
        msgspec.convert(value, kind, strict=True)
    except msgspec.ValidationError:
        hint = "" if option.default is None else f"; the default is {json.dumps(option.default, default=str)}"
        return f"{option.name} = {shown}: expected {_words(kind)}{hint}"
    except (NameError, TypeError, SyntaxError):
        return f"{option.name} is annotated `{option.annotation}`, which no value of a suite can be checked against"
    return None


def _evaluate(annotation: str) -> Any:
    """The type that an annotation's text means, of plain data only."""
    from typing import Literal

    plain = {kind.__name__: kind for kind in (int, float, str, bool, list, dict, tuple)}
    return eval(annotation or "Any", {"__builtins__": {}, "Any": Any, "Literal": Literal, **plain})


def _words(kind: Any) -> str:
    """A type as people write it: `int or list of int`, `"low" or "skip"`; None is left out, for TOML has none."""
    import json
    from types import NoneType, UnionType
    from typing import Literal, Union, get_args, get_origin

    origin, parts = get_origin(kind), get_args(kind)
    if origin in (Union, UnionType):
        return " or ".join(_words(part) for part in parts if part is not NoneType)
    if origin is Literal:
        return " or ".join(json.dumps(value) for value in parts)
    if origin in (list, tuple):
        return f"{origin.__name__} of {_words(parts[0])}"
    return str(getattr(kind, "__name__", kind))


def load(kind: str, name: str, root: Path | None = None) -> "ModuleType":
    """The plugin's module, imported."""
    import importlib

    file = path(kind, name, root)
    if kind == "arch":
        return load_file(file)
    return importlib.import_module(f"{PACKAGES[kind]}.{name}")


def load_file(file: Path) -> "ModuleType":
    """An architecture's module from its file, as `archs.<name>`, once per process."""
    import importlib.util

    name = f"archs.{file.stem}"
    known = sys.modules.get(name)
    if known is not None and known.__file__ == str(file):
        return known
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise UsageError(f"{file}: not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses and pickle look their module up there
    spec.loader.exec_module(module)
    return module


def _function(file: Path, name: str) -> "ast.FunctionDef":
    import ast

    for node in _tree(file).body:
        if isinstance(node, ast.FunctionDef) and node.name == name:
            return node
    raise UsageError(f"{file}: defines no function {name}()")


def _tree(file: Path) -> "ast.Module":
    return _parsed(file, file.stat().st_mtime_ns)


@lru_cache(maxsize=256)
def _parsed(file: Path, _changed: int) -> "ast.Module":
    import ast

    try:
        return ast.parse(file.read_text(encoding="utf-8"), filename=str(file))
    except SyntaxError as error:
        raise UsageError(f"{file}:{error.lineno}: {error.msg}") from None
