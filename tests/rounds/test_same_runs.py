"""The same seed gives the same run, whatever is rebuilt inside: runs of every kind, held to what they were.

    python tests/rounds/test_same_runs.py          one line a run: a digest of its weights, messages and history, to the bit
    python tests/rounds/test_same_runs.py --store  write what the test compares with, after a change that is meant

Digests of weights hold on one kind of processor only: compare the first command's lines before and after a change. The test
compares what holds everywhere: every message exactly, and the weights through projections that rounding hardly moves.
"""

import hashlib
import json
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn.utils import parameters_to_vector

from course_lib import data, models, plans, rounds
from course_lib.compression import Quantise, TopK
from course_lib.federated.clustering import IFCA
from course_lib.federated.participation import LAPTOP, OLD_PHONE, PHONE, Devices
from course_lib.federated.personalisation import Ditto, FedBN, FedPer, FineTune
from course_lib.federated.strategies import FedNova, FedOpt, FedProx, QFedAvg, Scaffold
from course_lib.plans import Plan

STORED = Path(__file__).with_suffix(".json")
FEDAVG = plans.fedavg(rounds=4, participation=0.5, epochs=2)


def late_nan(message: torch.Tensor, round_number: int) -> torch.Tensor:
    """A client that sends NaN in its second round."""
    return message * float("nan") if round_number == 2 else message


@dataclass(frozen=True)
class Case:
    """A run: its plan, its model, and what else `rounds.fit` is told."""

    plan: Plan
    model: models.ModelSpec = field(default_factory=lambda: models.mlp((16,)))
    workers: tuple[int, ...] = (1, 2)
    told: dict[str, Any] = field(default_factory=dict)


CASES: dict[str, Case] = {
    "centralised": Case(plans.centralised(3)),
    "synchronous SGD": Case(plans.synchronous_sgd(12, 8), workers=(1, 2, 3)),
    "local SGD": Case(plans.local_sgd(4, 5, 8)),
    "FedSGD": Case(plans.fedsgd(4, 0.5)),
    "FedAvg": Case(FEDAVG, workers=(1, 2, 3)),
    "FedAvg, fixed steps": Case(FEDAVG.but(local_epochs=None, local_steps=7)),
    "logistic, payloads kept": Case(FEDAVG.but(rounds=2), models.logistic(), told={"keep_payloads": True}),
    "stops early": Case(FEDAVG.but(rounds=20), told={"stop_at": 0.6, "evaluate_every": 3}),
    "FedProx": Case(FEDAVG.but(strategy=FedProx())),
    "SCAFFOLD": Case(FEDAVG.but(strategy=Scaffold())),
    "SCAFFOLD, update only": Case(FEDAVG.but(strategy=Scaffold(uplink="update"))),
    "FedNova": Case(FEDAVG.but(strategy=FedNova())),
    "q-FedAvg": Case(FEDAVG.but(strategy=QFedAvg())),
    "FedAdam": Case(FEDAVG.but(strategy=FedOpt("adam"))),
    "fine-tuning": Case(FEDAVG.but(strategy=FineTune())),
    "Ditto, top-k": Case(FEDAVG.but(strategy=Ditto(), compression=TopK(0.1))),
    "FedPer": Case(FEDAVG.but(strategy=FedPer())),
    "FedBN": Case(FEDAVG.but(strategy=FedBN()), models.normalised(16)),
    "IFCA": Case(FEDAVG.but(strategy=IFCA(2))),
    "quantised at random": Case(FEDAVG.but(compression=Quantise(stochastic=True))),
    "quantised, feedback": Case(FEDAVG.but(compression=Quantise(feedback=True), strategy=FedOpt("yogi"))),
    "unreliable": Case(
        FEDAVG.but(
            fleet=Devices(
                [LAPTOP, PHONE, OLD_PHONE, OLD_PHONE] * 2, importance=range(1, 9), dropout=0.2, deadline=1.5,
                partial_work="accept", over_selection=1.5,
            ),
            required=2,
        ),
    ),
    "asked by importance": Case(FEDAVG.but(fleet=Devices(importance=range(1, 9), inverse_probability=True))),
    "faults": Case(FEDAVG.but(faults={0: lambda message, number: None, 3: late_nan}, strategy=Ditto())),
}  # fmt: skip


def run(name: str, workers: int) -> rounds.Run:
    """Return the run of a case on so many processes: eight clients of the digits, of unequal size."""
    case = CASES[name]
    train, test = data.load("digits")
    clients = data.partitions.quantity_skew(train.y, 8, alpha=1, seed=2)
    local_tests = np.array_split(np.arange(len(test)), 8)
    return rounds.fit(
        case.model, train, clients, case.plan, test=test, seed=3, workers=workers, local_tests=local_tests, **case.told
    )


def weights(of: rounds.Run) -> torch.Tensor:
    return parameters_to_vector(of.model.parameters()).detach().double()


def messages(of: rounds.Run) -> str:
    """Return a digest of all messages: round, sender, receiver, kind and bytes.

    Which of them crossed depends on the workers, and so do those that one process sends to another for their own sake.
    """
    rows = of.traffic[~of.traffic["kind"].isin(["evaluation", "control"])].drop(columns="crossed")
    return hashlib.sha256(rows.sort_values(rows.columns.tolist()).to_csv(index=False).encode()).hexdigest()[:16]


def digest(of: rounds.Run) -> str:
    """Return a digest of all that a run leaves behind but its seconds, to the bit."""
    found = hashlib.sha256()
    for tensor in (weights(of), parameters_to_vector(of.best_model.parameters()).detach(), *of.payloads):
        found.update(tensor.numpy().tobytes())
    found.update(of.client_accuracy.tobytes())
    found.update(of.history.drop(columns="seconds").to_csv(index=False).encode() + messages(of).encode())
    return found.hexdigest()[:16]


def summary(of: rounds.Run) -> dict[str, Any]:
    """Return what a run is held to on every machine."""
    theta = weights(of)
    rays = torch.randn(3, len(theta), generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return {
        "messages": messages(of), "rounds": int(of.history["round"].iloc[-1]),
        "projections": [round(float(value), 4) for value in rays @ theta / len(theta) ** 0.5],
        "norm": round(float(theta.norm()), 4),
    }  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize(("name", "workers"), [(name, count) for name, case in CASES.items() for count in case.workers])
def test_a_run_is_what_it_was(name: str, workers: int) -> None:
    found, stored = summary(run(name, workers)), json.loads(STORED.read_text(encoding="utf-8"))[name]
    assert (found["messages"], found["rounds"]) == (stored["messages"], stored["rounds"])
    assert found["norm"] == pytest.approx(stored["norm"], rel=1e-3)
    assert found["projections"] == pytest.approx(stored["projections"], abs=2e-3)


if __name__ == "__main__":
    if "--store" in sys.argv:
        STORED.write_text(
            json.dumps({name: summary(run(name, 1)) for name in CASES}, indent=1) + "\n", encoding="utf-8"
        )
    else:
        for name, case in CASES.items():
            for count in case.workers:
                print(f"{digest(run(name, count))} {name}, {count}", flush=True)
