"""Rounds of FedAvg to 97% on all of MNIST: what `rounds_to_target.py --full` measures, at the scale of Table 1 of McMahan et al. 2017.

As there (arXiv 1602.05629): the 2NN, 60,000 images on 100 clients, one local epoch, batches of 10, and 97% of the 10,000 test
images; 10 or 20 clients a round, identically distributed or with two shards of the sorted images each.

Rates. Each deal has its own, chosen at C = 0.1 by `study.tune`, on 50,000 of the training images and the other 10,000 as a
validation split, by the worst of three seeds. A tuning run is broken off when it has taken as many rounds as the slowest run of the
best rate so far: that rate cannot win any more. The rows with C = 0.2 use the rates of C = 0.1; the paper tunes every row. The
test images judge the runs of the result, whose seeds are others, after every round until the target.

Every run is kept in build/rounds_at_full_scale, and the study is stored anew as runs finish, so an interrupted study goes on and
a row that was not run says so: its list of seeds is empty.
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
from course_lib.rounds.run import Run

STORED = Path(rounds.__file__).parents[1] / "classroom/studies/rounds_to_target_full.json"
RUNS = Path(__file__).parents[1] / "build" / "rounds_at_full_scale"
TARGET, HELD_OUT = 0.97, 1 / 6
SEEDS, TUNING_SEEDS = (0, 1, 2), (100, 101, 102)
GRID = (0.1, 0.2, 0.4)
# By importance, should the time not suffice.
ROWS = [Row(deal, share, 1, limit) for share in (0.1, 0.2) for deal, limit in (("iid", 150), ("shards", 600))]
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
    fewest = row.limit

    def measure(jobs: Sequence[tuple[float, int]]) -> list[float]:
        nonlocal fewest
        scores: list[float] = []
        for setting in dict.fromkeys(setting for setting, _ in jobs):
            counts = reached({"FedAvg": row.plan(setting, fewest)}, row.partition, True, TUNING_SEEDS)["FedAvg"]
            scores += [float("nan") if count is None else -float(count) for count in counts]
            print("tuning", setting, "limit", fewest, counts, flush=True)
            fewest = min(fewest, max(fewest if count is None else count for count in counts))
        return scores

    return study.tune(measure, GRID, TUNING_SEEDS)


def stored(tunings: dict[str, study.Tuned], counts: dict[Row, list[int | None]]) -> dict[str, Any]:
    """Return the study as it is kept: how each deal was tuned, and each row with the rounds of each seed, as far as it was run."""
    return {
        "command": "python benchmarks/rounds_to_target.py --full",
        "versions": {"torch": torch.__version__, "numpy": np.__version__},
        "data": f"mnist, 60000 training and 10000 test images, {CLIENTS} clients of 600 images",
        "model": "2NN: models.mlp(), 199,210 weights",
        "target": TARGET,
        "tuned": "at C = 0.1, by the worst of three seeds, on 50000 training and 10000 validation images",
        "tuning_seeds": list(TUNING_SEEDS),
        "tuning": {
            deal: {
                "best": tuning.best, "at_edge": tuning.at_edge,
                "tried": [
                    {"rate": setting, "rounds": [int(-score) if np.isfinite(score) else None for score in scores]}
                    for setting, scores in tuning.tried.items()
                ],
            }
            for deal, tuning in tunings.items()
        },
        "rows": [
            {"partition": row.partition, "participation": row.participation, "epochs": row.epochs, "limit": row.limit,
             "learning_rate": tunings[row.partition].best if row.partition in tunings else None,
             "seeds": list(SEEDS[:len(counts.get(row, []))]), "rounds": counts.get(row, []),
             "published": PUBLISHED[row.partition, row.participation]}
            for row in ROWS
        ],
    }  # fmt: skip


def main() -> dict[str, float | None]:
    """Run what is missing, store the study as rows grow, and return mean rounds by row; None where a run did not arrive."""
    tunings: dict[str, study.Tuned] = {}
    counts: dict[Row, list[int | None]] = {}
    for row in ROWS:
        if row.partition not in tunings:
            tunings[row.partition] = tuned(row)
            print(row.partition, tunings[row.partition], flush=True)
        plan = row.plan(tunings[row.partition].best)
        for seeds in (SEEDS[:2], SEEDS):  # two workers, so two runs at first
            counts[row] = reached({"FedAvg": plan}, row.partition, False, seeds)["FedAvg"]
            print(row, plan.learning_rate, counts[row], flush=True)
            STORED.write_text(json.dumps(stored(tunings, counts), indent=1) + "\n", encoding="utf-8")
    means: dict[str, float | None] = {}
    for row, found in counts.items():
        arrived = [count for count in found if count is not None]
        mean = round(float(np.mean(arrived)), 1) if len(arrived) == len(found) else None
        means[f"{row.partition} C={row.participation} E=1, to 97%"] = mean
    return means
