"""The mean of everybody's message without a server: in each round the same messages go the same way, so they have lanes."""

from collections.abc import Sequence
from itertools import product

import torch
from torch import Tensor

from course_lib.rounds.exchange import DivergedError, Lanes, Train, Wire, is_finite

_BLOCK = 65_536  # values averaged at a time: in double precision they and their sum stay in the cache


def open_lanes(wire: Wire, slices: Sequence[Tensor], kind: str) -> Lanes:
    """Return lanes for vectors cut into `slices`, one a participant: to it go the others' parts, from it comes their mean."""
    lanes, channel, own = Lanes(), wire.channel, wire.hosted()
    remote = [participant for participant in range(len(wire.hosts)) if participant not in own]
    kinds = {kind: False, f"mean {kind}": True}
    # Both ends go through a lane's receivers first, then its senders; and nobody waits before all have been announced.
    for what, from_owner in kinds.items():
        for receiver, sender in product(remote, own):
            assert channel is not None
            lanes.out[what, sender, receiver] = channel.open_out(
                wire.hosts[receiver], slices[sender if from_owner else receiver], kind=what,
                sender=wire.name(sender), receiver=wire.name(receiver),
            )  # fmt: skip
    for what, from_owner in kinds.items():
        for receiver, sender in product(own, remote):
            assert channel is not None
            like = slices[sender if from_owner else receiver]
            lanes.into[what, sender, receiver] = channel.open_in(wire.hosts[sender], like, kind=what)
    return lanes


def all_reduce_mean(wire: Wire, theta: Tensor, weights: Sequence[float], kind: str, train: Train) -> Tensor:
    """Return the weighted mean `(d,)` of every worker's message, on every process.

    `train(worker, theta)` returns a hosted worker's message `(d,)`. Worker j collects and averages slice j of all messages,
    then sends the result to everybody: a reduce-scatter and an all-gather with the ring's number of bytes, 2 (n - 1) / n x
    d values a worker, but summed in worker order. Raises DivergedError for a result that is not finite.
    """
    workers, own, size = range(len(wire.hosts)), wire.hosted(), theta.numel()
    cuts = [size * j // len(workers) for j in workers[1:]]
    lanes = wire.lanes.get((kind, size))
    if lanes is None:
        lanes = wire.lanes[kind, size] = open_lanes(wire, theta.tensor_split(cuts), kind)
    for incoming in lanes.into.values():
        incoming.ready()
    messages = {worker: train(worker, theta).tensor_split(cuts) for worker in own}

    def post(what: str, sender: int, receiver: int, values: Tensor) -> None:
        lane = lanes.out.get((what, sender, receiver))
        if lane is not None:
            lane.send(values)
        elif sender != receiver:
            wire.recorder.record(wire.name(sender), wire.name(receiver), what, values, crossed=False)

    for j, i in product(workers, own):
        post(kind, i, j, messages[i][j])
    mean = torch.empty(size)
    means = mean.tensor_split(cuts)
    for j in own:
        parts = [messages[i][j] if i in messages else lanes.into[kind, i, j].wait() for i in workers]
        average(parts, weights, means[j])
    for i, j in product(workers, own):
        post(f"mean {kind}", j, i, means[j])
    for (what, j, _), lane in lanes.into.items():  # every hosted worker gets its own copy
        if what != kind:
            means[j].copy_(lane.wait())
    for outgoing in lanes.out.values():
        outgoing.wait()
    if not is_finite(mean):
        raise DivergedError(
            f"the mean {kind} holds NaN or infinity in round {wire.recorder.round}: lower the learning rate"
        )
    return mean


def average(parts: Sequence[Tensor], weights: Sequence[float], into: Tensor) -> None:
    """Put the weighted mean of `parts: (n, m)` into `into: (m,)`: what `RunningMean` makes of them in this order, to the bit.

    It goes block by block, with the same memory for each: in one go, a long vector's doubles would have to leave the cache.
    """
    total, wide = torch.empty(2, min(_BLOCK, len(into)), dtype=torch.float64)
    for start in range(0, len(into), _BLOCK):
        block = into[start : start + _BLOCK]
        added, one = total[: len(block)].zero_(), wide[: len(block)]
        for part, weight in zip(parts, weights, strict=True):
            added.add_(one.copy_(part[start : start + _BLOCK]), alpha=weight)
        block.copy_(added.div_(sum(weights)))
