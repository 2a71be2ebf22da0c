"""The collectives step by step, with threads for ranks and queues for wires: milliseconds, so `make check` has them too."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from queue import Queue
from typing import Any, cast

import pytest
import torch
from torch import Tensor

from course_lib.cluster.collectives import broadcast, gather, ring_all_reduce, sum_in_order
from course_lib.cluster.traffic import Channel


class Sent:
    def wait(self) -> None:
        """Queues take everything at once."""


class Line:
    """What the collectives use of a Channel."""

    def __init__(self, rank: int, world: int, wires: dict[tuple[int, int], "Queue[Tensor]"]) -> None:
        self.rank, self.world, self.wires, self.sent = rank, world, wires, 0

    def isend(self, tensor: Tensor, to: int, *, kind: str) -> Sent:
        self.sent += tensor.numel()
        self.wires[self.rank, to].put(tensor.clone())
        return Sent()

    def send(self, tensor: Tensor, to: int, *, kind: str) -> None:
        self.isend(tensor, to, kind=kind)

    def recv(self, source: int, *, kind: str) -> Tensor:
        return self.wires[source, self.rank].get(timeout=30)


def on_all(world: int, act: Callable[[Channel], Any]) -> list[Any]:
    """Return what `act` returns on each rank."""
    wires: dict[tuple[int, int], Queue[Tensor]] = {(i, j): Queue() for i in range(world) for j in range(world)}
    with ThreadPoolExecutor(world) as pool:
        return list(pool.map(lambda rank: act(cast(Channel, Line(rank, world, wires))), range(world)))


@pytest.mark.parametrize("world", [1, 2, 3, 4])
@pytest.mark.parametrize("size", [1, 12, 25])
def test_the_ring_gives_everybody_the_sum(world: int, size: int) -> None:
    rows = torch.randint(-9, 9, (world, size), generator=torch.Generator().manual_seed(0)).double()

    def act(channel: Channel) -> tuple[Tensor, int]:
        tensor = rows[channel.rank].clone()
        ring_all_reduce(channel, tensor)
        return tensor, cast(Line, channel).sent

    results = on_all(world, act)
    assert all(torch.equal(tensor, rows.sum(0)) for tensor, _ in results)
    assert sum(sent for _, sent in results) == 2 * (world - 1) * size


@pytest.mark.parametrize("root", [0, 2])
def test_a_broadcast_a_gather_and_a_weighted_sum(root: int) -> None:
    def act(channel: Channel) -> tuple[Tensor, list[float] | None, Tensor]:
        own = torch.tensor([channel.rank + 1.0])
        gathered = gather(channel, own, root)
        total = sum_in_order(channel, [own, 10 * own], [0.5, 2.0 + channel.rank])
        broadcast(channel, own, root)
        return own, None if gathered is None else [float(each) for each in gathered], total

    for rank, (own, gathered, total) in enumerate(on_all(3, act)):
        assert own.tolist() == [root + 1.0]
        assert gathered == ([1.0, 2.0, 3.0] if rank == root else None)
        assert total.tolist() == [sum(k * (0.5 + 10 * (1 + k)) for k in (1, 2, 3))]
