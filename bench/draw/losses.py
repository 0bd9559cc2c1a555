"""Losses of trainings -> small multiples, a panel per variant -> SVG or PNG bytes; the same curves give the same bytes.

A panel holds the training and the validation loss of every seed. All panels have the same axes, so that they compare.
Dots are where the network was validated; of a training that failed a cross is where its curve ends, and the reason
stands above the panel.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from textwrap import wrap
from typing import TYPE_CHECKING

from bench.draw import charts
from bench.draw.charts import COUNT, FAINT, NUMBER, TEXT, Curve
from bench.record import Json, Record

if TYPE_CHECKING:
    import altair as alt

NAMES = {charts.LOSS: "training loss", "loss.test": "validation loss"}
"""Quantity -> what the legend says."""

TRAINING, VALIDATION = NAMES.values()
COLOURS = {TRAINING: charts.COLOURS[2], VALIDATION: charts.COLOURS[3]}

COLUMNS = 4
WIDTH, HEIGHT = 210, 150
SPACING = 22
THICK, THIN = 1.6, 0.9  # a line of one seed; of several
CROSS = "M-1,-1L1,1M-1,1L1,-1"
NAME, SAID = 30, 40  # characters that fit over a panel: of its name, and of what is said below in a smaller font
REASON = 3  # lines of it at most: a network's own error may be a page

ROOM = 3.0
"""How far beyond the other trainings, as a factor, the axis follows one that failed: a loss may grow to 1e30, and
would leave the others no room."""


@dataclass(frozen=True, slots=True)
class Course:
    """The losses of one training.

    Attributes:
        curves: what the legend says -> the curve; only what there is, and only points above zero.
        epoch: training images in an epoch; 0 where the job does not say.
        failed: why the training failed; empty where it did not.
    """

    variant: str
    seed: int
    curves: Mapping[str, Curve]
    epoch: int = 0
    failed: str = ""


def course(variant: str, record: Record) -> Course | None:
    """The losses that an accuracy record holds; None where it holds none that a logarithmic axis can show."""
    found = [charts.positive(c) for c in charts.curves(variant, record) if c.quantity.name in NAMES]
    kept = {NAMES[curve.quantity.name]: curve for curve in found if curve.points}
    if not kept:
        return None
    return Course(variant, record.job.seed, kept, int(record.job.data.get("train") or 0), _failure(record))


def _failure(record: Record) -> str:
    """Why a training failed, by its curve where that has a reason; the record's also names the measure."""
    if record.status == "ok":
        return ""
    reasons = [value.reason for value in record.values if value.quantity.name == charts.LOSS]
    return next(filter(None, [*reasons, record.reason]), record.status)


def draw(courses: Iterable[Course], form: str) -> bytes:
    """A panel per variant, in the order in which they come first. `form` is `svg` or `png`."""
    return charts.rendered(chart(list(courses)), form)


def chart(courses: Sequence[Course]) -> "alt.ConcatChart":
    """The panels in rows; the lowest of each column and the first of each row have the axis's numbers and title."""
    import altair as alt

    panels: dict[str, list[Course]] = {}
    for each in sorted(courses, key=lambda one: one.seed):
        panels.setdefault(each.variant, []).append(each)
    order = list(dict.fromkeys(each.variant for each in courses))
    axes = _axes(courses)
    parts = [
        _panel(panels[variant], axes, left=n % COLUMNS == 0, below=n + COLUMNS >= len(order))
        for n, variant in enumerate(order)
    ]
    return alt.concat(*parts, columns=COLUMNS, spacing=SPACING, align="each")


@dataclass(frozen=True, slots=True)
class _Axes:
    """What all panels share; `epochs` where every job says how many images an epoch has, else images."""

    epochs: bool
    end: float
    low: float
    high: float
    ticks: Sequence[float]

    def across(self, one: Course, images: int) -> float:
        """Where on the horizontal axis a point of a training lies."""
        return images / one.epoch if self.epochs else images


def _axes(courses: Sequence[Course]) -> _Axes:
    bounds = _bounds(courses)
    axes = _Axes(all(one.epoch for one in courses), 0, bounds.low, bounds.high, charts.ticks(bounds))
    ends = [axes.across(one, curve.points[-1][0]) for one in courses for curve in one.curves.values()]
    return replace(axes, end=max(ends))


def _bounds(courses: Sequence[Course]) -> charts.Panel:
    every = charts.loss_panel([curve for one in courses for curve in one.curves.values()])
    fine = [curve for one in courses if not one.failed for curve in one.curves.values()]
    if not fine:
        return every
    inner = charts.loss_panel(fine)
    return replace(every, low=max(every.low, inner.low / ROOM), high=min(every.high, inner.high * ROOM))


def _lines(courses: Iterable[Course], axes: _Axes) -> Iterator[Json]:
    for one in courses:
        for loss, curve in one.curves.items():
            for images, value in curve.points:
                yield {"loss": loss, "seed": one.seed, "x": axes.across(one, images), "value": value}


def _dots(courses: Iterable[Course], axes: _Axes) -> Iterator[Json]:
    """Validations, and a training loss of one point, which no line shows."""
    for one in courses:
        for loss, curve in one.curves.items():
            for images, value in curve.points if loss == VALIDATION or len(curve.points) == 1 else ():
                if axes.low <= value <= axes.high:
                    yield {"loss": loss, "x": axes.across(one, images), "value": value}


def _crosses(courses: Iterable[Course], axes: _Axes) -> Iterator[Json]:
    """The ends of trainings that failed; on the panel's edge where the curve leaves it."""
    for one in courses:
        if one.failed:
            curve = one.curves.get(TRAINING) or one.curves[VALIDATION]
            images, value = curve.points[-1]
            yield {"x": axes.across(one, images), "value": min(max(value, axes.low), axes.high)}


def _panel(courses: Sequence[Course], axes: _Axes, *, left: bool, below: bool) -> "alt.LayerChart | alt.FacetChart":
    import altair as alt

    legend = alt.Legend(title=None, orient="top", symbolType="stroke", symbolStrokeWidth=2.5, labelFontSize=12)
    colour = alt.Color("loss:N", legend=legend).scale(domain=list(COLOURS), range=list(COLOURS.values()))
    x, y = _across(axes, named=below), _up(axes, named=left)
    lines = alt.Chart(alt.InlineData(values=list(_lines(courses, axes))))
    lines = lines.mark_line(strokeWidth=THIN if len(courses) > 1 else THICK, clip=True)
    lines = lines.encode(x=x, y=y, color=colour, detail="seed:N")
    dots = alt.Chart(alt.InlineData(values=list(_dots(courses, axes)))).mark_circle(size=14, opacity=1)
    crosses = alt.Chart(alt.InlineData(values=list(_crosses(courses, axes))))
    crosses = crosses.mark_point(shape=CROSS, size=36, strokeWidth=1.6, stroke=TEXT, opacity=1)
    layers = [lines, dots.encode(x=x, y=y, color=colour), crosses.encode(x=x, y=y)]
    return alt.layer(*layers).properties(width=WIDTH, height=HEIGHT, title=_heading(courses))


def _across(axes: _Axes, *, named: bool) -> "alt.X":
    import altair as alt

    title, number = ("Epochs", NUMBER) if axes.epochs else ("Training images seen", COUNT)
    x = alt.X("x:Q").scale(domain=[0, axes.end], nice=False)
    shown = title if named else None
    return x.axis(title=shown, labels=named, labelExpr=number, labelFlush=False, grid=False, tickCount=4)


def _up(axes: _Axes, *, named: bool) -> "alt.Y":
    import altair as alt

    y = alt.Y("value:Q").scale(type="log", domain=[axes.low, axes.high], nice=False)
    lines = alt.Axis(values=list(axes.ticks), labelExpr=NUMBER, gridColor=FAINT, domain=False, ticks=False)
    lines.title, lines.labels = "Loss" if named else None, named
    return y.axis(lines)


def _heading(courses: Sequence[Course]) -> "alt.TitleParams":
    import altair as alt

    heading = alt.TitleParams(wrap(courses[0].variant, NAME), color=TEXT, fontSize=12, anchor="start", frame="group")
    heading.offset = 6
    if lines := said(courses):
        heading.subtitle, heading.subtitleColor, heading.subtitleFontSize = lines, TEXT, 11
    return heading


def said(courses: Sequence[Course]) -> list[str]:
    """Lines under a panel's name: how many seeds, what is missing, and why trainings failed."""
    several = len(courses) > 1
    lines = [f"{len(courses)} seeds"] if several else []
    for loss in NAMES.values():
        absent = [one.seed for one in courses if loss not in one.curves]
        if absent:
            lines.append(f"no {loss}" if len(absent) == len(courses) else f"no {loss} of {_seeds(absent)}")
    for reason in dict.fromkeys(one.failed for one in courses if one.failed):
        which = _seeds([one.seed for one in courses if one.failed == reason])
        text = f"{which} failed: {reason}" if several else f"failed: {reason}"
        lines += wrap(f"\N{MULTIPLICATION SIGN} {text}", SAID, max_lines=REASON)
    return lines


def _seeds(numbers: Sequence[int]) -> str:
    return f"seed{'s' * (len(numbers) > 1)} {', '.join(map(str, numbers))}"
