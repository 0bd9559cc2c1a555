from collections.abc import Callable
from csv import DictReader as reader
from io import StringIO

import builders

from bench.renderers import csv
from bench.table import tabulate


def test_golden(golden: Callable[[str, str], None]) -> None:
    golden("table.csv", csv.render(tabulate(builders.SUITE, builders.records())))


def test_one_row_per_cell_in_base_units() -> None:
    rows = list(reader(StringIO(csv.render(tabulate(builders.SUITE, builders.records())))))
    assert len(rows) == 3 * 3 + 6 * 5 + 3 * 3
    params = rows[0]
    assert (params["quantity"], params["value"], params["unit"], params["ratio"]) == ("params", "25594624", "1", "1.0")
    missing = next(row for row in rows if row["variant"] == "deep" and row["quantity"] == "train_step")
    assert missing["value"] == ""
    assert missing["reason"].startswith("oom: ")


def test_nothing_to_show() -> None:
    assert csv.render(tabulate(builders.SUITE, [])) == ""
