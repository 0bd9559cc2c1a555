"""The rules of a rank, and which flags cost it."""

import pytest
from boards import board, changed, entry, flagged, run
from builders import records

from bench.leaderboard.eligibility import QUALIFYING, RULES, SPOILING, failures
from bench.record import FLAGS


def test_every_rule_has_an_id_a_reason_and_advice_and_fails_out_of_its_bounds() -> None:
    assert len({rule.id for rule in RULES}) == len(RULES)
    for rule in RULES:
        assert rule.why and rule.fix
        outside = rule.least - 1 if rule.least > -1 else rule.most + 1
        assert [failure.rule for failure in failures({rule.fact: outside}, {})] == [rule]
        assert not list(failures({}, {}))


def test_every_flag_costs_a_rank_or_does_not() -> None:
    rules_of_their_own = ("mismatch", "not_learnt")
    assert sorted([*SPOILING, *QUALIFYING, *rules_of_their_own]) == sorted(FLAGS), "a new flag is put into one group"


@pytest.mark.parametrize("flag", SPOILING)
def test_a_figure_that_a_flag_impugns_has_no_rank(flag: str) -> None:
    once = changed(records(), lambda r: flagged(r, flag), variant="original", mode="fp32", phase="infer", round=1)
    found = entry(board(run(once)), "original")
    assert found.rank is None and [failure.rule.id for failure in found.failed] == ["sound"]
    assert f"({flag}: {FLAGS[flag]})" in found.failed[0].text
    other = entry(board(run(once), by="params"), "original")
    assert other.rank is not None, "the flag is of the latency"


@pytest.mark.parametrize("flag", QUALIFYING)
def test_a_figure_that_a_flag_qualifies_is_ranked(flag: str) -> None:
    found = changed(records(), lambda r: flagged(r, flag), phase="infer")
    assert entry(board(run(found)), "original").rank == entry(board(run(records())), "original").rank == 3
