"""Gossip: on the complete graph it is the all-reduce, elsewhere what the matrix says, and nobody is in the middle."""

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.utils import parameters_to_vector

from course_lib import data, models, plans, rounds
from course_lib.data import Dataset
from course_lib.topology import Graph, gossip, graphs, mixing
from tests.federated.bowl import RATE, Bowl, bowls, moved

Digits = tuple[Dataset, Dataset]
MODEL = models.mlp((12,))
CLIENTS = ((1.0, 2.0), (4.0, -1.0), (2.0, 3.0), (3.0, 0.5), (1.5, -2.0))
SIZES = (1, 2, 5, 3, 1)


def weights(run: rounds.Run) -> Tensor:
    return parameters_to_vector(run.model.parameters()).detach()


@pytest.mark.parametrize("plan", [
    plans.fedavg(4, participation=1.0, epochs=1, batch_size=10, learning_rate=0.1),
    plans.fedsgd(6, learning_rate=0.2),
    plans.local_sgd(4, 5, 16).but(data="stays"),
], ids=lambda plan: plan.name)  # fmt: skip
def test_on_the_complete_graph_gossip_is_averaging_over_everybody(digits: Digits, plan: plans.Plan) -> None:
    train, test = digits
    own = data.partitions.dirichlet(train.y, clients=5, alpha=0.5, seed=1)
    if plan.local_steps and plan.batch_size:  # clients that count alike
        own = [part[:160] for part in data.partitions.iid(train.y, 5)]
    central = rounds.fit(MODEL, train, own, plan, test=test, seed=3)
    run = gossip.fit(MODEL, train, own, plan, graphs.complete(5), test=test, seed=3)
    assert torch.allclose(weights(run), weights(central), atol=1e-6, rtol=0)
    assert torch.allclose(run.thetas, weights(central).expand(5, -1), atol=1e-6, rtol=0)
    assert run.history["consensus_error"].max() < 1e-5 and run.accuracy == pytest.approx(central.accuracy, abs=0.003)
    assert run.node_accuracy == pytest.approx([run.accuracy] * 5, abs=0.003)


def by_hand(shares: np.ndarray, steps: int, rounds_: int, *, overlapped: bool = False) -> np.ndarray:
    held = np.zeros(5)
    for _ in range(rounds_):
        change = np.array([moved(x, *client, steps) for x, client in zip(held, CLIENTS, strict=True)])
        held = shares @ held + change if overlapped else shares @ (held + change)
    return held


@pytest.mark.parametrize("overlapped", [False, True])
@pytest.mark.parametrize("graph", [graphs.ring(5), graphs.star(5)], ids=lambda graph: graph.name)
def test_each_nodes_model_is_what_the_matrix_makes_of_its_neighbours(graph: Graph, overlapped: bool) -> None:
    train, own = bowls(*CLIENTS, copies=SIZES)
    for steps, plan in ((3, plans.fedavg(4, 1.0, 3, None, RATE)), (1, plans.fedsgd(4, learning_rate=RATE))):
        run = gossip.fit(Bowl(), train, own, plan, graph, overlapped=overlapped)
        shares = mixing.metropolis(graph, SIZES)
        expected = by_hand(shares, steps, 4, overlapped=overlapped)
        assert np.allclose(run.thetas[:, 0], expected, atol=1e-5)
        assert weights(run).item() == pytest.approx(np.average(expected, weights=SIZES), abs=1e-5)
        error = mixing.disagreement(expected[:, None])
        assert run.history["consensus_error"].iloc[-1] == pytest.approx(float(error), abs=1e-5)


def test_nodes_may_count_alike_whatever_they_hold() -> None:
    train, own = bowls(*CLIENTS, copies=SIZES)
    plan = plans.fedavg(4, 1.0, 2, None, RATE)
    run = gossip.fit(Bowl(), train, own, plan, graphs.ring(5), weigh="alike")
    assert np.allclose(run.thetas[:, 0], by_hand(mixing.metropolis(graphs.ring(5)), 2, 4), atol=1e-5)
    lazy = (np.eye(5) + mixing.metropolis(graphs.ring(5))) / 2
    run = gossip.fit(Bowl(), train, own, plan, graphs.ring(5), weigh="alike", mixing_matrix=lazy)
    assert np.allclose(run.thetas[:, 0], by_hand(lazy, 2, 4), atol=1e-5)


@pytest.mark.parametrize(
    "graph", [graphs.directed_ring(5), graphs.directed_exponential(5), graphs.ring(5)], ids=lambda graph: graph.name
)
def test_push_sum_steps_at_the_divided_model_and_pushes_mass(graph: Graph) -> None:
    train, own = bowls(*CLIENTS, copies=SIZES)
    run = gossip.fit(Bowl(), train, own, plans.fedavg(5, 1.0, 2, None, RATE), graph, push_sum=True)
    count = np.array(SIZES) / np.mean(SIZES)
    mass, weight, shares = np.zeros(5), count.copy(), mixing.push(graph)
    for _ in range(5):
        change = np.array([moved(x, *client, 2) for x, client in zip(mass / weight, CLIENTS, strict=True)])
        mass, weight = shares @ (mass + count * change), shares @ weight
    assert np.allclose(run.thetas[:, 0], mass / weight, atol=1e-5)
    assert set(run.traffic["bytes"]) == {8}  # one weight of the model, and the weight to divide by


@pytest.mark.parametrize(
    "graph", [graphs.ring(5), graphs.star(5), graphs.directed_ring(5)], ids=lambda graph: graph.name
)
def test_all_graphs_tend_to_the_complete_graphs_model_where_steps_are_short(graph: Graph) -> None:
    train, own = bowls(*CLIENTS, copies=SIZES)
    away = []
    for rate in (0.02, 0.005):  # constant steps end as far off as they are long (Yuan, Ling and Yin 2016, theorem 1)
        plan = plans.fedsgd(round(5 / rate), learning_rate=rate)
        run = gossip.fit(Bowl(), train, own, plan, graph, evaluate_every=10_000)
        away.append(float((run.thetas - run.thetas.mean(0)).abs().max()))
    curvature, optimum = np.array(CLIENTS).T
    joint = np.average(optimum, weights=np.array(SIZES) * curvature)
    assert weights(run).item() == pytest.approx(joint, abs=0.05)
    assert away[1] < away[0] / 2.5


def test_traffic_goes_along_edges_and_nowhere_else_and_no_server_is_there(digits: Digits) -> None:
    train, test = digits
    graph = graphs.random_regular(8, 4)
    run = gossip.fit(
        MODEL, train, data.partitions.iid(train.y, 8), plans.fedavg(3, 1.0, 1), graph, test=test, keep_payloads=True
    )
    said = {(row.sender, row.receiver) for row in run.traffic.itertuples()}
    assert said == {(f"client {i}", f"client {j}") for i, j in graph.edges}
    assert "server" not in {name for pair in said for name in pair}
    size = 4 * run.thetas.shape[1]
    assert set(run.traffic["bytes"]) == {size} and len(run.traffic) == 3 * len(graph.edges)
    assert run.bytes_sent == 3 * len(graph.edges) * size
    assert len(run.payloads) == len(run.traffic)
    assert not run.traffic["kind"].isin(["data"]).any()


def test_looks_are_taken_where_asked_and_say_how_far_nodes_are_apart(digits: Digits) -> None:
    train, test = digits
    own = data.partitions.shards(train.y, 6, 2, seed=0)
    seen: list[int] = []
    run = gossip.fit(MODEL, train, own, plans.fedavg(7, 1.0, 1), graphs.ring(6), test=test, evaluate_every=3,
                     progress=lambda done, total: seen.append(done))  # fmt: skip
    assert run.history["round"].tolist() == [3, 6, 7] and seen[-1] == 7 and all(a < b for a, b in pairwise(seen))
    last = run.history.iloc[-1]
    assert last["worst_node"] == min(run.node_accuracy) and last["node_accuracy"] == pytest.approx(
        np.mean(run.node_accuracy)
    )
    assert last["worst_node"] < last["accuracy"]
    each = float(mixing.disagreement(run.thetas.numpy()))
    assert last["consensus_error"] == pytest.approx(each, rel=1e-5) and each > 0.1
    assert len(run.client_accuracy) == 6 and len(run.models) == 6
    untested = gossip.fit(MODEL, train, own, plans.fedavg(1, 1.0, 1), graphs.ring(6))
    assert np.isnan(untested.history["accuracy"]).all() and untested.node_accuracy == ()


EIGHT = plans.fedavg(2, 1.0, 1)


@pytest.mark.parametrize(
    ("told", "named"),
    [
        ({"graph": Graph.of(4, [(0, 1), (2, 3)])}, "not connected"),
        ({"graph": graphs.ring(5)}, "has 5 nodes for 4 clients"),
        ({"mixing_matrix": mixing.pull(graphs.star(4)), "graph": graphs.star(4), "weigh": "alike"}, "column 0 adds up to 1.75"),
        ({"mixing_matrix": np.full((4, 4), 0.25)}, "nothing goes from node"),
        ({"mixing_matrix": np.eye(3)}, r"shape \(3, 3\)"),
        ({"mixing_matrix": np.eye(4), "push_sum": True}, "leave out mixing_matrix"),
        ({"graph": graphs.directed_ring(4), "push_sum": False}, "hears nothing back"),
        ({"plan": EIGHT.but(participation=0.5)}, "participation=0.5 needs rounds.fit"),
        ({"plan": EIGHT.but(client_momentum=0.9)}, "client_momentum=0.9"),
        ({"plan": plans.synchronous_sgd(5)}, "deal it out identically"),
        ({"weigh": "data"}, "weigh='data'"),
        ({"workers": 5}, "workers=5"),
    ],
)  # fmt: skip
def test_bad_input_is_named_before_any_process_starts(
    digits: Digits, monkeypatch, told: dict[str, Any], named: str
) -> None:
    def started(*_: Any, **__: Any) -> None:
        raise AssertionError("a process was started")

    monkeypatch.setattr("course_lib.topology.carrying.carry_out", started)
    train, _ = digits
    given = {"plan": EIGHT, "graph": graphs.ring(4), "workers": 2, **told}
    with pytest.raises(ValueError, match=named):
        gossip.fit(MODEL, train, data.partitions.iid(train.y, 4), given.pop("plan"), given.pop("graph"), **given)


def test_no_graph_is_a_type_error(digits: Digits) -> None:
    train, _ = digits
    with pytest.raises(TypeError, match=r"graphs.ring\(4\)"):
        gossip.fit(MODEL, train, data.partitions.iid(train.y, 4), EIGHT, "ring")  # type: ignore[arg-type]


def test_a_node_that_diverges_is_named() -> None:
    train, own = bowls(*CLIENTS)
    plan = plans.fedsgd(400, learning_rate=1e3)
    fit: Callable[..., Any] = gossip.fit
    with pytest.raises(rounds.DivergedError, match=r"client \d sent a gradient with NaN or infinity in round"):
        fit(Bowl(), train, own, plan, graphs.ring(5))
