"""The same run on any number of processes; and a process that dies is named, and takes the others with it."""

import os
import signal

import psutil
import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parameters_to_vector

from course_lib import cluster, data, models, plans, rounds
from course_lib.cluster import start, worker
from course_lib.data import Dataset
from course_lib.topology import Graph, gossip, graphs, hierarchical
from tests.federated.bowl import Bowl, bowls

pytestmark = pytest.mark.slow

Digits = tuple[Dataset, Dataset]
MODEL = models.mlp((12,))
COLUMNS = ["round", "sender", "receiver", "kind", "bytes"]


def weights(run: rounds.Run) -> Tensor:
    return parameters_to_vector(run.model.parameters()).detach()


def sent(run: rounds.Run) -> list[list[object]]:
    return sorted(run.traffic[COLUMNS].to_numpy().tolist())


@pytest.mark.parametrize(("graph", "overlapped"), [
    (graphs.random_regular(8, 4), False), (graphs.ring(8), True), (graphs.directed_exponential(8), False),
], ids=["random", "ring, overlapped", "push-sum"])  # fmt: skip
def test_gossip_is_the_same_run_on_one_two_and_four_processes(digits: Digits, graph: Graph, overlapped: bool) -> None:
    train, test = digits
    own = data.partitions.dirichlet(train.y, 8, 0.5, seed=1)
    one, *others = (
        gossip.fit(
            MODEL, train, own, plans.fedavg(4, 1.0, 1), graph, test=test, seed=2, workers=workers, overlapped=overlapped
        )
        for workers in (1, 2, 4)
    )
    hosts = {2: [0] * 4 + [1] * 4, 4: [0, 0, 1, 1, 2, 2, 3, 3]}
    for run in others:
        assert torch.equal(run.thetas, one.thetas) and sent(run) == sent(one)
        assert torch.allclose(weights(run), weights(one), atol=1e-7, rtol=0)
        for column in ("accuracy", "node_accuracy", "worst_node", "consensus_error"):
            assert run.history[column].tolist() == pytest.approx(one.history[column].tolist(), rel=1e-9)
        at = hosts[run.workers]
        crossing = {(f"client {i}", f"client {j}") for i, j in graph.edges if at[i] != at[j]}
        crossed = run.traffic[run.traffic["crossed"]]
        assert set(zip(crossed["sender"], crossed["receiver"], strict=True)) == crossing
        assert set(run.timeline["worker"]) == set(range(run.workers))


@pytest.mark.parametrize(("plan", "silos"), [
    (plans.synchronous_sgd(12, 10), [[0, 1, 2, 3], [4, 5, 6, 7]]),
    (plans.synchronous_sgd(12, 10), [[0, 1, 2], [3, 4, 5], [6, 7]]),
    (plans.fedavg(4, 1.0, 1), [[0, 4, 2], [3, 1, 5, 6, 7]]),
    (plans.synchronous_sgd(12, 10), [range(8)]),
], ids=["all-reduce", "uneven silos", "edge servers", "one silo"])  # fmt: skip
def test_silos_are_the_same_run_on_one_two_and_four_processes(digits: Digits, plan: plans.Plan, silos: list) -> None:
    train, test = digits
    own = data.partitions.dirichlet(train.y, 8, 0.5, seed=1)
    one, *others = (
        hierarchical.fit(MODEL, train, own, plan, silos, every=4, test=test, seed=2, workers=workers)
        for workers in (1, 2, 4)
    )
    for run in others:
        assert torch.equal(weights(run), weights(one)) and sent(run) == sent(one)
        columns = ["round", "accuracy", "loss", "bytes_inside", "bytes_across", "bytes_moved"]
        assert run.history[columns].equals(one.history[columns])
        assert run.client_accuracy.tolist() == one.client_accuracy.tolist()
        assert run.traffic["crossed"].any() and not one.traffic["crossed"].any()


class Deadly(nn.Module):
    """A small network that ends its process by force in the tenth batch, on rank 1 only."""

    def __init__(self) -> None:
        super().__init__()
        self.layers, self.seen = nn.Sequential(nn.Flatten(), nn.Linear(64, 10)), 0

    def forward(self, x: Tensor) -> Tensor:
        self.seen += 1
        if self.seen > 10 and worker.current_rank() == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        return self.layers(x)


def own_workers() -> list[psutil.Process]:
    return [one for one in psutil.Process().children(recursive=True) if start.__file__ in one.cmdline()]


@pytest.mark.parametrize("way", ["gossip", "silos"])
def test_a_process_that_is_killed_is_named_and_none_is_left_behind(digits: Digits, way: str) -> None:
    train, _ = digits
    own = data.partitions.iid(train.y, 4)
    with pytest.raises(cluster.WorkerError, match=r"rank 1 died[\s\S]*SIGKILL"):
        if way == "gossip":
            gossip.fit(Deadly(), train, own, plans.fedavg(20, 1.0, 1), graphs.ring(4), workers=4)
        else:
            hierarchical.fit(Deadly(), train, own, plans.synchronous_sgd(80), [[0, 1], [2, 3]], every=10, workers=4)
    left = own_workers()
    cluster.shutdown()
    _, alive = psutil.wait_procs(left, timeout=60)
    assert not alive and not own_workers()


def test_a_node_that_diverges_in_another_process_is_named_as_in_one() -> None:
    train, own = bowls((1.0, 2.0), (4.0, -1.0), (2.0, 3.0))
    for workers in (1, 2):
        with pytest.raises(
            rounds.DivergedError, match=r"client \d sent a gradient with NaN or infinity in round \d+: lower"
        ):
            gossip.fit(Bowl(), train, own, plans.fedsgd(200, learning_rate=1e3), graphs.path(3), workers=workers)
