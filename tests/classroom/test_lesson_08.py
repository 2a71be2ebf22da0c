import re
from typing import Any

import numpy as np
import pytest

from course_lib.classroom import exercise


def judge(name: str, answer: Any) -> tuple[str, str]:
    outcome = exercise(name).judge(answer)
    return outcome.status, outcome.message


def untouched_settles(optima, curvatures, steps, rate): ...
def untouched_fednova(changes, sizes, steps): ...
def untouched_skew(counts): ...


@pytest.mark.parametrize(
    ("name", "answer"), [("08.q1", untouched_settles), ("08.q2", untouched_fednova), ("08.q3", untouched_skew)]
)
def test_an_untouched_answer_is_not_called_wrong(name: str, answer: Any) -> None:
    assert judge(name, ...)[0] == "untouched"
    assert judge(name, answer)[0] == "untouched"


def gone(curvatures: list[float], steps: int, rate: float) -> np.ndarray:
    return 1 - (1 - rate * np.array(curvatures)) ** steps


def settles(o: list[float], c: list[float], steps: int, rate: float) -> float:
    return float(gone(c, steps, rate) @ np.array(o) / gone(c, steps, rate).sum())


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (lambda o, c, s, r: np.mean(o), "midpoint"),
        (lambda o, c, s, r: np.dot(o, c) / np.sum(c), "true optimum"),
        (lambda o, c, s, r: settles(o, c, 1, r), "true optimum"),
        (lambda o, c, s, r: np.dot(1 - gone(c, s, r), o) / (1 - gone(c, s, r)).sum(), "what is left"),
        (lambda o, c, s, r: gone(c, s, r) @ np.array(o), "added the weighted optima up"),
        (lambda o, c, s, r: gone(c, s, r) @ np.array(o) / len(o), "number of clients"),
        (lambda o, c, s, r: settles(o, c, s, r) if s == 5 else 0.0, "for 1 step you return 0.000"),
        (lambda o, c, s, r: settles(o, c, s, r) if len(o) == 2 else 0.0, "Right for two clients"),
        (lambda o, c, s, r: 7.0, "you return 7.000"),
        (lambda o, c, s, r: o[2], "IndexError"),
    ],
)
def test_each_wrong_place_is_told_what_is_wrong_with_it(answer: Any, said: str) -> None:
    status, message = judge("08.q1", answer)
    assert status == "wrong"
    assert re.search(said, message), message


def test_the_right_place_is_where_fedavg_really_ends() -> None:
    status, message = judge("08.q1", settles)
    assert status == "right" and "midpoint" in message
    theta = 0.0
    for _ in range(200):
        ends = []
        for optimum, curvature in [(2.0, 1.0), (-1.0, 4.0)]:
            local = theta
            for _ in range(5):
                local -= 0.1 * curvature * (local - optimum)
            ends.append(local)
        theta = sum(ends) / 2
    assert theta == pytest.approx(settles([2.0, -1.0], [1.0, 4.0], 5, 0.1))


def share(sizes: np.ndarray) -> np.ndarray:
    return sizes / sizes.sum()


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (lambda d, n, t: share(n) @ d, "This is FedAvg"),
        (lambda d, n, t: (share(n) / t) @ d, "Scale them up again"),
        (lambda d, n, t: (share(n) / t) @ d * t.mean(), "plain mean of the steps"),
        (lambda d, n, t: (share(n) / t) @ d * t.sum(), "sum of all steps"),
        (lambda d, n, t: (d / t[:, None]).mean(0) * (share(n) @ t), "without the sizes"),
        (lambda d, n, t: (n / t) @ d * (n @ t), "shares first"),
        (lambda d, n, t: d / t[:, None], r"shape \(2, 2\)"),
        (lambda d, n, t: np.zeros(2), "you return"),
        (lambda d, n, t: (share(n) / t) @ d * 6.5, "equal steps it should be FedAvg"),
        (lambda d, n, t: d @ n[:, None, None], "ValueError"),
    ],
)
def test_each_wrong_server_is_told_what_is_wrong_with_it(answer: Any, said: str) -> None:
    status, message = judge("08.q2", answer)
    assert status == "wrong"
    assert re.search(said, message), message


def test_the_right_server_may_be_written_either_way() -> None:
    for answer in (
        lambda d, n, t: (share(n) / t) @ d * (share(n) @ t),
        lambda d, n, t: sum(p * c / s for p, c, s in zip(share(n), d, t, strict=True)) * sum(share(n) * t),
    ):
        status, message = judge("08.q2", answer)
        assert status == "right" and "6.5" in message, message


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (lambda c: np.abs(own(c) - together(c)).sum(1).mean(), "half the sum"),
        (lambda c: np.abs(own(c) - together(c)).sum() / 2, "added the clients up"),
        (lambda c: np.abs(own(c) - together(c)).sum(1).max() / 2, "most lopsided"),
        (lambda c: np.abs(own(c) - 1 / c.shape[1]).sum(1).mean() / 2, "equal shares"),
        (lambda c: np.abs(own(c) - own(c).mean(0)).sum(1).mean() / 2, "plain mean"),
        (lambda c: np.abs(c - c.mean(0)).sum(1).mean() / 2, "compared counts"),
        (lambda c: 0.123, "you return 0.123"),
        (lambda c: skew(c) + (len(c) == 4), "should have skew 0"),
        (lambda c: c / 0 if False else c[5, 5], "IndexError"),
    ],
)
def test_each_wrong_measure_is_told_what_is_wrong_with_it(answer: Any, said: str) -> None:
    status, message = judge("08.q3", answer)
    assert status == "wrong"
    assert re.search(said, message), message


def own(counts: np.ndarray) -> np.ndarray:
    return counts / counts.sum(1, keepdims=True)


def together(counts: np.ndarray) -> np.ndarray:
    return counts.sum(0) / counts.sum()


def skew(counts: np.ndarray) -> float:
    return float(np.abs(own(counts) - together(counts)).sum(1).mean() / 2)


def test_one_digit_a_client_is_almost_as_lopsided_as_can_be() -> None:
    status, message = judge("08.q3", skew)
    assert status == "right" and "0.9" in message
