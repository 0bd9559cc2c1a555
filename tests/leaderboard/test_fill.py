"""Blocks of charts: what stands below a chart, and what is said where there is nothing to draw."""

import pytest
from boards import NEW, OLD, changed, flagged, run, text
from builders import records, trained

from bench.errors import UsageError
from bench.record import Record

SCORES = [("original", 70.0), ("slim", 60.0), ("deep", 65.0)]


def scored() -> list[Record]:
    batches = {"slim": {"train": {"batch": 8}}}
    return [*records(), *(trained(name, score, tables=batches.get(name, {})) for name, score in SCORES)]


def test_a_chart_s_text_has_its_conditions_and_what_must_be_known_of_its_rows() -> None:
    said = text(run(scored()), kind="pareto", mode="fp32", profile="quick")
    image, head, *lines = (line for line in said.splitlines() if line)
    assert image == "![PCKh@0.5 total against latency: 1 chart, as text below](images/pareto_made_up.svg)"
    assert head == (
        "**Example CPU, 16 cores, 16 threads, torch 2.13.0 (machine 3f2a91c0, cpu)**: "
        "PCKh@0.5 total against latency, mode fp32, profile quick; records of 2026-01-05"
    )
    assert lines == [
        "- on the front, cheapest first: slim, original",
        "- behind it, by the values alone: deep (by original)",
        "- whiskers are 95 % intervals, the area is the peak memory",
        "- slim\\*: train.batch 8 instead of 16 (PCKh@0.5 total)",
        "- latency noisy (the interval of the median is wider than the protocol asks for): deep",
        "- Inference: data.size 256, data.use synthetic, data.val 2958, device cpu, infer.batch 1, threads 16",
        "- Accuracy: data.size 64, data.train 4000, data.use synthetic, data.val 1000, train.recipe adam_short, "
        "train.samples 20000",
    ]
    for line in (line for line in lines if line.startswith(("- Inference", "- Accuracy"))):
        assert line in text(run(scored()), mode="fp32"), "as in the table"


def test_what_is_said_of_several_rows_stands_once() -> None:
    drifting = changed(scored(), lambda r: flagged(r, "drift"), phase="infer")
    again = [r for r in records() if r.job.variant == "original"]
    said = text(run(drifting), run(again, NEW), kind="pareto", mode="fp32").splitlines()
    drift = "- latency drift (successive samples are correlated; the interval is widened for it): slim, deep"
    older = f"- its times are of run {OLD}, 2026-01-05: not paired with the newest run's: slim, deep"
    assert drift in said and older in said
    alone = text(run(drifting), kind="pareto", mode="fp32")
    assert drift.replace("slim, deep", "all rows") in alone


@pytest.mark.parametrize(
    ("found", "suite", "asked", "why"),
    [
        (scored(), {}, {"by": "pckh.total"}, "pckh.total is no cost, of which less is better; write by=latency"),
        (scored(), {}, {"by": "throughput"}, "throughput is no cost, of which less is better; write by=latency"),
        (
            scored(),
            {},
            {"columns": "latency,params"},
            "no accuracy among columns=latency,params; add one, such as pckh.total",
        ),
        (records(), {}, {}, "no record has accuracy; bench run made_up --profile accuracy trains"),
        (
            [r for r in scored() if r.job.variant == "slim" or r.job.phase not in ("accuracy", "static")],
            {},
            {"mode": "fast"},
            "original: no accuracy: not trained; bench run made_up --profile accuracy trains",
        ),
        (
            [r for r in scored() if r.job.round == 0],
            {"rounds": 1},
            {"mode": "fp32"},
            "deep: fewer than 3 rounds (it has 1); bench leaderboard --explain tells of every row",
        ),
        (
            changed(scored(), lambda r: flagged(r, "contended"), phase="infer"),
            {},
            {"mode": "fp32"},
            "deep: a flag says that the figure itself is off (contended: other processes used the CPU while this was "
            "timed); bench leaderboard --explain tells of every row",
        ),
    ],
)
def test_what_stands_in_the_way_of_a_chart_is_named(
    found: list[Record], suite: dict[str, object], asked: dict[str, str], why: str
) -> None:
    with pytest.raises(UsageError) as error:
        text(run(found, suite=suite), kind="pareto", **asked)
    assert str(error.value) == f"nothing to draw: {why}"
