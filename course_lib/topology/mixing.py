"""What averaging with neighbours comes to: mixing matrices, their spectral gap, and push-sum where talking is one-way.

`W[i, j]` is how much of node j's values goes into node i's: after a round everybody holds `W @ values`. Rows add up to 1; where
columns do too, the mean over all nodes stays what it is, and everybody's values end at it.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from course_lib.topology.graphs import Graph

Matrix = np.ndarray[Any, np.dtype[np.float64]]
Weights = Sequence[float] | np.ndarray
_NEAR = 1e-9


def metropolis(graph: Graph, weights: Weights | None = None) -> Matrix:
    """Return Metropolis-Hastings weights `(n, n)` for an undirected graph: with neighbours of degree d, `1 / (1 + max(d_i, d_j))`.

    They need to know nothing but one's neighbours, and are symmetric and doubly stochastic (Xiao, Boyd and Kim 2007, "Distributed
    average consensus with least-mean-square deviation", section 2). `weights`: how much each node counts in the mean that is to
    be kept, such as its examples; then `W[i, j] = w_j / max(S_i, S_j)`, where S adds up the weights of a node and its
    neighbours. On the complete graph everybody has the weighted mean after one round. Raises ValueError for a directed graph.
    """
    if graph.directed:
        i, j = next((i, j) for i, j in sorted(graph.edges) if (j, i) not in graph.edges)
        raise ValueError(
            f"the graph {graph.name!r} is directed: {i} sends to {j} and hears nothing back, so no symmetric weights fit; "
            "use push-sum, or add the way back"
        )
    w = _weights(graph, weights)
    around = np.array([w[node] + sum(w[list(graph.sources(node))]) for node in range(graph.nodes)])
    mixing = np.zeros((graph.nodes, graph.nodes))
    for i, j in graph.edges:
        mixing[i, j] = w[j] / max(around[i], around[j])
    mixing[np.diag_indices(graph.nodes)] = 1 - mixing.sum(1)
    return mixing


def push(graph: Graph) -> Matrix:
    """Return what push-sum does with a vector: each node keeps one share and sends one along each edge that leaves it, all alike.

    Columns add up to 1, rows need not: nothing gets lost, but who is heard by many gets more say (Kempe, Dobra and Gehrke 2003;
    Nedic and Olshevsky 2014, arXiv 1406.2075). It needs to know only to how many one sends.
    """
    shares = np.zeros((graph.nodes, graph.nodes))
    for node in range(graph.nodes):
        heard_by = [node, *graph.targets(node)]
        shares[heard_by, node] = 1 / len(heard_by)
    return shares


def pull(graph: Graph) -> Matrix:
    """Return plain averaging with everybody that one hears: rows add up to 1. On most directed graphs, and on undirected ones whose
    nodes differ in degree, it ends at a mean in which some count more than others."""
    mixing = np.zeros((graph.nodes, graph.nodes))
    for node in range(graph.nodes):
        heard = [node, *graph.sources(node)]
        mixing[node, heard] = 1 / len(heard)
    return mixing


def check(mixing: Any, graph: Graph, weights: Weights | None = None) -> Matrix:
    """Return a mixing matrix of your own as float64 `(n, n)`.

    Raises ValueError, naming row, column or edge, unless it is square, not negative, has rows that add up to 1, keeps the mean (by
    `weights`, where some count more), uses only edges of the graph, and lets everybody's values end at one.
    """
    made = np.asarray(mixing, dtype=np.float64)
    if made.shape != (graph.nodes, graph.nodes):
        raise ValueError(
            f"the mixing matrix has shape {made.shape}, but the graph has {graph.nodes} nodes: one row and column each"
        )
    if not np.isfinite(made).all() or (made < 0).any():
        i, j = (int(at) for at in np.argwhere(~np.isfinite(made) | (made < 0))[0])
        raise ValueError(f"mixing[{i}, {j}] is {made[i, j]:g}: shares of a mean are numbers from 0 to 1")
    for i, j in np.argwhere(made > 0).tolist():
        if i != j and (j, i) not in graph.edges:
            raise ValueError(
                f"mixing[{i}, {j}] is {made[i, j]:g}, but nothing goes from node {j} to node {i}: add the edge, or make it 0"
            )
    rows = made.sum(1)
    if (wrong := np.flatnonzero(abs(rows - 1) > _NEAR)).size:
        raise ValueError(
            f"row {wrong[0]} of the mixing matrix adds up to {rows[wrong[0]]:.6g}: a mean's shares add up to 1"
        )
    w = _weights(graph, weights)
    kept = w @ made
    if (wrong := np.flatnonzero(abs(kept - w) > _NEAR * w.max())).size:
        at = int(wrong[0])
        told = (
            f"column {at} adds up to {made[:, at].sum():.6g}"
            if weights is None
            else f"node {at} counts {w[at]:.6g} before and {kept[at]:.6g} after"
        )
        raise ValueError(f"the mixing matrix does not keep the mean: {told}; mixing.metropolis makes one that does")
    if graph.nodes > 1 and second(made) > 1 - _NEAR:
        raise ValueError(
            "with this mixing matrix models never come to agree: its second eigenvalue is 1 in size; let everybody keep a share of its own"
        )
    return made


def second(mixing: Matrix) -> float:
    """Return the second largest absolute value among the eigenvalues: what is left of a disagreement after one round, at worst."""
    sizes = np.sort(abs(np.linalg.eigvals(mixing)))
    return float(min(sizes[-2], 1.0)) if len(sizes) > 1 else 0.0


def spectral_gap(mixing: Matrix) -> float:
    """Return 1 - |lambda_2|: 0 where parts never agree, 1 where one round is enough."""
    return 1 - second(mixing)


def rounds_to(mixing: Matrix, share: float = 0.01) -> float:
    """Return after how many rounds a disagreement is down to this share of it, at worst, by |lambda_2|^t; infinity if never."""
    if not 0 < share < 1:
        raise ValueError(f"share={share} must lie between 0 and 1, for example 0.01")
    left = second(mixing)
    if left < 1e-12:
        return 1.0
    return float("inf") if left > 1 - 1e-12 else float(np.log(share) / np.log(left))


def consensus(values: Any, mixing: Matrix, rounds: int) -> Matrix:
    """Return everybody's values after 0, 1, ... `rounds` rounds of averaging: `(rounds + 1, n, ...)`."""
    held = [np.asarray(values, dtype=np.float64)]
    for _ in range(rounds):
        held.append(np.tensordot(mixing, held[-1], 1))
    return np.stack(held)


def push_sum(values: Any, graph: Graph, rounds: int, weights: Weights | None = None) -> Matrix:
    """Return everybody's values after 0, 1, ... `rounds` rounds of push-sum `(rounds + 1, n, ...)`: what each divides out.

    Each node pushes shares of its value and, the same way, of a weight that begins at 1; value over weight tends to the mean. With
    `weights`, to the mean in which nodes count so much.
    """
    w = _weights(graph, weights)
    start = np.asarray(values, dtype=np.float64)
    shape = (-1,) + (1,) * (start.ndim - 1)
    masses = consensus(start * w.reshape(shape), push(graph), rounds)
    return masses / consensus(w, push(graph), rounds).reshape(rounds + 1, *shape)


def disagreement(values: Matrix, weights: Weights | None = None) -> Matrix:
    """Return how far values `(..., n, d)` are from their mean over nodes: the root of the mean squared distance `(...,)`."""
    held = np.asarray(values, dtype=np.float64)
    away = held - np.average(held, axis=-2, weights=weights)[..., None, :]
    return np.sqrt((away**2).sum(-1).mean(-1))


def _weights(graph: Graph, weights: Weights | None) -> Matrix:
    made = np.ones(graph.nodes) if weights is None else np.asarray(weights, dtype=np.float64)
    if made.shape != (graph.nodes,) or not np.isfinite(made).all() or not (made > 0).all():
        raise ValueError(f"weights={list(made.ravel()[:6])} must be {graph.nodes} numbers above 0, one a node")
    return made / made.mean()
