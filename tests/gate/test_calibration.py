"""What the gate makes of a machine's noise: seeded noise of known size, numbers of a table, files."""

from collections.abc import Mapping, Sequence
from math import exp, log, sqrt
from pathlib import Path
from random import Random

import msgspec
import pytest

from bench.errors import StoreError
from bench.gate import calibration
from bench.gate.calibration import (
    NoiseFloor,
    Rate,
    Trials,
    cells_of,
    file_of,
    noise,
    noise_floor,
    plan_of,
    rate,
    text_of,
    trials_of,
    verdicts,
    write,
)
from bench.sequential import Plan

TOLERANCE = 0.02


def drawn(cells: int, pairs: int, *, sigma: float = 0.01, slower: float = 0.0, seed: int = 1) -> dict[str, list[float]]:
    """Differences of pairs whose runs have this noise, the other arm slower by a share."""
    random = Random(seed)
    sd, shift = sigma * sqrt(2), log(1 + slower)
    return {f"v{n}/fp32": [random.gauss(shift, sd) for _ in range(pairs)] for n in range(cells)}


def floor(**changes: object) -> NoiseFloor:
    unchanged, slow = drawn(3, 20), drawn(3, 20, slower=0.05, seed=2)
    asked = {
        "suite": "made_up",
        "machine": {"id": "3f2a91c0", "cpu": "Example CPU"},
        "profile": "quick",
        "protocol": {"protocol.version": 1},
        "newest": "2026-01-01T00:00:00+00:00",
        "tolerance": TOLERANCE,
        "slowdown": 0.05,
        "pairs": 20,
        "cells": cells_of(unchanged, slow, TOLERANCE, plan_of(3)),
        "trials": trials_of(unchanged, slow, TOLERANCE, plan_of(3)),
    }
    return msgspec.convert(msgspec.to_builtins(asked | changes), NoiseFloor)


@pytest.mark.parametrize(("hits", "trials"), [(0, 4), (1, 4), (4, 4), (3, 250), (1, 1), (0, 1)])
def test_a_share_has_the_exact_interval(hits: int, trials: int) -> None:
    from scipy.stats import binomtest

    found, wanted = rate(hits, trials), binomtest(hits, trials).proportion_ci(0.95, method="exact")
    assert (found.hits, found.trials) == (hits, trials)
    assert (found.low, found.high) == pytest.approx((wanted.low, wanted.high))


@pytest.mark.parametrize(("hits", "trials"), [(0, 0), (3, 2), (-1, 2)])
def test_no_share_without_trials(hits: int, trials: int) -> None:
    with pytest.raises(ValueError, match="there must be trials"):
        rate(hits, trials)


def test_the_noise_of_a_run_by_hand() -> None:
    # Sum of squares 10 on 4 degrees of freedom, half of it a run's; chi-squared 0.4844 and 11.1433 at 2.5 and 97.5 %.
    sigma, low, high = noise([-2.0, -1.0, 0.0, 1.0, 2.0])
    assert sigma == pytest.approx(sqrt(1.25))
    assert (low, high) == pytest.approx((sqrt(1.25 * 4 / 11.1433), sqrt(1.25 * 4 / 0.48442)), rel=1e-4)


def test_the_interval_of_the_noise_covers_it() -> None:
    found = [noise(values) for values in drawn(400, 8, sigma=0.01).values()]
    covered = sum(low <= 0.01 <= high for _, low, high in found)
    assert 0.92 <= covered / len(found) <= 0.98


def test_equal_differences_have_no_noise_and_one_has_none_to_tell() -> None:
    assert noise([0.1, 0.1, 0.1]) == (0.0, 0.0, 0.0)
    with pytest.raises(ValueError, match="1 differences"):
        noise([0.1])


def test_a_cell_has_its_own_noise_slowdown_and_detectable_changes() -> None:
    unchanged = drawn(1, 40, sigma=0.003) | {"loud/fp32": drawn(1, 40, sigma=0.03, seed=3)["v0/fp32"]}
    slow = {name: [0.05 + d for d in values] for name, values in unchanged.items()}
    found = cells_of(unchanged, slow, TOLERANCE, plan_of(2))
    quiet, loud = found["v0/fp32"], found["loud/fp32"]
    assert quiet.low < 0.003 < quiet.high
    assert loud.low < 0.03 < loud.high
    assert quiet.high < loud.low
    value, low, high = quiet.slower
    assert low is not None
    assert high is not None
    assert low < exp(0.05) - 1 < high
    assert value == pytest.approx(exp(0.05) - 1, abs=0.003)
    for cell in (quiet, loud):
        assert list(cell.detectable) == ["5", "10", "20", "40"]
        shares = list(cell.detectable.values())
        assert shares == sorted(shares, reverse=True)
        assert shares[-1] > TOLERANCE
    assert loud.detectable["5"] - TOLERANCE > 5 * (quiet.detectable["5"] - TOLERANCE)


@pytest.mark.parametrize(("pairs", "lengths"), [(4, {}), (5, {5: 1}), (24, {5: 4, 10: 2, 20: 1})])
def test_gates_are_played_on_disjoint_blocks_of_every_length(pairs: int, lengths: dict[int, int]) -> None:
    found = trials_of(drawn(3, pairs), drawn(3, pairs, slower=0.1, seed=2), TOLERANCE, plan_of(3))
    assert {trials.pairs: trials.gates.trials for trials in found} == lengths
    for trials in found:
        assert trials.cells.trials == 3 * trials.gates.trials == trials.found.trials
        said = trials.found.hits + trials.inconclusive.hits + trials.missed.hits
        assert said == trials.found.trials


def test_the_cell_with_the_fewest_pairs_sets_the_blocks() -> None:
    unchanged, slow = drawn(2, 20), drawn(2, 20, slower=0.1, seed=2)
    unchanged["v1/fp32"], slow["v1/fp32"] = unchanged["v1/fp32"][:11], slow["v1/fp32"][:11]
    assert [t.pairs for t in trials_of(unchanged, slow, TOLERANCE, plan_of(2))] == [5, 10]


def test_nothing_measured_gives_no_trials() -> None:
    assert trials_of({}, {}, TOLERANCE, plan_of(0)) == []
    assert cells_of({}, {}, TOLERANCE, plan_of(0)) == {}


def test_unchanged_code_is_not_alarming_and_slowed_code_is_found() -> None:
    found = trials_of(drawn(4, 40), drawn(4, 40, slower=0.05, seed=2), TOLERANCE, plan_of(4))
    assert [trials.gates.hits for trials in found] == [0, 0, 0, 0]
    power = [trials.found.hits / trials.found.trials for trials in found]
    assert power == sorted(power)  # longer gates find more
    assert power[0] < 1 == power[-1]
    assert found[0].inconclusive.hits > 0
    assert [trials.missed.hits for trials in found] == [0, 0, 0, 0]


def test_a_machine_that_favours_one_arm_is_found_out() -> None:
    biased = drawn(2, 20, sigma=0.003, slower=0.06)
    found = trials_of(biased, biased, TOLERANCE, plan_of(2))
    assert [(t.gates.hits, t.cells.hits) for t in found] == [(4, 8), (2, 4), (1, 2)]
    assert [t.pairs for t in floor(trials=found).distrusted] == [5, 10, 20]


def test_what_the_tolerance_hides_is_counted_beside_it() -> None:
    small = drawn(2, 20, sigma=0.001, slower=0.01)
    found = trials_of(small, small, TOLERANCE, plan_of(2))
    assert [(t.gates.hits, t.untolerated.hits) for t in found] == [(0, 4), (0, 2), (0, 1)]
    assert floor(trials=found).distrusted == []


NEVER = Rate(0, 8, 0.0, 0.369)


def trials(gates: Rate, cells: Rate) -> Trials:
    return Trials(pairs=5, gates=gates, cells=cells, untolerated=NEVER, found=NEVER, inconclusive=NEVER, missed=NEVER)


@pytest.mark.parametrize(
    ("gates", "cells", "distrusted"),
    [
        ((0, 8), (0, 40), False),
        ((1, 8), (1, 40), False),
        ((1, 1), (1, 5), False),  # one alarm in one gate proves little
        ((3, 8), (3, 40), True),
        ((1, 1), (20, 50), True),  # but not one in which so many cells are
    ],
)
def test_the_gate_is_distrusted_beyond_doubt_only(
    gates: tuple[int, int], cells: tuple[int, int], distrusted: bool
) -> None:
    found = floor(trials=[trials(rate(*gates), rate(*cells))])
    assert bool(found.distrusted) is distrusted


def played(differences: Mapping[str, Sequence[float]], plan: Plan | None = None) -> dict[str, str]:
    return verdicts(differences, TOLERANCE, plan or plan_of(len(differences)))


def test_a_cell_that_is_decided_is_not_measured_further() -> None:
    quiet, loud = [0.0, 0.001, -0.001, 0.0005, -0.0005], drawn(1, 10, sigma=0.05)["v0/fp32"]
    alone = played({"quiet": [*quiet, *[0.0] * 5], "loud": loud})
    assert alone == {"quiet": "PASS", "loud": "OPEN"}
    assert played({"quiet": [*quiet, *[9.0] * 5], "loud": loud}) == alone


def test_looks_go_on_for_as_long_as_there_are_pairs() -> None:
    slow = drawn(1, 40, sigma=0.02, slower=0.06)["v0/fp32"]
    said = {pairs: played({"a": slow[:pairs]}) for pairs in (4, 5, 39, 40)}
    assert said[4] == {}
    assert said[5] == {"a": "OPEN"}
    assert said[40] == {"a": "REGRESSED"}


def test_cells_that_were_lost_count_in_the_family() -> None:
    slow = {"a": [0.045, 0.038, 0.056, 0.041, 0.05]}
    assert played(slow, plan_of(1)) == {"a": "REGRESSED"}
    assert played(slow, plan_of(2000)) == {"a": "OPEN"}


def test_the_order_of_cells_does_not_matter() -> None:
    unchanged, slow = drawn(12, 10), drawn(12, 10, slower=0.05, seed=2)
    turned = [dict(reversed(arm.items())) for arm in (unchanged, slow)]
    assert trials_of(unchanged, slow, TOLERANCE, plan_of(12)) == trials_of(*turned, TOLERANCE, plan_of(12))


def test_a_noise_floor_is_kept_and_found_again(tmp_path: Path) -> None:
    assert noise_floor(tmp_path, "made_up", "3f2a91c0") is None
    path = write(floor(), tmp_path)
    assert path == tmp_path / "made_up" / "noise-3f2a91c0.json"
    assert noise_floor(tmp_path, "made_up", "3f2a91c0") == floor()
    assert noise_floor(tmp_path, "made_up", "other000") is None
    assert path.read_text() == text_of(floor()) + "\n"
    newer = write(floor(pairs=40), tmp_path)
    assert newer == path
    assert [file.name for file in path.parent.iterdir()] == [path.name]  # nothing temporary stays
    assert path.stat().st_size < 10_000


def test_an_interrupted_write_leaves_the_old_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(floor(), tmp_path)

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(calibration.os, "fsync", full)
    with pytest.raises(StoreError, match=r"noise-3f2a91c0.json: cannot write \(No space left on device\)"):
        write(floor(pairs=40), tmp_path)
    assert noise_floor(tmp_path, "made_up", "3f2a91c0") == floor()
    assert [file.name for file in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize("text", ["", "{", '{"suite": "made_up"}', "\x00\xff"])
def test_a_broken_noise_floor_says_how_to_measure_it_again(tmp_path: Path, text: str) -> None:
    path = file_of(tmp_path, "made_up", "3f2a91c0")
    path.parent.mkdir()
    path.write_text(text, encoding="latin-1")
    with pytest.raises(StoreError) as error:
        noise_floor(tmp_path, "made_up", "3f2a91c0")
    assert str(error.value).startswith(f"{path}: not a noise floor (")
    assert str(error.value).endswith("bench calibrate made_up")
