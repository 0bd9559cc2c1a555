"""A made-up run: 3 variants, 2 modes, 3 rounds, seeded noise, and one of everything that can go wrong."""

from random import Random
from typing import Any, Literal

import msgspec

from bench.record import Job, Quantity, Record, Value, fingerprints

PARAMS = Quantity(name="params", unit="1", better="lower", title="parameters", exact=True)
MACS = Quantity(name="macs", unit="MAC", better="lower", title="MACs: multiply-adds, one image", exact=True)
FLOPS = Quantity(name="flops", unit="FLOP", better="lower", title="FLOPs: two for a multiply-add", exact=True)
LATENCY = Quantity(name="latency", unit="s", better="lower", title="latency")
THROUGHPUT = Quantity(name="throughput", unit="image/s", better="higher", title="throughput")
EVAL = Quantity(name="eval_time", unit="s", better="lower", title="evaluation time, over the validation set")
INFER_MEMORY = Quantity(name="peak_memory", unit="byte", better="lower", title="peak memory")
ERROR = Quantity(name="error", unit="1", better="lower", title="error against fp32")
STEP = Quantity(name="train_step", unit="s", better="lower", title="training step")
EPOCH = Quantity(name="train_epoch", unit="s", better="lower", title="training epoch")

MACHINE = {"id": "3f2a91c0", "cpu": "Example CPU, 16 cores", "threads": 16, "torch": "2.13.0"}

SUITE: dict[str, Any] = {
    "name": "made_up",
    "title": "Made-up networks: what a report looks like",
    "source": "Made-up networks, a study of 2020",
    "profile": "quick",
    "baseline": "original",
    "factors": ["train.batch"],
    "measures": ["params", "flops", "infer", "train_time", "eval_time", "memory"],
    "modes": {
        "fp32": {"plugins": {}},
        "fast": {"plugins": {"channels_last": True, "amp": "bfloat16"}},
    },
    "train": {"mode": "fast", "batch": 20},
    "variants": [
        {
            "name": "original",
            "published": [
                {"table": "Table 2 A", "epochs": 220, "batch": 6, "train_epoch": "18 min", "pckh.mean14": 86.7},
                {"table": "Table 1", "epochs": 50, "batch": 20, "train_epoch": "18 min", "eval_time": "1.2 min"},
                {"table": "Table 2 B", "epochs": 220, "batch": 20, "train_epoch": "14.8 min", "eval_time": "1.1 min"},
            ],
        },
        {
            "name": "slim",
            "train": {"batch": 6},
            "published": [
                {"table": "Table 1", "epochs": 50, "batch": 20, "train_epoch": "14.3 min", "params": "6.7 M"}
            ],
        },
        {
            "name": "deep",
            "published": [{"table": "Table 1", "epochs": 50, "batch": 20, "train_epoch": "14.6 min"}],
        },
    ],
}

SIZE = {"original": 1.0, "slim": 0.52, "deep": 1.4}
"""Cost of a variant, relative to the baseline."""

COUNTS = {
    "original": (25_594_624, 28_094_496_768),
    "slim": (6_730_912, 7_634_944_000),
    "deep": (42_476_544, 44_402_999_296),
}
"""Parameters and multiply-adds."""


def job(variant: str, phase: str, *, mode: str = "", number: int = 0, **tables: Any) -> Job:
    """A job of the made-up suite; `tables` overrides keys of its data, infer and train."""
    batch = 6 if variant == "slim" else 20
    return Job(
        suite="made_up",
        variant=variant,
        phase=phase,
        mode=mode,
        round=number,
        arch="made_up",
        options={"cost": SIZE.get(variant, 1.0)},
        data={"use": "synthetic", "size": 256, "train": 22246, "val": 2958} | tables.get("data", {}),
        infer={"batch": 1} | tables.get("infer", {}),
        train={"batch": batch, "recipe": {"name": "rmsprop_hourglass"}} | tables.get("train", {}),
        threads=16,
        seed=1,
    )


def record(of: Job, values: list[Value] | None = None, status: str = "ok", reason: str = "", **other: Any) -> Record:
    """What came back from a job."""
    return Record(
        job=of,
        id=of.id,
        status=status,
        reason=reason,
        values=values or [],
        fingerprints=fingerprints(of),
        machine=other.pop("machine", MACHINE),
        started=other.pop("started", "2026-01-05T10:00:00Z"),
        **other,
    )


def records() -> list[Record]:
    """The whole run: slim is wrong in the fast mode, deep is too large to train and fails once in the fast mode."""
    noise = Random(7)
    found = [_static(variant) for variant in SIZE]
    for number in range(3):
        for variant in SIZE:
            found += [_infer(variant, mode, number, noise) for mode in ("fp32", "fast")]
            found.append(_train(variant, number, noise))
    return found


def _static(variant: str) -> Record:
    params, macs = COUNTS[variant]
    values = [
        Value(quantity=PARAMS, value=params),
        Value(quantity=MACS, value=macs),
        Value(quantity=FLOPS, value=2 * macs, flags=["uncounted"] if variant == "deep" else []),
    ]
    return record(job(variant, "static"), values)


def _infer(variant: str, mode: str, number: int, noise: Random) -> Record:
    of = job(variant, "infer", mode=mode, number=number)
    fast = mode == "fast"
    drift = (1.0, 1.012, 0.995)[number]
    time = 0.448 * SIZE[variant] * drift * (0.47 if fast else 1.0) * noise.gauss(1, 0.004)
    if (variant, mode, number) == ("deep", "fast", 1):
        return record(of, status="oom", reason="CUDA out of memory: 2.1 GiB more than there was")
    flags = ["mismatch"] if fast and variant == "slim" else []
    samples = [time * noise.gauss(1, 0.01) for _ in range(30)]
    values = [
        Value(quantity=LATENCY, value=time, samples=samples, flags=["noisy"] if variant == "deep" else []),
        Value(quantity=THROUGHPUT, value=1.1 / time),
        Value(quantity=EVAL, value=2958 * time, flags=["estimated"], how="from 1000 of 2958 images"),
        Value(quantity=INFER_MEMORY, value=int(1.5e9 * SIZE[variant] * (0.6 if fast else 1.0)) + number * 4096),
    ]
    if variant == "slim" and not fast:
        values[2] = Value(quantity=EVAL, reason="no validation images: data.val is 0")
    if fast:
        values.append(Value(quantity=ERROR, value=(0.31 if flags else 0.0042) * SIZE[variant], flags=flags))
    return record(of, values)


def _train(variant: str, number: int, noise: Random) -> Record:
    of = job(variant, "train", mode="fast", number=number)
    if variant == "deep":
        return record(of, status="oom", reason="CUDA out of memory at batch 20; a smaller train.batch may fit")
    batch = of.train["batch"]
    step = 0.09 * batch * SIZE[variant] * noise.gauss(1, 0.006)
    epoch = step * 22246 / batch
    return record(
        of,
        [
            Value(quantity=STEP, value=step),
            Value(quantity=EPOCH, value=epoch, flags=["estimated"], how=f"from 100 of {22246 // batch} steps"),
            Value(quantity=INFER_MEMORY, value=int(0.4e9 * batch * SIZE[variant])),
        ],
    )


def percent(name: str, title: str, *, better: Literal["higher", "none"] = "higher", headline: bool = True) -> Quantity:
    """A quantity of accuracy."""
    return Quantity(name=name, unit="%", better=better, title=title, headline=headline)


SCORES = {
    "total": percent("pckh.total", "PCKh@0.5 total"),
    "mean14": percent("pckh.mean14", "PCKh@0.5 mean of 14 joints' rates"),
    "head": percent("pckh.head", "PCKh@0.5 head top"),
    "ankle": percent("pckh.ankle", "PCKh@0.5 ankles"),
}
MEAN_POSE = percent("pckh.mean_pose", "PCKh@0.5 total of the mean pose", better="none")
CHANGE = percent("pckh_change.fast", "pckh.total, fast against fp32")
LOSS = Quantity(name="loss.test", unit="1", better="lower", title="validation loss", headline=False)
RECIPE = {"name": "adam_short", "optimizer": "adam", "lr": 1e-3}


def trained(
    variant: str, total: float, *, seed: int = 0, change: float = -0.1, flags: tuple[str, ...] = (), **other: Any
) -> Record:
    """What a training of a variant found: `total` percent, `change` points of it lost in the fast mode."""
    changed = ["mismatch"] if "mismatch" in flags else []
    learnt = [flag for flag in flags if flag != "mismatch"]
    how = "bootstrap over 1000 images"
    values = [
        Value(quantity=quantity, value=total + k, low=total + k - 1, high=total + k + 1, flags=learnt, how=how)
        for k, quantity in enumerate(SCORES.values())
    ]
    values += [
        Value(quantity=MEAN_POSE, value=11.0, low=10.5, high=11.5, how=how),
        Value(quantity=LOSS, value=0.01, how="the last point of the curve"),
        Value(
            quantity=CHANGE,
            value=change,
            low=change - 0.2,
            high=change + 0.2,
            flags=changed,
            how="paired bootstrap over images",
        ),
    ]
    return record(training(variant, seed, **other.pop("tables", {})), values, **other)


def training(variant: str, seed: int = 0, **tables: Any) -> Job:
    """A job of the accuracy phase; `tables` overrides keys of its data and train."""
    data = {"use": "synthetic", "size": 64, "train": 4000, "val": 1000, "options": {}} | tables.get("data", {})
    train = {"batch": 16, "samples": 20000, "recipe": RECIPE, "mode": "fast"} | tables.get("train", {})
    of = job(variant, "accuracy", mode="fast", number=seed)
    return msgspec.structs.replace(of, seed=seed, data=data, train=train, infer={}, measures=["accuracy"])
