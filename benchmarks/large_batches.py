"""More workers, larger batches, the same passes: which learning rate keeps the accuracy? The study behind lesson 02.

    python benchmarks/large_batches.py            everything, twenty seeds: about five minutes on two cores
    python benchmarks/large_batches.py --quick    two batches, two seeds: a check that it runs; stores nothing

K workers with 25 images each take the step of one process with 25 K images (lesson 02 shows it), so one process stands for them.
mnist5k, a network with 64 hidden units, five passes. Five rules for the rate of K workers:

- unchanged: that of one worker;
- linear: K times that of one worker (Goyal et al. 2017, arXiv 1706.02677);
- linear, cautious: K times a quarter of that, to see whether the batch or the rate sets the limit;
- linear, warm-up: as linear, after a first pass at the rate of one worker (their section 2.2, constant warm-up);
- tuned: chosen for this batch.

Beside these, four workers of 50 images each and one machine with batches of 200, at the same rate: they see the same images in another
order.

Rates are chosen by `study.tune`: the worst of three tuning seeds, on a fifth of the training images. The test images are used once, on
other seeds. All goes to course_lib/classroom/studies/large_batches.json. The last line is JSON: mean and half the 95% interval of each
accuracy in percent.
"""

import argparse
import json
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import nn

from course_lib import data, learning, models, plans, rounds, study
from course_lib.classroom.progress import track
from course_lib.data import Dataset
from course_lib.models import ModelSpec

STORED = Path(rounds.__file__).parents[1] / "classroom/studies/large_batches.json"
IMAGES, PASSES = 25, 5
WORKERS = (1, 2, 4, 8, 16, 32)
SEEDS, TUNING_SEEDS = tuple(range(20)), (100, 101, 102)
GRID = (0.05, 0.1, 0.2, 0.4, 0.8)
SAME_BATCH_RATE = 0.4
RULES = ("unchanged", "linear", "linear, cautious", "linear, warm-up", "tuned")


@cache
def split() -> tuple[Dataset, Dataset]:
    """Return mnist5k's training and test images."""
    return data.load("mnist5k")


def accuracy(
    workers: int, rate: float, seed: int, train: Dataset, test: Dataset, warm_up: float | None = None
) -> float:
    """Return the test accuracy after five passes; with `warm_up`, the first of them is at that rate. NaN if the run broke."""
    model: ModelSpec | nn.Module = models.mlp(hidden=(64,))
    phases = [(PASSES, rate)] if warm_up is None else [(1, warm_up), (PASSES - 1, rate)]
    for number, (passes, at) in enumerate(phases):
        plan = plans.centralised(epochs=passes, batch_size=IMAGES * workers, learning_rate=at)
        last = number == len(phases) - 1
        try:  # another key for the second phase: else it would begin with the order of the first
            run = rounds.fit(
                model, train, [range(len(train))], plan, test=test if last else None, seed=seed + 10_000 * number,
                evaluate_every=passes,
            )  # fmt: skip
        except rounds.DivergedError:
            return float("nan")
        model = run.model
    broke = not torch.isfinite(nn.utils.parameters_to_vector(run.model.parameters())).all()
    return float("nan") if broke else run.accuracy


def same_batch(seed: int) -> tuple[float, float]:
    """Return the test accuracy of four workers of 50 images each, and of one machine with batches of 200."""
    train, test = split()
    plan = plans.synchronous_sgd(steps=len(train) * PASSES // 200, batch_size=50, learning_rate=SAME_BATCH_RATE)
    dealt = data.partitions.iid(train.y, 4, seed=seed)
    network = models.mlp(hidden=(64,))
    run = rounds.fit(network, train, dealt, plan, test=test, seed=seed, evaluate_every=plan.rounds)
    return round(run.accuracy, 4), round(accuracy(200 // IMAGES, SAME_BATCH_RATE, seed, train, test), 4)


def tuned(workers: int) -> study.Tuned:
    """Return the rate for so many workers, chosen on a fifth of the training images."""
    rest, validation = data.hold_out(split()[0])
    return study.tune(
        lambda jobs: [accuracy(workers, rate, seed, rest, validation) for rate, seed in jobs], GRID, TUNING_SEEDS
    )


def measured(workers: Sequence[int], seeds: Sequence[int]) -> dict[str, Any]:
    """Return the whole study: for each number of workers the rate of each rule, and the accuracies with it."""
    chosen = {k: tuned(k) for k in track(workers, "Tuning")}
    base = chosen[workers[0]].best
    rows = []
    for k in track(workers, "Runs"):
        rates = dict(zip(RULES, (base, base * k, base * k / 4, base * k, chosen[k].best), strict=True))
        for rule in RULES:
            warm_up = base if "warm-up" in rule else None
            found = [round(accuracy(k, rates[rule], seed, *split(), warm_up), 4) for seed in seeds]
            rows.append({"workers": k, "rule": rule, "rate": round(rates[rule], 6), "accuracy": found})
    return {
        "command": f"python benchmarks/{Path(__file__).name}",
        "versions": {"torch": torch.__version__},
        "data": "mnist5k, 4000 training and 1000 test images, split seed 0",
        "model": "models.mlp(hidden=(64,)), 50,890 weights",
        "budget": {"passes": PASSES, "images_a_worker": IMAGES},
        "seeds": list(seeds),
        "tuning_seeds": list(TUNING_SEEDS),
        "tuning": [
            {"workers": k, "best": found.best, "at_edge": found.at_edge,
             "tried": [{"rate": rate, "accuracy": list(scores)} for rate, scores in found.tried.items()]}
            for k, found in chosen.items()
        ],
        "rows": rows,
        "same_batch": [same_batch(seed) for seed in track(seeds, "Same batch")],
    }  # fmt: skip


def line(found: dict[str, Any]) -> dict[str, Any]:
    """Return the last line: mean and half the 95% interval in percent, by rule and number of workers."""
    table: dict[str, dict[int, list[float]]] = {}
    for row in found["rows"]:
        interval = learning.interval([100 * value for value in row["accuracy"]])
        table.setdefault(row["rule"], {})[row["workers"]] = [round(interval.mean, 1), round(interval.half_width, 1)]
    return {"accuracy (%)": table, "rates": {entry["workers"]: entry["best"] for entry in found["tuning"]}}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="two batches, two seeds; nothing is stored")
    quick = parser.parse_args().quick
    found = measured((1, 8), SEEDS[:2]) if quick else measured(WORKERS, SEEDS)
    if not quick:
        STORED.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(line(found)))


if __name__ == "__main__":
    main()
