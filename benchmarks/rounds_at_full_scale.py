"""Rounds of FedAvg to 97% on all of MNIST: what `rounds_to_target.py --full` measures, at the scale of Table 1 of McMahan et al. 2017.

As there (arXiv 1602.05629): the 2NN, 60,000 images on 100 clients, one local epoch, batches of 10, and 97% of the 10,000 test
images; 10 or 20 clients a round, identically distributed or with two shards of the sorted images each.

A rate is chosen for each partition at C = 0.1 by `study.tune`: on 50,000 of the training images and the other 10,000 as a
validation split, by the worst of three seeds. A run is broken off when it has taken as many rounds as the slowest run of the best
rate so far: that rate cannot win any more. The rows with C = 0.2 use the rate of C = 0.1: the paper tunes every row, which
would double the time. The test images judge the runs of the result alone, whose seeds are others; each is evaluated after every
round and ends at the target.

Every run is kept in build/rounds_at_full_scale, and the study is stored anew after each row, so an interrupted study goes on
and a row that was not run says so: its list of seeds is empty.
"""

import json
from collections.abc import Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rounds_to_target import CLIENTS, Row, partition

from course_lib import data, models, rounds, study
from course_lib.data import Dataset
from course_lib.plans import Plan
from course_lib.run import Run

STORED = Path(rounds.__file__).parent / "classroom/studies/rounds_to_target_full.json"
RUNS = Path(__file__).parents[1] / "build" / "rounds_at_full_scale"
TARGET, HELD_OUT = 0.97, 1 / 6
SEEDS, TUNING_SEEDS = (0, 1, 2, 3, 4), (100, 101, 102)
GRID = (0.1, 0.2, 0.4)
TUNING_LIMITS = {"iid": 150, "shards": 450}
# By importance, should the time not suffice.
ROWS = [Row(deal, share, 1, limit) for share in (0.1, 0.2) for deal, limit in (("iid", 300), ("shards", 1500))]
PUBLISHED = {("iid", 0.1): 87, ("iid", 0.2): 77, ("shards", 0.1): 664, ("shards", 0.2): 619}


@cache  # a worker makes many runs of them
def images(validating: bool) -> tuple[Dataset, Dataset]:
    """Return what is trained and what is judged on: a validation split, or the test images."""
    train, test = data.load("mnist")
    return data.hold_out(train, HELD_OUT) if validating else (train, test)


def fit(deal: str, validating: bool, plan: Plan, seed: int) -> Run:
    """Return the run of a row's plan, which ends at the target."""
    train, judge = images(validating)
    return rounds.fit(models.mlp(), train, partition(deal, train, seed), plan, test=judge, seed=seed, stop_at=TARGET)


def reached(plans: dict[str, Plan], deal: str, validating: bool, seeds: Sequence[int]) -> dict[str, list[int | None]]:
    """Return for each plan, one a seed, the rounds to the target: None where the plan ended first or the run broke."""
    setting = {"data": "mnist", "partition": deal, "validating": validating, "target": TARGET}
    try:
        found = study.run(RUNS, plans, seeds, partial(fit, deal, validating), setting=setting)
    except study.StudyError as error:
        if any("DivergedError" not in said for said in error.failures.values()):
            raise
        found = error.study
    counts: dict[str, list[int | None]] = {name: [None] * len(seeds) for name in plans}
    for (name, seed), record in found.records.items():
        if record["measures"]["accuracy"] >= TARGET:
            counts[name][list(seeds).index(seed)] = record["measures"]["rounds"]
    return counts


def tuned(row: Row) -> study.Tuned:
    """Return the rate whose slowest tuning run took the fewest rounds; scores are rounds, negated, NaN for what was broken off."""
    fewest = TUNING_LIMITS[row.partition]

    def measure(jobs: Sequence[tuple[float, int]]) -> list[float]:
        nonlocal fewest
        scores: list[float] = []
        for rate in dict.fromkeys(rate for rate, _ in jobs):
            counts = reached({"FedAvg": row.plan(rate, fewest)}, row.partition, True, TUNING_SEEDS)["FedAvg"]
            scores += [float("nan") if count is None else -float(count) for count in counts]
            print(row.partition, rate, fewest, counts, flush=True)
            fewest = min(fewest, max(fewest if count is None else count for count in counts))
        return scores

    return study.tune(measure, GRID, TUNING_SEEDS)


def stored(tuning: dict[str, study.Tuned], counts: dict[Row, list[int | None]]) -> dict[str, Any]:
    """Return the study as it is kept: what was tuned, and each row with the rounds of each seed, as far as it was run."""
    return {
        "command": "python benchmarks/rounds_to_target.py --full",
        "versions": {"torch": torch.__version__, "numpy": np.__version__},
        "data": f"mnist, 60000 training and 10000 test images, {CLIENTS} clients of 600 images",
        "model": "2NN: models.mlp(), 199,210 weights",
        "target": TARGET,
        "tuned": "at C = 0.1, once a partition, on 50000 training and 10000 validation images, by the worst of three seeds; "
        "rows with C = 0.2 use the same rate",
        "tuning_seeds": list(TUNING_SEEDS),
        "tuning": [
            {"partition": deal, "best": found.best, "at_edge": found.at_edge, "limit": TUNING_LIMITS[deal],
             "tried": [
                 {"rate": rate, "rounds": [int(-score) if np.isfinite(score) else None for score in scores]}
                 for rate, scores in found.tried.items()
             ]}
            for deal, found in tuning.items()
        ],
        "rows": [
            {"partition": row.partition, "participation": row.participation, "epochs": row.epochs, "limit": row.limit,
             "learning_rate": tuning[row.partition].best if row in counts else None,
             "seeds": list(SEEDS) if row in counts else [], "rounds": counts.get(row, []),
             "published": PUBLISHED[row.partition, row.participation]}
            for row in ROWS
        ],
    }  # fmt: skip


def main() -> dict[str, float | None]:
    """Run what is missing of the study, store it after each row, and return mean rounds by row; None where one did not arrive."""
    tuning: dict[str, study.Tuned] = {}
    counts: dict[Row, list[int | None]] = {}
    for row in ROWS:
        if row.partition not in tuning:
            tuning[row.partition] = tuned(row)
            print(row.partition, tuning[row.partition], flush=True)
        plan = row.plan(tuning[row.partition].best)
        counts[row] = reached({"FedAvg": plan}, row.partition, False, SEEDS)["FedAvg"]
        print(row, plan.learning_rate, counts[row], flush=True)
        STORED.write_text(json.dumps(stored(tuning, counts), indent=1) + "\n", encoding="utf-8")
    return {
        f"{row.partition} C={row.participation} E=1, 97%": None if None in found else float(np.mean(found))  # type: ignore[arg-type]
        for row, found in counts.items()
    }
