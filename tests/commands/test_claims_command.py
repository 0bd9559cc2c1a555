"""`bench claims` judges a document's conclusions by a run; what it finds is no error of the command."""

import json
from pathlib import Path
from typing import Any

import builders
import pytest
from builders import SUITE, trained
from command_line import HEAD, PROTOCOL, Project, Typed, acts
from jobs import header

from bench import store
from bench.record import Record

HOLDS = {"says": "slim has fewer parameters", "holds_if": ["params('slim') < params('original')"]}
FAILS = {"says": "deep is faster", "holds_if": ["latency('deep') < latency('original')"]}
UNDECIDED = {"says": "wide is faster", "holds_if": ["latency('wide') < latency('original')"]}
APART = {"says": "slim trains faster", "holds_if": ["train_step('slim') < train_step('original')"]}
BACKED = {"says": "it is what it is", "test": "tests/test_own.py::test_it"}


def kept(project: Project, *claims: Any, records: list[Record] | None = None, **suite: Any) -> Path:
    """A run of the made-up study in the project's results, with these claims."""
    folder = project.results / "made_up"
    folder.mkdir(parents=True, exist_ok=True)
    with store.new_run(folder, header(suite=SUITE | {"claims": list(claims)} | suite)) as run:
        for one in builders.records() if records is None else records:
            store.append(run, one)
    return run.path


def verdicts(bench: Typed, *arguments: str) -> list[str]:
    return [
        claim["verdict"]
        for claim in json.loads(bench("claims", "made_up", "--format", "json", *arguments).out)["claims"]
    ]


def test_by_file_by_name_and_by_suite(project: Project, bench: Typed) -> None:
    path = kept(project, HOLDS, FAILS)
    pages = {bench("claims", name).out for name in (str(path), path.stem, "made_up", "suites/made_up.toml")}
    (text,) = pages
    assert "2 claims: 1 holds, 1 fails" in text and text.endswith("\n") and not text.endswith("\n\n")


@pytest.mark.parametrize(
    ("claims", "arguments", "code"),
    [
        ([HOLDS, FAILS, UNDECIDED], [], 0),
        ([HOLDS], ["--fail-on", "fails", "--fail-on", "undecided"], 0),
        ([HOLDS, FAILS], ["--fail-on", "fails"], 1),
        ([HOLDS, FAILS], ["--fail-on", "undecided"], 0),
        ([HOLDS, UNDECIDED], ["--fail-on", "undecided"], 3),
        ([HOLDS, APART], ["--fail-on", "undecided"], 3),
        ([HOLDS, UNDECIDED], ["--fail-on", "fails"], 0),
        ([FAILS, UNDECIDED], ["--fail-on", "undecided", "--fail-on", "fails"], 1),
        ([HOLDS, APART], [], 0),
        ([APART, APART], [], 6),
        ([APART], ["--fail-on", "undecided"], 6),
    ],
)
def test_exit_codes(project: Project, bench: Typed, claims: list[Any], arguments: list[str], code: int) -> None:
    kept(project, *claims, factors=[])
    done = bench("claims", "made_up", *arguments)
    assert (done.code, done.err) == (code, "")
    assert done.out.startswith(SUITE["title"])


def test_a_run_without_records_decides_nothing(project: Project, bench: Typed) -> None:
    kept(project, HOLDS, FAILS, records=[])
    done = bench("claims", "made_up")
    assert done.code == 0 and "2 claims: 2 undecided" in done.out
    assert "params was not measured in this run" in done.out


@pytest.mark.parametrize(
    ("claims", "said"),
    [
        ([], "its suite has no claims; write [[claims]] and give --suite SUITE"),
        (
            [{"says": "s", "holds_if": ["latency('a') / 0 < 1"]}],
            "divides by zero; mend the suite and give --suite SUITE",
        ),
        ([{"says": "s", "holds_if": ["latency('a')"]}], "not one comparison with < <= > >= or ==; mend the suite"),
    ],
)
def test_bad_claims_of_a_run(project: Project, bench: Typed, claims: list[Any], said: str) -> None:
    path = kept(project, *claims)
    done = bench("claims", "made_up")
    (line,) = done.err.splitlines()
    assert (done.code, done.out) == (2, "")
    assert line.startswith(str(path.relative_to(project.folder))) and said in line


def test_a_run_that_is_not_there(project: Project, bench: Typed) -> None:
    kept(project, HOLDS)
    done = bench("claims", "made_upp")
    assert (done.code, done.err) == (2, "no run 'made_upp' under results/; did you mean 'made_up'?\n")


CLAIM = """
[[claims]]
says     = "a is faster"
holds_if = ["latency('a') < {}"]
"""


def test_claims_of_the_suite_as_it_is_now(project: Project, bench: Typed) -> None:
    project.suite(HEAD + acts(a="", b="") + PROTOCOL)
    assert bench("run", "tiny", "--rounds", "3").code == 0
    assert bench("claims", "tiny").code == 2
    project.suite(HEAD + acts(a="", b="") + PROTOCOL + CLAIM.format("latency('b') + 1 s"))
    done = bench("claims", "tiny", "--suite", "suites/tiny.toml")
    assert (done.code, done.err) == (0, "") and "1 claim: 1 holds" in done.out


def test_claims_of_another_suite_are_refused(project: Project, bench: Typed) -> None:
    path = kept(project, HOLDS)
    project.suite(HEAD + acts(a="", b="") + PROTOCOL + CLAIM.format("latency('b') + 1 s"))
    done = bench("claims", "made_up", "--suite", "tiny")
    where = path.relative_to(project.folder)
    assert (done.code, done.out) == (2, "")
    assert done.err == f"--suite tiny: {where} is a run of suite 'made_up'; give --suite made_up\n"


def test_a_claim_that_is_wrong_now_has_its_line(project: Project, bench: Typed) -> None:
    kept(project, HOLDS)
    text = HEAD + acts(a="", b="") + PROTOCOL + CLAIM.format("latency('c')")
    project.suite(text)
    done = bench("claims", "made_up", "--suite", "suites/tiny.toml")
    line = next(number for number, line in enumerate(text.splitlines(), start=1) if "holds_if" in line)
    assert done.code == 2
    assert done.err == f"suites/tiny.toml:{line}: unknown variant 'c' in a claim; one of: a, b\n"


@pytest.mark.parametrize(
    ("body", "verdict", "reason"),
    [
        ("assert True", "holds", ""),
        ("assert False", "fails", "1 of 1 failed"),
        ("pytest.skip('no device')", "undecided", "the test did not run: skipped"),
        ("no_such_fixture", "undecided", "the test did not run: "),
        ("import sys; sys.exit('gone')", "fails", "1 of 1 failed"),
    ],
)
def test_tests_are_run_where_that_is_asked_for(
    project: Project, bench: Typed, body: str, verdict: str, reason: str
) -> None:
    kept(project, BACKED)
    (project.folder / "tests").mkdir()
    fixture = body if body.isidentifier() else ""
    project.write("tests/test_own.py", f"import pytest\n\ndef test_it({fixture}):\n    {body}\n")
    done = json.loads(bench("claims", "made_up", "--tests", "--format", "json").out)
    found = done["claims"][0]["test"]
    assert found["verdict"] == done["claims"][0]["verdict"] == verdict
    assert found["reason"].startswith(reason) and bool(found["reason"]) == bool(reason)
    assert verdicts(bench) == ["undecided"]  # not without --tests


@pytest.mark.parametrize(
    "name", ["tests/test_own.py::test_other", "tests/test_none.py::test_it", "--version", "-p x.py::y"]
)
def test_a_test_that_is_not_there(project: Project, bench: Typed, name: str) -> None:
    kept(project, {"says": "s", "test": name})
    (project.folder / "tests").mkdir()
    project.write("tests/test_own.py", "def test_it():\n    pass\n")
    done = bench("claims", "made_up", "--tests")
    assert (done.code, done.err) == (0, "")
    assert "the test did not run" in done.out or "no such test here" in done.out


def test_accuracy_that_was_taken_over_is_paired_by_the_scores_of_its_own_run(project: Project, bench: Typed) -> None:
    import msgspec

    from bench.trainings import Source, taken_over

    claim = {"says": "slim is worse", "holds_if": ["pckh.total('slim') < pckh.total('original')"]}
    own = []
    for variant, right in (("original", 8), ("slim", 7)):
        found = trained(variant, 100 * right / 14)
        images = {"correct": [right - 5, right + 5] * 50, "counted": [14] * 100}
        values = [msgspec.structs.replace(found.values[0], details={"images": images}, low=0.0, high=99.0)]
        own.append(msgspec.structs.replace(found, values=values))
    folder = project.results / "earlier"
    folder.mkdir(parents=True)
    with store.new_run(folder, header(run="20250101T000000Z-aaaa")) as run:
        for one in own:
            store.append(run, one)
    kept(project, claim, records=[taken_over(one.job, Source(run.path, one)) for one in own])

    def how() -> Any:
        return json.loads(bench("claims", "made_up", "--format", "json").out)["claims"][0]["comparisons"][0]["how"]

    assert how() == "paired by image"
    run.path.unlink()
    assert how() == "not paired: from the figures' own intervals"
