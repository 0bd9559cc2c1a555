"""The last check before anything is measured: can every network be built, here and for this data?"""

import tomllib
from collections.abc import Mapping
from pathlib import Path

from bench.engines import local
from bench.errors import SuiteError
from bench.plan import static_jobs
from bench.suite import Suite
from bench.suite.positions import Problem, describe
from bench.suite.sweep import expand


def validate(suite: Suite, *, device: str, threads: int, absent: dict[str, str] | None = None) -> dict[str, str]:
    """One worker builds every variant on the meta device; nothing is written.

    Args:
        absent: is filled: variant -> why it is not available here, of those that need a package which is not. Nothing
            is wrong with the suite then.

    Returns:
        Variant -> fingerprint of its network, of the others.

    Raises:
        SuiteError: the variants that cannot be built, each with its line in the suite.
    """
    records = local.validate(static_jobs(suite, device=device, threads=threads))
    wrong = {record.job.variant: record.reason for record in records if record.status not in ("ok", "skipped")}
    if wrong:
        raise SuiteError(complaints(suite, wrong))
    if absent is not None:
        absent |= {record.job.variant: record.reason for record in records if record.status == "skipped"}
    return {record.job.variant: record.environment["network"] for record in records if record.status == "ok"}


def said(absent: Mapping[str, str]) -> list[str]:
    """A line for each reason why variants are not available here."""
    alike: dict[str, list[str]] = {}
    for name, reason in absent.items():
        alike.setdefault(reason, []).append(name)
    return [f"{', '.join(names)}: {reason}" for reason, names in alike.items()]


def complaints(suite: Suite, wrong: dict[str, str]) -> list[str]:
    """A line per variant that cannot be built, at the option that its reason begins with, else at its table."""
    if not suite.path.exists():
        return [f"{name}: {reason}" for name, reason in wrong.items()]
    text = suite.path.read_text(encoding="utf-8")
    problems = []
    for index, written in enumerate(tomllib.loads(text)["variants"]):
        names = {point.name for point in expand(written)}
        for name in names & wrong.keys():
            option = wrong[name].split(" ", 1)[0]
            table = next((t for t in ("options", "sweep") if option in written.get(t, {})), "")
            place = ("variants", index, table, option) if table else ("variants", index)
            problems.append(Problem(place, f"variant '{name}': {wrong[name]}"))
    shown = suite.path.relative_to(Path.cwd()) if suite.path.is_relative_to(Path.cwd()) else suite.path
    return describe(str(shown), text, problems)
