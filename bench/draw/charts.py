"""Training curves -> a chart of two panels -> SVG or PNG bytes; the same curves give the same bytes.

Curves are named where they end rather than in a legend, which nobody can follow for nine lines. Colours are those of
M. Okabe and K. Ito (Color Universal Design, 2008) without yellow, which is too faint on white; from the eighth variant
on they come again with dashes, so that no two variants differ by colour alone.
"""

import io
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from math import ceil, exp, floor, inf, isfinite, log, log10
from typing import TYPE_CHECKING, Literal

from bench.record import Json, Quantity, Record

if TYPE_CHECKING:
    import altair as alt

LOSS = "loss.train"

COLOURS = ("#000000", "#e69f00", "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9")
DASHES = ([1, 0], [6, 3], [2, 2])

FONT = "Liberation Sans, Arial, Helvetica, sans-serif"  # the first three are of equal widths
WIDTH = 520
HEIGHTS = {"metric": 320, "loss": 220}
LINE = 14.0  # between labels
LEADER = 22  # from the plot's edge to a label
TEXT = "#222222"
FAINT = "#e4e4e4"
COUNT = "datum.value ? format(datum.value, '~s') : '0'"
NUMBER = "format(datum.value, '~g')"

STARTED = 0.1  # of the training, before which a metric's curve rises too steeply to set the axis
TICKS = 5


@dataclass(frozen=True, slots=True)
class Curve:
    """One quantity of one variant over the training of one seed.

    Attributes:
        points: (training images seen, value), in that order; none that is not finite.
        final: what the run's table shows; None where it shows nothing.
    """

    variant: str
    seed: int
    quantity: Quantity
    points: tuple[tuple[int, float], ...]
    final: float | None = None


@dataclass(frozen=True, slots=True)
class Panel:
    """One quantity of every variant; `low` and `high` bound its axis, in the quantity's unit."""

    kind: Literal["metric", "loss"]
    curves: Sequence[Curve]
    low: float
    high: float

    @property
    def height(self) -> int:
        """In pixels."""
        return HEIGHTS[self.kind]

    @property
    def title(self) -> str:
        """Of the vertical axis, with the unit."""
        quantity = self.curves[0].quantity
        title = quantity.title[:1].upper() + quantity.title[1:]
        return title if quantity.unit == "1" else f"{title} ({quantity.unit})"

    def pixel(self, value: float) -> float:
        """How far below the panel's upper edge a value lies."""
        if self.kind == "loss":
            return self.height * log(self.high / value) / log(self.high / self.low)
        return self.height * (self.high - value) / (self.high - self.low)

    def value(self, pixel: float) -> float:
        """The value that lies so far below the upper edge."""
        share = pixel / self.height
        if self.kind == "loss":
            return self.high * exp(-share * log(self.high / self.low))
        return self.high - share * (self.high - self.low)


def curves(variant: str, record: Record) -> list[Curve]:
    """Every curve that an accuracy record holds, under the name that the variant has in the run that is drawn."""
    found = []
    for value in record.values:
        kept = value.details.get("curve") or {}
        pairs = zip(kept.get("images", ()), kept.get("values", ()), strict=False)
        points = tuple((int(n), float(x)) for n, x in pairs if x is not None and isfinite(x))
        if points:
            final = None if value.value is None else float(value.value)
            found.append(Curve(variant, record.job.seed, value.quantity, points, final))
    return found


def panels(found: Iterable[Curve]) -> list[Panel]:
    """The first headline metric that has curves, above the training loss; either may be missing."""
    found = list(found)
    metrics = [c.quantity.name for c in found if c.quantity.headline and not c.quantity.name.startswith("loss.")]
    metric = [curve for curve in found if metrics and curve.quantity.name == metrics[0]]
    loss = [positive(curve) for curve in found if curve.quantity.name == LOSS]
    made = [_metric_panel(metric)] if metric else []
    loss = [curve for curve in loss if curve.points]
    return [*made, loss_panel(loss)] if loss else made


def positive(curve: Curve) -> Curve:
    """Without what a logarithmic axis cannot show."""
    kept = tuple(point for point in curve.points if point[1] > 0)
    return Curve(curve.variant, curve.seed, curve.quantity, kept, curve.final)


def _metric_panel(found: Sequence[Curve]) -> Panel:
    longest = max(curve.points[-1][0] for curve in found)
    values = [x for curve in found for n, x in curve.points if n >= STARTED * longest or n == curve.points[-1][0]]
    step = round_step(max(values) - min(values) or abs(values[0]) or 1.0)
    low, high = floor(min(values) / step) * step, ceil(max(values) / step) * step
    return Panel("metric", found, low, high if high > low else low + step)


def round_step(span: float) -> float:
    """A round step, of which about TICKS make the span: 1, 2 or 5 times a power of ten."""
    power = 10.0 ** floor(log10(span / TICKS))
    return next((factor * power for factor in (1, 2, 5) if factor * power * TICKS >= span), 10 * power)


def loss_panel(found: Sequence[Curve]) -> Panel:
    """The losses with bounds that leave some room; none of them may be zero."""
    values = [x for curve in found for _, x in curve.points]
    return Panel("loss", found, min(values) / 1.1, max(values) * 1.1)


def draw(shown: Sequence[Panel], order: Sequence[str], form: str) -> bytes:
    """The panels one above the other.

    Args:
        order: every variant, in the order in which colours are given; a variant keeps its colour where another has
            no curve.
        form: `svg` or `png`.
    """
    import altair as alt

    end = max(curve.points[-1][0] for panel in shown for curve in panel.curves)
    parts = [_layers(panel, order, end, last=panel is shown[-1]) for panel in shown]
    return rendered(alt.vconcat(*parts, spacing=18), form)


def rendered(chart: "alt.VConcatChart | alt.ConcatChart", form: str) -> bytes:
    """A chart as a file, `svg` or `png`, in the fonts and colours that all curves are drawn in."""
    chart = chart.configure(font=FONT, background="white", aria=False)
    chart = chart.configure_view(stroke=None).configure_axis(
        labelColor=TEXT, titleColor=TEXT, titleFontWeight="normal", titleFontSize=12, labelFontSize=11
    )
    if form == "svg":
        text = io.StringIO()
        chart.save(text, format="svg")
        return renumbered(text.getvalue()).encode()
    image = io.BytesIO()
    chart.save(image, format="png", scale_factor=2)
    return image.getvalue()


def renumbered(svg: str) -> str:
    """With clip paths numbered from 1: the renderer goes on counting where the last chart of the process ended."""
    numbers: dict[str, int] = {}
    name = re.compile(r'(?<=id="clip)\d+(?=")|(?<=url\(#clip)\d+(?=\))')
    return name.sub(lambda found: str(numbers.setdefault(found[0], len(numbers) + 1)), svg)


def _layers(panel: Panel, order: Sequence[str], end: int, *, last: bool) -> "alt.LayerChart | alt.FacetChart":
    import altair as alt

    colour = alt.Color("variant:N", legend=None).scale(
        domain=list(order), range=[COLOURS[n % len(COLOURS)] for n in range(len(order))]
    )
    dashes = [DASHES[n // len(COLOURS) % len(DASHES)] for n in range(len(order))]
    dash = alt.StrokeDash("variant:N", legend=None).scale(domain=list(order), range=dashes)
    x = alt.X("images:Q").scale(domain=[0, end], nice=False)
    x = x.axis(labelExpr=COUNT, grid=False, tickCount=6, labels=last, title="Training images seen" if last else None)
    axis: Literal["log", "linear"] = "log" if panel.kind == "loss" else "linear"
    y = alt.Y("value:Q").scale(type=axis, domain=[panel.low, panel.high], nice=False)
    y = y.axis(title=panel.title, values=ticks(panel), labelExpr=NUMBER, gridColor=FAINT, domain=False, ticks=False)
    thick = 0.9 if len({curve.seed for curve in panel.curves}) > 1 else 1.6
    lines = alt.Chart(alt.InlineData(values=list(_rows(panel)))).mark_line(clip=True, strokeWidth=thick)
    lines = lines.encode(x=x, y=y, color=colour, strokeDash=dash, detail="seed:N")
    labels = alt.Chart(alt.InlineData(values=_labels(panel, order)))
    ends = labels.mark_circle(size=18, opacity=1).encode(x="images:Q", y="value:Q", color=colour)
    leaders = labels.mark_rule(strokeWidth=0.9).encode(
        x="images:Q", x2=alt.value(WIDTH + LEADER - 4), y="value:Q", y2="at:Q", color=colour, strokeDash=dash
    )
    names = labels.mark_text(align="left", baseline="middle", fontSize=11, color=TEXT)
    names = names.encode(x=alt.value(WIDTH + LEADER), y="at:Q", text="label:N")
    return alt.layer(lines, leaders, ends, names).properties(width=WIDTH, height=panel.height)


def _rows(panel: Panel) -> Iterator[Json]:
    for curve in panel.curves:
        for images, value in curve.points:
            yield {"variant": curve.variant, "seed": curve.seed, "images": images, "value": value}


def ticks(panel: Panel) -> list[float]:
    """Round values along the vertical axis."""
    span = panel.high / panel.low if panel.kind == "loss" else inf
    factors = (1, 2, 3, 5) if span < 30 else (1, 2, 5) if span < 1000 else (1,)
    if panel.kind == "loss":
        powers = range(floor(log10(panel.low)), ceil(log10(panel.high)) + 1)
        round_ones = [float(f"{factor}e{power}") for power in powers for factor in factors]
        inside = [tick for tick in round_ones if panel.low <= tick <= panel.high]
        if len(inside) > 1:
            return inside
    step = round_step(panel.high - panel.low)
    return [round(n * step, 12) for n in range(ceil(panel.low / step), floor(panel.high / step) + 1)]


def _labels(panel: Panel, order: Sequence[str]) -> list[Json]:
    """A label per variant: where its curves end (the mean of its seeds) and where there is room for its name."""
    ends = []
    for variant in order:
        own = [curve for curve in panel.curves if curve.variant == variant]
        if own:
            last = sum(curve.points[-1][1] for curve in own) / len(own)
            value = min(max(last, panel.low), panel.high)
            ends.append((variant, max(curve.points[-1][0] for curve in own), value, _label(panel, own)))
    places = spread([panel.pixel(value) for _, _, value, _ in ends], LINE, panel.height)
    return [
        {"variant": variant, "images": images, "value": value, "at": panel.value(place), "label": label}
        for (variant, images, value, label), place in zip(ends, places, strict=True)
    ]


def _label(panel: Panel, own: Sequence[Curve]) -> str:
    """The variant's name; for the metric with the figure of the run's table, the mean of its seeds."""
    if panel.kind == "loss":
        return own[0].variant
    finals = [curve.final for curve in own if curve.final is not None]
    figure = f" {sum(finals) / len(finals):.1f}" if finals else ""
    seeds = f" ({len(own)} seeds)" if len(own) > 1 else ""
    return f"{own[0].variant}{figure}{seeds}"


def spread(wanted: Sequence[float], gap: float, length: float) -> list[float]:
    """Places at least `gap` apart, in the same order and as near to the wanted ones as can be.

    Least squares: what is wanted less n gaps must not fall, and the nearest series that does not is that of pooled
    neighbours. All of it lies within 0 and `length`, where there is room.

    >>> spread([10.0, 12.0, 50.0], 14.0, 100.0)
    [4.0, 18.0, 50.0]
    """
    order = sorted(range(len(wanted)), key=lambda n: wanted[n])
    pools: list[tuple[float, int]] = []
    for rank, n in enumerate(order):
        mean, size = wanted[n] - rank * gap, 1
        while pools and pools[-1][0] > mean:
            before, count = pools.pop()
            mean, size = (mean * size + before * count) / (size + count), size + count
        pools.append((mean, size))
    room = max(0.0, length - (len(wanted) - 1) * gap)
    level = [min(max(mean, 0.0), room) for mean, size in pools for _ in range(size)]
    places = [inf] * len(wanted)
    for rank, n in enumerate(order):
        places[n] = level[rank] + rank * gap
    return places
