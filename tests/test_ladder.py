"""The ladder: which combinations there are, what becomes of each mode, when compiling has paid, and the page."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ladders
import pytest
from ladders import COLD, MODES, SUITE, WARM, job, record, records, values

from bench import own, plugins
from bench.errors import UsageError
from bench.ladder import NOT_REACHED, NOTHING, UNSURE, Futile, Ladder, ladder, repaid, rows
from bench.ladder.combinations import chosen, combinations, with_ladder
from bench.ladder.page import FORMATS, show
from bench.record import Record, Value
from bench.stats import Interval
from bench.suite import load_suite

MODE = '''"""A made-up mode."""

from typing import Any, Literal

ORDER = {order}
PHASES = {phases}
EXCLUDES = {excludes}


def apply(subject: Any, option: {option}) -> Any:
    """Never called."""
'''

TRUE = "Literal[True]"
HALVES = 'Literal["bfloat16", "float16"]'
COMPILE = 'Literal["default", "reduce-overhead", "max-autotune", "freezing"]'


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Writes a mode file of a program that has no others."""
    folder = tmp_path / "bench" / "worker" / "modes"
    folder.mkdir(parents=True)
    monkeypatch.setattr(plugins, "INSTALLED", tmp_path)

    def write(
        name: str, order: int, option: str = TRUE, phases: tuple[str, ...] = ("infer",), excludes: tuple[str, ...] = ()
    ) -> None:
        text = MODE.format(order=order, phases=phases, excludes=excludes, option=option)
        (folder / f"{name}.py").write_text(text, encoding="utf-8")

    return write


def test_without_any_mode_there_is_the_reference(installed: Callable[..., None]) -> None:
    assert list(combinations()) == ["fp32"] and not combinations()["fp32"].plugins


def test_a_new_file_is_a_rung_with_its_first_option(installed: Callable[..., None]) -> None:
    installed("sparse", 40, 'Literal["two", "four"] | dict[str, Any]')
    installed("wide", 10, "bool")
    installed("odd", 5, "int")
    found = combinations()
    assert list(found) == ["fp32", "wide", "sparse"], "in the order in which they are applied; an int says no option"
    assert found["sparse"].plugins == {"sparse": "two"} and found["wide"].plugins == {"wide": True}


def test_what_only_trains_is_no_rung(installed: Callable[..., None]) -> None:
    installed("fused", 10, phases=("train",))
    assert list(combinations()) == ["fp32"]


def test_combinations_come_with_their_files_and_in_the_order_of_application(installed: Callable[..., None]) -> None:
    installed("amp", 30, HALVES, ("infer", "train"))
    assert list(combinations()) == ["fp32", "amp"]
    installed("channels_last", 20)
    assert list(combinations()) == ["fp32", "channels_last", "amp", "channels_last+amp"]
    installed("compile", 60, COMPILE)
    names = list(combinations())[3:]
    assert names == ["compile", "channels_last+amp", "channels_last+compile", "channels_last+amp+compile-freezing"]
    last = combinations()["channels_last+amp+compile-freezing"].plugins
    assert list(last.items()) == [("channels_last", True), ("amp", "bfloat16"), ("compile", "freezing")]
    installed("channels_last", 90)
    assert "amp+channels_last" in combinations()


@pytest.mark.parametrize("of", ["amp", "channels_last"])
def test_what_excludes_each_other_is_not_combined(installed: Callable[..., None], of: str) -> None:
    other = {"amp": "channels_last", "channels_last": "amp"}[of]
    installed("amp", 30, HALVES, excludes=(other,) * (of == "amp"))
    installed("channels_last", 20, excludes=(other,) * (of == "channels_last"))
    assert list(combinations()) == ["fp32", "channels_last", "amp"]


def test_an_option_that_is_not_taken_is_not_tried(installed: Callable[..., None]) -> None:
    for name, order, option in (
        ("channels_last", 20, TRUE),
        ("amp", 30, HALVES),
        ("compile", 60, 'Literal["default"]'),
    ):
        installed(name, order, option)
    assert not [name for name in combinations() if "freezing" in name]
    assert "channels_last+compile" in combinations()


def test_combinations_that_need_cuda_are_not_tried_without_it(installed: Callable[..., None]) -> None:
    installed("half", 10, HALVES)
    installed("channels_last", 20)
    installed("cudagraph", 50)
    more = list(combinations("cuda:1"))
    assert list(combinations("cpu")) == ["fp32", "half", "channels_last", "cudagraph", "half+channels_last"]
    assert more[5:] == ["half-float16+channels_last", "half-float16+channels_last+cudagraph"]


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_every_combination_is_what_a_suite_may_say(device: str, tmp_path: Path) -> None:
    """Of the modes that come with bench."""
    tables = "".join(
        f'[modes."{name}"]\n' + "".join(f"{key} = {json.dumps(option)}\n" for key, option in mode.plugins.items())
        for name, mode in combinations(device).items()
    )
    head = 'title = "x"\ntask = "pose"\nmeasures = ["infer"]\n[data]\nuse = "random"\nsize = 16\ntrain = 1\nval = 1\n'
    file = tmp_path / "x.toml"
    file.write_text(head + tables + '[[variants]]\nname = "a"\narch = "stacked_hourglass"\n', encoding="utf-8")
    assert list(load_suite(file).modes) == list(combinations(device))


def test_only_some_modes_and_the_reference() -> None:
    found = combinations()
    assert list(chosen(found, ["amp"])) == ["fp32", "amp"] and chosen(found, []) == found
    with pytest.raises(UsageError, match="unknown mode 'chanels_last'; did you mean 'channels_last'"):
        chosen(found, ["chanels_last"])


def test_a_suite_of_one_network_under_a_name_of_its_own() -> None:
    suite = load_suite("stacked_speed", "quick")
    made = with_ladder(suite, "6-stacks", combinations())
    assert (made.name, made.baseline, made.measures[0]) == ("stacked_speed-modes", "", "infer")
    assert [variant.name for variant in made.variants] == ["6-stacks"] and made.protocol == suite.protocol
    with pytest.raises(UsageError, match="unknown variant '7-stacks'; did you mean"):
        with_ladder(suite, "7-stacks", combinations())


@pytest.mark.parametrize(
    ("compiling", "eager", "mode", "calls"),
    [
        (10.0, 0.050, 0.025, 400),
        (10.0, 0.050, 0.049, 10_000),
        (10.1, 0.050, 0.025, 404),
        (10.0001, 0.050, 0.025, 401),
        (0.0, 0.050, 0.025, 0),
    ],
)
def test_after_how_many_calls_compiling_has_paid(compiling: float, eager: float, mode: float, calls: int) -> None:
    ratio = eager / mode
    found = repaid(compiling, eager, mode, Interval(ratio, ratio - 0.001, ratio + 0.001), "fp32")
    assert (found.calls, found.never, found.note) == (calls, False, "")


def test_what_is_slower_never_pays() -> None:
    for mode in (0.050, 0.060):
        found = repaid(10.0, 0.050, mode, Interval(0.050 / mode, 0.7, 1.1), "fp32")
        assert (found.calls, found.never) == (None, True) and "not faster than fp32" in found.note


def test_what_may_be_slower_says_so() -> None:
    assert repaid(10.0, 0.050, 0.045, Interval(1.11, 0.95, 1.3), "fp32").note == UNSURE
    assert repaid(10.0, 0.050, 0.045, Interval(1.11, None, None), "fp32").note == "", "of one round nothing is known"


def found(found_records: list[Record] | None = None) -> Ladder:
    return ladder(SUITE, records() if found_records is None else found_records)


def by_mode(of: Ladder) -> dict[str, Any]:
    return {rung.mode: rung for rung in of.rungs}


def test_the_fastest_comes_first_and_what_has_no_speed_up_last() -> None:
    assert [(rung.mode, rung.state, rung.rank) for rung in found().rungs] == [
        ("channels_last+amp+compile-freezing", "measured", 1),
        ("channels_last+amp", "measured", 2),
        ("compile", "measured", 3),
        ("channels_last", "measured", 4),
        ("amp", "measured", 5),
        ("fp32", "measured", 6),
        ("fold", "measured", 7),
        ("half", "wrong", None),
        ("tf32", "unavailable", None),
        ("cudagraph", "unavailable", None),
        ("tensorrt-float16", "unavailable", None),
    ]


def test_a_speed_up_is_the_tables_own_paired_by_round() -> None:
    rung = by_mode(found())["channels_last"]
    interval = rung.speedup.interval
    assert interval.low < 1.34 < interval.high and interval.value == pytest.approx(1.34, rel=0.02)
    spread = rung.latency.interval.half_width / rung.latency.value
    assert interval.half_width / interval.value < spread / 2, "what a round does to all modes alike cancels"


def test_what_changes_the_answer_is_neither_ranked_nor_fast() -> None:
    rung = by_mode(found())["half"]
    assert rung.reason == "mismatch: relative L2 3.1e-01 > 3.0e-02" == rung.speedup.reason
    assert rung.speedup.interval is None and rung.latency.value > 0 and rung.error.value == 0.31


def test_what_cannot_run_and_what_failed_have_their_reasons() -> None:
    failed = record(job("compile"), status="failed", reason="torch.compile raised UnboundLocalError")
    killed = record(job("fold"), status="crashed", reason="killed by SIGKILL")
    given = [one for one in records() if one.job.mode not in ("compile", "fold")]
    rungs = by_mode(found([*given, failed, killed]))
    assert (rungs["tf32"].state, rungs["tf32"].reason) == ("unavailable", "no CUDA device")
    assert (rungs["compile"].state, rungs["compile"].reason) == ("failed", "torch.compile raised UnboundLocalError")
    assert (rungs["fold"].state, rungs["fold"].reason) == ("failed", "crashed: killed by SIGKILL")
    assert rungs["compile"].cold.reason == rungs["compile"].repaid.reason == rungs["compile"].reason


def test_an_interrupted_ladder_says_what_it_did_not_reach() -> None:
    rungs = by_mode(found(records(rounds=1, leave_out=("amp", "fold"))))
    assert {rungs[name].state for name in ("amp", "fold")} == {"missing"} and rungs["amp"].reason == NOT_REACHED
    only = rungs["channels_last"].speedup.interval
    assert (only.low, only.high) == (None, None), "one round has no interval"
    assert {rung.rank for rung in rungs.values()} == {None}
    page = show(found(records(rounds=1)), "terminal")
    assert "compile-freezing, of one round" in page and "no ranks: of one round nothing is known for sure" in page
    assert {rung.state for rung in ladder(SUITE, []).rungs} == {"missing"}


def test_without_its_reference_nothing_has_a_speed_up() -> None:
    given = [one for one in records() if one.job.mode != "fp32"]
    of = found([*given, record(job("fp32"), status="failed", reason="RuntimeError: no")])
    rung = by_mode(of)["compile"]
    assert (rung.speedup.interval, rung.speedup.reason) == (None, "not compared: original has no value in fp32")
    assert rung.repaid.calls is None and of.rungs[0].state == "measured"
    assert "is the fastest (not compared: original has no value in fp32)" in " ".join(show(of, "terminal").split())


def test_the_reference_alone_is_a_ladder_of_one_rung() -> None:
    suite = SUITE | {"modes": {"fp32": {"plugins": {}}}}
    (rung,) = ladder(suite, [one for one in records() if one.job.mode == "fp32"]).rungs
    assert (rung.rank, rung.speedup.interval.value) == (1, 1.0)


def test_what_it_takes_to_compile_and_when_it_is_repaid() -> None:
    rungs = by_mode(found())
    fast, plain = rungs["channels_last+amp+compile-freezing"], rungs["channels_last"]
    assert (fast.cold.value, fast.warm.value) == (pytest.approx(11.8), pytest.approx(1.8))
    saved = rungs["fp32"].latency.value - fast.latency.value
    assert fast.repaid.calls == pytest.approx(11.8 / saved, abs=1)
    assert (plain.cold.value, plain.cold.reason, plain.repaid.calls) == (None, NOTHING, None)


def test_what_the_measure_says_of_other_modes_is_told_once() -> None:
    assert plugins.constant(plugins.path("measure", "compile_time"), "NOTHING") == NOTHING
    given = [one for one in records() if one.job.mode != "amp"]
    dashes = [Value(quantity=quantity, reason=NOTHING) for quantity in (COLD, WARM)]
    again = [record(job("amp", n), [*values("amp", 0.049), *dashes]) for n in range(3)]
    assert show(found([*given, *again]), "terminal").count(NOTHING) == 1


def test_a_reason_for_no_time_to_compile_is_kept() -> None:
    why = Value(quantity=COLD, reason="the cache could not be emptied")
    given = [one for one in records() if one.job.mode != "compile"]
    again = [record(job("compile", n), [*values("compile", 0.033)[:2], why]) for n in range(3)]
    rung = by_mode(found([*given, *again]))["compile"]
    assert rung.cold.reason == rung.repaid.reason == "the cache could not be emptied"


def test_a_mode_that_gives_no_figure_is_not_tried_again() -> None:
    futile = Futile()
    assert not futile(job("tf32"))
    futile.saw(record(job("tf32"), status="skipped", reason="no CUDA device"))
    futile.saw(record(job("fp32"), values("fp32", 0.05)))
    assert futile(job("tf32", 1)) and not futile(job("fp32", 1)) and not futile(job("amp", 1))
    futile.saw(record(job("tf32"), values("fp32", 0.05)))
    assert not futile(job("tf32", 1)), "a further attempt went well"
    futile.saw(record(job("fp32", 1), status="crashed", reason="killed by SIGKILL"))
    assert not futile(job("fp32", 2)), "it had a figure before"


@pytest.mark.parametrize("width", [80, 120])
def test_golden(golden: Callable[[str, str], None], monkeypatch: pytest.MonkeyPatch, width: int) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    page = show(found(), "terminal") + "\n"
    assert max(map(len, page.splitlines())) <= width
    golden(f"ladder.{width}.txt", page)


def test_golden_markdown(golden: Callable[[str, str], None]) -> None:
    golden("ladder.md", show(found(), "markdown") + "\n")


def test_what_is_wrong_is_struck_in_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    assert "\x1b[9mhalf" in show(found(), "terminal").replace("\x1b[0m", "")


def test_never_is_said_with_its_reason() -> None:
    slow = [one for one in records() if one.job.mode != "compile"]
    slow += [record(job("compile", n), values("compile", 0.08)) for n in range(3)]
    page = show(found(slow), "terminal")
    assert "never [" in page and "not faster than fp32 in these rounds" in page


def test_json_and_csv_hold_every_rung_in_base_units() -> None:
    of = found()
    plain = json.loads(show(of, "json"))
    assert (plain["network"], plain["input"], plain["reference"]) == ("original", "1x3x256x256", "fp32")
    assert [one["mode"] for one in plain["rungs"]] == [rung.mode for rung in of.rungs]
    assert plain["rungs"] == [json.loads(json.dumps(row)) for row in rows(of)]
    lines = show(of, "csv").splitlines()
    assert lines[0].startswith("rank,mode,state,speedup,") and len(lines) == 1 + len(MODES)


@pytest.mark.parametrize("form", FORMATS)
def test_a_ladder_without_records_is_a_page_too(form: str) -> None:
    assert NOT_REACHED in show(ladder(SUITE, []), form)


def test_a_pages_words_hang_on_what_is_there() -> None:
    few = ladders.records(leave_out=("half", "compile", "channels_last+amp+compile-freezing"))
    page = show(found(few), "terminal")
    assert "struck" not in page and "cold" not in page and "speed-up: " in page


@pytest.mark.parametrize("text", ["", "3", "256x256", "3x0x4", "3x-1x4", "3,64,64", "1x2x3x4x5", "axbxc", "3x64x64 "])
def test_a_shape_that_is_none(text: str) -> None:
    with pytest.raises(UsageError, match="not a shape of images; write CxHxW or BxCxHxW"):
        own.shape_of(text)


def test_two_batches_are_one_too_many() -> None:
    assert own.shape_of("8x3x64x32", 8) == (8, 3, 64, 32)
    with pytest.raises(UsageError, match="two batches; write one of them"):
        own.shape_of("8x3x64x64", 4)
