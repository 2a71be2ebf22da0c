"""Dirichlet and shard partitions agree with flwr-datasets' in distribution, over seeds."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy.stats import ks_2samp

from course_lib.data import partitions

pytestmark = [
    pytest.mark.peers,
    # An argument that a package below flwr-datasets passes on.
    pytest.mark.filterwarnings("ignore:Specifying null_placement:FutureWarning"),
]

REASON = "flwr-datasets is not installed: pip install 'dml-vs-fl[peers]'"
CLIENTS, SEEDS = 10, 100
Y = np.repeat(np.arange(6), 100)
Counts = list[np.ndarray]


def ours(parts: list[np.ndarray]) -> Counts:
    return [np.bincount(Y[part], minlength=6) for part in parts]


def theirs(partitioner: Any) -> Counts:
    datasets = pytest.importorskip("datasets", reason=REASON)
    partitioner.dataset = datasets.Dataset.from_dict({"label": Y.tolist()})
    return [np.bincount(partitioner.load_partition(client)["label"], minlength=6) for client in range(CLIENTS)]


# One number a partition, so that those of many seeds are independent draws.
NUMBERS: dict[str, Callable[[Counts], float]] = {
    "size of the first client": lambda counts: counts[0].sum(),
    "size of the largest client": lambda counts: max(count.sum() for count in counts),
    "share of the first client's largest class": lambda counts: counts[0].max() / counts[0].sum(),
    "mean share of a client's largest class": lambda counts: np.mean([c.max() / c.sum() for c in counts]),
    "first class of the first client": lambda counts: counts[0][0],
    "classes of a client, on average": lambda counts: np.mean([(count > 0).sum() for count in counts]),
}


def chances(one: list[Counts], other: list[Counts]) -> dict[str, float]:
    """For each number, the chance (p-value of Kolmogorov and Smirnov) of so large a gap if both come from the same source."""
    return {
        name: float(ks_2samp(list(map(number, one)), list(map(number, other)), method="asymp").pvalue)
        for name, number in NUMBERS.items()
    }


@pytest.mark.filterwarnings("ignore:The specified min_partition_size")
@pytest.mark.parametrize("alpha", [0.3, 1.0, 10.0])
def test_dirichlet_partitions_are_drawn_from_the_same_distribution(alpha: float) -> None:
    peer = pytest.importorskip("flwr_datasets.partitioner", reason=REASON).DirichletPartitioner
    settings = {"num_partitions": CLIENTS, "partition_by": "label", "min_partition_size": 1}
    drawn = [theirs(peer(alpha=alpha, seed=seed, **settings)) for seed in range(SEEDS)]
    same = [ours(partitions.dirichlet(Y, CLIENTS, alpha, seed)) for seed in range(SEEDS)]
    assert min(chances(same, drawn).values()) > 1e-3
    # The comparison is sharp enough to see another alpha.
    other = [ours(partitions.dirichlet(Y, CLIENTS, 2 * alpha, seed)) for seed in range(SEEDS)]
    assert min(chances(other, drawn).values()) < 1e-6


@pytest.mark.parametrize("shards", [1, 2, 3])
def test_shard_partitions_are_drawn_from_the_same_distribution(shards: int) -> None:
    peer = pytest.importorskip("flwr_datasets.partitioner", reason=REASON).ShardPartitioner
    settings = {"num_partitions": CLIENTS, "partition_by": "label", "num_shards_per_partition": shards}
    drawn = [theirs(peer(seed=seed, **settings)) for seed in range(SEEDS)]
    same = [ours(partitions.shards(Y, CLIENTS, shards, seed)) for seed in range(SEEDS)]
    assert {count.sum() for counts in same for count in counts} == {count.sum() for counts in drawn for count in counts}
    assert min(chances(same, drawn).values()) > 1e-3
    other = [ours(partitions.shards(Y, CLIENTS, shards + 1, seed)) for seed in range(SEEDS)]
    assert min(chances(other, drawn).values()) < 1e-6
