"""A run as text: what the renderers are given, and that they all get the same."""

from pathlib import Path
from random import Random

import pytest
from builders import SUITE, records
from jobs import header

from bench import plugins
from bench.page import FORMATS, page
from bench.record import Record
from bench.store import Loaded


def loaded(found: list[Record]) -> Loaded:
    return Loaded(Path("results/made_up/a-run.jsonl"), header("a-run", suite=SUITE), found, [])


def test_the_formats_are_the_renderers() -> None:
    assert plugins.names("renderer") == FORMATS
    assert {"terminal", "markdown", "latex", "csv", "json"} <= set(FORMATS)


@pytest.mark.parametrize("form", FORMATS)
def test_a_page_is_a_text_without_a_last_newline(form: str) -> None:
    text = page(loaded(records()), form)
    assert text and not text.endswith("\n")
    assert "original" in text and "slim" in text


@pytest.mark.parametrize("form", FORMATS)
def test_a_page_depends_on_the_records_alone(form: str) -> None:
    """Not on their order, nor on where the run lies, nor on lines that could not be read."""
    mixed = records()
    Random(3).shuffle(mixed)
    elsewhere = Loaded(Path("elsewhere.jsonl"), header("a-run", suite=SUITE), mixed, ["elsewhere.jsonl:9: torn"])
    assert page(elsewhere, form) == page(loaded(records()), form)


@pytest.mark.parametrize("form", [form for form in FORMATS if form != "csv"])
def test_a_run_without_records_has_a_page(form: str) -> None:
    assert "Made-up networks" in page(loaded([]), form)


def test_every_reason_of_a_failure_is_on_the_page() -> None:
    text = " ".join(page(loaded(records()), "terminal").split())
    for record in records():
        assert record.reason in text
