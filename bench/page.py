"""A run as a page of text: its records tabulated and laid out by a renderer."""

from dataclasses import replace
from typing import Any

from bench import plugins
from bench.store import Loaded

FORMATS = plugins.names("renderer")


def page(run: Loaded, form: str) -> str:
    """The tables of a run, in one of FORMATS; it ends without a newline."""
    from bench.table import tabulate  # heavy, and most commands print no table

    render: Any = plugins.load("renderer", form).render
    table = tabulate(run.header.suite, run.records)
    about = replace(table.about, source=run.header.source, started=table.about.started or run.header.started)
    return str(render(replace(table, about=about))).rstrip("\n")
