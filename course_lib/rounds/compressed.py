"""An all-reduce whose messages are packed: every worker ends with the same mean, and what is recorded is what was sent."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from course_lib.aggregation import RunningMean
from course_lib.cluster.traffic import Expected
from course_lib.compression import AddsUp, Compression, Sign
from course_lib.federated.packing import coins
from course_lib.learning import keys
from course_lib.rounds.all_reduce import all_reduce_mean
from course_lib.rounds.exchange import DivergedError, Train, Wire, finish, is_finite
from course_lib.rounds.participants import Participants

# Messages from worker i to worker j.
Messages = dict[tuple[int, int], Tensor]


@dataclass(frozen=True)
class PackedAllReduce:
    """One process's part in an all-reduce of packed messages; `memories`: what its workers remember of the vectors before.

    Where packed vectors add up, they are averaged like any others. A majority is found by slices: worker j counts everybody's
    signs in slice j and sends the outcome to all, so that each number costs a bit both ways. What is left, such as the largest
    numbers, which lie elsewhere with everybody, goes from each worker to every other, who unpack and average all of them.
    """

    by: Compression
    seed: int
    wire: Wire
    kind: str
    memories: Mapping[int, Tensor]

    def mean(self, theta: Tensor, weights: Sequence[float], train: Train) -> tuple[Tensor, dict[int, Tensor]]:
        """Return what all make of the weighted mean `(d,)` of their messages, the same on every process, and what each hosted
        worker would remember.

        `train(worker, theta)` returns a hosted worker's message `(d,)`. Raises DivergedError for a result that is not finite.
        """
        if isinstance(self.by, AddsUp):
            mean, kept = self._summed(self.by, theta, weights, train)
        elif isinstance(self.by, Sign):
            mean, kept = self._voted(self.by, theta, train), {}
        else:
            mean, kept = self._gathered(theta, weights, train)
        if not is_finite(mean):
            raise DivergedError(
                f"the mean {self.kind} holds NaN or infinity in round {self.wire.recorder.round}: lower the learning rate"
            )
        return mean, kept

    def _summed(
        self, by: AddsUp, theta: Tensor, weights: Sequence[float], train: Train
    ) -> tuple[Tensor, dict[int, Tensor]]:  # fmt: skip
        def mean_of(parts: Mapping[int, Tensor]) -> Tensor:
            like = torch.zeros_like(next(iter(parts.values())))
            return all_reduce_mean(self.wire, like, weights, self.kind, lambda worker, _: parts[worker])

        messages: dict[int, Tensor] = {worker: train(worker, theta) for worker in self.wire.hosted()}
        shared = keys.key(self.seed, "compression", self.wire.recorder.round)
        return by.all_reduced(messages, self.memories, shared, mean_of)

    def _voted(self, by: Sign, theta: Tensor, train: Train) -> Tensor:
        wire, workers, values = self.wire, range(len(self.wire.hosts)), theta.numel()
        first = wire.hosted()[0]  # every hosted worker is told the same
        cuts = [values * j // len(workers) for j in range(len(workers) + 1)]
        slices, lengths = [slice(*pair) for pair in pairwise(cuts)], [end - start for start, end in pairwise(cuts)]
        votes = _ready(wire, self.kind, lambda _, j: by.size(lengths[j]))
        outcomes = _ready(wire, f"mean {self.kind}", lambda j, _: by.size(lengths[j]))
        packed, _ = self._packed(theta, train)
        signs = {worker: by.unpack(message, values) for worker, message in packed.items()}
        # Once a sign, always a sign: packing a slice of them draws no coin.
        sent = {(i, j): by.pack(own[slices[j]])[0] for i, own in signs.items() for j in workers}
        cast = _swapped(wire, self.kind, sent, votes)
        tied, told = coins(values, self.seed, wire.recorder.round - 1), Messages()
        for j in wire.hosted():
            tally = torch.stack([by.unpack(cast[i, j], lengths[j]) for i in workers]).sum(0)
            outcome, _ = by.pack(by.vote(tally, tied[slices[j]]))
            told |= {(j, i): outcome for i in workers}
        heard = _swapped(wire, f"mean {self.kind}", told, outcomes)
        return torch.cat([by.unpack(heard[j, first], lengths[j]) for j in workers])

    def _gathered(
        self, theta: Tensor, weights: Sequence[float], train: Train
    ) -> tuple[Tensor, dict[int, Tensor]]:  # fmt: skip
        workers = range(len(self.wire.hosts))
        ready = _ready(self.wire, self.kind, lambda _i, _j: self.by.size(theta.numel()))
        packed, kept = self._packed(theta, train)
        sent = {(i, j): message for i, message in packed.items() for j in workers}
        received = _swapped(self.wire, self.kind, sent, ready)
        total, first = RunningMean(), self.wire.hosted()[0]  # every hosted worker receives the same
        for worker in workers:
            total.add(self.by.unpack(received[worker, first], theta.numel()), weights[worker])
        return total.mean(), kept

    def _packed(self, theta: Tensor, train: Train) -> tuple[dict[int, Tensor], dict[int, Tensor]]:
        """Return the packed message of each hosted worker, and what it would remember."""
        packed, kept = {}, {}
        for worker in self.wire.hosted():
            # At once after its training: what packing draws comes from the generator that was seeded for this worker's round.
            packed[worker], left = self.by.pack(train(worker, theta), self.memories.get(worker))
            if left is not None:
                kept[worker] = left
        return packed, kept


def packed_mean(participants: Participants) -> Callable[[Wire, Tensor, Sequence[float], str, Train], Tensor]:
    """Return what stands in for `all_reduce_mean` where the plan of these participants packs what they send."""

    def mean_of_all(wire: Wire, theta: Tensor, weights: Sequence[float], kind: str, train: Train) -> Tensor:
        by = participants.plan.compression
        assert by is not None
        packed = PackedAllReduce(by, participants.job.seed, wire, kind, participants.lost())
        mean, lost = packed.mean(theta, weights, train)
        for worker, memory in lost.items():
            participants.propose_lost(worker, memory)
        participants.settle(wire.hosted(), used=True)
        return mean

    return mean_of_all


def _ready(wire: Wire, kind: str, size: Callable[[int, int], int]) -> dict[tuple[int, int], Expected]:
    """Get ready for a message of `size(i, j)` bytes from each worker i elsewhere to each worker j of this process.

    Between two processes, messages arrive in the order in which they are sent: by receiving worker, then by sending one.
    """
    return {
        (i, j): wire.expect(wire.hosts[i], kind, torch.zeros(size(i, j), dtype=torch.uint8))
        for j in wire.hosted() for i in range(len(wire.hosts)) if wire.hosts[i] != wire.rank
    }  # fmt: skip


def _swapped(wire: Wire, kind: str, sent: Messages, ready: Mapping[tuple[int, int], Expected]) -> Messages:
    """Send what the hosted workers have for each worker, also for themselves, which needs no message; return what reaches them."""
    pending = []
    for i, j in sorted(sent, key=lambda pair: (pair[1], pair[0])):
        if i != j:
            pending.append(wire.post(sent[i, j], wire.hosts[j], kind, wire.name(i), wire.name(j)))
    received = {pair: message for pair, message in sent.items() if wire.hosts[pair[1]] == wire.rank}
    received |= {pair: expected.wait() for pair, expected in ready.items()}
    finish(pending)
    return received
