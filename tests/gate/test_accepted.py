"""Accepted changes: known again by cell and networks, kept in a file that people edit, refused where it is broken."""

from pathlib import Path

import msgspec
import pytest
from judgements import counted, finding, judgement, passes

from bench.errors import SuiteError, UsageError
from bench.gate import PASS, REGRESSED, Finding, exit_code
from bench.gate.accepted import Accepted, apply, entry, file_of, load, write

SLOWER = finding(REGRESSED)
BIGGER = counted("original", 100, 120, REGRESSED)
FOUND = judgement(SLOWER, BIGGER, finding(REGRESSED, "deep"), *passes(2))


def accepted(one: Finding = SLOWER, **changes: str) -> Accepted:
    return msgspec.structs.replace(entry(FOUND, one, "wider, and better for it"), **changes)


@pytest.fixture
def suite(tmp_path: Path) -> Path:
    """Where a suite lies; the file itself is not needed."""
    return tmp_path / "suites" / "study.toml"


def put(suite: Path, text: str) -> Path:
    path = file_of(suite)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def test_an_entry_says_which_networks_and_what_changed() -> None:
    assert entry(FOUND, SLOWER, " wider,\n  and better ") == Accepted(
        cell="original/fast/latency",
        reason="wider, and better",
        base="b-original",
        head="h-original",
        change="206 ms -> 270 ms, +31 % (+28 to +34)",
    )


def test_without_its_networks_a_change_cannot_be_accepted() -> None:
    with pytest.raises(UsageError, match="original/fast/latency: the judgement does not name its networks; gate it"):
        entry(judgement(SLOWER, identities={}), SLOWER, "because")


def test_where_nothing_differs_there_is_no_change_to_accept() -> None:
    alike = judgement(SLOWER, identities={SLOWER.cell: ("same", "same")})
    said = "original/fast/latency: base and head are the same network, so that there is no change to accept; gate it"
    with pytest.raises(UsageError, match=said):
        entry(alike, SLOWER, "because")
    assert apply(alike, [accepted(base="same", head="same")]).findings == alike.findings


def test_an_accepted_regression_passes_with_its_reason() -> None:
    done = apply(FOUND, [accepted()])
    assert [one.verdict for one in done.findings] == [PASS, REGRESSED, REGRESSED, PASS, PASS]
    assert done.findings[0] == msgspec.structs.replace(
        SLOWER, verdict=PASS, reason="accepted: wider, and better for it"
    )
    assert done.findings[1:] == FOUND.findings[1:] and done.notes == []
    everything = [accepted(one) for one in FOUND.findings if one.verdict == REGRESSED]
    assert (exit_code(FOUND), exit_code(done), exit_code(apply(FOUND, everything))) == (1, 1, 0)


@pytest.mark.parametrize(
    "changes", [{"base": "other"}, {"head": "other"}, {"base": "h-original", "head": "b-original"}]
)
def test_another_change_of_the_cell_is_not_accepted(changes: dict[str, str]) -> None:
    done = apply(FOUND, [accepted(**changes)])
    assert done.findings == FOUND.findings
    assert done.notes == [
        "1 accepted change applies to other networks or another protocol (original/fast/latency); "
        "remove it from suites/accepted/study.toml once past"
    ]


@pytest.mark.parametrize("verdict", ["NOT MEASURED", "NOT COMPARABLE", "INCONCLUSIVE"])
def test_only_a_regression_is_made_a_pass(verdict: str) -> None:
    found = judgement(finding(verdict))
    assert apply(found, [accepted()]).findings == found.findings


def test_the_same_networks_elsewhere_are_not_the_same_cell() -> None:
    done = apply(FOUND, [accepted(cell="original/fp32/latency")])
    assert done.findings == FOUND.findings
    assert done.notes == ["1 accepted change is of a cell that was not gated here (original/fp32/latency)"]


def test_several_acceptances_that_match_nothing_are_counted_and_named() -> None:
    old = [accepted(one, head="old") for one in FOUND.findings]
    done = apply(msgspec.structs.replace(FOUND, notes=["first"]), [*old, accepted(cell="x"), accepted(cell="y")])
    assert done.notes == [
        "first",
        "5 accepted changes apply to other networks or another protocol "
        "(original/fast/latency, original/params, deep/fast/latency, ...); "
        "remove them from suites/accepted/study.toml once past",
        "2 accepted changes are of cells that were not gated here (x, y)",
    ]


def test_an_acceptance_that_was_not_needed_this_time_still_applies() -> None:
    assert apply(judgement(finding(PASS)), [accepted()]).notes == []


def test_what_is_written_is_read_again(suite: Path) -> None:
    assert load(suite) == []
    assert write(suite, [accepted(), accepted(BIGGER, reason='a "quoted" \\ reason = [x]')]) == [
        accepted(),
        accepted(BIGGER, reason='a "quoted" \\ reason = [x]'),
    ]
    assert load(suite) == [accepted(), accepted(BIGGER, reason='a "quoted" \\ reason = [x]')]
    assert file_of(suite) == suite.parent / "accepted" / "study.toml"


def test_the_file_is_for_people(suite: Path) -> None:
    write(suite, [accepted()])
    write(suite, [accepted(BIGGER)])
    assert file_of(suite).read_text(encoding="utf-8") == (
        "# Changes that were intended: `bench accept` writes this file, `bench gate` reads it.\n"
        "# Commit it with the change; an entry that no longer applies can be removed.\n"
        "\n"
        "[[accepted]]\n"
        'cell = "original/fast/latency"\n'
        'reason = "wider, and better for it"\n'
        'base = "b-original"\n'
        'head = "h-original"\n'
        'change = "206 ms -> 270 ms, +31 % (+28 to +34)"\n'
        "\n"
        "[[accepted]]\n"
        'cell = "original/params"\n'
        'reason = "wider, and better for it"\n'
        'base = "b-original"\n'
        'head = "h-original"\n'
        'change = "100 -> 120, +20.0 %"\n'
    )


def test_twice_is_once(suite: Path) -> None:
    write(suite, [accepted(), accepted(BIGGER)])
    before = file_of(suite).read_bytes()
    again = accepted(change="206 ms -> 271 ms, +32 % (+28 to +35)")
    assert write(suite, [accepted(BIGGER), again]) == []
    assert file_of(suite).read_bytes() == before, "measured again, it is the same change"


def test_another_reason_replaces_the_old_one(suite: Path) -> None:
    write(suite, [accepted(), accepted(BIGGER)])
    assert write(suite, [accepted(reason="another")]) == [accepted(reason="another")]
    assert load(suite) == [accepted(reason="another"), accepted(BIGGER)]


def test_another_pair_of_networks_is_another_entry(suite: Path) -> None:
    write(suite, [accepted()])
    write(suite, [accepted(head="h2")])
    assert load(suite) == [accepted(), accepted(head="h2")]


def test_comments_are_kept(suite: Path) -> None:
    write(suite, [accepted()])
    path = file_of(suite)
    written = path.read_text(encoding="utf-8")
    path.write_text(written.replace('h-original"', 'h-original"   # asked in the review') + "\n# the end\n")
    write(suite, [accepted(BIGGER), accepted(reason="another")])
    text = path.read_text(encoding="utf-8")
    assert '"h-original"   # asked in the review\n' in text
    assert text.index("# the end") < text.index("original/params")
    assert load(suite) == [accepted(reason="another"), accepted(BIGGER)]


@pytest.mark.parametrize(
    "text", ["", "# mine\n", "accepted = []\n", 'accepted = [{cell="a",reason="b",base="1",head="2"}]\n']
)
def test_a_file_may_be_written_in_other_ways(suite: Path, text: str) -> None:
    put(suite, text)
    before = load(suite)
    write(suite, [accepted(), accepted(BIGGER)])
    assert load(suite) == [*before, accepted(), accepted(BIGGER)]
    if "#" in text:
        assert file_of(suite).read_text(encoding="utf-8").startswith(text)


ENTRY = '\n[[accepted]]\ncell = "a"\nreason = "b"\nbase = "1"\nhead = "2"\n'


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (ENTRY + "[[accepted]\n", ":7: not valid TOML: "),
        (ENTRY + ENTRY.replace("reason", "reson"), ":10: unknown key 'reson'; did you mean 'reason'?"),
        (ENTRY + ENTRY.replace('reason = "b"\n', ""), ":8: missing key 'reason'; write reason = \"...\""),
        (ENTRY.replace('"b"', "3"), ':4: reason is no text; write reason = "..."'),
        (ENTRY.replace('"b"', '" "'), ':4: reason is no text; write reason = "..."'),
        (ENTRY.replace("accepted", "acepted"), ":2: unknown key 'acepted'; write [[accepted]]"),
        ('accepted = "a"\n', ":1: 'accepted' is no list of tables; write [[accepted]]"),
        ("accepted = [3]\n", ":1: 'accepted' is no list of tables; write [[accepted]]"),
        ("# \udcff\n", ":1: not UTF-8 text ("),
    ],
)
def test_a_broken_file_is_named_with_its_line(suite: Path, text: str, said: str) -> None:
    path = put(suite, "")
    path.write_bytes(text.encode(errors="surrogateescape"))
    for broken in (lambda: load(suite), lambda: write(suite, [accepted()])):
        with pytest.raises(SuiteError) as error:
            broken()
        assert f"{path}{said}" in error.value.problems[0]
    assert path.read_bytes() == text.encode(errors="surrogateescape"), "it is left as it was"


def test_a_folder_that_cannot_be_written(suite: Path) -> None:
    suite.parent.mkdir()
    (suite.parent / "accepted").write_text("a file")
    with pytest.raises(UsageError, match=r"accepted/study.toml: cannot write \("):
        write(suite, [accepted()])
