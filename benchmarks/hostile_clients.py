"""Clients of which some are hostile, and the rules that they meet: the cases of lesson 14's study."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np
import torch

from course_lib import data, learning, plans
from course_lib.adversary.poisoning import (
    ALIE,
    IPM,
    AgainstKrum,
    Attack,
    Backdoor,
    LabelFlip,
    MinMax,
    ModelReplacement,
    SignFlip,
)
from course_lib.aggregation.robust import (
    CoordinateMedian,
    FLTrust,
    Krum,
    Mixed,
    MultiKrum,
    NearestNeighbourMixing,
    NormBounding,
    TrimmedMean,
)
from course_lib.data import Dataset
from course_lib.plans import Plan
from course_lib.privacy.in_plans import SecureAggregation

CLIENTS, MOST = 20, 6
DOOR = Backdoor(target=0, share=0.5, size=2)
NONE = "no attacker"
MASKED = "secure aggregation, numbers cut at 0.05"  # the mean; what is cut is cut by the clients themselves
PLAN = plans.fedavg(rounds=10, participation=1.0, epochs=2, batch_size=16)

ATTACKS: dict[str, dict[str, Any]] = {
    "label flip": {"data": LabelFlip()},
    "back door": {"data": DOOR},
    "back door, boosted": {"data": DOOR, "model": ModelReplacement()},
    "sign flip": {"model": SignFlip(5.0)},
    "ALIE": {"model": ALIE(), "omniscient": True},
    "IPM": {"model": IPM(0.5), "omniscient": True},
    "min-max": {"model": MinMax(), "omniscient": True},
    "against Krum": {"model": AgainstKrum(), "omniscient": True},
}


@dataclass(frozen=True)
class WatchedKrum(Krum):
    """Krum that notes whom it picked, round by round."""

    picked: list[list[int]] = field(default_factory=list, compare=False)

    def chosen(self, vectors: torch.Tensor) -> list[int]:
        self.picked.append(super().chosen(vectors))
        return self.picked[-1]


@dataclass(frozen=True)
class WatchedMultiKrum(MultiKrum):
    """Multi-Krum that notes whom it picked, round by round."""

    picked: list[list[int]] = field(default_factory=list, compare=False)

    def chosen(self, vectors: torch.Tensor) -> list[int]:
        self.picked.append(super().chosen(vectors))
        return self.picked[-1]


def with_rule(rule: str) -> Plan:
    """Return the plan of one rule, by its name."""
    changes: dict[str, dict[str, Any]] = {
        "mean": {},
        "mean, all count alike": {"aggregation": TrimmedMean(0)},
        "median": {"aggregation": CoordinateMedian(MOST)},
        "median, momentum": {"aggregation": CoordinateMedian(MOST), "client_momentum": 0.9},
        "Krum": {"aggregation": WatchedKrum(MOST)},
        "multi-Krum": {"aggregation": WatchedMultiKrum(MOST)},
        "mixing, trimmed mean": {"aggregation": Mixed(NearestNeighbourMixing(MOST), TrimmedMean(MOST))},
        "norm bound": {"aggregation": NormBounding(MOST, bound=1.0)},
        "FLTrust": {"aggregation": FLTrust(MOST)},
        MASKED: {"secure_aggregation": SecureAggregation(bound=0.05, insecure_seed=0)},
    }
    return PLAN.but(**changes[rule])


RULES = (
    "mean", "mean, all count alike", "median", "median, momentum", "Krum", "multi-Krum", "mixing, trimmed mean", "norm bound", "FLTrust",
)  # fmt: skip


@dataclass(frozen=True)
class Case:
    """Attackers of 20 clients, what they do, and the rule that they meet; `clients`: "IID" or "skewed"."""

    clients: str
    attack: str
    attackers: int
    rule: str


def cases() -> Iterator[Case]:
    """Yield every case of the study: momentum only where history might help, one attacker alone with a boosted back door."""
    for clients in ("IID", "skewed"):
        yield from (Case(clients, NONE, 0, rule) for rule in RULES)
        for attack in ATTACKS:
            for attackers in (1, 2, 4, MOST) if attack == "back door, boosted" else (2, 4, MOST):
                yield from (Case(clients, attack, attackers, rule) for rule in RULES if met(attack, rule))
    for attack, attackers in ((NONE, 0), ("back door, boosted", 1), ("back door", MOST)):
        yield Case("IID", attack, attackers, MASKED)


def met(attack: str, rule: str) -> bool:
    """Return whether the study tries the attack against the rule."""
    if attack == "against Krum":
        return rule == "Krum"
    return rule != "mean, all count alike" and (rule != "median, momentum" or attack in ("ALIE", "IPM", "min-max"))


@cache
def images(tuning: bool) -> tuple[Dataset, Dataset, Dataset]:
    """Return what clients hold, what is judged on, and what the server has of its own."""
    train, test = data.load("digits", test_fraction=0.3)
    train, root = data.hold_out(train, 100 / len(train))
    if tuning:
        train, test = data.hold_out(train, 0.2)
    return train, test, root


def deal(clients: str, train: Dataset, seed: int) -> list[np.ndarray]:
    """Return each client's images."""
    if clients == "IID":
        return data.partitions.quantity_skew(train.y, CLIENTS, alpha=3, seed=seed)
    return data.partitions.dirichlet(train.y, CLIENTS, alpha=0.3, seed=seed)


def hostile(attackers: int, seed: int) -> tuple[int, ...]:
    """Return who attacks: the first of an order that the seed draws."""
    order = torch.randperm(CLIENTS, generator=learning.keys.generator(seed, "who attacks"))
    return tuple(sorted(order[:attackers].tolist()))


def plan_of(case: Case, rate: float, seed: int) -> Plan:
    """Return the plan of a case, with the attackers of a seed."""
    plan = with_rule(case.rule).but(learning_rate=rate)
    return plan.but(attack=Attack(hostile(case.attackers, seed), **ATTACKS[case.attack])) if case.attackers else plan
