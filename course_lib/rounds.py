"""THE loop: a plan in, a run out.

It runs in one process, in local worker processes and under torchrun, with the same result for the same seed.
"""

import time
from collections.abc import Callable, Sequence
from copy import deepcopy

import torch
from torch import Tensor, nn

from course_lib import cluster, preparation
from course_lib.cluster.traffic import Channel, Recorder
from course_lib.data import Dataset
from course_lib.exchange import SERVER, DivergedError, Wire, all_reduce_mean, finish, through_server
from course_lib.learning import evaluation, keys, sgd
from course_lib.models import ModelSpec, check_output
from course_lib.plans import Plan
from course_lib.pooling import concatenated, deal, pool
from course_lib.preparation import Job, Partition
from course_lib.run import Run, WorkerLog, assemble

__all__ = ["DivergedError", "Run", "fit"]


def fit(
    model: ModelSpec | nn.Module, train: Dataset, clients: Partition, plan: Plan, *,
    test: Dataset | None = None, seed: int = 0, workers: int = 1, evaluate_every: int = 1,
    stop_at: float | None = None, progress: Callable[[int, int], None] | None = None, keep_payloads: bool = False,
    timeout: float = 60.0,
) -> Run:  # fmt: skip
    """Carry out `plan` and return the Run.

    `clients`: the indices of the training examples that each owner holds (see `data.partitions`). Where the plan pools
    the data, it is collected from them and dealt out again, identically distributed, to as many workers.
    `workers`: how many local processes share the work; 1 runs in this process. Under torchrun its world size counts.
    `stop_at`: end as soon as an evaluation reaches this test accuracy (0 to 1).
    `progress`: called with (rounds done, rounds). `timeout`: seconds after which a silent worker counts as hung.

    Raises ValueError for bad input before any process starts, DivergedError when an update is not finite, and
    cluster.WorkerError when a worker process fails.
    """
    rank, world = cluster.join()
    workers = world if world > 1 else workers
    preparation.check(train, clients, test, workers, evaluate_every, stop_at)
    module = model.build(train.shape, len(train.classes), seed) if isinstance(model, ModelSpec) else deepcopy(model)
    check_output(module, train.shape, len(train.classes))

    held = [len(indices) for indices in clients]
    sizes = preparation.participant_sizes(plan, held)
    cohorts = preparation.cohorts(plan, len(sizes), seed)
    hosts = preparation.hosting(plan, held, cohorts, workers)
    job = Job(module, plan, seed, sizes, cohorts, hosts, evaluate_every, stop_at, keep_payloads)
    shards: list[dict[int, Dataset]] = [{} for _ in range(workers)]
    for client, indices in enumerate(clients):
        shards[hosts[client]][client] = train.subset(indices)

    def show(_rank: int, done: int) -> None:
        if progress is not None:
            progress(done, plan.rounds)

    if world > 1:
        log = _work(job, shards[rank], test if rank == 0 else None)
        logs: list[WorkerLog] = [log] * world
        torch.distributed.all_gather_object(logs, log)
    elif workers == 1:
        logs = [_work(job, shards[0], test, lambda done: show(0, done))]
    else:
        given = [(shard, test if worker == 0 else None) for worker, shard in enumerate(shards)]
        try:
            logs = cluster.launch(_work, job, workers=workers, per_rank=given, timeout=timeout, on_report=show)
        except cluster.WorkerError as error:
            if isinstance(error.original, DivergedError):  # no worker is to blame: the same error as in one process
                raise error.original from None
            raise
    return assemble(plan, seed, module, logs)


def _work(
    job: Job, held: dict[int, Dataset], test: Dataset | None, report: Callable[[int], None] = cluster.report
) -> WorkerLog:
    """Run every round on this process, which holds the raw data of the clients in `held` and of no other."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # small batches lose more by changing threads than they gain, and one thread is repeatable
    try:
        with torch.random.fork_rng(devices=[]):
            return _Worker(job, held, test, report).run()
    finally:
        torch.set_num_threads(threads)


class _Worker:
    """One process's part in the loop."""

    def __init__(
        self, job: Job, held: dict[int, Dataset], test: Dataset | None, report: Callable[[int], None]
    ) -> None:  # fmt: skip
        rank, world = cluster.join()
        self.job, self.plan, self.held, self.test, self.report = job, job.plan, held, test, report
        self.model = sgd.FlatModel(deepcopy(job.module))
        self.recorder = Recorder(keep_payloads=job.keep_payloads)
        channel = Channel(self.recorder) if world > 1 else None
        self.wire = Wire(self.recorder, channel, rank, job.hosts, "client" if job.plan.data == "stays" else "worker")
        self.world, self.is_server = world, rank == 0
        self.checkpoints: list[dict[str, float]] = []

    def run(self) -> WorkerLog:
        self.shards = self._place_data()
        theta, started = self.model.theta.clone(), time.perf_counter()
        for round_index, cohort in enumerate(self.job.cohorts):
            self.recorder.round = round_index + 1
            if self.plan.exchange == "none" and not self.is_server:
                break
            theta = self._round(theta, round_index, cohort)
            reached = self._evaluate(theta, round_index + 1, started)
            if self.is_server:
                self.report(round_index + 1)
            if self._agree_to_stop(reached):
                break
        return WorkerLog(
            self.recorder.messages, self.recorder.spans, self._client_accuracy(theta), self.recorder.payloads,
            self.checkpoints, theta if self.is_server else None,
        )  # fmt: skip

    def _round(self, theta: Tensor, round_index: int, cohort: Sequence[int]) -> Tensor:
        """Return the weights `(d,)` after one round; on a process that only hosts clients they are not known."""
        plan, kind = self.plan, self.plan.sends
        weights = [self._examples(participant, round_index) for participant in cohort]

        def train(participant: int, start: Tensor) -> Tensor:
            return self._train(participant, start, round_index)

        mean: Tensor | None
        if plan.exchange == "server":
            mean = through_server(self.wire, theta, cohort, weights, kind, train)
        elif plan.exchange == "all-reduce":
            mean = all_reduce_mean(self.wire, theta, weights, kind, train)
        else:
            mean = train(0, theta)
        if mean is None:
            return theta
        return torch.add(theta, mean, alpha=-plan.learning_rate) if kind == "gradient" else theta + mean

    def _train(self, participant: int, theta: Tensor, round_index: int) -> Tensor:
        """Return the participant's message `(d,)`: its gradient, or what its local steps changed."""
        plan, shard, key = self.plan, self.shards[participant], sgd.batch_key(self.job.seed, participant)
        first_step, steps = self._steps(participant, round_index)
        with self.recorder.phase("computing"):
            # For dropout and its like. torch.manual_seed would seed every device, and takes as long as a step or two.
            torch.default_generator.manual_seed(keys.key(self.job.seed, "layers", participant, round_index))
            self.model.theta.copy_(theta)
            if plan.sends == "gradient":
                return sgd.batch_gradient(self.model, shard.x, shard.y, plan.batch_size, first_step, key)
            return sgd.local_update(
                self.model, shard.x, shard.y, plan.learning_rate, plan.batch_size, first_step, steps, key
            )

    def _steps(self, participant: int, round_index: int) -> tuple[int, int]:
        """Return the number of the participant's first step in this round, and how many it takes."""
        steps = self.plan.local_steps
        if steps is None:
            assert self.plan.local_epochs is not None
            steps = self.plan.local_epochs * sgd.steps_an_epoch(self.job.sizes[participant], self.plan.batch_size)
        return round_index * steps, steps

    def _examples(self, participant: int, round_index: int) -> int:
        """Return how many examples the participant's steps of this round go through: its weight in the mean."""
        size, batch = self.job.sizes[participant], self.plan.batch_size or self.job.sizes[participant]
        first_step, steps = self._steps(participant, round_index)
        per_epoch = sgd.steps_an_epoch(size, batch)
        return sum(min(batch, size - step % per_epoch * batch) for step in range(first_step, first_step + steps))

    def _place_data(self) -> dict[int, Dataset]:
        """Return the hosted participants' training data, after moving it where the plan says."""
        if self.plan.data == "stays":
            return self.held
        like = next(iter(self.held.values()))
        self.held = pool(self.wire, self.held)
        if self.plan.exchange == "none":
            return {0: concatenated(self.held)} if self.is_server else {}
        return deal(self.wire, self.held, self.job.sizes, self.job.seed, like)

    def _evaluate(self, theta: Tensor, done: int, started: float) -> bool:
        """Test the weights on the server where it is time to; return whether the run may stop."""
        job = self.job
        if not self.is_server or (done % job.evaluate_every and done != self.plan.rounds):
            return False
        accuracy = loss = float("nan")
        if self.test is not None:
            with self.recorder.phase("computing"):
                self.model.theta.copy_(theta)
                accuracy, loss = evaluation.accuracy_and_loss(self.model.module, self.test)
        seconds = time.perf_counter() - started
        self.checkpoints.append({"round": done, "accuracy": accuracy, "loss": loss, "seconds": seconds})
        return job.stop_at is not None and accuracy >= job.stop_at

    def _agree_to_stop(self, reached: bool) -> bool:
        """Let the server's decision reach every process; only runs that may stop early pay for the message."""
        if self.job.stop_at is None or self.plan.exchange == "none":
            return reached
        if not self.is_server:
            return bool(self.wire.take(0, "control").item())
        decision = torch.tensor([reached], dtype=torch.uint8)
        finish(
            [
                self.wire.post(decision, worker, "control", SERVER, f"process {worker}")
                for worker in range(1, self.world)
            ]
        )
        return reached

    def _client_accuracy(self, theta: Tensor) -> dict[int, float]:
        """Return the final model's accuracy on the data of each owner held here, after fetching the model if need be."""
        if self.plan.exchange == "server" and self.plan.data == "stays":
            others = range(1, self.world)
            if self.is_server:
                finish([self.wire.post(theta, worker, "evaluation", SERVER, f"process {worker}") for worker in others])
            else:
                theta = self.wire.take(0, "evaluation")
        elif self.plan.data == "pooled" and not self.is_server:
            return {}
        self.model.theta.copy_(theta)
        return {client: evaluation.accuracy(self.model.module, shard) for client, shard in self.held.items()}
