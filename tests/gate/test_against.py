"""What is gated beside times: trainings seed by seed, peaks, and what a sitting left unfinished."""

import itertools
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from command_line import HEAD, PROTOCOL, acts
from judgements import LATENCY, MEMORY, PCKH

from bench.engines import local
from bench.gate import INCONCLUSIVE, NOT_MEASURED, PASS, REGRESSED, Finding, Judgement
from bench.gate.against import Asked, case
from bench.gate.sitting import sit
from bench.record import Job, Quantity, Record, Value, digest

OUTPUTS = Quantity(name="outputs", unit="1", better="none", title="outputs")

TRAIN = '\n[train]\nrecipe = "adam_short"\nbatch = 2\nsamples = 8\nseeds = 3\n'
NETWORK = '"""A network."""\n\n\ndef build(do: str = "") -> None:\n    """Never called."""\n'


def suite(*measures: str, variants: int = 1, **rules: str) -> str:
    """The text of a suite whose variants are trained with three seeds, and what is gated of it."""
    head = HEAD.replace('["params", "infer"]', str([*measures]).replace("'", '"')) + TRAIN
    named = acts(**{"abcdefghijklmnopqrst"[n]: "" for n in range(variants)})
    gate = "".join(f'"{name.replace("_of_", ".")}" = "{rule}"\n' for name, rule in rules.items())
    return head + named + PROTOCOL + "\n[gate]\n" + gate


TRAINED = suite("accuracy", pckh_of_total="1%")


@dataclass
class Workers:
    """Workers that answer at once: what each figure of an arm is, by the number of the pair."""

    scores: Mapping[str, Sequence[float | str | None]] = field(default_factory=dict)
    memory: Mapping[str, Sequence[int]] = field(default_factory=lambda: {"base": [1000], "head": [1000]})
    built: bool = False
    done: list[tuple[str, Job]] = field(default_factory=list)

    def validate(self, jobs: Sequence[Job], timeout: float = 300.0, phase: str = "check") -> list[Record]:
        return [Record(job=one, status="ok", environment={phase: self.network(one)}) for one in jobs]

    def network(self, job: Job) -> dict[str, object]:
        text = digest(Path(job.arch_file).read_text(encoding="utf-8"))
        code = {"code": "same", "built": text} if self.built else {"code": text, "built": text}
        return {"graph": "g", "module": job.arch_file, "files": [], **code}

    def execute(self, jobs: Sequence[Job]) -> Iterator[Record]:
        for job in jobs:
            arm = "base" if "bench-base-" in job.arch_file else "head"
            self.done.append((arm, job))
            score = self.scores[arm][job.round] if job.phase == "accuracy" else None
            if isinstance(score, str):
                yield Record(job=job, status="failed", reason=score)
                continue
            yield Record(job=job, status="ok", values=list(self.values(job, arm, score)))

    def values(self, job: Job, arm: str, score: float | None) -> Iterator[Value]:
        if job.phase == "accuracy":
            yield Value(quantity=PCKH, value=score)
        if job.phase == "infer":
            numbers = self.memory[arm]
            yield Value(quantity=MEMORY, value=numbers[job.round % len(numbers)])
            yield Value(quantity=LATENCY, value=0.02 * (1 + 1e-4 * job.round))
            yield Value(quantity=OUTPUTS, value=1.0, details={"shape": [1], "sha256": arm, "sample": [1.0]})


def git(folder: Path, *arguments: str) -> None:
    who = ["-c", "user.name=A", "-c", "user.email=a@example.org"]
    subprocess.run(["git", "-C", str(folder), *who, *arguments], check=True, capture_output=True)


@dataclass
class Repository:
    """A project whose network was changed since its one commit."""

    folder: Path
    monkeypatch: pytest.MonkeyPatch

    def write(self, suite: str, network: str = NETWORK) -> None:
        for name, text in {"suites/tiny.toml": suite, "archs/scripted.py": network}.items():
            (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
            (self.folder / name).write_text(text, encoding="utf-8")

    def judged(self, workers: Workers, minutes: float | None = None, **asked: bool) -> Judgement:
        """The verdict; the clock shows another second each time that it is asked."""
        self.monkeypatch.setattr(local, "validate", workers.validate)
        self.monkeypatch.setattr(local, "execute", workers.execute)
        wish = Asked(against="HEAD", profile="", device="cpu", minutes=minutes, **asked)
        with case(str(self.folder / "suites" / "tiny.toml"), wish, lambda _: None) as ready:
            order = replace(ready.order, clock=itertools.count().__next__)
            return ready.judgement(sit(ready.arms, ready.timed, ready.others, order, lambda _: None))


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Repository:
    return Repository(tmp_path, monkeypatch)


def changed(repository: Repository, base: str, head: str = "") -> Repository:
    """The base's suite is committed, then the network differs."""
    repository.write(base)
    git(repository.folder, "init", "-q")
    git(repository.folder, "add", ".")
    git(repository.folder, "commit", "-qm", "one")
    repository.write(head or base, NETWORK + "# changed\n")
    return repository


def only(judgement: Judgement) -> Finding:
    (found,) = judgement.findings
    return found


def test_every_seed_is_trained_in_both_arms_and_paired(repository: Repository) -> None:
    workers = Workers({"base": [60.0, 70.0, 80.0], "head": [57.1, 67.0, 76.9]})
    found = only(changed(repository, TRAINED).judged(workers))
    assert sorted((arm, job.round, job.seed) for arm, job in workers.done) == [
        (arm, seed, seed) for arm in ("base", "head") for seed in range(3)
    ]
    assert (found.verdict, found.pairs) == (REGRESSED, 3)
    assert found.change is not None and found.change[0] == pytest.approx(-3.0)
    assert (found.base, found.head) == pytest.approx((70.0, 67.0))
    assert found.detectable is not None


def test_seeds_that_differ_more_than_the_change_tell_nothing(repository: Repository) -> None:
    workers = Workers({"base": [60.0, 70.0, 80.0], "head": [55.0, 73.0, 73.0]})
    assert only(changed(repository, TRAINED).judged(workers)).verdict == INCONCLUSIVE


@pytest.mark.parametrize(
    ("head", "reason", "trainings"),
    [
        ([60.0, "ValueError: no loss", 80.0], "failed: seed 1: ValueError: no loss (head)", 4),
        ([60.0, 70.0, None], "failed: seed 2: no figure", 6),
    ],
    ids=["failed", "no figure"],
)
def test_a_seed_that_one_side_lacks_is_not_measured(
    repository: Repository, head: Sequence[float | str | None], reason: str, trainings: int
) -> None:
    workers = Workers({"base": [60.0, 70.0, 80.0], "head": head})
    found = only(changed(repository, TRAINED).judged(workers))
    assert (found.verdict, found.reason) == (NOT_MEASURED, reason)
    assert len(workers.done) == trainings


def test_as_many_seeds_as_the_suite_has_now(repository: Repository) -> None:
    workers = Workers({"base": [60.0, 70.0, 80.0], "head": [60.0, 70.0, 80.0]})
    found = only(changed(repository, TRAINED.replace("seeds = 3", "seeds = 1"), TRAINED).judged(workers))
    assert (found.verdict, found.pairs) == (PASS, 3)


def test_seeds_that_the_budget_left_out_are_not_green(repository: Repository) -> None:
    workers = Workers({"base": [60.0, 70.0, 80.0], "head": [60.0, 70.0, 80.0]})
    found = only(changed(repository, TRAINED).judged(workers, minutes=1 / 60))
    said = "the budget of 0.0166667 min was spent in pair 2, after 1 of 3 pairs"
    assert (found.verdict, found.reason) == (NOT_MEASURED, said)


def test_a_peak_in_fewer_pairs_than_it_takes_is_no_verdict(repository: Repository) -> None:
    text = suite("memory", peak_memory="1%")
    workers = Workers(memory={"base": [1000, 1001, 1002], "head": [1021, 1022, 1023]})
    whole = changed(repository, text).judged(workers)
    assert {one.verdict for one in whole.findings if one.phase == "infer"} == {REGRESSED}
    begun = repository.judged(workers, minutes=1 / 60)
    assert {one.verdict for one in begun.findings} == {NOT_MEASURED}


def test_many_peaks_take_more_pairs_than_a_time_that_is_decided(repository: Repository) -> None:
    text = suite("infer", "memory", variants=20, peak_memory="1%", latency="5%")
    found = changed(repository, text).judged(Workers())
    pairs = {(one.quantity.name, one.verdict): one.pairs for one in found.findings if one.phase == "infer"}
    assert pairs == {("latency", PASS): 5, ("peak_memory", PASS): 6}


def test_only_what_hangs_on_first_weights_is_known_by_them(repository: Repository) -> None:
    text = suite("infer", "outputs", latency="5%", outputs="exact")
    found = changed(repository, text).judged(Workers(built=True))
    verdicts = {one.quantity.name: one.verdict for one in found.findings}
    assert verdicts == {"latency": PASS, "outputs": REGRESSED}
    alike = {cell: base == head for cell, (base, head) in found.identities.items()}
    assert alike == {"a/fp32/latency": True, "a/fp32/outputs": False}
