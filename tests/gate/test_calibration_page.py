"""What a calibration looks like: the verdict first, in one line; tables that fit the window; nothing hidden."""

import json

import msgspec
import pytest
from test_calibration import drawn, floor

from bench.gate.calibration import Cell, NoiseFloor, plan_of, trials_of
from bench.gate.calibration_page import FORMATS, show, verdict

BIASED = drawn(2, 20, sigma=0.003, slower=0.06)


def test_a_good_machine_is_told_in_one_line_with_its_doubt() -> None:
    assert verdict(floor()) == (
        "NO SIGN AGAINST THE GATE: 0 of 4 gates of 5 pairs raised a false alarm (95 %: 0 to 60 %, nominal at most "
        "5 %); 3 of 3 slowdowns by 5 % were found within 20 pairs"
    )


def test_a_bad_machine_is_not_to_be_trusted() -> None:
    found = floor(trials=trials_of(BIASED, BIASED, 0.02, plan_of(2)))
    assert verdict(found) == (
        "NOT TO BE TRUSTED: 4 of 4 gates of 5 pairs raised a false alarm (95 %: 40 to 100 %, nominal at most 5 %); "
        "quiet this machine before any gate"
    )


def test_alarms_in_most_cells_of_a_single_gate_are_told() -> None:
    biased = drawn(20, 5, sigma=0.002, slower=0.06)
    found = floor(trials=trials_of(biased, biased, 0.02, plan_of(20)))
    assert "1 of 1 gates of 5 pairs" in verdict(found)
    assert "20 of 20 cells were one" in verdict(found)


def test_too_few_pairs_prove_nothing() -> None:
    found = floor(trials=[], pairs=4)
    assert verdict(found) == "NOT PROVEN: 4 pairs of every cell, but the shortest gate takes 5"
    assert "Unchanged code" not in show(found, "terminal")


@pytest.mark.parametrize("form", ["terminal", "markdown"])
def test_every_figure_is_on_the_page(form: str) -> None:
    text = show(floor(lost={"v9/fast": "first: failed: ValueError: no"}, ended="interrupted in pair 21"), form)
    words = " ".join(text.split())
    assert words.startswith(f"{verdict(floor())} made_up: profile quick, 3 cells in 20 pairs of fresh processes")
    for said in ("run noise", "slowed by", "after 5", "after 40", "false alarms", "INCONCLUSIVE"):
        assert said in words
    assert "0 of 4 (0 to 60 %)" in text
    assert "v9/fast has no figures: first: failed: ValueError: no" in text
    assert "Shorter than asked for: interrupted in pair 21" in text
    assert "Machine 3f2a91c0" in text
    assert "one sitting on one machine" in words


def test_a_variant_may_have_a_slash_in_its_name() -> None:
    cell = Cell(pairs=2, sigma=0.0123, low=0.0056, high=0.39, slower=(0.05, None, None), detectable={"5": 0.071})
    rows = [line.split() for line in show(floor(cells={"a/b/fast": cell}), "terminal").splitlines()]
    assert ["a/b", "fast", "1", "(1", "to", "39)", "5.0", "7.1"] in rows


def test_what_two_pairs_do_not_know_is_not_spelt_out() -> None:
    cell = Cell(pairs=2, sigma=0.66, low=0.29, high=21.05, slower=(-0.54, -1.0, 7432732.0), detectable={"5": 11528.9})
    text = show(floor(cells={"a/fp32": cell}, trials=[], pairs=2), "terminal")
    assert [line.split() for line in text.splitlines() if line.startswith("a ")] == [
        ["a", "fp32", "66", "(29", "to", ">1000)", "-54", "(-100", "to", ">1000)", ">1000"]
    ]


@pytest.mark.parametrize("columns", ["80", "120"])
def test_the_page_fits_the_window(columns: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    assert max(map(len, show(floor(), "terminal").splitlines())) <= int(columns)


def test_json_is_the_noise_floor_itself() -> None:
    text = show(floor(), "json")
    assert msgspec.json.decode(text, type=NoiseFloor) == floor()
    assert json.loads(text)["tolerance"] == 0.02
    assert set(FORMATS) == {"terminal", "markdown", "json"}
