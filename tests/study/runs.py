"""A study that takes no time: logistic regression on the digits."""

import functools
from pathlib import Path

import numpy as np

from course_lib import data, models, plans, rounds
from course_lib.plans import Plan

PLANS = {
    "FedAvg": plans.fedavg(rounds=2, participation=0.5, epochs=1, batch_size=20),
    "FedSGD": plans.fedsgd(rounds=2),
}


TrainAndTest = tuple[data.Dataset, data.Dataset]


@functools.cache
def digits() -> TrainAndTest:
    return data.load("digits")


def fit(plan: Plan, seed: int, given: TrainAndTest | None = None) -> rounds.Run:
    train, test = given or digits()
    clients = data.partitions.dirichlet(train.y, clients=4, alpha=1.0, seed=seed)
    return rounds.fit(models.logistic(), train, clients, plan, test=test, seed=seed)


def counted(folder: Path, plan: Plan, seed: int, given: TrainAndTest | None = None) -> rounds.Run:
    """Fit, and leave a line about it in `folder`."""
    with open(folder / "runs.log", "a") as log:
        log.write(f"{plan.name} {seed}\n")
    return fit(plan, seed, given)


def log(folder: Path) -> list[str]:
    """The runs that were carried out, in any order."""
    path = folder / "runs.log"
    return sorted(path.read_text().splitlines()) if path.exists() else []


def quiet(done: int, total: int) -> None:
    """No progress."""


def direct(seeds: range) -> dict[str, np.ndarray]:
    """The accuracies that the study must find, by plan, without any study."""
    return {name: np.array([fit(plan, seed).accuracy for seed in seeds]) for name, plan in PLANS.items()}
