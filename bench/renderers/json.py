"""For another program: one object per figure, in base units, with the page's notes."""

import json

from bench.table.cells import Table
from bench.table.long import flat


def render(table: Table) -> str:
    """`cells` is flat, as in csv; null is a figure that there is not, and `reason` says why."""
    page = {
        "title": table.title,
        "lead": list(table.lead),
        "baseline": table.baseline,
        "reference": table.reference,
        "sections": [
            {"phase": section.phase, "title": section.title, "lead": section.lead} for section in table.sections
        ],
        "cells": list(flat(table)),
        "notes": list(table.notes),
    }
    return json.dumps(page, indent=1, ensure_ascii=False) + "\n"
