"""What a machine's noise is, and what the gate makes of it: false alarms on unchanged code, power on slowed code.

Every cell was measured in three arms, fresh processes of the same code beside one another: `first` and `second` are
alike, `slowed` is longer by a known share. The pairs are cut into disjoint blocks, and the gate's own procedure is
played on each of them, so that a block is one gate that somebody might have run in that sitting.
"""

import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from math import expm1, sqrt
from pathlib import Path

import msgspec

from bench.errors import StoreError
from bench.record import Json
from bench.sequential import ALPHA, LOOKS, Decision, Plan, look, with_detectable
from bench.stats import MISS, arithmetic_interval
from bench.variance import variance_of

FIRST, SECOND, SLOWED = ARMS = ("first", "second", "slowed")
"""Two arms that are alike, and one that is slower."""

FEWEST = 2
"""Pairs from which there is a noise."""

Differences = Mapping[str, Sequence[float]]
"""Cell -> ln(other arm) - ln(first arm) of each pair."""


class Rate(msgspec.Struct, frozen=True):
    """How often something happened in some trials, with the 95 % interval of its chance."""

    hits: int
    trials: int
    low: float
    high: float


class Cell(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The noise of one cell.

    Attributes:
        sigma, low, high: noise of a run (standard deviation of its logarithm, 0.01: 1 %) with its 95 % interval.
        slower: what the slowed arm was slower by (0.05: 5 %), and the bounds of its 95 % interval.
        detectable: pairs -> the smallest worsening that a gate with so many pairs finds with 80 % power (0.05: 5 %).
    """

    pairs: int
    sigma: float
    low: float
    high: float
    slower: tuple[float, float | None, float | None]
    detectable: dict[str, float] = {}


class Trials(msgspec.Struct, frozen=True, kw_only=True):
    """What gates of at most so many pairs said.

    Attributes:
        gates, cells: false alarms on unchanged code: gates with one or more, cells with one.
        untolerated: gates with a false alarm, were no worsening allowed: the tolerance cannot hide a noise that the
            test does not understand.
        found, inconclusive, missed: of cells that were slowed, each alone among unchanged ones: REGRESSED,
            INCONCLUSIVE and PASS.
    """

    pairs: int
    gates: Rate
    cells: Rate
    untolerated: Rate
    found: Rate
    inconclusive: Rate
    missed: Rate


class NoiseFloor(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a calibration found on one machine in one sitting.

    Attributes:
        protocol: the fields of the fingerprints that all cells agree on.
        newest: when the newest of its records was begun, UTC.
        tolerance, slowdown: shares, 0.02 of 2 %.
        pairs: of every cell that was measured to the end.
        cells: `variant/mode` -> its noise; trials: one for each length of a gate that the pairs allow.
        lost: cell -> why it has no figures; ended: why the sitting was shorter than it was meant to be.
    """

    suite: str
    machine: Json
    profile: str
    protocol: Json
    newest: str
    tolerance: float
    slowdown: float
    pairs: int
    cells: dict[str, Cell]
    trials: list[Trials]
    lost: dict[str, str] = {}
    ended: str = ""

    @property
    def distrusted(self) -> list[Trials]:
        """Lengths at which false alarms are more frequent than 5 %, beyond doubt: of gates, or even of single cells."""
        return [t for t in self.trials if max(t.gates.low, t.cells.low) > ALPHA]


def rate(hits: int, trials: int) -> Rate:
    """A share with its exact 95 % interval (C. J. Clopper and E. S. Pearson, 1934).

    >>> [round(bound, 3) for bound in (rate(0, 4).low, rate(0, 4).high, rate(3, 4).low)]
    [0.0, 0.602, 0.194]

    Raises:
        ValueError: no trials.
    """
    from scipy.special import betaincinv  # here, since most commands do not need it

    if not 0 <= hits <= trials or not trials:
        raise ValueError(f"{hits} of {trials}: there must be trials, and no more hits than those")
    low = float(betaincinv(hits, trials - hits + 1, MISS / 2)) if hits else 0.0
    high = float(betaincinv(hits + 1, trials - hits, 1 - MISS / 2)) if hits < trials else 1.0
    return Rate(hits, trials, low, high)


def noise(differences: Sequence[float]) -> tuple[float, float, float]:
    """Noise of a run and the bounds of its 95 % interval, from the differences of pairs that are alike.

    A difference of two runs has twice the variance of one. The interval is the chi-squared one, of normal noise.

    Raises:
        ValueError: fewer than two differences.
    """
    from scipy.special import chdtri

    df = len(differences) - 1
    if df < 1:
        raise ValueError(f"{len(differences)} differences: at least two have a spread")
    variance = variance_of(differences) / 2
    low, high = (sqrt(variance * df / float(chdtri(df, share))) for share in (MISS / 2, 1 - MISS / 2))
    return sqrt(variance), low, high


def cells_of(unchanged: Differences, slower: Differences, tolerance: float, plan: Plan) -> dict[str, Cell]:
    """The noise of every cell, and what a gate could see in it.

    Args:
        unchanged: of the second arm; slower: of the slowed one.
        tolerance: the allowed worsening as a share; plan: of a gate over all cells, also those that were lost.

    Raises:
        ValueError: a cell with fewer than two pairs.
    """
    allowed = dict.fromkeys(unchanged, tolerance)
    decisions = look(unchanged, allowed, plan, 1) if unchanged else {}
    seen = [with_detectable(decisions, unchanged, allowed, plan, number + 1) for number in range(len(plan.looks))]
    found = {}
    for name, values in unchanged.items():
        sigma, low, high = noise(values)
        by = arithmetic_interval(slower[name])
        least, most = (None if bound is None else expm1(bound) for bound in (by.low, by.high))
        found[name] = Cell(
            pairs=len(values),
            sigma=sigma,
            low=low,
            high=high,
            slower=(expm1(by.value), least, most),
            detectable={str(n): d for n, at in zip(plan.looks, seen, strict=True) if (d := at[name].detectable)},
        )
    return found


def trials_of(unchanged: Differences, slower: Differences, tolerance: float, plan: Plan) -> list[Trials]:
    """What gates say that are played on disjoint blocks of pairs, for every length that the plan looks at.

    Arguments as `cells_of`. All cells count as far as each of them has pairs.
    """
    whole = min(map(len, [*unchanged.values(), *slower.values()]), default=0)
    return [_trials(unchanged, slower, tolerance, plan, range(0, whole - n + 1, n)) for n in plan.looks if n <= whole]


def _trials(unchanged: Differences, slower: Differences, tolerance: float, plan: Plan, starts: range) -> Trials:
    length = starts.step
    alarms: list[int] = []
    untolerated: list[int] = []
    said: list[str] = []
    for start in starts:
        alike, slow = (_block(arm, start, length) for arm in (unchanged, slower))
        alarms.append(list(verdicts(alike, tolerance, plan).values()).count("REGRESSED"))
        untolerated.append(list(verdicts(alike, 0.0, plan).values()).count("REGRESSED"))
        said += [verdicts({**alike, name: slow[name]}, tolerance, plan)[name] for name in alike]
    return Trials(
        pairs=length,
        gates=rate(sum(map(bool, alarms)), len(starts)),
        cells=rate(sum(alarms), len(said)),
        untolerated=rate(sum(map(bool, untolerated)), len(starts)),
        found=rate(said.count("REGRESSED"), len(said)),
        inconclusive=rate(said.count("OPEN"), len(said)),
        missed=rate(said.count("PASS"), len(said)),
    )


def _block(arm: Differences, start: int, length: int) -> dict[str, Sequence[float]]:
    return {name: values[start : start + length] for name, values in arm.items()}


def verdicts(differences: Differences, tolerance: float, plan: Plan) -> dict[str, str]:
    """What the gate says of each cell after all looks that the pairs allow: REGRESSED, PASS or OPEN.

    As in a gate, a cell that is decided is not measured further.
    """
    allowed = dict.fromkeys(differences, tolerance)
    found: dict[str, Decision] = {}
    most = min(map(len, differences.values()), default=0)
    for number, pairs in enumerate([n for n in plan.looks if n <= most], 1):
        stopped = {name: d.pairs for name, d in found.items() if d.verdict != "OPEN"}
        if len(stopped) == len(differences):
            break
        seen = {name: values[: stopped.get(name, pairs)] for name, values in differences.items()}
        found = look(seen, allowed, plan, number, found)
    return {name: decision.verdict for name, decision in found.items()}


def plan_of(cells: int) -> Plan:
    """How a gate over so many cells proceeds."""
    return Plan(cells=max(1, cells), looks=LOOKS)


def file_of(results: Path, suite: str, machine_id: str) -> Path:
    """Where a suite's noise floor on a machine is kept: a small file, to be committed."""
    return results / suite / f"noise-{machine_id}.json"


def noise_floor(results: Path, suite: str, machine_id: str) -> NoiseFloor | None:
    """What the last calibration of a suite found on a machine; None where there was none.

    Raises:
        StoreError: the file cannot be read, or is none.
    """
    path = file_of(results, suite, machine_id)
    try:
        return msgspec.json.decode(path.read_bytes(), type=NoiseFloor)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StoreError(f"{path}: cannot read ({error.strerror})") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise StoreError(f"{path}: not a noise floor ({error}); measure it again: bench calibrate {suite}") from None


def text_of(floor: NoiseFloor) -> str:
    """The noise floor as it is kept: JSON for people to read, the same floor always the same text."""
    return msgspec.json.format(msgspec.json.encode(floor), indent=1).decode()


def write(floor: NoiseFloor, results: Path) -> Path:
    """Keep a noise floor instead of an earlier one: whoever reads meanwhile finds the old one or the new one, whole.

    Raises:
        StoreError: it cannot be written.
    """
    path = file_of(results, floor.suite, str(floor.machine["id"]))
    new = path.with_suffix(f".{os.getpid()}.new")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with new.open("w", encoding="utf-8") as file:
            file.write(text_of(floor) + "\n")
            file.flush()
            os.fsync(file.fileno())
        new.replace(path)
    except OSError as error:
        with suppress(OSError):
            new.unlink()
        raise StoreError(f"{path}: cannot write ({error.strerror}); use --results DIR") from None
    return path
