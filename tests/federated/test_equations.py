"""Each half of each strategy, client and server, against its paper's equations on one weight, in milliseconds.

What a client is handed here is not where it would be at rest: the server's weight, its own and its controls all differ.
"""

import pytest
import torch
from torch import Tensor, nn

from course_lib import data
from course_lib.federated.clustering import IFCA
from course_lib.federated.personalisation import Ditto, FedBN, FedPer, FineTune
from course_lib.federated.strategies import FedNova, FedOpt, FedProx, QFedAvg, Scaffold, Strategy
from course_lib.federated.strategy import LocalWork
from course_lib.learning import sgd
from tests.federated.bowl import RATE, Pair, moved, work

CURVATURE, OPTIMUM, STEPS, START = 4.0, -1.0, 3, 0.5
PLAIN = moved(START, CURVATURE, OPTIMUM, STEPS)


def vector(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float32)


def close(found: Tensor, *expected: float) -> None:
    torch.testing.assert_close(found, vector(*expected), rtol=0, atol=2e-6)


def client(strategy: Strategy, received: Tensor, state: dict[str, Tensor] | None = None):
    return strategy.client(received, state or {}, work(CURVATURE, OPTIMUM, STEPS))


def test_federated_averaging_adds_the_mean_of_what_clients_changed() -> None:
    message, state = client(Strategy(), vector(START), {"kept": vector(7)})
    close(message, PLAIN)
    assert state == {"kept": vector(7)}
    close(Strategy().server(vector(1, 2), vector(0.5, -3), {}, 0.3)[0], 1.5, -1)
    close(Strategy().download(vector(1, 2), {}), 1, 2)
    close(Strategy().personal(vector(1, 2), {}, work(1, 1, 1)), 1, 2)
    assert Strategy().message_size(5) == 5


def test_fedprox_descends_the_loss_and_the_penalty_on_the_way_from_the_servers_weights() -> None:
    mu = 0.7
    middle = (CURVATURE * OPTIMUM + mu * START) / (CURVATURE + mu)
    message, _ = client(FedProx(mu=mu), vector(START))
    close(message, moved(START, CURVATURE + mu, middle, STEPS))


@pytest.mark.parametrize("own", [None, 0.25])
def test_a_client_of_scaffold_corrects_every_step_and_renews_its_control_by_option_ii(own: float | None) -> None:
    control, before = -0.8, own or 0.0
    state = {} if own is None else {"control": vector(own), "other": vector(1)}
    message, renewed = client(Scaffold(server_rate=0.5), vector(START, control), state)
    # A constant in the gradient moves the parabola's optimum.
    delta = moved(START, CURVATURE, OPTIMUM - (control - before) / CURVATURE, STEPS)
    after = before - control - delta / (STEPS * RATE)
    close(message, delta, after - before)
    close(renewed["control"], after)
    assert set(renewed) == {"control"} | set(state)


def test_the_server_of_scaffold_takes_the_mean_at_its_rate_and_the_controls_by_the_share_that_took_part() -> None:
    strategy = Scaffold(server_rate=0.5)
    start = strategy.server_start(vector(3, 4))
    close(start["control"], 0, 0)
    theta, server = strategy.server(vector(1, 2), vector(2, -4, 10, 20), {"control": vector(1, -1)}, 0.25)
    close(theta, 2, 0)
    close(server["control"], 3.5, 4)
    close(strategy.download(vector(1, 2), server), 1, 2, 3.5, 4)
    close(strategy.personal(vector(1, 2, 3.5, 4), {}, work(1, 1, 1)), 1, 2)
    assert strategy.message_size(5) == 10


def test_fednova_sends_the_change_of_one_step_and_the_server_takes_the_mean_number_of_them() -> None:
    message, _ = client(FedNova(), vector(START))
    close(message, PLAIN / STEPS, STEPS)
    close(FedNova().server(vector(1, 2), vector(0.5, -1, 4), {}, 0.3)[0], 3, -2)
    assert FedNova().message_size(5) == 6


@pytest.mark.parametrize("q", [0.0, 0.5, 2.0])
def test_qfedavg_weighs_a_client_by_its_loss_before_training(q: float) -> None:
    loss = CURVATURE / 2 * (START - OPTIMUM) ** 2 + 1
    message, _ = client(QFedAvg(q=q), vector(START))
    close(message, loss**q * PLAIN, q * loss ** (q - 1) * PLAIN**2 / RATE + loss**q)
    close(QFedAvg(q=q).server(vector(1, 2), vector(3, -1, 2), {}, 0.3)[0], 2.5, 1.5)
    assert QFedAvg(q=q).message_size(5) == 6


def test_yogi_lets_its_second_moment_rise_and_fall_by_the_same_step() -> None:
    strategy = FedOpt("yogi", server_rate=0.1, beta1=0.5, beta2=0.8, tau=0.01)
    memory = {"momentum": vector(1, 1), "second": vector(1, 9), "rounds": vector(3)}
    theta, server = strategy.server(vector(0, 0), vector(2, 2), memory, 1.0)
    close(server["momentum"], 1.5, 1.5)
    close(server["second"], 1 + 0.2 * 4, 9 - 0.2 * 4)
    close(theta, 0.1 * 1.5 / (1.8**0.5 + 0.01), 0.1 * 1.5 / (8.2**0.5 + 0.01))
    close(server["rounds"], 4)


def test_adagrad_adds_up_squares_and_averages_with_momentum() -> None:
    strategy = FedOpt("adagrad", server_rate=0.1, beta1=0.5, tau=0.01)
    theta, server = strategy.server(
        vector(1), vector(2), {"momentum": vector(1), "second": vector(5), "rounds": vector(3)}, 1.0
    )
    close(server["second"], 9)
    close(theta, 1 + 0.1 * 1.5 / 3.01)


def test_the_server_s_momentum_adds_up_and_adam_corrects_the_bias_of_its_first_rounds() -> None:
    momentum = FedOpt("sgd", server_rate=0.1, beta1=0.5)
    theta, server = momentum.server(vector(1), vector(2), {"momentum": vector(4)}, 1.0)
    close(server["momentum"], 4)
    close(theta, 1.4)
    adam = FedOpt("adam", server_rate=0.1, beta1=0.5, beta2=0.8, tau=0.01)
    theta, server = adam.server(
        vector(1), vector(2), {"momentum": vector(1), "second": vector(5), "rounds": vector(1)}, 1.0
    )
    close(server["second"], 4.8)
    close(theta, 1 + 0.1 * (1 - 0.8**2) ** 0.5 / (1 - 0.5**2) * 1.5 / (4.8**0.5 + 0.01))


def test_fine_tuning_goes_on_from_the_shared_model_for_whole_epochs() -> None:
    # Five examples in batches of two are three steps an epoch.
    own = FineTune(epochs=2).personal(vector(START), {}, work(CURVATURE, OPTIMUM, 1, copies=5, batch_size=2))
    close(own, START + moved(START, CURVATURE, OPTIMUM, 6))


@pytest.mark.parametrize("own", [None, -2.5])
def test_ditto_trains_the_shared_model_as_it_is_and_its_own_with_a_pull_towards_it(own: float | None) -> None:
    pull, begin = 0.7, START if own is None else own
    message, state = client(Ditto(pull=pull), vector(START), {} if own is None else {"own": vector(own)})
    middle = (CURVATURE * OPTIMUM + pull * START) / (CURVATURE + pull)
    close(message, PLAIN)
    close(state["own"], begin + moved(begin, CURVATURE + pull, middle, STEPS))
    close(Ditto().personal(vector(START), state, work(1, 1, 1)), state["own"].item())
    close(Ditto().personal(vector(START), {}, work(1, 1, 1)), START)


def test_a_personal_layer_starts_as_the_model_does_trains_on_with_its_client_and_is_never_sent() -> None:
    strategy = FedPer().fitted(Pair())
    train = data.from_arrays(vector(CURVATURE, OPTIMUM, 3)[None], [0], "pair", ["pair", "nothing"])
    job = LocalWork(sgd.FlatModel(Pair()), train, RATE, None, 0, STEPS, (0,))
    first = 2 + moved(2, CURVATURE, 3, STEPS)
    message, state = strategy.client(vector(START), {}, job)
    close(message, PLAIN)
    close(state["own"], first)
    message, state = strategy.client(vector(START), state, job)
    close(message, PLAIN)
    close(state["own"], first + moved(first, CURVATURE, 3, STEPS))
    close(strategy.personal(vector(0.25), state, job), 0.25, state["own"].item())
    close(strategy.personal(vector(0.25), {}, job), 0.25, 2)
    close(strategy.download(vector(5, 6), {}), 5)
    close(strategy.server(vector(5, 6), vector(-2), {}, 0.3)[0], 3, 6)
    assert strategy.message_size(2) == 1


def test_fedbn_keeps_the_layers_that_normalise_and_fedper_the_last() -> None:
    module = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3), nn.Linear(3, 2), nn.LayerNorm(2))
    assert FedBN().keeps(module) == [module[1], module[3]]
    assert FedPer(layers=2).keeps(module) == [module[2], module[3]]


def test_a_client_of_ifca_trains_the_model_that_fits_it_best_and_marks_it() -> None:
    message, _ = client(IFCA(3), vector(3, START, -4))
    close(message, 0, PLAIN, 0, 0, 1, 0)
    close(IFCA(3).personal(vector(3, START, -4), {}, work(CURVATURE, OPTIMUM, STEPS)), START)
    # Half of the clients, by weight, chose the second model, and nobody the third.
    models = {"models": vector(1, 2, 3)[:, None]}
    theta, server = IFCA(3).server(vector(1), vector(0.2, -0.5, 0, 0.5, 0.5, 0), models, 1.0)
    close(theta, 1.4)
    close(server["models"].flatten(), 1.4, 1, 3)
    close(IFCA(3).download(theta, server), 1.4, 1, 3)
    assert IFCA(3).message_size(5) == 18
