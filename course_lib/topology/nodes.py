"""One process's part in gossip: it hosts some nodes, and knows of the others only what they send along the edges."""

import time
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, field

import torch
from torch import Tensor

from course_lib import cluster
from course_lib.cluster.traffic import Channel, InLane, OutLane, Recorder
from course_lib.data import Dataset
from course_lib.learning import evaluation, sgd
from course_lib.rounds.exchange import Wire, diverged, is_finite
from course_lib.rounds.participants import Participants
from course_lib.rounds.preparation import Job
from course_lib.rounds.run import WorkerLog
from course_lib.topology.carrying import settled
from course_lib.topology.graphs import Edge
from course_lib.topology.mixing import Matrix

MODEL, MASS = "model", "model and weight"
_QUIET = 0.02  # seconds from one report to the next


@dataclass(frozen=True)
class Gossip:
    """What every process knows of a run without a server: the edges, `shares[i, j]` of what j holds that goes to i, and how much
    each node counts. `push_sum`: whether shares are pushed together with a weight to divide by; `overlapped`: whether a round's
    step is taken while the models travel, and added afterwards."""

    job: Job
    edges: tuple[Edge, ...]
    shares: Matrix
    weights: tuple[float, ...]
    push_sum: bool
    overlapped: bool


@dataclass
class Look:
    """The hosted nodes at one moment: their weighted sum `(d,)`, and how far they are from their own mean, so that looks of several
    processes add up without losing digits. `accuracy`, `loss`: of each node's model on the test set."""

    round: int
    seconds: float
    nodes: int
    total: Tensor
    mean: Tensor
    spread: float
    accuracy: dict[int, float]


@dataclass
class NodeLog(WorkerLog):
    """What one process hands back: its messages and timeline, looks, and the hosted nodes' last models `(d,)`."""

    looks: list[Look] = field(default_factory=list)
    thetas: dict[int, Tensor] = field(default_factory=dict)


@dataclass
class Held:
    """The raw data that one process gets: its own nodes' examples, and a test set to judge their models by."""

    shards: dict[int, Dataset]
    test: Dataset | None


def work(gossip: Gossip, held: Held, report: Callable[[int], None]) -> NodeLog:
    """Run every round on this process."""
    with settled():
        return _Process(gossip, held, report).run()


class _Process:
    def __init__(self, gossip: Gossip, held: Held, report: Callable[[int], None]) -> None:
        rank, world = cluster.join()
        self.gossip, self.job, self.held, self.report, self.is_first = gossip, gossip.job, held, report, rank == 0
        self.recorder = Recorder(keep_payloads=self.job.keep_payloads)
        self.wire = Wire(self.recorder, Channel(self.recorder) if world > 1 else None, rank, self.job.hosts, "client")
        self.model = sgd.FlatModel(deepcopy(self.job.module))
        self.participants = Participants(self.job, self.model, self.recorder)
        self.participants.shards = held.shards
        self.own, start = self.wire.hosted(), self.model.theta
        scale = gossip.weights if gossip.push_sum else [1.0] * len(gossip.weights)
        # What a node holds: its model, or under push-sum its mass, model times weight, and the weight itself.
        self.values = {i: start * scale[i] for i in self.own}
        self.weight = {i: torch.tensor([scale[i]], dtype=torch.float64) for i in self.own}
        self.into: dict[Edge, InLane] = {}
        self.out: dict[Edge, OutLane] = {}
        self.looks: list[Look] = []

    def run(self) -> NodeLog:
        started, reported = time.perf_counter(), 0.0
        self._open_lanes()
        rounds = self.job.plan.rounds
        for number in range(rounds):
            self.recorder.round = number + 1
            self._round(number)
            done = number + 1
            if done % self.job.evaluate_every == 0 or done == rounds:
                self._look(done, started)
            now = time.perf_counter()
            if self.is_first and (done == rounds or now - reported > _QUIET):
                reported = now
                self.report(done)
        return NodeLog(
            self.recorder.messages, self.recorder.spans, {}, self.recorder.payloads, looks=self.looks,
            thetas={i: self._model(i) for i in self.own},
        )  # fmt: skip

    def _model(self, node: int) -> Tensor:
        """Return the model `(d,)` that a node uses: what it holds, or under push-sum the mass over the weight."""
        if not self.gossip.push_sum:
            return self.values[node]
        return (self.values[node].double() / self.weight[node]).float()

    def _round(self, number: int) -> None:
        """Take the local steps and average with the neighbours, in this order or at the same time."""
        for lane in self.into.values():
            lane.ready()
        before = dict(self.values)
        if self.gossip.overlapped:
            self._send(before)
        for node in self.own:
            self.values[node] = self._stepped(node, number)
        if not self.gossip.overlapped:
            self._send(self.values)
            self._mix(self.values)
            return
        changes = {node: self.values[node] - before[node] for node in self.own}
        self._mix(before)
        for node in self.own:
            self.values[node] = self.values[node] + changes[node]

    def _stepped(self, node: int, number: int) -> Tensor:
        """Return what a node holds after its own steps on its own examples."""
        theta = self._model(node)
        message = self.participants.message(node, theta, number, {node: 1.0})
        strategy = self.participants.pipeline.strategy
        if not self.gossip.push_sum:
            moved, _ = strategy.server(theta, message, {}, 1.0)
            held = moved
        else:  # the step counts as much as the node does, however much weight it holds just now
            moved, _ = strategy.server(torch.zeros_like(theta), message, {}, 1.0)
            held = torch.add(self.values[node], moved, alpha=self.gossip.weights[node])
        if not is_finite(held):
            raise diverged(self.wire.name(node), self.job.plan.sends, number + 1, "client")
        return held

    def _send(self, values: dict[int, Tensor]) -> None:
        """Send what each hosted node holds along every edge that leaves it."""
        for i, j in self.gossip.edges:
            if i not in values:
                continue
            message = self._packed(values[i], self.weight[i], float(self.gossip.shares[j, i]))
            if (i, j) in self.out:
                self.out[i, j].send(message)
            else:
                kind = MASS if self.gossip.push_sum else MODEL
                self.recorder.record(self.wire.name(i), self.wire.name(j), kind, message, crossed=False)

    def _packed(self, values: Tensor, weight: Tensor, share: float) -> Tensor:
        """Return a message: the model, or under push-sum a share of the mass and, as float32 too, of the weight."""
        if not self.gossip.push_sum:
            return values
        return torch.cat([values.double() * share, weight * share]).float()

    def _mix(self, values: dict[int, Tensor]) -> None:
        """Put together what has come, in the order of the nodes, so that the sum is the same wherever they are hosted."""
        shares, push_sum = self.gossip.shares, self.gossip.push_sum
        packed = {i: self._packed(values[i], self.weight[i], 1.0).double() for i in self.own}
        mixed: dict[int, Tensor] = {}
        for j in self.own:
            total = torch.zeros_like(packed[j])
            for i in range(len(self.job.sizes)):
                if i == j:
                    total.add_(packed[j], alpha=float(shares[j, j]))
                elif (i, j) in self.into:
                    total.add_(self.into[i, j].wait(), alpha=1.0 if push_sum else float(shares[j, i]))
                elif i in packed and shares[j, i]:
                    message = self._packed(values[i], self.weight[i], float(shares[j, i])) if push_sum else values[i]
                    total.add_(message, alpha=1.0 if push_sum else float(shares[j, i]))
            mixed[j] = total
        for lane in self.out.values():
            lane.wait()
        for j, total in mixed.items():
            if push_sum:
                self.weight[j] = total[-1:].clone()
                total = total[:-1]
            self.values[j] = total.float()

    def _open_lanes(self) -> None:
        """Agree with the processes of the neighbours on the messages that will come and go in every round.

        Both ends go through a pair's lanes in the same order, and announce theirs before they wait for the others'.
        """
        channel = self.wire.channel
        if channel is None:
            return
        push_sum = self.gossip.push_sum
        like = torch.zeros(self.model.theta.numel() + push_sum)
        kind, hosts = MASS if push_sum else MODEL, self.job.hosts
        remote = [(i, j) for i, j in self.gossip.edges if hosts[i] != hosts[j]]
        for i, j in remote:
            if hosts[i] == self.wire.rank:
                self.out[i, j] = channel.open_out(
                    hosts[j], like, kind=kind, sender=self.wire.name(i), receiver=self.wire.name(j)
                )
        for i, j in remote:
            if hosts[j] == self.wire.rank:
                self.into[i, j] = channel.open_in(hosts[i], like, kind=kind)

    def _look(self, done: int, started: float) -> None:
        """Note down how the hosted nodes are: nobody sends anything for that, the log is read when the run is over."""
        seconds = time.perf_counter() - started
        models = {i: self._model(i) for i in self.own}
        stacked = torch.stack(list(models.values())).double()
        w = torch.tensor([self.gossip.weights[i] for i in models], dtype=torch.float64)
        mean = stacked.mean(0)
        accuracy = {}
        if self.held.test is not None:
            for node, theta in models.items():
                self.model.theta.copy_(theta)
                accuracy[node] = evaluation.accuracy(self.model.module, self.held.test)
        spread = float(((stacked - mean) ** 2).sum())
        self.looks.append(Look(done, seconds, len(models), w @ stacked, mean, spread, accuracy))


def mean_of(looks: list[Look], total_weight: float) -> Tensor:
    """Return the weighted mean model `(d,)` of all nodes, from each process's look at the same round."""
    return (sum((look.total for look in looks[1:]), looks[0].total) / total_weight).float()


def consensus_error(looks: list[Look]) -> float:
    """Return the root of the mean squared distance of the nodes' models from their plain mean, from each process's look.

    Sums of squares of groups add up as in Chan, Golub and LeVeque 1979, "Updating formulae", equation 1.5.
    """
    count = sum(look.nodes for look in looks)
    mean = sum((look.nodes * look.mean for look in looks), torch.zeros_like(looks[0].mean)) / count
    squares = sum(look.spread + look.nodes * float(((look.mean - mean) ** 2).sum()) for look in looks)
    return float((squares / count) ** 0.5)
