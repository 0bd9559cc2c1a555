"""Boards -> a chart of accuracy against cost, one panel per place -> bytes of an SVG; the same boards give the same.

Each point is a ranked row: whiskers are 95 % intervals, the area is the peak memory. The step line is the front: no
other point is both at least as accurate and at least as cheap. What is behind it is paler. An asterisk marks a row
whose protocol differs on purpose. Colours and fonts are those of the other charts.
"""

import io
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise, product
from math import ceil, exp, floor, hypot, log, log10
from textwrap import wrap
from typing import TYPE_CHECKING

from bench.draw.charts import COLOURS, FAINT, FONT, NUMBER, TEXT, renumbered, round_step
from bench.leaderboard import Board, Entry
from bench.record import FLAGS, Json
from bench.stats import Interval
from bench.table.cells import Cell, Column

if TYPE_CHECKING:
    import altair as alt

WIDTH, HEIGHT = 560, 360
MEMORY = "peak_memory"
AREAS = (40.0, 400.0)  # square pixels of the smallest and the largest circle
LOGARITHMIC = 3.0
"""Costs that differ by more than this factor are drawn on a logarithmic axis."""

NO_ACCURACY = "no accuracy"
SUBTITLE = 110  # characters in one of its lines
GLYPH, LINE = 5.6, 13.0  # width and height of a label's character, in pixels; a little more than they are
FRONT, BEHIND = COLOURS[2], "#9a9a9a"

SIZES = re.compile(
    r"\b(?:data\.(?:size|use)|infer\.batch|threads|train\.(?:batch|recipe|samples|epochs)) (?:\[[^]]*\]|[^,]+)"
)
"""What a chart says of its conditions; the text below it has them all."""


@dataclass(frozen=True, slots=True)
class Point:
    """One row of a board, in the axes' units.

    Attributes:
        dominated: names a point that is better; empty on the front.
        differs: how its protocol differs on purpose from the others'.
        remarks: what else must be known: flags, and which run its figures are of.
    """

    label: str
    cost: Interval
    accuracy: Interval
    memory: float | None = None
    dominated: str = ""
    differs: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()

    @property
    def shown(self) -> str:
        """As it stands in the chart."""
        return f"{self.label}*" if self.differs else self.label


@dataclass(frozen=True, slots=True)
class Front:
    """The points of one place.

    Attributes:
        modes: of the rows.
        cost, accuracy, memory: their columns; memory None where it was not measured.
        points: cheapest first.
        left_out: (row, why it is not drawn).
        conditions: phase's title -> the fields that its rows share, of the phases that are drawn.
    """

    title: str
    modes: tuple[str, ...]
    cost: Column
    accuracy: Column
    memory: Column | None
    points: tuple[Point, ...]
    left_out: tuple[tuple[str, str], ...]
    conditions: Mapping[str, str]

    @property
    def in_modes(self) -> str:
        """The modes in words; empty where there are none."""
        return f"mode{'s' * (len(self.modes) > 1)} {', '.join(self.modes)}" if any(self.modes) else ""

    @property
    def subtitle(self) -> list[str]:
        """Under what the points were measured, as far as a chart has room for it."""
        sizes = {title: ", ".join(SIZES.findall(lead)) for title, lead in self.conditions.items()}
        differing = dict.fromkeys(how for point in self.points for how in point.differs)
        lines = [self.in_modes, *(f"{title}: {said}" for title, said in sizes.items() if said)]
        return [line for line in (*lines, f"* {'; '.join(differing)}" if differing else "") if line]


def score_of(board: Board) -> str:
    """The column of a board that is drawn upwards; empty where it has no accuracy."""
    return next((name for name, c in board.columns.items() if c.learnt and c.quantity.better == "higher"), "")


def is_cost(column: Column) -> bool:
    """Times, counts and sizes: quantities of which less is better."""
    return column.quantity.better == "lower"


def front(board: Board, title: str) -> Front:
    """What can be drawn of a board that is ranked by a cost and has accuracy."""
    accuracy = score_of(board)
    drawn = [board.by, accuracy, *([MEMORY] if MEMORY in board.columns else [])]
    modes = tuple(sorted({entry.mode for entry in board.entries}))
    names = {e.key: f"{e.variant}, {e.mode}" if len(modes) > 1 and e.mode else e.variant for e in board.entries}
    why = {entry.key: _reason(entry, accuracy) for entry in board.entries}
    entries = [entry for entry in board.entries if not why[entry.key]]
    memory = board.columns.get(MEMORY)
    points = [
        Point(
            label=names[entry.key],
            cost=_interval(entry.cells[board.by], board.columns[board.by]),
            accuracy=_interval(entry.cells[accuracy], board.columns[accuracy]),
            memory=_interval(entry.cells[MEMORY], memory).value if memory and entry.cells[MEMORY].value else None,
            differs=tuple(f"{how} ({board.titles[n]})" for n in drawn for how in entry.labels.get(n, ())),
            remarks=(*_flags(entry, board, drawn), *entry.notes),
        )
        for entry in entries
    ]
    phases = {board.phases[name] for name in drawn}
    return Front(
        title=title,
        modes=modes,
        cost=board.columns[board.by],
        accuracy=board.columns[accuracy],
        memory=memory,
        points=tuple(marked(points)),
        left_out=tuple((names[key], reason) for key, reason in why.items() if reason),
        conditions={phase: lead for phase, lead in board.conditions.items() if phase in phases},
    )


def _flags(entry: Entry, board: Board, drawn: Iterable[str]) -> Iterator[str]:
    for name in drawn:
        yield from (f"{board.titles[name]} {flag} ({FLAGS.get(flag, '')})" for flag in entry.cells[name].flags)


def _reason(entry: Entry, accuracy: str) -> str:
    """Why a row is not drawn; empty: it is."""
    if entry.failed:
        return entry.failed[0].text
    cell = entry.cells[accuracy]
    return "" if cell.value is not None else f"{NO_ACCURACY}: {cell.reason}"


def _interval(cell: Cell, column: Column) -> Interval:
    value, low, high = (None if x is None else x / column.factor for x in (cell.value, cell.low, cell.high))
    return Interval(value or 0.0, low, high)


def marked(points: Iterable[Point]) -> list[Point]:
    """The points, cheapest first, each with the cheapest one that is at least as good in both and better in one."""
    ordered = sorted(points, key=lambda point: (point.cost.value, -point.accuracy.value, point.label))

    def beats(one: Point, other: Point) -> bool:
        costs, scores = (one.cost.value, other.cost.value), (one.accuracy.value, other.accuracy.value)
        return costs[0] <= costs[1] and scores[0] >= scores[1] and (costs[0] < costs[1] or scores[0] > scores[1])

    return [replace(p, dominated=next((q.label for q in ordered if beats(q, p)), "")) for p in ordered]


@dataclass(frozen=True, slots=True)
class Axis:
    """One direction of a panel: bounds in the axis's unit, length in pixels."""

    low: float
    high: float
    length: float
    logarithmic: bool = False

    def pixel(self, value: float) -> float:
        """How far from the low end a value lies."""
        if self.logarithmic:
            return self.length * log(value / self.low) / log(self.high / self.low)
        return self.length * (value - self.low) / (self.high - self.low)

    def value(self, pixel: float) -> float:
        """What lies so far from the low end."""
        share = pixel / self.length
        if self.logarithmic:
            return self.low * exp(share * log(self.high / self.low))
        return self.low + share * (self.high - self.low)

    def clipped(self, value: float) -> float:
        """The nearest value that is on the axis."""
        return min(max(value, self.low), self.high)

    @property
    def ticks(self) -> list[float]:
        """Round values."""
        if self.logarithmic:
            powers = range(floor(log10(self.low)), ceil(log10(self.high)) + 1)
            ones = [float(f"{factor}e{power}") for power, factor in product(powers, (1, 2, 5))]
            inside = [tick for tick in ones if self.low <= tick <= self.high]
            if len(inside) > 2:
                return inside
        size = round_step(self.high - self.low)
        return [round(n * size, 12) for n in range(ceil(self.low / size), floor(self.high / size) + 1)]


def axes(points: Sequence[Point]) -> tuple[Axis, Axis]:
    """Of cost and of accuracy, around all points and their intervals, as far as those are positive costs."""
    costs = [x for p in points for x in (p.cost.value, p.cost.low, p.cost.high) if x is not None and x > 0]
    scores = [x for p in points for x in (p.accuracy.value, p.accuracy.low, p.accuracy.high) if x is not None]
    values = [p.cost.value for p in points]
    if min(values) > 0 and max(values) / min(values) > LOGARITHMIC:
        cost = Axis(min(costs) / 1.15, max(costs) * 1.35, WIDTH, logarithmic=True)
    else:
        span = max(costs, default=1.0) - min(costs, default=0.0) or max(costs, default=1.0)
        cost = Axis(max(0.0, min(costs, default=0.0) - 0.1 * span), max(costs, default=1.0) + 0.25 * span, WIDTH)
    margin = 0.06 * (max(scores) - min(scores) or 1.0)
    return cost, Axis(min(scores) - margin, max(scores) + margin, HEIGHT)


Box = tuple[float, float, float, float]
"""Left, low, right, high, in pixels."""

Anchor = tuple[float, float, float]
"""Right, up, radius, in pixels."""


def placed(anchors: Sequence[Anchor], labels: Sequence[str], lines: Iterable[Box] = ()) -> list[tuple[float, float]]:
    """Where each label begins (its left end, its middle), in pixels from the lower left corner.

    One after the other, each at the place nearest to its point that covers least of what is there.

    Args:
        anchors: of the points; lines: thin boxes that a label had better not cross.
    """
    taken: list[Box] = [(x - r, y - r, x + r, y + r) for x, y, r in anchors]
    thin = [(left - 1.5, low - 1.5, right + 1.5, high + 1.5) for left, low, right, high in lines]
    places = []
    for (x, y, radius), label in zip(anchors, labels, strict=True):
        width = GLYPH * len(label)
        best = min(_candidates(x, y, radius, width), key=lambda at: _cost(_box(at, width), taken, thin, (x, y)))
        taken.append(_box(best, width))
        places.append(best)
    return places


def _candidates(x: float, y: float, radius: float, width: float) -> Iterator[tuple[float, float]]:
    for rise in (0.0, 0.75, -0.75, 1.2, -1.2, 1.7, -1.7, 2.3, -2.3, 3.0, -3.0, 4.0, -4.0, 5.0, -5.0, 6.5, -6.5):
        for away in (3.0, 12.0, 30.0, 50.0):
            yield x + away + (0.0 if rise else radius), y + rise * LINE
            yield x - away - (0.0 if rise else radius) - width, y + rise * LINE


def _box(at: tuple[float, float], width: float) -> Box:
    return at[0], at[1] - LINE / 2, at[0] + width, at[1] + LINE / 2


def _cost(box: Box, taken: Iterable[Box], thin: Iterable[Box], anchor: tuple[float, float]) -> float:
    """How bad a place is: pixels of labels and points that it covers, those of lines, those outside, the distance."""
    left, low, right, high = box
    outside = max(0.0, -left) + max(0.0, right - WIDTH) + max(0.0, -low) + max(0.0, high - HEIGHT)
    across = min(max(anchor[0], left), right) - anchor[0]
    distance = hypot(across, (low + high) / 2 - anchor[1])
    return 100 * _covered(box, taken) + _covered(box, thin) + 1000 * outside + distance


def _covered(box: Box, others: Iterable[Box]) -> float:
    left, low, right, high = box
    return sum(max(0.0, min(right, r) - max(left, a)) * max(0.0, min(high, h) - max(low, b)) for a, b, r, h in others)


def draw(fronts: Sequence[Front]) -> bytes:
    """The panels one above the other, as SVG."""
    import altair as alt

    sizes = [p.memory for f in fronts for p in f.points if p.memory is not None]
    parts = [_panel(one, (min(sizes, default=0.0), max(sizes, default=1.0))) for one in fronts]
    chart = alt.vconcat(*parts, spacing=24).configure(font=FONT, background="white", aria=False)
    chart = chart.configure_view(stroke=None).configure_axis(
        labelColor=TEXT, titleColor=TEXT, titleFontWeight="normal", titleFontSize=12, labelFontSize=11
    )
    chart = chart.configure_title(
        color=TEXT, fontSize=12, fontWeight="normal", anchor="start", subtitleColor=TEXT, subtitleFontSize=10
    )
    text = io.StringIO()
    chart.save(text, format="svg")
    return (renumbered(text.getvalue()).rstrip("\n") + "\n").encode()


def _panel(one: Front, memory: tuple[float, float]) -> "alt.LayerChart | alt.FacetChart":
    import altair as alt

    cost, score = axes(one.points)
    rows = list(_rows(one, cost, score))
    scale = alt.Scale(
        type="log" if cost.logarithmic else "linear", domain=[cost.low, cost.high], nice=False, zero=False
    )
    x = alt.X("cost:Q", scale=scale, axis=_axis(one.cost, cost, grid=False))
    heights = alt.Scale(domain=[score.low, score.high], nice=False, zero=False)
    y = alt.Y("accuracy:Q", scale=heights, axis=_axis(one.accuracy, score, grid=True))
    colour = alt.condition("datum.front", alt.value(FRONT), alt.value(BEHIND))
    data = alt.Chart(alt.InlineData(values=rows))
    circles = data.mark_circle(opacity=0.9, stroke="white", strokeWidth=0.5, size=AREAS[0] * 2)
    circles = circles.encode(x=x, y=y, color=colour)
    if one.memory is not None and all(point.memory is not None for point in one.points):
        legend = alt.Legend(title=["peak memory", f"({one.memory.unit})"], tickCount=3, symbolFillColor=BEHIND)
        bounds = alt.Scale(domain=list(memory), range=list(AREAS), nice=False, zero=False)
        circles = circles.encode(size=alt.Size("memory:Q", scale=bounds, legend=legend))
    line = alt.Chart(alt.InlineData(values=list(_steps(one, cost))))
    label = data.encode(x="left:Q", y="at:Q", text="label:N")
    layers = [
        line.mark_line(interpolate="step-after", strokeWidth=1.4, color=FRONT, clip=True).encode(x=x, y=y),
        data.mark_rule(strokeWidth=1, clip=True).encode(x="low:Q", x2="high:Q", y=y, color=colour),
        data.mark_rule(strokeWidth=1, clip=True).encode(x=x, y="bottom:Q", y2="top:Q", color=colour),
        circles,
        data.mark_rule(strokeWidth=0.6, color=BEHIND).encode(x=x, x2="from:Q", y=y, y2="at:Q"),
        label.mark_text(align="left", baseline="middle", fontSize=11, stroke="white", strokeWidth=3, opacity=0.8),
        label.mark_text(align="left", baseline="middle", fontSize=11, color=TEXT),
    ]
    title = alt.TitleParams(one.title, subtitle=[line for said in one.subtitle for line in wrap(said, SUBTITLE)])
    return alt.layer(*layers).properties(width=WIDTH, height=HEIGHT, title=title)


def _axis(column: Column, axis: Axis, *, grid: bool) -> "alt.Axis":
    import altair as alt

    title = column.quantity.title[:1].upper() + column.quantity.title[1:]
    unit = f" ({column.unit})" if column.unit else ""
    return alt.Axis(
        title=title + unit,
        values=axis.ticks,
        labelExpr=NUMBER,
        grid=grid,
        gridColor=FAINT,
        domain=not grid,
        ticks=not grid,
    )


def _rows(one: Front, cost: Axis, score: Axis) -> Iterator[Json]:
    """Each point with its whiskers and the place of its label."""
    radius = (AREAS[1] / 3.14159) ** 0.5 * 0.7
    anchors = [(cost.pixel(p.cost.value), score.pixel(p.accuracy.value), radius) for p in one.points]
    places = placed(anchors, [point.shown for point in one.points], [*_whiskers(one, cost, score)])
    for point, (across, _, _), (left, at) in zip(one.points, anchors, places, strict=True):
        right = left + GLYPH * len(point.shown)
        end = min(max(across, left - 2), right)
        yield {
            "label": point.shown,
            "cost": point.cost.value,
            "accuracy": point.accuracy.value,
            "low": cost.clipped(_bound(point.cost.low, point.cost.value)),
            "high": cost.clipped(_bound(point.cost.high, point.cost.value)),
            "bottom": _bound(point.accuracy.low, point.accuracy.value),
            "top": _bound(point.accuracy.high, point.accuracy.value),
            "memory": point.memory,
            "front": not point.dominated,
            "left": cost.value(left),
            "from": cost.value(end),
            "at": score.value(at),
        }


def _whiskers(one: Front, cost: Axis, score: Axis) -> Iterator[Box]:
    """The lines that are drawn: intervals, and the front."""
    for point in one.points:
        across, up = cost.pixel(point.cost.value), score.pixel(point.accuracy.value)
        left, right = (cost.pixel(cost.clipped(_bound(x, point.cost.value))) for x in (point.cost.low, point.cost.high))
        low, high = (score.pixel(_bound(x, point.accuracy.value)) for x in (point.accuracy.low, point.accuracy.high))
        yield left, up, right, up
        yield across, low, across, high
    corners = [(cost.pixel(step["cost"]), score.pixel(step["accuracy"])) for step in _steps(one, cost)]
    for (x, y), (next_x, next_y) in pairwise(corners):
        yield x, y, next_x, y
        yield next_x, y, next_x, next_y


def _bound(bound: float | None, value: float) -> float:
    return value if bound is None else bound


def _steps(one: Front, cost: Axis) -> Iterator[Json]:
    """The front, and on to the axis's end: whoever may spend more gets at least this."""
    best = [point for point in one.points if not point.dominated]
    for point in best:
        yield {"cost": point.cost.value, "accuracy": point.accuracy.value}
    if best:
        yield {"cost": cost.high, "accuracy": best[-1].accuracy.value}
