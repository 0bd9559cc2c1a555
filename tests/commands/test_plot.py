"""`bench plot` through the command line: what it draws, and what it says of what is missing."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import Project, Typed
from jobs import header, record
from msgspec.structs import replace
from PIL import Image
from trainings import Arrays, arrays, keep, noisy, training

from bench import store
from bench.record import Record

SUITE = {"name": "study", "variants": [{"name": "original"}, {"name": "slim"}, {"name": "deep"}]}
STACKS = {"original": 4, "slim": 1, "deep": 2}
FILES = ["curves.svg", "losses.svg", "variants.png", "stacks.png"]
CHARTS = "out/curves.svg\nout/losses.svg\n"
LATER = "20260202T000000Z-3f2a91c0"


def written(project: Project, records: list[Record], run: str = "", suite: str = "study") -> Path:
    head = header(run, suite=SUITE) if run else header(suite=SUITE)
    with store.new_run(project.results / suite, head) as opened:
        for each in records:
            store.append(opened, each)
        return opened.path


def with_examples(project: Project, records: list[Record], **changes: Arrays) -> list[Record]:
    """The records, with their files beside the run."""
    folder = project.results / "study" / header().run
    found = []
    for n, each in enumerate(records):
        given = noisy(arrays(stacks=STACKS[each.job.variant]), n)
        found.append(replace(each, artefacts=keep(folder, each, given | changes.get(each.job.variant, {}))))
    return found


def size(path: Path) -> tuple[int, int]:
    """Width and height of a PNG."""
    with Image.open(path) as image:
        assert image.format == "PNG"
        return image.size


def trained() -> list[Record]:
    return [training("slim", end=70.0), training("original", end=80.0), training("deep", end=75.0)]


@pytest.fixture
def run(project: Project) -> Path:
    return written(project, with_examples(project, trained()))


def test_everything_is_drawn_into_the_folder_of_the_run(run: Path, bench: Typed) -> None:
    done = bench("plot", "study")
    folder = Path("results/study") / run.stem
    assert (done.code, done.err) == (0, "")
    assert done.out.splitlines() == [str(folder / name) for name in FILES]
    for name in FILES:
        assert (run.with_suffix("") / name).stat().st_size > 1000


def test_in_a_process_of_its_own_the_files_are_the_same(run: Path, project: Project, bench: Typed) -> None:
    assert bench("plot", str(run), "--out", "here/new").code == 0
    done = project.bench("plot", run.stem, "--out", "there")
    assert (done.code, done.err) == (0, "")
    for name in FILES:
        assert (project.folder / "here/new" / name).read_bytes() == (project.folder / "there" / name).read_bytes()


def test_variants_stand_in_the_suite_s_order_and_can_be_chosen(run: Path, project: Project, bench: Typed) -> None:
    bench("plot", "study", "--out", "all")
    text = (project.folder / "all/curves.svg").read_text()
    assert text.index(">original 78.9<") < text.index(">slim 69.1<") < text.index(">deep 74.0<")
    done = bench("plot", "study", "--out", "some", "--variant", "slim", "--variant", "deep")
    assert [Path(line).name for line in done.out.splitlines()] == FILES
    text = (project.folder / "some/curves.svg").read_text()
    losses = (project.folder / "some/losses.svg").read_text()
    for chart in (text, losses):
        assert "slim" in chart and "deep" in chart and "original" not in chart
    done = bench("plot", "study", "--out", "flat", "--variant", "slim")  # it has one stack
    assert [Path(line).name for line in done.out.splitlines()] == FILES[:3]


def test_images_are_rows(run: Path, project: Project, bench: Typed) -> None:
    for count in ("1", "3", "9"):  # there are 5
        assert bench("plot", "study", "--out", count, "--images", count).code == 0
    one, three, nine = (size(project.folder / count / "variants.png")[1] for count in ("1", "3", "9"))
    row = (three - one) // 2
    assert 192 <= row <= 210 and nine == one + 4 * row


def test_the_charts_as_png(run: Path, project: Project, bench: Typed) -> None:
    done = bench("plot", "study", "--out", "out", "--format", "png")
    assert [Path(line).name for line in done.out.splitlines()[:2]] == ["curves.png", "losses.png"]
    assert size(project.folder / "out/curves.png") > (1000, 1000)
    width, height = size(project.folder / "out/losses.png")
    assert width > 3 * 2 * 210 and height > 2 * 150  # three panels side by side, at twice their size


def test_missing_examples_are_told_and_the_rest_is_drawn(run: Path, project: Project, bench: Typed) -> None:
    (file,) = (path for path in run.with_suffix("").iterdir() if path.name.startswith(trained()[0].id))
    file.unlink()
    done = bench("plot", "study", "--out", "out")
    assert done.code == 0
    assert [Path(line).name for line in done.out.splitlines()] == FILES
    where = Path("results/study") / run.stem / file.name
    again = "bench run study --profile quick --variant slim --fresh makes it"
    assert done.err == f"slim: no examples, {where}: No such file or directory; {again}\n"
    assert size(project.folder / "out/variants.png")[0] < 4 * 192


def test_without_any_examples_there_are_curves(project: Project, bench: Typed) -> None:
    written(project, trained())
    done = bench("plot", "study", "--out", "out")
    assert (done.code, done.out) == (0, CHARTS)
    assert len(done.err.splitlines()) == 3 and "its record lists none" in done.err


def test_another_file_than_the_listed_one_is_not_drawn(run: Path, bench: Typed) -> None:
    keep(run.with_suffix(""), trained()[0], arrays())
    done = bench("plot", "study")
    assert done.code == 0
    assert "not the file that its record lists" in done.err and done.err.count("\n") == 1


def test_examples_of_other_images_are_left_out(project: Project, bench: Typed) -> None:
    other = np.full((5, 64, 64, 3), 7, np.uint8)
    written(project, with_examples(project, trained(), deep={"image": other}))
    done = bench("plot", "study", "--out", "out")
    assert done.code == 0
    assert done.err == "deep: its examples are other images than those of original: left out\n"


def test_only_examples(project: Project, bench: Typed) -> None:
    bare = [replace(each, values=[replace(value, details={}) for value in each.values]) for each in trained()]
    written(project, with_examples(project, bare))
    done = bench("plot", "study", "--out", "out")
    assert [Path(line).name for line in done.out.splitlines()] == FILES[2:]
    assert done.code == 0 and done.err.count("no training curve in its record") == 3


def test_with_neither_there_is_nothing_to_draw(project: Project, bench: Typed) -> None:
    path = written(project, [replace(trained()[0], values=[])])
    done = bench("plot", "study", "--out", "out")
    assert (done.code, done.out) == (2, "")
    said = f"{path.relative_to(project.folder)}: nothing to draw, neither curves nor examples are there"
    assert done.err.splitlines()[-1] == said and len(done.err.splitlines()) == 2
    assert not (project.folder / "out").exists()


def taken_over(from_: str, **changes: Any) -> list[Record]:
    """The records without details and files, as a run that does not train shows them."""
    bare = [[replace(value, details={}) for value in each.values] for each in trained()]
    return [replace(each, values=values, origin=from_, **changes) for each, values in zip(trained(), bare, strict=True)]


@pytest.mark.parametrize("suite", ["study", "elsewhere"])
def test_what_was_taken_over_is_drawn_from_the_run_that_trained(
    run: Path, project: Project, bench: Typed, suite: str
) -> None:
    middle = "20260102T000000Z-3f2a91c0"
    written(project, taken_over(run.stem), middle, suite)
    written(project, taken_over(middle), LATER, suite)
    bench("plot", str(run), "--out", "own")
    done = bench("plot", LATER, "--out", "over")
    assert (done.code, done.err) == (0, "")
    for name in FILES:
        assert (project.folder / "own" / name).read_bytes() == (project.folder / "over" / name).read_bytes()


@pytest.mark.parametrize("origin", ["20250101T000000Z-00000000", LATER])
def test_a_run_that_is_gone_or_that_names_itself_is_told(project: Project, bench: Typed, origin: str) -> None:
    over = taken_over(origin)
    written(project, [over[0], trained()[1]], LATER)
    done = bench("plot", LATER, "--out", "out")
    assert (done.code, done.out) == (0, CHARTS)
    again = "bench run study --profile accuracy --variant slim --fresh makes it"
    assert f"slim: its training is in run {origin}, which is not here; {again}" in done.err.splitlines()
    text = (project.folder / "out/curves.svg").read_text()
    assert "original" in text and "slim" not in text


def test_a_job_that_failed_and_was_done_again_counts_once(project: Project, bench: Typed) -> None:
    good = training("original", started="2026-01-02T00:00:00Z")
    bad = replace(good, status="failed", reason="no", values=[], started="2026-01-03T00:00:00Z")
    written(project, [good, bad, training("slim", status="oom", values=[], reason="no")])
    assert bench("plot", "study", "--out", "out").code == 0
    text = (project.folder / "out/curves.svg").read_text()
    assert "original" in text and "slim" not in text


def failed(variant: str, reason: str, **changes: Any) -> Record:
    """A training whose curves were kept although it failed."""
    whole = training(variant, **changes)
    curves = [replace(v, value=None, reason=reason) for v in whole.values if v.quantity.name.startswith("loss.")]
    return replace(whole, status="failed", reason=f"accuracy: {reason}", values=curves)


def test_a_training_that_failed_shows_its_losses_and_why_it_ended(project: Project, bench: Typed) -> None:
    reason = "the loss is not finite (nan)"
    written(project, [training("original", seed=1), failed("original", reason, seed=2), failed("slim", reason)])
    done = bench("plot", "study", "--out", "out")
    assert (done.code, done.out) == (0, CHARTS)
    assert "slim" not in done.err
    text = (project.folder / "out/losses.svg").read_text()
    assert f"seed 2 failed: {reason}" in " ".join(re.findall(">([^<>]+)</t", text))
    assert text.index(">original<") < text.index(">slim<")
    assert "slim" not in (project.folder / "out/curves.svg").read_text()


def test_of_trainings_that_all_failed_there_are_losses(project: Project, bench: Typed) -> None:
    written(project, [failed("slim", "no fall")])
    done = bench("plot", "study", "--out", "out", "--variant", "slim")
    assert (done.code, done.out, done.err) == (0, "out/losses.svg\n", "")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["plot", "stud"], "no run 'stud' under results/; did you mean 'study'?"),
        (["plot", "study", "--variant", "slin"], "{path}: no accuracy of a variant 'slin'; did you mean 'slim'?"),
        (
            ["plot", "study", "--images", "0"],
            "Invalid value for '--images': 0 is not in the range x>=1; see: ",
        ),
        (["plot", "study", "--out", "suites/tiny.toml"], "suites/tiny.toml: cannot write pictures here (File exists)"),
    ],
)
def test_bad_input_is_one_line(run: Path, project: Project, bench: Typed, arguments: list[str], said: str) -> None:
    done = bench(*arguments)
    assert (done.code, done.out) == (2, "")
    (line,) = done.err.splitlines()
    assert line.startswith(said.format(path=run.relative_to(project.folder)))


def test_a_run_without_accuracy_says_how_to_get_some(project: Project, bench: Typed) -> None:
    written(project, [record()])
    done = bench("plot", "study")
    assert (done.code, done.out) == (2, "")
    assert done.err.endswith("no accuracy to draw; bench run study --profile accuracy trains and scores its variants\n")
    assert done.err.count("\n") == 1


def test_torn_lines_are_told(run: Path, bench: Typed) -> None:
    with run.open("ab") as file:
        file.write(b'{"type": "rec')
    done = bench("plot", "study", "--out", "out")
    assert done.code == 0 and "torn last line" in done.err
