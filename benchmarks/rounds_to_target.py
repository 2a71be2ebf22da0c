"""How many rounds does FedAvg need? The study behind lesson 07, next to Table 1 of McMahan et al. 2017 (arXiv 1602.05629).

    python benchmarks/rounds_to_target.py            everything, eight seeds a row and sixteen a way
    python benchmarks/rounds_to_target.py --quick    two rows, two seeds: a check that it runs; stores nothing
    python benchmarks/rounds_to_target.py --full     at the paper's own scale, see rounds_at_full_scale.py: about 20 minutes on two cores

Table 1 has 100 clients of 600 MNIST images and a target of 97 %. This is the same at the scale of the course: mnist5k, so
100 clients of 40 images, and a target of 88 %. The model is theirs, the 2NN. The train/test split is the same for every
seed; a seed draws the partition, the first weights, the cohorts and the batches.

Each contender has a learning rate of its own from one grid by `study.tune`: the best for the worst of three tuning seeds, on a
fifth of the training images that is kept for that. Where rounds are counted, a run that misses the target is broken, and so is
one that takes longer than the slowest run of a rate that was tried before: that rate cannot win any more.

`rows` are rounds to each target from 80 to 88 %, null where the row's limit came first. `passes` are test accuracies after every
five passes over the images, and the bias in the end, for ways that average more or less often, over 5 and over 40 passes.

All go to course_lib/classroom/studies/rounds_to_target.json. The last line is JSON: mean rounds to 88 % of every row.
"""

import argparse
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch

from course_lib import data, learning, models, plans, rounds
from course_lib.classroom.progress import track
from course_lib.data import Dataset
from course_lib.plans import Plan
from course_lib.rounds.run import Run
from course_lib.study import Tuned, tune

STORED = Path(rounds.__file__).parents[1] / "classroom/studies/rounds_to_target.json"
TARGETS = tuple(percent / 100 for percent in range(80, 89))
SEEDS, WAY_SEEDS, TUNING_SEEDS = tuple(range(8)), tuple(range(16)), (100, 101, 102)
GRID = (0.1, 0.2, 0.4)
HELD_OUT = 0.2
CLIENTS = 100
Split = tuple[Dataset, Dataset]
Each = Callable[[Callable[..., Any], Sequence[tuple[Any, ...]]], list[Any]]  # calls a function once for each tuple


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


@dataclass(frozen=True)
class Way:
    """A way to go `passes` times over all images: on one machine, or averaging after every step, after one pass or after five."""

    name: str
    partition: str
    passes: int

    def plan(self, rate: float) -> Plan:
        """Return the plan, in which ten of a hundred clients work in a round."""
        if self.name == "one machine":
            return plans.centralised(self.passes, 10, rate)
        if self.name == "every step":
            return plans.fedavg(40 * self.passes, 0.1, 1, 10, rate).but(local_epochs=None, local_steps=1)
        epochs = int(self.name.removeprefix("E = "))
        return plans.fedavg(10 * self.passes // epochs, 0.1, epochs, 10, rate)


# C = 0 is the paper's name for one client a round.
ROWS = [
    *(Row("iid", share, 1, 600) for share in (0.0, 0.1, 1.0)),
    *(Row("shards", share, 1, 1500 if not share else 300) for share in (0.0, 0.1, 1.0)),
    *(Row(partition, 0.1, 5, 200) for partition in ("iid", "shards")),
    *(Row(partition, 0.1, None, 400) for partition in ("iid", "shards")),
]
QUICK = [ROWS[1], ROWS[-2]]
WAYS = [
    Way("one machine", "iid", 5),
    *(Way(name, partition, 5) for name in ("every step", "E = 1", "E = 5") for partition in ("iid", "shards")),
    Way("one machine", "iid", 40),
    *(Way("E = 1", partition, 40) for partition in ("iid", "shards")),
]


@cache  # a worker makes many runs of them
def images(validating: bool) -> Split:
    """Return what is trained and what is judged on: a validation split of the training images, or the test images."""
    train, test = data.load("mnist5k")
    return data.hold_out(train, HELD_OUT) if validating else (train, test)


def partition(name: str, train: Dataset, seed: int) -> list[np.ndarray]:
    """Deal the images to the clients: identically distributed, or two shards of the sorted images each."""
    if name == "iid":
        return data.partitions.iid(train.y, CLIENTS, seed=seed)
    return data.partitions.shards(train.y, CLIENTS, shards_per_client=2, seed=seed)


def reached(row: Row, rate: float, seed: int, limit: int | None = None, validating: bool = False) -> list[int | None]:
    """Return the rounds to each of TARGETS, None where the plan ended first or diverged."""
    train, judge = images(validating)
    dealt, plan = partition(row.partition, train, seed), row.plan(rate, limit)
    try:
        run = rounds.fit(models.mlp(), train, dealt, plan, test=judge, seed=seed, stop_at=TARGETS[-1])
    except rounds.DivergedError:
        return [None] * len(TARGETS)
    return [run.rounds_to(target) for target in TARGETS]


def followed(way: Way, rate: float, seed: int, validating: bool = False) -> tuple[list[float], float]:
    """Return the accuracy after every five passes, and the bias in the end; not a number where the run diverged."""
    train, judge = images(validating)
    dealt, plan = partition(way.partition, train, seed), way.plan(rate)
    try:
        run = rounds.fit(
            models.mlp(), train, dealt, plan, test=judge, seed=seed, evaluate_every=5 * plan.rounds // way.passes
        )
    except rounds.DivergedError:
        return [float("nan")] * (way.passes // 5), float("nan")
    return run.history["accuracy"].round(4).tolist(), round(bias(run, judge), 4)


def bias(run: Run, test: Dataset) -> float:
    """Return the share of answers that would have to change for each digit to be said as often as it is there."""
    said = torch.bincount(learning.evaluation.scores(run.model, test.x).argmax(1), minlength=10)
    return float((said - torch.bincount(test.y, minlength=10)).abs().sum()) / 2 / len(test)


def tuned_row(row: Row, each: Each) -> Tuned:
    """Return the rate whose slowest tuning run took the fewest rounds; scores are rounds, negated, NaN for what was broken off."""

    def measure(jobs: Sequence[tuple[float, int]]) -> list[float]:
        scores: dict[tuple[float, int], float] = {}
        limit = row.limit
        for rate in sorted({rate for rate, _ in jobs}, reverse=True):
            own = [job for job in jobs if job[0] == rate]
            counts = [found[-1] for found in each(reached, [(row, *job, limit, True) for job in own])]
            scores.update(zip(own, [float("nan") if c is None else -float(c) for c in counts], strict=True))
            limit = min(limit, max(limit if count is None else count for count in counts))
        return [scores[job] for job in jobs]

    return tune(measure, GRID, TUNING_SEEDS)


def tuned_way(way: Way, each: Each) -> Tuned:
    """Return the rate whose worst tuning run was the most accurate in the end."""

    def measure(jobs: Sequence[tuple[float, int]]) -> list[float]:
        return [found[0][-1] for found in each(followed, [(way, *job, True) for job in jobs])]

    return tune(measure, GRID, TUNING_SEEDS)


def measured_row(row: Row, each: Each, seeds: Sequence[int] = SEEDS) -> dict[str, Any]:
    """Return the row's settings, learning rate and rounds: for each target a list, one number a seed."""
    tuning = tuned_row(row, each)
    by_seed = each(reached, [(row, tuning.best, seed) for seed in seeds])
    by_target = {
        f"{target:.2f}": list(counts) for target, counts in zip(TARGETS, zip(*by_seed, strict=True), strict=True)
    }
    return {**asdict(row), **described(tuning, spec="g"), "seeds": list(seeds), "rounds": by_target}


def measured_way(way: Way, each: Each) -> dict[str, Any]:
    """Return the way's settings and learning rate, and for each seed the accuracies after every five passes and the bias."""
    tuning = tuned_way(way, each)
    accuracy, biases = zip(*each(followed, [(way, tuning.best, seed) for seed in WAY_SEEDS]), strict=True)
    return {
        **asdict(way), **described(tuning, spec=".4f"), "seeds": list(WAY_SEEDS), "after": list(range(5, way.passes + 1, 5)),
        "accuracy": list(accuracy), "bias": list(biases),
    }  # fmt: skip


def described(tuning: Tuned, spec: str) -> dict[str, Any]:
    """Return what is stored of a tuning: the rate, whether the grid ends there, and the worst score of each rate as text."""
    worst = {
        f"{rate:g}": format(min(scores), spec) if np.isfinite(scores).all() else "broken"
        for rate, scores in tuning.tried.items()
    }
    return {"learning_rate": tuning.best, "at_edge": tuning.at_edge, "worst_of_three": worst}


def in_turn(function: Callable[..., Any], jobs: Sequence[tuple[Any, ...]]) -> list[Any]:
    """Call the function once for each tuple of arguments, in this process."""
    return [function(*job) for job in jobs]


def stored(rows: list[dict[str, Any]], ways: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the study as it is kept."""
    return {
        "command": "python benchmarks/rounds_to_target.py",
        "versions": {"torch": torch.__version__, "numpy": np.__version__},
        "data": "mnist5k, 4000 training and 1000 test images, split seed 0, 100 clients of 40 images",
        "model": "2NN: models.mlp(), 199,210 weights",
        "tuned": "by the worst of three seeds, on 3200 training and 800 validation images",
        "tuning_seeds": list(TUNING_SEEDS),
        "rows": rows,
        "passes": ways,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="two rows, two seeds; nothing is stored")
    parser.add_argument("--full", action="store_true", help="all of MNIST, to 97%%: goes on where it was interrupted")
    asked = parser.parse_args()
    if asked.full:
        import rounds_at_full_scale

        print(json.dumps(rounds_at_full_scale.main()))
        return
    if asked.quick:
        rows = [measured_row(row, in_turn, SEEDS[:2]) for row in QUICK]
    else:
        with get_context("spawn").Pool(2, torch.set_num_threads, (1,)) as pool:
            rows = [measured_row(row, pool.starmap) for row in track(ROWS, "Rows")]
            ways = [measured_way(way, pool.starmap) for way in track(WAYS, "Passes")]
        STORED.write_text(json.dumps(stored(rows, ways), indent=1) + "\n", encoding="utf-8")
    last = f"{TARGETS[-1]:.2f}"
    line = {}
    for row in rows:
        counts, epochs = row["rounds"][last], row["epochs"]
        name = f"{row['partition']} C={row['participation']} " + (f"E={epochs}" if epochs else "FedSGD")
        line[name] = None if None in counts else round(float(np.mean(counts)), 1)
    print(json.dumps(line))


if __name__ == "__main__":
    main()
