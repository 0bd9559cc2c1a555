"""What a table needs to know of the suite, read from a run's header, with defaults so that old headers still render."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from bench.record import Job, Json, Record


@dataclass(frozen=True, slots=True)
class Study:
    """The suite's own order of things; what it does not name comes after, sorted.

    Attributes:
        baseline: empty where ratios make no sense.
        modes: in the suite's order; the first is the reference.
        factors: fields that may differ in a comparison, such as `train.batch`.
        training: variant -> mode in which it trains; trained: the same of accuracy, which may be of another profile.
        batches: variant -> training batch, None where unknown; trained_batches: the same of accuracy.
        published: variant -> the document's entries.
    """

    name: str
    baseline: str
    profile: str
    modes: tuple[str, ...]
    variants: tuple[str, ...]
    factors: tuple[str, ...]
    training: Mapping[str, str]
    batches: Mapping[str, Any]
    published: Mapping[str, list[Json]]
    trained: Mapping[str, str]
    trained_batches: Mapping[str, Any]

    @property
    def reference(self) -> str:
        """The mode that speed-ups refer to; empty where there are no modes."""
        return self.modes[0] if self.modes else ""

    def rank(self, variant: str, mode: str) -> tuple[int, int]:
        """Where a row stands."""
        return self.variants.index(variant), self.modes.index(mode) if mode in self.modes else -1

    def planned(self, phase: str) -> list[tuple[str, str]]:
        """The rows that a phase ought to have."""
        if phase == "infer":
            return [(variant, mode) for variant in self.variants for mode in self.modes]
        if phase in ("train", "accuracy"):
            modes = self.training if phase == "train" else self.trained
            return [(variant, modes[variant]) for variant in self.variants if variant in modes]
        return [(variant, "") for variant in self.variants] if phase == "static" else []

    def is_factor(self, field: str) -> bool:
        """The study varies this field on purpose."""
        return any(field == factor or field.startswith(f"{factor}.") for factor in self.factors)


def study(suite: Json, records: Iterable[Record]) -> Study:
    """The suite's plain data and what the records name beyond it."""
    jobs = [record.job for record in records]
    entries = {entry["name"]: entry for entry in suite.get("variants") or [] if "name" in entry}
    modes = _ordered(suite.get("modes") or {}, (job.mode for job in jobs if job.phase != "accuracy"))
    train = suite.get("train") or {}
    own = {name: train | (entry.get("train") or {}) for name, entry in entries.items()}
    seen = {job.mode for job in jobs if job.phase == "train"}
    usual = next((mode for mode in modes if mode in seen), "")
    chosen = {name: table.get("mode") or usual for name, table in own.items()}
    batches = {name: table.get("batch") for name, table in own.items()}
    learnt = {job.variant: job.mode for job in jobs if job.phase == "accuracy"}
    common = set(learnt.values())
    expected = dict.fromkeys(own, next(iter(common))) if len(common) == 1 else chosen
    return Study(
        name=suite.get("name") or "SUITE",
        baseline=suite.get("baseline") or "",
        profile=suite.get("profile") or "",
        modes=modes,
        variants=_ordered(entries, (job.variant for job in jobs)),
        factors=tuple(suite.get("factors") or ()),
        training={name: mode for name, mode in chosen.items() if mode},
        batches=batches | _batches(jobs, "train"),
        published={name: list(entry.get("published") or []) for name, entry in entries.items()},
        trained={name: mode for name, mode in (expected | learnt).items() if mode},
        trained_batches=batches | _batches(jobs, "accuracy"),
    )


def _batches(jobs: Iterable[Job], phase: str) -> dict[str, Any]:
    return {job.variant: job.train["batch"] for job in jobs if job.phase == phase and "batch" in job.train}


def _ordered(named: Iterable[str], seen: Iterable[str]) -> tuple[str, ...]:
    """The suite's names in its order, then the ones that only records have."""
    known = list(named)
    return (*known, *sorted({name for name in seen if name} - set(known)))
