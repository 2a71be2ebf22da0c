"""Clients that send what the server cannot use are left out and named; the run goes on without them."""

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.utils import parameters_to_vector

from course_lib import data, models, plans, rounds
from course_lib.compression import Compression, Quantise, TopK
from course_lib.data import Dataset
from course_lib.federated.fleet import Attendance
from course_lib.federated.participation import Devices
from course_lib.federated.strategies import FedNova, Scaffold
from course_lib.federated.strategy import LocalWork, State, Strategy
from course_lib.learning import evaluation

MODEL = models.mlp((8,))
PLAN = plans.fedavg(rounds=3, participation=1.0, epochs=1)
workers = pytest.mark.parametrize("workers", [1, pytest.param(2, marks=pytest.mark.slow)])


def weights(run: rounds.Run) -> Tensor:
    return parameters_to_vector(run.model.parameters()).detach()


@pytest.fixture(scope="module")
def clients(digits: tuple[Dataset, Dataset]) -> list[np.ndarray]:
    return data.partitions.quantity_skew(digits[0].y, 4, alpha=1.0)


@dataclass(frozen=True)
class Without:
    """A fleet in which one client is asked in every round and never answers."""

    missing: int

    def attendance(
        self, round_index: int, cohort_size: int, steps: Sequence[int], download: int, upload: int, seed: int
    ) -> Attendance:
        everyone = tuple(range(len(steps)))
        return Attendance(everyone, {client: 1.0 for client in everyone if client != self.missing})


def one_infinity(message: Tensor, _: int) -> Tensor:
    message = message.clone()
    message[3] = float("-inf")
    return message


FAULTS: dict[str, tuple[Callable[[Tensor, int], Any], str]] = {
    "NaN": (lambda message, _: message * float("nan"), "NaN or infinity"),
    "one infinity": (one_infinity, "NaN or infinity"),
    "both infinities": (lambda message, _: torch.cat([message[2:], torch.tensor([1, -1]) / 0]), "NaN or infinity"),
    "too short": (lambda message, _: message[:7], "7 of torch.float32, not 610 of"),
    "a matrix": (lambda message, _: message.reshape(2, -1), "2x305 of torch.float32, not 610 of"),
    "one number": (lambda message, _: message.sum(), "a single value of torch.float32, not 610 of"),
    "another type": (lambda message, _: message.double(), "610 of torch.float64, not 610 of"),
    "nothing": (lambda message, _: None, "no message"),
    "an array": (lambda message, _: message.numpy(), "a ndarray"),
    "words": (lambda message, _: "sorry", "a str"),
}


@workers
@pytest.mark.parametrize("fault", FAULTS)
def test_it_is_named_with_the_reason_and_the_run_is_as_if_it_had_not_answered(
    digits: tuple[Dataset, Dataset], clients: list[np.ndarray], fault: str, workers: int
) -> None:
    train, test = digits
    wrong, reason = FAULTS[fault]
    run = rounds.fit(MODEL, train, clients, PLAN.but(faults={2: wrong}), test=test, workers=workers)
    for number, said in enumerate(run.history["left_out"], start=1):
        assert said.startswith(f"round {number}: client 2 ({reason}")
    assert not run.history["skipped"].any()
    never = rounds.fit(MODEL, train, clients, PLAN.but(fleet=Without(2)), test=test)
    assert torch.equal(weights(run), weights(never))
    np.testing.assert_array_equal(run.history["accuracy"], never.history["accuracy"])
    np.testing.assert_allclose(run.client_accuracy, never.client_accuracy)


def test_sound_clients_are_never_named_and_make_a_difference(
    digits: tuple[Dataset, Dataset], clients: list[np.ndarray]
) -> None:
    train, test = digits
    run = rounds.fit(MODEL, train, clients, PLAN, test=test)
    assert list(run.history["left_out"]) == [""] * 3
    assert not torch.allclose(weights(run), weights(rounds.fit(MODEL, train, clients, PLAN.but(fleet=Without(2)))))


@workers
def test_several_faulty_clients_are_all_named_also_between_two_evaluations(
    digits: tuple[Dataset, Dataset], clients: list[np.ndarray], workers: int
) -> None:
    train, test = digits
    faults = {0: FAULTS["nothing"][0], 3: lambda message, number: message if number == 2 else message[:1]}
    plan = PLAN.but(rounds=4, faults=faults)
    run = rounds.fit(MODEL, train, clients, plan, test=test, evaluate_every=3, workers=workers)
    short = "client 3 (1 of torch.float32, not 610 of torch.float32)"
    none = "client 0 (no message)"
    assert list(run.history["left_out"]) == [
        f"round 1: {none}; round 1: {short}; round 2: {none}; round 3: {none}; round 3: {short}",
        f"round 4: {none}; round 4: {short}",
    ]


@pytest.mark.slow
@pytest.mark.parametrize("packing", [Quantise(), Quantise(feedback=True), TopK(0.1), TopK(0.1, feedback=False)])
@pytest.mark.parametrize("fault", FAULTS)
def test_packed_messages_hide_no_fault(
    digits: tuple[Dataset, Dataset], clients: list[np.ndarray], packing: Compression, fault: str
) -> None:
    train, _ = digits
    plan = PLAN.but(rounds=2, compression=packing)
    run = rounds.fit(MODEL, train, clients, plan.but(faults={2: FAULTS[fault][0]}))
    assert [said.count("client 2") for said in run.history["left_out"]] == [1, 1]
    assert torch.equal(weights(run), weights(rounds.fit(MODEL, train, clients, plan.but(fleet=Without(2)))))


@pytest.mark.parametrize("packing", [Quantise(feedback=True), TopK(0.01)])
def test_a_client_that_failed_once_is_heard_again(
    digits: tuple[Dataset, Dataset], clients: list[np.ndarray], packing: Compression
) -> None:
    train, _ = digits
    faults = {2: lambda message, number: message * float("nan") if number == 1 else message}
    run = rounds.fit(MODEL, train, clients, PLAN.but(compression=packing, faults=faults))
    assert [bool(said) for said in run.history["left_out"]] == [True, False, False]


@pytest.mark.parametrize("strategy", [FedNova(), Scaffold()])
def test_strategies_that_send_more_than_an_update_leave_it_out_as_well(
    digits: tuple[Dataset, Dataset], clients: list[np.ndarray], strategy: FedNova | Scaffold
) -> None:
    train, _ = digits
    plan = PLAN.but(strategy=strategy)
    run = rounds.fit(MODEL, train, clients, plan.but(faults={2: FAULTS["NaN"][0]}))
    assert run.history["left_out"].str.contains("client 2").all()
    assert torch.equal(weights(run), weights(rounds.fit(MODEL, train, clients, plan.but(fleet=Without(2)))))


@workers
def test_a_round_with_too_few_messages_is_skipped_and_says_so(
    digits: tuple[Dataset, Dataset], clients: list[np.ndarray], workers: int
) -> None:
    train, test = digits
    faults = {client: lambda message, number: None if number != 2 else message for client in (1, 2)}
    run = rounds.fit(MODEL, train, clients, PLAN.but(required=3, faults=faults), test=test, workers=workers)
    assert list(run.history["skipped"]) == [1, 0, 1]
    accuracy = list(run.history["accuracy"])
    untrained = MODEL.build(train.shape, len(train.classes), 0)
    assert accuracy[0] == evaluation.accuracy(untrained, test)
    assert accuracy[1] != accuracy[0] and accuracy[2] == accuracy[1]
    enough = rounds.fit(MODEL, train, clients, PLAN.but(required=2, faults=faults), test=test, workers=workers)
    assert list(enough.history["skipped"]) == [0, 0, 0]


def test_rounds_in_which_every_client_is_faulty_are_skipped(
    digits: tuple[Dataset, Dataset], clients: list[np.ndarray]
) -> None:
    train, _ = digits
    faults = dict.fromkeys(range(4), lambda message, number: message if number == 1 else message * float("nan"))
    run = rounds.fit(MODEL, train, clients, PLAN.but(faults=faults))
    assert list(run.history["skipped"]) == [0, 1, 1]
    assert torch.equal(weights(run), weights(rounds.fit(MODEL, train, clients, PLAN.but(rounds=1))))


@workers
@pytest.mark.parametrize("fault", ["NaN", "too short", "nothing"])
def test_when_all_others_diverge_the_run_ends_with_what_to_do(
    digits: tuple[Dataset, Dataset], clients: list[np.ndarray], fault: str, workers: int
) -> None:
    train, _ = digits
    plan = PLAN.but(learning_rate=1e30, faults={0: FAULTS[fault][0]})
    with pytest.raises(rounds.DivergedError, match=r"client 1 sent an update with NaN or infinity in round 1: lower"):
        rounds.fit(models.mlp(), train, clients, plan, workers=workers)


@workers
def test_with_nine_in_ten_dropping_out_a_run_ends_cleanly_with_its_best_model(
    digits: tuple[Dataset, Dataset], workers: int
) -> None:
    train, test = digits
    clients = data.partitions.dirichlet(train.y, 20, alpha=0.3)
    plan = plans.fedavg(rounds=25, participation=0.3, epochs=1).but(fleet=Devices(dropout=0.9))
    run = rounds.fit(MODEL, train, clients, plan, test=test, workers=workers)
    assert len(run.history) == 25
    assert run.history["absent"].sum() > 0.8 * 25 * 6
    assert 0 < run.history["skipped"].sum() < 25  # 0.9 ** 6: every second round has no answer at all
    assert np.isfinite(run.history["accuracy"]).all() and torch.isfinite(weights(run)).all()
    best = run.history["accuracy"].max()
    assert evaluation.accuracy(run.best_model, test) == best > run.history["accuracy"].iloc[0]


def test_the_best_model_is_kept_when_later_rounds_spoil_it(
    digits: tuple[Dataset, Dataset], clients: list[np.ndarray]
) -> None:
    train, test = digits
    spoil = {k: lambda message, number: message if number < 3 else -5 * torch.ones_like(message) for k in range(4)}
    run = rounds.fit(MODEL, train, clients, PLAN.but(rounds=4, faults=spoil), test=test)
    assert run.accuracy < run.history["accuracy"].max() == evaluation.accuracy(run.best_model, test)


def test_a_number_of_required_messages_that_makes_no_sense_is_refused(
    digits: tuple[Dataset, Dataset], clients: list[np.ndarray]
) -> None:
    train, _ = digits
    with pytest.raises(ValueError, match=r"required=5 messages a round, but there are 4 clients: .* would be skipped"):
        rounds.fit(MODEL, train, clients, PLAN.but(required=5))
    with pytest.raises(ValueError, match=r"faults names client 4, but there are 4 clients: .* from 0 to 3"):
        rounds.fit(MODEL, train, clients, PLAN.but(faults={4: FAULTS["NaN"][0]}))
    with pytest.raises(ValueError, match="required=0 must be a whole number of at least 1"):
        PLAN.but(required=0)
    with pytest.raises(ValueError, match=r"faults=.* needs exchange='server', not 'all-reduce'"):
        plans.local_sgd().but(faults={0: FAULTS["NaN"][0]})


@dataclass(frozen=True)
class Breaks(Strategy):
    """Federated averaging in which clients 1 and 2 diverge, the first in round 2 and the second in rounds 1 to 3."""

    def client(self, received: Tensor, state: State, work: LocalWork) -> tuple[Tensor, State]:
        delta, (client, number) = work.train(received), (work.key[-1], work.first_step // work.steps + 1)
        return delta * float("nan") if (client, number) in ((1, 2), (2, 1), (2, 2), (2, 3)) else delta, state


@workers
def test_clients_that_diverge_are_warned_of_once_and_faults_made_on_purpose_are_not(
    digits: tuple[Dataset, Dataset], clients: list[np.ndarray], workers: int
) -> None:
    expected = r"4 messages held NaN or infinity and were left out: client 1 \(round 2\), client 2 \(3 rounds from 1 to 3\): lower"
    with pytest.warns(RuntimeWarning, match=expected) as seen:
        rounds.fit(MODEL, digits[0], clients, PLAN.but(strategy=Breaks()), workers=workers)
    assert [warning.filename for warning in seen] == [__file__]
    faults = {1: lambda message, number: message * float("inf"), 2: lambda message, number: None}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        rounds.fit(MODEL, digits[0], clients, PLAN.but(faults=faults), workers=workers)
        rounds.fit(MODEL, digits[0], clients, PLAN.but(strategy=Breaks(), faults=faults), workers=workers)
