"""The collectives step by step, with threads for ranks and queues for wires: milliseconds, so `make check` has them too."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from queue import Queue
from typing import Any, cast

import pytest
import torch
from torch import Tensor

from course_lib.cluster import lanes
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

    def lane_to(self, to: int, like: Tensor, *, kind: str, number: int) -> "LaneTo":
        return LaneTo(self, to)

    def lane_from(self, source: int, like: Tensor, *, kind: str, number: int) -> "LaneFrom":
        return LaneFrom(self, source, like)


class LaneTo(Sent):
    def __init__(self, line: Line, to: int) -> None:
        self.line, self.to = line, to

    def send(self, tensor: Tensor) -> None:
        for number in range(len(tensor.split(lanes.part_length(tensor)))):
            self.send_part(tensor, number)

    def send_part(self, tensor: Tensor, number: int) -> None:
        self.line.send(tensor.split(lanes.part_length(tensor))[number], self.to, kind="part")


class LaneFrom:
    def __init__(self, line: Line, source: int, like: Tensor) -> None:
        self.line, self.source, self.like = line, source, like

    def ready(self) -> None:
        """Queues keep everything."""

    def parts(self) -> Iterator[tuple[int, Tensor]]:
        for number, _ in enumerate(self.like.split(lanes.part_length(self.like))):
            yield number, self.line.recv(self.source, kind="part")


def alone(function: Callable[..., Any], *parts: Any) -> Any:
    """Call a collective in a group of two, of which the other never comes: what is refused is refused before a send."""
    return function(cast(Channel, Line(0, 2, {})), *parts)


def on_all(world: int, act: Callable[[Channel], Any]) -> list[Any]:
    """Return what `act` returns on each rank."""
    wires: dict[tuple[int, int], Queue[Tensor]] = {(i, j): Queue() for i in range(world) for j in range(world)}
    with ThreadPoolExecutor(world) as pool:
        return list(pool.map(lambda rank: act(cast(Channel, Line(rank, world, wires))), range(world)))


@pytest.mark.parametrize("world", [1, 2, 3, 4])
@pytest.mark.parametrize("size", [1, 12, 25])
@pytest.mark.parametrize("part_bytes", [8, 24, 1 << 22])
def test_the_ring_gives_everybody_the_sum_in_however_many_parts_its_chunks_travel(
    world: int, size: int, part_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lanes, "_PART_BYTES", part_bytes)
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


def test_a_sum_in_order_is_taken_in_double_precision_and_returned_in_its_own() -> None:
    values = torch.tensor([1e8, 1.0, -1e8, 3.0])  # in single precision the small ones would be lost
    [total] = on_all(1, lambda channel: sum_in_order(channel, list(values), [1.0, 1.0, 1.0, 1.0]))
    assert total.dtype == torch.float32 and total.item() == 4.0


def test_a_sum_in_order_without_rows_or_with_a_weight_too_few_is_refused() -> None:
    with pytest.raises(ValueError, match="0 rows and 0 weights"):
        alone(sum_in_order, [], [])
    with pytest.raises(ValueError, match="1 rows and 0 weights"):
        alone(sum_in_order, [torch.ones(1)], [])
    with pytest.raises(TypeError, match=r"not torch.int64: convert them with .double\(\)"):
        alone(sum_in_order, [torch.tensor([1, 2])], [0.5])


def test_whole_numbers_that_fit_are_added_exactly() -> None:
    def ring(value: int, dtype: torch.dtype) -> list[list[int]]:
        def act(channel: Channel) -> list[int]:
            tensor = torch.full((3,), value, dtype=dtype)
            ring_all_reduce(channel, tensor)
            return tensor.tolist()

        return on_all(2, act)

    assert ring(127, torch.uint8) == [[254] * 3] * 2
    assert ring(-63, torch.int8) == [[-126] * 3] * 2
    assert ring(2**60 + 1, torch.int64) == [[2**61 + 2] * 3] * 2


@pytest.mark.parametrize(("values", "complaint"), [
    (torch.tensor([128], dtype=torch.uint8), r"more than torch.uint8 holds: convert it with .long\(\)"),
    (torch.tensor([-64], dtype=torch.int8), r"more than torch.int8 holds: convert it with .long\(\)"),
    (torch.tensor([2**62]), "more than torch.int64 holds"),
    (torch.tensor([True]), r"not torch\.bool"),
    (torch.ones(2, 3).T, "contiguous"),
])  # fmt: skip
def test_the_ring_refuses_what_it_cannot_add_in_place(values: Tensor, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        alone(ring_all_reduce, values)
