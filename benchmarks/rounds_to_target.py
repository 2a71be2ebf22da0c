"""How many rounds does FedAvg need? The study behind lesson 07, next to Table 1 of McMahan et al. 2017 (arXiv 1602.05629).

    python benchmarks/rounds_to_target.py            everything, five seeds: about half an hour
    python benchmarks/rounds_to_target.py --quick    two rows, two seeds: a check that it runs; stores nothing
    python benchmarks/rounds_to_target.py --full     at the paper's own scale, see rounds_at_full_scale.py: about an hour

Table 1 has 100 clients of 600 MNIST images and a target of 97 %. This is the same at the scale of the course: mnist5k, so
100 clients of 40 images, and a target of 88 %. The model is theirs, the 2NN. The train/test split is the same for every
seed; a seed draws the partition, the first weights, the cohorts and the batches.

As there, each row has a learning rate of its own: from 0.2 it is doubled or halved for as long as that lowers the mean
number of rounds, on seeds and a train/test split that are not used for the result.

`rows` are rounds to each target from 80 to 88 %, null where the row's limit came first. `long` are test accuracies along 40
passes over the data, FedAvg beside one machine with all of it. `budget` is the comparison at five passes: accuracy and bias,
with the learning rate of a grid that was the most accurate, again on the seeds and the split kept for that.

All go to course_lib/classroom/studies/rounds_to_target.json. The last line is JSON: mean rounds to 88 % of every row.
"""

import argparse
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from course_lib import data, learning, models, plans, rounds
from course_lib.classroom.progress import track
from course_lib.data import Dataset
from course_lib.plans import Plan
from course_lib.run import Run

STORED = Path(rounds.__file__).parent / "classroom/studies/rounds_to_target.json"
TARGETS = tuple(percent / 100 for percent in range(80, 89))
SEEDS, TUNING_SEEDS = (0, 1, 2, 3, 4), (100, 101)
FIRST_RATE, LOWEST_RATE, HIGHEST_RATE = 0.2, 0.025, 1.6
BUDGET_RATES = (0.05, 0.1, 0.2, 0.4, 0.8)
CLIENTS = 100
Split = tuple[Dataset, Dataset]


@dataclass(frozen=True)
class Row:
    """One row of the study: FedAvg, or FedSGD where `epochs` is None; at most `limit` rounds."""

    partition: str
    participation: float
    epochs: int | None
    limit: int

    def plan(self, learning_rate: float, limit: int | None = None) -> Plan:
        """Return the plan that the row stands for."""
        length = limit or self.limit
        if self.epochs is None:
            return plans.fedsgd(length, self.participation, learning_rate)
        return plans.fedavg(length, self.participation, self.epochs, batch_size=10, learning_rate=learning_rate)


# C = 0 is the paper's name for one client a round.
ROWS = [
    *(Row("iid", share, 1, 600) for share in (0.0, 0.1, 0.2, 0.5, 1.0)),
    *(Row("shards", share, 1, 1500 if not share else 300) for share in (0.0, 0.1, 0.2, 0.5, 1.0)),
    *(Row(partition, 0.1, epochs, 200) for partition in ("iid", "shards") for epochs in (5, 20)),
    *(Row(partition, 0.1, None, 400) for partition in ("iid", "shards")),
]
QUICK = [ROWS[1], ROWS[-2]]


def partition(name: str, train: Dataset, seed: int) -> list[np.ndarray]:
    """Deal the images to the clients: identically distributed, or two shards of the sorted images each."""
    if name == "iid":
        return data.partitions.iid(train.y, CLIENTS, seed=seed)
    return data.partitions.shards(train.y, CLIENTS, shards_per_client=2, seed=seed)


def reached(row: Row, plan: Plan, split: Split, seed: int) -> list[int | None]:
    """Return the rounds to each of TARGETS, None where the plan ended first or diverged."""
    train, test = split
    try:
        run = rounds.fit(
            models.mlp(), train, partition(row.partition, train, seed), plan, test=test, seed=seed, stop_at=TARGETS[-1]
        )
    except rounds.DivergedError:
        return [None] * len(TARGETS)
    return [run.rounds_to(target) for target in TARGETS]


def tuned(row: Row, split: Split, seeds: Iterable[int]) -> float:
    """Return the learning rate with the fewest rounds to the highest target, by doubling or halving from FIRST_RATE."""

    def cost(rate: float, limit: int) -> float:
        counts = [reached(row, row.plan(rate, limit), split, seed)[-1] for seed in seeds]
        return float(np.mean([2 * limit if count is None else count for count in counts]))

    best, fewest = FIRST_RATE, cost(FIRST_RATE, row.limit)
    for factor in (2.0, 0.5):
        moved = False
        while LOWEST_RATE <= best * factor <= HIGHEST_RATE:
            found = cost(best * factor, min(row.limit, int(1.5 * fewest) + 1))
            if found >= fewest:
                break
            best, fewest, moved = best * factor, found, True
        if moved:
            break
    return best


def measure(row: Row, split: Split, tuning: Split, seeds: Sequence[int]) -> dict[str, Any]:
    """Return the row's settings, learning rate and rounds: for each target a list, one number a seed."""
    rate = tuned(row, tuning, TUNING_SEEDS)
    by_seed = [reached(row, row.plan(rate), split, seed) for seed in seeds]
    by_target = {
        f"{target:.2f}": list(counts) for target, counts in zip(TARGETS, zip(*by_seed, strict=True), strict=True)
    }
    print(asdict(row), "learning rate", rate, "rounds", by_target[f"{TARGETS[-1]:.2f}"], flush=True)
    return {**asdict(row), "learning_rate": rate, "seeds": list(seeds), "rounds": by_target}


def budget_plan(way: str, rate: float) -> Plan:
    """Return a plan of five passes over all images, where ten of a hundred clients work in a round."""
    if way == "one machine":
        return plans.centralised(5, 10, rate)
    if way == "every step":
        return plans.fedavg(200, 0.1, 1, 10, rate).but(local_epochs=None, local_steps=1)
    epochs = int(way.removeprefix("E = "))
    return plans.fedavg(50 // epochs, 0.1, epochs, 10, rate)


def budget(split: Split, tuning: Split, seeds: Sequence[int]) -> list[dict[str, Any]]:
    """Return the accuracy and the bias of each way at five passes, one number a seed, and the rates that were tried."""

    def fit(way: str, deal: str, rate: float, seed: int, part: Split) -> Run | None:
        (train, test), plan = part, budget_plan(way, rate)
        clients = partition(deal, train, seed)
        try:
            return rounds.fit(models.mlp(), train, clients, plan, test=test, seed=seed, evaluate_every=plan.rounds)
        except rounds.DivergedError:
            return None

    def tried(way: str, deal: str, rate: float) -> float:
        runs = [fit(way, deal, rate, seed, tuning) for seed in TUNING_SEEDS]
        return float(np.mean([run.accuracy if run else 0.0 for run in runs]))

    found: list[dict[str, Any]] = []
    averaging = [(way, deal) for way in ("every step", "E = 1", "E = 5") for deal in ("iid", "shards")]
    for way, deal in track([("one machine", "iid"), *averaging], "Five passes"):
        means = {rate: tried(way, deal, rate) for rate in BUDGET_RATES}
        rate = max(means, key=means.__getitem__)
        runs = [run for seed in seeds if (run := fit(way, deal, rate, seed, split))]
        found.append(
            {
                "way": way,
                "partition": deal,
                "learning_rate": rate,
                "tried": {f"{rate:g}": round(mean, 4) for rate, mean in means.items()},
                "seeds": list(seeds),
                "accuracy": [round(run.accuracy, 4) for run in runs],
                "bias": [round(bias(run, split[1]), 4) for run in runs],
            }
        )
        print(found[-1], flush=True)
    return found


def bias(run: Run, test: Dataset) -> float:
    """Return the share of answers that would have to change for each digit to be said as often as it is there."""
    said = torch.bincount(learning.evaluation.scores(run.model, test.x).argmax(1), minlength=10)
    return float((said - torch.bincount(test.y, minlength=10)).abs().sum()) / 2 / len(test)


def long_runs(rates: dict[str, float], split: Split, seeds: Sequence[int], passes: int) -> list[dict[str, object]]:
    """Return test accuracies after every fifth pass: FedAvg with C = 0.1 and E = 1, and one machine with all the data."""
    train, test = split
    ways: dict[str, tuple[Plan, str, int]] = {
        # Ten clients of a hundred see a tenth of the images in a round: ten rounds are a pass.
        **{name: (plans.fedavg(10 * passes, 0.1, 1, 10, rate), name, 50) for name, rate in rates.items()},
        "one machine": (plans.centralised(passes, 10, 0.1), "iid", 5),
    }
    found: list[dict[str, object]] = []
    for name, (plan, deal, every) in ways.items():
        accuracy = [
            rounds.fit(models.mlp(), train, partition(deal, train, seed), plan, test=test, seed=seed, evaluate_every=every)
            .history["accuracy"].round(4).tolist()
            for seed in track(seeds, name)
        ]  # fmt: skip
        after = list(range(5, passes + 1, 5))
        found.append({"way": name, "learning_rate": plan.learning_rate, "passes": after, "accuracy": accuracy})
        print(name, [values[-1] for values in accuracy], flush=True)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="two rows, two seeds; nothing is stored")
    parser.add_argument("--full", action="store_true", help="all of MNIST, to 97%%: goes on where it was interrupted")
    asked = parser.parse_args()
    if asked.full:
        import rounds_at_full_scale

        print(json.dumps(rounds_at_full_scale.main()))
        return
    quick = asked.quick
    split, tuning = data.load("mnist5k", seed=0), data.load("mnist5k", seed=TUNING_SEEDS[0])
    seeds = SEEDS[:2] if quick else SEEDS
    rows = [measure(row, split, tuning, seeds) for row in track(QUICK if quick else ROWS, "Rows")]
    if not quick:
        basic = [row for row in rows if (row["participation"], row["epochs"]) == (0.1, 1)]
        rates = {row["partition"]: row["learning_rate"] for row in basic}
        study = {
            "command": "python benchmarks/rounds_to_target.py",
            "versions": {"torch": torch.__version__, "numpy": np.__version__},
            "data": "mnist5k, 4000 training and 1000 test images, split seed 0, 100 clients of 40 images",
            "model": "2NN: models.mlp(), 199,210 weights",
            "tuning_seeds": list(TUNING_SEEDS),
            "rows": rows,
            "long": long_runs(rates, split, SEEDS, passes=40),
            "budget": budget(split, tuning, SEEDS),
        }
        STORED.parent.mkdir(exist_ok=True)
        STORED.write_text(json.dumps(study, indent=1) + "\n")
    last = f"{TARGETS[-1]:.2f}"
    line = {}
    for row in rows:
        counts, epochs = row["rounds"][last], row["epochs"]
        name = f"{row['partition']} C={row['participation']} " + (f"E={epochs}" if epochs else "FedSGD")
        line[name] = None if None in counts else round(float(np.mean(counts)), 1)
    print(json.dumps(line))


if __name__ == "__main__":
    main()
