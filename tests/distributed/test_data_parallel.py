"""Data parallelism by hand: the gradient of the global batch on every worker, sent while others are still being computed."""

from copy import deepcopy

import pytest
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.nn.parallel import DistributedDataParallel

from course_lib import cluster, models
from course_lib.distributed.data_parallel import DataParallel, in_buckets

STEPS = 20


def network() -> nn.Module:
    return models.lenet().build((1, 8, 8), 10, seed=0)


def batch(examples: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    return torch.rand(examples, 1, 8, 8, generator=generator), torch.randint(10, (examples,), generator=generator)


def weights(module: nn.Module) -> list[Tensor]:
    return [parameter.detach().clone() for parameter in module.parameters()]


def by_hand(sizes: list[int], bucket_bytes: int) -> list[Tensor]:
    """Train on this worker's part of one batch with momentum, which a mean of weights would get wrong."""
    rank = dist.get_rank()
    module = models.lenet().build((1, 8, 8), 10, seed=rank)  # rank 0's weights are to count
    model, optimiser = DataParallel(module, bucket_bytes), torch.optim.SGD(module.parameters(), lr=0.05, momentum=0.9)
    x, y = (part.split(sizes)[rank] for part in batch(sum(sizes)))
    for _ in range(STEPS):
        cross_entropy(model(x), y).backward()
        model.finish()
        optimiser.step()
    return weights(module)


def by_torch(sizes: list[int]) -> list[Tensor]:
    rank, module = dist.get_rank(), network()
    model, optimiser = DistributedDataParallel(module), torch.optim.SGD(module.parameters(), lr=0.05, momentum=0.9)
    x, y = (part.split(sizes)[rank] for part in batch(sum(sizes)))
    for _ in range(STEPS):
        optimiser.zero_grad()
        cross_entropy(model(x), y).backward()
        optimiser.step()
    return weights(module)


def alone(examples: int) -> list[Tensor]:
    module = network()
    optimiser = torch.optim.SGD(module.parameters(), lr=0.05, momentum=0.9)
    x, y = batch(examples)
    for _ in range(STEPS):
        optimiser.zero_grad()
        cross_entropy(module(x), y).backward()
        optimiser.step()
    return weights(module)


@pytest.mark.slow
@pytest.mark.parametrize("bucket_bytes", [1, 10_000, 1 << 20])
@pytest.mark.parametrize("sizes", [[6, 6], [11, 1], [3, 3, 3, 3], [1, 2, 3, 6]])
def test_every_worker_ends_with_the_weights_of_one_process_on_the_global_batch(
    sizes: list[int], bucket_bytes: int
) -> None:
    expected = alone(sum(sizes))
    for found in cluster.launch(by_hand, sizes, bucket_bytes, workers=len(sizes)):
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("workers", [2, 4])
def test_it_agrees_with_torchs_own(workers: int) -> None:
    sizes = [12 // workers] * workers
    ours, theirs = (cluster.launch(way, *given, workers=workers) for way, given in (
        (by_hand, (sizes, 10_000)), (by_torch, (sizes,)),
    ))  # fmt: skip
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-6)


@pytest.mark.slow
def test_gradients_are_averaged_and_weights_left_alone() -> None:
    def one_step() -> tuple[bool, list[Tensor], list[Tensor]]:
        module, rank = network(), dist.get_rank()
        before, model = weights(module), DataParallel(module)
        own = deepcopy(module)
        x, y = (part.split([3, 5])[rank] for part in batch(8))
        cross_entropy(own(x), y).backward()
        cross_entropy(model(x), y).backward()
        model.finish()
        same = all(map(torch.equal, before, weights(module)))
        return same, [p.grad for p in own.parameters() if p.grad is not None], [
            p.grad for p in module.parameters() if p.grad is not None
        ]  # fmt: skip

    (same, first, mean), (same_there, second, mean_there) = cluster.launch(one_step)
    assert same and same_there
    torch.testing.assert_close(mean, mean_there, rtol=0, atol=0)
    expected = [(3 * one + 5 * other) / 8 for one, other in zip(first, second, strict=True)]
    torch.testing.assert_close(mean, expected, rtol=0, atol=1e-7)


def test_buckets_go_from_the_last_layer_to_the_first_and_are_full_before_the_next_begins() -> None:
    parameters = {str(n): nn.Parameter(torch.zeros(size)) for n, size in enumerate((100, 10, 50, 3))}
    assert in_buckets(parameters, 1) == [["3"], ["2"], ["1"], ["0"]]
    assert in_buckets(parameters, 200) == [["3", "2"], ["1", "0"]]
    assert in_buckets(parameters, 10_000) == [["3", "2", "1", "0"]]
    with pytest.raises(ValueError, match="bucket_bytes=0 must be at least 1"):
        in_buckets(parameters, 0)


@pytest.mark.slow
def test_the_first_bucket_leaves_before_the_last_gradient_is_there() -> None:
    def order() -> list[str]:
        module, events = network(), []
        reduce = dist.all_reduce

        def noted(tensor: Tensor, async_op: bool) -> "dist.Work | None":
            events.append("bucket leaves")
            return reduce(tensor, async_op=async_op)

        next(module.parameters()).register_post_accumulate_grad_hook(lambda _: events.append("last gradient"))
        model = DataParallel(module, 10_000)
        dist.all_reduce = noted  # type: ignore[assignment]
        try:
            x, y = batch(4)
            cross_entropy(model(x), y).backward()
            model.finish()
        finally:
            dist.all_reduce = reduce
        return events

    for events in cluster.launch(order):
        assert events.index("bucket leaves") < events.index("last gradient") < len(events) - 1


class Spare(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.used, self.spare = nn.Linear(4, 3), nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        scores: Tensor = self.used(x)
        return scores


@pytest.mark.slow
def test_what_cannot_be_averaged_is_refused_by_name() -> None:
    def refused() -> list[str]:
        model, said = DataParallel(Spare()), []

        def note(act):
            with pytest.raises((RuntimeError, ValueError)) as caught:
                act()
            said.append(str(caught.value))

        model(torch.ones(2, 4)).sum().backward()
        note(model.finish)
        note(lambda: model(torch.ones(0, 4)))
        model.module.spare.requires_grad_(False)
        model = DataParallel(model.module)
        loss = model(torch.ones(2, 4)).sum()
        loss.backward(retain_graph=True)
        note(loss.backward)
        return said

    for unused, empty, twice in cluster.launch(refused):
        assert "no gradient came for spare.bias, spare.weight" in unused
        assert "part of the batch is empty" in empty
        assert "a second gradient of used." in twice
