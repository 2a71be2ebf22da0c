"""PowerSGD against what it has to be: linear algebra with a closed form, and torch's own hook."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from course_lib import cluster
from course_lib.compression import LowRank
from tests.compression.ways import there_and_back

SHAPES = ((30, 20), (30,), (8, 3, 4, 2), (8,), (2, 2))
VALUES = 600 + 30 + 192 + 8 + 4


def randn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_a_matrix_of_that_rank_arrives_whole() -> None:
    matrix = randn(30, 3) @ randn(3, 20, seed=1)
    found = there_and_back(LowRank(3, shapes=((30, 20),)), matrix.reshape(-1))
    torch.testing.assert_close(found, matrix.reshape(-1), rtol=0, atol=1e-5)


def test_the_same_matrix_again_and_again_is_approximated_as_well_as_can_be() -> None:
    matrix, way, memory = randn(30, 20), LowRank(2, feedback=False, shapes=((30, 20),)), None
    for _ in range(300):  # the warm start makes it a power iteration
        packed, memory = way.pack(matrix.reshape(-1), memory)
    u, s, v = np.linalg.svd(matrix.numpy())
    best = (u[:, :2] * s[:2]) @ v[:2]
    np.testing.assert_allclose(way.unpack(packed, 600).view(30, 20), best, atol=1e-4)


def test_vectors_and_what_factors_would_not_make_smaller_are_sent_as_they_are() -> None:
    vector, way = randn(VALUES), LowRank(1, shapes=SHAPES)
    found = there_and_back(way, vector)
    plain = torch.ones(VALUES, dtype=torch.bool)
    plain[:600] = plain[630:822] = False
    assert torch.equal(found[plain], vector[plain]) and not torch.isclose(found[~plain], vector[~plain]).any()
    assert way.size(VALUES) == 4 * (30 + 20 + 30 + 8 + 24 + 8 + 4)


def test_all_workers_together_send_what_one_would_with_the_mean_of_their_matrices() -> None:
    way, alone = LowRank(2, shapes=SHAPES), None
    memories: dict[int, Tensor] = {}
    for step in range(5):
        vectors = {worker: randn(VALUES, seed=10 * step + worker) for worker in range(3)}
        given = torch.stack(list(vectors.values())).mean(0)
        mean, memories = way.all_reduced(vectors, memories, 0, lambda parts: torch.stack([*parts.values()]).mean(0))
        packed, alone = way.pack(given, alone)
        torch.testing.assert_close(mean, way.unpack(packed, VALUES), rtol=0, atol=1e-4)
        left = torch.stack(list(memories.values())).mean(0)
        assert alone is not None
        torch.testing.assert_close(left[:VALUES], alone[:VALUES], rtol=0, atol=1e-4)


def test_a_matrix_of_zeros_does_not_end_what_comes_after_it() -> None:
    way = LowRank(2, shapes=((30, 20),))
    zeros, memory = way.pack(torch.zeros(600))
    assert not way.unpack(zeros, 600).any()
    matrix = (randn(30, 2) @ randn(2, 20, seed=1)).reshape(-1)
    for _ in range(3):
        packed, memory = way.pack(matrix, memory)
    assert way.unpack(packed, 600).norm() > 0.5 * matrix.norm()


def test_without_shapes_or_with_others_it_says_what_it_needs() -> None:
    with pytest.raises(
        ValueError, match=r"vector of 600 numbers, but its shapes hold 0: .* LowRank\(2\)\.fitted\(model\)"
    ):
        LowRank(2).size(600)
    assert LowRank(2).fitted(nn.Linear(20, 30)).shapes == ((30, 20), (30,))


STEPS, PLAIN, RANK = 8, 2, 3


def data_of(rank: int, step: int) -> tuple[Tensor, Tensor]:
    return randn(16, 20, seed=100 * step + rank), randn(16, 6, seed=1000 + 100 * step + rank)


def net() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(20, 40), nn.Tanh(), nn.Linear(40, 30), nn.Tanh(), nn.Linear(30, 6))


def by_torch() -> list[Tensor]:
    """The weights after each step of DDP under torch's hook, and before them its first right factors, layer by layer."""
    from torch.distributed.algorithms.ddp_comm_hooks.powerSGD_hook import PowerSGDState, powerSGD_hook

    rank, _ = cluster.join()
    model = nn.parallel.DistributedDataParallel(net(), bucket_cap_mb=100)
    state = PowerSGDState(
        None, RANK, start_powerSGD_iter=PLAIN, min_compression_rate=1, batch_tensors_with_same_shape=False
    )
    model.register_comm_hook(state, powerSGD_hook)
    optimizer, seen = torch.optim.SGD(model.parameters(), lr=0.1), []
    for step in range(STEPS):
        x, y = data_of(rank, step)
        optimizer.zero_grad()
        nn.functional.mse_loss(model(x), y).backward()
        optimizer.step()
        seen.append(torch.nn.utils.parameters_to_vector(model.parameters()).detach().clone())
    return seen


def by_hand() -> list[Tensor]:
    """The same with ours, on all-reduces of the same process group, from the right factors with which torch's hook begins."""
    import torch.distributed as dist

    rank, world = cluster.join()
    model = net()
    way = LowRank(RANK).fitted(model)
    # Torch's hook draws its first right factors so; its bucket holds the layers from the last to the first after step one.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(np.random.RandomState(0).randint(1_000_000_000))
        shapes = [shape for shape in way.shapes if len(shape) > 1 and RANK * sum(shape) < shape[0] * shape[1]]
        drawn = [torch.randn(1, shape[1], RANK) for shape in reversed(shapes)]
    values = sum(parameter.numel() for parameter in model.parameters())
    memory = torch.cat([torch.zeros(values), *(one.reshape(-1) for one in reversed(drawn))])
    memories, seen = {rank: memory}, []

    def mean_of(parts):
        total = parts[rank].clone()
        dist.all_reduce(total)
        return total / world

    for step in range(STEPS):
        x, y = data_of(rank, step)
        gradients = torch.autograd.grad(nn.functional.mse_loss(model(x), y), list(model.parameters()))
        gradient = {rank: torch.cat([one.reshape(-1) for one in gradients])}
        if step < PLAIN:
            mean = mean_of(gradient)
        else:
            mean, memories = way.all_reduced(gradient, memories, 0, mean_of)
        theta = torch.nn.utils.parameters_to_vector(model.parameters()).detach() - 0.1 * mean
        torch.nn.utils.vector_to_parameters(theta, model.parameters())
        seen.append(theta.clone())
    return seen


@pytest.mark.slow
def test_two_processes_take_the_steps_that_torchs_own_hook_takes() -> None:
    theirs, ours = (cluster.launch(work, workers=2) for work in (by_torch, by_hand))
    for step in range(STEPS):
        torch.testing.assert_close(theirs[0][step], theirs[1][step], rtol=0, atol=0)
        torch.testing.assert_close(ours[0][step], theirs[0][step], rtol=0, atol=2e-6)
    moved = (theirs[0][-1] - theirs[0][PLAIN - 1]).norm()
    assert moved > 0.05
