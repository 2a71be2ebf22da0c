"""The loop on problems of one or two weights, in one process: every plan has a closed form, so a slip in it shows at once."""

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parameters_to_vector

from course_lib import data, plans, rounds
from course_lib.cluster.traffic import Recorder
from course_lib.compression import TopK
from course_lib.federated.participation import Device, Devices
from course_lib.federated.strategies import Scaffold
from course_lib.federated.strategy import State, Strategy
from course_lib.learning import sgd
from course_lib.plans import Plan
from course_lib.rounds import preparation
from course_lib.rounds.participants import Participants
from tests.federated.bowl import RATE, Bowl, Pair, bowls, moved

CLIENTS = ((1.0, 2.0), (4.0, -1.0), (2.0, 3.0))
SIZES = (1, 2, 5)
THREE = bowls(*CLIENTS, copies=SIZES)
STEPS = 3
FEDAVG = plans.fedavg(rounds=2, participation=1.0, epochs=STEPS, batch_size=None, learning_rate=RATE)


def end_of(plan: Plan) -> float:
    train, clients = THREE
    return parameters_to_vector(rounds.fit(Bowl(), train, clients, plan).model.parameters()).item()


def averaged(rounds: int, steps: int) -> float:
    """Federated averaging by hand: each client counts by its examples."""
    weight = 0.0
    for _ in range(rounds):
        changes = [moved(weight, curvature, optimum, steps) for curvature, optimum in CLIENTS]
        weight += float(np.average(changes, weights=SIZES))
    return weight


def descended(steps: int) -> float:
    """Gradient descent by hand on the mean loss of all examples."""
    curvature, optimum = np.array(CLIENTS).T
    weight = 0.0
    for _ in range(steps):
        weight -= RATE * float(np.average(curvature * (weight - optimum), weights=SIZES))
    return weight


@pytest.mark.parametrize(
    "plan", [FEDAVG, plans.local_sgd(2, STEPS, learning_rate=RATE).but(batch_size=None, data="stays")]
)
def test_several_steps_alone_are_averaged_by_examples(plan: Plan) -> None:
    assert end_of(plan) == pytest.approx(averaged(2, STEPS), abs=1e-6)


@pytest.mark.parametrize(
    "plan",
    [
        plans.fedsgd(rounds=4, learning_rate=RATE),
        plans.synchronous_sgd(steps=4, batch_size=None, learning_rate=RATE),
        plans.synchronous_sgd(steps=4, batch_size=None, learning_rate=RATE).but(data="stays"),
        plans.centralised(epochs=4, learning_rate=RATE).but(batch_size=None),
    ],
)
def test_one_step_on_everything_is_gradient_descent_wherever_the_data_is(plan: Plan) -> None:
    assert end_of(plan) == pytest.approx(descended(4), abs=1e-6)


@pytest.mark.parametrize("length", [{"local_epochs": 2}, {"local_epochs": None, "local_steps": 4}])
@pytest.mark.parametrize("batch_size", [None, 1, 3, 4])
def test_a_client_counts_by_the_examples_that_its_steps_go_through(
    batch_size: int | None, length: dict[str, int | None]
) -> None:
    plan = FEDAVG.but(batch_size=batch_size, **length)
    sizes = range(1, 9)
    job = preparation.Job(Bowl(), plan, 0, tuple(sizes), (), (0,) * 8, 1, None, False)
    participants = Participants(job, sgd.FlatModel(Bowl()), Recorder())
    for client, size in enumerate(sizes):
        y = torch.zeros(size, dtype=torch.long)
        steps = preparation.local_steps(plan, size)
        for number in range(4):
            batches = sgd.batches(y[:, None].float(), y, batch_size, number * steps, steps, (0,))
            assert participants.examples(client, number) == sum(len(labels) for _, labels in batches)


@dataclass(frozen=True)
class Told(Strategy):
    """Federated averaging that keeps what the server is told of shares."""

    shares: tuple[list[float], ...] = ([],)

    def server(self, theta: Tensor, mean: Tensor, server: State, share: float) -> tuple[Tensor, State]:
        self.shares[0].append(share)
        return super().server(theta, mean, server, share)


def test_the_server_is_told_how_much_of_everybody_answered() -> None:
    strategy = Told(([],))
    plan = FEDAVG.but(rounds=6, participation=0.67, strategy=strategy)
    end_of(plan)
    cohorts = preparation.cohorts(plan, 3, 0)
    assert len(set(cohorts)) > 1 and all(len(set(cohort)) == 2 for cohort in cohorts)
    assert strategy.shares[0] == [sum(SIZES[client] for client in cohort) / 8 for cohort in cohorts]


def test_who_sends_nonsense_is_no_part_of_the_mean_nor_of_the_share() -> None:
    strategy = Told(([],))
    plan = FEDAVG.but(rounds=1, strategy=strategy, faults={2: lambda message, number: message * float("nan")})
    changes = [moved(0, curvature, optimum, STEPS) for curvature, optimum in CLIENTS[:2]]
    assert end_of(plan) == pytest.approx(np.average(changes, weights=SIZES[:2]), abs=1e-6)
    assert strategy.shares[0] == [3 / 8]


def test_a_slow_client_sends_the_steps_that_it_has_done_by_the_deadline() -> None:
    devices = [Device(str(speed), speed, uplink=1e9, downlink=1e9) for speed in (10, 1, 0.5)]
    fleet = Devices(devices, deadline=2.5, partial_work="accept")
    changes = [
        moved(0, *client, steps) for client, steps in zip(CLIENTS, (4, 2, 1), strict=True)
    ]  # of four steps, at 10, 1 and 0.5 a second
    found = end_of(FEDAVG.but(rounds=1, local_epochs=4, fleet=fleet))
    assert found == pytest.approx(np.average(changes, weights=SIZES), abs=1e-6)


def test_scaffold_on_clients_that_take_turns_is_its_paper_by_hand() -> None:
    plan = FEDAVG.but(rounds=6, participation=0.67, strategy=Scaffold(server_rate=0.8))
    weight, control, own = 0.0, 0.0, [0.0] * 3
    for cohort in preparation.cohorts(plan, 3, 0):
        sizes, deltas, changes = [SIZES[client] for client in cohort], [], []
        for client in cohort:
            curvature, optimum = CLIENTS[client]
            delta = moved(weight, curvature, optimum - (control - own[client]) / curvature, STEPS)
            renewed = own[client] - control - delta / (STEPS * RATE)
            deltas.append(delta)
            changes.append(renewed - own[client])
            own[client] = renewed
        weight += 0.8 * float(np.average(deltas, weights=sizes))
        control += sum(sizes) / sum(SIZES) * float(np.average(changes, weights=sizes))
    assert end_of(plan) == pytest.approx(weight, abs=1e-5)
    # What the server remembers stays the mean of what the clients do.
    assert control == pytest.approx(np.average(own, weights=SIZES), abs=1e-9)


def test_what_a_client_could_not_send_is_added_to_its_next_message() -> None:
    # The nearer weight needs less and is left out at first; what it would have moved is sent one round later.
    train = data.from_arrays(torch.tensor([[1.0, 10.0, 7.5]]), [0], "pair", ["pair", "nothing"])
    for feedback in (False, True):
        plan = FEDAVG.but(rounds=3, local_epochs=1, compression=TopK(0.5, feedback=feedback))
        found = parameters_to_vector(rounds.fit(Pair(), train, [[0]], plan).model.parameters()).detach()
        weights, left = np.array([0.0, 2.0]), np.zeros(2)
        for _ in range(3):
            vector = RATE * (np.array([10.0, 7.5]) - weights) + left
            sent = np.where(vector == vector.max(), vector, 0)
            weights, left = weights + sent, (vector - sent) * feedback
        torch.testing.assert_close(found, torch.from_numpy(weights).float(), rtol=0, atol=1e-6)
        assert (found[1] != 2) == feedback


class Sign(nn.Module):
    """Says class 1 where weight x example is above 0."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([torch.zeros_like(x), self.weight * x], dim=1)


def signs(changes: tuple[float, ...], **settings) -> rounds.Run:
    """A run in which the only client changes the weight by what it is told, round by round; weights above 0 are right 3 in 4 times."""
    train = data.from_arrays(torch.ones(1, 1), [1], "signs", ["below", "above"])
    test = data.from_arrays(torch.tensor([[1.0], [1.0], [1.0], [-1.0]]), [1, 1, 1, 1], "signs", ["below", "above"])
    settings = {"test": test} | settings
    plan = FEDAVG.but(rounds=len(changes), faults={0: lambda message, number: torch.tensor([changes[number - 1]])})
    return rounds.fit(Sign(), train, [[0]], plan, **settings)


def test_the_best_model_is_the_first_of_the_best_and_the_last_is_the_last() -> None:
    run = signs((-2.0, 5.0, 1.0, -7.0))
    assert run.history["accuracy"].tolist() == [0.25, 0.75, 0.75, 0.25]
    assert [next(model.parameters()).item() for model in (run.best_model, run.model)] == [3.0, -3.0]
    assert (run.accuracy, run.rounds_to(0.75), run.rounds_to(0.8)) == (0.25, 2, None)
    assert run.client_accuracy.tolist() == [0.0]


def test_a_validation_set_chooses_in_place_of_the_test_set_and_changes_nothing_else() -> None:
    # Weights below 0 are right 3 in 4 times here, where the test set has 1 in 4.
    validation = data.from_arrays(
        torch.tensor([[-1.0], [-1.0], [-1.0], [1.0]]), [1, 1, 1, 1], "signs", ["below", "above"]
    )
    changes = (2.0, -5.0, 7.0, -1.0)
    plain, chosen = signs(changes), signs(changes, validation=validation)
    assert chosen.history["validation_accuracy"].tolist() == [0.25, 0.75, 0.25, 0.25]
    assert plain.history.drop(columns="seconds").equals(chosen.history[plain.history.columns].drop(columns="seconds"))
    best = [next(run.best_model.parameters()).item() for run in (plain, chosen)]
    assert best == [2.0, -3.0] and plain.traffic.equals(chosen.traffic)
    assert signs(changes, stop_at=0.7).history["round"].tolist() == [1]
    assert signs(changes, stop_at=0.7, validation=validation).history["round"].tolist() == [1, 2]
    alone = signs(changes, stop_at=0.7, validation=validation, test=None)
    assert alone.history["accuracy"].isna().all() and len(alone.history) == 2
    with pytest.raises(ValueError, match=r"validation has examples of shape \(2,\)"):
        signs(changes, validation=data.from_arrays(torch.zeros(2, 2), [0, 1], "signs", ["below", "above"]))


def test_a_run_is_tested_when_it_should_be_and_ends_when_it_is_good_enough() -> None:
    assert signs((-2.0,) * 5, evaluate_every=2).history["round"].tolist() == [2, 4, 5]
    assert signs((-2.0, 5.0, 1.0, -7.0), stop_at=0.75).history["round"].tolist() == [1, 2]


def test_the_bytes_of_a_run_are_those_of_its_rounds_without_the_final_test_of_every_client() -> None:
    run = signs((1.0, 1.0))
    assert run.bytes_sent == run.traffic["bytes"].sum() == 2 * 2 * 4
    last = pd.DataFrame([{**run.traffic.iloc[-1].to_dict(), "kind": "evaluation", "bytes": 1000}])
    assert replace(run, traffic=pd.concat([run.traffic, last])).bytes_sent == 2 * 2 * 4
    assert (run.history["bytes_up"].tolist(), run.history["bytes_down"].tolist()) == ([4, 8], [4, 8])
    train, clients = THREE
    gradients = rounds.fit(Bowl(), train, clients, plans.fedsgd(rounds=2)).history
    assert gradients["bytes_up"].tolist() == gradients["bytes_down"].tolist() == [12, 24]
