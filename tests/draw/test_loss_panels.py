"""Losses per epoch: what each panel holds, on which axes, what is said above it, and equal bytes."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from PIL import Image
from trainings import LOSS, PCKH, curve, training

from bench.draw import losses
from bench.draw.losses import Course
from bench.record import Json, Quantity, Record, Value

ROOT = Path(__file__).parent.parent.parent
TEST = Quantity(name="loss.test", unit="1", better="lower", title="validation loss", headline=False)
EPOCH = 4000
NAN = "the loss is not finite (nan) after 9,000 images"


def values(*, test: bool = True, end: float = 0.01) -> list[Value]:
    """Curves of 20 points to 20,000 images, that of the validations of 5."""
    found = [curve(PCKH, 5.0, 80.0), curve(LOSS, 0.1, end)]
    return [*found, curve(TEST, 0.2, 2 * end, points=5)] if test else found


def trained(variant: str = "a", seed: int = 1, *, epoch: int = EPOCH, **changes: Any) -> Record:
    record = training(variant, seed=seed, **{"values": values()} | changes)
    return replace(record, job=replace(record.job, data={"train": epoch} if epoch else {}))


def failed(reason: str = NAN, found: list[Value] | None = None, **changes: Any) -> Record:
    kept = [replace(value, value=None, reason=reason) for value in found or values()[1:]]
    return trained(values=kept, status="failed", reason=f"accuracy: {reason}", **changes)


def of(*records: Record) -> list[Course]:
    return [one for record in records if (one := losses.course(record.job.variant, record))]


def panels(*records: Record) -> list[Json]:
    """The panels of a chart, as the renderer gets them."""
    chart: Json = losses.chart(of(*records)).to_dict()
    for layer in (layer for panel in chart["concat"] for layer in panel["layer"]):
        layer["rows"] = chart["datasets"][layer["data"]["name"]]
    return list(chart["concat"])


def lines(panel: Json, loss: str, seed: int = 1) -> list[tuple[float, float]]:
    return [(row["x"], row["value"]) for row in panel["layer"][0]["rows"] if (row["loss"], row["seed"]) == (loss, seed)]


def marks(panel: Json, layer: int) -> list[Json]:
    found: list[Json] = panel["layer"][layer]["rows"]
    return found


def axis(panel: Json, side: str) -> Json:
    found: Json = panel["layer"][0]["encoding"][side]
    return found


def svg(names: list[str], seeds: int) -> str:
    found = of(*(trained(name, seed, values=values(end=0.01 * seed)) for name in names for seed in range(seeds)))
    return losses.draw(found, "svg").decode()


def test_a_panel_holds_both_losses_over_epochs() -> None:
    (panel,) = panels(trained())
    training_loss, validation = lines(panel, "training loss"), lines(panel, "validation loss")
    assert [x for x, _ in training_loss] == [(n + 1) / 4 for n in range(20)]
    assert [x for x, _ in validation] == [(n + 1) / 4 for n in range(5)]
    assert training_loss[0][1] == pytest.approx(0.1) and validation[0][1] == pytest.approx(0.2)
    assert [(row["x"], row["value"]) for row in marks(panel, 1)] == validation
    assert axis(panel, "x")["axis"]["title"] == "Epochs" and axis(panel, "x")["scale"]["domain"] == [0, 5]
    assert axis(panel, "y")["axis"]["title"] == "Loss" and axis(panel, "y")["scale"]["type"] == "log"
    assert panel["title"]["text"] == ["a"] and "subtitle" not in panel["title"] and not marks(panel, 2)


def test_every_training_has_epochs_of_its_own_length() -> None:
    first, second = panels(trained("a", epoch=1000), trained("b", epoch=2000))
    assert [lines(panel, "training loss")[-1][0] for panel in (first, second)] == [20, 10]


def test_where_a_job_has_no_epoch_all_panels_count_images() -> None:
    first, second = panels(trained("a"), trained("b", epoch=0))
    for panel in (first, second):
        assert lines(panel, "training loss")[-1][0] == 20_000
        assert axis(panel, "x")["axis"]["title"] == "Training images seen"


def test_panels_share_their_axes_and_wrap_into_columns() -> None:
    found = panels(*(trained(f"v{n}", values=values(end=0.01 / (n + 1))) for n in range(6)))
    assert [panel["title"]["text"] for panel in found] == [[f"v{n}"] for n in range(6)]
    for side in ("x", "y"):
        assert len({str(axis(panel, side)["scale"]) for panel in found}) == 1
    assert [axis(panel, "y")["axis"]["title"] for panel in found] == ["Loss", None, None, None, "Loss", None]
    below = [axis(panel, "x")["axis"]["title"] for panel in found]
    assert below == [None, None, "Epochs", "Epochs", "Epochs", "Epochs"]  # the lowest of each of four columns


def test_seeds_are_thin_lines_of_one_panel() -> None:
    (one,) = panels(trained())
    (three,) = panels(*(trained(seed=seed) for seed in (3, 1, 2)))
    assert three["title"]["subtitle"] == ["3 seeds"]
    for seed in (1, 2, 3):
        assert len(lines(three, "training loss", seed)) == 20 and len(lines(three, "validation loss", seed)) == 5
    assert three["layer"][0]["encoding"]["detail"]["field"] == "seed"
    assert three["layer"][0]["mark"]["strokeWidth"] < one["layer"][0]["mark"]["strokeWidth"]


def test_a_missing_curve_is_said() -> None:
    without = trained(values=values(test=False))
    (panel,) = panels(without)
    assert panel["title"]["subtitle"] == ["no validation loss"] and not lines(panel, "validation loss")
    (panel,) = panels(without, trained(seed=2))
    assert panel["title"]["subtitle"] == ["2 seeds", "no validation loss of seed 1"]
    assert losses.course("a", trained(values=values()[:1])) is None
    only = trained(values=[Value(quantity=TEST, details={"curve": {"images": [1, 2], "values": [0.0, None]}})])
    assert losses.course("a", only) is None  # a logarithmic axis has no place for it


def test_a_training_that_failed_says_why_and_has_a_cross_at_its_end() -> None:
    (panel,) = panels(failed())
    (cross,) = marks(panel, 2)
    assert (cross["x"], cross["value"]) == lines(panel, "training loss")[-1]
    assert " ".join(panel["title"]["subtitle"]) == f"× failed: {NAN}"  # noqa: RUF001
    (panel,) = panels(trained(), failed(seed=2), failed(seed=3))
    assert " ".join(panel["title"]["subtitle"]) == f"3 seeds × seeds 2, 3 failed: {NAN}"  # noqa: RUF001
    assert len(marks(panel, 2)) == 2


def test_a_failure_after_the_training_is_the_record_s() -> None:
    (one,) = of(trained(status="oom", reason="accuracy: no memory"))
    assert one.failed == "accuracy: no memory"
    (one,) = of(trained(status="timeout"))
    assert one.failed == "timeout"


def test_a_page_of_reasons_takes_three_lines() -> None:
    (panel,) = panels(failed("word " * 200))
    assert len(panel["title"]["subtitle"]) == losses.REASON
    assert max(map(len, panel["title"]["subtitle"])) <= losses.SAID


def test_a_loss_that_exploded_leaves_the_others_their_room() -> None:
    broken = [curve(LOSS, 1e-12, 1e30), curve(TEST, 1e30, 1e30)]
    fine, exploded = panels(trained("a"), failed(found=broken, variant="b"))
    low, high = axis(fine, "y")["scale"]["domain"]
    assert 0.001 < low < 0.02 and 0.2 < high < 1.0
    (cross,) = marks(exploded, 2)
    assert cross["value"] == high and not marks(exploded, 1)
    (alone,) = panels(failed(found=broken))
    assert axis(alone, "y")["scale"]["domain"][1] > 1e30


def test_a_loss_of_one_point_is_a_dot() -> None:
    single = [curve(LOSS, 0.1, 0.1, points=1), curve(TEST, 0.2, 0.2, points=1)]
    (panel,) = panels(trained(values=single))
    assert [row["loss"] for row in marks(panel, 1)] == ["training loss", "validation loss"]


@pytest.mark.parametrize("seeds", [1, 3])
def test_the_same_curves_give_the_same_bytes(seeds: int) -> None:
    names = [f"variant-{n}" for n in range(5)]
    text = svg(names, seeds)
    assert svg(names, seeds) == text and svg(names[:4], seeds) != text
    assert all(text.count(f">{name}<") == 1 for name in names)
    assert all(text.count(f">{loss}<") == 1 for loss in losses.COLOURS)  # one legend
    thick = losses.THIN if seeds > 1 else losses.THICK
    for colour in losses.COLOURS.values():
        assert text.count(f'stroke="{colour}" stroke-width="{thick}"') == len(names) * seeds


def test_another_process_gives_the_same_bytes() -> None:
    code = (
        "import sys; sys.path[:0] = sys.argv[1:]\nimport test_loss_panels as t\nsys.stdout.write(t.svg(['a', 'b'], 3))"
    )
    folders = [str(ROOT), str(ROOT / "tests"), str(ROOT / "tests" / "draw")]
    done = subprocess.run([sys.executable, "-c", code, *folders], capture_output=True, text=True, check=True)
    assert done.stdout == svg(["a", "b"], 3)


def test_a_png_is_the_same_chart(tmp_path: Path) -> None:
    file = tmp_path / "losses.png"
    file.write_bytes(losses.draw(of(trained("a"), trained("b")), "png"))
    with Image.open(file) as image:
        assert image.format == "PNG"
        assert image.width > 2 * 2 * losses.WIDTH and image.height > 2 * losses.HEIGHT
