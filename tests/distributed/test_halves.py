"""The halves of the ring make the whole, and send half as much each."""

import pytest
import torch
import torch.distributed as dist

from course_lib import cluster
from course_lib.cluster.traffic import Channel, Recorder
from course_lib.distributed.halves import all_gather, padded, reduce_scatter

pytestmark = pytest.mark.slow


def both_halves(size: int) -> tuple[bool, bool, int, int]:
    channel = Channel(recorder := Recorder())
    mine = torch.randn(size, generator=torch.Generator().manual_seed(channel.rank), dtype=torch.float64)
    total = mine.clone()
    dist.all_reduce(total)
    part = reduce_scatter(channel, mine, "gradients")
    right_part = torch.allclose(part, total.tensor_split(channel.world)[channel.rank], rtol=0, atol=1e-12)
    all_gather(channel, mine, "weights")
    sent = dict.fromkeys(("gradients", "weights"), 0)
    for message in recorder.messages:
        sent[message.kind] += message.bytes * (message.direction == "out")
    right = torch.allclose(mine, total, rtol=0, atol=1e-12)
    return right_part, right, sent["gradients"], sent["weights"]


@pytest.mark.parametrize("workers", [1, 2, 3, 4])
@pytest.mark.parametrize("parts", [0, 1, 50])
def test_each_rank_gets_its_part_of_the_sum_then_all_of_it_and_sends_its_size_less_one_part(workers, parts):
    for result in cluster.launch(both_halves, parts * workers, workers=workers):
        half = (workers - 1) * parts * 8
        assert result == (True, True, half, half)


def test_a_size_that_cannot_be_dealt_is_refused_with_what_to_do():
    def refused() -> list[str]:
        said = []
        for wrong in (torch.ones(3), torch.ones(2, 2), torch.ones(8)[::2]):
            for half in (reduce_scatter, all_gather):
                with pytest.raises(ValueError, match="padded to a multiple of 2") as caught:
                    half(Channel(Recorder()), wrong, "x")
                said.append(str(caught.value))
        return said

    assert "(3,)" in cluster.launch(refused)[0][0]


@pytest.mark.parametrize(("size", "ranks", "wanted"), [(0, 4, 0), (1, 4, 4), (8, 4, 8), (9, 4, 12), (7, 1, 7)])
def test_padding_goes_up_to_the_next_multiple(size, ranks, wanted):
    assert padded(size, ranks) == wanted
