"""Scores of a stored run: paired by image or by seed, and what is never green."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import builders
import msgspec
import pytest
from builders import MACHINE, SCORES
from stored_runs import OTHER, RULES, SUITE, about, counted, only, timed, unasked, verdicts, without_values, write

from bench import gate
from bench.gate import INCONCLUSIVE, NOT_COMPARABLE, NOT_MEASURED, PASS, REGRESSED
from bench.gate.baseline import judge, judgement_of, stored
from bench.record import Record, Value, fingerprints


def trained(totals: Mapping[int, float], correct: Sequence[float] = (), **other: Any) -> list[Record]:
    """Trainings by seed; `correct` of ten joints in every image."""
    images = {"images": {"correct": list(correct), "counted": [10] * len(correct)}} if correct else {}
    return [
        builders.record(
            builders.training("a", seed), [Value(quantity=SCORES["total"], value=total, details=images)], **other
        )
        for seed, total in totals.items()
    ]


IMAGES = [3, 9, 6] * 60


def test_accuracy_is_paired_by_image_on_any_machine(tmp_path: Path) -> None:
    worse = [one - 1 if i % 4 == 0 else one for i, one in enumerate(IMAGES)]
    for correct, verdict in ((worse, REGRESSED), (IMAGES, PASS)):
        total = 100 * sum(correct) / (10 * len(correct))
        head = trained({0: total}, correct, machine=OTHER)
        found = only(judge(about(tmp_path, trained({0: 60.0}, IMAGES), head), unasked))
        assert (found.verdict, found.cell) == (verdict, "a/fast/pckh.total")
    assert found.change == pytest.approx((0, 0, 0))


def test_accuracy_without_scores_of_images_is_open(tmp_path: Path) -> None:
    found = only(judge(about(tmp_path, trained({0: 60.0}), trained({0: 60.0})), unasked))
    assert found.verdict == INCONCLUSIVE and found.reason.startswith("no interval")


@pytest.mark.parametrize(("accuracies", "reason"), [((60.0,), gate.ONE_TRAINING), ((60.0, 60.0, 60.0), "improved")])
def test_one_training_is_said_to_be_one(tmp_path: Path, accuracies: Sequence[float], reason: str) -> None:
    base = trained({seed: value - 5 for seed, value in enumerate(accuracies)}, IMAGES)
    found = only(judge(about(tmp_path, base, trained(dict(enumerate(accuracies)), IMAGES)), unasked))
    assert (found.verdict, found.reason) == (PASS, reason)


def test_what_the_images_could_have_shown(tmp_path: Path) -> None:
    """The tolerance, and as much again as the interval and its power take (0.84 of a standard error is 80 %)."""
    changed = [one + (i % 40 == 0) - (i % 40 == 1) for i, one in enumerate(IMAGES * 2)]
    found = only(judge(about(tmp_path, trained({0: 60.0}, IMAGES * 2), trained({0: 60.0}, changed)), unasked))
    assert found.verdict == PASS and found.change is not None and found.detectable is not None
    half = ((found.change[2] or 0) - (found.change[1] or 0)) / 2
    assert found.detectable == pytest.approx(0.01 + half / 100 * (1 + 0.8416 / 1.96), rel=1e-3)


@pytest.mark.parametrize(
    ("base", "head", "reason"),
    [
        ((0, 1, 2), (0, 2), "seed 1 is in the baseline only"),
        ((0,), (0, 1, 2), "seed 1, 2 is in the run only"),
        ((0,), (1,), "seed 0 is in the baseline only; 1 is in the run only"),
    ],
)
def test_a_seed_without_its_counterpart_is_not_measured(
    tmp_path: Path, base: Sequence[int], head: Sequence[int], reason: str
) -> None:
    sides = (trained(dict.fromkeys(seeds, 60.0), IMAGES) for seeds in (base, head))
    found = only(judge(about(tmp_path, *sides), unasked))
    assert (found.verdict, found.reason) == (NOT_MEASURED, reason)


def test_what_is_scored_in_every_round_is_paired_by_round(tmp_path: Path) -> None:
    base, head = (timed("a", [60.0] * rounds, SCORES["total"]) for rounds in (3, 2))
    found = only(judge(about(tmp_path, base, head), unasked))
    assert (found.verdict, found.reason) == (NOT_MEASURED, "round 2 is in the baseline only")


def test_a_training_that_was_lost_is_said(tmp_path: Path) -> None:
    head = trained({0: 60, 1: 61, 2: 62}, IMAGES)
    head[1:2] = without_values(head[1:2], status="crashed", reason="killed by SIGKILL")
    found = only(judge(about(tmp_path, trained({0: 60, 1: 61, 2: 62}, IMAGES), head), unasked))
    assert (found.verdict, found.reason) == (NOT_MEASURED, "crashed: killed by SIGKILL (the run) in 1 of 3 rounds")


def test_seeds_are_paired_by_their_number(tmp_path: Path) -> None:
    """What each seed lost is the same, however far the seeds lie apart, and in whatever order they were trained."""
    base, head = trained({0: 50, 1: 60, 2: 70}), trained({2: 65, 0: 45, 1: 55})
    found = only(judge(about(tmp_path, base, head), unasked))
    assert (found.verdict, found.change) == (REGRESSED, (-5, -5, -5))


@pytest.mark.parametrize(("lost", "verdict"), [((2.0, 6.0), INCONCLUSIVE), ((5.0, 5.1), REGRESSED)])
def test_two_seeds_tell_only_what_is_large_beside_their_spread(
    tmp_path: Path, lost: tuple[float, float], verdict: str
) -> None:
    base, head = trained({0: 60, 1: 61}, IMAGES), trained({0: 60 - lost[0], 1: 61 - lost[1]}, IMAGES)
    assert only(judge(about(tmp_path, base, head), unasked)).verdict == verdict


def test_accuracy_over_seeds(tmp_path: Path) -> None:
    base, head = trained({0: 60, 1: 61, 2: 62}, IMAGES), trained({0: 55.1, 1: 56, 2: 57.1}, IMAGES)
    found = only(judge(about(tmp_path, base, head), unasked))
    assert (found.verdict, found.base) == (REGRESSED, pytest.approx(61))
    assert found.change is not None and found.change[0] == pytest.approx(-4.9333, rel=1e-4)


def test_accuracy_of_another_data_set_is_not_compared(tmp_path: Path) -> None:
    other = trained({0: 60.0}, IMAGES)
    job = msgspec.structs.replace(other[0].job, data=other[0].job.data | {"size": 32})
    other = [msgspec.structs.replace(other[0], job=job, fingerprints=fingerprints(job))]
    assert only(judge(about(tmp_path, trained({0: 60.0}, IMAGES), other), unasked)).verdict == NOT_COMPARABLE


def test_accuracy_that_the_run_did_not_train_is_a_note(tmp_path: Path) -> None:
    base = trained({0: 60.0}, IMAGES) + counted("a", 7)
    taken = [msgspec.structs.replace(r, origin="20260101T000000Z-3f2a91c0") for r in trained({0: 60.0}, IMAGES)]
    untrained = [builders.record(builders.training("a"), status="skipped", reason="not trained", machine={})]
    for accuracy in (taken, untrained, []):
        of = about(tmp_path, base, accuracy + counted("a", 7))
        found = judge(of, unasked)
        assert verdicts(found) == {"a/params": PASS}
        report = judgement_of(of, found, "x", MACHINE)
        assert "not gated, since the run did not train it: a/fast/accuracy" in report.notes
        assert gate.exit_code(msgspec.structs.replace(report, strict=True)) == 0


def test_accuracy_that_the_run_should_have_is_not_measured(tmp_path: Path) -> None:
    suite = SUITE | {"measures": [*SUITE["measures"], "accuracy"]}
    base = write(tmp_path / "base.jsonl", trained({0: 60.0}, IMAGES) + counted("a", 7))
    of = stored(base, write(tmp_path / "head.jsonl", counted("a", 7), suite=suite), RULES)
    found = judge(of, unasked)
    assert verdicts(found) == {"a/fast/pckh.total": NOT_MEASURED, "a/params": PASS}
    assert found[0].reason == "the run has no record of it"
    assert gate.exit_code(judgement_of(of, found, "x", MACHINE)) == 4
