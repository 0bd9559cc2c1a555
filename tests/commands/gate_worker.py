"""A worker without torch whose figures are written in the architecture's file, so that two checkouts can differ.

`FIGURES` there is variant -> {"params", "latency", "memory", "noise", "do"}.
"""

import ast
from math import exp
from pathlib import Path
from random import Random
from typing import Any

from scripted_worker import serve

from bench.record import Job, Quantity, Record, Value, digest, fingerprints

PARAMS = Quantity(name="params", unit="1", better="lower", title="parameters", exact=True)
LATENCY = Quantity(name="latency", unit="s", better="lower", title="latency")
MEMORY = Quantity(name="peak_memory", unit="byte", better="lower", title="peak memory")


def figures(job: Job) -> dict[str, Any]:
    """What the tree says of a variant."""
    tree = ast.parse(Path(job.arch_file).read_text(encoding="utf-8"))
    (node,) = [node for node in tree.body if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "FIGURES"]
    known = {"params": 7, "latency": 0.02, "memory": 1000, "noise": 0.005, "do": "", "module": "", "untrained": ""}
    return known | ast.literal_eval(node.value).get(job.variant, {})


def values(job: Job, of: dict[str, Any]) -> list[Value]:
    if job.phase not in ("static", "infer", "train"):
        return []
    if job.phase == "static":
        return [Value(quantity=PARAMS, value=of["params"])]
    if of["do"] == "change" and "bench-base-" not in job.arch_file:
        Path(job.arch_file).write_text(Path(job.arch_file).read_text(encoding="utf-8") + "#\n", encoding="utf-8")
    memory = Value(quantity=MEMORY, value=of["memory"] + job.round)
    if job.phase == "train":
        return [memory]
    arm = "base" if "bench-base-" in job.arch_file else "head"
    noise = exp(of["noise"] * Random(f"{job.cell}{job.round}{arm}").gauss(0, 1))
    latency: float | None = of["latency"] * noise
    reason = ""
    if of["do"] == "no figure":
        latency, reason = None, "not a finite number (nan)"
    flags = ["mismatch"] if of["do"] == "mismatch" else []
    return [Value(quantity=LATENCY, value=latency, reason=reason, flags=flags), memory]


def answer(job: Job) -> Record:
    of = figures(job)
    environment: dict[str, Any] = {"network": digest([of])}
    if job.phase == "graph":
        graph = {
            "graph": digest([of]),
            "code": "",
            "built": "",
            "module": of["module"] or job.arch_file,
            "files": [job.arch_file],
        }
        environment["graph"] = graph | {"untrained": of["untrained"]}
    failed = of["do"] == "fail" and job.phase == "infer"
    broken = of["do"] == "broken" and job.phase in ("check", "graph")
    bad = failed or broken
    return Record(
        job=job,
        id=job.id,
        status="failed" if bad else "ok",
        reason="ValueError: the middle layer is missing" if bad else "",
        values=[] if bad else values(job, of),
        fingerprints=fingerprints(job),
        environment=environment,
    )


if __name__ == "__main__":
    serve(answer)
