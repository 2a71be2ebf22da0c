"""Each strategy is what its paper says: in closed form on small problems, in the limits where it is federated averaging."""

from copy import deepcopy
from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parameters_to_vector, vector_to_parameters

from course_lib import models, plans, rounds
from course_lib.data import Dataset
from course_lib.federated.participation import Device, Devices
from course_lib.federated.personalisation import Ditto, FineTune
from course_lib.federated.strategies import FedNova, FedOpt, FedProx, QFedAvg, Scaffold, Strategy
from course_lib.federated.strategy import LocalWork, State
from course_lib.learning import sgd
from course_lib.plans import Plan
from course_lib.rounds import preparation
from tests.federated.bowl import RATE, Bowl, bowls

MODEL = models.mlp((12,))


def weights(run: rounds.Run) -> Tensor:
    return parameters_to_vector(run.model.parameters()).detach()


def end_of(clients: tuple[Dataset, list[np.ndarray]], plan: Plan, workers: int = 1) -> float:
    return weights(rounds.fit(Bowl(), *clients, plan, workers=workers)).item()


TWO = bowls((1, 2), (4, -1))
TEN_STEPS = plans.fedavg(rounds=40, participation=1.0, epochs=10, batch_size=None, learning_rate=RATE)


class WrongWay(LocalWork):
    def train(self, start, correction=None):
        return super().train(start, correction and (lambda theta: -correction(theta)))


@dataclass(frozen=True)
class FlippedScaffold(Scaffold):
    """SCAFFOLD as it is often miswritten: with c_i - c in place of c - c_i."""

    def client(self, received: Tensor, state: State, work: LocalWork) -> tuple[Tensor, State]:
        return super().client(received, state, WrongWay(**vars(work)))


def test_scaffold_reaches_the_joint_optimum_of_two_quadratics() -> None:
    assert end_of(TWO, TEN_STEPS.but(strategy=Scaffold())) == pytest.approx(-0.4, abs=1e-5)


def test_federated_averaging_ends_between_the_two_optima_instead() -> None:
    # A client moves by (optimum - weight) x pull in a round; the ends balance where both moves cancel.
    pulls = 1 - (1 - RATE * 1) ** 10, 1 - (1 - RATE * 4) ** 10
    balance = (2 * pulls[0] - 1 * pulls[1]) / sum(pulls)
    assert balance > 0.18
    assert end_of(TWO, TEN_STEPS) == pytest.approx(balance, abs=1e-5)


def test_with_the_sign_of_the_control_variate_flipped_scaffold_ends_elsewhere() -> None:
    try:
        end = end_of(TWO, TEN_STEPS.but(rounds=20, strategy=FlippedScaffold()))
    except rounds.DivergedError:
        return
    assert abs(end - -0.4) > 1


@pytest.mark.slow
@pytest.mark.parametrize("participation", [0.3, 0.6])
def test_scaffold_reaches_the_joint_optimum_of_uneven_clients_that_take_turns(participation: float) -> None:
    clients = bowls((1, 2), (4, -1), (2, 3), copies=(1, 2, 5))
    joint = (1 * 1 * 2 + 2 * 4 * -1 + 5 * 2 * 3) / (1 * 1 + 2 * 4 + 5 * 2)
    plan = TEN_STEPS.but(rounds=120, participation=participation, strategy=Scaffold())
    assert end_of(clients, plan) == pytest.approx(joint, abs=1e-4)


def scaffold_by_hand(train: Dataset, clients: list[np.ndarray], plan: Plan, seed: int) -> Tensor:
    """Algorithm 1 of the paper, option II, with everything in one place; needs clients of one size."""
    model = MODEL.build(train.shape, len(train.classes), seed)
    parameters = list(model.parameters())
    theta = parameters_to_vector(parameters).detach()
    control, own = torch.zeros_like(theta), [torch.zeros_like(theta) for _ in clients]
    for round_index, cohort in enumerate(preparation.cohorts(plan, len(clients), seed)):
        deltas, changes = [], []
        for client in cohort:
            shard, local = train.subset(clients[client]), theta.clone()
            steps = preparation.local_steps(plan, len(shard))
            for x, y in sgd.batches(
                shard.x, shard.y, plan.batch_size, round_index * steps, steps, sgd.batch_key(seed, client)
            ):
                vector_to_parameters(local, parameters)
                gradient = parameters_to_vector(
                    torch.autograd.grad(nn.functional.cross_entropy(model(x), y), parameters)
                )
                local = local - plan.learning_rate * (gradient - own[client] + control)
            renewed = own[client] - control + (theta - local) / (steps * plan.learning_rate)
            deltas.append(local - theta)
            changes.append(renewed - own[client])
            own[client] = renewed
        theta = theta + torch.stack(deltas).mean(0)
        control = control + torch.stack(changes).sum(0) / len(clients)
    return theta


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_scaffold_remembers_clients_through_rounds_in_which_they_were_not_picked(
    digits: tuple[Dataset, Dataset], workers: int
) -> None:
    train, _ = digits
    clients = np.split(np.random.default_rng(0).permutation(len(train))[:1000], 10)
    plan = plans.fedavg(rounds=10, participation=0.3, epochs=1, batch_size=25).but(strategy=Scaffold())
    run = rounds.fit(MODEL, train, clients, plan, seed=2, workers=workers)
    torch.testing.assert_close(weights(run), scaffold_by_hand(train, clients, plan, 2), rtol=0, atol=1e-5)
    forgetful = plan.but(strategy=Forgetful())
    assert not torch.allclose(weights(run), weights(rounds.fit(MODEL, train, clients, forgetful, seed=2)), atol=1e-3)


@dataclass(frozen=True)
class Forgetful(Scaffold):
    def client(self, received: Tensor, state: State, work: LocalWork) -> tuple[Tensor, State]:
        return super().client(received, {}, work)


def test_the_defaults_of_fedopt_suit_its_optimiser() -> None:
    assert FedOpt("sgd") == FedOpt("sgd", server_rate=1.0, beta1=0.0)
    for optimiser in ("adam", "adagrad", "yogi"):
        assert FedOpt(optimiser) == FedOpt(optimiser, server_rate=0.01, beta1=0.9)
    assert FedOpt("sgd", beta1=0.9) == FedOpt("sgd", server_rate=1.0, beta1=0.9)


@pytest.mark.parametrize("workers", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_scaffold_with_half_the_uplink_is_the_same_method(digits: tuple[Dataset, Dataset], workers: int) -> None:
    train, _ = digits
    clients = uneven(train)
    plan = plans.fedavg(rounds=5, participation=0.5, epochs=1).but(faults={1: nan_in_round_2})
    both, half = (
        rounds.fit(MODEL, train, clients, plan.but(strategy=Scaffold(0.8, uplink)), seed=1, workers=workers)
        for uplink in ("both", "update")
    )
    torch.testing.assert_close(weights(half), weights(both), rtol=0, atol=1e-6)
    size = 4 * len(weights(both))
    for run, up in ((both, 2), (half, 1)):
        sent = run.traffic.groupby("kind")["bytes"]
        assert set(sent.get_group("model")) == {2 * size} and set(sent.get_group("update")) == {up * size}
    assert (half.history["bytes_up"] * 2).equals(both.history["bytes_up"])
    assert half.history["bytes_down"].equals(both.history["bytes_down"])


def nan_in_round_2(message: Tensor, number: int) -> Tensor:
    return message * float("nan") if number == 2 else message


def test_half_the_uplink_is_refused_where_clients_do_part_of_their_work() -> None:
    fleet = Devices([Device(str(speed), speed, 1e9, 1e9) for speed in (10, 1)], deadline=2.5, partial_work="accept")
    plan = TEN_STEPS.but(rounds=1, strategy=Scaffold(uplink="update"), fleet=fleet)
    with pytest.raises(ValueError, match="use partial_work='drop', or uplink='both'"):
        end_of(TWO, plan)
    assert end_of(TWO, plan.but(fleet=replace(fleet, partial_work="drop"))) != 0


def uneven(train: Dataset) -> list[np.ndarray]:
    return np.split(np.random.default_rng(0).permutation(len(train)), [7, 200, 611])


@pytest.mark.parametrize(
    "strategy",
    [
        Strategy(), FedProx(mu=0), QFedAvg(q=0), FedOpt("sgd"),
        Ditto(pull=3), FineTune(epochs=2),
    ],
    ids=lambda strategy: type(strategy).__name__,
)  # fmt: skip
def test_in_its_limit_a_strategy_is_federated_averaging_to_the_bit(
    digits: tuple[Dataset, Dataset], strategy: Strategy
) -> None:
    train, _ = digits
    plan = plans.fedavg(rounds=3, participation=0.5, epochs=1)
    averaged = weights(rounds.fit(MODEL, train, uneven(train), plan, seed=1))
    assert torch.equal(weights(rounds.fit(MODEL, train, uneven(train), plan.but(strategy=strategy), seed=1)), averaged)


@pytest.mark.parametrize(
    "strategy",
    [FedProx(mu=0.5), QFedAvg(q=1), FedOpt("sgd", server_rate=1, beta1=0.5), FedNova(), Scaffold()],
    ids=lambda strategy: type(strategy).__name__,
)
def test_away_from_its_limit_it_is_something_else(digits: tuple[Dataset, Dataset], strategy: Strategy) -> None:
    train, _ = digits
    plan = plans.fedavg(rounds=3, participation=0.5, epochs=1)
    averaged = weights(rounds.fit(MODEL, train, uneven(train), plan, seed=1))
    other = weights(rounds.fit(MODEL, train, uneven(train), plan.but(strategy=strategy), seed=1))
    assert not torch.allclose(other, averaged, atol=1e-3)


def test_with_equal_steps_fednova_is_federated_averaging(digits: tuple[Dataset, Dataset]) -> None:
    train, _ = digits
    plan = plans.fedavg(rounds=3, participation=1.0).but(local_epochs=None, local_steps=5)
    averaged = weights(rounds.fit(MODEL, train, uneven(train), plan))
    nova = weights(rounds.fit(MODEL, train, uneven(train), plan.but(strategy=FedNova())))
    torch.testing.assert_close(nova, averaged, rtol=0, atol=1e-6)


THREE = ((1.0, 2.0), (4.0, -1.0), (2.0, 3.0))


def test_with_unequal_steps_fednova_follows_the_equation_of_its_paper() -> None:
    # Batches of one: as many steps as examples.
    steps = np.array([1, 2, 4])
    plan = plans.fedavg(rounds=1, participation=1.0, epochs=1, batch_size=1, learning_rate=RATE)
    curvature, optimum = np.array(THREE).T
    delta = optimum * (1 - (1 - RATE * curvature) ** steps)
    share = steps / steps.sum()
    expected = (share * steps).sum() * (share * delta / steps).sum()
    clients = bowls(*THREE, copies=(1, 2, 4))
    assert end_of(clients, plan.but(strategy=FedNova())) == pytest.approx(expected, abs=1e-6)
    assert end_of(clients, plan) == pytest.approx((share * delta).sum(), abs=1e-6)
    assert abs(expected - (share * delta).sum()) > 0.05


def test_fedprox_follows_the_gradient_of_its_penalised_loss() -> None:
    start, moved = 0.0, []
    for curvature, optimum in THREE:
        weight = start
        for _ in range(10):
            weight -= RATE * (curvature * (weight - optimum) + 0.7 * (weight - start))
        moved.append(weight)
    plan = TEN_STEPS.but(rounds=1, strategy=FedProx(mu=0.7))
    assert end_of(bowls(*THREE), plan) == pytest.approx(np.mean(moved), abs=1e-6)


@pytest.mark.parametrize("q", [0.5, 1.0, 2.0])
def test_qfedavg_weighs_clients_by_their_loss_as_its_paper_says(q: float) -> None:
    curvature, optimum = np.array(THREE).T
    loss = curvature / 2 * optimum**2 + 1
    lipschitz = 1 / RATE
    gradient = -lipschitz * optimum * (1 - (1 - RATE * curvature) ** 10)
    h = q * loss ** (q - 1) * gradient**2 + lipschitz * loss**q
    expected = -(loss**q * gradient).sum() / h.sum()
    plan = TEN_STEPS.but(rounds=1, strategy=QFedAvg(q=q))
    assert end_of(bowls(*THREE), plan) == pytest.approx(expected, abs=1e-5)


def test_qfedavg_brings_the_losses_of_clients_closer_together() -> None:
    def gap(weight: float) -> float:
        losses = [curvature / 2 * (weight - optimum) ** 2 for curvature, optimum in ((1, 2), (4, -1))]
        return max(losses) - min(losses)

    plan = TEN_STEPS.but(local_epochs=1)
    assert gap(end_of(TWO, plan.but(strategy=QFedAvg(q=5)))) < 0.5 * gap(end_of(TWO, plan))


@pytest.mark.parametrize(
    ("strategy", "peer"),
    [
        (FedOpt("sgd", server_rate=0.5, beta1=0.8), lambda p: torch.optim.SGD(p, lr=0.5, momentum=0.8)),
        (
            FedOpt("adam", server_rate=0.1, beta1=0.8, beta2=0.95, tau=1e-9),
            lambda p: torch.optim.Adam(p, lr=0.1, betas=(0.8, 0.95), eps=1e-9),
        ),
        (
            FedOpt("adagrad", server_rate=0.1, beta1=0.0, tau=1e-9),
            lambda p: torch.optim.Adagrad(p, lr=0.1, eps=1e-9),
        ),
    ],
    ids=["momentum", "adam", "adagrad"],
)
def test_fedopt_takes_the_steps_of_torchs_optimiser_with_the_mean_change_for_a_descent(strategy, peer) -> None:
    generator = torch.Generator().manual_seed(0)
    theta = torch.randn(5, generator=generator)
    parameter = nn.Parameter(theta.clone())
    optimiser, server = peer([parameter]), strategy.server_start(theta)
    for _ in range(6):
        mean = torch.randn(5, generator=generator)
        theta, server = strategy.server(theta, mean, server, 1.0)
        parameter.grad = -mean
        optimiser.step()
        torch.testing.assert_close(theta, parameter.detach(), rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("make", "named"),
    [
        (lambda: FedProx(mu=-1), "mu=-1 must be at least 0"),
        (lambda: FedProx(mu=float("nan")), "mu=nan"),
        (lambda: QFedAvg(q=float("inf")), "q=inf"),
        (lambda: Scaffold(server_rate=0), "server_rate=0"),
        (lambda: Scaffold(uplink="none"), "uplink='none' must be"),  # type: ignore[arg-type]
        (lambda: FedOpt("adamw"), "'adamw' is unknown: use 'sgd'"),  # type: ignore[arg-type]
        (lambda: FedOpt(server_rate=-1), "server_rate=-1"),
        (lambda: FedOpt(beta1=1), "beta1=1 .* below 1"),
        (lambda: FedOpt(beta2=-0.1), r"beta2=-0\.1"),
        (lambda: FedOpt(tau=0), "tau=0"),
        (
            lambda: TEN_STEPS.but(exchange="all-reduce", strategy=FedProx()),
            "strategy=FedProx.* needs exchange='server'",
        ),
    ],
)
def test_a_setting_that_makes_no_sense_is_named_with_its_value(make, named: str) -> None:
    with pytest.raises(ValueError, match=named):
        make()


def test_a_run_leaves_the_callers_module_as_it_was() -> None:
    module = Bowl()
    before = deepcopy(module.state_dict())
    rounds.fit(module, *TWO, TEN_STEPS.but(rounds=1, strategy=Scaffold()))
    assert torch.equal(module.state_dict()["weight"], before["weight"])
