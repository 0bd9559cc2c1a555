"""Left against right of a claim's comparison, with its interval: from rounds, seeds and images."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import exp, fsum, isfinite, log
from typing import Any

from bench import scores
from bench.claims.quoted import Figure, Measured, block
from bench.contrasts import Error, Scores, by_image, correlation, interval, own_error, paired_error, stated_error
from bench.stats import Interval
from bench.suite.condition import Call, Comparison, evaluate, slopes
from bench.table import Cell

ONE_ROUND = "one round, no interval (run with --rounds 3)"

NOT_FINITE = "a side is no finite number"

FEWEST_SEEDS = 3
"""Trainings of a network below which another seed may turn what they say of it and another one.

Of 12 pairs of trainings of one and the same network (suite short_budget, 6,000 samples) images alone told 7 apart;
5 % would be by chance.
"""

TRAININGS = ("no training", "one training", "two trainings")

MOST = 700.0
"""Logarithm beyond which a number is no longer a float."""


@dataclass(frozen=True, slots=True)
class Effect:
    """What is known of left against right.

    Attributes:
        interval: left over right where `ratio`, else left minus right in base units; no bounds where there is no error.
        how: what the interval is from.
        reason: why nothing can be decided by it, even where it has an interval; empty where something can.
    """

    interval: Interval | None = None
    ratio: bool = False
    how: str = ""
    reason: str = ""


def too_few(seeds: Mapping[str, int]) -> str:
    """What to say of trainings that are too few to tell networks apart; empty where each network has enough.

    >>> too_few({"slim": 1, "deep": 1})
    'one training each: another seed could turn it; train three (seeds = 3 under [train])'
    >>> too_few({"slim": 1, "deep": 3}).partition(":")[0], too_few({"slim": 3, "deep": 3})
    ('one training of slim', '')

    Args:
        seeds: name of a network -> how often it was trained.
    """
    few = {name: TRAININGS[count] for name, count in seeds.items() if count < FEWEST_SEEDS}
    if not few:
        return ""
    if len(set(seeds.values())) == 1:
        said = next(iter(few.values())) + " each" * (len(few) > 1)
    else:
        said = " and ".join(f"{trainings} of {name}" for name, trainings in few.items())
    return f"{said}: another seed could turn it; train three (seeds = {FEWEST_SEEDS} under [train])"


def point(comparison: Comparison, values: Mapping[Call, float], *, ratio: bool) -> Effect:
    """Left against right without an error, or why there is no such thing."""
    try:
        left, right = (float(evaluate(side, values)) for side in (comparison.left, comparison.right))
    except ZeroDivisionError:
        zeros = ", ".join(str(call) for call, value in values.items() if not value)
        return Effect(reason=f"divides by zero ({zeros or 'a difference'} is 0 here)")
    ratio = ratio and left > 0 and right > 0
    value = left / right if ratio else left - right
    if not all(map(isfinite, (left, right, value))) or (ratio and not value):
        return Effect(reason=NOT_FINITE)
    return Effect(Interval(value, None, None), ratio)


def effect_of(comparison: Comparison, quoted: Sequence[Figure], run: Measured) -> Effect:
    """Left against right with its 95 % interval, as far as the figures have one."""
    values = {figure.call: value for figure in quoted for value in [_value(figure, quoted)]}
    unsure = [figure for figure in quoted if not figure.exact]
    learnt = bool(unsure) and all(figure.learnt for figure in unsure)
    amount = comparison.tolerance is not None and comparison.tolerance.share is None
    plain = point(comparison, values, ratio=not learnt and not amount)
    if plain.interval is None:
        return plain
    if not unsure:
        return replace(plain, how="exact")
    reason = _too_few(unsure)
    if reason:
        return replace(plain, reason=reason)
    value, seeds = plain.interval.value, _seeds(unsure)
    doubt = too_few(seeds) if len(seeds) > 1 else ""
    resampled = _by_image(comparison, unsure, values) if learnt else None
    if resampled is not None:
        return Effect(Interval(value, *resampled), how="paired by image", reason=doubt)
    try:
        leaning = _slopes(comparison, values, plain.ratio)
        errors = [*_timed_errors(unsure, leaning, values, run), *_learnt_errors(unsure, leaning)]
        bounds = _of_ratio(value, errors) if plain.ratio else interval(value, errors)
    except OverflowError:  # of a square; sums and products become infinite
        return Effect(reason=NOT_FINITE)
    if not isfinite(bounds.half_width or 0.0):
        return Effect(reason=NOT_FINITE)
    return Effect(bounds, plain.ratio, "; ".join(dict.fromkeys(error.how for error in errors)), doubt)


def _of_ratio(value: float, errors: Sequence[Error]) -> Interval:
    """A ratio with the bounds that the errors of its logarithm leave."""
    bounds = interval(log(value), errors)
    return Interval(value, _exp(bounds.low or 0.0), _exp(bounds.high or 0.0))


def _exp(logarithm: float) -> float:
    """Of a bound, kept finite and above zero: 1e304 says as much as any larger number."""
    return exp(min(max(logarithm, -MOST), MOST))


def _rounds(cell: Cell) -> dict[int, float]:
    return dict(cell.rounds)


def _phase(figure: Figure) -> str:
    return figure.found.section.phase if figure.found else ""


def _timed(quoted: Sequence[Figure]) -> list[Figure]:
    return [figure for figure in quoted if not figure.exact and not figure.learnt]


def _shared(figure: Figure, quoted: Sequence[Figure]) -> set[int]:
    """The rounds that all timed figures of this one's phase have."""
    beside = [set(_rounds(other.cell)) for other in _timed(quoted) if _phase(other) == _phase(figure)]
    return set.intersection(*beside)


def _value(figure: Figure, quoted: Sequence[Figure]) -> float:
    """Of what has rounds, the mean over those that are compared; else as the table shows it."""
    if figure.exact or figure.learnt or not _shared(figure, quoted):
        return float(figure.cell.value or 0)
    values = [_rounds(figure.cell)[number] for number in sorted(_shared(figure, quoted))]
    if min(values) <= 0:
        return fsum(values) / len(values)
    return exp(fsum(log(value) for value in values) / len(values))


def _too_few(unsure: Sequence[Figure]) -> str:
    """Why there is no interval; empty where there is one."""
    for figure in _timed(unsure):
        if len(figure.cell.rounds) < 2:
            return ONE_ROUND
        if len(_shared(figure, unsure)) < 2:
            return "fewer than two rounds in which all of it was measured"
    learnt = [figure for figure in unsure if figure.learnt]
    single = [figure for figure in learnt if len(figure.cell.rounds) == 1]
    beside_several = 0 < len(single) < len(learnt)
    return too_few(_seeds(learnt)) if beside_several or any(figure.cell.low is None for figure in single) else ""


def _seeds(unsure: Sequence[Figure]) -> dict[str, int]:
    """Trained network -> of how many trainings its figures are, of the fewest where they differ."""
    found: dict[str, int] = {}
    for figure in (figure for figure in unsure if figure.learnt):
        count = len(figure.cell.rounds)
        found[figure.call.variant] = min(count, found.get(figure.call.variant, count))
    return found


def _by_image(
    comparison: Comparison, learnt: Sequence[Figure], values: Mapping[Call, float]
) -> tuple[float, float] | None:
    """Bounds of left minus right over the images that all figures share; None where they are not kept, or differ."""
    kept = {figure.call: _scores(figure, figure.found.column.key) for figure in learnt if figure.found}
    known = {call: found for call, found in kept.items() if found is not None}
    if len(known) < len(learnt) or not scores.same_images(list(known.values())):
        return None

    def combine(drawn: Mapping[Call, Any]) -> Any:
        return evaluate(comparison.left, {**values, **drawn}) - evaluate(comparison.right, {**values, **drawn})

    return by_image(known, combine)


def _scores(figure: Figure, quantity: str) -> Scores | None:
    if len(figure.cell.rounds) != 1:
        return None
    return scores.of_record(figure.group[figure.cell.rounds[0][0]], quantity)


def _slopes(comparison: Comparison, values: Mapping[Call, float], ratio: bool) -> dict[Call, float]:
    """Of left minus right, or of the logarithm of left over right, by each quantity."""
    sides = [slopes(side, values) for side in (comparison.left, comparison.right)]
    sizes = [float(evaluate(side, values)) if ratio else 1.0 for side in (comparison.left, comparison.right)]
    return {call: sides[0].get(call, 0.0) / sizes[0] - sides[1].get(call, 0.0) / sizes[1] for call in comparison.calls}


def _timed_errors(
    unsure: Sequence[Figure], leaning: Mapping[Call, float], values: Mapping[Call, float], run: Measured
) -> list[Error]:
    """One error for each phase: its figures are of the same rounds, and often of the same processes."""
    errors = []
    for phase in dict.fromkeys(_phase(figure) for figure in _timed(unsure)):
        beside = [figure for figure in _timed(unsure) if _phase(figure) == phase]
        logs = all(value > 0 for figure in beside for value in _rounds(figure.cell).values())
        cells: dict[str, Mapping[int, float]] = {}
        slope: dict[str, float] = {}
        for figure in beside:
            name = _name(figure)
            cells[name] = _scaled(figure.cell, logs)
            slope[name] = slope.get(name, 0.0) + leaning[figure.call] * (values[figure.call] if logs else 1.0)
        pool: list[str] = []
        if len({name.partition(" ")[0] for name in cells}) == 1:
            for variant, cell in block(beside[0], run):
                name = f"{_name(beside[0]).partition(' ')[0]} {variant}"
                if not logs or all(value > 0 for value in _rounds(cell).values()):
                    cells.setdefault(name, _scaled(cell, logs))
                    pool.append(name)
        error = paired_error(slope, cells, pool)
        errors += [error] if error else []
    return errors


def _name(figure: Figure) -> str:
    """`latency/fast 6-stacks`: the block, then the variant."""
    assert figure.found is not None
    return f"{figure.found.column.key}/{figure.found.row.mode} {figure.call.variant}"


def _scaled(cell: Cell, logs: bool) -> dict[int, float]:
    return {number: log(value) if logs else value for number, value in _rounds(cell).items()}


def _learnt_errors(unsure: Sequence[Figure], leaning: Mapping[Call, float]) -> list[Error]:
    """By seeds where there are several; else from each figure's own interval, paired as far as images tell."""
    learnt = [figure for figure in unsure if figure.learnt]
    several = [figure for figure in learnt if len(figure.cell.rounds) > 1]
    if several:
        return [own_error(leaning[figure.call], list(_rounds(figure.cell).values())) for figure in several]
    if not learnt:
        return []
    half = {str(figure.call): figure.cell.interval.half_width or 0.0 for figure in learnt if figure.cell.interval}
    slope = {str(figure.call): leaning[figure.call] for figure in learnt}
    quantities = {figure.found.column.key for figure in learnt if figure.found}
    stands = scores.SAME_JOINTS.get(quantities.pop(), "") if len(quantities) == 1 else ""
    kept = {str(figure.call): _scores(figure, stands) for figure in learnt}
    known = {name: found for name, found in kept.items() if found is not None}
    if len(known) < len(learnt) or not scores.same_images(list(known.values())):
        return [stated_error(slope, half)]
    error = stated_error(slope, half, lambda one, other: correlation(known[one], known[other]))
    return [replace(error, how=f"paired by image, correlated as {stands}, whose scores by image are kept")]
