"""One task three ways, each at its own best learning rate: the study behind lesson 00.

    python benchmarks/three_ways.py            everything, twenty seeds: about five minutes on one core
    python benchmarks/three_ways.py --quick    two rates, two seeds: a check that it runs; stores nothing

mnist5k with four owners, a network with 64 hidden units, every image seen ten times. One machine and distributed learning pool the
images, so it does not matter to them who held what; federated learning is run on owners who differ (alpha = 0.5) and on owners who
hold the same mixture (alpha = 100).

Rates are chosen by `study.tune`: the worst of three tuning seeds, on a fifth of each owner's images, which is then not trained on.
Batch sizes, rounds and passes are the lesson's and were not tuned. The test images are used once, on other seeds. A seed draws the
first weights and the order of the images; owners and test images stay the same.

All goes to course_lib/classroom/studies/three_ways.json. The last line is JSON: for each contender its rate, mean and half the 95%
interval of its accuracy in percent, and by how many points it is ahead of one machine, paired by seed.
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import best_rate
import torch
from best_rate import TUNING_SEEDS

from course_lib import data, models, plans, rounds
from course_lib.data import Dataset
from course_lib.plans import Plan
from course_lib.rounds.pooling import concatenated
from course_lib.rounds.preparation import Partition

STORED = Path(rounds.__file__).parents[1] / "classroom/studies/three_ways.json"
OWNERS, DIFFERENT, SAME = 4, 0.5, 100.0
SEEDS = tuple(range(20))
GRID = (0.1, 0.2, 0.4, 0.8, 1.6)
WAYS = {
    "one machine": plans.centralised(epochs=10, batch_size=160),
    "distributed": plans.synchronous_sgd(steps=250, batch_size=40),
    "federated": plans.fedavg(rounds=10, participation=1.0, epochs=1, batch_size=10),
}
# Contender: the way, and the alpha of its owners.
CONTENDERS = {
    "one machine": ("one machine", DIFFERENT),
    "distributed": ("distributed", DIFFERENT),
    "federated": ("federated", DIFFERENT),
    "federated, same mixture": ("federated", SAME),
}


def accuracy(plan: Plan, rate: float, seed: int, train: Dataset, owners: Partition, test: Dataset) -> float:
    """Return the test accuracy at the end of a run, or NaN for a run that broke."""
    return best_rate.accuracy(
        lambda: rounds.fit(
            models.mlp(hidden=(64,)), train, owners, plan.but(learning_rate=rate), test=test, seed=seed,
            evaluate_every=plan.rounds,
        )
    )  # fmt: skip


def held_out(train: Dataset, owners: Partition) -> tuple[Dataset, Partition, Dataset]:
    """Return training images, their owners, and a fifth of each owner's images, which are kept for validation."""
    parts = [data.hold_out(train.subset(list(indices))) for indices in owners]
    kept = concatenated(dict(enumerate(rest for rest, _ in parts)))
    owned, start = [], 0
    for rest, _ in parts:
        owned.append(range(start, start + len(rest)))
        start += len(rest)
    return kept, owned, concatenated(dict(enumerate(validation for _, validation in parts)))


def contender(name: str, grid: Sequence[float], seeds: Sequence[int], widen: int) -> dict[str, Any]:
    """Return how the rate of one contender was chosen, and its accuracies with it."""
    way, alpha = CONTENDERS[name]
    train, test = data.load("mnist5k")
    owners = data.partitions.dirichlet(train.y, clients=OWNERS, alpha=alpha, seed=0)
    rest, owned, validation = held_out(train, owners)

    return {"contender": name, "way": way, "alpha": alpha} | best_rate.tuned_and_run(
        name,
        lambda rate, seed: accuracy(WAYS[way], rate, seed, rest, owned, validation),
        lambda rate, seed: accuracy(WAYS[way], rate, seed, train, owners, test),
        grid, seeds, widen,
    )  # fmt: skip


def measured(grid: Sequence[float], seeds: Sequence[int], widen: int = 2) -> dict[str, Any]:
    """Return the whole study: each contender, and the conditions."""
    return {
        "command": f"python benchmarks/{Path(__file__).name}",
        "versions": {"torch": torch.__version__},
        "data": "mnist5k, 4000 training and 1000 test images, split seed 0; four owners by dirichlet, seed 0",
        "model": "models.mlp(hidden=(64,)), 50,890 weights",
        "plans": {name: {"rounds": plan.rounds, "batch_size": plan.batch_size} for name, plan in WAYS.items()},
        "grid": list(grid), "seeds": list(seeds), "tuning_seeds": list(TUNING_SEEDS), "rows": [contender(name, grid, seeds, widen) for name in CONTENDERS],
    }  # fmt: skip


def line(found: dict[str, Any]) -> dict[str, Any]:
    """Return the last line: by contender its rate, its accuracy in percent, and its lead over one machine in points."""
    rows = found["rows"]
    return best_rate.line(rows, "contender", rows[0], "ahead of one machine (points)")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="two rates, two seeds; nothing is stored")
    quick = parser.parse_args().quick
    found = measured((0.2, 0.4), SEEDS[:2], widen=0) if quick else measured(GRID, SEEDS)
    if not quick:
        STORED.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(line(found)))


if __name__ == "__main__":
    main()
