"""One process's part in hierarchical training: it hosts members of silos; process 0 is also the cloud."""

import time
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from course_lib import cluster
from course_lib.aggregation import RunningMean
from course_lib.cluster.traffic import Channel, Handle, Recorder
from course_lib.data import Dataset
from course_lib.federated.fleet import Attendance
from course_lib.learning import sgd
from course_lib.rounds.all_reduce import all_reduce_mean
from course_lib.rounds.exchange import SERVER, Wire, diverged, finish, is_finite, through_server
from course_lib.rounds.judge import Judge
from course_lib.rounds.notes import Notes
from course_lib.rounds.participants import Participants
from course_lib.rounds.pooling import deal, pool
from course_lib.rounds.preparation import Job
from course_lib.rounds.run import WorkerLog
from course_lib.topology.carrying import settled

_QUIET = 0.02  # seconds from one report to the next


@dataclass(frozen=True)
class Silos:
    """What every process knows: the run, the members of each silo, and how many rounds inside go before an average across."""

    job: Job
    groups: tuple[tuple[int, ...], ...]
    every: int


@dataclass
class Held:
    """The raw data that one process gets: its own members' examples, and on the cloud the test set."""

    shards: dict[int, Dataset]
    test: Dataset | None


class Inside(Wire):
    """The wire inside one silo: its members are numbered from 0 there, but records call everybody by their own names."""

    def __init__(
        self, recorder: Recorder, channel: Channel | None, rank: int, hosts: tuple[int, ...], label: str, silo: int,
        members: tuple[int, ...],
    ) -> None:  # fmt: skip
        super().__init__(recorder, channel, rank, hosts, label)
        self.silo, self.members = silo, members

    def name(self, participant: int) -> str:
        return super().name(self.members[participant])

    def owner(self, participant: int) -> str:
        return super().owner(self.members[participant])

    def post(self, tensor: Tensor, host: int, kind: str, sender: str, receiver: str) -> Handle | None:
        """As every wire's, but inside a silo the one in the middle is the silo itself, not the cloud."""
        sender, receiver = (f"silo {self.silo}" if name == SERVER else name for name in (sender, receiver))
        return super().post(tensor, host, kind, sender, receiver)


def work(silos: Silos, held: Held, report: Callable[[int], None]) -> WorkerLog:
    """Run every round on this process, which holds the raw data of its own members and of no other."""
    with settled():
        return _Process(silos, held, report).run()


class _Process:
    def __init__(self, silos: Silos, held: Held, report: Callable[[int], None]) -> None:
        self.rank, world = cluster.join()
        self.silos, self.job, self.report = silos, silos.job, report
        self.plan, label = silos.job.plan, "client" if silos.job.plan.data == "stays" else "worker"
        self.recorder = Recorder(keep_payloads=self.job.keep_payloads)
        self.channel = Channel(self.recorder) if world > 1 else None
        hosts = self.job.hosts
        self.across = Wire(self.recorder, self.channel, self.rank, [hosts[silo[0]] for silo in silos.groups], "silo")
        self.model = sgd.FlatModel(deepcopy(self.job.module))
        self.participants = Participants(self.job, self.model, self.recorder)
        self.participants.shards = held.shards
        # The silos with members here, in order; of some of them the first member sits elsewhere.
        self.inside = self._wires(label)
        self.notes = Notes(self.across, float("nan"))
        self.judge = Judge(self.job, held.test, None, self.participants, self.notes)
        self.blank = torch.zeros_like(self.model.theta)

    def _wires(self, label: str) -> dict[int, Inside]:
        """Return this process's wire into each silo that has members here; a silo on several processes has its own group."""
        found = {}
        for number, members in enumerate(self.silos.groups):
            at = [self.job.hosts[member] for member in members]
            ranks = sorted(set(at))
            # Everybody has to come to the making of every group, also of those that are not theirs.
            group = dist.new_group(ranks, timeout=_timeout(), backend="gloo") if len(ranks) > 1 else None
            if self.rank in ranks:
                channel = Channel(self.recorder, group) if group is not None else None
                local = tuple(ranks.index(rank) for rank in at)
                found[number] = Inside(
                    self.recorder, channel, ranks.index(self.rank), local, label, number, members
                )  # fmt: skip
        return found

    def run(self) -> WorkerLog:
        theta, started, reported = self.model.theta.clone(), time.perf_counter(), 0.0
        self._place_data()
        for first in range(0, self.plan.rounds, self.silos.every):
            theta = self._period(theta, first)
            done = first + self.silos.every
            if self.rank == 0:
                self.recorder.round = done
                self.judge.look(theta, done, started)
                now = time.perf_counter()
                if done == self.plan.rounds or now - reported > _QUIET:
                    reported = now
                    self.report(done)
        return WorkerLog(
            self.recorder.messages, self.recorder.spans, {}, self.recorder.payloads, self.judge.checkpoints,
            theta if self.rank == 0 else None, self.judge.best,
        )  # fmt: skip

    def _place_data(self) -> None:
        """Where the plan pools, let each silo collect what its members hold and deal it out: nothing leaves a silo."""
        if self.plan.data == "stays":
            return
        shards = dict(self.participants.shards)
        for wire in self.inside.values():
            if len(wire.members) == 1:
                continue
            held = {local: shards[wire.members[local]] for local in wire.hosted()}
            sizes = [self.job.sizes[member] for member in wire.members]
            dealt = deal(wire, pool(wire, held), sizes, self.job.seed, next(iter(held.values())))
            shards |= {wire.members[local]: shard for local, shard in dealt.items()}
        self.participants.shards = shards

    def _period(self, theta: Tensor, first: int) -> Tensor:
        """Return the weights `(d,)` after `every` rounds inside the silos and one average across; only the cloud knows them."""
        self.recorder.round = first + 1
        if len(self.silos.groups) == 1:  # nobody to average with
            return self._alone(0, theta, first)
        led = self.across.hosted()
        for silo in self.inside:  # a process that leads none works for one
            if silo not in led:
                self._alone(silo, self._from_lead(silo), first)

        def train(silo: int, received: Tensor) -> Tensor:
            self.recorder.round = first + 1  # another silo that is hosted here may have been through its rounds
            self._to_members(silo, received)
            return self._alone(silo, received, first) - received

        everybody = range(len(self.silos.groups))
        now = Attendance(tuple(everybody), dict.fromkeys(everybody, 1.0))
        weights = {silo: self._examples(silo, first) for silo in everybody}
        answers = through_server(
            self.across, theta, now, weights, "update", train, {}, self.blank, lambda _, update: update, RunningMean, 1
        )
        if answers is None:
            return theta
        if answers.left_out:
            raise diverged(f"silo {next(iter(answers.left_out))}", "update", self.recorder.round, "silo")
        assert answers.mean is not None
        self.notes.add(now, answers, skipped=False)
        return theta + answers.mean

    def _examples(self, silo: int, first: int) -> float:
        """Return how many examples the steps of a silo's members go through between two averages."""
        rounds = range(first, first + self.silos.every)
        return sum(self.participants.examples(member, at) for member in self.silos.groups[silo] for at in rounds)

    def _to_members(self, silo: int, theta: Tensor) -> None:
        """Hand on what the cloud has sent to a silo's first member; an edge server does so round by round anyway."""
        wire = self.inside[silo]
        if self.plan.exchange == "all-reduce":
            others = range(1, len(wire.members))
            finish([wire.post(theta, wire.hosts[one], "model", SERVER, wire.name(one)) for one in others])

    def _from_lead(self, silo: int) -> Tensor:
        wire, theta = self.inside[silo], self.blank
        if self.plan.exchange == "all-reduce":
            for _ in wire.hosted():
                theta = wire.take(0, "model")
        return theta

    def _alone(self, silo: int, theta: Tensor, first: int) -> Tensor:
        """Return a silo's weights `(d,)` after `every` rounds of the plan among its members."""
        wire = self.inside[silo]
        for number in range(first, first + self.silos.every):
            self.recorder.round = number + 1
            theta = self._merged(theta, self._mean(wire, theta, number))
        return theta

    def _mean(self, wire: Inside, theta: Tensor, number: int) -> Tensor | None:
        """Return the mean `(d,)` of what a silo's members send in one round; with an edge server, None where they sit apart from it."""
        weights = [self.participants.examples(member, number) for member in wire.members]

        def train(local: int, received: Tensor) -> Any:
            return self.participants.message(wire.members[local], received, number, self.job.attendance[number].work)

        if self.plan.exchange == "all-reduce":
            return all_reduce_mean(wire, theta, weights, self.plan.sends, train)
        everybody = range(len(wire.members))
        now = Attendance(tuple(everybody), dict.fromkeys(everybody, 1.0))
        answers = through_server(
            wire,
            theta,
            now,
            dict(enumerate(weights)),
            self.plan.sends,
            train,
            {},
            self.blank,
            lambda _, sent: sent,
            RunningMean,
            1,
        )
        if answers is None:
            return None
        if answers.left_out:
            raise diverged(wire.name(next(iter(answers.left_out))), self.plan.sends, number + 1, "client")
        return answers.mean

    def _merged(self, theta: Tensor, mean: Tensor | None) -> Tensor:
        """Return the weights after the step that a mean of gradients or updates asks for."""
        if mean is None:
            return theta
        moved, _ = self.participants.pipeline.strategy.server(theta, mean, {}, 1.0)
        if not is_finite(moved):
            raise diverged(f"silo {min(self.inside)}", self.plan.sends, self.recorder.round, "silo")
        return moved


def _timeout() -> Any:
    """Return how long a message may take in everybody's group: a silo's is no more patient."""
    assert dist.group.WORLD is not None
    return dist.group.WORLD._get_backend(torch.device("cpu")).options._timeout
