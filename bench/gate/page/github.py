"""For a step of a GitHub workflow: annotations at the variants' lines on stdout, the page in the step's summary."""

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from bench.gate import PASS, REGRESSED, Finding, Judgement, ordered
from bench.gate.page.markdown import summary
from bench.gate.page.rows import clean, sentence, verdict_line

SUMMARY = "GITHUB_STEP_SUMMARY"
LIMIT = 2**20
"""Bytes of a step's summary; GitHub drops a longer one."""

MOST = 10
"""Annotations of a kind in a step; GitHub drops the rest."""


def render(judgement: Judgement) -> str:
    """The verdict line and the annotations; the page is appended to the step's summary, where there is one."""
    lines = [verdict_line(judgement), *annotations(judgement, os.environ)]
    name = os.environ.get(SUMMARY)
    if name:
        lines += append(judgement, Path(name))
    return "\n".join(lines)


def append(judgement: Judgement, path: Path, limit: int = LIMIT) -> list[str]:
    """Append the page to a step's summary, with what is there already within the limit.

    That it cannot be written is a warning in the answer: the verdict counts, and it must not become another error.
    """
    try:
        before = path.stat().st_size if path.exists() else 0
        with path.open("a", encoding="utf-8") as file:
            file.write(summary(judgement, limit - before))
    except OSError as error:
        return [_command("warning", {"title": "no step summary"}, f"{path}: cannot write ({error.strerror})")]
    return []


def annotations(judgement: Judgement, environment: Mapping[str, str]) -> Iterator[str]:
    """Workflow commands, worst first: an error for what regressed, a warning for what nobody can tell."""
    if not judgement.findings:
        yield _command("error", {"title": "nothing was gated"}, verdict_line(judgement))
    file = _relative(judgement.path, environment)
    findings = [finding for finding in ordered(judgement.findings) if finding.verdict != PASS]
    yield from _of_kind("error", [f for f in findings if f.verdict == REGRESSED], file)
    yield from _of_kind("warning", [f for f in findings if f.verdict != REGRESSED], file)


def _of_kind(kind: str, findings: Sequence[Finding], file: str) -> Iterator[str]:
    shown = findings if len(findings) <= MOST else findings[: MOST - 1]
    for finding in shown:
        place = {"file": file} | ({"line": str(finding.line)} if finding.line else {}) if file else {}
        yield _command(kind, place | {"title": f"{finding.verdict}: {clean(finding.cell)}"}, sentence(finding))
    if left := findings[len(shown) :]:
        cells = ", ".join(clean(finding.cell) for finding in left)
        yield _command(kind, {"title": f"{len(left)} more, see the step's summary"}, cells)


def _relative(path: str, environment: Mapping[str, str]) -> str:
    """As GitHub wants it: from the root of the checkout, as a judgement has it where the suite lies in a repository."""
    root = Path(environment.get("GITHUB_WORKSPACE") or ".").absolute()
    return Path(path).relative_to(root).as_posix() if Path(path).is_relative_to(root) else path


def _command(kind: str, properties: Mapping[str, str], message: str) -> str:
    """A workflow command; it is one line, and its values may not hold what it is made of."""
    escaped = [f"{key}={_data(value).replace(':', '%3A').replace(',', '%2C')}" for key, value in properties.items()]
    return f"::{kind} {','.join(escaped)}::{_data(message)}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
