"""An all-reduce whose messages are packed: every worker ends with the same mean, and what is recorded is what was sent."""

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from course_lib.aggregation import RunningMean
from course_lib.cluster.traffic import Expected
from course_lib.compression import AddsUp, Compression, Sign
from course_lib.federated.packing import coins
from course_lib.learning import keys
from course_lib.rounds.exchange import DivergedError, Train, Wire, all_reduce_mean, finish, is_finite

# Messages from worker i to worker j.
Messages = dict[tuple[int, int], Tensor]


class CompressedAllReduce:
    """The all-reduce of one process of a run, and what each of its workers remembers of the vectors that it has packed.

    Where packed vectors add up, they are averaged like any others. A majority is found by slices: worker j counts everybody's
    signs in slice j and sends the outcome to all, so that each number costs a bit both ways. What is left, such as the largest
    numbers, which lie elsewhere with everybody, goes from each worker to every other, who unpack and average all of them.
    """

    def __init__(self, by: Compression, seed: int) -> None:
        self.by, self.seed = by, seed
        self.memories: dict[int, Tensor] = {}

    def mean(self, wire: Wire, theta: Tensor, weights: Sequence[float], kind: str, train: Train) -> Tensor:
        """Return what the workers make of the weighted mean `(d,)` of their messages, the same on every process.

        `train(worker, theta)` returns a hosted worker's message `(d,)`. What a worker remembers advances only when everybody
        has used its message. Raises DivergedError for a result that is not finite.
        """
        if isinstance(self.by, AddsUp):
            mean, kept = self._summed(self.by, wire, theta, weights, kind, train)
        elif isinstance(self.by, Sign):
            mean, kept = self._voted(self.by, wire, theta, kind, train)
        else:
            mean, kept = self._gathered(wire, theta, weights, kind, train)
        if not is_finite(mean):
            raise DivergedError(
                f"the mean {kind} holds NaN or infinity in round {wire.recorder.round}: lower the learning rate"
            )
        self.memories |= kept
        return mean

    def _summed(
        self, by: AddsUp, wire: Wire, theta: Tensor, weights: Sequence[float], kind: str, train: Train
    ) -> tuple[Tensor, dict[int, Tensor]]:  # fmt: skip
        def mean_of(parts: Mapping[int, Tensor]) -> Tensor:
            like = torch.zeros_like(next(iter(parts.values())))
            return all_reduce_mean(wire, like, weights, kind, lambda worker, _: parts[worker])

        messages: dict[int, Tensor] = {worker: train(worker, theta) for worker in wire.hosted()}
        shared = keys.key(self.seed, "compression", wire.recorder.round)
        return by.all_reduced(messages, self.memories, shared, mean_of)

    def _voted(
        self, by: Sign, wire: Wire, theta: Tensor, kind: str, train: Train
    ) -> tuple[Tensor, dict[int, Tensor]]:  # fmt: skip
        workers, values = range(len(wire.hosts)), theta.numel()
        slices = [slice(values * j // len(workers), values * (j + 1) // len(workers)) for j in workers]
        sizes = [by.size(part.stop - part.start) for part in slices]
        votes, outcomes = (
            _ready(wire, kind, lambda _, j: sizes[j]), _ready(wire, f"mean {kind}", lambda j, _: sizes[j])
        )  # fmt: skip
        packed, _ = self._packed(wire, theta, train)
        signs = {worker: by.unpack(message, values) for worker, message in packed.items()}
        # Once a sign, always a sign: packing a slice of them draws no coin.
        sent = {(i, j): by.pack(own[slices[j]])[0] for i, own in signs.items() for j in workers}
        cast = _swapped(wire, kind, sent, votes)
        tied = coins(values, self.seed, wire.recorder.round - 1)
        won = {}
        for j in wire.hosted():
            tally = sum(by.unpack(cast[i, j], slices[j].stop - slices[j].start) for i in workers)
            won[j] = by.pack(by.vote(torch.as_tensor(tally), tied[slices[j]]))[0]
        told = _swapped(
            wire, f"mean {kind}", {(j, i): message for j, message in won.items() for i in workers}, outcomes
        )
        first = wire.hosted()[0]  # every hosted worker is told the same
        return torch.cat([by.unpack(told[j, first], slices[j].stop - slices[j].start) for j in workers]), {}

    def _gathered(
        self, wire: Wire, theta: Tensor, weights: Sequence[float], kind: str, train: Train
    ) -> tuple[Tensor, dict[int, Tensor]]:  # fmt: skip
        workers = range(len(wire.hosts))
        ready = _ready(wire, kind, lambda _i, _j: self.by.size(theta.numel()))
        packed, kept = self._packed(wire, theta, train)
        received = _swapped(wire, kind, {(i, j): message for i, message in packed.items() for j in workers}, ready)
        total, first = RunningMean(), wire.hosted()[0]  # every hosted worker receives the same
        for worker in workers:
            total.add(self.by.unpack(received[worker, first], theta.numel()), weights[worker])
        return total.mean(), kept

    def _packed(self, wire: Wire, theta: Tensor, train: Train) -> tuple[dict[int, Tensor], dict[int, Tensor]]:
        """Return the packed message of each hosted worker, and what it would remember."""
        packed, kept = {}, {}
        for worker in wire.hosted():
            # At once after its training: what packing draws comes from the generator that was seeded for this worker's round.
            packed[worker], left = self.by.pack(train(worker, theta), self.memories.get(worker))
            if left is not None:
                kept[worker] = left
        return packed, kept


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
