from collections.abc import Callable

import builders

from bench.renderers import markdown
from bench.table import tabulate


def test_golden(golden: Callable[[str, str], None]) -> None:
    golden("table.md", markdown.render(tabulate(builders.SUITE, builders.records())))


def test_bold_strike_and_marks() -> None:
    page = markdown.render(tabulate(builders.SUITE, builders.records()))
    assert "| ~~slim~~ <sup>a</sup> | ~~fast~~ |" in page
    assert " **6.73** |" in page
    assert "<sup>a</sup> mismatch: " in page


def test_what_a_variant_is_called_is_not_markup() -> None:
    suite = builders.SUITE | {"title": "a|b *c* ~d~"}
    assert r"## a\|b \*c\* \~d\~" in markdown.render(tabulate(suite, []))
