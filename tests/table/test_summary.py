import builders
import pytest

from bench.table import tabulate
from bench.table.cells import Cell, Published, Table
from bench.table.grid import Grid, grids
from bench.table.summary import mode_of, picks, theirs


@pytest.fixture
def table() -> Table:
    return tabulate(builders.SUITE, builders.records())


def summary_of(table: Table) -> Grid:
    return list(grids(table))[-1]


def test_the_last_piece_has_one_line_per_variant(table: Table) -> None:
    grid = summary_of(table)
    assert grid.title == "Summary, mode fast"
    assert [row[0].text for row in grid.rows] == ["original", "slim", "deep"]
    assert {len(row) for row in grid.rows} == {len(grid.heads)}


def test_it_shows_the_figures_of_the_sections_in_the_mode_of_training(table: Table) -> None:
    assert mode_of(table) == "fast"
    infer = next(section for section in table.sections if section.phase == "infer")
    index = [column.key for column in infer.columns].index("latency")
    latency = next(pick for pick in picks(table) if pick.column.key == "latency")
    rows = {row.variant: row.cells[index] for row in infer.rows if row.mode == "fast"}
    assert latency.cells == tuple(rows[name] for name in ("original", "slim", "deep"))


def test_a_mode_that_changes_the_answer_is_struck_through_here_too(table: Table) -> None:
    assert summary_of(table).struck == (False, True, False)


def test_why_a_figure_is_missing_stands_under_it(table: Table) -> None:
    grid = summary_of(table)
    marks = {mark for row in grid.rows for text in row for mark in text.marks}
    assert marks == {mark for mark, _ in grid.footnotes}
    assert any("oom" in sentence for _, sentence in grid.footnotes)
    assert any("train.batch 6 instead of 20" in sentence for _, sentence in grid.footnotes)


def test_a_variant_without_a_row_in_that_mode_says_so() -> None:
    records = [r for r in builders.records() if (r.job.variant, r.job.phase) != ("deep", "infer")]
    suite = builders.SUITE | {"variants": [v for v in builders.SUITE["variants"] if v["name"] != "deep"]}
    latency = next(pick for pick in picks(tabulate(suite, records)) if pick.column.key == "latency")
    assert latency.cells[-1].reason != ""
    assert latency.cells[-1].value is None


def test_one_section_is_its_own_summary() -> None:
    records = [record for record in builders.records() if record.job.phase == "static"]
    assert picks(tabulate(builders.SUITE, records)) == []


def test_the_documents_ratio_is_shown_as_it_is() -> None:
    ratio = theirs(Cell(value=1.0, published=Published("14.4 min", 864.0, ratio=0.973)))
    assert ratio.interval is not None
    assert (ratio.interval.value, ratio.interval.low) == (0.973, None)
    assert theirs(Cell(value=1.0)).reason == "the document has no figure for it"
