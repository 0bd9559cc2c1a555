"""For another program: the judgement with every finding, the counts and the exit code; it can be read again."""

from math import isfinite
from typing import Any

import msgspec

from bench.gate import VERDICTS, Finding, Judgement, exit_code
from bench.gate.page.rows import verdict_line
from bench.record import Json


def render(judgement: Judgement) -> str:
    """One object; null is a figure that there is not. Nothing is folded or left out."""
    says = verdict_line(judgement)
    page = {
        "says": says,
        "verdict": says.partition(":")[0],
        "exit_code": int(exit_code(judgement)),
        "counts": {verdict: judgement.count(verdict) for verdict in VERDICTS},
        **msgspec.structs.asdict(judgement),
        "findings": [_finding(finding) for finding in judgement.findings],
    }
    return msgspec.json.format(msgspec.json.encode(page), indent=1).decode()


def _finding(finding: Finding) -> Json:
    """With the cell's name, and its fields in full where a record would leave out what is usual."""
    fields: dict[str, Any] = {"cell": finding.cell, **msgspec.structs.asdict(finding)}
    for name in ("base", "head", "detectable"):  # JSON has no NaN and no infinity
        value = fields[name]
        fields[name] = value if value is not None and isfinite(value) else None
    if finding.change is not None:
        bounds = [bound if bound is not None and isfinite(bound) else None for bound in finding.change]
        fields["change"] = None if bounds[0] is None else bounds
    return fields
