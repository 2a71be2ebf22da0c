"""DiLoCo is local SGD with an outer step, and at its neutral settings what it is built of."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from course_lib import cluster, data, models, plans, rounds
from course_lib.data import Dataset
from course_lib.distributed.diloco import DiLoCo
from course_lib.federated.strategies import FedNova, FedOpt, FedProx, Scaffold
from course_lib.learning import sgd
from tests.rounds.test_rounds import train_with_ddp, weights

MODEL = models.mlp((12,))
NEUTRAL = DiLoCo(outer_rate=1.0, momentum=0.0, nesterov=False)
Digits = tuple[Dataset, Dataset]


def of(digits: Digits, plan: plans.Plan, workers: int = 1, participants: int = 3, **told) -> rounds.Run:
    train, test = digits
    clients = data.partitions.iid(train.y, participants)
    return rounds.fit(MODEL, train, clients, plan, test=test, seed=3, workers=workers, **told)


@pytest.mark.slow
def test_one_inner_step_and_a_plain_outer_step_at_rate_1_is_synchronous_sgd_and_is_ddp(digits: Digits) -> None:
    plan = plans.diloco(8, local_steps=1, batch_size=16, learning_rate=0.5).but(strategy=NEUTRAL, data="stays")
    ours = weights(of(digits, plan, workers=2, participants=2))
    synchronous = plans.synchronous_sgd(8, 16, 0.5).but(data="stays")
    torch.testing.assert_close(ours, weights(of(digits, synchronous, participants=2)), rtol=0, atol=1e-6)
    train, _ = digits
    shards = [train.subset(indices) for indices in data.partitions.iid(train.y, 2)]
    pieces = [list(sgd.batches(one.x, one.y, 16, 0, 8, (3, "batches", k))) for k, one in enumerate(shards)]
    module = MODEL.build(train.shape, len(train.classes), 3)
    for ddp in cluster.launch(train_with_ddp, module, 8, 0.5, pieces, workers=2):
        torch.testing.assert_close(ours, ddp, rtol=0, atol=1e-6)


def test_at_rate_1_without_momentum_the_models_are_averaged_to_the_bit(digits: Digits) -> None:
    plan = plans.local_sgd(4, 6, 16)
    assert torch.equal(weights(of(digits, plan.but(strategy=NEUTRAL))), weights(of(digits, plan)))


def test_one_outer_step_lowers_the_loss(digits: Digits) -> None:
    train, _ = digits
    start = MODEL.build(train.shape, len(train.classes), 3)
    before = nn.functional.cross_entropy(start(train.x), train.y).item()
    end = of(digits, plans.diloco(1, local_steps=10, batch_size=16)).model
    assert nn.functional.cross_entropy(end(train.x), train.y).item() < before - 0.05


def messages(run: rounds.Run) -> list[list[object]]:
    """Who sent what to whom, in any order: which process sent first is chance."""
    return sorted(run.traffic.drop(columns="crossed").to_numpy().tolist())


def by_torch(changes: list[Tensor], **settings: object) -> Tensor:
    """torch's own optimiser, fed with minus each change for a gradient."""
    theta = nn.Parameter(torch.zeros(4))
    optimiser = torch.optim.SGD([theta], **settings)  # type: ignore[arg-type]
    for change in changes:
        theta.grad = -change
        optimiser.step()
    return theta.detach()


@pytest.mark.parametrize("nesterov", [True, False])
def test_the_outer_step_is_that_of_torch(nesterov: bool) -> None:
    changes = list(torch.randn(6, 4, generator=torch.Generator().manual_seed(0)))
    outer = DiLoCo(0.7, 0.9, nesterov)
    theta, kept = torch.zeros(4), outer.server_start(torch.zeros(4))
    for change in changes:
        theta, kept = outer.server(theta, change, kept, 1.0)
    torch.testing.assert_close(theta, by_torch(changes, lr=0.7, momentum=0.9, nesterov=nesterov))


@pytest.mark.slow
@pytest.mark.parametrize("exchange", ["all-reduce", "server"])
def test_the_run_is_the_same_on_any_number_of_processes(digits: Digits, exchange: str) -> None:
    plan = plans.diloco(4, 5, 16).but(exchange=exchange)
    runs = [of(digits, plan, workers) for workers in (1, 2, 3)]
    for run in runs[1:]:
        torch.testing.assert_close(weights(run), weights(runs[0]), rtol=0, atol=1e-6)
        assert messages(run) == messages(runs[0])
        assert run.client_accuracy.tolist() == runs[0].client_accuracy.tolist()


def test_an_outer_step_through_a_server_is_the_one_that_everybody_takes(digits: Digits) -> None:
    plan = plans.diloco(4, 5, 16)
    torch.testing.assert_close(
        weights(of(digits, plan)), weights(of(digits, plan.but(exchange="server"))), rtol=0, atol=1e-6
    )


def test_a_strategy_with_a_server_half_only_needs_no_server(digits: Digits) -> None:
    plan = plans.local_sgd(3, 5, 16)
    momentum = weights(of(digits, plan.but(strategy=FedOpt("sgd", server_rate=0.7, beta1=0.9))))
    outer = weights(of(digits, plan.but(strategy=DiLoCo(0.7, 0.9, nesterov=False))))
    torch.testing.assert_close(momentum, outer, rtol=0, atol=1e-6)


@pytest.mark.parametrize("strategy", [FedProx(), Scaffold(), FedNova()])
def test_a_strategy_whose_clients_do_something_else_is_refused_without_a_server(strategy: object) -> None:
    with pytest.raises(ValueError, match=r"needs exchange='server', not 'all-reduce': its client is its own"):
        plans.local_sgd().but(strategy=strategy)
    with pytest.raises(ValueError, match="not 'none'"):
        plans.centralised().but(strategy=NEUTRAL)


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"outer_rate": 0.0}, "outer_rate=0.0"),
        ({"outer_rate": float("nan")}, "outer_rate=nan"),
        ({"momentum": 1.0}, "momentum=1.0"),
        ({"momentum": 0.0}, "nesterov=False"),
    ],
)
def test_settings_that_make_no_sense_are_named(settings: dict[str, Any], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        DiLoCo(**settings)


def test_post_local_sgd_goes_on_where_steps_in_step_have_ended(digits: Digits) -> None:
    train, test = digits
    clients = data.partitions.iid(train.y, 3)
    first = rounds.fit(MODEL, train, clients, plans.synchronous_sgd(20, 16), test=test, seed=3)
    then = rounds.fit(first.model, train, clients, plans.local_sgd(5, 4, 16), test=test, seed=4)
    afresh = rounds.fit(MODEL, train, clients, plans.local_sgd(5, 4, 16), test=test, seed=4)
    assert then.history["loss"].iloc[0] < afresh.history["loss"].iloc[0]
    assert then.history["loss"].iloc[-1] < first.history["loss"].iloc[-1]
