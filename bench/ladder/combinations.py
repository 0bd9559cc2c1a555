"""Which modes a ladder tries: each mode that can infer alone, and the few combinations that are worth trying.

Every file in worker/modes that can infer is a rung by itself, with the first option that its `apply` lists, unless
`ALONE` says otherwise. All combinations of n modes would be 2^n; those below were fastest in measurements: memory order
and precision multiply, and a compiler pays on top of both. One of them whose files are not all there is left out.
"""

import ast
from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from typing import Any

from bench import plugins
from bench.errors import UsageError, nearest
from bench.suite import ModeConfig, Suite

Json = dict[str, Any]

REFERENCE = "fp32"
"""Strict fp32 eager, which every other mode is compared with."""

ALONE: Mapping[str, tuple[Any, ...]] = {"tensorrt": ("float16",)}
"""Mode -> the options with which it is a rung of its own, where the first one is not what it is used for."""

TOGETHER: tuple[Json, ...] = (
    {"channels_last": True, "amp": "bfloat16"},
    {"channels_last": True, "half": "bfloat16"},
    {"fold": True, "channels_last": True, "amp": "bfloat16"},
    {"compile": "default", "channels_last": True},
    {"compile": "freezing", "channels_last": True, "amp": "bfloat16"},
)

TOGETHER_ON_CUDA: tuple[Json, ...] = (
    {"tf32": True, "channels_last": True},
    {"channels_last": True, "half": "float16"},
    {"channels_last": True, "half": "float16", "cudagraph": True},
    {"compile": "reduce-overhead", "channels_last": True, "half": "float16"},
)
"""Not tried on a CPU: a mode that needs CUDA gives its reason once, on its own rung."""

SHORT: Json = {"max_seconds": 5.0, "warmup_limit": 5.0}
"""The protocol where no suite says another: a dozen modes are a first look, and their rounds are what counts."""


def combinations(device: str = "cpu") -> dict[str, ModeConfig]:
    """Name -> mode, the reference first; read from the text of the plugins, none is imported.

    Names are those of the plugins in the order in which they are applied, with the option where it is not the usual
    one: `channels_last+amp`, `channels_last+amp+compile-freezing`.
    """
    known = [name for name in plugins.names("mode") if "infer" in (_constant(name, "PHASES") or ())]
    alone: list[Json] = [{name: option} for name in known for option in options(name)]
    together = [*TOGETHER, *(TOGETHER_ON_CUDA if device.startswith("cuda") else ())]
    found = {REFERENCE: ModeConfig({})}
    for keys in sorted(alone, key=lambda one: _order(next(iter(one)))) + [one for one in together if _fits(one, known)]:
        ordered = {name: keys[name] for name in sorted(keys, key=_order)}
        found.setdefault(name_of(ordered), ModeConfig(ordered))
    return found


def options(mode: str) -> tuple[Any, ...]:
    """The options with which a mode is a rung of its own; empty where its annotation lists none."""
    return ALONE.get(mode) or choices(mode)[:1]


def choices(mode: str) -> tuple[Any, ...]:
    """What a mode takes as its annotation lists it: of `Literal["a", "b"]` both, of `bool` True."""
    annotation = plugins.options(plugins.path("mode", mode), "apply")["option"].annotation
    return tuple(_listed(ast.parse(annotation or "None", mode="eval").body))


def _listed(node: ast.expr) -> Iterator[Any]:
    if isinstance(node, ast.BinOp):
        yield from (*_listed(node.left), *_listed(node.right))
    elif isinstance(node, ast.Subscript) and ast.unparse(node.value) == "Literal":
        found = ast.literal_eval(node.slice)
        yield from found if isinstance(found, tuple) else (found,)
    elif ast.unparse(node) == "bool":
        yield True


def _fits(keys: Json, known: Collection[str]) -> bool:
    """Whether these modes are all there, take these options, and do not exclude each other."""
    if not keys.keys() <= set(known):
        return False
    excluded = {other for name in keys for other in _constant(name, "EXCLUDES") or ()}
    return not excluded & keys.keys() and all(_takes(name, option) for name, option in keys.items())


def _takes(mode: str, option: Any) -> bool:
    parameter = plugins.options(plugins.path("mode", mode), "apply")["option"]
    return plugins.check_value(parameter, option) is None


def name_of(keys: Mapping[str, Any]) -> str:
    """What a combination is called."""
    return "+".join(name if option in _usual(name) else f"{name}-{option}" for name, option in keys.items())


def _usual(mode: str) -> tuple[Any, ...]:
    return (True, *choices(mode)[:1])


def _order(mode: str) -> tuple[int, str]:
    return _constant(mode, "ORDER") or 0, mode


def _constant(mode: str, name: str) -> Any:
    return plugins.constant(plugins.path("mode", mode), name)


def chosen(modes: Mapping[str, ModeConfig], wanted: Collection[str]) -> dict[str, ModeConfig]:
    """Only the wanted modes, all where none is named; the reference always.

    Raises:
        UsageError: there is no such combination.
    """
    for name in wanted:
        if name not in modes:
            raise UsageError(f"unknown mode '{name}'; {nearest(name, modes)}")
    return {name: mode for name, mode in modes.items() if not wanted or name in wanted or name == REFERENCE}


def with_ladder(suite: Suite, variant: str, modes: Mapping[str, ModeConfig]) -> Suite:
    """A suite that measures one of a suite's networks in these modes and nothing else, under a name of its own.

    The name keeps its runs apart: a leaderboard joins all runs of a suite, and a gate takes the latest one.

    Raises:
        UsageError: there is no such variant.
    """
    (network,) = suite.select(variants=[variant]).variants
    return replace(
        suite,
        name=f"{suite.name}-modes",
        title=f"Execution modes of {network.name}",
        variants=(replace(network, train={}, published=()),),  # without a mode to train in, nothing trains
        modes=dict(modes),
        measures=measures(),
        baseline="",
        budget={},
        claims=(),
        gate={},
    )


def measures() -> tuple[str, ...]:
    """Inference, and what compiling takes where a measure of its own says that."""
    of = plugins.measure_of()
    building = {of[name] for name in of if name.startswith("compile_time")}
    return tuple(dict.fromkeys(["infer", *sorted(building)]))
