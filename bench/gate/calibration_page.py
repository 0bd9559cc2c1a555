"""A calibration as text: for reading in a terminal, for a document, or for another program."""

from collections.abc import Sequence
from typing import Any

from bench import plugins
from bench.gate.calibration import NoiseFloor, Rate, text_of
from bench.gate.page.rows import machine
from bench.sequential import ALPHA
from bench.table.grid import EMPTY, MOST_DIGITS, Grid, Head, Text
from bench.units import decimals

FORMATS = ("terminal", "markdown", "json")

FIGURES = (
    "run noise: how much the latency differs from process to process (standard deviation) with its 95 % interval; "
    "after N pairs: the smallest slowdown that a gate of at most N pairs over all these cells finds with 80 % power"
)
UNTOLERATED = (
    "no tolerance: the same gates, were no slowdown allowed; the tolerance cannot hide there a noise that the test "
    "does not understand. Nominal are at most 5 % of gates, too"
)
SCOPE = (
    "This is one sitting on one machine: it tells nothing of other machines, and nothing of days on which this one is "
    "busier. Blocks of pairs are disjoint, but gates of different lengths share pairs, and cells of a block share the "
    "machine's disturbances, so that their interval is too narrow if those come in bursts"
)


MOST = 10.0
"""A share beyond which its digits are of no use: a figure that says only that nothing is known."""


def show(floor: NoiseFloor, form: str) -> str:
    """The calibration in one of FORMATS, without a newline at its end."""
    if form == "json":
        return text_of(floor)
    renderer: Any = plugins.load("renderer", form)
    return str(renderer.laid_out([verdict(floor), _about(floor)], *_body(floor)))


def verdict(floor: NoiseFloor) -> str:
    """What the calibration says about the gate, in one line: of the shortest gates, since there are most of those."""
    if not floor.trials:
        return f"NOT PROVEN: {floor.pairs} pairs of every cell, but the shortest gate takes 5"
    shown = (floor.distrusted or floor.trials)[0]
    said = f"{shown.gates.hits} of {shown.gates.trials} gates of {shown.pairs} pairs raised a false alarm"
    said += f" (95 %: {_bounds(shown.gates)}, nominal at most {100 * ALPHA:g} %)"
    if floor.distrusted:
        cells = "" if shown.gates.low > ALPHA else f", {shown.cells.hits} of {shown.cells.trials} cells were one"
        return f"NOT TO BE TRUSTED: {said}{cells}; quiet this machine before any gate"
    longest = floor.trials[-1]
    found = f"{longest.found.hits} of {longest.found.trials} slowdowns by {100 * floor.slowdown:g} % were found"
    return f"NO SIGN AGAINST THE GATE: {said}; {found} within {longest.pairs} pairs"


def _about(floor: NoiseFloor) -> str:
    profile = f"profile {floor.profile}, " if floor.profile else ""
    return (
        f"{floor.suite}: {profile}{len(floor.cells)} cells in {floor.pairs} pairs of fresh processes, "
        f"tolerance {100 * floor.tolerance:g} %"
    )


def _body(floor: NoiseFloor) -> tuple[list[Grid], list[str]]:
    grids = [_cells(floor)]
    notes = [FIGURES]
    if floor.trials:
        grids += [_alarms(floor), _power(floor)]
        notes += [UNTOLERATED]
    notes.append(SCOPE)
    notes += [f"{name} has no figures: {reason}" for name, reason in floor.lost.items()]
    if floor.ended:
        notes.append(f"Shorter than asked for: {floor.ended}")
    return grids, [*notes, machine(floor.machine)]


def _cells(floor: NoiseFloor) -> Grid:
    looks = list(dict.fromkeys(pairs for cell in floor.cells.values() for pairs in cell.detectable))
    heads = [Head("variant"), Head("mode"), Head("run noise", "%", group=1), Head("slowed by", "%", group=2)]
    heads += [Head(f"after {pairs} pairs", "%", group=3) for pairs in looks]
    rows = []
    for name, cell in floor.cells.items():
        variant, _, mode = name.rpartition("/")  # a variant's name may have slashes of its own
        shown = [variant, mode, _spread(cell.sigma, cell.low, cell.high), _spread(*cell.slower)]
        rows.append(shown + [_worth(cell.detectable[pairs]) if pairs in cell.detectable else EMPTY for pairs in looks])
    return _grid("Noise floor and smallest detectable slowdown", heads, rows)


def _alarms(floor: NoiseFloor) -> Grid:
    heads = [Head("gates of"), Head("with a false alarm", group=1), Head("of cells", group=2)]
    heads.append(Head("no tolerance", group=3))
    rows = [[f"{t.pairs} pairs", *map(_rate, (t.gates, t.cells, t.untolerated))] for t in floor.trials]
    return _grid("Unchanged code: false alarms", heads, rows)


def _power(floor: NoiseFloor) -> Grid:
    heads = [
        Head("gates of"),
        *(Head(title, group=n) for n, title in enumerate(("REGRESSED", "INCONCLUSIVE", "PASS"), 1)),
    ]
    rows = [[f"{t.pairs} pairs", *map(_rate, (t.found, t.inconclusive, t.missed))] for t in floor.trials]
    title = f"Slowed by {100 * floor.slowdown:g} %, one cell at a time: what the gate says of it"
    return _grid(title, heads, rows)


def _grid(title: str, heads: Sequence[Head], rows: Sequence[Sequence[str]]) -> Grid:
    cells = tuple(tuple(map(Text, row)) for row in rows)
    return Grid(title, "", tuple(heads), cells, (False,) * len(cells), ())


def _rate(rate: Rate) -> str:
    """`3 of 4 (19 to 99 %)`."""
    return f"{rate.hits} of {rate.trials} ({_bounds(rate)})"


def _bounds(rate: Rate) -> str:
    low, high = ((100 * bound) for bound in (rate.low, rate.high))
    return f"{_two_digits(low)} to {_two_digits(high)} %"


def _spread(value: float, low: float | None, high: float | None) -> str:
    """Percent with their interval: `0.94 (0.77 to 1.21)`."""
    if low is None or high is None:
        return _worth(value)
    digits = _digits((high - low) / 2)
    return f"{_worth(value, digits)} ({_worth(low, digits)} to {_worth(high, digits)})"


def _worth(share: float, digits: int | None = None) -> str:
    """A share in percent; beyond MOST only that it is."""
    if share > MOST:
        return f">{100 * MOST:g}"
    return f"{100 * share:.{_digits(share) if digits is None else digits}f}"


def _digits(share: float) -> int:
    """Two significant digits of a share in percent."""
    return min(MOST_DIGITS, decimals(100 * share, 100 * share))


def _two_digits(value: float) -> str:
    return f"{value:.{min(1, decimals(value, value))}f}"
