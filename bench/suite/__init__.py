"""TOML text -> Suite: every error at once, then profile, variants and sweeps merged into plain data.

What wins over what, the last one first: the keys of a variant that the profile names
(`[profiles.quick.variant.NAME]`), the variant's own keys, the profile, the suite. Tables merge key by key, `change`
of a recipe among them; lists and single values replace. Options of one data set are not handed on to another one, and
a table that says in `samples` how long a training is drops `epochs` from the ones before, and the other way round.
"""

import tomllib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypedDict, Unpack

import msgspec

from bench import plugins
from bench.errors import SuiteError, UsageError, nearest
from bench.record import Protocol
from bench.suite.checks import DATA_KEYS, DEFAULT_MODES, EITHER, problems
from bench.suite.positions import Place, describe, line_of_broken
from bench.suite.recipe import Recipe
from bench.suite.schema import SuiteTable, Table, shape_problems
from bench.suite.sweep import Point, expand

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class ModeConfig:
    """A mode: mode plugin -> its option; `optional` where it may be absent without changing the exit code."""

    plugins: Json
    optional: bool = False


@dataclass(frozen=True, slots=True)
class Claim:
    """A conclusion of the document; it holds if all comparisons do, or its test passes."""

    says: str
    where: str = ""
    holds_if: tuple[str, ...] = ()
    test: str = ""


@dataclass(frozen=True, slots=True)
class Variant:
    """One network with everything merged.

    Attributes:
        arch: a name in archs/ or `package.module:function`.
        data: use, size (a side, or [H, W] where they differ), train, val, and `options` of the data set.
        infer: batch, and rounds where they differ from the suite's.
        train: recipe (the whole table, changed as the row says, and its `name`), batch, epochs, mode, rounds, as far
            as the suite has them.
        weights: path of a state dict, "" where there is none; weights_without: layers that it is not loaded into.
        published: the document's rows as written: table, epochs, batch, note, and quantity -> figure.
    """

    name: str
    arch: str
    options: Json
    data: Json
    infer: Json
    train: Json
    weights: str = ""
    weights_without: tuple[str, ...] = ()
    optional: bool = False
    published: tuple[Json, ...] = ()


@dataclass(frozen=True, slots=True)
class Suite:
    """A study as it will be run: profile chosen, sweeps written out, overrides in place.

    Attributes:
        name: stem of the file.
        profile: "" where the suite runs as written; profiles: all that the file has.
        metrics: names of metric files; empty: the task decides.
        rounds: of each phase, unless a variant's infer or train table has its own.
        timeout: seconds for a job.
        budget: phase -> minutes, as far as they are limited.
        gate: quantity -> "3%" or "exact".
    """

    name: str
    path: Path
    title: str
    task: str
    measures: tuple[str, ...]
    variants: tuple[Variant, ...]
    modes: dict[str, ModeConfig]
    profile: str = ""
    profiles: tuple[str, ...] = ()
    source: str = ""
    baseline: str = ""
    factors: tuple[str, ...] = ()
    metrics: tuple[str, ...] = ()
    rounds: int = 5
    seed: int = 0
    timeout: float = 600.0
    protocol: Protocol = field(default_factory=Protocol)
    budget: dict[str, float] = field(default_factory=dict)
    gate: dict[str, str] = field(default_factory=dict)
    claims: tuple[Claim, ...] = ()

    @property
    def root(self) -> Path:
        """The folder of the suite: `archs/` lies beside it, `recipes/` in it."""
        return self.path.parent

    def plain(self) -> Json:
        """JSON-able data for a run's header; the path is left out, since it says where somebody's files lie."""
        data: Json = msgspec.json.decode(msgspec.json.encode(self, enc_hook=str))
        return {key: value for key, value in data.items() if key != "path"}

    def select(
        self, *, variants: Collection[str] = (), modes: Collection[str] = (), measures: Collection[str] = ()
    ) -> "Suite":
        """Only these variants, modes and measures, in the suite's order; an empty collection keeps all.

        Raises:
            UsageError: a name is not in the suite.
        """
        named = {variant.name: variant for variant in self.variants}
        kept = _only("variant", named, variants)
        return replace(
            self,
            variants=tuple(named[name] for name in kept),
            modes={name: self.modes[name] for name in _only("mode", self.modes, modes)},
            measures=tuple(_only("measure", self.measures, measures)),
            baseline=self.baseline if self.baseline in kept else "",
        )


class Overrides(TypedDict, total=False):
    """What the command line changes; `rounds` is for every phase, `data_paths` is data set -> its folder."""

    rounds: int | None
    seed: int | None
    timeout: float | None
    data_paths: Mapping[str, str]


def load_suite(path: str | Path, profile: str | None = None, **overrides: Unpack[Overrides]) -> Suite:
    """The suite in a file, or of a name in suites/, in one of its profiles or as written.

    Raises:
        SuiteError: the file is wrong; every problem at once.
        UsageError: the profile or an override is wrong.
    """
    file = find(path)
    raw = _read(file, SuiteTable)
    profiles = raw.get("profiles", {})
    if profile and profile not in profiles:
        raise UsageError(f"{_shown(file)}: unknown profile '{profile}'; {nearest(profile, profiles)}")
    recipes = _recipes(raw, file.parent)
    if any("change" in table for table in _train_tables(raw)):
        for each in ("", *profiles):  # one that is not chosen is to be right too
            _resolve(raw, file, each, recipes)
    suite = _resolve(raw, file, profile or "", recipes)
    return _overridden(suite, overrides)


def profile_names(path: str | Path) -> list[str]:
    """The profiles of a suite, before one of them is chosen."""
    return list(_read(find(path), SuiteTable).get("profiles", {}))


def find(path: str | Path) -> Path:
    """The file of a suite, by path or by name.

    Raises:
        SuiteError: there is none; the message has the nearest name.
    """
    file = Path(path)
    if file.is_file():
        return file.absolute()
    names = plugins.names("suite")
    if file.suffix != ".toml" and len(file.parts) == 1 and file.name in names:
        return plugins.path("suite", file.name)
    raise SuiteError([f"{path}: no such suite; {nearest(file.stem, names)}"])


def _shown(file: Path) -> str:
    here = Path.cwd()
    return str(file.relative_to(here) if file.is_relative_to(here) else file)


def _read(file: Path, model: type[Table]) -> Json:
    """The tables of a file, checked; all of its problems are raised at once."""
    try:
        text = file.read_text(encoding="utf-8")
        raw = tomllib.loads(text)
    except UnicodeDecodeError as error:
        raise SuiteError([f"{_shown(file)}:1: not UTF-8 text ({error.reason}); save it as UTF-8"]) from None
    except tomllib.TOMLDecodeError as error:
        line = line_of_broken(text, str(error))
        raise SuiteError([f"{_shown(file)}:{line}: not valid TOML: {error}; mend this line"]) from None
    found = list(shape_problems(model, raw))
    if model is SuiteTable:
        found += problems(raw, file.parent)
    if found:
        raise SuiteError(describe(_shown(file), text, found))
    return raw


def _recipes(raw: Json, home: Path) -> dict[str, Json]:
    """Every recipe that the suite names, with its `name`."""
    names = {table["recipe"] for table in _train_tables(raw) if "recipe" in table}
    found, wrong = {}, []
    for name in sorted(names):
        try:
            found[name] = {"name": name, **_read(plugins.path("recipe", name, home), Recipe)}
        except SuiteError as error:
            wrong += error.problems
    if wrong:
        raise SuiteError(wrong)
    return found


def _train_tables(raw: Json) -> list[Json]:
    """Every [train] of the suite, wherever it may stand."""
    tables = [scope.get("train", {}) for scope in (raw, *raw["variants"])]
    for profile in raw.get("profiles", {}).values():
        tables += [scope.get("train", {}) for scope in (profile, *profile.get("variant", {}).values())]
    return tables


def _resolve(raw: Json, file: Path, profile: str, recipes: Mapping[str, Json]) -> Suite:
    chosen = raw.get("profiles", {}).get(profile, {})
    base = {**raw, **chosen}
    for key in ("infer", "modes", "gate", "protocol", "budget"):
        base[key] = {**raw.get(key, {}), **chosen.get(key, {})}
    base["modes"] = base["modes"] or DEFAULT_MODES
    base["data"] = _merge_data([raw["data"], chosen.get("data", {})])
    mode = {"mode": next(iter(base["modes"]))}
    base["train"] = _merge_train([mode, raw.get("train", {}), chosen.get("train", {})])
    plain = ("title", "source", "task", "baseline", "rounds", "seed", "timeout", "gate", "budget")
    return Suite(
        name=file.stem,
        path=file,
        profile=profile,
        profiles=tuple(raw.get("profiles", {})),
        measures=tuple(base["measures"]),
        factors=tuple(base.get("factors", ())),
        metrics=tuple(base.get("metrics", ())),
        modes={name: _mode(keys) for name, keys in base["modes"].items()},
        variants=tuple(_variants(base, profile, recipes, file)),
        protocol=msgspec.convert(base["protocol"], Protocol),
        claims=tuple(msgspec.convert(claim, Claim) for claim in raw.get("claims", [])),
        **{key: base[key] for key in plain if key in base},
    )


def _mode(keys: Json) -> ModeConfig:
    named = {key: option for key, option in keys.items() if key != "optional"}
    return ModeConfig(named, optional=keys.get("optional", False))


def _variants(base: Json, profile: str, recipes: Mapping[str, Json], file: Path) -> list[Variant]:
    """The networks of a profile, in the order written.

    Raises:
        SuiteError: what a variant changes of its recipe does not make one.
    """
    found = []
    for number, written in enumerate(base["variants"]):
        if profile and profile not in written.get("profiles", [profile]):
            continue
        for point in expand(written):
            named = base.get("variant", {}).get(point.name, {})
            variant = _variant(base, [written, named], point, recipes, file.parent)
            change: Place = ("variants", number, "train", "change")
            if "change" in named.get("train", {}):
                change = ("profiles", profile, "variant", point.name, "train", "change")
            found.append(replace(variant, train=_with_change(variant.train, file, change)))
    return found


def _with_change(train: Json, file: Path, place: Place) -> Json:
    """The train table with its recipe as `change` makes it; `place` is where the file has that."""
    change, train = train.get("change"), {key: value for key, value in train.items() if key != "change"}
    if not change or "recipe" not in train:
        return train
    whole = train["recipe"] | change
    wrong = list(shape_problems(Recipe, {key: value for key, value in whole.items() if key != "name"}))
    if wrong:
        problems = [each._replace(place=(*place, *each.place)) for each in wrong]
        raise SuiteError(describe(_shown(file), file.read_text(encoding="utf-8"), problems))
    return train | {"recipe": whole}


def _variant(base: Json, layers: list[Json], point: Point, recipes: Mapping[str, Json], home: Path) -> Variant:
    written, named = layers
    own = [layer.get("train", {}) for layer in layers]
    common = base["train"]
    if any("recipe" in table for table in own):  # what is changed of one recipe is not handed on to another one
        common = {key: value for key, value in common.items() if key != "change"}
    train = _merge_train([common, *own])
    if "recipe" in train:
        train["recipe"] = recipes[train["recipe"]]
    weights = named.get("weights", written.get("weights", ""))
    return Variant(
        name=point.name,
        arch=written["arch"],
        options=_merge([point.options, named.get("options", {})]),
        data=_data(_merge_data([base["data"], *(layer.get("data", {}) for layer in layers)])),
        infer=_merge([{"batch": 1}, base["infer"], *(layer.get("infer", {}) for layer in layers)]),
        train=train,
        weights=str(home / weights) if weights else "",
        weights_without=tuple(_merge([written, named]).get("weights_without", ())),
        optional=bool(named.get("optional", written.get("optional"))),
        published=tuple(written.get("published", ())),
    )


def _merge(tables: Sequence[Json]) -> Json:
    return {key: value for table in tables for key, value in table.items()}


def _merge_train(tables: Sequence[Json]) -> Json:
    merged: Json = {}
    for table in tables:
        for either in EITHER:
            if not table.keys().isdisjoint(either):
                merged = {key: value for key, value in merged.items() if key not in either}
        change = merged.get("change", {}) | table.get("change", {})
        merged |= table | ({"change": change} if change else {})
    return merged


def _merge_data(tables: Sequence[Json]) -> Json:
    merged: Json = {}
    for table in tables:
        if "use" in table and table["use"] != merged.get("use"):
            merged = {key: value for key, value in merged.items() if key in DATA_KEYS}
        merged |= table
    return merged


def _data(table: Json) -> Json:
    """Known keys, and the data set's options; a square is written as its side, so that equal sizes are equal."""
    known = {key: table[key] for key in DATA_KEYS}
    size = known["size"]
    if isinstance(size, list) and size[0] == size[1]:
        known["size"] = size[0]
    return {**known, "options": {key: value for key, value in table.items() if key not in DATA_KEYS}}


def _overridden(suite: Suite, overrides: Overrides) -> Suite:
    given: Json = {key: value for key in ("rounds", "seed", "timeout") if (value := overrides.get(key)) is not None}
    for key, least in (("rounds", 1), ("seed", 0), ("timeout", 1)):
        if given.get(key, least) < least:
            raise UsageError(f"{key} {given[key]}: must be at least {least}; write {least} or more")
    variants = [_with_paths(variant, overrides.get("data_paths", {})) for variant in suite.variants]
    _check_paths(suite, overrides.get("data_paths", {}))
    if "rounds" in given:  # who asks for rounds means every phase
        variants = [replace(v, infer=_without_rounds(v.infer), train=_without_rounds(v.train)) for v in variants]
    if "timeout" in given:  # it is the limit of each job, of trainings too
        variants = [replace(v, train=v.train | {"timeout": given["timeout"]}) for v in variants]
    return replace(suite, variants=tuple(variants), **given)


def _without_rounds(table: Json) -> Json:
    return {key: value for key, value in table.items() if key != "rounds"}


def _with_paths(variant: Variant, paths: Mapping[str, str]) -> Variant:
    use = variant.data["use"]
    if use not in paths:
        return variant
    options = {**variant.data["options"], "path": str(Path(paths[use]).absolute())}
    return replace(variant, data={**variant.data, "options": options})


def _check_paths(suite: Suite, paths: Mapping[str, str]) -> None:
    used = {variant.data["use"] for variant in suite.variants}
    for name, path in paths.items():
        if name not in used:
            raise UsageError(f"--data {name}=...: the suite uses no data set '{name}'; {nearest(name, used)}")
        plugins.check_data_path(name, path)


def _only(kind: str, known: Collection[str], wanted: Collection[str]) -> list[str]:
    for name in wanted:
        if name not in known:
            raise UsageError(f"unknown {kind} '{name}'; {nearest(name, known)}")
    return [name for name in known if not wanted or name in wanted]
