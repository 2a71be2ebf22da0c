"""Fewer bits a number."""

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from course_lib.compression import Quantise
from tests.compression.ways import there_and_back, vectors


@given(vectors)
def test_eight_bits_are_off_by_at_most_half_a_step_of_a_127th_of_the_largest(vector: Tensor) -> None:
    packed, lost = Quantise().pack(vector)
    step = vector.abs().max() / 127
    assert lost is None
    assert ((Quantise().unpack(packed, len(vector)) - vector).abs() <= step / 2 * (1 + 1e-4)).all()


@given(vectors)
def test_one_bit_says_the_side_of_zero_and_means_the_mean_of_that_side(vector: Tensor) -> None:
    found, exact = there_and_back(Quantise(bits=1), vector).numpy(), vector.double().numpy()
    for side in (exact >= 0, exact < 0):
        if side.any():
            np.testing.assert_allclose(found[side], exact[side].mean(), rtol=1e-6)


@given(vectors)
def test_one_bit_at_random_is_the_smallest_number_or_the_largest(vector: Tensor) -> None:
    found = there_and_back(Quantise(stochastic=True, bits=1), vector)
    assert set(found.tolist()) <= {float(vector.min()), float(vector.max())}
    assert found[vector.argmax()] == vector.max() and found[vector.argmin()] == vector.min()


@given(st.integers(1, 100))
def test_bits_fill_bytes_from_the_first_number_on(values: int) -> None:
    signs = torch.where(torch.rand(values, generator=torch.Generator().manual_seed(values)) < 0.5, 1.0, -1.0)
    packed, _ = Quantise(bits=1).pack(signs)
    written = "".join(f"{byte:08b}" for byte in packed[8:].tolist())
    assert written.rstrip("0") == "".join("1" if one > 0 else "0" for one in signs).rstrip("0")
    assert len(written) < values + 8


def test_numbers_near_the_end_of_float32_do_not_overflow() -> None:
    vector = torch.tensor([3e38, 3e38, -3e38, 1e38])
    for stochastic in (False, True):
        assert there_and_back(Quantise(stochastic=stochastic, bits=1), vector).isfinite().all()


def test_stochastic_rounding_is_right_on_average_where_the_nearest_step_is_not() -> None:
    vector, times = torch.cat([torch.full((50,), 0.3), torch.tensor([127.0])]), 4000
    torch.manual_seed(0)
    way = Quantise(stochastic=True)
    mean = sum(there_and_back(way, vector).double() for _ in range(times)) / times
    assert (mean - vector).abs().max() < 0.04  # five standard errors
    assert not there_and_back(Quantise(), vector)[:50].any()
