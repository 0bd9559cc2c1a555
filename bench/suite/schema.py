"""A suite file as it is written: its tables as models, their JSON Schema, and what is wrong with a file's shape."""

from collections.abc import Iterator
from json import dumps
from typing import Annotated, Any, Literal

import msgspec
from pydantic import BaseModel, ConfigDict, Field, PlainValidator, ValidationError, WithJsonSchema
from pydantic_core import ErrorDetails, PydanticCustomError

from bench import units
from bench.errors import nearest
from bench.record import Protocol
from bench.suite.positions import Place, Problem

Json = dict[str, Any]


def _size(value: Any) -> Any:
    """One side, or [height, width]."""
    sides = value if isinstance(value, list) and len(value) == 2 else [value]
    if not all(isinstance(side, int) and not isinstance(side, bool) and side >= 1 for side in sides):
        raise PydanticCustomError("size", "not the size of an image; write 256, or [height, width]")
    return value


def _figure(value: Any) -> Any:
    """A published number with its unit."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise PydanticCustomError("figure", 'not a number; write 86.4 or "14.8 min"')
    try:
        units.parse(value)
    except ValueError as error:
        message = str(error).partition(": ")[2]  # the value is in front already
        raise PydanticCustomError("figure", "no number with a unit; {hint}", {"hint": message}) from None
    return value


def _rule(value: Any) -> Any:
    """An allowed worsening: "3%" or "exact"."""
    if value == "exact":
        return value
    share = value.removesuffix("%").strip() if isinstance(value, str) and value.endswith("%") else ""
    if not share.replace(".", "", 1).isdecimal():
        raise PydanticCustomError("rule", 'no allowed worsening; write "3%" or "exact"')
    return value


Count = Annotated[int, Field(ge=1)]
Minutes = Annotated[float, Field(gt=0)]
Size = Annotated[
    Any,
    PlainValidator(_size),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "integer", "minimum": 1},
                {"type": "array", "items": {"type": "integer", "minimum": 1}, "minItems": 2, "maxItems": 2},
            ]
        }
    ),
]
Figure = Annotated[Any, PlainValidator(_figure), WithJsonSchema({"type": ["number", "string"]})]
Rule = Annotated[Any, PlainValidator(_rule), WithJsonSchema({"type": "string", "pattern": r"^(\d*\.?\d+\s*%|exact)$"})]
Timing = Annotated[float, Field(ge=0)]


class Table(BaseModel):
    """A table of the file; a key that is not listed here is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Open(Table):
    """A table with further keys of its own kind: options of a data set, plugins of a mode, quantities."""

    model_config = ConfigDict(extra="allow", frozen=True, strict=True)


class DataPart(Open):
    """Keys of [data] that a profile or variant overrides; other keys are options of the data set."""

    use: str | None = Field(default=None, description="Name of a data set, or of its file in bench/worker/datasets.")
    size: Size = Field(default=None, description="Side of the image, or [height, width].")
    train: Count | None = Field(default=None, description="Images in an epoch.")
    val: Count | None = Field(default=None, description="Images in the validation set.")


class Data(DataPart):
    """The data: minutes per epoch derive from `train` and `val` whatever the data."""

    use: str = Field(examples=["random"])
    size: Size = Field(examples=[256])
    train: Count = Field(examples=[22246])
    val: Count = Field(examples=[2958])


class InferPart(Table):
    """Keys of [infer] that a variant overrides."""

    batch: Count | None = Field(default=None, description="Images per call; 1 where it is not given.")


class Infer(InferPart):
    """How inference is measured."""

    rounds: Count | None = Field(default=None, description="Rounds of this phase, instead of the suite's.")


class TrainPart(Table):
    """Keys of [train] that a variant overrides."""

    recipe: str | None = Field(default=None, description="Name of a file in recipes/, beside the suite or installed.")
    change: Json = Field(default={}, description="Keys of the recipe that are other than in its file.")
    batch: Count | None = None
    epochs: Count | None = Field(default=None, description="Training for accuracy, in epochs of data.train images.")
    samples: Count | None = Field(default=None, description="Training for accuracy, in images, instead of `epochs`.")
    mode: str | None = Field(
        default=None, description="The mode that accuracy is trained in; the first where not given."
    )
    split: Literal["val", "test"] | None = Field(
        default=None, description="What the trained network is scored on; val, as on its way, where not given."
    )


class Train(TrainPart):
    """How networks are trained, for training time and for accuracy."""

    seeds: Count | None = Field(
        default=None, description="Trainings per variant for accuracy, each from other weights."
    )
    validations: Count | None = Field(default=None, description="How often a training is scored on its way; 10.")
    validate_every: Count | None = Field(default=None, description="The same as steps from one validation to the next.")
    timeout: Minutes | None = Field(
        default=None, description="Seconds after which a training for accuracy is stopped; a day."
    )
    flip_test: bool = Field(
        default=False, description="Score the mean of the answers to an image and its mirror image."
    )
    rounds: Count | None = Field(default=None, description="Rounds of this phase, instead of the suite's.")


class ModeTable(Open):
    """A mode: keys are the names of files in bench/worker/modes, values their option."""

    optional: bool = Field(default=False, description="Absent here: shown with its reason, the exit code stays.")


class PublishedTable(Open):
    """A row of the document; further keys are quantities, such as train_epoch = "14.8 min"."""

    __pydantic_extra__: dict[str, Figure]
    table: str = Field(examples=["Table 2 B"])
    epochs: Count | None = None
    batch: Count | None = None
    note: str = ""


class VariantPart(Table):
    """Keys of a variant that a profile overrides by naming it: [profiles.quick.variant.NAME]."""

    options: Json = {}
    data: DataPart | None = None
    infer: InferPart | None = None
    train: TrainPart | None = None
    weights: str = Field(default="", description="A state dict (.pt) to load, relative to the suite.")
    weights_without: list[str] = Field(
        default=[], description="Layers that keep their own weights, by the beginning of their names: a classifier."
    )
    optional: bool = False


class VariantTable(VariantPart):
    """A network, or several by `sweep`; `name` may hold placeholders such as stacks-{stacks}."""

    name: Annotated[str, Field(min_length=1)] = Field(examples=["original"])
    arch: str = Field(examples=["stacked_hourglass"], description="A name in archs/, or package.module:function.")
    sweep: dict[str, Annotated[list[Any], Field(min_length=1)]] = Field(default={}, description="Option -> its values.")
    profiles: list[str] | None = Field(
        default=None, description="The only profiles that have it; as written it is there."
    )
    published: list[PublishedTable] = []


class ClaimTable(Table):
    """A conclusion of the document, in a form that can be checked."""

    says: str = Field(examples=["6 stacks train faster than 8"])
    where: str = Field(default="", description="Where the document says so.")
    holds_if: list[str] = Field(
        default=[], description="Comparisons such as latency('6-stacks') < latency('original')."
    )
    test: str = Field(default="", description="The test that backs a structural claim.")


class Budget(Table):
    """Minutes that each phase may take, all rounds together."""

    static: Minutes | None = None
    infer: Minutes | None = None
    train: Minutes | None = None
    accuracy: Minutes | None = None


def _protocol_schema() -> Json:
    # `type` alone, for msgspec writes out defaults, which a profile only overrides.
    kinds = {field.name: field.type for field in msgspec.structs.fields(Protocol)}
    keys = {name: {"type": "integer" if kind is int else "number", "minimum": 0} for name, kind in kinds.items()}
    return {"type": "object", "properties": keys, "additionalProperties": False}


ProtocolTable = Annotated[Json, WithJsonSchema(_protocol_schema())]
"""Fields of record.Protocol; checked there, since they are listed there."""


class Common(Table):
    """Keys that a suite and its profiles share."""

    baseline: str = Field(default="", description="The variant that ratios are relative to.")
    factors: list[str] = Field(default=[], description="What varies on purpose: data.KEY, infer.KEY or train.KEY.")
    metrics: list[str] = Field(
        default=[], description="Names of files in bench/worker/metrics; by the task where empty."
    )
    rounds: Count = 5
    seed: Annotated[int, Field(ge=0)] = 0
    timeout: Minutes = Field(default=600.0, description="Seconds after which a job is stopped.")
    infer: Infer = Infer(batch=1)
    train: Train = Train()
    modes: dict[str, ModeTable] = {}
    gate: dict[str, Rule] = Field(default={}, description="Quantity -> allowed worsening.")
    protocol: ProtocolTable = {}
    budget: Budget = Budget()


class Profile(Common):
    """What a profile overrides; a variant's own keys win, unless the profile names the variant."""

    task: Literal["pose", "segmentation", "binary"] | None = None
    measures: Annotated[list[str], Field(min_length=1)] = []
    data: DataPart | None = None
    variant: dict[str, VariantPart] = Field(default={}, description="Variant -> the keys that this profile overrides.")


class SuiteTable(Common):
    """A study: variants of networks, the modes they run in, and what is measured."""

    title: str = Field(examples=["What is compared"])
    source: str = ""
    task: Literal["pose", "segmentation", "binary"] = Field(examples=["pose"])
    measures: Annotated[list[str], Field(min_length=1)] = Field(examples=[["params", "infer"]])
    data: Data
    variants: Annotated[list[VariantTable], Field(min_length=1)]
    claims: list[ClaimTable] = []
    profiles: dict[str, Profile] = {}


def schema() -> Json:
    """The JSON Schema of a suite file."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **SuiteTable.model_json_schema()}


def shape_problems(model: type[Table], raw: Json) -> Iterator[Problem]:
    """Unknown and missing keys, wrong types and ranges, each at its place."""
    try:
        model.model_validate(raw)
    except ValidationError as error:
        tables = model.model_json_schema()
        for detail in error.errors(include_url=False):
            yield _problem(detail, tables)


_EXPECTED = {
    "int_type": ("expected a whole number", "write it without quotes or point, such as 8"),
    "float_type": ("expected a number", "write it without quotes, such as 0.5"),
    "string_type": ("expected text", 'put it in quotes: "..."'),
    "bool_type": ("expected true or false", "write it without quotes"),
    "list_type": ("expected a list", "write [...]"),
    "dict_type": ("expected a table", "write { key = value } or a [header]"),
    "model_type": ("expected a table", "write { key = value } or a [header]"),
    "greater_than_equal": ("must be at least LIMIT", "write LIMIT or more"),
    "greater_than": ("must be more than LIMIT", "write a number above LIMIT"),
    "too_short": ("is empty", "write at least one"),
    "string_too_short": ("is empty", "write a name"),
}


def _problem(detail: ErrorDetails, tables: Json) -> Problem:
    place, context = detail["loc"], detail.get("ctx", {})
    key = place[-1] if place else "the file"
    if detail["type"] == "extra_forbidden":
        return Problem(place, f"unknown key '{key}'", nearest(str(key), _keys(tables, place[:-1])))
    if detail["type"] == "missing":
        return Problem(place, f"missing key '{key}'", _how_to_write(tables, place))
    shown = f"{_name(place)} = {dumps(detail['input'], default=str)}"
    if detail["type"] == "literal_error":
        valid = str(context["expected"]).replace("'", "").replace(" or ", ", ").split(", ")
        return Problem(place, f"{shown}: unknown value", nearest(str(detail["input"]), valid))
    if detail["type"] in _EXPECTED:
        limit = str(context.get("ge", context.get("gt", "")))
        what, hint = (part.replace("LIMIT", limit) for part in _EXPECTED[detail["type"]])
        return Problem(place, f"{_name(place)} {what}" if what == "is empty" else f"{shown}: {what}", hint)
    what, _, hint = detail["msg"].partition("; ")
    return Problem(place, f"{shown}: {what}", hint)


def _name(place: Place) -> str:
    """The last key, with the index of a list's element: `measures[2]`."""
    index = f"[{place[-1]}]" if isinstance(place[-1], int) else ""
    return f"{next(key for key in reversed(place) if isinstance(key, str))}{index}"


def _how_to_write(tables: Json, place: Place) -> str:
    node = _node(tables, place)
    if node.get("examples"):
        return f"write {place[-1]} = {dumps(node['examples'][0])}"
    return f"write [[{place[-1]}]]" if "items" in node else f"write [{place[-1]}]"


def _keys(tables: Json, place: Place) -> list[str]:
    return list(_node(tables, place).get("properties", {}))


def _node(tables: Json, place: Place) -> Json:
    """The part of a JSON Schema that describes a place; {} where anything may stand."""
    node = _plain(tables, tables)
    for key in place:
        inner = node.get("items") if isinstance(key, int) else node.get("properties", {}).get(key)
        if inner is None and isinstance(node.get("additionalProperties"), dict):
            inner = node["additionalProperties"]
        node = _plain(tables, inner or {})
    return node


def _plain(tables: Json, node: Json) -> Json:
    """A node without its reference and without the null beside it."""
    for choice in node.get("anyOf", []):
        if choice.get("type") != "null":
            return _plain(tables, {**choice, **{k: v for k, v in node.items() if k != "anyOf"}})
    if "$ref" in node:
        target = tables["$defs"][node["$ref"].rpartition("/")[2]]
        return _plain(tables, {**target, **{k: v for k, v in node.items() if k != "$ref"}})
    return node
