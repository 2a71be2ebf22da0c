"""The exercises of lesson 14 meet right and wrong answers, and what its text says is in the stored study."""

import re
from typing import Any

import numpy as np
import pytest
import torch

from course_lib.aggregation.robust import Krum, TrimmedMean
from course_lib.classroom import exercise


def judge(name: str, answer: Any) -> tuple[str, str]:
    outcome = exercise(name).judge(answer)
    return outcome.status, outcome.message


def untouched_trimmed_mean(updates, f): ...
def untouched_success(predicted, labels, target): ...
def untouched_most(n): ...


@pytest.mark.parametrize(
    ("name", "answer"),
    [("14.q1", untouched_trimmed_mean), ("14.q2", untouched_success), ("14.q3", untouched_most)],
)
def test_an_untouched_answer_is_not_called_wrong(name: str, answer: Any) -> None:
    assert judge(name, ...)[0] == "untouched"
    assert judge(name, answer)[0] == "untouched"


def by_length(updates: Any) -> Any:
    return updates[np.argsort(np.linalg.norm(updates, axis=1))]


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (lambda u, f: u.mean(0), "plain mean"),
        (lambda u, f: np.median(u, axis=0), "That is the median"),
        (lambda u, f: np.sort(u, axis=0)[: len(u) - f].mean(0), "largest only"),
        (lambda u, f: np.sort(u, axis=0)[f:].mean(0), "smallest only"),
        (lambda u, f: u[f : len(u) - f].mean(0), "first and the last client"),
        (lambda u, f: by_length(u)[f : len(u) - f].mean(0), "whole updates"),
        (lambda u, f: by_length(u)[: len(u) - f].mean(0), "one whole update"),
        (lambda u, f: np.sort(u, axis=0)[f : len(u) - f].sum(0), "added what is left"),
        (lambda u, f: np.sort(u, axis=0)[f : len(u) - f].sum(0) / len(u), "divided by all six"),
        (lambda u, f: np.sort(u, axis=0)[2 * f : len(u) - 2 * f].mean(0), "two on each side"),
        (lambda u, f: np.sort(u, axis=0)[f : len(u) - f].mean(1), "down the columns"),
        (lambda u, f: np.sort(u, axis=0)[f : len(u) - f].mean(), "down the columns"),
        (lambda u, f: np.sort(u, axis=0)[f:-f].mean(0) if f else np.zeros(2), "is empty"),
        (lambda u, f: u.max(0), "the trimmed mean is"),
        (3, "no function"),
    ],
)
def test_each_wrong_trimmed_mean_is_told_what_is_wrong_with_it(answer: Any, said: str) -> None:
    status, message = judge("14.q1", answer)
    assert status == "wrong"
    assert re.search(said, message), message


@pytest.mark.parametrize(
    "answer",
    [
        lambda u, f: np.sort(u, axis=0)[f : len(u) - f].mean(axis=0),
        lambda u, f: [sum(sorted(column)[f : len(column) - f]) / (len(column) - 2 * f) for column in u.T],
        lambda u, f: TrimmedMean(f)(torch.from_numpy(u)),
        lambda u, f: torch.from_numpy(u).sort(dim=0).values[f : len(u) - f].mean(0),
    ],
    ids=["numpy", "plain Python", "the library", "torch"],
)
def test_the_right_trimmed_mean_may_be_written_in_several_ways(answer: Any) -> None:
    status, message = judge("14.q1", answer)
    assert status == "right" and "-50" in message, message


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (lambda p, y, t: (p == t).mean(), "really show a 7"),
        (lambda p, y, t: ((p == t) & (y != t)).mean(), "divide by all ten"),
        (lambda p, y, t: (p != y)[y != t].mean(), "every mistake"),
        (lambda p, y, t: (p != y).mean(), "share of mistakes"),
        (lambda p, y, t: (p == t).sum() / (y != t).sum(), "below the line only"),
        (lambda p, y, t: ((p == t) & (y != t)).sum(), "That is how many"),
        (lambda p, y, t: 100 * (p == t)[y != t].mean(), "not per cent"),
        (lambda p, y, t: 0.9, "3/7"),
        (lambda p, y, t: (p == 7)[y != 7].mean(), "Right for target 7"),
        (lambda p, y, t: "0.43", "without quotation marks"),
    ],
)
def test_each_wrong_success_is_told_what_is_wrong_with_it(answer: Any, said: str) -> None:
    status, message = judge("14.q2", answer)
    assert status == "wrong"
    assert re.search(said, message), message


@pytest.mark.parametrize(
    "answer",
    [
        lambda p, y, t: (p[y != t] == t).mean(),
        lambda p, y, t: sum(a == t for a, b in zip(p, y, strict=True) if b != t) / sum(b != t for b in y),
    ],
    ids=["numpy", "plain Python"],
)
def test_the_right_success_may_be_written_in_several_ways(answer: Any) -> None:
    assert judge("14.q2", answer)[0] == "right"


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (lambda n: n // 2, "That is half"),
        (lambda n: (n - 1) // 2, "suffices for the median"),
        (lambda n: (n - 2) // 2, "is f = 9 allowed"),
        (lambda n: (n - 2) / 2, "must be smaller"),
        (lambda n: (n - 3) / 2, "Round down"),
        (lambda n: n // 3, "Byzantine agreement"),
        (lambda n: (n - 3) // 4, "Bulyan"),
        (lambda n: 8, "Krum stands f = 9"),
    ],
)
def test_each_wrong_limit_is_told_what_is_wrong_with_it(answer: Any, said: str) -> None:
    status, message = judge("14.q3", answer)
    assert status == "wrong"
    assert re.search(said, message), message


def test_the_right_limit_is_that_of_the_library() -> None:
    for answer in (
        lambda n: (n - 3) // 2,
        lambda n: max(f for f in range(n) if 2 * f + 2 < n),
        lambda n: Krum().stands(n),
    ):
        status, message = judge("14.q3", answer)
        assert status == "right", message
