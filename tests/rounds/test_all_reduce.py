"""The mean that workers find without a server: the server's running mean to the bit, however long, and over lanes that stay."""

from collections.abc import Sequence

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from course_lib import cluster
from course_lib.aggregation import RunningMean
from course_lib.cluster.traffic import Channel, Recorder
from course_lib.rounds import DivergedError
from course_lib.rounds.all_reduce import _BLOCK, all_reduce_mean, average
from course_lib.rounds.exchange import Wire


def running(parts: Sequence[Tensor], weights: Sequence[float]) -> Tensor:
    total = RunningMean()
    for part, weight in zip(parts, weights, strict=True):
        total.add(part, weight)
    return total.mean()


def bits(tensor: Tensor) -> list[int]:
    return tensor.view(torch.int32).tolist()


@given(
    st.lists(st.floats(1e-3, 1e6), min_size=1, max_size=5), st.sampled_from([0, 1, 7, _BLOCK, _BLOCK + 1, 2 * _BLOCK + 3]),
    st.integers(0, 99),
)  # fmt: skip
def test_the_average_is_the_running_mean_to_the_bit(weights: list[float], size: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    parts = torch.randn(len(weights), size, generator=generator) * 10 ** torch.randn(size, generator=generator)
    parts[:, ::5] = 0
    parts[:, 1::5] = -0.0
    into = torch.full((size,), float("nan"))
    average(list(parts), weights, into)
    assert bits(into) == bits(running(list(parts), weights))


def means(hosts: list[int], sizes: list[int]) -> list[list[float]]:
    """Return, after each of several rounds, what this process has of the mean of every participant's vector."""
    channel = Channel(Recorder())
    wire = Wire(channel.recorder, channel, channel.rank, hosts, "worker")
    weights = [float(1 + participant) for participant in range(len(hosts))]

    def vector(participant: int, theta: Tensor) -> Tensor:
        return torch.linspace(participant, participant + 1, len(theta)) + theta

    return [
        all_reduce_mean(wire, torch.full((size,), float(round_)), weights, "gradient", vector).tolist()
        for round_, size in enumerate(sizes)
    ]


@pytest.mark.slow
@pytest.mark.parametrize("hosts", [[0, 1], [0, 1, 0], [0, 1, 2, 0, 1]])
def test_lanes_serve_rounds_of_any_length_and_any_hosting(hosts: list[int]) -> None:
    sizes, workers = [7, 7, 2, 0, 100_003, 7, 1], max(hosts) + 1
    found = cluster.launch(means, hosts, sizes, workers=workers)
    weights = [float(1 + participant) for participant in range(len(hosts))]
    for round_, size in enumerate(sizes):
        parts = [torch.linspace(k, k + 1, size) + torch.full((size,), float(round_)) for k in range(len(hosts))]
        expected = running(parts, weights).tolist()
        assert all(each[round_] == expected for each in found)


@pytest.mark.slow
def test_what_is_not_finite_is_told_to_everybody() -> None:
    def diverge() -> None:
        channel = Channel(Recorder())
        wire = Wire(channel.recorder, channel, channel.rank, [0, 1], "worker")
        with pytest.raises(DivergedError, match="the mean gradient holds NaN or infinity"):
            all_reduce_mean(wire, torch.zeros(9), [1, 1], "gradient", lambda worker, theta: theta / worker)

    cluster.launch(diverge)
