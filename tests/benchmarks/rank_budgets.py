"""Whether two budgets rank networks alike: Kendall's tau of the accuracies in two runs, as a Markdown table.

    python tests/benchmarks/rank_budgets.py SHORT.jsonl LONG.jsonl [LONG.jsonl ...] [--quantity pckh.total]

tau is of the means over seeds; below it stand the taus of every pair of a short and a long training's seed, since with
few networks a single exchange moves it far.
"""

import argparse
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from statistics import fmean

from scipy.stats import kendalltau

from bench import store
from bench.stats import arithmetic_interval


def scores(paths: Sequence[Path], quantity: str) -> dict[str, dict[int, float]]:
    """Variant -> seed -> accuracy, of the runs of one budget together."""
    found: dict[str, dict[int, float]] = {}
    for record in (record for path in paths for record in store.read(path).records):
        for value in record.values:
            if record.status == "ok" and value.quantity.name == quantity and value.value is not None:
                found.setdefault(record.job.variant, {})[record.job.seed] = float(value.value)
    return found


def tau(one: list[float], other: list[float]) -> float:
    """Kendall's tau-b of two lists of the same networks."""
    return float(kendalltau(one, other).statistic)


def main() -> None:
    """Print the table and the taus."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("short", type=Path)
    parser.add_argument("long", type=Path, nargs="+")
    parser.add_argument("--quantity", default="pckh.total")
    asked = parser.parse_args()
    short, long = (scores(paths, asked.quantity) for paths in ([asked.short], asked.long))
    names = [name for name in short if name in long]
    print(f"| variant | {asked.quantity}, short | {asked.quantity}, long |\n|:--|--:|--:|")
    for name in names:
        cells = []
        for run in (short, long):
            interval = arithmetic_interval(list(run[name].values()))
            half = "" if interval.half_width is None else f" ± {interval.half_width:.1f}"
            cells.append(f"{interval.value:.1f}{half}")
        print(f"| {name} | {' | '.join(cells)} |")
    means = [[fmean(run[name].values()) for name in names] for run in (short, long)]
    seeds = [sorted(set.intersection(*(set(run[name]) for name in names))) for run in (short, long)]
    pairs = [tau([short[name][a] for name in names], [long[name][b] for name in names]) for a, b in product(*seeds)]
    print(f"\ntau of the means: {tau(*means):.2f}")
    print(f"tau of single trainings: {fmean(pairs):.2f} on average, {min(pairs):.2f} to {max(pairs):.2f}")


if __name__ == "__main__":
    main()
