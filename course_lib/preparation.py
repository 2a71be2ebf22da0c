"""What a run settles before any process starts: is the input sound, who takes part when, and which process hosts whom."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from course_lib.data import Dataset
from course_lib.exchange import balanced_hosts
from course_lib.learning import keys
from course_lib.plans import Plan

# The indices of the training examples that each client holds.
Partition = Sequence[np.ndarray | Sequence[int]]


@dataclass(frozen=True)
class Job:
    """Everything about a run that every process may know; the clients' raw data is not part of it.

    `sizes`: examples of each participant; `cohorts`: the participants of each round; `hosts`: each participant's process.
    """

    module: nn.Module
    plan: Plan
    seed: int
    sizes: tuple[int, ...]
    cohorts: tuple[tuple[int, ...], ...]
    hosts: tuple[int, ...]
    evaluate_every: int
    stop_at: float | None
    keep_payloads: bool


def check(
    train: Dataset, clients: Partition, test: Dataset | None, workers: int, evaluate_every: int,
    stop_at: float | None,
) -> None:  # fmt: skip
    """Raise ValueError, with the value and the remedy, for input that cannot be trained on."""
    if not len(clients):
        raise ValueError("clients is empty: pass one array of example indices a client, see data.partitions")
    for client, indices in enumerate(clients):
        if not len(indices):
            raise ValueError(f"client {client} holds no example: leave it out, or partition with allow_empty=False")
        lowest, highest = int(np.min(indices)), int(np.max(indices))
        if lowest < 0 or highest >= len(train):
            raise ValueError(
                f"client {client} holds examples {lowest} to {highest}, but the training set has examples 0 to "
                f"{len(train) - 1}: partition this training set"
            )
    if not 1 <= workers <= len(clients):
        raise ValueError(f"workers={workers} must lie between 1 and the number of clients, {len(clients)}")
    if evaluate_every < 1:
        raise ValueError(f"evaluate_every={evaluate_every} must be at least 1: 1 evaluates after every round")
    if stop_at is not None and (test is None or not 0 < stop_at <= 1):
        raise ValueError(f"stop_at={stop_at} needs a test set and an accuracy above 0 and up to 1, such as 0.9")
    if test is not None and (test.shape, test.classes) != (train.shape, train.classes):
        raise ValueError(
            f"test has examples of shape {test.shape} in {len(test.classes)} classes, train of shape {train.shape} in "
            f"{len(train.classes)}: take both from one data.load"
        )


def participant_sizes(plan: Plan, held: Sequence[int]) -> tuple[int, ...]:
    """Return how many examples each participant trains on, where the owners hold `held`."""
    if plan.data == "stays":
        return tuple(held)
    total, participants = sum(held), 1 if plan.exchange == "none" else len(held)
    return tuple(total // participants + (index < total % participants) for index in range(participants))


def cohorts(plan: Plan, participants: int, seed: int) -> tuple[tuple[int, ...], ...]:
    """Return the participants of each round, drawn without replacement from (seed, round)."""
    size = max(1, round(plan.participation * participants))
    if size == participants:
        return (tuple(range(participants)),) * plan.rounds
    drawn = []
    for round_index in range(plan.rounds):
        order = torch.randperm(participants, generator=keys.generator(seed, "cohort", round_index))
        drawn.append(tuple(sorted(order[:size].tolist())))
    return tuple(drawn)


def hosting(plan: Plan, held: Sequence[int], in_round: Sequence[Sequence[int]], workers: int) -> tuple[int, ...]:
    """Return the process that holds each owner's data; process 0 is also the server."""
    if plan.exchange == "server":
        return tuple(balanced_hosts(in_round, held, workers))
    return tuple(owner % workers for owner in range(len(held)))
