"""DP-SGD on all of MNIST, beside the table of Opacus: what `private_accuracy.py --full` measures, in about a quarter of an hour.

As there (Opacus 1.6, examples/mnist_README.md, ten runs of a small convolutional network): expected batches of 240 of the 60,000
images, delta 1e-5, and epsilon 1.16, 2.91, 6.86 and no privacy, judged on the 10,000 test images. Ours is LeNet with 15 passes and
three seeds; theirs is another network with settings of its own for each epsilon, so that the numbers need not agree.

Learning rates come from `study.tune`, by the worst of three tuning seeds after two passes over 50,000 of the training images, judged
on the other 10,000: at epsilon 2.91 for all private runs, with a clipping norm of 1, which was not tuned; and once without privacy.
No epsilon here counts the tuning runs. The result goes to course_lib/classroom/studies/private_at_full_scale.json.
"""

import json
from collections.abc import Sequence
from functools import cache
from math import inf
from multiprocessing import get_context
from multiprocessing.pool import Pool
from pathlib import Path
from typing import Any

import torch

from course_lib import data, learning, models, plans, rounds, study
from course_lib.data import Dataset
from course_lib.plans import Plan
from course_lib.privacy.accounting import noise_for
from course_lib.privacy.example_level import ExampleLevel
from course_lib.privacy.in_plans import Budget

STORED = Path(rounds.__file__).parents[1] / "classroom/studies/private_at_full_scale.json"
BATCH, PASSES, DELTA, CLIPPING = 240, 15, 1e-5, 1.0
EPSILONS = (1.16, 2.91, 6.86, None)
PUBLISHED = {1.16: (94.6, 0.3), 2.91: (96.8, 0.2), 6.86: (97.1, 0.2), None: (98.9, 0.3)}
SEEDS, TUNING_SEEDS = (0, 1, 2), (100, 101, 102)
GRIDS = {True: (0.5, 1.0, 2.0), False: (0.05, 0.1, 0.2)}  # by whether it is private
TUNED_AT, TUNING_PASSES = 2.91, 2


@cache  # a worker makes many runs of them
def images(validating: bool) -> tuple[Dataset, Dataset]:
    """Return what is trained and what is judged on: a validation split, or the test images."""
    train, test = data.load("mnist")
    return data.hold_out(train, 1 / 6) if validating else (train, test)


def plan(epsilon: float | None, rate: float, examples: int, passes: int = PASSES) -> Plan:
    """Return the plan for one owner of so many examples, whose noise is enough for all of PASSES."""
    if epsilon is None:
        return plans.centralised(passes, BATCH, rate)
    sample_rate = BATCH / examples
    steps = PASSES * ExampleLevel(0.0, inf, sample_rate).steps_an_epoch
    noise = noise_for(epsilon, sample_rate, steps, DELTA)
    private = ExampleLevel(noise, CLIPPING, sample_rate)
    return plans.centralised(passes, BATCH, rate).but(privacy=private, budget=Budget(epsilon, DELTA))


def measure(epsilon: float | None, rate: float, seed: int, validating: bool = False) -> dict[str, Any]:
    """Return a run's accuracy in percent, and for private ones the epsilon that was spent; not a number where it broke."""
    torch.set_num_threads(1)
    train, judge = images(validating)
    made = plan(epsilon, rate, len(train), TUNING_PASSES if validating else PASSES)
    try:
        run = rounds.fit(
            models.lenet(), train, [range(len(train))], made, test=judge, seed=seed, evaluate_every=made.rounds
        )
    except rounds.DivergedError:
        return {"accuracy": float("nan")}
    spent = {} if epsilon is None or validating else {"epsilon": round(run.guarantee.epsilon, 4)}
    return {"accuracy": round(100 * run.accuracy, 2), **spent}


def tuned(pool: Pool, private: bool) -> study.Tuned:
    """Return the learning rate of the private runs, or of those without privacy."""

    def score(jobs: Sequence[tuple[float, int]]) -> list[float]:
        asked = [(TUNED_AT if private else None, *job, True) for job in jobs]
        return [found["accuracy"] for found in pool.starmap(measure, asked, chunksize=1)]

    return study.tune(score, GRIDS[private], TUNING_SEEDS)


def main(seeds: Sequence[int] = SEEDS, epsilons: Sequence[float | None] = EPSILONS) -> dict[str, Any]:
    """Run and store everything; return accuracy by epsilon, with half its 95% interval over seeds, in percent."""
    with get_context("spawn").Pool(2) as pool:
        tunings = {private: tuned(pool, private) for private in (True, False)}
        print(tunings, flush=True)
        jobs = [(epsilon, tunings[epsilon is not None].best, seed) for epsilon in epsilons for seed in seeds]
        runs = pool.starmap(measure, jobs, chunksize=1)
    rows: list[dict[str, Any]] = [
        {
            "epsilon": epsilon, "learning_rate": tunings[epsilon is not None].best, "seeds": list(seeds),
            "runs": [run for job, run in zip(jobs, runs, strict=True) if job[0] == epsilon], "published": list(PUBLISHED[epsilon]),
        }
        for epsilon in epsilons
    ]  # fmt: skip
    found = {
        "command": "python benchmarks/private_accuracy.py --full",
        "versions": {"torch": torch.__version__},
        "data": "mnist, 60000 training and 10000 test images",
        "model": "models.lenet(), 61,706 weights",
        "batch": BATCH, "passes": PASSES, "delta": DELTA, "clipping_norm": CLIPPING,
        "tuning": {
            "private" if private else "plain": {"best": one.best, "at_edge": one.at_edge, "tried": {str(k): v for k, v in one.tried.items()}}
            for private, one in tunings.items()
        },
        "rows": rows,
    }  # fmt: skip
    STORED.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    means = {}
    for row in rows:
        own = learning.interval([run["accuracy"] for run in row["runs"]])
        means[str(row["epsilon"])] = [round(own.mean, 1), round(own.half_width, 1)]
    return {"accuracy (%), by epsilon": means}
