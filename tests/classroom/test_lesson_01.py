"""The checkers of lesson 01: right, untouched, and what each likely slip is told."""

import statistics
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy.stats import t

from course_lib import learning
from course_lib.classroom.lessons.lesson_01 import q1, q2, q3


def _spread(values: list[float]) -> float:
    return float(np.std(values, ddof=1))


def _stub(*_: Any) -> Any: ...


@pytest.mark.parametrize("exercise", [q1, q2, q3])
def test_an_untouched_exercise_counts_as_not_attempted(exercise: Any) -> None:
    assert exercise.judge(_stub).status == "untouched"


@pytest.mark.parametrize(
    "answer",
    [
        lambda v: t.ppf(0.975, len(v) - 1) * _spread(v) / np.sqrt(len(v)),
        lambda v: learning.interval(v).half_width,
        lambda v: t.ppf(0.975, len(v) - 1) * statistics.stdev(v) / len(v) ** 0.5,
    ],
)
def test_the_half_width_may_be_computed_in_any_way(answer: Callable[[list[float]], float]) -> None:
    assert q1.judge(answer).status == "right"


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (lambda v: 1.96 * _spread(v) / np.sqrt(len(v)), "1.96"),
        (lambda v: t.ppf(0.975, len(v) - 1) * np.std(v) / np.sqrt(len(v)), "ddof=1"),
        (lambda v: t.ppf(0.975, len(v) - 1) * _spread(v), "spread of single runs"),
        (lambda v: t.ppf(0.975, len(v)) * _spread(v) / np.sqrt(len(v)), "n degrees of freedom"),
        (lambda v: t.ppf(0.95, len(v) - 1) * _spread(v) / np.sqrt(len(v)), "one side"),
        (lambda v: 2 * t.ppf(0.975, len(v) - 1) * _spread(v) / np.sqrt(len(v)), "whole length"),
        (lambda v: t.ppf(0.975, len(v) - 1) * _spread(v) / len(v), "divided by n:"),
        (lambda v: _spread(v) / np.sqrt(len(v)), "standard error alone"),
        (lambda v: _spread(v), "standard deviation alone"),
        (lambda v: (learning.interval(v).low, learning.interval(v).high), "one number"),
        (lambda v: 0.02, "the half-width is"),
    ],
)
def test_a_wrong_half_width_is_told_what_it_is(answer: Callable[[list[float]], Any], told: str) -> None:
    outcome = q1.judge(answer)
    assert outcome.status == "wrong"
    assert told in outcome.message


@pytest.mark.parametrize(
    "answer",
    [
        lambda a, b: learning.paired_difference(a, b).excludes(0),
        lambda a, b: learning.paired_difference(b, a).excludes(0.0),
        lambda a, b: abs(np.mean(np.subtract(a, b))) > learning.interval(np.subtract(a, b)).half_width,
    ],
)
def test_a_paired_decision_may_be_computed_in_any_way(answer: Callable[..., Any]) -> None:
    assert q2.judge(answer).status == "right"


def _separate_intervals(a: list[float], b: list[float]) -> bool:
    one, other = learning.interval(a), learning.interval(b)
    return one.low > other.high or other.low > one.high


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (_separate_intervals, "to everything"),
        (lambda a, b: abs(np.mean(a) - np.mean(b)) > 0.01, "half a point with every seed"),
        (lambda a, b: abs(np.mean(a) - np.mean(b)) > 0.001, "not enough"),
        (lambda a, b: learning.paired_difference(a, b).low > 0, "worse than b with every seed"),
        (lambda a, b: not learning.paired_difference(a, b).excludes(0), "other way round"),
        (lambda a, b: True, "to everything"),
        (lambda a, b: learning.paired_difference(a, b), "True or False"),
        (lambda a, b: np.mean(a) - np.mean(b), "True or False"),
    ],
)
def test_a_wrong_decision_is_told_which_case_it_gets_wrong(answer: Callable[..., Any], told: str) -> None:
    outcome = q2.judge(answer)
    assert outcome.status == "wrong"
    assert told in outcome.message


@pytest.mark.parametrize(
    "answer",
    [
        lambda h, f, m, r: 2 * h / (2 * h + f + m),
        lambda h, f, m, r: 0 if h == 0 else 2 / ((h + f) / h + (h + m) / h),
    ],
)
def test_f1_may_be_computed_in_any_way(answer: Callable[..., Any]) -> None:
    assert q3.judge(answer).status == "right"


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (lambda h, f, m, r: (h + r) / (h + f + m + r), "accuracy"),
        (lambda h, f, m, r: h / (h + f), "precision"),
        (lambda h, f, m, r: h / (h + m), "recall"),
        (lambda h, f, m, r: (h / (h + f) + h / (h + m)) / 2, "harmonic"),
        (lambda h, f, m, r: h / (2 * h + f + m), "factor 2"),
        (lambda h, f, m, r: h / (h + f + m), "twice"),
        (lambda h, f, m, r: 200 * h / (2 * h + f + m), "percentage"),
        (lambda h, f, m, r: 2 * r / (2 * r + f + m), "other class"),
        (lambda h, f, m, r: 2 * h * h / ((h + f) * (h + m)) / (h / (h + f) + h / (h + m)), "ZeroDivisionError"),
        (lambda h, f, m, r: 1.0 if h == 0 else 2 * h / (2 * h + f + m), "never says yes"),
        (lambda h, f, m, r: 0.5, "F1 is"),
    ],
)
def test_a_wrong_f1_is_told_what_it_is(answer: Callable[..., Any], told: str) -> None:
    outcome = q3.judge(answer)
    assert outcome.status == "wrong"
    assert told in outcome.message


@pytest.mark.parametrize("exercise", [q1, q2, q3])
def test_the_solution_that_is_shown_passes_its_own_check(exercise: Any) -> None:
    arguments = {q1: "values", q2: "a, b", q3: "hits, false_alarms, misses, rejections"}[exercise]
    scope: dict[str, Any] = {"np": np, "t": t, "learning": learning}
    exec(f"def answer({arguments}):\n{exercise.code}", scope)
    assert exercise.judge(scope["answer"]).status == "right"
