"""Mixing matrices against closed forms, and what push-sum mends."""

from math import cos, pi

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from course_lib.topology import Graph, graphs, mixing

UNDIRECTED = [
    graphs.ring(8),
    graphs.torus(12),
    graphs.complete(5),
    graphs.star(6),
    graphs.path(4),
    graphs.random_regular(10),
]
DIRECTED = [
    graphs.directed_ring(6),
    graphs.directed_exponential(9),
    Graph.of(4, [(0, 1), (1, 2), (2, 3), (3, 0), (0, 2)], directed=True),
]


@pytest.mark.parametrize("graph", UNDIRECTED, ids=lambda graph: graph.name)
def test_metropolis_weights_are_symmetric_and_doubly_stochastic(graph: Graph) -> None:
    made = mixing.metropolis(graph)
    assert (made >= 0).all() and np.allclose(made, made.T)
    assert np.allclose(made.sum(0), 1) and np.allclose(made.sum(1), 1)
    assert mixing.check(made, graph) is not None
    degrees = [len(graph.targets(node)) for node in range(graph.nodes)]
    i, j = min(graph.edges)
    assert made[i, j] == pytest.approx(1 / (1 + max(degrees[i], degrees[j])))


@given(
    st.lists(st.floats(0.1, 100), min_size=6, max_size=6),
    st.sampled_from([graphs.ring(6), graphs.star(6), graphs.complete(6)]),
)
def test_with_weights_the_weighted_mean_stays_and_is_where_everybody_ends(weights: list[float], graph: Graph) -> None:
    made = mixing.metropolis(graph, weights)
    values = np.arange(6.0) ** 2
    mean = np.average(values, weights=weights)
    assert (made >= -1e-12).all() and np.average(made @ values, weights=weights) == pytest.approx(mean)
    if graph.name == "complete":
        assert np.allclose(made @ values, mean)
    rounds = 40 * int(np.ceil(mixing.rounds_to(made, 0.1)))
    assert np.allclose(np.linalg.matrix_power(made, rounds) @ values, mean, atol=1e-6)


@pytest.mark.parametrize("nodes", [4, 5, 8, 16])
def test_a_rings_spectral_gap_has_a_closed_form(nodes: int) -> None:
    assert mixing.second(mixing.metropolis(graphs.ring(nodes))) == pytest.approx(
        max(abs(1 / 3 + 2 / 3 * cos(2 * pi * k / nodes)) for k in range(1, nodes))
    )
    assert mixing.spectral_gap(mixing.metropolis(graphs.complete(nodes))) == pytest.approx(1)


def test_the_gap_orders_graphs_as_their_size_and_degree_do() -> None:
    gaps = [mixing.spectral_gap(mixing.metropolis(graph)) for graph in (
        graphs.path(16), graphs.ring(16), graphs.torus(16), graphs.complete(16))]  # fmt: skip
    assert gaps == sorted(gaps) and gaps[0] < gaps[1] / 2
    assert mixing.spectral_gap(mixing.metropolis(Graph.of(4, [(0, 1), (2, 3)]))) == pytest.approx(0)


@pytest.mark.parametrize("graph", [graphs.ring(8), graphs.torus(9), graphs.star(5)], ids=lambda graph: graph.name)
def test_consensus_error_shrinks_at_the_rate_of_the_second_eigenvalue(graph: Graph) -> None:
    made = mixing.metropolis(graph)
    left = mixing.second(made)
    # In the direction of the second eigenvector exactly by |lambda_2| a round; in all others at least as fast.
    sizes, vectors = np.linalg.eigh(made)
    slowest = vectors[:, np.argsort(abs(sizes))[-2]]
    errors = mixing.disagreement(mixing.consensus(slowest[:, None], made, 30))
    assert np.allclose(errors, errors[0] * left ** np.arange(31), atol=1e-12)
    anything = np.random.default_rng(0).normal(size=(graph.nodes, 3))
    errors = mixing.disagreement(mixing.consensus(anything, made, 60))
    assert (errors <= errors[0] * left ** np.arange(61) + 1e-12).all()
    assert errors[20] / errors[19] == pytest.approx(left, rel=0.01)


@pytest.mark.parametrize("graph", DIRECTED, ids=lambda graph: graph.name)
def test_push_sum_reaches_the_true_mean_on_a_directed_graph(graph: Graph) -> None:
    values = np.arange(float(graph.nodes))[:, None] ** 2
    held = mixing.push_sum(values, graph, 300)
    assert np.allclose(held[-1], values.mean())
    assert np.allclose(mixing.push(graph).sum(0), 1)
    weights = np.arange(graph.nodes) + 1.0
    assert np.allclose(mixing.push_sum(values, graph, 300, weights)[-1], np.average(values, weights=weights, axis=0))


def test_plain_averaging_ends_elsewhere_where_some_are_heard_by_more() -> None:
    graph = DIRECTED[-1]
    values = np.arange(4.0)[:, None] ** 2
    plain = mixing.consensus(values, mixing.pull(graph), 300)[-1]
    assert np.ptp(plain) < 1e-9 and abs(plain[0, 0] - values.mean()) > 0.1


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda w: w[:3], r"shape \(3, 4\)"),
        (lambda w: w + np.eye(4) * 0.1, "row 0 of the mixing matrix adds up to 1.1"),
        (lambda w: np.roll(w, 1, 1), "but nothing goes from node"),
        (lambda w: w - 2 * np.diag(w.diagonal()), r"mixing\[0, 0\] is -0.333"),
        (lambda w: w * float("nan"), r"mixing\[0, 0\] is nan"),
        (lambda w: mixing.pull(graphs.path(4)), "column 0 adds up to 0.8"),
        (lambda w: np.eye(4), "never come to agree"),
        (
            lambda w: np.array([[0, 0.5, 0, 0.5], [0.5, 0, 0.5, 0], [0, 0.5, 0, 0.5], [0.5, 0, 0.5, 0]]),
            "never come to agree",
        ),
    ],
)
def test_a_matrix_that_does_not_average_is_refused_with_the_place(change, named: str) -> None:
    ring = graphs.ring(4)
    with pytest.raises(ValueError, match=named):
        mixing.check(change(mixing.metropolis(ring)), ring)


def test_directed_graphs_have_no_symmetric_weights() -> None:
    with pytest.raises(ValueError, match="0 sends to 1 and hears nothing back"):
        mixing.metropolis(graphs.directed_ring(3))


def test_what_counts_for_a_node_must_be_a_number_above_0() -> None:
    with pytest.raises(ValueError, match="3 numbers above 0"):
        mixing.metropolis(graphs.ring(3), [1, 0, 1])
