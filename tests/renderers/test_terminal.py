import re
from collections.abc import Callable

import builders
import pytest

from bench.renderers import terminal
from bench.table import tabulate
from bench.table.cells import Table
from bench.table.grid import Head, grids


@pytest.fixture(scope="module")
def table() -> Table:
    return tabulate(builders.SUITE, builders.records())


@pytest.mark.parametrize("width", [80, 120])
def test_golden(golden: Callable[[str, str], None], monkeypatch: pytest.MonkeyPatch, table: Table, width: int) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    golden(f"table.{width}.txt", terminal.render(table))


@pytest.mark.parametrize("width", [40, 60, 80, 100, 120, 160])
def test_no_number_is_cut_or_wrapped_at_any_width(monkeypatch: pytest.MonkeyPatch, table: Table, width: int) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    page = terminal.render(table)
    assert "…" not in page
    assert max(len(line) for line in page.splitlines()) <= width
    lines = page.splitlines()
    for grid in grids(table):
        for row in grid.rows:
            for cell in row[1:]:
                assert any(cell.text in line for line in lines)


def test_plain_without_a_terminal(table: Table) -> None:
    assert "\x1b" not in terminal.render(table)


def test_styles_but_no_colour_in_a_terminal_with_no_color(monkeypatch: pytest.MonkeyPatch, table: Table) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    codes = set(re.findall(r"\x1b\[([0-9;]*)m", terminal.render(table)))
    assert codes == {"0", "1", "9"}


def test_a_title_with_brackets_is_not_markup() -> None:
    suite = builders.SUITE | {"title": "[bold]not markup[/bold]"}
    assert terminal.render(tabulate(suite, builders.records())).startswith("[bold]not markup[/bold]\n")


def test_blocks_keep_groups_together_and_repeat_the_names() -> None:
    heads = [Head("variant"), Head("a", group=1), Head("a2", group=1), Head("b", group=2), Head("b2", group=2)]
    assert list(terminal.blocks(heads, [8, 8, 8, 8, 8], 50)) == [[0, 1, 2, 3, 4]]
    assert list(terminal.blocks(heads, [8, 8, 8, 8, 8], 40)) == [[0, 1, 2], [0, 3, 4]]
    assert list(terminal.blocks(heads, [8, 8, 8, 8, 8], 20)) == [[0, 1], [0, 2], [0, 3], [0, 4]]


def test_no_records_leave_the_title_and_what_is_known(table: Table) -> None:
    assert terminal.render(tabulate({"title": "Nothing"}, [])) == ("Nothing\n0 rounds, 0 jobs: none has a record\n")
