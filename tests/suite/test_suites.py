"""The suites that come with bench: they load, follow the schema, and repeat their documents' figures."""

import json
import tomllib
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from bench import plugins
from bench.suite import Suite, load_suite, profile_names
from bench.suite.schema import schema
from bench.units import parse

SUITES = plugins.INSTALLED / "suites"

SHIPPED = [(file.stem, profile) for file in sorted(SUITES.glob("*.toml")) for profile in ["", *profile_names(file)]]


@pytest.mark.parametrize(("name", "profile"), SHIPPED)
def test_every_suite_loads_in_every_profile(name: str, profile: str) -> None:
    suite = load_suite(SUITES / f"{name}.toml", profile)
    assert suite.variants and suite.source and json.dumps(suite.plain())


@pytest.mark.parametrize("file", sorted(SUITES.glob("*.toml")), ids=lambda file: file.stem)
def test_every_suite_names_the_schema_and_follows_it(file: Path) -> None:
    text = file.read_text(encoding="utf-8")
    assert text.startswith("#:schema ./suite.schema.json\n#")
    jsonschema.Draft202012Validator.check_schema(schema())
    jsonschema.validate(tomllib.loads(text), schema())


@pytest.mark.parametrize("file", sorted(SUITES.glob("*.toml")), ids=lambda file: file.stem)
def test_no_claim_is_about_a_control_that_must_not_learn(file: Path) -> None:
    """Its figures are flagged as not learnt where it behaves, and a claim about such figures is never decided."""
    suite = load_suite(file)
    controls = [variant.name for variant in suite.variants if variant.data["options"].get("shuffled")]
    assert controls or file.stem != "sanity_pose"
    conditions = [condition for claim in suite.claims for condition in claim.holds_if]
    assert not [condition for condition in conditions for name in controls if f"'{name}'" in condition]


@pytest.fixture(scope="module")
def study() -> Suite:
    return load_suite(SUITES / "stacked_speed.toml")


def figures(suite: Suite, variant: str, row: int) -> dict[str, Any]:
    return next(v for v in suite.variants if v.name == variant).published[row]


@pytest.mark.parametrize(
    ("variant", "row", "epochs", "minutes", "evaluation", "mean", "head", "ankle"),
    [
        ("original-batch6", 0, 50, 18, 1.2, 83.18, 93.89, 74.92),
        ("64-channels", 0, 50, 14.3, 1.03, 80.48, 93.62, 69.04),
        ("6-stacks", 0, 50, 14.4, 1.05, 83.13, 93.93, 72.22),
        ("6-stacks-64ch-4-residuals", 0, 50, 14.3, 1.08, 80.73, 93.32, 68.42),
        ("layer-norm", 0, 50, 14.7, 1.1, 78.83, 92.70, 65.64),
        ("depth-increasing", 0, 50, 14.3, 1.1, 80.68, 93.76, 67.62),
        ("depth-decreasing", 0, 50, 14.8, 1.15, 81.47, 93.79, 69.49),
        ("4-blocks", 0, 50, 14.6, 1.06, 84.23, 93.55, 72.69),
        ("original-batch6", 1, 220, 18, 1.2, 86.7, 95.63, 77.49),
        ("original", 0, 220, 14.8, 1.1, 86.4, 94.98, 78.64),
        ("6-stacks", 1, 220, 14.4, 1.08, 85.8, 94.95, 77.47),
        ("4-blocks", 1, 220, 14.6, 1.06, 86.38, 95.02, 77.21),
    ],
)
def test_published_figures_are_the_documents(
    study: Suite,
    variant: str,
    row: int,
    epochs: int,
    minutes: float,
    evaluation: float,
    mean: float,
    head: float,
    ankle: float,
) -> None:
    published = figures(study, variant, row)
    assert parse(published["train_epoch"]) == pytest.approx(minutes * 60)
    assert parse(published["eval_time"]) == pytest.approx(evaluation * 60)
    assert (published["epochs"], published["pckh.mean14"]) == (epochs, mean)
    assert (published["pckh.head"], published["pckh.ankle"]) == (head, ankle)


# The document's means differ from those of its own joints by up to 0.4 points; a mistyped digit by more.
def test_published_joints_agree_with_their_mean(study: Suite) -> None:
    joints = ["head", "shoulder", "elbow", "wrist", "hip", "knee", "ankle"]
    for variant in study.variants:
        for published in variant.published:
            mean = sum(published[f"pckh.{joint}"] for joint in joints) / len(joints)
            assert mean == pytest.approx(published["pckh.mean14"], abs=0.4), (variant.name, published["table"])


def test_profiles_of_the_speed_study() -> None:
    quick, gpu = (load_suite(SUITES / "stacked_speed.toml", profile) for profile in ("quick", "gpu"))
    batches = {variant.name: variant.train["batch"] for variant in quick.variants}
    assert batches.pop("original-batch6") == 6 and set(batches.values()) == {2}
    assert {variant.train["rounds"] for variant in quick.variants} == {1} and quick.rounds == 3
    assert {"2-blocks", "dropout", "adam"}.isdisjoint(batches)
    assert (gpu.rounds, gpu.variants[0].infer["batch"], sum(gpu.budget.values())) == (3, 20, 45)
    assert next(v for v in gpu.variants if v.name == "adam").train["recipe"]["optimizer"] == "adam"
    assert len(gpu.claims) >= 8 and all(claim.where for claim in gpu.claims)
