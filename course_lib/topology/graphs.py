"""Graphs of who sends to whom: rings, tori, random graphs, complete ones, and directed ones, where talking is one-way."""

from collections.abc import Iterable
from dataclasses import dataclass
from math import isqrt

import torch

from course_lib.learning import keys
from course_lib.settings import whole

Edge = tuple[int, int]


@dataclass(frozen=True)
class Graph:
    """`nodes` participants, numbered from 0; an edge `(i, j)` says that i sends to j. Nobody needs an edge to itself.

    Build one with a function of this module, or with `Graph.of`. Raises ValueError, naming the edge, for one that leaves the graph.
    """

    name: str
    nodes: int
    edges: frozenset[Edge]

    def __post_init__(self) -> None:
        whole(self.nodes, "nodes", 1)
        for i, j in self.edges:
            if i == j:
                raise ValueError(
                    f"edge ({i}, {j}) leads from a node to itself: leave it out, everybody has its own model"
                )
            if not (0 <= i < self.nodes and 0 <= j < self.nodes):
                raise ValueError(f"edge ({i}, {j}) leaves the graph: its nodes are numbered 0 to {self.nodes - 1}")

    @classmethod
    def of(cls, nodes: int, edges: Iterable[Edge], *, directed: bool = False, name: str = "own graph") -> "Graph":
        """Return the graph with these edges; where it is not `directed`, each is one in both directions."""
        given = {(int(i), int(j)) for i, j in edges}
        return cls(name, nodes, frozenset(given if directed else given | {(j, i) for i, j in given}))

    @property
    def directed(self) -> bool:
        """Whether somebody sends to a node that sends nothing back."""
        return any((j, i) not in self.edges for i, j in self.edges)

    @property
    def links(self) -> tuple[Edge, ...]:
        """The pairs of nodes that are joined, `(lower, higher)`, in order: what one draws."""
        return tuple(sorted({(min(edge), max(edge)) for edge in self.edges}))

    def sources(self, node: int) -> tuple[int, ...]:
        """Return those who send to a node, in order."""
        return tuple(sorted(i for i, j in self.edges if j == node))

    def targets(self, node: int) -> tuple[int, ...]:
        """Return those to whom a node sends, in order."""
        return tuple(sorted(j for i, j in self.edges if i == node))

    def reached(self, start: int) -> frozenset[int]:
        """Return the nodes at which something that `start` says can arrive, itself among them."""
        found, fresh = {start}, [start]
        to: dict[int, list[int]] = {}
        for i, j in self.edges:
            to.setdefault(i, []).append(j)
        while fresh:
            for node in to.get(fresh.pop(), []):
                if node not in found:
                    found.add(node)
                    fresh.append(node)
        return frozenset(found)

    def check_connected(self) -> None:
        """Raise ValueError, naming two nodes, where what one node knows can never reach another."""
        for start in range(self.nodes) if self.directed else (0,):
            if missing := sorted(set(range(self.nodes)) - self.reached(start)):
                raise ValueError(
                    f"the graph {self.name!r} is not connected: nothing that node {start} knows can ever reach node "
                    f"{missing[0]}, so their models would never agree; add an edge between the parts"
                )

    def but(self, *, add: Iterable[Edge] = (), remove: Iterable[Edge] = ()) -> "Graph":
        """Return the graph rewired: each link that is added or removed is so in both directions."""
        edges = set(self.edges)
        for i, j in remove:
            edges -= {(i, j), (j, i)}
        for i, j in add:
            edges |= {(i, j), (j, i)}
        return Graph(f"{self.name}, rewired", self.nodes, frozenset(edges))


def ring(nodes: int) -> Graph:
    """Everybody talks to two neighbours in a circle."""
    nodes = whole(nodes, "nodes", 1)
    return Graph.of(nodes, ((i, (i + 1) % nodes) for i in range(nodes) if nodes > 1), name="ring")


def path(nodes: int) -> Graph:
    """A ring that is cut open once: a line."""
    return Graph.of(nodes, ((i, i + 1) for i in range(nodes - 1)), name="path")


def star(nodes: int) -> Graph:
    """Node 0 talks to everybody, the others to node 0 alone: it does what a server does, and is a participant too."""
    return Graph.of(nodes, ((0, i) for i in range(1, nodes)), name="star")


def complete(nodes: int) -> Graph:
    """Everybody talks to everybody."""
    return Graph.of(nodes, ((i, j) for i in range(nodes) for j in range(i)), name="complete")


def torus(nodes: int, rows: int | None = None) -> Graph:
    """A grid whose edges are joined, so that everybody has four neighbours (three or two where a side is short).

    `rows`: by default as near to a square as `nodes` allows. Raises ValueError for rows that do not divide the nodes.
    """
    nodes = whole(nodes, "nodes", 1)
    if rows is None:
        rows = next(side for side in range(isqrt(nodes), 0, -1) if nodes % side == 0)
    rows = whole(rows, "rows", 1)
    if nodes % rows:
        raise ValueError(
            f"rows={rows} does not divide nodes={nodes}: a torus is a full rectangle, such as 16 nodes in 4"
        )
    columns = nodes // rows
    edges = set()
    for row in range(rows):
        for column in range(columns):
            here = row * columns + column
            edges |= {(here, row * columns + (column + 1) % columns), (here, (row + 1) % rows * columns + column)}
    return Graph.of(nodes, (edge for edge in edges if edge[0] != edge[1]), name="torus")


def random_regular(nodes: int, degree: int = 4, seed: int = 0) -> Graph:
    """A connected random graph in which everybody has `degree` neighbours: that many halves of random rings, laid over each other.

    Such graphs are expanders with high probability: a few neighbours each, and yet nobody is far away (Friedman 2008,
    arXiv cs/0405020, on random permutations). Raises ValueError for an odd degree, or one that leaves no room for two rings.
    """
    nodes = whole(nodes, "nodes", 3)
    degree = whole(degree, "degree", 2)
    if degree % 2 or degree > nodes // 2 + 1:
        raise ValueError(
            f"degree={degree} must be even, and at most {max(2, (nodes // 2 + 1) // 2 * 2)} for {nodes} nodes: random rings are laid "
            "over each other without sharing an edge"
        )
    links: set[Edge] = set()
    for number in range(degree // 2):
        for attempt in range(10_000):
            order = torch.randperm(nodes, generator=keys.generator(seed, "random ring", number, attempt)).tolist()
            own = {(min(i, j), max(i, j)) for i, j in zip(order, [*order[1:], order[0]], strict=True)}
            if not own & links:
                links |= own
                break
        else:
            raise ValueError(
                f"no {degree // 2} rings without a common edge were found on {nodes} nodes: take a lower degree"
            )
    return Graph.of(nodes, links, name=f"random, degree {degree}")


def directed_ring(nodes: int) -> Graph:
    """Everybody sends to the next one only."""
    nodes = whole(nodes, "nodes", 2)
    return Graph.of(nodes, ((i, (i + 1) % nodes) for i in range(nodes)), directed=True, name="directed ring")


def directed_exponential(nodes: int) -> Graph:
    """Everybody sends to those 1, 2, 4, 8, ... places further on (Assran et al. 2019, arXiv 1811.10792, section 3, all at once)."""
    nodes = whole(nodes, "nodes", 2)
    hops = [1 << power for power in range((nodes - 1).bit_length())]
    return Graph.of(
        nodes, ((i, (i + hop) % nodes) for i in range(nodes) for hop in hops if hop % nodes), directed=True,
        name="directed exponential",
    )  # fmt: skip
