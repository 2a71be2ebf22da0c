"""Training without a server: everybody takes steps on its own data and averages its model with its neighbours'.

D-PSGD (Lian et al. 2017, arXiv 1705.09056) on an undirected graph, with any number of local steps between two averagings; stochastic
gradient push (Assran et al. 2019, arXiv 1811.10792), push-sum's form of it, where talking is one-way.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn

from course_lib.data import Dataset
from course_lib.learning import evaluation, keys, sgd
from course_lib.models import ModelSpec
from course_lib.plans import Plan
from course_lib.rounds import Run, checks, preparation
from course_lib.rounds.fit import in_turn
from course_lib.rounds.preparation import Job, Partition
from course_lib.rounds.run import assemble, holding
from course_lib.topology import carrying, mixing
from course_lib.topology.graphs import Graph
from course_lib.topology.mixing import Matrix
from course_lib.topology.nodes import Gossip, Held, NodeLog, consensus_error, mean_of, work


@dataclass(frozen=True)
class Leaderless(Run):
    """A finished run without a server; `model` is the mean of everybody's, which nobody holds.

    `history` has accuracy and loss of that mean, and also node_accuracy (mean over the nodes' own models), worst_node (of the worst of
    them), both on the test set, and consensus_error (root of the mean squared distance from the mean model).
    `graph`; `shares: (n, n)`, what of node j goes to node i; `thetas: (n, d)`, everybody's last model; `node_accuracy: (n,)`.
    """

    graph: Graph = field(kw_only=True)
    shares: Matrix = field(kw_only=True, repr=False)
    thetas: Tensor = field(kw_only=True, repr=False)
    node_accuracy: tuple[float, ...] = field(kw_only=True)

    @property
    def models(self) -> list[nn.Module]:
        """The nodes' own models."""
        return [holding(theta, self.model) for theta in self.thetas]


@in_turn()
def fit(
    model: ModelSpec | nn.Module, train: Dataset, clients: Partition, plan: Plan, graph: Graph, *,
    test: Dataset | None = None, seed: int = 0, workers: int = 1, evaluate_every: int = 1,
    weigh: str = "examples", mixing_matrix: Any = None, push_sum: bool | None = None, overlapped: bool = False,
    progress: Callable[[int, int], None] | None = None, keep_payloads: bool = False, timeout: float = 60.0,
    local_tests: Partition | None = None,
) -> Leaderless:  # fmt: skip
    """Carry out `plan` with the `graph` in the place of its exchange, and return the run. Client k is node k.

    `plan`: rounds, learning rate, batch size and local work, such as `plans.fedavg(20, participation=1.0)` or
    `plans.local_sgd(...).but(data="stays")`; everything else must be plain. In a round each node takes its local steps and then
    averages with its neighbours; on the complete graph that is `rounds.fit`'s mean. `overlapped`: the steps are taken while the models
    travel, and added to the average (Lian et al., algorithm 1); a step then moves nobody but its own node for one round.
    `weigh`: what is averaged counts by each client's "examples", as in federated averaging, or all count "alike".
    `mixing_matrix`: `(n, n)`, in the place of `mixing.metropolis(graph)`. `push_sum`: by default where the graph is directed.
    `workers`: processes that host the nodes; only messages between nodes of different processes cross, and the run is the same.
    `evaluate_every`: rounds; looks are taken by each node for itself and read when the run is over, so nobody collects models.
    `local_tests`, `progress`, `keep_payloads`, `timeout`: as in `rounds.fit`.

    Raises ValueError for bad input before any process starts: a graph that is not connected or has not one node a client, a matrix
    that does not keep the mean; rounds.DivergedError, naming the client, and cluster.WorkerError when a process fails.
    """
    seed = keys.seed(seed)
    clients = checks.positions(clients, len(train), "clients")
    if local_tests is not None and test is not None:
        local_tests = checks.positions(local_tests, len(test), "local_tests")
    workers = carrying.processes(workers, timeout)
    checks.check(train, clients, test, workers, evaluate_every, None, local_tests)
    _check(plan, graph, len(clients), weigh, push_sum, mixing_matrix)
    module = carrying.module_of(model, train, seed)
    sizes = tuple(len(indices) for indices in clients)
    checks.check_plan(plan, module, train, sizes, None)
    weights = _weights(plan, sizes, weigh)
    pushed = graph.directed if push_sum is None else push_sum
    if pushed:
        shares = mixing.push(graph)
    elif mixing_matrix is not None:
        shares = mixing.check(mixing_matrix, graph, None if weigh == "alike" else weights)
    else:
        shares = mixing.metropolis(graph, None if weigh == "alike" else weights)
    everybody = preparation.attendance(plan.but(exchange="server", participation=1.0), sizes, 0, seed)
    hosts = carrying.blocks(len(sizes), workers)
    job = Job(module, plan, seed, sizes, everybody, hosts, evaluate_every, None, keep_payloads)
    edges = tuple((i, j) for i, j in sorted(graph.edges) if shares[j, i] > 0)
    gossip = Gossip(job, edges, shares, weights, pushed, overlapped)
    given = [Held({}, test) for _ in range(workers)]
    for client, indices in enumerate(clients):
        given[hosts[client]].shards[client] = train.subset(indices)
    logs = carrying.carry_out(work, gossip, given, plan.rounds, timeout, progress)
    return _assembled(gossip, graph, logs, train, clients, test, local_tests)


def _check(plan: Plan, graph: Graph, clients: int, weigh: str, push_sum: bool | None, matrix: Any) -> None:
    carrying.check_plain(plan, "gossip")
    if plan.data != "stays":
        raise ValueError(
            "data='pooled' needs somebody who collects it, and in gossip there is nobody: deal it out identically with "
            "data.partitions.iid, and pass plan.but(data='stays')"
        )
    if not isinstance(graph, Graph):
        raise TypeError(
            f"graph={graph!r} must be a Graph: build one with topology.graphs, such as graphs.ring({clients})"
        )
    if graph.nodes != clients:
        raise ValueError(
            f"the graph {graph.name!r} has {graph.nodes} nodes for {clients} clients: each client is one node"
        )
    if weigh not in ("examples", "alike"):
        raise ValueError(f"weigh={weigh!r} must be 'examples' or 'alike'")
    graph.check_connected()
    if push_sum is False and graph.directed:
        mixing.metropolis(graph)  # says why not
    if matrix is not None and (push_sum or (push_sum is None and graph.directed)):
        raise ValueError(
            "push-sum makes its own shares from the graph: leave out mixing_matrix, or pass push_sum=False"
        )


def _weights(plan: Plan, sizes: Sequence[int], weigh: str) -> tuple[float, ...]:
    """Return how much each client counts, 1 on average: by the examples that its round goes through, or all alike."""
    if weigh == "alike":
        return (1.0,) * len(sizes)
    gone = [
        preparation.local_steps(plan, size) * size / sgd.steps_an_epoch(size, plan.batch_size) for size in sizes
    ]  # on average: the last batch of a pass is a short one
    mean = sum(gone) / len(gone)
    return tuple(each / mean for each in gone)


def _assembled(
    gossip: Gossip, graph: Graph, logs: list[NodeLog], train: Dataset, clients: Partition, test: Dataset | None,
    local_tests: Partition | None,
) -> Leaderless:  # fmt: skip
    job, rows = gossip.job, []
    model = carrying.module_of(job.module, train, job.seed)
    theta = torch.zeros(0)
    for looks in zip(*(log.looks for log in logs), strict=True):
        theta = mean_of(list(looks), sum(gossip.weights))
        hits: dict[int, float] = {}
        for look in looks:
            hits |= look.accuracy
        accuracy = loss = float("nan")
        if test is not None:
            accuracy, loss = evaluation.accuracy_and_loss(holding(theta, model), test)
        rows.append({
            "round": looks[0].round, "accuracy": accuracy, "loss": loss, "seconds": max(look.seconds for look in looks),
            "left_out": "", "absent": 0, "skipped": 0, "simulated_seconds": float("nan"),
            "node_accuracy": sum(hits.values()) / len(hits) if hits else float("nan"),
            "worst_node": min(hits.values(), default=float("nan")), "consensus_error": consensus_error(list(looks)),
        })  # fmt: skip
    first = replace(logs[0], checkpoints=rows, theta=theta, best=theta)
    found: dict[int, Tensor] = {}
    for log in logs:
        found |= log.thetas
    thetas = torch.stack([found[node] for node in range(graph.nodes)])
    run = assemble(job.plan, job.seed, job.module, [first, *logs[1:]], None, job.attendance)
    last = {node: hit for log in logs for node, hit in log.looks[-1].accuracy.items()}
    made = Leaderless(
        **{name: getattr(run, name) for name in Run.__dataclass_fields__}, graph=graph, shares=gossip.shares, thetas=thetas,
        node_accuracy=tuple(last[node] for node in sorted(last)),
    )  # fmt: skip
    own = carrying.local_accuracy(made.models, train, clients, test, local_tests)
    return replace(made, client_accuracy=torch.tensor(own, dtype=torch.float64).numpy())
