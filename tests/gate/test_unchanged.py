"""What counts as unchanged, what an accepted change is known by, and the jobs of the pairs."""

from pathlib import Path
from typing import Any

import msgspec
import pytest
from command_line import HEAD, PROTOCOL, hourglass
from jobs import ROOT, job, tiny

from bench.gate.arms import NONE, Arm, unchanged
from bench.plan import plan
from bench.record import Job, Json
from bench.suite import load_suite

CELL = ("a", "fp32", "infer")


def network(**other: Any) -> Json:
    return {"graph": "g", "code": "c", "built": "b", "module": "net.py", "files": ["net.py"]} | other


def side(name: str, known: Json, of: Job | None = None) -> Arm:
    """An arm whose network is made up."""
    suite = load_suite(ROOT / "suites" / "smoke.toml")
    return Arm(name, ROOT, suite, {CELL: of or job(measures=["infer"])}, {"a": known} if known else {}, {})


BASE = job(measures=["infer"])


@pytest.mark.parametrize(
    ("known", "changes", "same"),
    [
        ({}, {}, True),
        ({"graph": "other"}, {}, False),
        ({"code": "other"}, {}, False),
        ({"built": "other"}, {}, True),
        ({"built": "other"}, {"measures": ["infer", "outputs"]}, False),
        ({"built": "other"}, {"measures": ["accuracy"]}, False),
        ({"opaque": ["my_kernels::fused"]}, {}, False),
        ({"opaque": []}, {}, True),
        ({"module": "/elsewhere"}, {}, True),
        ({}, {"modes": {"amp": "bfloat16"}}, False),
        ({}, {"infer": {"batch": 2}}, False),
        ({}, {"data": {"size": 64}}, False),
        ({}, {"threads": 2}, False),
        ({}, {"seed": 7}, True),
        ({}, {"seed": 7, "measures": ["outputs"]}, False),
        ({}, {"timeout": 5.0, "paths": ["/elsewhere"], "arch_file": "/elsewhere/net.py"}, True),
    ],
)
def test_what_counts_as_unchanged(known: Json, changes: dict[str, Any], same: bool) -> None:
    base = side("base", network(), BASE)
    head = side("head", network() | known, msgspec.structs.replace(BASE, **changes))
    assert unchanged(CELL, base, head) is same


@pytest.mark.parametrize(
    ("known", "changes", "weights", "same"),
    [
        ({}, {}, True, True),
        ({"graph": "other"}, {}, False, False),
        ({"code": "other"}, {}, False, False),
        ({"built": "other"}, {}, False, True),
        ({"built": "other"}, {}, True, False),
        ({}, {"seed": 7}, False, True),
        ({}, {"seed": 7}, True, False),
        ({}, {"modes": {"amp": "bfloat16"}}, False, False),
        ({}, {"infer": {"batch": 2}}, False, False),
        ({}, {"data": {"size": 64}}, False, False),
        ({}, {"threads": 2, "device": "cuda:1"}, True, True),
        ({}, {"measures": ["infer", "outputs"], "timeout": 5.0}, True, True),
    ],
)
def test_what_an_accepted_change_is_known_by(known: Json, changes: dict[str, Any], weights: bool, same: bool) -> None:
    one = side("head", network(), BASE)
    other = side("head", network() | known, msgspec.structs.replace(BASE, **changes))
    assert (one.identity(CELL, weights=weights) == other.identity(CELL, weights=weights)) is same


def test_what_is_not_there_is_no_network() -> None:
    assert side("head", network()).identity(("a", "fast", "infer"), weights=False) == NONE
    assert side("head", {}).identity(CELL, weights=False) == NONE


def test_what_is_not_known_has_changed() -> None:
    base, head = side("base", {}), side("head", network())
    assert not unchanged(CELL, base, head) and not unchanged(CELL, head, base)


def test_a_training_that_was_not_seen_may_have_changed() -> None:
    known = network(untrained="TypeError: targets should be passed")
    infer = tiny("infer")
    jobs = {CELL: infer, ("a", "fp32", "train"): msgspec.structs.replace(infer, phase="train")}
    suite = load_suite(ROOT / "suites" / "smoke.toml")
    base, head = (Arm(name, ROOT, suite, jobs, {"a": known}, {}) for name in ("base", "head"))
    assert [unchanged(cell, base, head) for cell in jobs] == [True, False]


def test_each_pair_of_a_training_is_the_next_seed_as_a_run_has_it(tmp_path: Path) -> None:
    training = '\n[train]\nrecipe = "adam_short"\nbatch = 2\nsamples = 8\nseeds = 3\n'
    file = tmp_path / "tiny.toml"
    file.write_text(HEAD.replace('"infer"]', '"infer", "accuracy"]') + training + hourglass("a", 4) + PROTOCOL)
    suite = load_suite(file, seed=5)
    planned = plan(suite)
    jobs = {(job.variant, job.mode, job.phase): job for job in planned if job.round == 0}
    of = Arm("head", tmp_path, suite, jobs, {}, {})
    trainings = [job for job in planned if job.phase == "accuracy"]
    assert [of.job(("a", "fp32", "accuracy"), number) for number in range(3)] == trainings
    assert [job.seed for job in trainings] == [5, 6, 7]
    assert [of.job(CELL, number).seed for number in range(3)] == [5, 5, 5]
