"""What a client remembers of a round counts once the server has used its message, and not before."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.utils import parameters_to_vector

from course_lib import data, models, plans, rounds
from course_lib.compression import TopK
from course_lib.data import Dataset
from course_lib.federated.fleet import Attendance
from course_lib.federated.personalisation import Ditto, FedPer
from course_lib.federated.strategies import Scaffold
from course_lib.federated.strategy import LocalWork, State
from course_lib.learning import sgd

MODEL = models.mlp((8,))
PLAN = plans.fedavg(rounds=4, participation=1.0, epochs=1)
several = pytest.mark.parametrize("workers", [1, pytest.param(3, marks=pytest.mark.slow)])
remembering = pytest.mark.parametrize(
    "changes", [{"strategy": Scaffold()}, {"strategy": Ditto(1.0)}, {"strategy": FedPer()}, {"compression": TopK(0.1)}]
)


@dataclass(frozen=True)
class Away:
    """A fleet in which some clients do not answer in round 2."""

    clients: tuple[int, ...]

    def attendance(
        self, round_index: int, cohort_size: int, steps: Sequence[int], download: int, upload: int, seed: int
    ) -> Attendance:
        everyone = tuple(range(len(steps)))
        away = self.clients if round_index == 1 else ()
        return Attendance(everyone, {client: 1.0 for client in everyone if client not in away})


@pytest.fixture(scope="module")
def clients(digits: tuple[Dataset, Dataset]) -> list[np.ndarray]:
    return data.partitions.quantity_skew(digits[0].y, 4, alpha=1.0)


def nan_in_round_2(message: Tensor, number: int) -> Tensor:
    return message * float("nan") if number == 2 else message


def nothing_in_round_2(message: Tensor, number: int) -> Tensor | None:
    return None if number == 2 else message


def assert_same(one: rounds.Run, other: rounds.Run) -> None:
    weights, same = (parameters_to_vector(run.model.parameters()) for run in (one, other))
    assert torch.equal(weights, same)
    np.testing.assert_array_equal(one.client_accuracy, other.client_accuracy)
    columns = one.history.columns.drop(["seconds", "left_out", "absent", "skipped", "bytes_up", "simulated_seconds"])
    assert one.history[columns].equals(other.history[columns])


@several
@remembering
@pytest.mark.parametrize("fault", [nan_in_round_2, nothing_in_round_2])
def test_a_client_whose_message_was_left_out_once_goes_on_as_if_it_had_been_away(
    digits: tuple[Dataset, Dataset], clients: list[np.ndarray], changes: dict[str, object], fault: object, workers: int
) -> None:
    train, test = digits
    plan = PLAN.but(**changes)
    spoilt = rounds.fit(MODEL, train, clients, plan.but(faults={2: fault}), test=test, workers=workers)
    assert spoilt.history["left_out"].astype(bool).tolist() == [False, True, False, False]
    assert_same(spoilt, rounds.fit(MODEL, train, clients, plan.but(fleet=Away((2,))), test=test))


@several
@remembering
def test_clients_of_a_skipped_round_go_on_as_if_all_had_been_away(
    digits: tuple[Dataset, Dataset], clients: list[np.ndarray], changes: dict[str, object], workers: int
) -> None:
    train, test = digits
    plan = PLAN.but(**changes, required=4)
    skipped = rounds.fit(MODEL, train, clients, plan.but(faults={2: nan_in_round_2}), test=test, workers=workers)
    assert skipped.history["skipped"].tolist() == [0, 1, 0, 0]
    assert_same(skipped, rounds.fit(MODEL, train, clients, plan.but(fleet=Away((0, 1, 2, 3))), test=test))


@dataclass(frozen=True)
class Watched(Scaffold):
    """SCAFFOLD that hands out what server and clients have in the end."""

    def personal(self, received: Tensor, state: State, work: LocalWork) -> Tensor:
        theta, control = received.chunk(2)
        seen.append((work.examples, control, state.get("control", torch.zeros_like(control))))
        return theta


seen: list[tuple[int, Tensor, Tensor]] = []


@pytest.mark.parametrize("length", [{"local_epochs": 1}, {"local_epochs": None, "local_steps": 7}])
@pytest.mark.parametrize("uplink", ["both", "update"])
def test_the_servers_control_variate_stays_the_mean_of_the_clients(
    digits: tuple[Dataset, Dataset], clients: list[np.ndarray], uplink: Literal["both", "update"],
    length: dict[str, int | None],
) -> None:  # fmt: skip
    # With fixed steps, whether a round takes in the last and smaller batch of an epoch must not change what a client counts.
    seen.clear()
    faults = {1: nan_in_round_2, 2: nothing_in_round_2}
    plan = PLAN.but(
        strategy=Watched(uplink=uplink), faults=faults, participation=0.75, rounds=5, batch_size=50, **length
    )
    rounds.fit(MODEL, digits[0], clients, plan.but(required=2))
    held, server, own = zip(*seen, strict=True)
    sizes = [size / sgd.steps_an_epoch(size, 50) for size in held] if plan.local_steps else held
    mean = sum(size * control for size, control in zip(sizes, own, strict=True)) / sum(sizes)
    torch.testing.assert_close(mean, server[0], rtol=0, atol=1e-5)
    assert server[0].norm() > 0.1


def test_the_server_says_whether_a_round_counts_only_where_clients_cannot_know(
    digits: tuple[Dataset, Dataset], clients: list[np.ndarray]
) -> None:
    alone = rounds.fit(MODEL, digits[0], clients, PLAN.but(required=2, strategy=Scaffold()))
    assert "control" not in set(alone.traffic["kind"])
