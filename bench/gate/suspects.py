"""What looks worse in a stored run, and what fresh processes say of it.

A time is suspected where its rounds say so at 5 %, a peak where it is larger in every round. Neither has regressed
before fresh processes say so too, and what they were kept from saying is not green.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from math import exp, expm1, isfinite, log, log1p, sqrt
from typing import TYPE_CHECKING, NamedTuple

from bench import gate
from bench.contrasts import Moments, Welch
from bench.gate import INCONCLUSIVE, NOT_MEASURED, PASS, REGRESSED, Span
from bench.gate.arms import Cell
from bench.gate.rules import TIMES
from bench.gate.sitting import Figure
from bench.record import Quantity, Record, Value
from bench.sequential import ALPHA, PATHS, POWER, SEED

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

FRESH, MOST_FRESH = 5, 20
"""Fresh processes of a suspected cell, and how many they may become where a peak takes more to be told from chance."""

Fresh = Callable[[Sequence[Cell], int], Mapping[Cell, list[Record]]]
"""Cells and a number of processes -> their records, measured now, failed ones too; none of a cell that cannot be."""


class Sides(NamedTuple):
    """A figure's values in the baseline and in the run."""

    base: list[Value]
    head: list[Value]

    @property
    def quantity(self) -> Quantity:
        """As the run describes it."""
        return self.head[-1].quantity

    @property
    def timed(self) -> bool:
        """Decided by a test of its mean."""
        return self.quantity.unit in TIMES


class Seen(NamedTuple):
    """What fresh processes found of a suspect, and what became of those that found nothing."""

    values: list[Value]
    lost: str

    def verdict(self, worse: bool) -> tuple[str, str]:
        """(Verdict, reason); `worse` where all that was measured says so."""
        if worse and self.values:
            return REGRESSED, "; ".join(filter(None, (f"confirmed by {len(self.values)} fresh processes", self.lost)))
        if self.lost:
            return NOT_MEASURED, f"{self.lost}, which were to confirm that it looks worse"
        if not self.values:
            return NOT_MEASURED, "it looks worse, and could not be measured again here"
        return INCONCLUSIVE, f"it looks worse, but {len(self.values)} fresh processes do not confirm it"


def again(sides: Mapping[Figure, Sides], rules: Mapping[str, str], peaks: int, fresh: Fresh) -> dict[Figure, Seen]:
    """The suspects among all figures, measured again; each as often as the one that needs it most often."""
    wanted = {figure: processes(both, rules[figure[1]], peaks) for figure, both in sides.items()}
    suspects = [figure for figure, count in wanted.items() if count]
    if not suspects:
        return {}
    records = fresh(list(dict.fromkeys(cell for cell, _ in suspects)), max(wanted.values()))
    return {(cell, name): _seen(records.get(cell, ()), name) for cell, name in suspects}


def processes(both: Sides, rule: str, peaks: int) -> int:
    """Fresh processes that must confirm a figure; 0 where it does not look worse, or no number of them would do."""
    allowed = gate.tolerance(rule)
    if both.timed:
        test = welch(*both)
        return FRESH if test and test.p(log1p(allowed)) <= ALPHA else 0
    base, head = ([float(value.value or 0) for value in values] for values in both)
    larger = min(head) > max(base) and max(head) > (1 + allowed) * max(base)
    if not gate.is_peak(both.quantity) or not larger or gate.repeats(base, head):
        return 0
    needed = max(FRESH, gate.head_runs(peaks, len(base)) - len(head))
    return needed if needed <= MOST_FRESH else 0


def _seen(records: Sequence[Record], name: str) -> Seen:
    why = [lost(record, name) for record in records]
    said = []
    for reason in dict.fromkeys(filter(None, why)):
        which = [str(number) for number, one in enumerate(why, 1) if one == reason]
        said.append(f"{reason} in {len(which)} of {len(why)} fresh processes (number {', '.join(which)})")
    return Seen(values_of(records, name), "; ".join(said))


def lost(record: Record, name: str) -> str:
    """Why a record has no figure to judge; empty where it has one."""
    value = next((value for value in record.values if value.quantity.name == name), None)
    if value is not None and value.value is not None and isfinite(value.value):
        positive = value.value > 0 or value.quantity.unit not in TIMES
        return "" if positive else f"failed: {name} is {value.value}"
    if value is not None and value.reason:
        return f"failed: {value.reason}"
    if record.status != "ok":
        return f"{record.status}: {record.reason}"
    return "no such figure" if value is None else "failed: no figure"


def values_of(records: Iterable[Record], name: str) -> list[Value]:
    """A quantity's values, as far as they can be judged."""
    whole = [record for record in records if not lost(record, name)]
    return [next(value for value in record.values if value.quantity.name == name) for record in whole]


def welch(base: Sequence[Value], head: Sequence[Value]) -> Welch | None:
    """Of the logarithms of times or rates, positive where head is worse; None below two values on a side."""
    return Welch.of(_logs(base), _logs(head))


def _logs(values: Sequence[Value]) -> list[float]:
    return [log(value.value or 0) * (-1.0 if value.quantity.better == "higher" else 1.0) for value in values]


def verdict(test: Welch | None, margin: float) -> tuple[str, str]:
    """(Verdict, reason) of a time that is not suspected, by its rounds."""
    if test is None:
        return INCONCLUSIVE, "one round on a side: no interval; measure with --rounds 3 or more"
    if suspicious := gate.too_fast(exp(test.mean), exp(test.mean + test.reach)):
        return REGRESSED, suspicious
    if test.mean + test.reach < margin:  # the whole interval that is shown
        return PASS, "improved" if test.mean + test.reach < -margin else ""
    return INCONCLUSIVE, "the rounds do not tell"


def change(test: Welch, quantity: Quantity) -> Span:
    """Head over base."""
    value, low, high = (exp(bound) for bound in (test.mean, test.mean - test.reach, test.mean + test.reach))
    return gate.head_over_base((value, low, high), quantity)


def detectable(both: Sides, margin: float, figures: int) -> float:
    """The smallest worsening that is found with 80 % power among so many timed figures, at the noise of the rounds.

    As many rounds as these must raise the suspicion, and FRESH processes confirm it; two or more rounds on each side.
    """
    base, head = (Moments.of(_logs(values)) for values in both)
    df = base.count + head.count - 2
    noise = sqrt(((base.count - 1) * base.variance + (head.count - 1) * head.variance) / df)
    return expm1(margin + noise * _excess(base.count, head.count, figures))


@lru_cache(maxsize=64)
def _excess(base: int, head: int, figures: int) -> float:
    """What a worsening must exceed its margin by to be found, in standard deviations as so many rounds show them.

    Each simulated cell has one least worsening; the doubt about the noise is drawn with it. The product of quantiles
    and error, which would do for one test, is found in 40 to 75 % only, since there are two tests.
    """
    import numpy as np

    draw, df = np.random.default_rng(SEED), base + head - 2
    before, after, again = (draw.standard_normal((PATHS, count)) for count in (base, head, FRESH))
    doubt = np.sqrt(df / (2 * draw.standard_gamma(df / 2, PATHS)))
    least = np.maximum(_least(before, after, ALPHA), _least(before, again, ALPHA / figures))
    return float(np.quantile(least * doubt, POWER))


def _least(base: "NDArray[np.float64]", head: "NDArray[np.float64]", level: float) -> "NDArray[np.float64]":
    """What must be added to each row of head for Welch's test to reject at a level."""
    from scipy.special import stdtrit

    counts = (base.shape[1], head.shape[1])
    parts = [side.var(axis=1, ddof=1) / count for side, count in zip((base, head), counts, strict=True)]
    total = parts[0] + parts[1]
    df = total**2 / sum(part**2 / (count - 1) for part, count in zip(parts, counts, strict=True))
    found: NDArray[np.float64] = stdtrit(df, 1 - level) * total**0.5 - (head.mean(axis=1) - base.mean(axis=1))
    return found
