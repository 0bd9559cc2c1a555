from collections.abc import Callable

import builders

from bench.renderers import latex
from bench.table import tabulate


def test_golden(golden: Callable[[str, str], None]) -> None:
    golden("table.tex", latex.render(tabulate(builders.SUITE, builders.records())))


def test_every_table_has_its_three_rules_and_special_characters_are_escaped() -> None:
    page = latex.render(tabulate(builders.SUITE, builders.records()))
    tables = page.count(r"\begin{tabular}")
    assert tables == 7
    assert [page.count(rule) for rule in (r"\toprule", r"\midrule", r"\bottomrule", r"\hline")] == [7, 7, 7, 0]
    assert r"rmsprop\_hourglass" in page
    assert "±" not in page
    assert r"\sout{fast}" in page
