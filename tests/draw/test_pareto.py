"""The chart of accuracy against cost: what is on the front, what is drawn, where names stand, and equal bytes."""

import subprocess
import sys
from itertools import combinations
from pathlib import Path

import pytest
from boards import board, run
from builders import LATENCY, SIZE, THROUGHPUT, records, trained

from bench.draw import pareto
from bench.draw.pareto import Axis, Front, Point
from bench.record import Record
from bench.stats import Interval
from bench.table.cells import Column

ROOT = Path(__file__).parent.parent.parent


def point(label: str, cost: float, accuracy: float) -> Point:
    return Point(label, Interval(cost, None, None), Interval(accuracy, None, None))


def found() -> list[Record]:
    return [*records(), *(trained(name, 60.0 + 10 * n) for n, name in enumerate(SIZE))]


def front(of: list[Record], mode: str = "fp32") -> Front:
    return pareto.front(board(run(of), by="latency", mode=mode), "One machine")


@pytest.mark.parametrize(
    ("points", "dominated"),
    [
        ([("a", 1, 60), ("b", 2, 70)], {"a": "", "b": ""}),
        ([("a", 1, 70), ("b", 2, 60)], {"a": "", "b": "a"}),
        ([("a", 1, 70), ("b", 2, 70)], {"a": "", "b": "a"}),
        ([("a", 1, 60), ("b", 1, 70)], {"a": "b", "b": ""}),
        ([("a", 1, 60), ("b", 1, 60)], {"a": "", "b": ""}),
        ([("a", 1, 60), ("b", 2, 70), ("c", 3, 65), ("d", 4, 80)], {"a": "", "b": "", "c": "b", "d": ""}),
        ([], {}),
    ],
)
def test_behind_is_what_another_point_beats(points: list[tuple[str, float, float]], dominated: dict[str, str]) -> None:
    assert {p.label: p.dominated for p in pareto.marked(point(*each) for each in points)} == dominated


def test_ranked_rows_are_drawn_with_their_intervals_and_the_others_are_told() -> None:
    fp32 = front(found())
    assert [p.label for p in fp32.points] == ["slim", "original", "deep"]
    slim = fp32.points[0]
    assert slim.dominated == "" and fp32.points[1].dominated == "slim"
    assert (slim.accuracy.value, slim.accuracy.low) == (70.0, 69.0)
    assert slim.cost.low is not None and slim.cost.low < slim.cost.value < 1000 and fp32.cost.unit == "ms"
    assert fp32.memory is not None and slim.memory == pytest.approx(0.726, rel=0.01)
    both = front(found(), "")
    assert "slim, fp32" in [p.label for p in both.points]
    left = dict(both.left_out)
    assert set(left) == {"slim, fast", "deep, fast"} and "mismatch" in left["slim, fast"]
    assert dict(front([*records(), trained("slim", 60.0)]).left_out)["deep"] == "no accuracy: not trained"


def test_less_is_better_of_a_cost_and_a_score_is_drawn_upwards() -> None:
    assert pareto.score_of(board(run(records()))) == "" and pareto.score_of(board(run(found()))) == "pckh.total"
    assert pareto.is_cost(Column(LATENCY)) and not pareto.is_cost(Column(THROUGHPUT))


def test_a_chart_says_under_what_its_points_were_measured() -> None:
    other = trained("slim", 60.0, tables={"train": {"batch": 8}}, flags=("unconverged",))
    chart = front([*records(), trained("original", 70.0), other])
    assert chart.subtitle == [
        "mode fp32",
        "Inference: data.size 256, data.use synthetic, infer.batch 1, threads 16",
        "Accuracy: data.size 64, data.use synthetic, train.recipe adam_short, train.samples 20000",
        "* train.batch 8 instead of 16 (PCKh@0.5 total)",
    ]
    assert [point.shown for point in chart.points] == ["slim*", "original"]
    unconverged = "PCKh@0.5 total unconverged (the score still rose at the end of the training: a longer one would "
    assert [point.remarks for point in chart.points] == [(f"{unconverged}raise it further)",), ()]
    drawn = pareto.draw([chart]).decode()
    for said in (">slim*<", ">mode fp32<", ">* train.batch 8 instead of 16 (PCKh@0.5 total)<"):
        assert said in drawn, said
    assert front(found(), "").subtitle[0] == "modes fast, fp32"


def test_the_same_rows_give_the_same_bytes_in_another_process_too() -> None:
    code = (
        "import sys; sys.path[:0] = sys.argv[1:]\n"
        "import test_pareto as t\n"
        "sys.stdout.buffer.write(t.pareto.draw([t.front(t.found())]))"
    )
    folders = [str(ROOT), str(ROOT / "tests"), str(ROOT / "tests" / "draw")]
    drawn = pareto.draw([front(found())])
    assert pareto.draw([front(found()[::-1])]) == drawn
    done = subprocess.run([sys.executable, "-c", code, *folders], capture_output=True, check=True)
    assert done.stdout == drawn
    assert drawn.startswith(b"<svg") and drawn.endswith(b"</svg>\n")


def test_every_point_is_named_and_axes_have_units() -> None:
    text = pareto.draw([front(found()), front(found(), "")]).decode()
    for label in (">slim<", ">original, fast<", ">Latency (ms)<", ">PCKh@0.5 total (%)<", ">One machine<"):
        assert label in text, label
    assert text.count(">One machine<") == 2, "a panel for each place"
    assert "Liberation Sans" in text


@pytest.mark.parametrize("axis", [Axis(10.0, 1000.0, 100.0, logarithmic=True), Axis(10.0, 1000.0, 100.0)])
def test_pixels_and_values_are_each_other_s_inverse(axis: Axis) -> None:
    assert axis.pixel(10.0) == 0 and axis.pixel(1000.0) == pytest.approx(100.0)
    for value in (10.0, 77.0, 1000.0):
        assert axis.value(axis.pixel(value)) == pytest.approx(value)
    assert all(10.0 <= tick <= 1000.0 for tick in axis.ticks) and len(axis.ticks) >= 3


def test_costs_far_apart_are_on_a_logarithmic_axis() -> None:
    near, _ = pareto.axes([point("a", 100, 60), point("b", 200, 70)])
    far, _ = pareto.axes([point("a", 10, 60), point("b", 200, 70)])
    assert (near.logarithmic, far.logarithmic) == (False, True)


@pytest.mark.parametrize("points", [[point("a", 1, 60)], [point("a", 0, 60), point("b", 0, 60)]])
def test_one_point_and_no_cost_can_be_drawn(points: list[Point]) -> None:
    cost, score = pareto.axes(points)
    assert cost.low < cost.high and score.low < score.high


def test_names_do_not_cover_each_other_where_there_is_room() -> None:
    anchors = [(200.0 + 3 * n, 150.0 + 2 * n, 5.0) for n in range(8)]
    labels = [f"variant-{n}" for n in range(8)]
    places = pareto.placed(anchors, labels)
    boxes = [(x, y - 6, x + pareto.GLYPH * 9, y + 6) for x, y in places]
    for (a, b, c, d), (e, f, g, h) in combinations(boxes, 2):
        assert c <= e or g <= a or d <= f or h <= b
    assert all(x >= 0 and x + pareto.GLYPH * 9 <= pareto.WIDTH and 0 <= y <= pareto.HEIGHT for x, y in places)
