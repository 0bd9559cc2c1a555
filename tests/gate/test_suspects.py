"""Figures of a stored run: suspected by its rounds, and REGRESSED only where fresh processes say so too."""

from collections.abc import Callable, Mapping, Sequence
from math import exp, log
from pathlib import Path
from random import Random
from typing import Any

import msgspec
import pytest
from builders import INFER_MEMORY, LATENCY, MACHINE, THROUGHPUT
from jobs import header
from stored_runs import STEADY, about, again, noisy, only, timed, unasked, unavailable, verdicts

from bench import gate
from bench.contrasts import Welch
from bench.gate import INCONCLUSIVE, NOT_MEASURED, PASS, REGRESSED, Finding, suspects
from bench.gate.arms import Cell
from bench.gate.baseline import Stored, judge, judgement_of
from bench.record import Quantity, Record, Value
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


def failing(values: Sequence[float | None], *, bad: Sequence[int], of: Any = LATENCY, **changes: Any) -> suspects.Fresh:
    """Fresh processes of which those with these numbers, from 0, come to nothing."""

    def measured(cells: Sequence[Cell], processes: int) -> Mapping[Cell, list[Record]]:
        records = timed(cells[0][0], values, of)
        lost = {"status": "crashed", "reason": "killed by SIGSEGV", "values": []} | changes
        return {cells[0]: [msgspec.structs.replace(r, **lost) if n in bad else r for n, r in enumerate(records)]}

    return measured


def code_of(of: Stored, found: list[Finding]) -> int:
    return int(gate.exit_code(judgement_of(of, found, "suites/x.toml", MACHINE)))


@pytest.mark.parametrize(
    ("fresh", "reason", "code"),
    [
        (unavailable, "it looks worse, and could not be measured again here", 4),
        (again("a", []), "it looks worse, and could not be measured again here", 4),
        (
            failing(slower(1.3), bad=range(5)),
            "crashed: killed by SIGSEGV in 5 of 5 fresh processes (number 1, 2, 3, 4, 5), "
            "which were to confirm that it looks worse",
            5,
        ),
        (
            failing(slower(1.0), bad=(1, 3)),
            "crashed: killed by SIGSEGV in 2 of 5 fresh processes (number 2, 4), "
            "which were to confirm that it looks worse",
            5,
        ),
        (
            again("a", [None] * 5),
            "failed: no figure in 5 of 5 fresh processes (number 1, 2, 3, 4, 5), "
            "which were to confirm that it looks worse",
            5,
        ),
    ],
    ids=["not here", "nothing", "all failed", "two failed", "no figures"],
)
def test_a_suspect_that_cannot_be_measured_again_is_not_green(
    tmp_path: Path, fresh: suspects.Fresh, reason: str, code: int
) -> None:
    of = about(tmp_path, timed("a", STEADY), timed("a", slower(1.3)))
    found = judge(of, fresh)
    assert (only(found).verdict, only(found).reason) == (NOT_MEASURED, reason)
    assert code_of(of, found) == code


def test_processes_that_confirm_are_counted_and_those_that_failed_are_named(tmp_path: Path) -> None:
    of = about(tmp_path, timed("a", STEADY), timed("a", slower(1.3)))
    found = only(judge(of, failing(slower(1.3, 3), bad=(0, 4))))
    assert (found.verdict, found.reason) == (
        REGRESSED,
        "confirmed by 3 fresh processes; crashed: killed by SIGSEGV in 2 of 5 fresh processes (number 1, 5)",
    )


def test_a_time_that_collapses_is_no_improvement(tmp_path: Path) -> None:
    for of, before, after in ((LATENCY, 0.1, 0.001), (THROUGHPUT, 80.0, 8000.0)):
        base, head = timed("a", noisy(before, 1), of), timed("a", noisy(after, 2), of)
        found = only(judge(about(tmp_path, base, head), unasked))
        assert found.verdict == REGRESSED
        assert found.reason == "100 times as fast: suspicious, not an improvement until it is accepted"


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


# Peaks.


def peaks(cells: Mapping[str, Sequence[float]]) -> list[Record]:
    return [record for variant, values in cells.items() for record in timed(variant, values, INFER_MEMORY)]


class Held:
    """Fresh processes that hold so much; `asked` is how many were asked for."""

    def __init__(self, values: Sequence[float]) -> None:
        self.values, self.asked = values, 0

    def __call__(self, cells: Sequence[Cell], processes: int) -> Mapping[Cell, list[Record]]:
        self.asked = processes
        values = [self.values[n % len(self.values)] for n in range(processes)]
        return {cell: timed(cell[0], values, INFER_MEMORY) for cell in cells}


def test_a_peak_that_grew_is_confirmed_by_as_many_processes_as_that_takes(tmp_path: Path) -> None:
    """Of 27 peaks in three rounds each, one order of the runs in C(16, 3) is rare enough, one in C(15, 3) is not."""
    steady = {f"v{i}": [100.0, 101.0, 102.0] for i in range(27)}
    of = about(tmp_path, peaks(steady), peaks(steady | {"v5": [110.0, 111.0, 112.0]}))
    held = Held([109.0, 113.0])
    found = judge(of, held)
    assert held.asked == 10
    assert {one.cell: one.reason for one in found if one.verdict != PASS} == {
        "v5/fp32/peak_memory": "confirmed by 10 fresh processes"
    }
    assert found[0].change == (pytest.approx(1.13 / 1.02), None, None)


@pytest.mark.parametrize(
    ("fresh", "verdict", "reason"),
    [
        (Held([103.0, 101.0]), INCONCLUSIVE, "it looks worse, but 5 fresh processes do not confirm it"),
        (unavailable, NOT_MEASURED, "it looks worse, and could not be measured again here"),
        (
            failing([110.0] * 5, bad=(2,), of=INFER_MEMORY),
            REGRESSED,
            "confirmed by 4 fresh processes; crashed: killed by SIGSEGV in 1 of 5 fresh processes (number 3)",
        ),
    ],
    ids=["no", "not here", "all but one"],
)
def test_a_suspected_peak_is_measured_again(tmp_path: Path, fresh: suspects.Fresh, verdict: str, reason: str) -> None:
    of = about(tmp_path, peaks({"a": [100.0, 101.0, 102.0]}), peaks({"a": [110.0, 111.0, 112.0]}))
    found = only(judge(of, fresh))
    assert (found.verdict, found.reason) == (verdict, reason)


def test_a_peak_that_no_number_of_processes_could_confirm_is_open(tmp_path: Path) -> None:
    of = about(tmp_path, peaks({f"v{i}": [100.0] for i in range(15)}), peaks({f"v{i}": [110.0] for i in range(15)}))
    found = judge(of, unasked)
    assert {(one.verdict, one.reason.partition("; ")[2]) for one in found} == {
        (INCONCLUSIVE, "this gate has 15 and would take 6 runs of each")
    }


def test_peaks_that_repeat_to_the_byte_are_decided_at_once(tmp_path: Path) -> None:
    """As a device's allocator has them."""
    steady = {f"v{i}": [100.0, 100.0] for i in range(30)}
    found = judge(about(tmp_path, peaks(steady), peaks(steady | {"v5": [102.0, 102.0]})), unasked)
    assert {one.cell: one.verdict for one in found if one.verdict != PASS} == {"v5/fp32/peak_memory": REGRESSED}


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


class Made:
    """Runs of made-up cells, a value from each call of `draw`; the first cell of the run is worse by `by`."""

    def __init__(self, cells: int, of: Quantity, draw: Callable[[], float]) -> None:
        self.templates = {Suites.cell(one): one for one in (timed(f"v{i}", [1.0], of)[0] for i in range(cells))}
        self.of, self.draw = of, draw

    def rounds(self, cell: Cell, count: int, by: float = 1.0) -> Rounds:
        worse = by if cell[0] == "v0" else 1.0
        values = [[Value(quantity=self.of, value=worse * self.draw())] for _ in range(count)]
        return {n: msgspec.structs.replace(self.templates[cell], values=value) for n, value in enumerate(values)}

    def judged(self, rule: str, rounds: int, by: float = 1.0) -> list[Finding]:
        base, head = ({cell: self.rounds(cell, rounds, worse) for cell in self.templates} for worse in (1.0, by))
        run = Loaded(Path("run.jsonl"), header(), [], [])

        def fresh(cells: Sequence[Cell], processes: int) -> Mapping[Cell, list[Record]]:
            return {cell: [*self.rounds(cell, processes, by).values()] for cell in cells}

        return judge(Stored(run, run, {self.of.name: rule}, base, head, measures={self.of.name: "some"}), fresh)


@pytest.mark.parametrize("rounds", [1, 3, 5])
def test_peaks_that_vary_raise_no_more_alarms_than_they_may(rounds: int) -> None:
    """30 peaks with noise of 3 %, a rule of 1 %; by every run of head above all of base's, 78 % of gates at three."""
    random, gates = Random(7), 100
    made = Made(30, INFER_MEMORY, lambda: 1 + random.gauss(0, 0.03))
    alarms = sum(REGRESSED in {found.verdict for found in made.judged("1%", rounds)} for _ in range(gates))
    assert alarms <= 0.05 * gates


@pytest.mark.parametrize("rounds", [3, 5, 10])
def test_what_it_could_see_is_found_in_four_of_five(rounds: int) -> None:
    """Twelve cells of 1 % noise, one of them worse by what other gates said that they could see."""
    random, gates = Random(11), 150
    made = Made(12, LATENCY, lambda: exp(random.gauss(0, 0.01)))

    def first(by: float = 1.0) -> Finding:
        (found,) = [one for one in made.judged("2%", rounds, by) if one.variant == "v0"]
        return found

    seen = [first().detectable or 0 for _ in range(gates)]
    found = [first(1 + by).verdict == REGRESSED for by in seen]
    assert min(seen) > 0.02
    assert 0.7 <= sum(found) / gates <= 0.9


@pytest.mark.parametrize(("tolerance", "alarms", "passes"), [("0%", 5, 0.0), ("2%", 1, 0.4), ("10%", 0, 0.8)])
def test_false_alarms_and_decisions_where_nothing_changed(tolerance: str, alarms: int, passes: float) -> None:
    suites = Suites(cells=20, seed=5)
    found = [suites.judged(tolerance) for _ in range(100)]
    assert sum(REGRESSED in verdicts for verdicts in found) <= alarms  # of 100: 5 % where nothing is allowed
    share = sum(verdicts.count(PASS) for verdicts in found) / (100 * 20)
    assert share >= passes
    if tolerance == "0%":
        assert share < 0.05
