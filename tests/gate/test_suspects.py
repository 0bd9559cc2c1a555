"""Times of a stored run: suspected by its rounds, and REGRESSED only where fresh processes say so too."""

from collections.abc import Mapping, Sequence
from math import exp, log
from pathlib import Path
from random import Random

import msgspec
import pytest
from builders import LATENCY, THROUGHPUT
from jobs import header
from stored_runs import STEADY, about, again, noisy, only, timed, unasked, unavailable, verdicts

from bench.contrasts import Welch
from bench.gate import INCONCLUSIVE, PASS, REGRESSED, baseline
from bench.gate.arms import Cell
from bench.gate.baseline import Stored, judge
from bench.record import Record, Value
from bench.store import Loaded
from bench.table.merge import Rounds


def slower(by: float, seed: int = 2) -> list[float]:
    return noisy(0.1 * by, seed)


def test_a_suspect_that_fresh_processes_confirm(tmp_path: Path) -> None:
    found = only(judge(about(tmp_path, timed("a", STEADY), timed("a", slower(1.3))), again("a", slower(1.3, 3))))
    assert (found.verdict, found.reason) == (REGRESSED, "confirmed by 5 fresh processes")
    assert found.change is not None and found.change[1] is not None
    assert found.change[1] < 1.3 < (found.change[2] or 0)


def test_a_suspect_that_fresh_processes_do_not_confirm(tmp_path: Path) -> None:
    found = only(judge(about(tmp_path, timed("a", STEADY), timed("a", slower(1.3))), again("a", slower(1.0, 3))))
    assert (found.verdict, found.reason) == (INCONCLUSIVE, "it looks worse, but 5 fresh processes do not confirm it")


@pytest.mark.parametrize("fresh", [unavailable, again("a", []), again("a", [0.13]), again("a", [None] * 5)])
def test_a_suspect_that_cannot_be_measured_again(tmp_path: Path, fresh: baseline.Fresh) -> None:
    found = only(judge(about(tmp_path, timed("a", STEADY), timed("a", slower(1.3))), fresh))
    assert (found.verdict, found.reason) == (INCONCLUSIVE, "it looks worse, and could not be measured again here")


def test_a_faster_one_is_said_and_a_doubtful_one_is_open(tmp_path: Path) -> None:
    faster = only(judge(about(tmp_path, timed("a", STEADY), timed("a", slower(0.8))), unasked))
    assert (faster.verdict, faster.reason) == (PASS, "improved")
    doubtful = only(judge(about(tmp_path, timed("a", STEADY), timed("a", slower(1.0496))), unavailable))
    assert doubtful.verdict == INCONCLUSIVE


def test_a_throughput_that_falls_is_worse(tmp_path: Path) -> None:
    before, after = noisy(80, 1), noisy(60, 2)
    fell = judge(
        about(tmp_path, timed("a", before, THROUGHPUT), timed("a", after, THROUGHPUT)),
        again("a", noisy(60, 3), THROUGHPUT),
    )
    found = only(fell)
    assert found.verdict == REGRESSED
    assert found.change is not None and None not in found.change
    value, low, high = (float(one or 0) for one in found.change)
    assert low < value < high < 1 and value == pytest.approx(0.75, rel=0.02)
    rose = only(judge(about(tmp_path, timed("a", after, THROUGHPUT), timed("a", before, THROUGHPUT)), unasked))
    assert (rose.verdict, rose.reason) == (PASS, "improved")
    assert rose.change is not None and rose.change[0] > 1.3


def test_one_suspect_of_many_is_measured_again_alone(tmp_path: Path) -> None:
    variants = [f"v{i}" for i in range(20)]
    base = [r for i, v in enumerate(variants) for r in timed(v, noisy(0.1, i))]
    head = [r for i, v in enumerate(variants) for r in timed(v, noisy(0.13 if v == "v7" else 0.1, 100 + i))]
    found = judge(about(tmp_path, base, head), again("v7", noisy(0.13, 300)))
    assert {cell: v for cell, v in verdicts(found).items() if v != PASS} == {"v7/fp32/latency": REGRESSED}
    assert found[0].cell == "v7/fp32/latency"


def test_holm_counts_all_gated_figures(tmp_path: Path) -> None:
    fresh = again("v0", [0.1055, 0.1065, 0.1075, 0.1060, 0.1070])
    many = [r for i in range(40) for r in timed(f"v{i}", STEADY)]
    for variants, verdict in ((1, REGRESSED), (40, INCONCLUSIVE)):
        base = [r for r in many if int(r.job.variant[1:]) < variants]
        head = [r for r in base if r.job.variant != "v0"] + timed("v0", slower(1.3))
        found = {f.variant: f.verdict for f in judge(about(tmp_path, base, head), fresh)}
        assert found["v0"] == verdict


def test_equal_rounds_without_any_noise(tmp_path: Path) -> None:
    same = only(judge(about(tmp_path, timed("a", [0.1] * 3), timed("a", [0.1] * 3)), unasked))
    assert (same.verdict, same.change) == (PASS, (1.0, 1.0, 1.0))
    worse = judge(about(tmp_path, timed("a", [0.1] * 3), timed("a", [0.2] * 3)), again("a", [0.2] * 5))
    assert only(worse).verdict == REGRESSED


def test_a_pass_lies_below_its_tolerance_with_its_whole_interval(tmp_path: Path) -> None:
    for seed in range(30):
        head = timed("a", noisy(0.103, seed, noise=0.01))
        found = only(judge(about(tmp_path, timed("a", noisy(0.1, 1000 + seed, noise=0.01)), head), unavailable))
        assert found.change is not None and found.change[2] is not None
        assert (found.verdict == PASS) == (found.change[2] < 1.05)


# Statistics.


@pytest.mark.parametrize(("base", "head"), [(5, 5), (3, 8), (2, 2)])
def test_welch_against_scipy(base: int, head: int) -> None:
    from scipy.stats import ttest_ind

    random = Random(base)
    one = [random.gauss(0, 0.01) for _ in range(base)]
    other = [random.gauss(0.02, 0.03) for _ in range(head)]
    ours = Welch.of(one, other)
    assert ours is not None
    for margin in (0.0, 0.01, 0.05):
        theirs = ttest_ind([x - margin for x in other], one, equal_var=False, alternative="greater")
        assert ours.p(margin) == pytest.approx(float(theirs.pvalue), rel=1e-9)
    interval = ttest_ind(other, one, equal_var=False).confidence_interval(0.95)
    assert (ours.mean - ours.reach, ours.mean + ours.reach) == pytest.approx((interval.low, interval.high))


class Suites:
    """A/A suites: cells with run noise of 0.3 to 3 %, and 5 % of outliers that are four times as far off."""

    def __init__(self, cells: int, seed: int) -> None:
        self.random = Random(seed)
        self.templates = [timed(f"v{i}", [1.0])[0] for i in range(cells)]

    def judged(self, tolerance: str) -> list[str]:
        """The verdicts on one suite."""
        noise = {one.job.variant: exp(self.random.uniform(log(0.003), log(0.03))) for one in self.templates}
        sides = [{self.cell(one): self.rounds(one, noise, 5) for one in self.templates} for _ in range(2)]
        run = Loaded(Path("run.jsonl"), header(), [], [])

        def fresh(cells: Sequence[Cell], processes: int) -> Mapping[Cell, list[Record]]:
            known = {self.cell(one): one for one in self.templates}
            return {cell: [*self.rounds(known[cell], noise, processes).values()] for cell in cells}

        return [f.verdict for f in judge(Stored(run, run, {"latency": tolerance}, *sides), fresh)]

    def rounds(self, template: Record, noise: Mapping[str, float], count: int) -> Rounds:
        def value() -> Value:
            far = 4 if self.random.random() < 0.05 else 1
            return Value(quantity=LATENCY, value=exp(far * self.random.gauss(0, noise[template.job.variant])))

        return {n: msgspec.structs.replace(template, values=[value()]) for n in range(count)}

    @staticmethod
    def cell(record: Record) -> Cell:
        return record.job.variant, record.job.mode, record.job.phase


@pytest.mark.parametrize(("tolerance", "alarms", "passes"), [("0%", 5, 0.0), ("2%", 1, 0.4), ("10%", 0, 0.8)])
def test_false_alarms_and_decisions_where_nothing_changed(tolerance: str, alarms: int, passes: float) -> None:
    suites = Suites(cells=20, seed=5)
    found = [suites.judged(tolerance) for _ in range(100)]
    assert sum(REGRESSED in verdicts for verdicts in found) <= alarms  # of 100: 5 % where nothing is allowed
    share = sum(verdicts.count(PASS) for verdicts in found) / (100 * 20)
    assert share >= passes
    if tolerance == "0%":
        assert share < 0.05
