"""Raw data travels as it is stored, and packing it loses nothing."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from queue import Queue
from typing import Any, cast

import pytest
import torch
from torch import Tensor

from course_lib import data
from course_lib.cluster.traffic import Channel, Recorder
from course_lib.data import Dataset
from course_lib.rounds.exchange import Wire
from course_lib.rounds.pooling import concatenated, deal, packed, pool, unpacked

# Twelve images of one pixel, which says whose label it is: owner 0 holds three of them, owner 1 five, owner 2 four.
IMAGES = Dataset("made", torch.arange(12).float()[:, None] / 255, torch.arange(12), tuple(map(str, range(12))))
OWNED = {0: IMAGES.subset(range(3)), 1: IMAGES.subset(range(3, 8)), 2: IMAGES.subset(range(8, 12))}


class Line:
    """What a Wire uses of a Channel: threads stand for processes, and a queue for what one sends to the other."""

    def __init__(self, rank: int, wires: list["Queue[Tensor]"]) -> None:
        self.rank, self.wires = rank, wires

    def isend(self, tensor: Tensor, to: int, **_: str) -> None:
        self.wires[to].put(tensor.clone())

    def recv(self, source: int, *, kind: str) -> Tensor:
        return self.wires[self.rank].get(timeout=30)


def on_two(hosts: list[int], act: Callable[[Wire], Any]) -> list[Any]:
    """Return what `act` returns on each of two processes."""
    wires: list[Queue[Tensor]] = [Queue(), Queue()]

    def on(rank: int) -> Any:
        return act(Wire(Recorder(), cast(Channel, Line(rank, wires)), rank, hosts, "worker"))

    with ThreadPoolExecutor(2) as threads:
        return list(threads.map(on, range(2)))


@pytest.mark.parametrize("values", [
    torch.arange(256) / 255,
    torch.arange(256),
    torch.tensor([0.0, 1.0]),
    torch.zeros(0, 3),
])  # fmt: skip
def test_whole_numbers_up_to_255_take_a_byte_each_and_come_back_to_the_bit(values: torch.Tensor) -> None:
    stored = packed(values)
    assert stored.dtype == torch.uint8 and stored.shape == values.shape
    assert torch.equal(unpacked(stored, values.dtype), values)


@pytest.mark.parametrize("values", [
    torch.tensor([0.5]),
    torch.tensor([1 / 255, 2.0]),
    torch.tensor([-1 / 255]),
    torch.tensor([0, 256]),
    torch.tensor([-1]),
    torch.tensor([1 / 255 + 1e-9]).nextafter(torch.tensor(1.0)),
])  # fmt: skip
def test_anything_else_travels_as_it_is(values: torch.Tensor) -> None:
    assert packed(values) is values
    assert unpacked(values, values.dtype) is values


def test_the_images_of_mnist_take_a_byte_a_pixel_and_standardised_features_four() -> None:
    images, _ = data.load("mnist5k")
    assert packed(images.x).nbytes == len(images) * 28 * 28
    patients, _ = data.load("breast_cancer")
    assert packed(patients.x).nbytes == patients.x.nbytes


def test_all_that_the_owners_send_is_dealt_out_again_shuffled_by_the_seed() -> None:
    def dealt(seed: int) -> tuple[dict[int, Dataset], Recorder]:
        wire = Wire(Recorder(), None, 0, [0, 0, 0], "worker")
        return deal(wire, pool(wire, OWNED), [5, 4, 3], seed, OWNED[0]), wire.recorder

    shards, recorder = dealt(1)
    assert [len(shard) for shard in shards.values()] == [5, 4, 3]
    for shard in shards.values():
        assert torch.equal((255 * shard.x[:, 0]).round().long(), shard.y), "every image keeps its label"
    everything = concatenated(shards)
    assert sorted(everything.y.tolist()) == list(range(12)) and everything.y.tolist() != list(range(12))
    assert torch.equal(concatenated(dealt(1)[0]).y, everything.y)
    assert not torch.equal(concatenated(dealt(2)[0]).y, everything.y)
    sent = [(message.sender, message.receiver, message.kind, message.bytes) for message in recorder.messages]
    up = [(f"client {owner}", "server", "data", len(shard)) for owner, shard in OWNED.items() for _ in "xy"]
    down = [("server", f"worker {worker}", "data", size) for worker, size in enumerate([5, 4, 3]) for _ in "xy"]
    assert sent == up + down, "a byte a pixel, and a byte a label"


@pytest.mark.parametrize("hosts", [[0, 1, 0], [0, 1, 1]])
def test_two_processes_pool_and_deal_what_one_does(hosts: list[int]) -> None:
    alone = Wire(Recorder(), None, 0, [0, 0, 0], "worker")
    expected = deal(alone, pool(alone, OWNED), [5, 4, 3], 1, OWNED[0])

    def act(wire: Wire) -> tuple[dict[int, Dataset], dict[int, Dataset]]:
        pooled = pool(wire, {owner: OWNED[owner] for owner in wire.hosted()})
        return pooled, deal(wire, pooled, [5, 4, 3], 1, OWNED[0])

    (pooled, first), (nothing, second) = on_two(hosts, act)
    assert list(pooled) == [0, 1, 2] and nothing == {}, "the server has everything, in the owners' order"
    for owner, shard in pooled.items():
        assert torch.equal(shard.x, OWNED[owner].x) and torch.equal(shard.y, OWNED[owner].y)
    for rank, shards in enumerate((first, second)):
        assert list(shards) == [worker for worker in range(3) if hosts[worker] == rank]
        for worker, shard in shards.items():
            assert torch.equal(shard.x, expected[worker].x) and torch.equal(shard.y, expected[worker].y)
