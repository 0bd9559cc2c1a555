"""Curves: which are drawn, on which axes, with which labels, and that the same curves give the same bytes."""

import re
import subprocess
import sys
from math import nan
from pathlib import Path

import pytest
from PIL import Image
from trainings import LOSS, PCKH, curve, training

from bench.draw import charts
from bench.draw.charts import Curve, Panel, spread
from bench.record import Quantity, Record, Value

ROOT = Path(__file__).parent.parent.parent
NAMES = [f"variant-{n}" for n in range(12)]


def all_curves(names: list[str], seeds: int = 1) -> list[Curve]:
    ends = {name: 80.0 - 3 * n for n, name in enumerate(names)}
    records = [training(name, end=ends[name] + seed, seed=seed) for name in names for seed in range(seeds)]
    return [found for record in records for found in charts.curves(record.job.variant, record)]


def svg(found: list[Curve], order: list[str]) -> str:
    return charts.draw(charts.panels(found), order, "svg").decode()


def with_curve(quantity: Quantity, images: list[int], values: list[float | None]) -> Record:
    value = Value(quantity=quantity, value=1.0, details={"curve": {"images": images, "values": values}})
    return training("a", values=[value])


def test_the_same_curves_give_the_same_bytes() -> None:
    found = all_curves(NAMES)
    first = svg(found, NAMES)
    assert svg(found, NAMES) == first
    assert svg(all_curves(NAMES[:11]), NAMES) != first


def test_another_process_gives_the_same_bytes() -> None:
    code = (
        "import sys; sys.path[:0] = sys.argv[1:]\n"
        "import test_charts as t\n"
        "sys.stdout.write(t.svg(t.all_curves(t.NAMES), t.NAMES))"
    )
    folders = [str(ROOT), str(ROOT / "tests"), str(ROOT / "tests" / "draw")]
    done = subprocess.run([sys.executable, "-c", code, *folders], capture_output=True, text=True, check=True)
    assert done.stdout == svg(all_curves(NAMES), NAMES)


def test_every_variant_is_named_with_its_figure_and_no_two_look_alike() -> None:
    text = svg(all_curves(NAMES), NAMES)
    for record in (training(name, end=80.0 - 3 * n) for n, name in enumerate(NAMES)):
        assert f"{record.job.variant} {record.values[0].value:.1f}<" in text
    assert "PCKh@0.5 total (%)" in text and "Training loss" in text and "Training images seen" in text
    looks = {(n % len(charts.COLOURS), n // len(charts.COLOURS) % len(charts.DASHES)) for n in range(len(NAMES))}
    assert len(looks) == len(NAMES)
    assert all(text.count(f'stroke="{colour}"') >= 2 for colour in charts.COLOURS)


def test_seeds_are_lines_of_one_colour_under_one_name() -> None:
    text = svg(all_curves(["a", "b"], seeds=3), ["a", "b"])
    assert text.count(">a ") == 1 and "(3 seeds)" in text
    black = re.findall(r'<path [^>]*stroke="#000000" stroke-width="0.9"', text)
    assert len(black) == 6  # three seeds in two panels


def test_points_that_are_no_numbers_are_left_out() -> None:
    record = with_curve(PCKH, [1, 2, 3, 4], [10.0, None, nan, 40.0])
    assert [found.points for found in charts.curves("a", record)] == [((1, 10.0), (4, 40.0))]
    assert charts.curves("a", with_curve(PCKH, [1], [None])) == []
    assert charts.curves("a", training("a", values=[Value(quantity=PCKH, value=80.0)])) == []


def test_panels_are_the_first_headline_metric_and_the_training_loss() -> None:
    test_loss = Quantity(name="loss.test", unit="1", better="lower", title="validation loss", headline=False)
    other = Quantity(name="pckh.mean14", unit="%", better="higher", title="mean")
    values = [curve(test_loss, 2, 1), curve(LOSS, 2, 1), curve(PCKH, 5, 80), curve(other, 5, 70)]
    panels = charts.panels(charts.curves("a", training("a", values=values)))
    assert [(panel.kind, panel.curves[0].quantity.name) for panel in panels] == [
        ("metric", "pckh.total"),
        ("loss", "loss.train"),
    ]
    assert [panel.kind for panel in charts.panels(charts.curves("a", training("a", values=values[:2])))] == ["loss"]
    assert charts.panels([]) == []


def test_a_loss_of_zero_has_no_place_on_a_logarithmic_axis() -> None:
    (panel,) = charts.panels(charts.curves("a", with_curve(LOSS, [1, 2, 3], [1.0, 0.0, 0.5])))
    assert panel.curves[0].points == ((1, 1.0), (3, 0.5)) and panel.low > 0
    assert charts.panels(charts.curves("a", with_curve(LOSS, [1], [0.0]))) == []


@pytest.mark.parametrize("values", [[50.0], [0.0], [50.0, 50.0], [0.001, 0.002], [1.0, 1e6], [-3.0, -1.0]])
@pytest.mark.parametrize("quantity", [PCKH, LOSS])
def test_whatever_the_values_are_the_ends_lie_on_the_axis(quantity: Quantity, values: list[float | None]) -> None:
    found = charts.curves("a", with_curve(quantity, [10 * (n + 1) for n in range(len(values))], values))
    for panel in charts.panels(found):
        assert panel.low < panel.high
        assert panel.low <= panel.curves[0].points[-1][1] <= panel.high
        assert len(charts.ticks(panel)) >= 2
        for pixel in (0.0, 40.0, float(panel.height)):
            assert panel.pixel(panel.value(pixel)) == pytest.approx(pixel)
        assert charts.draw([panel], ["a"], "svg").startswith(b"<svg")


def test_ticks_of_a_loss_are_few_and_round() -> None:
    (found,) = charts.curves("a", with_curve(LOSS, [1, 2], [0.003, 0.0004]))
    assert charts.ticks(Panel("loss", [found], 0.0004, 0.003)) == [0.0005, 0.001, 0.002, 0.003]
    assert charts.ticks(Panel("loss", [found], 1e-6, 1.0)) == [10.0**n for n in range(-6, 1)]


@pytest.mark.parametrize(
    ("wanted", "places"),
    [
        ([], []),
        ([30.0], [30.0]),
        ([50.0, 10.0], [50.0, 10.0]),
        ([50.0, 50.0], [45.0, 55.0]),
        ([0.0, 0.0, 90.0], [0.0, 10.0, 90.0]),
        ([100.0, 99.0], [100.0, 90.0]),
        ([50.0, 58.0, 54.0], [44.0, 64.0, 54.0]),
    ],
)
def test_labels_keep_their_order_and_their_distance(wanted: list[float], places: list[float]) -> None:
    assert spread(wanted, 10.0, 100.0) == pytest.approx(places)


def test_a_png_is_the_same_chart(tmp_path: Path) -> None:
    found = all_curves(NAMES[:3])
    file = tmp_path / "curves.png"
    file.write_bytes(charts.draw(charts.panels(found), NAMES, "png"))
    with Image.open(file) as image:
        assert image.format == "PNG"
        assert image.width > 2 * charts.WIDTH and image.height > 2 * sum(charts.HEIGHTS.values())
