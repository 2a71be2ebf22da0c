"""Whole numbers instead of real ones: exact to half a step, cut off and counted beyond the bound, refused where they could wrap round."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from course_lib.privacy.secure_aggregation import MODULUS, Quantiser, Settings, usual_threshold

MOST = MODULUS - 1


@given(
    st.lists(st.lists(st.floats(-10, 10, width=32), min_size=3, max_size=3), min_size=1, max_size=6),
    st.integers(2, 70_000),
    st.integers(1, 100),
    st.floats(0.01, 10),
)
def test_a_sum_is_that_of_values_rounded_to_whole_steps(
    rows: list[list[float]], levels: int, weight: int, bound: float
) -> None:
    quantiser = Quantiser(bound, levels)
    quantiser.check_room(len(rows), weight)
    total = np.zeros(3, dtype=np.uint32)
    for row in rows:
        total += quantiser.encode(torch.tensor(row), weight)[0]
    real = np.array(rows, dtype=np.float32).astype(np.float64).clip(-bound, bound).sum(axis=0) * weight
    assert np.abs(quantiser.decode(total) - real).max() <= len(rows) * quantiser.step * 0.5001


def test_numbers_on_a_grid_come_back_to_the_bit() -> None:
    quantiser = Quantiser(2.0, 9)
    assert quantiser.step == 0.5
    encoded, beyond = quantiser.encode(torch.tensor([-2.0, -0.5, 0.0, 0.5, 2.0]), weight=3)
    assert encoded.tolist() == [MODULUS - 12, MODULUS - 3, 0, 3, 12] and beyond == 0
    assert quantiser.decode(encoded).tolist() == [-6.0, -1.5, 0.0, 1.5, 6.0]


def test_the_weight_comes_in_before_the_rounding_so_it_does_not_multiply_the_error() -> None:
    quantiser = Quantiser(1.0, 3)  # steps of 1
    assert quantiser.decode(quantiser.encode(torch.tensor([0.4]), weight=100)[0]).tolist() == [40.0]


def test_what_lies_beyond_the_bound_is_cut_off_there_and_counted_not_wrapped_round() -> None:
    quantiser = Quantiser(1.0, 5)
    encoded, beyond = quantiser.encode(torch.tensor([1.0, 1.01, -7.0, 1e30, -1.0]))
    assert beyond == 3
    assert quantiser.decode(encoded).tolist() == [1.0, 1.0, -1.0, 1.0, -1.0]


@pytest.mark.parametrize("spoilt", [torch.nan, torch.inf, -torch.inf])
def test_nan_and_infinity_are_errors_at_the_client(spoilt: float) -> None:
    with pytest.raises(ValueError, match="1 of 3 values are NaN or infinite"):
        Quantiser(1.0).encode(torch.tensor([0.0, spoilt, 1.0]))


@pytest.mark.parametrize(("clients", "weight"), [(2, 1), (7, 13), (200, 600), (100, 40), (3, 2**29)])
@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_the_largest_sum_that_passes_the_check_does_not_wrap_round(clients: int, weight: int, sign: float) -> None:
    quantiser = Quantiser.finest(1.0, clients, weight)
    quantiser.check_room(clients, weight)
    total = np.zeros(1, dtype=np.uint32)
    for _ in range(clients):
        total += quantiser.encode(torch.tensor([sign * 5]), weight)[0]
    half_steps = clients * quantiser.step / 2
    assert quantiser.decode(total)[0] == pytest.approx(sign * clients * weight, rel=1e-12, abs=half_steps * 1.0001)
    with pytest.raises(ValueError, match="must stay below the modulus"):
        Quantiser(1.0, quantiser.levels + 1).check_room(clients, weight)


def test_the_check_of_the_modulus_states_the_numbers_and_what_would_fit() -> None:
    with pytest.raises(
        ValueError,
        match=r"200 clients x largest weight 600 x 65536 levels = 7864320000.*4294967296.*at most 35791 levels",
    ):
        Settings(tuple(range(200)), 10, 134, Quantiser(1.0, 2**16), largest_weight=600)
    Settings(tuple(range(200)), 10, 134, Quantiser(1.0, 35791), largest_weight=600)


def test_the_product_must_stay_below_the_modulus_and_not_reach_it() -> None:
    Quantiser(1.0, 2**30 - 1).check_room(4, 1)
    with pytest.raises(ValueError, match="= 4294967296, which"):
        Quantiser(1.0, 2**30).check_room(4, 1)


def test_weights_that_leave_no_levels_are_refused() -> None:
    with pytest.raises(ValueError, match="leave no levels"):
        Quantiser.finest(1.0, 100, 10**8)


@pytest.mark.parametrize(
    ("bound", "levels"), [(0.0, 8), (-1.0, 8), (torch.nan, 8), (torch.inf, 8), (1.0, 1), (1.0, 8.0), (1.0, True)]
)
def test_settings_that_make_no_grid_are_refused(bound: float, levels: int) -> None:
    with pytest.raises(ValueError, match="must be"):
        Quantiser(bound, levels)


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"clients": (1,)}, "two or more"), ({"clients": (1, 2, 2)}, "different"), ({"clients": (-1, 0, 1)}, "from 0 on"),
        ({"threshold": 2}, "above half of the 4"), ({"threshold": 5}, "at most all"), ({"values": 0}, "1 or more"),
        ({"values": 2**30}, "below 1073741824"), ({"largest_weight": 0}, "largest_weight=0"),
        ({"largest_weight": 2.5}, "largest_weight=2.5"), ({"round": -1}, "round=-1"),
    ],
)  # fmt: skip
def test_settings_that_cannot_work_are_refused_with_the_number(changes: dict, match: str) -> None:
    good: dict[str, Any] = {"clients": (0, 1, 2, 7), "values": 5, "threshold": 3, "quantiser": Quantiser(1.0)}
    Settings(**good)
    with pytest.raises(ValueError, match=match):
        Settings(**(good | changes))


def test_the_usual_threshold_is_just_above_two_thirds() -> None:
    assert [usual_threshold(clients) for clients in (2, 3, 4, 5, 6, 9, 200)] == [2, 3, 3, 4, 5, 7, 134]
