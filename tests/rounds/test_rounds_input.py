"""Bad input is refused before any process starts, with the value and the remedy."""

import numpy as np
import psutil
import pytest
import torch
from torch import nn

from course_lib import cluster, data, models, plans, rounds
from course_lib.data import Dataset


@pytest.fixture(scope="module")
def digits() -> tuple[Dataset, Dataset]:
    return data.load("digits")


@pytest.fixture(autouse=True)
def no_process_starts() -> object:
    cluster.shutdown()
    before = {child.pid for child in psutil.Process().children(recursive=True)}
    yield
    assert {child.pid for child in psutil.Process().children(recursive=True)} <= before


def test_clients_that_hold_nothing_or_hold_what_does_not_exist_are_named(digits: tuple[Dataset, Dataset]) -> None:
    train, _ = digits
    plan = plans.fedavg(rounds=1)
    for clients, named in [
        ([], "clients is empty"),
        ([np.arange(3), np.array([], dtype=int)], "client 1 holds no example"),
        ([np.arange(3), np.array([5, len(train)])], f"client 1 holds examples 5 to {len(train)}"),
        ([np.array([-1, 4])], "client 0 holds examples -1 to 4"),
    ]:
        with pytest.raises(ValueError, match=named):
            rounds.fit(models.mlp(), train, clients, plan, workers=2)


@pytest.mark.parametrize("workers", [0, -1, 5])
def test_more_workers_than_clients_and_fewer_than_one_are_refused(
    digits: tuple[Dataset, Dataset], workers: int
) -> None:
    train, _ = digits
    with pytest.raises(ValueError, match=f"workers={workers} .* 4"):
        rounds.fit(models.mlp(), train, data.partitions.iid(train.y, 4), plans.fedavg(), workers=workers)


def test_a_model_for_other_classes_or_other_shapes_is_refused(digits: tuple[Dataset, Dataset]) -> None:
    train, _ = digits
    clients = data.partitions.iid(train.y, 4)
    with pytest.raises(ValueError, match=r"\(2, 3\).*10 classes"):
        rounds.fit(nn.Sequential(nn.Flatten(), nn.Linear(64, 3)), train, clients, plans.fedavg(), workers=2)
    with pytest.raises(ValueError, match=r"shape \(1, 8, 8\)"):
        rounds.fit(nn.Linear(7, 10), train, clients, plans.fedavg(), workers=2)


def test_a_test_set_of_another_kind_is_refused(digits: tuple[Dataset, Dataset]) -> None:
    train, _ = digits
    _, other = data.load("breast_cancer")
    with pytest.raises(ValueError, match=r"\(30,\) in 2 classes.*\(1, 8, 8\) in 10"):
        rounds.fit(models.mlp(), train, data.partitions.iid(train.y, 4), plans.fedavg(), test=other, workers=2)


def test_stopping_and_evaluating_at_impossible_points_is_refused(digits: tuple[Dataset, Dataset]) -> None:
    train, test = digits
    clients = data.partitions.iid(train.y, 4)
    for stop_at, given in [(1.2, test), (0.0, test), (0.9, None)]:
        with pytest.raises(ValueError, match=f"stop_at={stop_at}"):
            rounds.fit(models.mlp(), train, clients, plans.fedavg(), stop_at=stop_at, test=given, workers=2)
    with pytest.raises(ValueError, match="evaluate_every=0"):
        rounds.fit(models.mlp(), train, clients, plans.fedavg(), evaluate_every=0, workers=2)


def test_a_run_without_a_test_set_trains_and_says_that_it_was_not_tested(digits: tuple[Dataset, Dataset]) -> None:
    train, _ = digits
    run = rounds.fit(models.mlp(), train, data.partitions.iid(train.y, 4), plans.fedavg(rounds=1))
    assert torch.isfinite(next(run.model.parameters())).all()
    with pytest.raises(ValueError, match="test="):
        _ = run.accuracy
