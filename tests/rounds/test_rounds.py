"""The two facts that hold the course together, and that a run is the same run however many processes share it."""

from copy import deepcopy

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parameters_to_vector

from course_lib import cluster, data, models, plans, rounds
from course_lib.data import Dataset
from course_lib.learning import keys, sgd
from course_lib.plans import Plan

pytestmark = pytest.mark.slow

MODEL = models.mlp((12,))


@pytest.fixture(scope="module")
def digits() -> tuple[Dataset, Dataset]:
    return data.load("digits")


def uneven(train: Dataset, parts: int = 4) -> list[np.ndarray]:
    """Shards of very different sizes, the smallest of them smaller than a batch."""
    order = np.random.default_rng(0).permutation(len(train))
    return np.split(order, [7, 200, 611][: parts - 1])


def weights(run: rounds.Run) -> Tensor:
    return parameters_to_vector(run.model.parameters()).detach()


def whole_batch_sgd(train: Dataset, clients: list[np.ndarray], plan: Plan, seed: int) -> Tensor:
    """Plain SGD in one process on the union of everybody's batch."""
    model = MODEL.build(train.shape, len(train.classes), seed)
    optimiser = torch.optim.SGD(model.parameters(), lr=plan.learning_rate)
    shards = [train.subset(indices) for indices in clients]
    for step in range(plan.rounds):
        pieces = [
            next(sgd.batches(shard.x, shard.y, plan.batch_size, step, 1, (seed, "batches", client)))
            for client, shard in enumerate(shards)
        ]
        optimiser.zero_grad()
        x, y = torch.cat([x for x, _ in pieces]), torch.cat([y for _, y in pieces])
        nn.functional.cross_entropy(model(x), y).backward()
        optimiser.step()
    return parameters_to_vector(model.parameters()).detach()


def train_with_ddp(
    module: nn.Module, steps: int, learning_rate: float, pieces: list[list[tuple[Tensor, Tensor]]]
) -> Tensor:
    """Runs in each worker: torch's DistributedDataParallel on the batches of this rank."""
    rank, world = cluster.join()
    model = nn.parallel.DistributedDataParallel(module)
    optimiser = torch.optim.SGD(model.parameters(), lr=learning_rate)
    for step in range(steps):
        x, y = pieces[rank][step]
        total = sum(len(worker[step][1]) for worker in pieces)
        optimiser.zero_grad()
        # DDP divides the sum of gradients by the number of workers, so uneven batches are scaled by their share.
        loss = nn.functional.cross_entropy(model(x), y) * len(y) * world / total
        loss.backward()
        optimiser.step()
    return parameters_to_vector(module.parameters()).detach()


@pytest.mark.parametrize("workers", [1, 2, 4])
@pytest.mark.parametrize("batch_size", [None, 16])
def test_one_step_full_participation_and_mean_is_sgd_on_the_whole_batch_and_is_ddp(
    digits: tuple[Dataset, Dataset], workers: int, batch_size: int | None
) -> None:
    train, _ = digits
    clients = uneven(train, workers)
    plan = plans.synchronous_sgd(steps=8, batch_size=batch_size, learning_rate=0.5).but(data="stays")
    ours = weights(rounds.fit(MODEL, train, clients, plan, seed=3, workers=workers))

    one_process = whole_batch_sgd(train, clients, plan, seed=3)
    torch.testing.assert_close(ours, one_process, rtol=0, atol=1e-6)

    pieces = [
        list(sgd.batches(train.subset(c).x, train.subset(c).y, batch_size, 0, 8, (3, "batches", k)))
        for k, c in enumerate(clients)
    ]
    module = MODEL.build(train.shape, len(train.classes), 3)
    for ddp in cluster.launch(train_with_ddp, module, 8, 0.5, pieces, workers=workers):
        torch.testing.assert_close(ours, ddp, rtol=0, atol=1e-6)


def test_the_same_step_through_a_server_is_fedsgd(digits: tuple[Dataset, Dataset]) -> None:
    train, _ = digits
    clients = uneven(train)
    plan = plans.fedsgd(rounds=8, learning_rate=0.5)
    federated = weights(rounds.fit(MODEL, train, clients, plan, seed=3))
    assert torch.equal(federated, weights(rounds.fit(MODEL, train, clients, plan.but(exchange="all-reduce"), seed=3)))
    torch.testing.assert_close(federated, whole_batch_sgd(train, clients, plan, seed=3), rtol=0, atol=1e-6)


@pytest.mark.parametrize("workers", [1, 2])
def test_local_sgd_is_fedavg_on_the_same_shards(digits: tuple[Dataset, Dataset], workers: int) -> None:
    train, _ = digits
    clients = np.split(np.random.default_rng(1).permutation(len(train))[:1400], 4)  # 350 each: 35 steps of 10
    fedavg = plans.fedavg(rounds=3, participation=1.0, epochs=2, batch_size=10)
    local_sgd = plans.local_sgd(rounds=3, local_steps=70, batch_size=10).but(data="stays")
    first = rounds.fit(MODEL, train, clients, fedavg, workers=workers)
    second = rounds.fit(MODEL, train, clients, local_sgd, workers=workers)
    assert torch.equal(weights(first), weights(second))


def test_local_sgd_on_uneven_shards_weighs_workers_by_what_they_saw(digits: tuple[Dataset, Dataset]) -> None:
    train, _ = digits
    clients = [np.arange(0, 5), np.arange(5, 65)]
    run = rounds.fit(MODEL, train, clients, plans.local_sgd(1, 2, 10).but(data="stays"), seed=1)
    start = MODEL.build(train.shape, len(train.classes), 1)
    deltas = []
    for client, indices in enumerate(clients):
        shard = train.subset(indices)
        key = (1, "batches", client)
        deltas.append(sgd.local_update(sgd.FlatModel(deepcopy(start)), shard.x, shard.y, 0.1, 10, 0, 2, key))
    # Two steps of five examples against two steps of ten.
    expected = parameters_to_vector(start.parameters()) + (deltas[0] * 10 + deltas[1] * 20) / 30
    torch.testing.assert_close(weights(run), expected.detach(), rtol=0, atol=1e-6)


PLANS = [
    plans.centralised(epochs=2),
    plans.synchronous_sgd(steps=12, batch_size=8),
    plans.local_sgd(rounds=4, local_steps=3, batch_size=8),
    plans.fedsgd(rounds=6, participation=0.5),
    plans.fedavg(rounds=4, participation=0.5, epochs=2),
]


@pytest.mark.parametrize("plan", PLANS, ids=lambda plan: plan.name)
def test_the_same_seed_gives_the_same_run_on_one_two_and_four_processes(
    digits: tuple[Dataset, Dataset], plan: Plan
) -> None:
    train, test = digits
    clients = data.partitions.dirichlet(train.y, 6, alpha=0.5, seed=0)
    one, two, four = (
        rounds.fit(models.lenet(), train, clients, plan, test=test, seed=4, workers=workers) for workers in (1, 2, 4)
    )
    for other in (two, four):
        torch.testing.assert_close(weights(one), weights(other), rtol=0, atol=1e-6)
        columns = ["round", "accuracy", "bytes_up", "bytes_down", "bytes_moved"]
        assert one.history[columns].equals(other.history[columns])
        np.testing.assert_allclose(one.client_accuracy, other.client_accuracy)
        ledger = ["round", "sender", "receiver", "kind", "bytes"]
        first, second = (run.traffic[run.traffic["kind"] != "evaluation"][ledger] for run in (one, other))
        assert sorted(map(tuple, first.to_numpy())) == sorted(map(tuple, second.to_numpy()))
    assert not one.traffic["crossed"].any()


def test_another_seed_gives_other_weights_batches_and_cohorts(digits: tuple[Dataset, Dataset]) -> None:
    train, test = digits
    clients = data.partitions.iid(train.y, 20)
    first, second = (
        rounds.fit(MODEL, train, clients, plans.fedavg(rounds=3, participation=0.2), test=test, seed=s) for s in (0, 1)
    )
    assert not torch.allclose(weights(first), weights(second))
    cohorts = [set(run.traffic.loc[run.traffic["round"] == 1, "receiver"]) for run in (first, second)]
    assert cohorts[0] != cohorts[1]
    assert keys.key(0, "cohort", 1) != keys.key(1, "cohort", 0)


def test_a_run_learns(digits: tuple[Dataset, Dataset]) -> None:
    train, test = digits
    clients = data.partitions.iid(train.y, 10)
    run = rounds.fit(models.mlp(), train, clients, plans.fedavg(rounds=8, participation=0.5), test=test, workers=2)
    assert run.accuracy > 0.93  # 91 to 96 in a hundred is where a linear model ends on digits
    assert run.client_accuracy.shape == (10,) and run.client_accuracy.min() > 0.85


def test_training_leaves_the_callers_model_threads_and_generator_alone(digits: tuple[Dataset, Dataset]) -> None:
    train, _ = digits
    module = MODEL.build(train.shape, len(train.classes), 0)
    before = parameters_to_vector(module.parameters()).detach().clone()
    threads, state = torch.get_num_threads(), torch.get_rng_state()
    run = rounds.fit(module, train, uneven(train), plans.fedavg(rounds=1, participation=1.0))
    assert torch.equal(parameters_to_vector(module.parameters()), before)
    assert not torch.equal(weights(run), before)
    assert torch.get_num_threads() == threads and torch.equal(torch.get_rng_state(), state)


def test_a_run_stops_at_the_accuracy_it_was_asked_for(digits: tuple[Dataset, Dataset]) -> None:
    train, test = digits
    clients = data.partitions.iid(train.y, 4)
    plan = plans.fedavg(rounds=50, participation=1.0, epochs=1)
    one, two = (rounds.fit(MODEL, train, clients, plan, test=test, stop_at=0.85, workers=workers) for workers in (1, 2))
    assert one.accuracy >= 0.85 and len(one.history) < 50
    assert one.rounds_to(0.85) == two.rounds_to(0.85) == len(one.history)
    assert one.rounds_to(0.9999) is None


def test_progress_counts_the_rounds_up_to_the_last(digits: tuple[Dataset, Dataset]) -> None:
    train, _ = digits
    seen: list[tuple[int, int]] = []
    for workers in (1, 2):
        seen.clear()
        rounds.fit(
            MODEL, train, uneven(train), plans.local_sgd(5, 1, 4), workers=workers, progress=lambda *at: seen.append(at)
        )
        assert seen == [(done, 5) for done in range(1, 6)]


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("plan", [plans.fedavg(rounds=5, learning_rate=1e30), plans.local_sgd(5, learning_rate=1e30)])
def test_a_run_that_diverges_says_where_and_what_to_do_on_any_number_of_workers(
    digits: tuple[Dataset, Dataset], plan: plans.Plan, workers: int
) -> None:
    train, _ = digits
    with pytest.raises(rounds.DivergedError, match=r"NaN or infinity in round 1: lower the learning rate"):
        rounds.fit(models.mlp(), train, data.partitions.iid(train.y, 4), plan, workers=workers)
