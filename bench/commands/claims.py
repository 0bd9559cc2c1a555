"""Judge each conclusion of a suite's document by the records of a run: the report card of a reproduction."""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bench import store
from bench.errors import Exit, UsageError
from bench.record import Json

if TYPE_CHECKING:
    from bench.claims import Card, Outcome

FORMATS = ("terminal", "markdown", "json")

SECONDS = 600.0
"""After which a test that backs a claim is given up."""


@click.command()
@click.argument("run")
@click.option("--results", default="results", type=Path, metavar="DIR", help="Where runs are kept [default: results].")
@click.option("--format", "format_", type=click.Choice(FORMATS), default="terminal", help="How the card is printed.")
@click.option("--suite", metavar="SUITE", help="Take the claims from this suite as it is now, not from the run.")
@click.option("--tests", is_flag=True, help="Run the tests that back structural claims, with pytest, from here.")
@click.option(
    "--fail-on",
    multiple=True,
    type=click.Choice(["fails", "undecided"]),
    help="End with 1 where a claim fails, with 3 where one is undecided or not comparable. May be repeated.",
)
def claims(run: str, results: Path, format_: str, **asked: Any) -> int:
    """Judge the claims of RUN: a file, a run's name, or a suite (its latest run).

    Each claim of the suite's document holds, fails, is undecided or not comparable, by the 95 % intervals of the run's
    figures; the published figures stand beside them. Ends with 0 whatever the verdicts, with 6 where no claim is
    comparable.
    """
    from bench import scores
    from bench.claims import card, cards

    loaded = store.read(store.find(results, run))
    for problem in loaded.problems:
        click.echo(problem, err=True)
    about = loaded.header.suite | ({"claims": _claims_of(asked["suite"], loaded)} if asked["suite"] else {})
    written = about.get("claims") or []
    if not written:
        raise UsageError(f"{loaded.path}: its suite has no claims; write [[claims]] and give --suite SUITE")
    outcomes = _outcomes(claim.get("test", "") for claim in written) if asked["tests"] else {}
    try:
        found = card(about, scores.restored(loaded.records, results), outcomes)
    except ValueError as error:
        raise UsageError(f"{loaded.path}:1: {error}; mend the suite and give --suite SUITE") from None
    click.echo(cards.page(found, format_))
    return _code(found, asked["fail_on"])


def _claims_of(suite: str, run: store.Loaded) -> list[Json]:
    """The claims of a suite as it is now; another one's variants may have the names of the run's and be others."""
    from bench.suite import load_suite

    now, then = load_suite(suite).plain(), run.header.suite.get("name")
    if then and now["name"] != then:
        raise UsageError(f"--suite {suite}: {run.path} is a run of suite '{then}'; give --suite {then}")
    written: list[Json] = now["claims"]
    return written


def _code(card: "Card", fail_on: Iterable[str]) -> Exit:
    counts = card.counts
    if counts["fails"] and "fails" in fail_on:
        return Exit.REGRESSION
    if counts["not comparable"] == len(card.findings):
        return Exit.NOT_COMPARABLE
    if counts["undecided"] + counts["not comparable"] and "undecided" in fail_on:
        return Exit.INCONCLUSIVE
    return Exit.FINE


def _outcomes(tests: Iterable[str]) -> "dict[str, Outcome]":
    return {test: _outcome(test) for test in dict.fromkeys(tests) if test}


def _outcome(test: str) -> "Outcome":
    """What pytest says of a test; a skipped one says nothing."""
    import subprocess
    import sys
    from importlib.util import find_spec
    from tempfile import TemporaryDirectory
    from xml.etree import ElementTree

    from bench.claims import Outcome
    from bench.suite.claim_checks import TEST

    if not re.fullmatch(TEST, test) or not Path(test.partition("::")[0]).is_file():
        return Outcome("undecided", "no such test here; run it from the checkout that has it")
    if find_spec("pytest") is None:
        return Outcome("undecided", "pytest is not installed here; pip install pytest")
    with TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--junitxml={report}", test]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)
        except subprocess.TimeoutExpired:
            return Outcome("undecided", f"the test did not end within {SECONDS:.0f} s")
        suites = [*ElementTree.parse(report).getroot().iter("testsuite")] if report.is_file() else []
    counts = {key: sum(int(one.get(key, 0)) for one in suites) for key in ("tests", "failures", "errors", "skipped")}
    passed = counts["tests"] - counts["failures"] - counts["errors"] - counts["skipped"]
    if counts["failures"]:
        return Outcome("fails", f"{counts['failures']} of {counts['tests']} failed")
    if counts["errors"] or not passed or done.returncode:
        said = "skipped" if counts["skipped"] and not counts["errors"] else (done.stdout.strip() or done.stderr.strip())
        return Outcome("undecided", f"the test did not run: {said.splitlines()[-1] if said else 'no test was found'}")
    return Outcome("holds", f"{counts['skipped']} of {counts['tests']} skipped" if counts["skipped"] else "")
