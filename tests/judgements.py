"""Judgements for tests that need some: the findings of a made-up gate."""

from typing import Any

from bench.gate import Finding, Judgement
from bench.record import Quantity

PARAMS = Quantity(name="params", unit="1", better="lower", title="parameters", exact=True)
LATENCY = Quantity(name="latency", unit="s", better="lower", title="latency")
THROUGHPUT = Quantity(name="throughput", unit="image/s", better="higher", title="throughput")
MEMORY = Quantity(name="peak_memory", unit="byte", better="lower", title="peak memory")
PCKH = Quantity(name="pckh.total", unit="%", better="higher", title="PCKh@0.5 total")

MACHINE = {"id": "3f2a91c0", "cpu": "Example CPU", "threads": 2, "gpus": [{"name": "Example GPU", "power_limit": 300}]}


def finding(verdict: str = "PASS", variant: str = "original", **fields: Any) -> Finding:
    """A latency in the fast mode, 2 % allowed, unless `fields` say otherwise."""
    usual: dict[str, Any] = {"phase": "infer", "mode": "fast", "quantity": LATENCY, "rule": "2%", "pairs": 10}
    usual |= {"base": 0.206, "head": 0.270, "change": (1.31, 1.28, 1.34), "detectable": 0.045, "line": 12}
    return Finding(variant=variant, verdict=verdict, **(usual | fields))


def counted(variant: str, base: int, head: int, verdict: str = "PASS", **fields: Any) -> Finding:
    """The parameters of a variant: exact, without mode or pairs."""
    exact: dict[str, Any] = {"phase": "static", "mode": "", "quantity": PARAMS, "rule": "exact", "pairs": 0}
    ratio = (head / base if base else float("inf"), None, None)
    return finding(
        verdict, variant, **exact | {"base": base, "head": head, "change": ratio, "detectable": None} | fields
    )


def passes(number: int) -> list[Finding]:
    """Latencies that barely moved."""
    small = {"head": 0.2061, "change": (1.0005, 0.997, 1.004), "detectable": 0.03}
    return [finding(variant=f"v{i}", **small) for i in range(number)]


def judgement(*findings: Finding, **fields: Any) -> Judgement:
    """A judgement of the working tree; every cell has identities."""
    usual: dict[str, Any] = {"suite": "study", "path": "suites/study.toml", "base": "HEAD~1 (abc1234)"}
    usual |= {"head": "working tree", "profile": "quick", "machine": MACHINE, "seconds": 200.0}
    usual["identities"] = {one.cell: (f"b-{one.variant}", f"h-{one.variant}") for one in findings}
    return Judgement(findings=list(findings), **(usual | fields))


def everything() -> Judgement:
    """One of each verdict, a score, a count that hardly moved, an accepted change, and many passes."""
    nothing = {"base": None, "head": None, "change": None, "pairs": 0, "detectable": None}
    failed = nothing | {"base": 0.1, "reason": "failed: RuntimeError: no kernel for <bfloat16> | see @torch\nline 2"}
    slower = {"quantity": THROUGHPUT, "base": 81.0, "head": 70.5, "change": (0.87, 0.85, 0.89), "rule": "3%"}
    score = {"phase": "accuracy", "quantity": PCKH, "mode": "", "base": 67.8, "head": 66.1, "pairs": 0, "line": 0}
    score |= {"change": (-1.7, -2.6, -0.8), "rule": "1%", "detectable": 0.012}
    return judgement(
        finding("REGRESSED", "6-stacks-64ch-4-residuals"),
        finding("REGRESSED", **slower),
        counted("original", 25_594_624, 25_594_625, "REGRESSED"),
        finding("NOT MEASURED", "deep", **failed),
        finding("NOT COMPARABLE", "slim", **nothing | {"reason": "machine 11112222 is not 3f2a91c0"}),
        finding("INCONCLUSIVE", "layer-norm", head=0.2107, change=(1.023, 1.002, 1.044), pairs=40),
        finding("INCONCLUSIVE", **score),
        counted("slim", 100, 120, reason="accepted: wider head, see the notes"),
        *passes(14),
        counted("deep", 5_000, 5_000, reason="the same"),
        notes=["latency: the rule was 3% at the base"],
    )
