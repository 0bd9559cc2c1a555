"""The script that measures how much CPU 10,000 records need says by its exit code whether that is too much."""

import pytest
from benchmarks import bench_leaderboard


@pytest.mark.parametrize(("board", "report", "code"), [(1.9, 2.0, 0), (2.1, 1.0, 1), (1.0, 2.1, 1)])
def test_a_figure_over_the_goal_ends_with_1(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], board: float, report: float, code: int
) -> None:
    figures = {"leaderboard": board, "report": report}
    monkeypatch.setattr(bench_leaderboard, "seconds", lambda _, command, *rest: figures[command])
    assert bench_leaderboard.main(runs=1, variants=1, rounds=1) == code
    assert f"{report:.2f} s" in capsys.readouterr().out
