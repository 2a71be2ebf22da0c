"""Graphs are what they say: networkx draws the same, and what cannot be is named."""

import networkx
import pytest

from course_lib.topology import Graph, graphs


def as_networkx(graph: Graph) -> networkx.DiGraph:
    made = networkx.DiGraph()
    made.add_nodes_from(range(graph.nodes))
    made.add_edges_from(graph.edges)
    return made


@pytest.mark.parametrize(
    ("graph", "reference"),
    [
        (graphs.ring(7), networkx.cycle_graph(7)),
        (graphs.path(5), networkx.path_graph(5)),
        (graphs.star(6), networkx.star_graph(5)),
        (graphs.complete(5), networkx.complete_graph(5)),
        (graphs.torus(12), networkx.grid_2d_graph(3, 4, periodic=True)),
        (graphs.torus(10, rows=2), networkx.grid_2d_graph(2, 5, periodic=True)),
        (graphs.directed_ring(5), networkx.cycle_graph(5, create_using=networkx.DiGraph)),
    ],
)
def test_a_graph_is_the_one_that_networkx_makes(graph: Graph, reference: networkx.Graph) -> None:
    assert networkx.is_isomorphic(as_networkx(graph), reference.to_directed())


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(("nodes", "degree"), [(8, 2), (8, 4), (16, 4), (16, 6)])
def test_everybody_has_as_many_neighbours_in_a_random_graph_and_it_is_connected(
    nodes: int, degree: int, seed: int
) -> None:
    graph = graphs.random_regular(nodes, degree, seed)
    assert {len(graph.targets(node)) for node in range(nodes)} == {degree}
    assert networkx.is_connected(as_networkx(graph).to_undirected())
    assert graph == graphs.random_regular(nodes, degree, seed) != graphs.random_regular(nodes, degree, seed + 1)


def test_an_exponential_graph_goes_one_two_four_places_on() -> None:
    graph = graphs.directed_exponential(8)
    assert graph.targets(6) == (0, 2, 7) and graph.sources(0) == (4, 6, 7) and graph.directed
    graph.check_connected()


def test_a_link_goes_both_ways_and_rewiring_keeps_it_so() -> None:
    graph = graphs.path(3).but(add=[(0, 2)], remove=[(1, 0)])
    assert graph.edges == {(0, 2), (2, 0), (1, 2), (2, 1)} and graph.links == ((0, 2), (1, 2)) and not graph.directed


@pytest.mark.parametrize(
    ("graph", "named"),
    [
        (Graph.of(4, [(0, 1), (2, 3)]), "node 0 knows can ever reach node 2"),
        (Graph.of(3, [(0, 1), (1, 2)], directed=True), "node 1 knows can ever reach node 0"),
        (graphs.ring(6).but(remove=[(0, 1), (3, 4)]), "rewired"),
    ],
)
def test_a_graph_in_parts_is_named_with_two_nodes_that_never_hear_of_each_other(graph: Graph, named: str) -> None:
    with pytest.raises(ValueError, match=named):
        graph.check_connected()


@pytest.mark.parametrize(
    ("make", "named"),
    [
        (lambda: Graph.of(3, [(0, 3)]), r"edge \(0, 3\) leaves the graph"),
        (lambda: Graph.of(3, [(1, 1)]), r"edge \(1, 1\) leads from a node to itself"),
        (lambda: graphs.ring(0), "nodes=0"),
        (lambda: graphs.torus(8, rows=3), "rows=3 does not divide nodes=8"),
        (lambda: graphs.random_regular(8, 3), "degree=3 must be even"),
        (lambda: graphs.random_regular(8, 6), "degree=6 must be even, and at most 4"),
    ],
)
def test_what_is_no_graph_is_named(make, named: str) -> None:
    with pytest.raises(ValueError, match=named):
        make()
