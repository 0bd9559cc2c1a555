"""A report card as a person reads it, and as a program does."""

import json
import re
from typing import Any

import builders
import pytest
from builders import SUITE, trained

from bench.claims import Card, Outcome, card
from bench.claims.cards import FORMATS, page, summary
from bench.table.cells import TIMES

CLAIMS: list[dict[str, Any]] = [
    {"says": "slim is faster", "where": "section 1", "holds_if": ["latency('slim') < latency('original')"]},
    {
        "says": "deep takes no longer, neither in training nor in inference, whatever one reads in other documents",
        "holds_if": ["latency('deep') < 1.05 * latency('original')", "train_epoch('deep') < train_epoch('original')"],
    },
    {"says": "slim is nearly as good", "holds_if": ["pckh.total('slim') > pckh.total('original') - 2.0"]},
    {"says": "one is part of the other", "where": "section 2", "test": "tests/test_x.py::test_y"},
    {"says": "half the time", "holds_if": ["latency('slim') == 0.5 * latency('original') +- 20 ms"]},
    {"says": "slim trains in less time", "holds_if": ["train_epoch('slim') < train_epoch('original')"]},
]


def made(claims: list[dict[str, Any]] = CLAIMS, **suite: Any) -> Card:
    records = [*builders.records(), trained("original", 60.0), trained("slim", 50.0)]
    return card(SUITE | suite | {"claims": claims}, records)


@pytest.fixture(autouse=True)
def wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "120")


def test_the_summary_counts_and_agrees_in_number() -> None:
    assert summary(made()) == "6 claims: 3 hold, 1 fails, 2 undecided"
    assert summary(made(CLAIMS[1:2] * 2)) == "2 claims: 2 fail"
    assert summary(made(CLAIMS[:1])) == "1 claim: 1 holds"
    assert summary(made(CLAIMS[5:], factors=[])) == "1 claim: 1 not comparable"


def test_in_a_terminal() -> None:
    lines = page(made(), "terminal").splitlines()
    text = "\n".join(lines)
    assert lines[0] == SUITE["title"]
    start = lines.index(" 1  holds           slim is faster (section 1)")
    assert lines[start + 1].split() == ["latency('slim')", "<", "latency('original')"]
    assert (
        lines[start + 2].strip().replace(TIMES, "x")
        == "ours: 233.3 ± 5.2 < 449 ± 13 ms, x0.5194 (0.5150 to 0.5239) [a]"
    )
    assert "in fast: not comparable, " in lines[start + 3] and "slim: mismatch: the mode changes the answer" in text
    assert "      fails         latency('deep') < 1.05 * latency('original')" in lines
    assert "      undecided     train_epoch('deep') < train_epoch('original')" in lines
    assert "deep: oom: CUDA out of memory at batch 20" in text
    assert "ours: 50.0 ± 1.0 % > (60.0 ± 1.0 %) - 2.0, -8.0 (-9.4 to -6.6) points" in text
    assert "; one training each: another seed could turn it; train three (seeds = 3 under [train])" in " ".join(
        text.split()
    )
    assert "published: 14.6 min < 14.8 min" in text
    assert "undecided       one is part of the other (section 2)" in text
    assert "backed by a test, run it with: pytest tests/test_x.py::test_y" in text
    assert "test tests/test_x.py::test_y" in text
    assert "Training, training epoch: published beside ours" in text
    assert "Where a claim quotes no mode, inference is that of fp32" in lines
    assert "\x1b" not in text and not [line for line in lines if line != line.rstrip()]


@pytest.mark.parametrize("width", [40, 80, 120])
def test_lines_are_as_wide_as_the_terminal(monkeypatch: pytest.MonkeyPatch, width: int) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    lines = page(made(), "terminal").splitlines()
    claims = lines[: next(i for i, line in enumerate(lines) if "published beside ours" in line)]
    assert max(len(line) for line in claims) <= width


def test_every_mark_has_its_footnote_and_every_footnote_its_mark() -> None:
    text = page(made(), "terminal")
    text = text[: text.index("Network, parameters: published beside ours")]
    body, notes = [], {}
    for line in text.splitlines():
        if line.startswith("["):
            notes[line[1 : line.index("]")]] = line
        else:
            body.append(line)
    used = {mark for marks in re.findall(r"\[([a-z](?:,[a-z])*)\]", "\n".join(body)) for mark in marks.split(",")}
    assert used == set(notes)
    assert len(set(notes.values())) == len(notes)


def test_in_markdown() -> None:
    text = page(made(), "markdown")
    lines = text.splitlines()
    assert "**6 claims: 3 hold, 1 fails, 2 undecided**" in lines
    (head,) = [line for line in lines if line.startswith("| the document says")]
    columns = [part.strip() for part in head.strip("|").split("|")]
    assert columns == ["the document says", "verdict", "compared", "ours", "left against right", "published"]
    rows = [[part.strip() for part in line.strip("|").split("|")] for line in lines if line.startswith("|")]
    assert {len(row) for row in rows[: rows.index(columns) + 9]} == {6}
    (slim,) = [row for row in rows if row[0] == "slim is faster (section 1)"]
    assert slim[1].startswith("**holds**") and slim[2] == "latency('slim') \\< latency('original')"
    (deep,) = [row for row in rows if row[0].startswith("deep takes no longer")]
    assert deep[1:] == ["**fails**", "", "", "", ""]
    assert rows[rows.index(deep) + 1][:2] == ["", "fails"] and rows[rows.index(deep) + 2][1].startswith("undecided")
    assert "### Training, training epoch: published beside ours" in lines


def test_as_data() -> None:
    data = json.loads(page(made(), "json"))
    assert data["counts"] == {"holds": 3, "fails": 1, "undecided": 2, "not comparable": 0}
    slim, deep, score, test, half, _ = data["claims"]
    (one,) = slim["comparisons"]
    assert (one["verdict"], one["effect"]["kind"], one["other_modes"]) == ("holds", "ratio", {"fast": "not comparable"})
    assert one["effect"]["low"] < one["effect"]["value"] < one["effect"]["high"]
    assert [figure["variant"] for figure in one["figures"]] == ["slim", "original"]
    assert deep["comparisons"][1]["published_holds"] is True
    assert score["comparisons"][0]["effect"]["kind"] == half["comparisons"][0]["effect"]["kind"] == "difference"
    assert test["test"] == {
        "name": "tests/test_x.py::test_y",
        "verdict": "undecided",
        "reason": "backed by a test, run it with: pytest tests/test_x.py::test_y",
    }
    assert {cell["quantity"] for cell in data["published"]} >= {"train_epoch", "eval_time"}


def ours(condition: str, **outcomes: Outcome) -> str:
    """The line of ours of one condition."""
    found = card(SUITE | {"claims": [{"says": "s", "holds_if": [condition]}]}, builders.records(), outcomes)
    lines = [line.strip().replace(TIMES, "x") for line in page(found, "terminal").splitlines()]
    return next(line for line in lines if line.startswith("ours:"))


@pytest.mark.parametrize(
    ("condition", "said"),
    [
        ("params('slim') < params('original')", "ours: 6.73 < 25.59 M, x0.263"),
        ("params('slim') == 6730912", "ours: 6.73 M == 6730912, x1.00"),
        ("latency('slim') < 1 s", "ours: 233.3 ± 5.2 ms < 1 s, x0.2333 (0.2281 to 0.2386)"),
        ("latency('original') - latency('slim') > 100 ms", " ms) > 100 ms, x2."),
        (
            "latency('original') == latency('slim') +- 20 ms",
            "ours: 449 ± 13 == 233.3 ± 5.2 ms +- 20 ms, +215.9 (+207.5 to +224.2) ms",
        ),
        (
            "latency('slim') / latency('original') == 0.5 +- 0.1",
            "/ (449 ± 13 ms) == 0.5 +- 0.1, +0.0194 (+0.0149 to +0.0239) [",
        ),
        ("peak_memory('slim') < 9 GiB", "ours: 0.726 GiB < 9 GiB, x0.0807 (0.0807 to 0.0807)"),
        (
            "train_epoch('slim') < train_epoch('original')",
            "ours: ~17.37 ± 0.18 < ~33.25 ± 0.28 min, x0.5225 (0.5128 to 0.5324)",
        ),
        ("latency('slim') < train_step('deep')", " ms < -; deep: oom"),
    ],
)
def test_figures_have_their_digits_and_units(condition: str, said: str) -> None:
    assert said in ours(condition), ours(condition)


def test_a_document_that_contradicts_itself() -> None:
    found = made([{"says": "s", "holds_if": ["train_epoch('deep') > train_epoch('original')"]}])
    assert "published: 14.6 min > 14.8 min, which does not hold" in page(found, "terminal")


@pytest.mark.parametrize("form", FORMATS)
def test_a_page_ends_without_a_newline_and_is_the_same_twice(form: str) -> None:
    text = page(made(), form)
    assert text == page(made(), form) and not text.endswith("\n")
