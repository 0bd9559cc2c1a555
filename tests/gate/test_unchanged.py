"""What may have changed although its graph in eval mode did not."""

from pathlib import Path

import msgspec
from jobs import tiny

from bench.gate.arms import Arm, unchanged
from bench.suite import load_suite

ROOT = Path(__file__).parent.parent.parent


def test_a_training_that_was_not_seen_may_have_changed() -> None:
    network = {"graph": "g", "code": "c", "built": "b", "untrained": "TypeError: targets should be passed"}
    infer = tiny("infer")
    jobs = {("a", "fp32", "infer"): infer, ("a", "fp32", "train"): msgspec.structs.replace(infer, phase="train")}
    suite = load_suite(ROOT / "suites" / "smoke.toml")
    base, head = (Arm(name, ROOT, suite, jobs, {"a": network}, {}) for name in ("base", "head"))
    assert [unchanged(cell, base, head) for cell in jobs] == [True, False]
