"""What it takes to reach 90%: one machine, synchronous DML on 2 and 4 workers, federated averaging; the study behind lesson 06's bill.

    python benchmarks/bill.py           everything, on a quiet machine: about three minutes
    python benchmarks/bill.py --quick   one rate, one seed: a check that it runs; stores nothing

4,000 images of mnist5k, of which 800 are held out: they choose rates and say when 90% is reached; the test set only reports. The network
has 64 hidden units (50,890 weights). One machine takes batches of 32; 2 and 4 workers share the same 32 images a step, at the same rate,
so their runs differ in time and bytes alone. In federated averaging 20 owners hold 160 images each, ten take part in a round with one
pass in batches of 10, hosted by one process. Rates by `study.tune`: the worst of three tuning seeds, accuracy on the held-out images.

All goes to course_lib/classroom/studies/bill.json: of each run the fields of `cost.Usage`, from its own timeline and traffic, up to the first
evaluation at 90%. Seeds take turns, so that a slow minute hits every way alike. The last line is JSON: mean seconds and megabytes.
"""

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

from course_lib import data, models, plans, rounds, study
from course_lib.classroom.progress import track
from course_lib.data import Dataset
from course_lib.distributed import cost
from course_lib.plans import Plan

STORED = Path(rounds.__file__).parents[1] / "classroom/studies/bill.json"
TARGET, OWNERS = 0.9, 20
GRID, TUNING_SEEDS, SEEDS = (0.1, 0.2, 0.4), (100, 101, 102), tuple(range(10))
NETWORK = models.mlp((64,))
ALONE = plans.centralised(batch_size=32).but(rounds=60, local_epochs=None, local_steps=25)
WAYS: dict[str, tuple[Plan, int, int]] = {  # plan, workers, rounds between evaluations
    "one machine": (ALONE, 1, 1),
    "DML, 2 workers": (plans.synchronous_sgd(1500, 16), 2, 25),
    "DML, 4 workers": (plans.synchronous_sgd(1500, 8), 4, 25),
    "FedAvg, 20 owners": (plans.fedavg(60, 0.5, 1, 10), 1, 1),
}
TUNED = {"one machine": "one machine", "DML, 2 workers": "one machine", "DML, 4 workers": "one machine",
         "FedAvg, 20 owners": "FedAvg, 20 owners"}  # fmt: skip


@cache
def images() -> tuple[Dataset, Dataset, Dataset]:
    """Return what is trained on, what decides, and what reports."""
    train, test = data.load("mnist5k")
    return *data.hold_out(train, 0.2), test


def fit(way: str, rate: float, seed: int, **changes: Any) -> rounds.Run:
    """Run a way until it reaches the target on the held-out images."""
    plan, workers, every = WAYS[way]
    train, held_out, test = images()
    owners = data.partitions.iid(train.y, OWNERS if plan.data == "stays" else workers, seed=seed)
    told = {"stop_at": TARGET, "evaluate_every": every} | changes
    plan = plan.but(learning_rate=rate)
    return rounds.fit(NETWORK, train, owners, plan, test=test, validation=held_out, seed=seed, workers=workers, **told)


def tuned(way: str) -> study.Tuned:
    """Return the rate with the best accuracy for the worst seed after a sixth of the rounds: the target is near then."""

    def score(jobs: Sequence[tuple[float, int]]) -> list[float]:
        found = []
        for rate, seed in jobs:
            plan, _, _ = WAYS[way]
            train, held_out, _ = images()
            owners = data.partitions.iid(train.y, OWNERS if plan.data == "stays" else 1, seed=seed)
            short = plan.but(learning_rate=rate, rounds=plan.rounds // 6)
            run = rounds.fit(NETWORK, train, owners, short, test=held_out, seed=seed, evaluate_every=short.rounds)
            found.append(run.accuracy)
        return found

    return study.tune(score, GRID, TUNING_SEEDS)


def measure(way: str, rate: float, seed: int) -> dict[str, Any]:
    """Return what a run used until it reached the target."""
    run = fit(way, rate, seed)
    reached = bool(run.history["validation_accuracy"].iloc[-1] >= TARGET)
    return {"reached": reached, "rounds": int(run.history["round"].iloc[-1]), "accuracy": round(run.accuracy, 4),
            "usage": asdict(cost.usage(run))}  # fmt: skip


def everything(rates: dict[str, float], seeds: Sequence[int]) -> list[dict[str, Any]]:
    """Return a row for each way."""
    runs: dict[str, list[dict[str, Any]]] = {way: [] for way in WAYS}
    for way in WAYS:
        measure(way, rates[TUNED[way]], seed=99)  # workers start, and import what they need, before anything is timed
    for seed in track(seeds, "Seeds"):
        for way in WAYS:
            runs[way].append(measure(way, rates[TUNED[way]], seed))
    return [{"way": way, "rate": rates[TUNED[way]], "seeds": list(seeds), "runs": own} for way, own in runs.items()]


def line(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the last line: seconds and megabytes to the target, as means over seeds."""

    def mean(row: dict[str, Any], *names: str) -> float:
        return float(np.mean([sum(run["usage"][name] for name in names) for run in row["runs"]]))

    return {row["way"]: {"seconds": round(mean(row, "seconds"), 2), "megabytes": round(mean(row, "inward", "others") / 1e6, 1)}
            for row in rows}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one rate, one seed; stores nothing")
    given = parser.parse_args()
    if given.quick:
        print(json.dumps(line(everything(dict.fromkeys(WAYS, 0.2), (0,)))))
        return
    chosen = {way: tuned(way) for way in dict.fromkeys(TUNED.values())}
    rows = everything({way: found.best for way, found in chosen.items()}, SEEDS)
    tuning = [{"way": way, "best": found.best, "at_edge": found.at_edge,
               "tried": [{"rate": rate, "accuracy": list(own)} for rate, own in found.tried.items()]}
              for way, found in chosen.items()]  # fmt: skip
    found = {
        "command": f"python benchmarks/{Path(__file__).name}", "versions": {"torch": torch.__version__, "numpy": np.__version__},
        "target": TARGET, "tuning_seeds": list(TUNING_SEEDS), "tuning": tuning, "rows": rows,
    }  # fmt: skip
    STORED.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(line(rows)))


if __name__ == "__main__":
    main()
