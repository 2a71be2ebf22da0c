"""Who sends what to whom in a round, as real messages.

A participant (a client of FL, a worker of DML) is hosted by one process. Every message between participants is recorded
once by its sender; where both sit in the same process it is handed over and recorded as not crossed. The records are
therefore the same on any number of processes, and sums are taken in participant order, so the results are too.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from course_lib.cluster.traffic import Channel, Expected, Handle, InLane, OutLane, Recorder
from course_lib.federated.fleet import Attendance
from course_lib.federated.pipeline import is_like

SERVER = "server"

# Called with a hosted participant and what it receives (m,); returns its message, which should be a vector (k,).
Train = Callable[[int, Tensor], Any]
# Called on the server with a client and its message (k,); returns the vector that is averaged.
Decode = Callable[[int, Tensor], Tensor]
# The messages of hosted participants that are not to come yet, and what is wrong with each.
Held = dict[int, tuple[Tensor, str]]
NOT_FINITE = "NaN or infinity"


@dataclass(frozen=True)
class Answers:
    """What the server has after a round: the mean `(d,)` of the messages it could use, if any, from how many clients, and
    why it left out the others. Behind masks: the share of values that were cut off, and why there is no sum, if there is none."""

    mean: Tensor | None
    count: int
    left_out: dict[int, str]
    clipped: float = 0.0
    aborted: str = ""


class Collected(Protocol):
    """Vectors of a round on their way into one."""

    def add(self, update: Tensor, weight: float) -> None: ...
    def mean(self) -> Tensor: ...


class DivergedError(ArithmeticError):
    """A participant's update holds NaN or infinity."""


@dataclass(frozen=True)
class Lanes:
    """One process's ends of the ways that an all-reduce takes to other processes, by kind, sender and receiver."""

    out: dict[tuple[str, int, int], OutLane] = field(default_factory=dict)
    into: dict[tuple[str, int, int], InLane] = field(default_factory=dict)


@dataclass
class Wire:
    """This process's end of the exchange: `hosts[k]` is the process that hosts participant k; process 0 is the server.

    `lanes`: what an all-reduce has opened for the vectors of one kind and length.
    """

    recorder: Recorder
    channel: Channel | None
    rank: int
    hosts: Sequence[int]
    label: str
    lanes: dict[tuple[str, int], Lanes] = field(default_factory=dict)

    def name(self, participant: int) -> str:
        """Return how records call a participant: "client 7" or "worker 7"."""
        return f"{self.label} {participant}"

    def owner(self, participant: int) -> str:
        """Return how records call whoever owns the raw data that a participant starts with."""
        return f"client {participant}"

    def hosted(self) -> list[int]:
        """Return the participants that this process hosts, in order."""
        return [participant for participant, host in enumerate(self.hosts) if host == self.rank]

    def post(self, tensor: Tensor, host: int, kind: str, sender: str, receiver: str) -> Handle | None:
        """Send a tensor to a participant on process `host`; within this process it is only recorded."""
        if host == self.rank or self.channel is None:
            self.recorder.record(sender, receiver, kind, tensor, crossed=False)
            return None
        return self.channel.isend(tensor, host, kind=kind, sender=sender, receiver=receiver)

    def expect(self, host: int, kind: str, like: Tensor) -> Expected:
        """Get ready for the next message from process `host`, of the shape and type of `like`."""
        assert self.channel is not None
        return self.channel.expect(host, kind=kind, like=like)

    def take(self, host: int, kind: str) -> Tensor:
        """Receive the next message of `kind` from process `host`."""
        assert self.channel is not None
        return self.channel.recv(host, kind=kind)


def balanced_hosts(cohorts: Sequence[Sequence[int]], load: Sequence[int], workers: int) -> list[int]:
    """Return the hosting process of each participant, so that each round's work is spread evenly.

    `cohorts` holds the participants of each round, `load: (n,)` a participant's work in any round it takes part in. A
    seeded sampler fixes the cohorts in advance, so the data can be placed once, before training, and never moves.
    """
    busy = np.zeros((workers, len(cohorts)))
    held = np.zeros(workers)
    takes_part = np.zeros((len(load), len(cohorts)), dtype=bool)
    for round_index, cohort in enumerate(cohorts):
        takes_part[list(cohort), round_index] = True
    hosts = []
    for participant, work in enumerate(load):
        overlap = busy[:, takes_part[participant]].sum(axis=1)
        # Ties (early on, or with everyone in every round) go to the process that holds least, then to the lowest rank.
        host = int(np.lexsort((np.arange(workers), held, overlap))[0])
        busy[host, takes_part[participant]] += work
        held[host] += work
        hosts.append(host)
    return hosts


def through_server(
    wire: Wire, download: Tensor, now: Attendance, weights: Mapping[int, float], kind: str, train: Train, held: Held,
    blank: Tensor, decode: Decode, aggregate: Callable[[], Collected], enough: int,
) -> Answers | None:  # fmt: skip
    """Run one round of a star: the server sends `download` to those who are asked, and averages what comes, by `weights`.

    `train(client, download)` returns a hosted client's message, which should be like `blank`; `decode(client, message)` turns
    it into the vector that `aggregate()` takes up. A message that is missing, of another shape, or not finite is left out; where
    fewer than `enough` are left there is no mean. What comes in a later round is kept in `held` until then.
    Returns the Answers on the server (process 0), None elsewhere.
    """
    cohort, working, answering = now.asked, now.working, now.answering
    hosted = [client for client in cohort if wire.hosts[client] == wire.rank]
    pending: list[Handle | None] = []
    if wire.rank != 0:
        if hosted:
            download = wire.expect(0, "model", download).wait()
        for client in hosted:
            # What is sent to everybody crosses to a process once; there it is handed on to the others of the cohort.
            if client != hosted[0]:
                wire.post(download, wire.rank, "model", SERVER, wire.name(client))
            if client in working:
                held[client] = _sound(train(client, download), blank)
            if client in now.work:
                pending.append(_post_held(wire, held, client, kind))
        for client in answering:
            if client not in cohort and wire.hosts[client] == wire.rank:
                pending.append(_post_held(wire, held, client, kind))
        finish(pending)
        return None

    expected = {client: wire.expect(wire.hosts[client], kind, blank) for client in answering if wire.hosts[client] != 0}
    first_of_host = {wire.hosts[client]: client for client in reversed(cohort)}
    for client in cohort:
        if wire.hosts[client] == 0 or client == first_of_host[wire.hosts[client]]:
            pending.append(wire.post(download, wire.hosts[client], "model", SERVER, wire.name(client)))

    def own(client: int) -> tuple[Tensor, str]:
        if client in working:
            held[client] = _sound(train(client, download), blank)
        message, remark = held.pop(client)
        wire.post(message, 0, kind + remark, wire.name(client), SERVER)
        return message, remark.removeprefix(": ")

    # While the server's own clients train, the others' messages arrive.
    for client in hosted:
        if client in now.later:
            held[client] = _sound(train(client, download), blank)
    trained = {client: own(client) for client in answering if client not in expected} if expected else {}
    total = aggregate()
    count, left_out = 0, {}
    for client in answering:
        if client in expected:
            awaited = expected.pop(client)
            message, remark = awaited.wait(), awaited.remark
        else:
            message, remark = trained.pop(client) if client in trained else own(client)
        vector = message if remark else decode(client, message)
        if remark or not is_finite(vector):
            left_out[client] = remark or NOT_FINITE
            continue
        total.add(vector, weights[client])
        count += 1
    finish(pending)
    return Answers(total.mean() if count >= max(enough, 1) else None, count, left_out)


def _post_held(wire: Wire, held: Held, client: int, kind: str) -> Handle | None:
    message, remark = held.pop(client)
    return wire.post(message, 0, kind + remark, wire.name(client), SERVER)


def diverged(name: str, sends: str, number: int, whose: str) -> DivergedError:
    """Return the error for a participant, a client or a worker, whose message is not finite."""
    article = "an" if sends == "update" else "a"
    return DivergedError(
        f"{name} sent {article} {sends} with {NOT_FINITE} in round {number}: lower the learning rate, or look at that {whose}'s data"
    )


def _sound(message: Any, blank: Tensor) -> tuple[Tensor, str]:
    """Return a client's message and "", or zeros in its place and a remark on what was wrong with it."""
    if not isinstance(message, Tensor):
        return torch.zeros_like(blank), ": no message" if message is None else f": a {type(message).__name__}"[:60]
    if not is_like(message, blank):
        found = "x".join(map(str, message.shape))[:60] or "a single value"
        return torch.zeros_like(blank), f": {found} of {message.dtype}, not {blank.numel()} of {blank.dtype}"
    return message, ""


def is_finite(vector: Tensor) -> bool:
    """Return whether no value is NaN or infinite; a sum tells most often, much faster than a look at each value."""
    return bool(vector.sum().isfinite()) or bool(torch.isfinite(vector).all())


def finish(pending: list[Handle | None]) -> None:
    """Wait until every posted message has left."""
    for handle in pending:
        if handle is not None:
            handle.wait()
