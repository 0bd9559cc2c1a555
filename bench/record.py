"""What crosses the process boundary: a Job out, a Record back, each one JSON line.

All types are frozen plain data. A record describes itself: names, units, directions and titles travel with the
values, so that tables and gates never import a plugin, and old results still render.
"""

import hashlib
from typing import Any, Literal

import msgspec

FORMAT = 1
"""Version of the record's layout; a run with a larger one is refused."""

PROTOCOL = 1
"""Version of how figures are measured; it is part of every fingerprint."""

PHASES = ("static", "infer", "train", "accuracy")
STATUSES = ("ok", "skipped", "oom", "failed", "timeout", "crashed")
FLAGS: dict[str, str] = {
    "noisy": "the interval of the median is wider than the protocol asks for",
    "drift": "successive samples are correlated; the interval is widened for it",
    "contended": "other processes used the CPU while this was timed",
    "warmup_unconverged": "the warm-up ended at its limit, before two windows agreed",
    "throttled": "the device slowed itself down for heat or power brake while this was timed",
    "power_capped": "the device ran at its power limit (normal on loaded boards)",
    "estimated": "derived from a part, not measured in full",
    "partial": "the mode covers only a part of the network",
    "mismatch": "the mode changes the answer beyond its tolerance: not ranked",
    "not_learnt": "the network does not clearly beat a predictor that gives every image the same answer",
    "unconverged": "the score still rose at the end of the training: a longer one would raise it further",
    "worsened": "the score was more than a point higher earlier in the training: the last weights are not its best",
    "launch_bound": "the device waits for the host; a CUDA graph or a larger batch would help",
    "uncovered": "the host could not queue the whole call ahead, so that gaps of the device may be counted",
    "host_sync": "the network synchronises with the host, so that the device's time cannot be told apart",
    "uncounted": "operators without a FLOP formula were run; the details list them",
    "counter_gap": "the two FLOP counters disagree",
}
"""Every flag a value can carry, with the sentence that explains it under a table."""

SCORING = 1
"""Version of how a training is scored; it is part of accuracy's fingerprint."""

MEMORY = 2
"""Version of how inference's memory is measured: since 2 without what the data set holds on the CPU."""

Json = dict[str, Any]


class Quantity(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a number is.

    Attributes:
        name: as users type it, such as `latency`; never contains a unit.
        unit: base unit: `s`, `byte`, `image/s`, `FLOP`, `MAC`, `%`, `dB`, or `1` for counts and ratios.
        better: which direction is an improvement; `none` where neither is.
        title: what a column is headed, and which convention was used.
        exact: the same on every machine and in every round (parameters, FLOPs).
        headline: shown in tables; the rest stays in the record, for `bench show`.
    """

    name: str
    unit: str
    better: Literal["lower", "higher", "none"]
    title: str
    exact: bool = False
    headline: bool = True


class Value(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One measured number, or the reason why there is none.

    Attributes:
        value: in the quantity's base unit; None where it could not be measured.
        low, high: 95 % interval of the value within this process, where samples allow one.
        samples: every raw sample, in the quantity's unit, in the order taken; none is ever dropped.
        flags: names from FLAGS.
        how: one phrase: how it was obtained, such as "estimated from 8 of 22246 images".
        reason: why `value` is None, shown in the cell.
        details: anything worth keeping beside it (percentiles, counters, operators), plain JSON.
    """

    quantity: Quantity
    value: float | int | None = None
    low: float | None = None
    high: float | None = None
    samples: list[float] = []
    flags: list[str] = []
    how: str = ""
    reason: str = ""
    details: Json = {}


class Protocol(msgspec.Struct, frozen=True, kw_only=True):
    """How long and how often to measure; seconds unless said otherwise. All of it is in the fingerprint.

    Attributes:
        min_samples, min_seconds: timed calls and time before the stopping rule is asked.
        max_seconds: the limit after which a pass stops with the flag `noisy`.
        half_width: relative half-width of the median's 95 % interval at which a pass stops.
        warmup_calls, warmup_seconds: the least warm-up.
        warmup_limit: the most warm-up.
        warmup_agreement: two warm-up windows whose medians differ by less than this have converged.
        warmup_window: length of such a window.
        windows, window_seconds: back-to-back windows for throughput.
        train_warmup_steps, train_steps, train_seconds: steps before timing, and the least number and time of timed
            steps; a whole epoch that is shorter is measured rather than estimated.
        eval_images: images after which the evaluation pass is extrapolated to the validation set.
        memory_calls: calls (or steps) in the memory pass.
        fvcore_seconds: time in which fvcore must have traced the network; 0 leaves fvcore out.
    """

    min_samples: int = 30
    min_seconds: float = 1.0
    max_seconds: float = 15.0
    half_width: float = 0.005
    warmup_calls: int = 3
    warmup_seconds: float = 1.0
    warmup_limit: float = 15.0
    warmup_agreement: float = 0.005
    warmup_window: float = 0.25
    windows: int = 5
    window_seconds: float = 1.0
    train_warmup_steps: int = 3
    train_steps: int = 100
    train_seconds: float = 30.0
    eval_images: int = 1000
    memory_calls: int = 3
    fvcore_seconds: float = 60.0


class Job(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One worker's task: everything it needs, as plain data. Its identity is the hash of what is in it.

    Attributes:
        arch: a name in `archs/` or `package.module:function`; arch_file is that name's file.
        options: the builder's options.
        weights: a state dict (.pt) to load, or a pickled module where `arch` is empty; weights_hash: its sha256,
            which is what counts for the identity; weights_without: beginnings of the names that are not loaded.
        mode: the mode's name in the suite; modes: plugin name -> option.
        round: rounds count from 0.
        data, infer, train: the suite's tables of these names, merged for this variant; `train.recipe` is the
            whole recipe.
        measures: names of the measures to run in this phase.
        metrics: names of the metrics that score the task (accuracy phase).
        checks: mode -> its plugins: modes whose answers are compared on the trained weights (accuracy phase); not part
            of the identity, since they do not change what is trained.
        device: `cpu`, `cuda` or `cuda:1`.
        threads: CPU threads of the worker.
        seed: of weights and inputs.
        paths: folders that the worker puts in front of sys.path.
        timeout: seconds after which the worker is killed.
        artefacts: folder for large files, not part of the identity.
    """

    suite: str
    variant: str
    phase: str
    mode: str = ""
    round: int = 0
    arch: str = ""
    arch_file: str = ""
    options: Json = {}
    weights: str = ""
    weights_hash: str = ""
    weights_without: list[str] = []
    modes: Json = {}
    data: Json = {}
    infer: Json = {}
    train: Json = {}
    measures: list[str] = []
    metrics: list[str] = []
    checks: Json = {}
    protocol: Protocol = Protocol()
    device: str = "cpu"
    threads: int = 1
    seed: int = 0
    paths: list[str] = []
    timeout: float = 600.0
    artefacts: str = ""

    @property
    def id(self) -> str:
        """Hash of the content: the same job has the same id on every run; where files lie does not count."""
        kept = {k: v for k, v in msgspec.to_builtins(self).items() if k not in _NOT_IDENTITY}
        if "path" in self.data.get("options", {}):
            kept["data"] = self.data | {"options": {k: v for k, v in self.data["options"].items() if k != "path"}}
        return digest(kept)

    @property
    def loaded(self) -> list[Any]:
        """What a job loads: the hash of the weights and, where some layers are left out, which."""
        return [self.weights_hash, *([self.weights_without] if self.weights_without else [])]

    @property
    def cell(self) -> str:
        """What people call it: `variant/mode/phase`, without the round."""
        return "/".join(part for part in (self.variant, self.mode, self.phase) if part)


_NOT_IDENTITY = {"arch_file", "weights", "paths", "artefacts", "timeout", "checks"}


class Record(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="record", tag_field="type"):
    """What came back from one job, whatever happened.

    Attributes:
        status: one of STATUSES; anything but `ok` comes with a reason.
        reason: one line, shown to the user.
        values: what the measures yielded.
        machine: identity of the machine (see host.machine), with `id` its short hash.
        environment: observed facts that are not identity: flags in effect, load, library versions.
        started: UTC, ISO 8601; seconds: wall time of the whole job.
        log: the worker's log, beside the run, relative to it.
        artefacts: file name -> sha256.
        origin: the run that this record was taken over from, without its raw samples; empty where it was measured.
    """

    job: Job
    status: str
    id: str = ""
    format: int = FORMAT
    reason: str = ""
    values: list[Value] = []
    fingerprints: dict[str, Json] = {}
    machine: Json = {}
    environment: Json = {}
    started: str = ""
    seconds: float = 0.0
    attempt: int = 1
    log: str = ""
    artefacts: dict[str, str] = {}
    origin: str = ""


class Header(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="run", tag_field="type"):
    """First line of a run's file: what was asked, where and of which code, known before anything was timed.

    Attributes:
        suite: the suite as it was after the profile, variants expanded, as plain data.
        source: machine-independent provenance: git commit, hash of uncommitted changes, bench's version.
    """

    run: str
    suite: Json
    profile: str = ""
    seed: int = 0
    format: int = FORMAT
    machine: Json = {}
    source: Json = {}
    started: str = ""
    command: list[str] = []


def digest(data: Any) -> str:
    """Short hash of plain data, blind to the order of keys.

    >>> digest({"a": 1, "b": 2}) == digest({"b": 2, "a": 1})
    True
    """
    return hashlib.sha256(msgspec.json.encode(data, order="sorted")).hexdigest()[:16]


_encoder = msgspec.json.Encoder()
_job_decoder = msgspec.json.Decoder(Job)
_record_decoder = msgspec.json.Decoder(Record)
_line_decoder: msgspec.json.Decoder[Record | Header] = msgspec.json.Decoder(Record | Header)


def encode(data: Job | Record | Header) -> bytes:
    """One JSON line, without its newline."""
    return _encoder.encode(data)


def decode_job(line: bytes) -> Job:
    """The job in a line; msgspec.DecodeError where there is none."""
    return _job_decoder.decode(line)


def decode_record(line: bytes) -> Record:
    """The record in a line; msgspec.DecodeError where there is none."""
    return _record_decoder.decode(line)


def decode_line(line: bytes) -> Record | Header:
    """A line of a run's file; msgspec.DecodeError where it is neither record nor header."""
    return _line_decoder.decode(line)


def checked_mode(name: str) -> str:
    """The inference mode that a quantity of trained weights is about; empty where it is about the training's own.

    >>> checked_mode("pckh_change.fast"), checked_mode("keypoint_shift.fast"), checked_mode("pckh.total")
    ('fast', 'fast', '')
    """
    kind, _, mode = name.partition(".")
    return mode if kind.endswith("_change") or kind == "keypoint_shift" else ""


TRAINED = ("epochs", "samples", "flip_test", "validations", "validate_every", "split")
"""Keys of [train] that accuracy depends on, besides batch and recipe."""


def fingerprints(job: Job) -> dict[str, Json]:
    """What determines the figures of a job, by family of quantities, as fields that a reader can name.

    The network (arch, options) and the mode are what a study varies and are rows of its tables; everything else
    that moves a number is here. Two figures compare where their families agree but for declared factors.
    """
    protocol = msgspec.to_builtins(job.protocol)
    # Where a data set lies on this machine does not determine a figure.
    chosen = {k: v for k, v in job.data.get("options", {}).items() if k != "path"}
    options = {f"data.{k}": v for k, v in chosen.items()}
    dataset = options | {f"data.{key}": job.data[key] for key in ("use", "version") if key in job.data}
    common = {"protocol.version": PROTOCOL, "data.size": job.data.get("size"), "device": job.device.partition(":")[0]}
    timing = {f"protocol.{k}": v for k, v in protocol.items() if not k.startswith(("train_", "eval_", "fvcore_"))}
    if job.phase == "static":
        return {"static": options | {"data.size": job.data.get("size"), "protocol.version": PROTOCOL}}
    if job.phase == "infer":
        infer = {f"infer.{k}": v for k, v in job.infer.items()}
        evaluation = {"data.val": job.data.get("val"), "protocol.eval_images": job.protocol.eval_images}
        called = common | timing | infer | options | {"threads": job.threads, "mode": job.modes}
        memory = called | {"memory.version": MEMORY}
        return {"infer": called, "eval": called | dataset | evaluation, "memory": memory}
    written = job.train.get("recipe", {})
    recipe = {f"train.recipe.{k}": v for k, v in written.items() if k not in ("name", "title", "source")}
    recipe["train.recipe"] = written.get("name", "")
    recipe |= {"train.batch": job.train.get("batch"), "data.train": job.data.get("train"), "mode": job.modes}
    if job.phase == "accuracy":  # neither the machine nor how fast it is measured
        budget = {f"train.{key}": job.train[key] for key in TRAINED if key in job.train}
        sizes = {"data.size": job.data.get("size"), "data.val": job.data.get("val"), "protocol.version": PROTOCOL}
        return {"accuracy": dataset | sizes | recipe | budget | {"metrics": job.metrics, "scoring.version": SCORING}}
    steps = {f"protocol.{k}": v for k, v in protocol.items() if k.startswith(("train_", "memory_"))}
    return {"train": common | dataset | steps | recipe | {"threads": job.threads}}
