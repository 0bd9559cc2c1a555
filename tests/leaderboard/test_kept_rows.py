"""Rows of the former text that no record stands for: they stay, with their figures and what must be known of them."""

import pytest
from boards import GPU, NEW, notes_of, rows, run, text
from builders import SUITE, records, trained
from msgspec.structs import replace

from bench.errors import UsageError
from bench.record import Record


def test_a_row_that_lost_its_record_stays_and_keeps_its_date() -> None:
    full = text(run(records()))
    rest = [replace(r, started="2026-03-01T00:00:00Z") for r in records() if r.job.variant != "deep"]
    suite = {"variants": [v for v in SUITE["variants"] if v["name"] != "deep"]}
    once = text(run(rest, suite=suite), body=full)
    lines = rows(once, "deep")
    assert len(lines) == 2 and all(line.strip("| ").startswith("stale (2026-01-05) <sup>") for line in lines)
    assert "| 627 ± 14 <sup>" in " ".join(lines[0].split()) and "| 294.0 ± 9.4 <sup>" in " ".join(lines[1].split())
    assert text(run(rest, suite=suite), body=once) == once
    assert "stale" not in text(run(rest, suite=suite))
    back = text(run(records()), body=once)
    assert back == full


def test_a_row_of_another_mode_than_the_block_shows_is_no_stale_one() -> None:
    assert "stale" not in text(run(records()), body=text(run(records())), mode="fp32")


def test_a_machine_that_lost_its_records_keeps_its_table() -> None:
    elsewhere = run([replace(r, machine=GPU) for r in records()], "20260107T100000Z-aaaa0000")
    both = text(run(records()), elsewhere)
    once = text(run(records()), body=both)
    assert once.count("stale (2026-01-05)") == 6 and "machine aaaa0000" in once
    assert text(run(records()), body=once) == once


def test_units_of_a_kept_row_stay_with_its_figures() -> None:
    former = "**X (machine 3f2a91c0, cpu)**: records of 2026-01-01\n\n"
    former += "| rank | variant | mode | latency [s] |\n|--|--|--|--|\n| 1 | gone | fp32 | 0.5 ± 0.1 |\n"
    lines = [line for line in text(run(records()), body=former).splitlines() if "gone" in line]
    assert len(lines) == 1 and "0.5 ± 0.1 s" in lines[0] and "stale (2026-01-01)" in lines[0]


def without(found: list[Record], *variants: str) -> tuple[list[Record], dict[str, object]]:
    """A run and its suite, from which some variants were taken out."""
    suite = {"variants": [v for v in SUITE["variants"] if v["name"] not in variants]}
    return [r for r in found if r.job.variant not in variants], {"suite": suite}


def test_a_kept_row_keeps_what_must_be_known_of_it() -> None:
    full = text(run([*records(), trained("slim", 50.0, flags=("unconverged",))]))
    rest, changes = without(records(), "deep", "slim")
    once = text(run(rest, **changes), body=full)
    (deep,), (slim,) = rows(once, "deep", "fp32"), rows(once, "slim", "fast")
    assert notes_of(once, deep, "latency") == ["noisy: the interval of the median is wider than the protocol asks for"]
    assert "train.batch 6 instead of 20" in notes_of(once, slim, "training epoch")
    assert any(note.startswith("not ranked: the mode changes the answer") for note in notes_of(once, slim, "rank"))
    assert text(run(rest, **changes), body=once) == once


def test_what_a_head_says_is_said_of_a_kept_row_where_it_holds_for_it_alone() -> None:
    scores = [trained(name, 60.0, flags=("unconverged",)) for name in ("original", "slim", "deep")]
    full = text(run([*records(), *scores]))
    head = next(line for line in full.splitlines() if line.startswith("| rank") or "rank |" in line)
    assert "unconverged" in str(notes_of(full, head, "PCKh@0.5 total")), "it holds for all rows"
    rest, changes = without([*records(), *(trained(name, 61.0) for name in ("original", "slim"))], "deep")
    once = text(run(rest, **changes), body=full)
    (deep,) = rows(once, "deep", "fp32")
    assert [note.partition(":")[0] for note in notes_of(once, deep, "PCKh@0.5 total")] == ["unconverged"]


def test_what_holds_for_all_rows_but_a_kept_one_does_not_stand_in_the_head() -> None:
    full = text(run([*records(), *(trained(name, 60.0) for name in ("original", "slim", "deep"))]))
    later = [trained(name, 60.0, flags=("unconverged",)) for name in ("original", "slim")]
    rest, changes = without([*records(), *later], "deep")
    once = text(run(rest, **changes), body=full)
    (deep,), (slim,) = rows(once, "deep", "fp32"), rows(once, "slim", "fp32")
    assert not any("unconverged" in note for note in notes_of(once, rows(once)[0], "PCKh@0.5 total"))
    assert any("unconverged" in note for note in notes_of(once, slim, "PCKh@0.5 total"))
    assert not any("unconverged" in note for note in notes_of(once, deep, "PCKh@0.5 total"))


def figures(of: str, row: str) -> dict[str, str]:
    heads, cells = ([cell.partition("<sup>")[0].strip() for cell in x.split("|")] for x in (rows(of)[0], row))
    return dict(zip(heads, cells, strict=True))


def test_figures_of_columns_that_are_headed_alike_are_not_mixed_up() -> None:
    asked = {"columns": "train.peak_memory,latency,peak_memory"}
    full = text(run(records()), **asked)
    before = figures(full, rows(full, "slim", "fast")[0])
    assert {"peak memory, inference [GiB]", "peak memory, training [GiB]"} <= before.keys()
    rest, changes = without(records(), "slim")
    for columns in (asked["columns"], "latency,peak_memory,train.peak_memory"):
        once = text(run(rest, **changes), body=full, columns=columns)
        after = figures(once, rows(once, "slim", "fast")[0])
        for phase in ("inference", "training"):
            number, unit = before[f"peak memory, {phase} [GiB]"], f"peak memory, {phase} [GiB]"
            kept = after.get(unit) or after[f"peak memory, {phase} [MiB]"].removesuffix(" GiB")
            assert kept == number


def test_a_column_is_headed_with_its_phase_where_that_was_asked_for() -> None:
    alone = text(run(records()), columns="latency,train.peak_memory")
    assert "peak memory, training [GiB]" in rows(alone)[0]
    assert "peak memory [GiB]" in rows(text(run(records()), columns="latency,peak_memory"))[0]
    ranked = text(run(records()), by="train.train_step")
    assert "ranked by training step, training, lower is better" in ranked


def test_of_former_columns_that_were_headed_alike_nobody_knows_which_is_which() -> None:
    former = "**X (machine 3f2a91c0, cpu)**: records of 2026-01-01\n\n"
    former += "| rank | variant | mode | peak memory [GiB] | peak memory [GiB] |\n|--|--|--|--|--|\n"
    former += "| 1 | gone | fp32 | 10.0 | 0.5 |\n"
    (line,) = rows(text(run(records()), body=former, columns="latency,peak_memory"), "gone")
    assert "10.0" not in line and "0.5" not in line


def test_a_count_without_a_unit_does_not_take_on_that_of_its_column() -> None:
    former = "**X (machine 3f2a91c0, cpu)**: records of 2026-01-01\n\n"
    former += "| rank | variant | mode | parameters |\n|--|--|--|--|\n| 1 | gone | fp32 | 812 |\n"
    for _ in range(2):
        former = text(run(records()), body=former)
        (line,) = rows(former, "gone")
        assert "| 812 [1] |" in " ".join(line.split())


def test_rows_of_a_profile_without_any_run_stay() -> None:
    quick = text(run(records()), profile="quick")
    other = run(records(), NEW, profile="gpu")
    once = text(other, body=quick, profile="quick")
    assert len(rows(once, "stale (2026-01-05)")) == 6 and "no record of these rows is there any more" in once
    assert notes_of(once, rows(once, "deep", "fp32")[0], "latency")[0].startswith("noisy: ")
    assert text(other, body=once, profile="quick") == once
    assert text(run(records()), body=once, profile="quick") == quick
    for body, kind in (("", "table"), (quick, "pareto")):
        with pytest.raises(UsageError, match="no run in a profile 'quick'"):
            text(other, body=body, profile="quick", kind=kind)


def test_rows_of_any_machine_come_to_stand_on_one_that_was_timed() -> None:
    anywhere = text(run([trained("original", 60.0), trained("slim", 80.0)]))
    later = text(run([*records(), trained("original", 60.0), trained("slim", 80.0)]), body=anywhere)
    assert "Any machine" not in later and "stale" not in later
