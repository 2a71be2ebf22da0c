"""The workload that every contender carries out, and what is measured of it."""

import time
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from torch import nn

from course_lib import data, models, plans
from course_lib.data import Dataset
from course_lib.learning import evaluation

_SPECS = {"2nn": models.mlp, "lenet": models.lenet}
MODELS = tuple(_SPECS)


@dataclass(frozen=True)
class Workload:
    """Federated averaging over clients that each hold an equal, identically distributed share of mnist5k.

    The first `warm_up` rounds, and the last one, in which a contender may test the model, are left out of the rate.
    """

    model: str = "2nn"
    warm_up: int = 3
    timed: int = 30
    clients: int = 100
    cohort: int = 10
    epochs: int = 5
    batch_size: int = 10
    learning_rate: float = 0.1
    seed: int = 0

    @property
    def rounds(self) -> int:
        """All rounds, timed or not."""
        return self.warm_up + self.timed + 1

    @property
    def plan(self) -> plans.Plan:
        """The workload in the course's own words."""
        share = self.cohort / self.clients
        return plans.fedavg(self.rounds, share, self.epochs, self.batch_size, self.learning_rate)

    def new_model(self) -> nn.Module:
        """Return the model with the initial weights that every contender starts from."""
        train, _ = _split(self.seed)
        return _SPECS[self.model]().build(train.shape, len(train.classes), self.seed)


@cache
def _split(seed: int) -> tuple[Dataset, Dataset]:
    return data.load("mnist5k", seed=seed)


@cache
def partition(workload: Workload) -> list[np.ndarray]:
    """Return the indices of the training examples that each client holds."""
    return data.partitions.iid(_split(workload.seed)[0].y, workload.clients, seed=workload.seed)


@cache
def examples(workload: Workload) -> tuple[Dataset, Dataset, list[Dataset]]:
    """Return the training set, the test set, and each client's share of the training set."""
    train, test = _split(workload.seed)
    return train, test, [train.subset(indices) for indices in partition(workload)]


class Measurement:
    """A clock with one tick a round, and the accuracy that the rounds led to."""

    def __init__(self, workload: Workload) -> None:
        self.workload = workload
        self.started = time.perf_counter()
        self.ticks: list[float] = []
        self.accuracy = float("nan")

    def tick(self, at: float | None = None) -> None:
        """Note the end of a round, now or at the given reading of `time.perf_counter`."""
        self.ticks.append(time.perf_counter() if at is None else at)

    def judge(self, model: nn.Module) -> None:
        """Test the final model on the examples that no client holds."""
        _, test, _ = examples(self.workload)
        self.accuracy = evaluation.accuracy(model, test)

    def summary(self) -> dict[str, float]:
        """Return client updates a second once warm, seconds of start-up, and the final accuracy (0 to 1).

        Start-up is what the first rounds took beyond the pace of the later ones. Raises RuntimeError when a round is
        missing.
        """
        workload = self.workload
        if len(self.ticks) != workload.rounds:
            raise RuntimeError(f"{len(self.ticks)} rounds ended, not {workload.rounds}: see the output above")
        warm = self.ticks[workload.warm_up - 1]
        seconds_a_round = (self.ticks[workload.warm_up + workload.timed - 1] - warm) / workload.timed
        return {
            "updates_per_second": workload.cohort / seconds_a_round,
            "start_up_seconds": warm - self.started - workload.warm_up * seconds_a_round,
            "accuracy": self.accuracy,
        }


def one_thread() -> None:
    """Compute on one thread, as every contender's processes do."""
    torch.set_num_threads(1)
