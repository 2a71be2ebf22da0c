"""The collectives of the lab agree with torch.distributed's, and send as many bytes as the papers say."""

import pytest
import torch
import torch.distributed as dist

from course_lib import cluster
from course_lib.cluster.collectives import broadcast, gather, ring_all_reduce, sum_in_order
from course_lib.cluster.traffic import Channel, Message, Recorder

pytestmark = pytest.mark.slow


def reduce_both_ways(size: int) -> tuple[torch.Tensor, torch.Tensor, list[Message]]:
    recorder = Recorder()
    ours = torch.randn(size, generator=torch.Generator().manual_seed(dist.get_rank()), dtype=torch.float64)
    theirs = ours.clone()
    ring_all_reduce(Channel(recorder), ours, kind="gradient")
    dist.all_reduce(theirs)
    return ours, theirs, recorder.messages


@pytest.mark.parametrize("workers", [1, 2, 3, 4])
@pytest.mark.parametrize("size", [1, 2, 12, 1001])
def test_the_ring_gives_everybody_the_sum_with_any_number_of_workers_and_any_size(workers, size):
    results = cluster.launch(reduce_both_ways, size, workers=workers)
    for ours, theirs, _ in results:
        assert torch.equal(ours, results[0][0]), "all ranks hold the same bits"
        torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12)


def test_the_ring_sends_two_times_n_minus_1_over_n_of_the_tensor_to_the_right_neighbour_only():
    for rank, (_, _, messages) in enumerate(cluster.launch(reduce_both_ways, 1200, workers=4)):
        out = [message for message in messages if message.direction == "out"]
        assert {message.receiver for message in out} == {f"worker {(rank + 1) % 4}"}
        assert {message.kind for message in out} == {"gradient"}
        assert sum(message.bytes for message in out) == 2 * 3 / 4 * 1200 * 8


def test_the_ring_changes_a_matrix_in_place_and_refuses_what_it_cannot_change():
    def in_place() -> torch.Tensor:
        matrix = torch.full((2, 3), float(dist.get_rank() + 1))
        channel = Channel(Recorder())
        ring_all_reduce(channel, matrix)
        with pytest.raises(ValueError, match="contiguous"):
            ring_all_reduce(channel, matrix.T)
        return matrix

    assert all(torch.equal(matrix, torch.full((2, 3), 3.0)) for matrix in cluster.launch(in_place))


@pytest.mark.parametrize("root", [0, 2])
def test_a_broadcast_gives_everybody_the_root_s_and_a_gather_gives_the_root_everybody_s(root):
    def both(root: int) -> tuple[list[float], list[list[float]] | None]:
        channel = Channel(Recorder())
        tensor = torch.tensor([float(channel.rank)])
        gathered = gather(channel, tensor, root)
        broadcast(channel, tensor, root)
        return tensor.tolist(), None if gathered is None else [each.tolist() for each in gathered]

    for rank, (tensor, gathered) in enumerate(cluster.launch(both, root, workers=3)):
        assert tensor == [root]
        assert gathered == ([[0.0], [1.0], [2.0]] if rank == root else None)


def test_a_sum_in_order_is_weighted_and_the_same_bits_on_every_rank():
    def total(values: list[float]) -> torch.Tensor:
        rank = dist.get_rank()
        rows = [torch.tensor([values[i], 1.0]) for i in range(rank, len(values), dist.get_world_size())]
        return sum_in_order(Channel(Recorder()), rows, [0.5] * len(rows))

    values = [1e8, 1.0, -1e8, 3.0]  # in single precision the small ones would be lost
    for workers in (1, 2, 4):
        for result in cluster.launch(total, values, workers=workers):
            assert result.dtype == torch.float32 and result.tolist() == [2.0, 2.0]


def test_whole_numbers_are_added_exactly():
    def ring(value: int, dtype: torch.dtype) -> list[int]:
        tensor = torch.full((3,), value, dtype=dtype)
        ring_all_reduce(Channel(Recorder()), tensor)
        return tensor.tolist()

    assert cluster.launch(ring, 100, torch.uint8) == [[200] * 3] * 2
    assert cluster.launch(ring, 2**60 + 1, torch.int64) == [[2**61 + 2] * 3] * 2
