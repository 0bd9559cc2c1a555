"""For a spreadsheet or a plot: one row per figure, in base units."""

import csv
from io import StringIO
from typing import Any

from bench.table.cells import Table
from bench.table.long import flat


def render(table: Table) -> str:
    """Comma-separated, with a header; lists are joined by `; `, an empty field is a figure that there is not."""
    rows = [{name: _field(value) for name, value in row.items()} for row in flat(table)]
    if not rows:
        return ""
    buffer = StringIO()
    writer = csv.DictWriter(buffer, fieldnames=list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return buffer.getvalue()


def _field(value: Any) -> Any:
    if isinstance(value, list):
        return "; ".join(str(one) for one in value)
    return str(value).lower() if isinstance(value, bool) else value
