"""An asynchronous run in real processes: a parameter server that takes messages as they come, and notes down how they came."""

import queue
import threading
import time
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import replace

import torch
from torch import Tensor, nn

from course_lib import cluster
from course_lib.aggregation import RunningMean
from course_lib.cluster.traffic import Channel, Recorder
from course_lib.data import Dataset
from course_lib.distributed.asynchronous.arrivals import Piece, attendance
from course_lib.distributed.asynchronous.ledger import Ledger
from course_lib.federated.fleet import Attendance
from course_lib.federated.pipeline import is_like
from course_lib.learning import evaluation, keys, sgd
from course_lib.models import ModelSpec, check_output
from course_lib.plans import Plan
from course_lib.rounds import checks, preparation
from course_lib.rounds.exchange import SERVER, Answers, DivergedError, Wire, diverged, is_finite
from course_lib.rounds.judge import Judge
from course_lib.rounds.notes import Notes
from course_lib.rounds.participants import Participants
from course_lib.rounds.pooling import deal, pool
from course_lib.rounds.preparation import Job, Partition
from course_lib.rounds.run import Run, WorkerLog, assemble
from course_lib.rounds.step import step, weights


def live(
    model: ModelSpec | nn.Module, train: Dataset, clients: Partition, plan: Plan, *, test: Dataset | None = None,
    seed: int = 0, delays: Sequence[float] = (), evaluate_every: int | None = None, timeout: float = 60.0,
) -> Run:  # fmt: skip
    """Carry out an asynchronous plan in one process for each participant and one for the server, and return the Run.

    Nobody settles in advance whose message comes when: the server takes what comes first, and the run is another one each time. What
    happened is in `run.attendance`, and `rounds.fit` with `Asynchronous(order=run.order)` does the same again, to the same weights.
    `delays`: seconds that each participant sleeps before it answers, to make stragglers; by default nobody does.
    `evaluate_every`: rounds; by default only the last is evaluated, because the server answers nobody meanwhile.

    Raises ValueError for bad input before any process starts, DivergedError, naming the participant, for a message that is not finite,
    and cluster.WorkerError when a process fails.
    """
    seed = keys.seed(seed)
    checks.check_setting()
    clients = checks.positions(clients, len(train), "clients")
    checks.check(train, clients, test, 1, evaluate_every or 1, None)
    _check(plan, len(clients), delays)
    module = model.build(train.shape, len(train.classes), seed) if isinstance(model, ModelSpec) else deepcopy(model)
    for parameter in module.parameters():  # the flat vector needs rows one after the other
        parameter.data = parameter.data.contiguous()
    if plan.strategy is not None:
        plan = plan.but(strategy=plan.strategy.fitted(module))
    if plan.compression is not None:
        plan = plan.but(compression=plan.compression.fitted(module))
    check_output(module, train.shape, len(train.classes), batch_norm=False)
    sizes = preparation.participant_sizes(plan, [len(indices) for indices in clients])
    checks.check_plan(plan, module, train, sizes, None)
    everybody = Attendance(tuple(range(len(sizes))), dict.fromkeys(range(len(sizes)), 1.0))
    hosts = tuple(range(1, len(sizes) + 1))
    job = Job(module, plan, seed, sizes, (everybody,) * plan.rounds, hosts, evaluate_every or plan.rounds, None, False)
    placed = Recorder()
    held = {client: plan.learned_from(train.subset(indices), client, seed) for client, indices in enumerate(clients)}
    shards = held if plan.data == "stays" else _dealt(held, job, placed)
    own: list[tuple[Dataset | None, Dataset | None, float]] = [(None, test, 0.0)]
    own += [(shards[one], None, delays[one] if delays else 0.0) for one in range(len(sizes))]
    try:
        logs = cluster.launch(_work, job, workers=len(own), per_rank=own, timeout=timeout)
    except cluster.WorkerError as error:
        if isinstance(error.original, DivergedError):  # the same error as `rounds.fit` raises
            raise error.original from None
        raise
    (server, pieces), *others = logs
    server.messages[:0] = placed.messages
    happened = attendance(pieces, plan.rounds)
    run = assemble(plan, seed, module, [server, *others], None, happened)
    run.client_accuracy[:] = [evaluation.accuracy(run.model, held[client]) for client in range(len(held))]
    return run


def _check(plan: Plan, participants: int, delays: Sequence[float]) -> None:
    if plan.asynchronous is None or plan.asynchronous.order is not None or plan.fleet is not None:
        raise ValueError(
            f"rounds.live settles nothing in advance: it needs a plan with asynchronous=Asynchronous(...), without an order and without a "
            f"fleet, not asynchronous={plan.asynchronous!r}, fleet={plan.fleet!r}"
        )
    if plan.participation < 1 or plan.required > 1 or (plan.strategy is not None and not plan.strategy.one_model):
        raise ValueError(
            f"rounds.live has everybody at work, and uses what comes: participation={plan.participation}, required={plan.required} and "
            f"strategy={plan.strategy!r} need rounds.fit"
        )
    if delays and (len(delays) != participants or not all(0 <= delay < float("inf") for delay in delays)):
        raise ValueError(
            f"delays={list(delays)}: pass a number of seconds, at least 0, for each of the {participants} participants"
        )


def _dealt(held: dict[int, Dataset], job: Job, recorder: Recorder) -> dict[int, Dataset]:
    """Return the participants' shards as `rounds.fit` deals them, before they are sent to their processes."""
    wire = Wire(recorder, None, 0, (0,) * len(held), "worker")
    return deal(wire, pool(wire, held), job.sizes, job.seed, held[0])


def _work(
    job: Job, shard: Dataset | None, test: Dataset | None, delay: float
) -> "tuple[WorkerLog, list[Piece]] | WorkerLog":
    with torch.random.fork_rng(devices=[]):
        return _Server(job, test).run() if shard is None else _answer(job, shard, delay)


def _answer(job: Job, shard: Dataset, delay: float) -> WorkerLog:
    """One participant's process: train on what comes, until nothing does."""
    recorder = Recorder()
    channel = Channel(recorder)
    participant = channel.rank - 1
    does = Participants(job, sgd.FlatModel(deepcopy(job.module)), recorder)
    does.shards, does.turns = {participant: shard}, {}  # it counts its own rounds
    done = 0
    while (received := channel.recv(0, kind="model")).numel():
        with recorder.phase("computing"):
            time.sleep(delay)
        message = does.message(participant, received, done, {participant: 1.0})
        if not is_like(message, does.pipeline.blank):
            raise ValueError(f"participant {participant} has made no message of {message!r:.60}")
        does.settle([participant], used=True)
        channel.send(message, 0, kind=job.plan.sends)
        done += 1
    channel.send(torch.zeros(0), 0, kind=job.plan.sends)
    return WorkerLog([], recorder.spans, {})


class _Server:
    """The parameter server's process."""

    def __init__(self, job: Job, test: Dataset | None) -> None:
        assert job.plan.asynchronous is not None
        self.job, self.plan, self.by = job, job.plan, job.plan.asynchronous
        self.recorder = Recorder()
        self.channel = Channel(self.recorder)
        self.wire = Wire(self.recorder, self.channel, 0, job.hosts, "client" if job.plan.data == "stays" else "worker")
        self.participants = Participants(job, sgd.FlatModel(deepcopy(job.module)), self.recorder)
        self.participants.turns = {}
        self.pipeline = self.participants.pipeline
        self.theta = self.participants.model.theta.clone()
        self.states = self.pipeline.server_start(self.theta)
        self.notes = Notes(self.wire, float("nan"), out_of_step=True)
        self.judge = Judge(job, test, None, self.participants, self.notes)
        self.ledger = Ledger(self.by)
        self.pieces: list[Piece] = []
        self.latest: dict[int, int] = {}
        self.vectors: dict[int, Tensor] = {}
        # Messages as they come, each with who sent it and when it was there.
        self.arrived: queue.SimpleQueue[tuple[int, Tensor, float] | BaseException] = queue.SimpleQueue()

    def run(self) -> tuple[WorkerLog, list[Piece]]:
        listeners = [
            threading.Thread(target=self._listen, args=(one,), daemon=True) for one in range(len(self.job.sizes))
        ]
        for listener in listeners:
            listener.start()
        self.started = time.time()
        began = time.perf_counter()
        self._give(range(len(self.job.sizes)))
        while self.ledger.version < self.plan.rounds:
            self._take_in(*self._next())
            if self.ledger.due:
                self._step(began)
        waiting = [self.channel.isend(torch.zeros(0), host, kind="model") for host in self.job.hosts]
        self.recorder.messages = [message for message in self.recorder.messages if message.bytes]
        for handle in waiting:
            handle.wait()
        for listener in listeners:
            listener.join()
        log = WorkerLog(
            self.recorder.messages, self.recorder.spans, dict.fromkeys(range(len(self.job.sizes)), 0.0), [],
            self.judge.checkpoints, self.theta, self.judge.best,
        )  # fmt: skip
        return log, self.pieces

    def _listen(self, participant: int) -> None:
        """In a thread of its own: hand on what one participant sends, until it has nothing more to say."""
        channel = Channel(Recorder())
        try:
            while (message := channel.recv(self.job.hosts[participant], kind=self.plan.sends)).numel():
                self.arrived.put((participant, message, time.time()))
        except BaseException as error:  # noqa: BLE001 - the server raises it
            self.arrived.put(error)

    def _next(self) -> tuple[int, Tensor, float]:
        with self.recorder.phase("waiting"):
            came = self.arrived.get()
        if isinstance(came, BaseException):
            raise came
        return came

    def _give(self, participants: Sequence[int]) -> None:
        """Send the weights as they are to those who have nothing to do."""
        self.recorder.round = self.ledger.version + 1
        download = self.pipeline.download(self.theta, self.states)
        for one in participants:
            self.latest[one] = len(self.pieces)
            worked = sum(piece.participant == one for piece in self.pieces)
            self.participants.turns[one, self.ledger.version] = worked
            self.pieces.append(Piece(one, self.ledger.version, time.time() - self.started))
        self.ledger = self.ledger.give(participants)
        handles = [
            self.wire.post(download, self.job.hosts[one], "model", SERVER, self.wire.name(one)) for one in participants
        ]
        for handle in handles:
            assert handle is not None
            handle.wait()

    def _take_in(self, participant: int, message: Tensor, at: float) -> None:
        name = self.wire.name(participant)
        self.recorder.record(name, SERVER, self.plan.sends, message, crossed=True)
        steps = preparation.local_steps(self.plan, self.job.sizes[participant])
        vector = self.pipeline.read(message, self.states, steps, self.plan.learning_rate)
        if not is_finite(vector):
            raise diverged(name, self.plan.sends, self.ledger.version + 1, self.wire.label)
        self.vectors[participant] = vector
        self.ledger = self.ledger.arrive(participant)
        place, turn = self.latest[participant], sum(piece.turn >= 0 for piece in self.pieces)
        self.pieces[place] = replace(self.pieces[place], came=at - self.started, turn=turn)

    def _step(self, began: float) -> None:
        """Make a step with what has come, and give the new weights to those who sent it."""
        number = self.ledger.version
        self.ledger, given = self.ledger.step()
        with self.recorder.phase("computing"):
            asked = tuple(piece.participant for piece in self.pieces if piece.given == number)
            now = Attendance(asked, dict.fromkeys(given, 1.0), given=given)
            examples = [self.participants.examples(one, given.get(one, number)) for one in range(len(self.job.sizes))]
            late, total = now.staleness(number), RunningMean()
            for one, weight in weights(examples, late, self.by).items():
                total.add(self.vectors.pop(one), weight)
            self.theta, self.states = step(
                self.pipeline, self.theta, self.states, total.mean(), len(late), examples, late, self.by,
                self.participants.turn(number),
            )  # fmt: skip
        for one in given:
            place = self.latest[one]
            self.pieces[place] = replace(self.pieces[place], used=number, stepped=time.time() - self.started)
        self.notes.add(now, Answers(None, len(late), {}), skipped=False)
        self.judge.look(self.theta, number + 1, began)
        if number + 1 < self.plan.rounds:
            self._give(sorted(given))  # in the order in which `rounds.fit` would
