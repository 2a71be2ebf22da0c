"""One process's part in a run: it hosts some of the participants; process 0 is also the server."""

import time
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from course_lib import cluster
from course_lib.cluster.traffic import Channel, Recorder
from course_lib.data import Dataset
from course_lib.federated.fleet import Attendance
from course_lib.learning import evaluation, sgd
from course_lib.rounds.all_reduce import all_reduce_mean
from course_lib.rounds.compressed import packed_mean
from course_lib.rounds.exchange import (
    SERVER,
    Wire,
    finish,
)  # fmt: skip
from course_lib.rounds.judge import Judge
from course_lib.rounds.notes import Notes
from course_lib.rounds.participants import Participants
from course_lib.rounds.pooling import concatenated, deal, pool
from course_lib.rounds.preparation import Job
from course_lib.rounds.resuming import Keeper, Progress, read
from course_lib.rounds.run import WorkerLog
from course_lib.rounds.served import Served, tell

_QUIET = 0.02  # seconds from one report to the next


@dataclass
class Holdings:
    """The raw data that one process gets: its clients' examples, and on the server its own, the test and the validation set.

    `local_tests`: the test examples of each hosted client; a client without any is tested on its own examples.
    `found`: on the server, what the last good checkpoint holds.
    """

    shards: dict[int, Dataset] = field(default_factory=dict)
    local_tests: dict[int, Dataset] = field(default_factory=dict)
    root: Dataset | None = None
    test: Dataset | None = None
    validation: Dataset | None = None
    found: Any | None = None


def work(job: Job, holdings: Holdings, report: Callable[[int], None] = cluster.report) -> WorkerLog:
    """Run every round on this process, which holds the raw data of its own clients and of no other."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # small batches lose more by changing threads than they gain, and one thread is repeatable
    try:
        with torch.enable_grad(), torch.random.fork_rng(devices=[]):
            return _Process(job, holdings, report).run()
    finally:
        torch.set_num_threads(threads)


class _Process:
    """One process's part in the loop."""

    def __init__(self, job: Job, holdings: Holdings, report: Callable[[int], None]) -> None:
        rank, world = cluster.join()
        self.job, self.plan, self.holdings, self.report = job, job.plan, holdings, report
        self.model = sgd.FlatModel(deepcopy(job.module))
        self.recorder = Recorder(keep_payloads=job.keep_payloads)
        channel = Channel(self.recorder) if world > 1 else None
        self.wire = Wire(self.recorder, channel, rank, job.hosts, "client" if job.plan.data == "stays" else "worker")
        self.world, self.is_server = world, rank == 0
        self._reported = -_QUIET
        self.participants = Participants(job, self.model, self.recorder)
        self.pipeline = self.participants.pipeline
        self.server_states = self.pipeline.server_start(self.model.theta)
        simulated = 0.0 if self.plan.exchange == "server" else float("nan")
        self.notes = Notes(
            self.wire, simulated, self.plan.faults or (), masked=self.plan.secure_aggregation is not None,
            out_of_step=self.plan.asynchronous is not None,
        )  # fmt: skip
        self.served = Served(job, self.wire, self.participants, self.notes, holdings.root)
        self.judge = Judge(job, holdings.test, holdings.validation, self.participants, self.notes)
        self.keeper: Keeper | None = None
        if job.keeping is not None:
            parts = (self.wire, world, self.participants, self.judge, self.notes)
            self.keeper = Keeper(job.keeping, *parts, holdings.found)

    def run(self) -> WorkerLog:
        begun = self._resume(Progress(0, self.model.theta.clone(), self.server_states, self.served.last, 0.0))
        self.participants.shards = self._place_data()
        theta, started = begun.theta, time.perf_counter() - begun.seconds
        if not begun.done:
            self._save(begun)
        for round_index, now in enumerate(self.job.attendance[begun.done :], begun.done):
            self.recorder.round = round_index + 1
            if begun.over or (self.plan.exchange == "none" and not self.is_server):
                break
            theta = self._round(theta, round_index, now)
            reached = self.is_server and self.judge.look(theta, round_index + 1, started)
            over = self._agree_to_stop(reached)
            self._report(round_index + 1, last=over or round_index + 1 == len(self.job.attendance))
            seconds = time.perf_counter() - started
            self._save(Progress(round_index + 1, theta, self.server_states, self.served.last, seconds, over))
            if over:
                break
        return WorkerLog(
            self.recorder.messages, self.recorder.spans, self._client_accuracy(theta), self.recorder.payloads,
            self.judge.checkpoints, theta if self.is_server else None, self.judge.best, self.notes.why_useless(),
            self.notes.warning(), [[read(part) for part in parts] for parts in (self.holdings.found or {}).get("record", ())],
        )  # fmt: skip

    def _resume(self, start: Progress) -> Progress:
        """Return how far the run has come before this process was there: nowhere, without a checkpoint."""
        if self.keeper is None:
            return start
        begun = self.keeper.resume(start, everywhere=self.plan.exchange == "all-reduce")
        self.server_states, self.served.last = begun.server, begun.last
        return begun

    def _save(self, now: Progress) -> None:
        """Keep a checkpoint where it is time to."""
        if self.keeper is not None and self.keeper.is_time(now, len(self.job.attendance)):
            self.keeper.save(now, alone=self.plan.exchange == "none" and now.done > 0)

    def _report(self, done: int, *, last: bool) -> None:
        """Let the server say how many rounds are done, but not so often that another process's listening slows quick rounds."""
        now = time.perf_counter()
        if self.is_server and (last or self.world == 1 or now - self._reported >= _QUIET):
            self._reported = now
            self.report(done)

    def _round(self, theta: Tensor, round_index: int, now: Attendance) -> Tensor:
        """Return the weights `(d,)` after one round; on a process that only hosts clients they are not known."""
        if self.plan.exchange == "server":
            theta, self.server_states = self.served.round(theta, self.server_states, round_index, now)
            return theta

        def train(participant: int, start: Tensor) -> Tensor:
            message: Tensor = self.participants.message(participant, start, round_index, now.work)
            return message

        if self.plan.exchange == "all-reduce":
            weights = [self.participants.examples(participant, round_index) for participant in now.asked]
            reduce = packed_mean(self.participants) if self.plan.compression else all_reduce_mean
            mean = reduce(self.wire, theta, weights, self.plan.sends, train)
        else:
            mean = train(0, theta)
        # Without a server every process takes the same step and remembers the same of it.
        theta, own = self.pipeline.strategy.server(theta, mean, self.server_states[0], 1.0)
        self.server_states = (own, *self.server_states[1:])
        return theta

    def _place_data(self) -> dict[int, Dataset]:
        """Return the hosted participants' training data, after moving it where the plan says."""
        held = self.holdings.shards
        if self.plan.data == "stays":
            return held
        like = next(iter(held.values()))
        self.holdings.shards = held = pool(self.wire, held)
        if self.plan.exchange == "none":
            return {0: concatenated(held)} if self.is_server else {}
        return deal(self.wire, held, self.job.sizes, self.job.seed, like)

    def _agree_to_stop(self, reached: bool) -> bool:
        """Let the server's decision reach every process; only runs that may stop early pay for the message."""
        if self.job.stop_at is None or self.plan.exchange == "none":
            return reached
        if not self.is_server:
            return bool(self.wire.take(0, "control").item())
        tell(self.wire, reached, range(1, self.world))
        return reached

    def _client_accuracy(self, theta: Tensor) -> dict[int, float]:
        """Return each hosted owner's accuracy with its final model, after fetching that if need be."""
        received = theta
        if self.plan.exchange == "server" and self.plan.data == "stays":
            others = range(1, self.world)
            if self.is_server:
                received = self.pipeline.download(theta, self.server_states)
                finish(
                    [self.wire.post(received, worker, "evaluation", SERVER, f"process {worker}") for worker in others]
                )
            else:
                received = self.wire.take(0, "evaluation")
        elif self.plan.data == "pooled" and not self.is_server:
            return {}
        found = {}
        for client, shard in self.holdings.shards.items():
            # Pooled data has no owner with a model of its own: everybody's is the one that was trained on all of it.
            pooled = self.plan.data == "pooled"
            personal = received if pooled else self.participants.personal(client, received)
            self.model.theta.copy_(personal)
            found[client] = evaluation.accuracy(self.model.module, self.holdings.local_tests.get(client, shard))
        return found
