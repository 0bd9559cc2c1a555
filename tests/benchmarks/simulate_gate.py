"""How often `bench gate` raises a false alarm, what it finds and what it costs: simulated, as a Markdown table.

    python tests/benchmarks/simulate_gate.py [--suites 1000] [--seed 0]

Runs are lognormal, with noise `sigma`; one in twenty is an outlier, slower by a half-normal of three times the noise.
Both arms drift by 3 % while the pairs are measured, fast at first as a device that warms up; which arm of a pair comes
first is drawn. Intervals are Clopper and Pearson's, 95 %.
"""

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from math import inf, log1p, sqrt

import numpy as np
from numpy.typing import NDArray
from scipy.stats import beta

from bench.sequential import Decision, Noise, Plan, detectable, look, with_detectable
from bench.variance import FEWEST_CELLS, NOTHING, Prior

Array = NDArray[np.float64]
Sigma = float | tuple[float, float]

MIXED = (0.003, 0.03)
"""Least and greatest noise of the cells of a suite, log-uniform between."""

TOLERANCE = 0.02


@dataclass(frozen=True)
class World:
    """What runs suffer from, beside their noise; `CALM` for a check of arithmetic."""

    outliers: float = 0.05
    width: float = 3.0
    drift: float = 0.03


ROUGH, CALM = World(), World(outliers=0.0, drift=0.0)


@dataclass(frozen=True)
class Row:
    """A line of the table: hits of trials, or a mean."""

    what: str
    hits: float
    trials: int
    wanted: str

    def __str__(self) -> str:
        low, high = clopper_pearson(int(self.hits), self.trials)
        share = f"{self.hits / self.trials:.2%} | {low:.2%} to {high:.2%}"
        return f"| {self.what} | {share} | {self.trials} | {self.wanted} |"


@dataclass(frozen=True)
class Mean:
    """A line of the table: a mean with its interval."""

    what: str
    values: list[float]
    wanted: str

    def __str__(self) -> str:
        reach = 1.96 * float(np.std(self.values, ddof=1)) / sqrt(len(self.values))
        mean, n = float(np.mean(self.values)), len(self.values)
        return f"| {self.what} | {mean:.2f} | {mean - reach:.2f} to {mean + reach:.2f} | {n} | {self.wanted} |"


def clopper_pearson(hits: int, trials: int) -> tuple[float, float]:
    """The exact 95 % interval of a share."""
    low = 0.0 if hits == 0 else float(beta.ppf(0.025, hits, trials - hits + 1))
    high = 1.0 if hits == trials else float(beta.ppf(0.975, hits + 1, trials - hits))
    return low, high


def said(sigma: Sigma) -> str:
    """A noise in words."""
    return f"{sigma:.1%}" if isinstance(sigma, float) else "{:.1%} to {:.1%}".format(*sigma)


def noises(rng: np.random.Generator, sigma: Sigma, cells: int) -> Array:
    """A noise for each cell of a suite: all the same, or between two."""
    if isinstance(sigma, float):
        return np.full(cells, sigma)
    return np.exp(rng.uniform(np.log(sigma[0]), np.log(sigma[1]), cells))


def differences(rng: np.random.Generator, sigma: Array, pairs: int, world: World = ROUGH) -> Array:
    """What a sitting yields: cells x pairs, ln(head) - ln(base), of arms that are the same."""
    runs = rng.standard_normal((len(sigma), pairs, 2))
    slow = rng.random(runs.shape) < world.outliers
    runs = np.where(slow, world.width * np.abs(runs), runs) * sigma[:, None, None]
    runs += world.drift * (1 - np.exp(-np.arange(2.0 * pairs) / 10)).reshape(pairs, 2)
    first_is_base = rng.random((len(sigma), pairs)) < 0.5
    return np.where(first_is_base, 1, -1) * (runs[..., 1] - runs[..., 0])


@dataclass(frozen=True)
class Gate:
    """A gate that has ended: its decisions, and the pairs of each cell."""

    decisions: dict[str, Decision]
    pairs: dict[str, list[float]]
    tolerance: float
    plan: Plan

    @property
    def alarms(self) -> int:
        """How many cells are REGRESSED."""
        return sum(d.verdict == "REGRESSED" for d in self.decisions.values())

    def printed(self, cell: str) -> float:
        """The smallest detectable change of a cell, as a person reads it."""
        one = {cell: self.decisions[cell]}
        tolerances = dict.fromkeys(self.pairs, self.tolerance)
        found = with_detectable(one, self.pairs, tolerances, self.plan)[cell].detectable
        assert found is not None
        return found


def gate(drawn: Array, tolerance: float, plan: Plan, until: str = "") -> Gate:
    """Look until all cells are decided or the looks are used up; `until` names a cell that alone matters."""
    tolerances = {str(cell): tolerance for cell in range(len(drawn))}
    decisions: dict[str, Decision] = {}
    pairs: dict[str, list[float]] = {}
    for number, count in enumerate(plan.looks, 1):
        open_cells = [c for c in tolerances if c not in decisions or decisions[c].verdict == "OPEN"]
        pairs |= {cell: drawn[int(cell), :count].tolist() for cell in open_cells}
        decisions = look(pairs, tolerances, plan, number, decisions)
        left = [until] if until else list(tolerances)
        if all(decisions[cell].verdict != "OPEN" for cell in left):
            break
    return Gate(decisions, pairs, tolerance, plan)


@dataclass(frozen=True)
class Study:
    """So many suites for a line that costs little, fewer for a dear one; its methods yield lines of the table."""

    suites: int
    seed: int

    def rng(self, *parts: float) -> np.random.Generator:
        """A generator of its own for each line."""
        return np.random.default_rng([self.seed, *(round(1e6 * part) for part in parts)])

    def gates(self, sigma: Sigma, tolerance: float, plan: Plan, worse: float = 0.0, share: int = 1) -> Iterator[Gate]:
        """Gates of suites (one in `share`) in which every cell is worse by `worse`."""
        rng = self.rng(*np.atleast_1d(sigma), tolerance, worse)
        for _ in range(self.suites // share):
            drawn = differences(rng, noises(rng, sigma, plan.cells), plan.looks[-1])
            yield gate(drawn + log1p(worse), tolerance, plan)

    def false_alarms(self) -> Iterator[Row]:
        """Suites with an alarm where nothing changed, and where every cell has used up its tolerance."""
        for moderated, worse in product((True, False), (0.0, TOLERANCE)):
            plan = Plan(50, moderated=moderated)
            state = f"every cell worse by the tolerance, {TOLERANCE:.0%}" if worse else "A/A"
            name = f"suites with a false alarm: 50 cells, 0.3 to 3 %, {state}{'' if moderated else ', not moderated'}"
            gates = list(self.gates(MIXED, TOLERANCE, plan, worse))
            yield Row(name, sum(g.alarms > 0 for g in gates), len(gates), "<= 5 %" if worse else "<= 1 %")
            if worse:
                passed = sum(d.verdict == "PASS" for g in gates for d in g.decisions.values())
                yield Row("- cells of these that pass", passed, 50 * len(gates), "<= 5 %")

    def noisy_cell(self) -> Iterator[Row]:
        """Suites of 50 cells at their tolerance, of which one has several times the noise of the others."""
        for times in (3.0, 10.0):
            rng, sigma = self.rng(times), np.full(50, 0.003)
            sigma[0] *= times
            drawn = (differences(rng, sigma, 40) + log1p(TOLERANCE) for _ in range(self.suites))
            gates = [gate(one, TOLERANCE, Plan(50)) for one in drawn]
            name = f"every cell worse by the tolerance, one {times:g} times as noisy as 49: "
            yield Row(name + "suites with a false alarm", sum(g.alarms > 0 for g in gates), len(gates), "<= 5 %")
            passed = sum(g.decisions["0"].verdict == "PASS" for g in gates)
            yield Row("- the noisy cell passes", passed, len(gates), "")

    def decided(self) -> Iterator[Row]:
        """How many cells pass where nothing changed."""
        for sigma, tolerance in ((0.02, 0.1), (MIXED, 0.1), (MIXED, TOLERANCE)):
            verdicts = [d.verdict for g in self.gates(sigma, tolerance, Plan(50), 0, 4) for d in g.decisions.values()]
            name = f"A/A cells that pass: noise {said(sigma)}, tolerance {tolerance:.0%}"
            yield Row(name, verdicts.count("PASS"), len(verdicts), ">= 80 %" if tolerance == 0.1 else "")

    def cost(self) -> Iterator[Mean]:
        """Mean pairs where nothing changed."""
        wanted = {0.003: "<= 6", 0.005: "<= 6", 0.01: "<= 9"}
        for moderated, sigma in product((True, False), (0.003, 0.005, 0.01, 0.02)):
            gates = self.gates(sigma, TOLERANCE, Plan(50, moderated=moderated), 0, 4)
            pairs = [float(np.mean([d.pairs for d in g.decisions.values()])) for g in gates]
            name = f"mean pairs for a cell, A/A: noise {said(sigma)}{'' if moderated else ', not moderated'}"
            yield Mean(name, pairs, wanted.get(sigma, ""))

    def found(self) -> Iterator[Row]:
        """One of 50 cells 5 % slower, at a tolerance of 2 %."""
        wanted = {0.005: "100 %", 0.01: ">= 95 %", 0.02: ">= 70 %"}
        for moderated, sigma in product((True, False), wanted):
            hits = list(self.hits(sigma, 0.05, TOLERANCE, Plan(50, moderated=moderated), ROUGH))
            name = f"5 % slower, found: noise {said(sigma)}{'' if moderated else ', not moderated'}"
            yield Row(name, sum(hits), len(hits), wanted[sigma])

    def hits(self, sigma: float, worse: float, tolerance: float, plan: Plan, world: World) -> Iterator[bool]:
        """For each suite, whether the first cell, the only one that is worse, is found."""
        rng = self.rng(sigma, worse, tolerance, plan.cells)
        for _ in range(self.suites):
            drawn = differences(rng, np.full(plan.cells, sigma), plan.looks[-1], world)
            drawn[0] += log1p(worse)
            yield gate(drawn, tolerance, plan, until="0").decisions["0"].verdict == "REGRESSED"

    def power(self) -> Iterator[Row]:
        """Whether the smallest detectable change is found in 80 %, the noise being known.

        What is found hangs on (change - tolerance) / noise alone, so that the lines of a family may be added up.
        """
        for cells in (1, 9, 50):
            plan, all_hits = Plan(cells), []
            for sigma, tolerance in product((0.003, 0.01, 0.03), (0.02, 0.1)):
                prior = Prior(2 * sigma**2, inf) if cells >= FEWEST_CELLS else NOTHING
                change = detectable(Noise(sigma, prior=prior), tolerance, plan)
                hits = list(self.hits(sigma, change, tolerance, plan, CALM))
                name = f"power at {change:.2%}: {cells} cells, noise {said(sigma)}, tolerance {tolerance:.0%}"
                yield Row(name, sum(hits), len(hits), "75 to 85 %")
                all_hits += hits
            yield Row(f"- all six with {cells} cells", sum(all_hits), len(all_hits), "75 to 85 %")

    def printed(self) -> Iterator[Row]:
        """Whether the change that a sitting's A/A gate printed is found in 80 % of next sittings."""
        worlds = ((CALM, "normal"), (ROUGH, "outliers, drift"))
        for (world, how), (cells, sigma) in product(worlds, ((1, 0.01), (9, 0.01), (9, 0.03), (50, 0.01), (50, MIXED))):
            rng, plan, hits = self.rng(cells, *np.atleast_1d(sigma)), Plan(cells), []
            for _ in range(self.suites):
                sigmas = noises(rng, sigma, cells)
                change = gate(differences(rng, sigmas, 40, world), TOLERANCE, plan).printed("0")
                drawn = differences(rng, sigmas, 40, world)
                drawn[0] += log1p(change)
                hits.append(gate(drawn, TOLERANCE, plan, until="0").decisions["0"].verdict == "REGRESSED")
            name = f"power at what a gate printed: {cells} cells, {said(sigma)}, {how}"
            yield Row(name, sum(hits), len(hits), "75 to 85 %")

    def coverage(self) -> Iterator[Row]:
        """Whether the 95 % intervals that are shown hold the true change, after looks that may stop early."""
        for worse in (0.0, 0.01, 0.02, 0.05):
            gates = self.gates(MIXED, TOLERANCE, Plan(50), worse, 10)
            changes = [d.change for g in gates for d in g.decisions.values()]
            hits = sum(c.low <= 1 + worse <= c.high for c in changes if c.low is not None and c.high is not None)
            yield Row(f"intervals that hold the true change of {worse:.0%}", hits, len(changes), "")


def lines(suites: int, seed: int) -> Iterator[Row | Mean]:
    """The whole table. What takes all looks in many cells, or many lines, is done with half of the suites."""
    full, half = Study(suites, seed), Study(suites // 2, seed)
    parts = (full.false_alarms, half.noisy_cell, full.decided, full.cost, full.found, half.power, half.printed)
    for part in (*parts, full.coverage):
        yield from part()


def main() -> None:
    """Print the table, line by line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--suites", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    print("| what | seen | 95 % interval | of | wanted |\n|:--|--:|:-:|--:|:-:|")
    for line in lines(asked.suites, asked.seed):
        print(line, flush=True)


if __name__ == "__main__":
    main()
