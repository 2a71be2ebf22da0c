"""Which strategy copes with skewed clients? The study behind lesson 08, next to the table of NIID-Bench.

    python benchmarks/skew.py            everything, five seeds: about twenty minutes on two cores
    python benchmarks/skew.py --quick    two strategies, one skew, three rounds: a check that it runs; stores nothing

NIID-Bench is Li et al. 2022 (arXiv 2102.02079); the numbers are those of the replication in Flower's baselines, ± as printed
there: the best round of 50, with 10 local epochs, CNNs and full data sets. Here: mnist5k, ten clients who all take part, the
2NN, and the accuracy after the last of 20 rounds of 2 local epochs, batch 32: the same budget for every strategy. SCAFFOLD sends
twice the bytes for it.

Each strategy has, for each skew, the settings of a small grid that were the most accurate on seeds and a train/test split
kept for that. The split of the result is the same for every seed; a seed draws the partition, the first weights and the batches.

All goes to course_lib/classroom/studies/skew.json. The last line is JSON: the mean and half the 95% interval of each accuracy in
percent, and the pairs of strategies whose order differs from the published one.
"""

import argparse
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import combinations
from math import isnan
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rounds_to_target import bias

from course_lib import data, learning, models, plans, rounds
from course_lib.classroom.progress import progress
from course_lib.data import Dataset
from course_lib.federated.strategies import FedNova, FedOpt, FedProx, Scaffold, Strategy
from course_lib.plans import Plan

STORED = Path(rounds.__file__).parent / "classroom/studies/skew.json"
CLIENTS, ROUNDS, EPOCHS, BATCH = 10, 20, 2, 32
SEEDS, TUNING_SEEDS = (0, 1, 2, 3, 4), (100, 101)
# Dirichlet's alpha; None is one class a client.
SKEWS: dict[str, float | None] = {
    "alpha = 100": 100, "alpha = 1": 1, "alpha = 0.5": 0.5, "alpha = 0.1": 0.1, "one class": None,
}  # fmt: skip
RATES = (0.03, 0.1, 0.3)
# Of each strategy the one setting that is tuned beside the learning rate: FedProx's mu, FedAdam's server rate.
KNOBS: dict[str, tuple[float | None, ...]] = {
    "FedAvg": (None,), "FedProx": (0.01, 0.1, 1.0), "SCAFFOLD": (None,), "FedAdam": (0.003, 0.01, 0.03), "FedNova": (None,),
}  # fmt: skip
ONE_MACHINE = "one machine"

# Test accuracy in percent and its spread: github.com/adap/flower, baselines/niid_bench/README.md.
Published = Mapping[str, tuple[float, float]]
PUBLISHED: dict[str, dict[str, Published]] = {
    "alpha = 100": {
        "MNIST, IID": {
            "FedAvg": (99.09, 0.05), "SCAFFOLD": (99.06, 0.15), "FedProx": (99.16, 0.04), "FedNova": (99.05, 0.06),
        },
        "CIFAR-10, IID": {
            "FedAvg": (71.32, 0.33), "SCAFFOLD": (71.66, 1.13), "FedProx": (71.26, 1.18), "FedNova": (70.69, 1.14),
        },
    },
    "alpha = 0.5": {
        "MNIST, Dirichlet (0.5)": {
            "FedAvg": (98.89, 0.07), "SCAFFOLD": (99.07, 0.06), "FedProx": (99.02, 0.02), "FedNova": (98.03, 0.06),
        },
        "CIFAR-10, Dirichlet (0.5)": {
            "FedAvg": (62.47, 0.43), "SCAFFOLD": (68.08, 0.96), "FedProx": (65.63, 0.08), "FedNova": (63.89, 1.40),
        },
    },
    "one class": {
        "MNIST, one label": {
            "FedAvg": (19.33, 11.82), "SCAFFOLD": (9.93, 0.12), "FedProx": (51.79, 26.75), "FedNova": (52.58, 14.08),
        },
        "CIFAR-10, one label": {
            "FedAvg": (10.00, 0.00), "SCAFFOLD": (10.00, 0.00), "FedProx": (12.71, 0.96), "FedNova": (10.00, 0.00),
        },
    },
}  # fmt: skip


@dataclass(frozen=True)
class Job:
    """One run: a strategy with its settings, on clients of a skew. `tuning`: on the split that is kept for that."""

    skew: str
    strategy: str
    rate: float
    knob: float | None
    seed: int
    tuning: bool = False
    length: int = ROUNDS

    def plan(self) -> Plan:
        """Return the plan: as many passes over all images whatever the strategy."""
        if self.strategy == ONE_MACHINE:
            return plans.centralised(self.length * EPOCHS, BATCH, self.rate)
        plan = plans.fedavg(self.length, 1.0, EPOCHS, BATCH, self.rate)
        return plan.but(name=self.strategy, strategy=strategy(self.strategy, self.knob))


def strategy(name: str, knob: float | None) -> Strategy | None:
    """Return a strategy of the study with its setting."""
    made: dict[str, Strategy] = {"SCAFFOLD": Scaffold(), "FedNova": FedNova()}
    if knob is not None:
        made = {"FedProx": FedProx(mu=knob), "FedAdam": FedOpt("adam", server_rate=knob)}
    return None if name == "FedAvg" else made[name]


def partition(skew: str, y: torch.Tensor, seed: int) -> list[np.ndarray]:
    """Deal the images to the clients."""
    if skew == ONE_MACHINE:
        return data.partitions.iid(y, CLIENTS, seed)
    alpha = SKEWS[skew]
    if alpha is None:
        return data.partitions.shards(y, CLIENTS, 1, seed)
    return data.partitions.dirichlet(y, CLIENTS, alpha, seed)


@cache
def split(seed: int) -> tuple[Dataset, Dataset]:
    """Return mnist5k's training and test images."""
    return data.load("mnist5k", seed=seed)


def measure(job: Job) -> dict[str, Any]:
    """Return what one run comes to: accuracy after each round, bias and megabytes; a run that diverges has accuracy 0."""
    train, test = split(TUNING_SEEDS[0] if job.tuning else 0)
    every = EPOCHS if job.strategy == ONE_MACHINE else 1
    clients = partition(job.skew, train.y, job.seed)
    try:
        run = rounds.fit(models.mlp(), train, clients, job.plan(), test=test, seed=job.seed, evaluate_every=every)
    except rounds.DivergedError:
        return {"accuracy": [0.0] * job.length, "bias": None, "megabytes": None}
    by_round = [round(0.0 if isnan(value) else value, 4) for value in run.history["accuracy"]]
    return {"accuracy": by_round, "bias": round(bias(run, test), 4), "megabytes": round(run.bytes_sent / 1e6, 2)}


def measured(jobs: Sequence[Job], label: str) -> list[dict[str, Any]]:
    """Return the results of all jobs, in their order; two processes share the work."""
    advance, found = progress(len(jobs), label), []
    with get_context("spawn").Pool(2) as pool:
        for result in pool.imap(measure, jobs):
            found.append(result)
            advance(len(found), len(jobs))
    return found


def tuned(skews: Iterable[str], strategies: Iterable[str]) -> dict[tuple[str, str], dict[str, Any]]:
    """Return, for each skew and strategy, the most accurate settings of the grid and what each of them came to."""
    cells = [*((skew, name) for skew in skews for name in strategies), (ONE_MACHINE, ONE_MACHINE)]
    grid = [
        Job(skew, name, rate, knob, seed, tuning=True)
        for skew, name in cells
        for rate in RATES
        for knob in KNOBS.get(name, (None,))
        for seed in TUNING_SEEDS
    ]
    tried: dict[tuple[str, str], dict[tuple[float, float | None], list[float]]] = {cell: {} for cell in cells}
    for job, found in zip(grid, measured(grid, "Tuning"), strict=True):
        tried[job.skew, job.strategy].setdefault((job.rate, job.knob), []).append(found["accuracy"][-1])
    chosen = {}
    for cell, results in tried.items():
        means = {setting: round(float(np.mean(values)), 4) for setting, values in results.items()}
        best = max(means, key=means.__getitem__)
        listed = [{"learning_rate": rate, "knob": knob, "accuracy": mean} for (rate, knob), mean in means.items()]
        chosen[cell] = {"learning_rate": best[0], "knob": best[1], "tried": listed}
    return chosen


def ordering(accuracy: Mapping[str, Sequence[float]], published: Published) -> list[dict[str, Any]]:
    """Return for each pair of strategies which one is ahead there and here, "neither" where that cannot be told.

    There: where the printed spreads do not overlap. Here: where the 95% interval of the paired difference excludes 0.
    """
    pairs = []
    for first, second in combinations(published, 2):
        (a, spread_a), (b, spread_b) = published[first], published[second]
        there = "neither" if abs(a - b) <= spread_a + spread_b else first if a > b else second
        gap = learning.paired_difference(accuracy[first], accuracy[second])
        here = "neither" if not gap.excludes(0) else first if gap.mean > 0 else second
        agrees = "not told apart" if "neither" in (here, there) else "same" if here == there else "differs"
        pairs.append(
            {"pair": [first, second], "published": there, "here": here, "gap": round(100 * gap.mean, 2), "order": agrees}
        )  # fmt: skip
    return pairs


def study(skews: Sequence[str], strategies: Sequence[str], seeds: Sequence[int]) -> dict[str, Any]:
    """Return the whole study: for each skew and strategy its settings and runs, and the orderings."""
    chosen = tuned(skews, strategies)
    jobs = [
        Job(skew, name, settings["learning_rate"], settings["knob"], seed)
        for (skew, name), settings in chosen.items()
        for seed in seeds
    ]
    rows = {
        cell: {"skew": cell[0], "strategy": cell[1], **settings, "seeds": list(seeds), "runs": []}
        for cell, settings in chosen.items()
    }
    for job, found in zip(jobs, measured(jobs, "Runs"), strict=True):
        rows[job.skew, job.strategy]["runs"].append(found)
    for row in rows.values():
        print(row["skew"], row["strategy"], row["learning_rate"], row["knob"], final(row), flush=True)
    orders = [
        {"skew": skew, "table": table, "pairs": ordering({n: final(rows[skew, n]) for n in published}, published)}
        for skew in skews
        for table, published in PUBLISHED.get(skew, {}).items()
    ]
    return {
        "command": f"python benchmarks/{Path(__file__).name}",
        "versions": {"torch": torch.__version__, "numpy": np.__version__},
        "data": f"mnist5k, 4000 training and 1000 test images, split seed 0, {CLIENTS} clients",
        "model": "2NN: models.mlp(), 199,210 weights",
        "budget": {"rounds": ROUNDS, "local_epochs": EPOCHS, "batch_size": BATCH},
        "tuning_seeds": list(TUNING_SEEDS),
        "rows": list(rows.values()),
        "published": PUBLISHED,
        "ordering": orders,
    }


def final(row: Mapping[str, Any]) -> list[float]:
    """Return the accuracy after the last round, one number a seed."""
    return [run["accuracy"][-1] for run in row["runs"]]


def line(found: Mapping[str, Any]) -> dict[str, Any]:
    """Return the last line: the table in percent, and where the order is another than the published one."""
    table: dict[str, dict[str, list[float]]] = {}
    for row in found["rows"]:
        interval = learning.interval([100 * value for value in final(row)])
        table.setdefault(row["skew"], {})[row["strategy"]] = [round(interval.mean, 1), round(interval.half_width, 1)]
    said: dict[str, list[str]] = {"differs": [], "same": [], "not told apart": []}
    for order in found["ordering"]:
        for pair in order["pairs"]:
            first, second = pair["pair"]
            said[pair["order"]].append(
                f"{order['table']}: {first} and {second}, ahead there {pair['published']}, here {pair['here']}"
            )
    return {"accuracy (%)": table, "ordering differs": said["differs"], "ordering the same": len(said["same"]),
            "not told apart here or there": len(said["not told apart"])}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="two strategies, one skew, two seeds; nothing is stored")
    if not parser.parse_args().quick:
        found = study(list(SKEWS), list(KNOBS), SEEDS)
        STORED.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
        print(json.dumps(line(found)))
        return
    jobs = [Job("one class", name, 0.1, None, seed, length=3) for name in ("FedAvg", "SCAFFOLD") for seed in SEEDS[:2]]
    last = {job.strategy: run["accuracy"][-1] for job, run in zip(jobs, measured(jobs, "Runs"), strict=True)}
    print(json.dumps(last))


if __name__ == "__main__":
    main()
