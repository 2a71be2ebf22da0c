"""Each rule against its definition, computed the slow way, over random inputs."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from course_lib.aggregation import robust, weighted_mean
from tests.aggregation import brute_force
from tests.aggregation.every_rule import normal

seeds, widths = st.integers(0, 10**6), st.integers(1, 6)


def agrees(ours: torch.Tensor, theirs: np.ndarray) -> None:
    assert ours.dtype == torch.float32
    np.testing.assert_allclose(ours.numpy(), theirs, rtol=1e-5, atol=1e-5)


@given(seeds, st.integers(1, 9), widths)
def test_the_coordinate_median_of_odd_and_even_numbers_is_numpys(seed: int, n: int, d: int) -> None:
    x = normal(seed, n, d)
    agrees(robust.CoordinateMedian()(torch.from_numpy(x)), brute_force.median(x))


@given(seeds, st.integers(0, 3), st.integers(1, 4), widths)
def test_the_trimmed_mean_leaves_out_f_values_on_each_side(seed: int, f: int, more: int, d: int) -> None:
    x = normal(seed, 2 * f + more, d)
    agrees(robust.TrimmedMean(f)(torch.from_numpy(x)), brute_force.trimmed_mean(x, f))


@given(seeds, st.integers(0, 3), st.integers(3, 7), widths)
def test_krum_takes_the_vector_with_the_nearest_neighbours(seed: int, f: int, more: int, d: int) -> None:
    x = normal(seed, 2 * f + more, d)
    agrees(robust.Krum(f)(torch.from_numpy(x)), brute_force.krum(x, f))


@given(seeds, st.integers(0, 3), st.integers(3, 7), widths, st.data())
def test_multi_krum_averages_those_with_the_lowest_scores(
    seed: int, f: int, more: int, d: int, data: st.DataObject
) -> None:
    n = 2 * f + more
    x = normal(seed, n, d)
    keep = data.draw(st.integers(1, n - f - 2))
    agrees(robust.MultiKrum(f, keep)(torch.from_numpy(x)), brute_force.multi_krum(x, f, keep))
    agrees(robust.MultiKrum(f)(torch.from_numpy(x)), brute_force.multi_krum(x, f, n - f - 2))


@given(seeds, st.integers(0, 3), st.integers(3, 6), widths)
def test_bulyan_chooses_vectors_and_then_values(seed: int, f: int, more: int, d: int) -> None:
    x = normal(seed, 4 * f + more, d)
    agrees(robust.Bulyan(f)(torch.from_numpy(x)), brute_force.bulyan(x, f))


@given(seeds, st.integers(3, 8), st.integers(2, 3))
@settings(max_examples=25)
def test_the_geometric_median_has_the_smallest_sum_of_distances(seed: int, n: int, d: int) -> None:
    x = normal(seed, n, d).astype(np.float64)
    ours = robust.GeometricMedian()(torch.from_numpy(x))
    theirs = brute_force.geometric_median(x)
    assert brute_force.sum_of_distances(ours.numpy(), x) <= brute_force.sum_of_distances(theirs, x) * (1 + 1e-5)
    pulls = sum((row - ours.numpy()) / max(np.linalg.norm(row - ours.numpy()), 1e-6) for row in x)
    nearest = min(np.linalg.norm(row - ours.numpy()) for row in x)
    assert np.linalg.norm(pulls) < 1e-3 or nearest < 1e-3  # all pulls cancel, or it is one of the vectors


@given(seeds, st.integers(1, 8), widths, st.floats(0.1, 5), st.integers(1, 4))
def test_centred_clipping_and_norm_bounding_shorten_what_is_too_long(
    seed: int, n: int, d: int, radius: float, passes: int
) -> None:
    x, start = normal(seed, n, d), normal(seed + 1, 1, d)[0]
    ours = robust.CentredClipping(0, radius, passes)
    agrees(ours(torch.from_numpy(x), torch.from_numpy(start)), brute_force.centred_clipping(x, radius, passes, start))
    nought = np.zeros(d, np.float32)
    agrees(ours(torch.from_numpy(x)), brute_force.centred_clipping(x, radius, passes, nought))
    agrees(robust.NormBounding(0, radius)(torch.from_numpy(x)), brute_force.centred_clipping(x, radius, 1, nought))


@given(seeds, st.integers(1, 8), widths)
def test_fltrust_weighs_by_the_cosine_with_the_servers_update(seed: int, n: int, d: int) -> None:
    x, reference = normal(seed, n, d), 3 * normal(seed + 1, 1, d)[0]
    ours = robust.FLTrust()(torch.from_numpy(x), reference=torch.from_numpy(reference))
    agrees(ours, brute_force.fltrust(x, reference))


@given(seeds, st.integers(0, 3), st.integers(1, 5), widths)
def test_mixing_averages_each_with_its_nearest(seed: int, f: int, more: int, d: int) -> None:
    x = normal(seed, 2 * f + more, d)
    agrees(robust.NearestNeighbourMixing(f)(torch.from_numpy(x)), brute_force.nearest_neighbour_mixing(x, f))
    then = robust.Mixed(robust.NearestNeighbourMixing(f), robust.CoordinateMedian(f))
    agrees(then(torch.from_numpy(x)), brute_force.median(brute_force.nearest_neighbour_mixing(x, f)))


@given(seeds, st.integers(1, 9), widths, st.integers(1, 4))
def test_bucketing_averages_every_vector_in_exactly_one_bucket(seed: int, n: int, d: int, size: int) -> None:
    x = torch.from_numpy(normal(seed, n, d))
    buckets = robust.Bucketing(size)(x, torch.Generator().manual_seed(seed))
    assert len(buckets) == -(-n // size)
    dealt = torch.randperm(n, generator=torch.Generator().manual_seed(seed)).tolist() if size > 1 else list(range(n))
    for number, bucket in enumerate(buckets):
        agrees(bucket, x.numpy()[dealt[number * size : (number + 1) * size]].astype(np.float64).mean(0))


def test_of_four_vectors_and_a_fifth_hostile_one_is_cut_on_each_side() -> None:
    x = torch.tensor([[1.0], [2.0], [3.0], [100.0]])
    assert robust.TrimmedMean(1)(x).item() == 2.5
    assert robust.CoordinateMedian(1)(x).item() == 2.5  # torch.median says 2
    assert torch.equal(x, torch.tensor([[1.0], [2.0], [3.0], [100.0]]))


def test_krum_counts_n_minus_f_minus_two_neighbours() -> None:
    # With one neighbour more, the pair on the left would lose to the three on the right.
    x = torch.tensor([[0.0], [0.1], [0.3], [10.0], [10.25], [10.5], [10.6]])
    assert robust.Krum(2)(x).item() == pytest.approx(brute_force.krum(x.numpy(), 2).item())
    assert robust.Krum(2).chosen(x) == [4]
    assert robust.Krum(1).chosen(torch.tensor([[0.0], [0.1], [0.2], [1.0], [0.7]])) == [1]


def test_bulyan_undoes_what_hides_in_one_coordinate() -> None:
    x = torch.from_numpy(normal(0, 11, 200))
    x[:2] = x[2:].mean(0)
    x[:2, 7] += 9.0  # nearer to everyone than the honest are to each other
    assert set(robust.Krum(2).chosen(x)) <= {0, 1}
    assert {0, 1} <= set(robust.Bulyan(2).chosen(x)) and len(robust.Bulyan(2).chosen(x)) == 7
    assert robust.Krum(2)(x)[7] > 8
    assert abs(robust.Bulyan(2)(x)[7]) < 2


@pytest.mark.parametrize(
    ("points", "median"),
    [
        ([[0, 0], [1, 0], [0.5, 3**0.5 / 2]], [0.5, 3**0.5 / 6]),  # all angles equal: the centre
        ([[0, 0], [1, 0], [1, 1], [0, 1]], [0.5, 0.5]),  # where the diagonals cross
        ([[0, 0], [3, 0], [0, 3], [1, 1]], [1, 1]),  # inside the triangle of the others: that vector itself
        ([[0.0], [1.0], [7.0]], [1]),  # on a line: the median
        ([[5, 5]], [5, 5]),
        ([[2, 1], [2, 1], [2, 1], [9, 9]], [2, 1]),
    ],
)
def test_geometric_medians_that_are_known(points: list[list[float]], median: list[float]) -> None:
    ours = robust.GeometricMedian()(torch.tensor(points, dtype=torch.float32))
    np.testing.assert_allclose(ours.numpy(), median, atol=1e-5)


def test_a_start_on_one_of_the_vectors_does_not_hold_the_geometric_median_there() -> None:
    # The coordinate median is the first vector, the geometric median is not.
    points = np.array([[0, 0], [-1, 9], [-9, -1], [4, -1], [1, 4], [1, -2], [-1, 3]], dtype=np.float64)
    points = points - np.median(points, axis=0)
    points[0] = 0
    ours = robust.GeometricMedian()(torch.from_numpy(points).float()).numpy()
    best = brute_force.sum_of_distances(brute_force.geometric_median(points), points)
    assert brute_force.sum_of_distances(ours, points) <= best * (1 + 1e-6)


@given(seeds, st.integers(1, 8), widths)
def test_neutral_settings_are_the_mean(seed: int, n: int, d: int) -> None:
    x = torch.from_numpy(normal(seed, n, d))
    mean = weighted_mean(x, [1.0] * n)
    assert torch.equal(robust.NormBounding(0, float("inf"))(x), mean)
    agrees(robust.CentredClipping(0, float("inf"))(x, torch.ones(d)), mean.numpy())
    agrees(robust.TrimmedMean(0)(x), mean.numpy())
    assert robust.Bucketing(1)(x) is x
    if n >= 3:
        agrees(robust.Bulyan(0)(x), mean.numpy())
    for row in robust.NearestNeighbourMixing(0)(x):
        agrees(row, mean.numpy())


def test_client_momentum_is_a_mean_of_the_updates_so_far() -> None:
    memory = None
    sent = []
    for value in (4.0, 0.0, 8.0):
        message, memory = robust.client_momentum(torch.tensor([value]), memory, 0.75)
        sent.append(message.item())
    assert sent == [4.0, 3.0, 4.25]
    update = torch.tensor([0.1, float("inf")])
    message, memory = robust.client_momentum(update, torch.tensor([float("inf"), 1.0]), 0.0)
    assert torch.equal(message, update) and torch.equal(memory, update) and memory is not update


def test_fltrust_trusts_nobody_who_points_the_other_way() -> None:
    reference = torch.tensor([4.0, 0.0])
    x = torch.tensor([[2.0, 0.0], [-5.0, 0.0], [0.0, 3.0], [0.0, 0.0]])
    assert robust.FLTrust().trust(x, reference).tolist() == [1.0, 0.0, 0.0, 0.0]
    assert robust.FLTrust()(x, reference).tolist() == [4.0, 0.0]
    assert robust.FLTrust()(x[1:], reference).tolist() == [0.0, 0.0]
    assert robust.FLTrust()(x, torch.zeros(2)).tolist() == [0.0, 0.0]
