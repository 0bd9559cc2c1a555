"""What is wrong with a suite beyond the shape of its tables: names, options, and what must agree with what.

Each check reads the file as it was parsed and passes over what has the wrong shape, since that is reported
already; so every problem is told at once.
"""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from bench import plugins
from bench.errors import nearest
from bench.record import Protocol
from bench.suite import sweep
from bench.suite.claim_checks import Known, claim_problems, unknown_quantity
from bench.suite.positions import Place, Problem
from bench.suite.schema import Data, InferPart, TrainPart
from bench.suite.sweep import Point, expand, placeholders

Json = dict[str, Any]
Check = Callable[[Json, Path], Iterator[Problem]]

DATA_KEYS = tuple(Data.model_fields)
"""Keys of [data] that bench knows; the others are options of the data set."""

PASSED_TO_DATA = ("split", "size", "count")
"""Parameters of a data set's `load` that bench fills in."""

DEFAULT_MODES: Json = {"fp32": {}}
"""The modes of a suite that names none."""

EITHER = (("samples", "epochs"), ("validations", "validate_every"))
"""Keys of [train] that say the same of a training for accuracy in two ways, of which the last one written counts."""

_TIMES = ("min", "h", "s", "ms", "us")


def problems(raw: Json, home: Path) -> Iterator[Problem]:
    """Every problem of a suite that lies in the folder `home`."""
    for check in CHECKS:
        yield from check(raw, home)


def _table(value: Any) -> Json:
    return value if isinstance(value, dict) else {}


def _texts(value: Any) -> list[tuple[int, str]]:
    return [(i, text) for i, text in enumerate(value) if isinstance(text, str)] if isinstance(value, list) else []


def _tables(value: Any) -> list[tuple[int, Json]]:
    return [(i, table) for i, table in enumerate(value) if isinstance(table, dict)] if isinstance(value, list) else []


def _scopes(raw: Json) -> Iterator[tuple[Place, Json]]:
    """The suite itself and each of its profiles."""
    yield (), raw
    for name, profile in _table(raw.get("profiles")).items():
        yield ("profiles", name), _table(profile)


def _everywhere(raw: Json, key: str) -> Iterator[tuple[Place, Json]]:
    """Each table [data], [infer] or [train], wherever it may stand."""
    for scope, table in _scopes(raw):
        yield (*scope, key), _table(table.get(key))
        for name, variant in _table(table.get("variant")).items():
            yield (*scope, "variant", name, key), _table(_table(variant).get(key))
    for i, variant in _tables(raw.get("variants")):
        yield ("variants", i, key), _table(variant.get(key))


def _networks(raw: Json) -> list[tuple[int, Json, list[Point]]]:
    """Variants whose names can be told: index, table, networks."""
    found = []
    for i, variant in _tables(raw.get("variants")):
        axes = _table(variant.get("sweep"))
        if (
            isinstance(variant.get("name"), str)
            and sweep.size(axes) <= sweep.MOST
            and all(isinstance(values, list) for values in axes.values())
        ):
            options = _table(variant.get("options"))
            found.append((i, variant, expand({"name": variant["name"], "options": options, "sweep": axes})))
    return found


def _sweeps(raw: Json, _: Path) -> Iterator[Problem]:
    for i, variant in _tables(raw.get("variants")):
        if (count := sweep.size(_table(variant.get("sweep")))) > sweep.MOST:
            yield Problem(("variants", i, "sweep"), f"the sweep has {count:,} networks", f"at most {sweep.MOST:,}")


def _names(raw: Json) -> list[str]:
    return [point.name for _, _, points in _networks(raw) for point in points]


def _modes(raw: Json, scope: Json) -> Json:
    return {**(_table(raw.get("modes")) or DEFAULT_MODES), **_table(scope.get("modes"))}


def _known(kind: str, name: Any, place: Place, home: Path) -> Iterator[Problem]:
    if isinstance(name, str) and name not in (valid := plugins.names(kind, home)):
        yield Problem(place, f"unknown {_WORDS.get(kind, kind)} '{name}'", nearest(name, valid))


_WORDS = {"arch": "architecture", "dataset": "data set", "mode": "key of a mode"}


def _split(place: Place, text: str) -> Problem:
    what, _, hint = text.partition("; ")
    return Problem(place, what, hint)


def _named_files(raw: Json, home: Path) -> Iterator[Problem]:
    for scope, table in _scopes(raw):
        for kind in ("measure", "metric"):
            for i, name in _texts(table.get(f"{kind}s")):
                yield from _known(kind, name, (*scope, f"{kind}s", i), home)
    for place, table in _everywhere(raw, "data"):
        yield from _known("dataset", table.get("use"), (*place, "use"), home)
    for place, table in _everywhere(raw, "train"):
        yield from _known("recipe", table.get("recipe"), (*place, "recipe"), home)


def _architectures(raw: Json, home: Path) -> Iterator[Problem]:
    for i, variant in _tables(raw.get("variants")):
        arch, place = variant.get("arch"), ("variants", i, "arch")
        if not isinstance(arch, str):
            continue
        if ":" in arch or "." in arch:
            if not re.fullmatch(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*", arch):
                yield Problem(place, f"'{arch}' names no function", 'write "package.module:function"')
        else:
            yield from _known("arch", arch, place, home)


def _options(raw: Json, home: Path) -> Iterator[Problem]:
    """Options and axes of each variant against the signature of its architecture's `build`."""
    archs = plugins.names("arch", home)
    for i, variant in _tables(raw.get("variants")):
        if variant.get("arch") not in archs:
            continue
        file = plugins.path("arch", variant["arch"], home)
        options, axes = _table(variant.get("options")), _table(variant.get("sweep"))
        for name, text in plugins.check_options(file, "build", options):
            yield _split(("variants", i, "options", name), text)
        for axis, values in axes.items():
            if axis in options:
                yield Problem(("variants", i, "sweep", axis), f"'{axis}' is in options too", "write it in one of them")
            yield from _axis(file, ("variants", i, "sweep", axis), values)
        for scope, table in _scopes(raw):
            for point in {point.name for j, _, points in _networks(raw) if j == i for point in points}:
                given = _table(_table(_table(table.get("variant")).get(point)).get("options"))
                for name, text in plugins.check_options(file, "build", given):
                    yield _split((*scope, "variant", point, "options", name), text)


def _axis(file: Path, place: Place, values: Any) -> Iterator[Problem]:
    axis = str(place[-1])
    known = axis in plugins.options(file, "build")
    for j, value in enumerate(values if isinstance(values, list) else []):
        for _, text in plugins.check_options(file, "build", {axis: value}):
            yield _split((*place, j) if known else place, text)


def _data_options(raw: Json, home: Path) -> Iterator[Problem]:
    sets = plugins.names("dataset", home)
    for place, table in _everywhere(raw, "data"):
        given = {key: value for key, value in table.items() if key not in DATA_KEYS}
        for use in _uses(raw, place, table) if given or "use" in table else ():
            if use in sets:
                file = plugins.path("dataset", use, home)
                for name, text in plugins.check_options(file, "load", given, passed=PASSED_TO_DATA):
                    yield _split((*place, name), f"data set '{use}': {text}")


def _uses(raw: Json, place: Place, table: Json) -> list[str]:
    """The data sets that a [data] table may speak of: its own, else all that it may be merged with."""
    if "use" in table:
        return [table["use"]] if isinstance(table["use"], str) else []
    above = [_table(raw.get("data")), *(_table(scope.get("data")) for at, scope in _scopes(raw) if at == place[:2])]
    if place[0] == "variants":
        above += [_table(scope.get("data")) for at, scope in _scopes(raw) if at]
    uses = [data["use"] for data in above if isinstance(data.get("use"), str)]
    return sorted(set(uses if place[0] == "variants" else uses[-1:]))


def _mode_plugins(raw: Json, home: Path) -> Iterator[Problem]:
    valid = plugins.names("mode", home)
    for scope, table in _scopes(raw):
        for mode, keys in _table(table.get("modes")).items():
            place = (*scope, "modes", mode)
            given = {key: value for key, value in _table(keys).items() if key != "optional"}
            for key, value in given.items():
                yield from _mode_option((*place, key), value, valid)
            excluded = {key: _constant(key, "EXCLUDES", valid) for key in given}
            for key in given:
                for other in given:
                    # Said once for a pair, at its later key, whichever of the two files says so.
                    if list(given).index(other) < list(given).index(key) and (
                        other in excluded[key] or key in excluded[other]
                    ):
                        yield Problem(
                            (*place, key), f"'{other}' and '{key}' exclude each other", "write them as two modes"
                        )


def _mode_option(place: Place, value: Any, valid: list[str]) -> Iterator[Problem]:
    key = str(place[-1])
    if key not in valid:
        yield Problem(place, f"unknown key of a mode '{key}'", nearest(key, [*valid, "optional"]))
        return
    option = plugins.options(plugins.path("mode", key), "apply")["option"]
    text = plugins.check_value(option._replace(name=key), value)
    if text:
        what, _, expected = text.partition(": expected ")
        yield Problem(place, f"{what}: wrong option" if expected else what, f"write {expected}" if expected else "")


def _constant(plugin: str, name: str, valid: list[str]) -> tuple[str, ...]:
    value = plugins.constant(plugins.path("mode", plugin), name) if plugin in valid else None
    return tuple(value or ())


def _variant_names(raw: Json, _: Path) -> Iterator[Problem]:
    seen: dict[str, int] = {}
    for i, variant, points in _networks(raw):
        axes, place = _table(variant.get("sweep")), ("variants", i, "name")
        for name in placeholders(variant["name"]):
            if name not in axes:
                yield Problem(place, f"'{{{name}}}' is no axis of the sweep", nearest(name, axes))
        template = f"{variant['name'].partition('{')[0].rstrip('-')}-" + "-".join(f"{{{axis}}}" for axis in axes)
        for point in points:
            if seen.get(point.name) == i:
                hint = f'write the axes into the name: "{template}"'
                yield Problem(place, f"the sweep gives several variants the name '{point.name}'", hint)
                break
            if point.name in seen:
                yield Problem(place, f"two variants are called '{point.name}'", "write another name")
            seen[point.name] = i
        if len(points) > 1 and variant.get("published"):
            where = ("variants", i, "published", 0)
            yield Problem(where, "published figures belong to one network", "write that variant out, beside the sweep")


def _baseline(raw: Json, _: Path) -> Iterator[Problem]:
    names = _names(raw)
    for scope, table in _scopes(raw):
        own = table.get("baseline")
        if isinstance(own, str) and own not in names:
            yield Problem((*scope, "baseline"), f"baseline '{own}' is no variant", nearest(own, names))
        baseline = own or raw.get("baseline")
        for i, variant, points in _networks(raw) if scope else ():
            kept = variant.get("profiles", [scope[-1]])
            if baseline in [point.name for point in points] and isinstance(kept, list) and scope[-1] not in kept:
                what = f"profile '{scope[-1]}' leaves out its baseline '{baseline}'"
                yield Problem(("variants", i, "profiles"), what, f'add "{scope[-1]}"')


def _training_mode(raw: Json, home: Path) -> Iterator[Problem]:
    valid = plugins.names("mode", home)
    for place, table in _everywhere(raw, "train"):
        mode, scope = table.get("mode"), raw
        if place[0] == "profiles":
            scope = _table(raw["profiles"][place[1]])
        if not isinstance(mode, str):
            continue
        modes = _modes(raw, scope)
        if mode not in modes:
            yield Problem((*place, "mode"), f"train.mode '{mode}' is no mode", nearest(mode, modes))
            continue
        for key in _table(modes[mode]):
            if key in valid and "train" not in _constant(key, "PHASES", valid):
                yield Problem((*place, "mode"), f"mode '{mode}' cannot train: {key}", "name a mode without it")


def _training_needs(raw: Json, home: Path) -> Iterator[Problem]:
    valid = plugins.names("measure", home)
    for _, table in _scopes(raw):
        train = {**_table(raw.get("train")), **_table(table.get("train"))}
        for name in (name for _, name in _texts(table.get("measures")) if name in valid):
            phases = plugins.constant(plugins.path("measure", name), "PHASE")
            if phases in ("train", "accuracy"):
                needs = [("recipe", '"rmsprop_hourglass"'), ("batch", "20")]
                needs += [("samples", "13000")] if phases == "accuracy" and "epochs" not in train else []
                for key, example in needs:
                    if key not in train:
                        yield Problem(("train", key), f"measure '{name}' needs train.{key}", f"write {key} = {example}")


def _either(raw: Json, _: Path) -> Iterator[Problem]:
    for place, table in _everywhere(raw, "train"):
        for one, other in EITHER:
            if one in table and other in table:
                yield Problem((*place, other), f"{one} and {other} both say the same", "write one of them")


def _factors(raw: Json, _: Path) -> Iterator[Problem]:
    keys = {"infer": list(InferPart.model_fields), "train": list(TrainPart.model_fields), "data": list(DATA_KEYS)}
    for scope, table in _scopes(raw):
        for i, factor in _texts(table.get("factors")):
            place, (group, dot, key) = (*scope, "factors", i), factor.partition(".")
            if group not in keys or not dot or not key:
                yield Problem(place, f"factor '{factor}'", "write data.KEY, infer.KEY or train.KEY")
            elif group != "data" and key not in keys[group]:
                yield Problem(place, f"factor '{factor}': unknown key '{key}'", nearest(key, keys[group]))


def _profiles(raw: Json, _: Path) -> Iterator[Problem]:
    profiles, names = _table(raw.get("profiles")), _names(raw)
    for i, variant in _tables(raw.get("variants")):
        for j, name in _texts(variant.get("profiles")):
            if name not in profiles:
                yield Problem(("variants", i, "profiles", j), f"unknown profile '{name}'", nearest(name, profiles))
    for scope, table in _scopes(raw):
        for name in _table(table.get("variant")) if scope else ():
            if name not in names:
                yield Problem((*scope, "variant", name), f"unknown variant '{name}'", nearest(name, names))


def _weights(raw: Json, home: Path) -> Iterator[Problem]:
    for i, variant in _tables(raw.get("variants")):
        weights = variant.get("weights")
        if isinstance(weights, str) and weights and not (home / weights).is_file():
            yield Problem(("variants", i, "weights"), f"no file {weights}", f"write a path relative to {home.name}/")
        named = [_table(_table(scope.get("variant")).get(str(variant.get("name")))) for _, scope in _scopes(raw)]
        if variant.get("weights_without") and not any(table.get("weights") for table in (variant, *named)):
            place = ("variants", i, "weights_without")
            yield Problem(place, "weights_without without weights", 'write weights = "FILE.pt" too')


def _protocol(raw: Json, _: Path) -> Iterator[Problem]:
    fields = {field.name: field for field in msgspec.structs.fields(Protocol)}
    for scope, table in _scopes(raw):
        for key, value in _table(table.get("protocol")).items():
            place = (*scope, "protocol", key)
            if key not in fields:
                yield Problem(place, f"unknown key '{key}'", nearest(key, fields))
                continue
            option = plugins.Option(key, fields[key].type.__name__, fields[key].default, required=False, keyword=True)
            if text := plugins.check_value(option, value):
                yield _split(place, text)
            elif not value >= 0:  # not a number is not either
                yield Problem(place, f"{key} = {value}: must be at least 0", f"the default is {option.default}")


def _quantities(raw: Json, _: Path) -> Iterator[Problem]:
    """Names in [gate] and published figures, and the units of published times."""
    units = plugins.quantities()
    for scope, table in _scopes(raw):
        for name in _table(table.get("gate")):
            yield from unknown_quantity(name, (*scope, "gate", name), units)
    for i, variant in _tables(raw.get("variants")):
        for j, published in _tables(variant.get("published")):
            for name, value in published.items():
                place = ("variants", i, "published", j, name)
                yield from unknown_quantity(name, place, units)
                written = re.sub(r"[-+0-9.eE\s]", "", value) if isinstance(value, str) else ""
                if units.get(name) == "s" and written not in _TIMES:
                    yield Problem(place, f"{name} = {value!r} is no time", 'write its unit: "14.8 min" or "23 ms"')


def _claims(raw: Json, _: Path) -> Iterator[Problem]:
    modes = {mode: None for _, table in _scopes(raw) for mode in _modes(raw, table)}
    known = Known(_names(raw), list(modes), plugins.quantities())
    for i, claim in _tables(raw.get("claims")):
        yield from claim_problems(claim, ("claims", i), known)


CHECKS: tuple[Check, ...] = (
    _named_files,
    _architectures,
    _options,
    _data_options,
    _mode_plugins,
    _sweeps,
    _variant_names,
    _baseline,
    _training_mode,
    _training_needs,
    _either,
    _factors,
    _profiles,
    _weights,
    _protocol,
    _quantities,
    _claims,
)
