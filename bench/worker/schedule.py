"""What changes over a training: the learning rate, as a factor of the recipe's rate, and whether norms are frozen."""

from typing import Any


def factor(recipe: dict[str, Any], step: int, steps: int, per_epoch: float) -> float:
    """The factor for a step, counted from 0, of a training of `steps` steps.

    The rate rises linearly over the recipe's `warmup` steps. Then it falls as the schedule says: times gamma at each
    milestone (epochs of `per_epoch` steps) and at each of the `shares` of the training; or linearly from the share
    `start` of the training to the share `end` of the rate at its last step; or, "poly", as (1 - step / steps)^power.

    >>> linear = {"warmup": 2, "schedule": {"kind": "linear", "start": 0.5, "end": 0.1}}
    >>> [round(factor(linear, step, 9, 100), 3) for step in range(9)]
    [0.5, 1.0, 1.0, 1.0, 1.0, 0.775, 0.55, 0.325, 0.1]
    """
    warmup = int(recipe.get("warmup", 0))
    rise = min(1.0, (step + 1) / warmup) if warmup else 1.0
    schedule = recipe.get("schedule") or {}
    match schedule.get("kind", "steps"):
        case "steps":
            passed = sum(step >= milestone * per_epoch for milestone in schedule.get("milestones", ()))
            passed += sum(step >= share * steps for share in schedule.get("shares", ()))
            return rise * float(float(schedule.get("gamma", 0.1)) ** passed)
        case "poly":
            return rise * float((1 - step / steps) ** float(schedule.get("power", 0.9)))
    start, end = float(schedule.get("start", 0.0)), float(schedule.get("end", 0.0))
    share = step / max(1, steps - 1)
    fallen = max(0.0, (share - start) / max(1e-9, 1 - start))
    return rise * (1 - (1 - end) * min(1.0, fallen))


def frozen(recipe: dict[str, Any], steps: int) -> int:
    """The first steps of a training of `steps` in which batch norms are frozen; a share of them is rounded.

    >>> frozen({"freeze_norm": 0.5}, 101), frozen({"freeze_norm_steps": 20}, 101), frozen({}, 101)
    (50, 20, 0)
    """
    return int(recipe.get("freeze_norm_steps") or round(recipe.get("freeze_norm", 0.0) * steps))
