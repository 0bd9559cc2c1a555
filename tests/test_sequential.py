import math
import random
import subprocess
import sys
from collections.abc import Sequence

import numpy as np
import pytest
from benchmarks import simulate_gate as simulated
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import nctdtr, stdtrit
from scipy.stats import ttest_1samp

from bench.sequential import Decision, Noise, Plan, detectable, holm, look, pairs_needed, with_detectable
from bench.stats import Interval
from bench.variance import NOTHING, Prior

FIVE = [0.051, 0.048, 0.055, 0.043, 0.047]
WORSE = [0.2, 0.21, 0.19, 0.205, 0.195]
SAME = [0.001, -0.001, 0.0005, -0.0005, 0.0]
UNCLEAR = [0.1, -0.06, 0.05, -0.02, 0.08]

ORDER = {"OPEN": 1, "PASS": 0, "REGRESSED": 2}


def decide(values: Sequence[float], tolerance: float = 0.02, plan: Plan | None = None, number: int = 1) -> Decision:
    return look({"a": values}, {"a": tolerance}, plan or Plan(1), number)["a"]


def noisy(seed: int, cells: int, *, pairs: int = 5, sigma: float = 0.01) -> dict[str, list[float]]:
    rng = random.Random(seed)
    return {str(cell): [rng.gauss(0, sigma) for _ in range(pairs)] for cell in range(cells)}


@pytest.mark.parametrize(("looks", "cells"), [((5, 10, 20, 40), 1), ((5, 10), 7)])
def test_one_cell_is_a_one_sided_t_test_at_its_share_of_looks_and_cells(looks: tuple[int, ...], cells: int) -> None:
    expected = ttest_1samp(FIVE, math.log(1.02), alternative="greater")
    bounds = ttest_1samp(FIVE, 0).confidence_interval(0.95)
    decision = decide(FIVE, plan=Plan(cells, looks))
    assert decision.p == pytest.approx(expected.pvalue * len(looks) * cells)
    assert decision.change.value == pytest.approx(math.exp(0.0488))
    assert (decision.change.low, decision.change.high) == pytest.approx((math.exp(bounds.low), math.exp(bounds.high)))
    assert decision.sigma == pytest.approx(np.std(FIVE, ddof=1) / math.sqrt(2))
    assert (decision.verdict, decision.pairs) == ("REGRESSED", 5)


def test_a_cell_passes_by_the_upper_bound_of_its_look() -> None:
    # The bound of a look is mean + t(1 - share, 4) s / sqrt(5); the shares are 2.5, 1.25, 0.625 and 0.625 %.
    mean, error = np.mean(FIVE), np.std(FIVE, ddof=1) / math.sqrt(5)
    for number, share in enumerate((0.025, 0.0125, 0.00625, 0.00625), 1):
        bound = math.expm1(mean + stdtrit(4, 1 - share) * error)
        assert decide(FIVE, bound + 1e-6, number=number).verdict == "PASS"
        assert decide(FIVE, bound - 1e-6, number=number).verdict == "OPEN"


def test_holm_by_hand() -> None:
    p = {"a": 0.01, "b": 0.04, "c": 0.03, "d": 0.005}
    assert holm(p, 4) == pytest.approx({"a": 0.03, "b": 0.06, "c": 0.06, "d": 0.02})
    assert holm(p, 6) == pytest.approx({"a": 0.05, "b": 0.12, "c": 0.12, "d": 0.03})
    assert holm({"a": 0.5, "b": 0.5}, 2) == {"a": 1.0, "b": 1.0}


def test_a_regressed_cell_leaves_the_family_and_a_passed_one_stays() -> None:
    plan, tolerances = Plan(4), dict.fromkeys("abcd", 0.02)
    first = look({"a": WORSE, "b": SAME, "c": UNCLEAR, "d": UNCLEAR}, tolerances, plan, 1)
    assert [first[cell].verdict for cell in "abcd"] == ["REGRESSED", "PASS", "OPEN", "OPEN"]
    more = {"a": WORSE, "b": SAME, "c": [*FIVE, *FIVE], "d": UNCLEAR * 2}
    second = look(more, tolerances, plan, 2, first)
    alone = ttest_1samp(more["c"], math.log(1.02), alternative="greater").pvalue
    assert second["c"].p == pytest.approx(alone * 4 * 3)  # four looks; b, c and d are left
    assert second["a"] is first["a"] and second["b"] is first["b"]


def test_a_cell_that_was_never_measured_counts() -> None:
    assert decide(FIVE, plan=Plan(50)).p == pytest.approx(50 * decide(FIVE, plan=Plan(1)).p)


def test_equal_differences_are_decided_by_their_mean() -> None:
    assert decide([0.1] * 5).verdict == "REGRESSED"
    assert decide([0.1 + 0.2 - 0.3, 0.0, 0.0]).verdict == "PASS"
    assert decide([math.log1p(0.02)] * 5).verdict == "OPEN"
    worse = decide([0.1] * 5)
    assert (worse.p, worse.sigma) == (0.0, 0.0)
    assert worse.change.low == worse.change.value == worse.change.high
    assert with_detectable({"a": worse}, {"a": [0.1] * 5}, {"a": 0.02}, Plan(1))["a"].detectable == 0.02


def test_one_pair_decides_nothing() -> None:
    decision = decide([0.5])
    assert decision == Decision("OPEN", Interval(pytest.approx(math.exp(0.5)), None, None), 1.0, 1, None)
    assert with_detectable({"a": decision}, {"a": [0.5]}, {"a": 0.02}, Plan(1))["a"].detectable is None


@pytest.mark.parametrize(
    ("values", "tolerance", "number", "said"),
    [
        ([0.1, math.nan], 0.02, 1, "a: a difference is not finite"),
        ([0.1, -math.inf], 0.02, 1, "a: a difference is not finite"),
        ([], 0.02, 1, "a: no differences"),
        ([0.1, 0.2], -0.02, 1, "a: tolerance -0.02"),
        ([0.1, 0.2], math.nan, 1, "a: tolerance nan"),
        ([0.1, 0.2], 0.02, 0, "look 0: the plan has looks 1 to 4"),
        ([0.1, 0.2], 0.02, 5, "look 5: the plan has looks 1 to 4"),
    ],
)
def test_what_cannot_be_tested_is_refused(values: list[float], tolerance: float, number: int, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        decide(values, tolerance, number=number)


def test_more_cells_than_planned_and_senseless_plans_are_refused() -> None:
    with pytest.raises(ValueError, match="2 measured cells, but 1 in the plan"):
        look({"a": FIVE, "b": FIVE}, {"a": 0.02, "b": 0.02}, Plan(1), 1)
    with pytest.raises(ValueError, match="a: tolerance None"):
        look({"a": FIVE}, {}, Plan(1), 1)
    for cells, looks in ((0, (5,)), (1, ()), (1, (1, 5)), (1, (5, 5)), (1, (10, 5))):
        with pytest.raises(ValueError, match=r"gated cells|looks at"):
            Plan(cells, looks)


def test_an_improvement_is_said_and_is_no_verdict() -> None:
    assert not decide(SAME).improved
    better = decide([-x for x in FIVE])
    assert better.improved and better.verdict == "PASS"
    assert not decide([-x for x in UNCLEAR]).improved


def test_few_cells_or_a_switch_leave_each_cell_to_itself() -> None:
    for cells, plan in ((9, Plan(9)), (20, Plan(20, moderated=False))):
        values = noisy(1, cells)
        found = look(values, dict.fromkeys(values, 0.5), plan, 1)
        bounds = ttest_1samp(values["3"], 0).confidence_interval(0.95)
        assert found["3"].change.high == pytest.approx(math.exp(bounds.high))


def test_other_cells_steady_a_calm_sample_and_never_calm_a_noisy_one() -> None:
    values = noisy(2, 30)
    values["calm"], values["wild"] = [x / 100 for x in FIVE], [0.3, -0.3, 0.2, -0.25, 0.1]
    found = look(values, dict.fromkeys(values, 0.5), Plan(32), 1)
    alone = look(values, dict.fromkeys(values, 0.5), Plan(32, moderated=False), 1)
    widths = {cell: (found[cell].change.half_width, alone[cell].change.half_width) for cell in values}
    assert widths["calm"][0] > 2 * widths["calm"][1]
    error = np.std(values["wild"], ddof=1) / math.sqrt(5)
    assert math.log(found["wild"].change.high / found["wild"].change.value) > 1.96 * error


def cases(cells: int) -> st.SearchStrategy[dict[str, list[float]]]:
    one = st.lists(st.floats(-0.2, 0.2), min_size=2, max_size=6)
    return st.lists(one, min_size=1, max_size=cells).map(lambda some: {str(i): x for i, x in enumerate(some)})


@settings(max_examples=60)
@given(cases(14), st.randoms(use_true_random=False))
def test_the_order_of_cells_does_not_matter(values: dict[str, list[float]], rng: random.Random) -> None:
    cells = list(values)
    rng.shuffle(cells)
    tolerances = dict.fromkeys(values, 0.02)
    shuffled = {cell: values[cell] for cell in cells}
    assert look(values, tolerances, Plan(20), 2) == look(shuffled, tolerances, Plan(20), 2)


@settings(max_examples=60)
@given(cases(12), st.floats(0, 0.3), st.floats(0, 0.3))
def test_more_tolerance_is_never_worse(values: dict[str, list[float]], tolerance: float, more: float) -> None:
    strict, lax = (look(values, dict.fromkeys(values, t), Plan(12), 1) for t in (tolerance, tolerance + more))
    assert all(ORDER[lax[cell].verdict] <= ORDER[strict[cell].verdict] for cell in values)


@settings(max_examples=60)
@given(st.lists(st.tuples(st.floats(0.5, 2), st.floats(0.5, 2)), min_size=5, max_size=5), st.floats(1e-6, 1e6))
def test_scaling_both_arms_changes_nothing(pairs: list[tuple[float, float]], scale: float) -> None:
    plain = decide([math.log(head) - math.log(base) for base, head in pairs], 0.021)
    scaled = decide([math.log(scale * head) - math.log(scale * base) for base, head in pairs], 0.021)
    assert scaled.verdict == plain.verdict
    assert scaled.p == pytest.approx(plain.p, rel=1e-6, abs=1e-9)


@settings(max_examples=60)
@given(cases(12), st.floats(0, 0.3))
def test_what_is_shown_agrees_with_the_verdict(values: dict[str, list[float]], tolerance: float) -> None:
    for decision in look(values, dict.fromkeys(values, tolerance), Plan(12), 1).values():
        low, high = decision.change.low, decision.change.high
        assert low is not None and high is not None
        assert decision.verdict != "PASS" or high <= (1 + tolerance) * (1 + 1e-12)
        assert decision.verdict != "REGRESSED" or low >= (1 + tolerance) * (1 - 1e-12)
        assert (decision.verdict == "REGRESSED") == (decision.p <= 0.05)


def test_with_a_single_look_the_detectable_change_is_that_of_a_t_test() -> None:
    change = detectable(Noise(0.01), 0.02, Plan(3, (40,)))
    effect = (math.log1p(change) - math.log1p(0.02)) / (0.01 * math.sqrt(2)) * math.sqrt(40)
    assert 1 - nctdtr(39, effect, stdtrit(39, 1 - 0.05 / 3)) == pytest.approx(0.8, abs=0.01)


def test_the_detectable_change_grows_with_noise_family_doubt_and_fewer_looks() -> None:
    plan = Plan(9)
    base = detectable(Noise(0.01), 0.02, plan)
    assert base == detectable(Noise(0.01), 0.02, plan)
    assert 0.02 < detectable(Noise(0.005), 0.02, plan) < base
    assert base < detectable(Noise(0.01), 0.02, Plan(50))
    assert base < detectable(Noise(0.01, df=4), 0.02, plan)
    by_looks = [detectable(Noise(0.01), 0.02, plan, looks) for looks in (1, 2, 3, 4)]
    assert by_looks == sorted(by_looks, reverse=True) and by_looks[-1] == base
    # The tolerance shifts what is found, and does not stretch it.
    other = math.log1p(detectable(Noise(0.01), 0.10, plan)) - math.log(1.10)
    assert other == pytest.approx(math.log1p(base) - math.log(1.02))


@pytest.mark.parametrize(("change", "cells"), [(0.05, 1), (0.05, 50), (0.0, 50), (0.025, 9)])
def test_as_many_pairs_as_needed_decide_in_four_of_five(change: float, cells: int) -> None:
    plan, sigma = Plan(cells, moderated=False), 0.02
    needed = pairs_needed(change, sigma, 0.02, plan)
    assert needed is not None
    drawn = math.log1p(change) + math.sqrt(2) * sigma * np.random.default_rng(7).standard_normal((500, needed))
    wanted = "REGRESSED" if change > 0.02 else "PASS"
    hits = sum(decide(values, plan=plan, number=4).verdict == wanted for values in drawn.tolist())
    assert 0.75 <= hits / 500 <= 0.86


def test_pairs_needed_has_no_answer_at_the_tolerance_or_beyond_reason() -> None:
    assert pairs_needed(0.02, 0.01, 0.02, Plan(1)) is None
    assert pairs_needed(0.020001, 0.5, 0.02, Plan(1)) is None
    assert pairs_needed(0.05, 0.0, 0.02, Plan(1)) == 2


def test_suites_raise_no_false_alarm_though_runs_drift_and_have_outliers() -> None:
    alarms = sum(g.alarms > 0 for g in simulated.Study(60, 1).gates(simulated.MIXED, 0.02, Plan(50)))
    assert alarms == 0


@pytest.mark.parametrize("moderated", [True, False])
def test_at_the_tolerance_a_family_alarms_and_a_cell_passes_in_at_most_one_of_twenty(moderated: bool) -> None:
    plan = Plan(12, moderated=moderated)
    gates = list(simulated.Study(300, 2).gates(simulated.MIXED, 0.02, plan, 0.02))
    low, _ = simulated.clopper_pearson(sum(g.alarms > 0 for g in gates), len(gates))
    passed = sum(d.verdict == "PASS" for g in gates for d in g.decisions.values())
    assert low <= 0.05
    assert passed / (12 * len(gates)) <= 0.05


@pytest.mark.parametrize(("sigma", "most"), [(0.005, 6), (0.01, 9)])
def test_quiet_suites_are_decided_by_few_pairs(sigma: float, most: float) -> None:
    gates = list(simulated.Study(40, 3).gates(sigma, 0.02, Plan(50)))
    assert np.mean([d.pairs for g in gates for d in g.decisions.values()]) <= most
    assert np.mean([d.verdict == "PASS" for g in gates for d in g.decisions.values()]) >= 0.99


def test_a_wide_tolerance_decides_noisy_cells() -> None:
    gates = list(simulated.Study(20, 4).gates(0.02, 0.1, Plan(50)))
    assert np.mean([d.verdict == "PASS" for g in gates for d in g.decisions.values()]) >= 0.8


@pytest.mark.parametrize("sigma", [0.005, 0.01])
def test_five_percent_slower_is_found(sigma: float) -> None:
    hits = list(simulated.Study(40, 5).hits(sigma, 0.05, 0.02, Plan(50), simulated.ROUGH))
    assert sum(hits) == len(hits)


@pytest.mark.parametrize(("cells", "tolerance"), [(1, 0.02), (9, 0.1), (12, 0.02)])
def test_the_detectable_change_is_found_in_four_of_five(cells: int, tolerance: float) -> None:
    plan, sigma = Plan(cells), 0.01
    noise = Noise(sigma, prior=Prior(2 * sigma**2, math.inf) if cells >= 10 else NOTHING)
    change = detectable(noise, tolerance, plan)
    hits = list(simulated.Study(500, 6).hits(sigma, change, tolerance, plan, simulated.CALM))
    assert 0.75 <= sum(hits) / len(hits) <= 0.85


def test_importing_the_test_is_light() -> None:
    code = "import sys, bench.sequential; print(*(name for name in ('numpy', 'scipy') if name in sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == ""
