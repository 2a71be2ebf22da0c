import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from course_lib.federated import fairness


def test_where_all_are_equal_nobody_is_ahead() -> None:
    assert fairness.spread([0.8] * 7) == pytest.approx(
        {"mean": 0.8, "worst_decile": 0.8, "best_decile": 0.8, "variance": 0.0, "gini": 0.0}
    )


def test_where_one_has_everything_gini_is_one_less_its_share() -> None:
    found = fairness.spread([0.0] * 19 + [1.0])
    assert found["gini"] == pytest.approx(1 - 1 / 20)
    assert (found["mean"], found["worst_decile"], found["best_decile"]) == (0.05, 0.0, 0.5)
    assert found["variance"] == pytest.approx(0.05 * 0.95)


def test_an_even_ladder_has_the_gini_of_its_formula() -> None:
    # For 1/n, 2/n, ..., 1 it is (n - 1) / (3n).
    found = fairness.spread(np.arange(1, 31) / 30)
    assert found["gini"] == pytest.approx(29 / 90)
    assert found["worst_decile"] == pytest.approx(2 / 30) and found["best_decile"] == pytest.approx(29 / 30)
    assert found["variance"] == pytest.approx((30**2 - 1) / 12 / 30**2)


def test_a_single_client_and_clients_that_are_never_right_have_a_spread() -> None:
    assert fairness.spread([0.5])["worst_decile"] == 0.5
    assert fairness.spread([0.0, 0.0])["gini"] == 0


@given(st.lists(st.floats(0, 1), min_size=1, max_size=40))
def test_gini_is_half_the_mean_difference_of_two_clients_over_the_mean(accuracies: list[float]) -> None:
    found = fairness.spread(accuracies)
    differences = sum(abs(one - other) for one in accuracies for other in accuracies)
    total = sum(accuracies)
    expected = differences / (2 * len(accuracies) * total) if total > 1e-300 else found["gini"]
    assert found["gini"] == pytest.approx(expected, abs=1e-9)
    slack = 1e-12
    assert found["worst_decile"] - slack <= found["mean"] <= found["best_decile"] + slack
    assert min(accuracies) - slack <= found["worst_decile"] and found["best_decile"] <= max(accuracies) + slack
    assert fairness.spread(accuracies[::-1]) == found


@pytest.mark.parametrize("accuracies", [[], [0.5, -0.1], [0.5, float("nan")], [float("inf"), 0.5]])
def test_what_is_no_list_of_accuracies_is_refused(accuracies: list[float]) -> None:
    with pytest.raises(ValueError, match=r"must be one or more numbers from 0 to 1, such as run\.client_accuracy"):
        fairness.spread(accuracies)
