import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from course_lib.aggregation import RunningMean, weighted_mean

updates = arrays.arrays(
    np.float32, st.tuples(st.integers(1, 6), st.integers(1, 5)), elements=st.floats(-1000, 1000, width=32)
)


@given(updates, st.data())
def test_the_weighted_mean_is_numpys_average(values: np.ndarray, data: st.DataObject) -> None:
    weights = data.draw(st.lists(st.integers(1, 10_000), min_size=len(values), max_size=len(values)))
    ours = weighted_mean(torch.from_numpy(values), weights).numpy()
    np.testing.assert_allclose(
        ours, np.average(values.astype(np.float64), axis=0, weights=weights), rtol=1e-6, atol=1e-7
    )


@given(updates, st.data())
def test_the_mean_lies_between_the_smallest_and_the_largest_update(values: np.ndarray, data: st.DataObject) -> None:
    weights = data.draw(st.lists(st.floats(0.01, 100), min_size=len(values), max_size=len(values)))
    mean = weighted_mean(torch.from_numpy(values), weights).numpy().astype(np.float64)
    slack = 1e-6 * (1 + np.abs(values).max(axis=0))
    assert (mean >= values.min(axis=0) - slack).all() and (mean <= values.max(axis=0) + slack).all()


@given(updates, st.integers(1, 1000), st.integers(2, 50))
def test_only_the_proportions_of_the_weights_count(values: np.ndarray, weight: int, factor: int) -> None:
    rows = torch.from_numpy(values)
    weights = [weight + index for index in range(len(rows))]
    scaled = weighted_mean(rows, [factor * w for w in weights])
    torch.testing.assert_close(weighted_mean(rows, weights), scaled, rtol=1e-6, atol=1e-6)


def test_a_client_with_three_times_the_examples_counts_three_times() -> None:
    mean = weighted_mean(torch.tensor([[0.0, 4.0], [8.0, 4.0]]), [30, 10])
    assert mean.tolist() == [2.0, 4.0]


def test_ten_thousand_small_updates_are_not_lost_in_rounding() -> None:
    total = RunningMean()
    for _ in range(10_000):
        total.add(torch.tensor([0.1]), 1e-4)
    assert total.mean().item() == pytest.approx(0.1, rel=1e-7)


def test_a_mean_of_nothing_and_a_weight_of_zero_are_refused() -> None:
    with pytest.raises(ValueError, match="no updates"):
        weighted_mean([], [])
    with pytest.raises(ValueError, match="no updates"):
        RunningMean().mean()
    for weight in (0.0, -1.0, float("nan")):
        with pytest.raises(ValueError, match=f"weight={weight}"):
            RunningMean().add(torch.ones(1), weight)
    with pytest.raises(ValueError):
        weighted_mean(torch.ones(2, 3), [1.0])
