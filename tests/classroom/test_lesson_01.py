"""The checkers of lesson 01: right, untouched, and what each likely slip is told."""

import json
import re
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import norm, sem, t, ttest_ind, ttest_rel

from course_lib import learning
from course_lib.classroom.lessons import decisions
from course_lib.classroom.lessons.lesson_01 import q1, q2, q3
from tests.classroom.explored import explored

ROOT = Path(__file__).resolve().parents[2]
STUDY = json.loads((ROOT / "course_lib/classroom/studies/small_models.json").read_text(encoding="utf-8"))


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
        (lambda v: learning.interval(v), "one number"),
        (lambda v: str(learning.interval(v).half_width), "is text"),
        (lambda v: 0.02, "the half-width is"),
    ],
)
def test_a_wrong_half_width_is_told_what_it_is(answer: Callable[[list[float]], Any], told: str) -> None:
    outcome = q1.judge(answer)
    assert outcome.status == "wrong"
    assert told in outcome.message


def _differences(a: list[float], b: list[float]) -> np.ndarray:
    return np.subtract(a, b)


def _errors(a: list[float], b: list[float], ddof: int = 1) -> float:
    """The mean difference in standard errors."""
    d = _differences(a, b)
    return float(abs(d.mean()) / (d.std(ddof=ddof) / len(d) ** 0.5))


def _both_ends(a: list[float], b: list[float]) -> bool:
    found = learning.interval([one - other for one, other in zip(a, b, strict=True)])
    return not found.low <= 0 <= found.high


@pytest.mark.parametrize(
    "answer",
    [
        lambda a, b: learning.paired_difference(a, b).excludes(0),
        lambda a, b: learning.paired_difference(b, a).excludes(0.0),
        lambda a, b: abs(np.mean(np.subtract(a, b))) > learning.interval(np.subtract(a, b)).half_width,
        lambda a, b: ttest_rel(a, b).pvalue < 0.05,
        lambda a, b: torch.tensor(learning.paired_difference(a, b).low * learning.paired_difference(a, b).high > 0),
        lambda a, b: learning.compare(a, b, "better").outcome != learning.CANNOT_TELL,
        lambda a, b: learning.paired_difference(a, b).low > 0 or learning.paired_difference(b, a).low > 0,
        _both_ends,
    ],
)
def test_a_paired_decision_may_be_computed_in_any_way(answer: Callable[..., Any]) -> None:
    outcome = q2.judge(answer)
    assert outcome.status == "right", outcome.message


def _separate_intervals(a: list[float], b: list[float]) -> bool:
    one, other = learning.interval(a), learning.interval(b)
    return one.low > other.high or other.low > one.high


def _z_test(a: list[float], b: list[float]) -> bool:
    d = [one - other for one, other in zip(a, b, strict=True)]
    error = statistics.stdev(d) / len(d) ** 0.5
    return not statistics.mean(d) - 1.96 * error <= 0 <= statistics.mean(d) + 1.96 * error


def _mean_beyond_deviation(a: list[float], b: list[float]) -> bool:
    d = [one - other for one, other in zip(a, b, strict=True)]
    return not statistics.mean(d) - statistics.stdev(d) < 0 < statistics.mean(d) + statistics.stdev(d)


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        # the sign rule
        (lambda a, b: all(_differences(a, b) > 0) or all(_differences(a, b) < 0), "Yours is the sign rule: do all"),
        (lambda a, b: all(x > y for x, y in zip(a, b, strict=True)), "Yours is the sign rule: do all"),
        (lambda a, b: len(set(np.sign(_differences(a, b)))) == 1, "Yours is the sign rule: do all"),
        (lambda a, b: np.abs(np.sign(_differences(a, b)).sum()) > 0, "Yours is the sign rule: who is better with most"),
        (lambda a, b: sum(x > y for x, y in zip(a, b, strict=True)) > len(a) / 2, "with most of the seeds"),
        # 1.96 standard errors
        (lambda a, b: _errors(a, b) > 1.96, "Yours is 1.96"),
        (lambda a, b: _errors(a, b) > 2, "Yours is 1.96 (or 2)"),
        (lambda a, b: bool(2 * norm.sf(_errors(a, b)) < 0.05), "Yours is 1.96"),
        (_z_test, "Yours is 1.96"),
        # one standard error
        (lambda a, b: _errors(a, b) > 1, "Yours is one standard error"),
        (lambda a, b: abs(np.mean(_differences(a, b))) > sem(_differences(a, b)), "Yours is one standard error"),
        # one standard deviation
        (
            lambda a, b: abs(np.mean(_differences(a, b))) > np.std(_differences(a, b), ddof=1),
            "Yours is one standard dev",
        ),
        (_mean_beyond_deviation, "Yours is one standard deviation"),
        (lambda a, b: abs(np.mean(_differences(a, b))) > 2 * np.std(_differences(a, b), ddof=1), "two standard dev"),
        # slips in the t-interval
        (lambda a, b: _errors(a, b, ddof=0) > t.ppf(0.975, len(a) - 1), "ddof=1"),
        (lambda a, b: _errors(a, b) > t.ppf(0.975, len(a)), "n degrees of freedom"),
        (lambda a, b: _errors(a, b) > t.ppf(0.95, len(a) - 1), "one side"),
        # other questions
        (lambda a, b: ttest_ind(a, b).pvalue < 0.05, "unpaired comparison"),
        (_separate_intervals, "two separate intervals overlap"),
        (lambda a, b: abs(np.mean(a) - np.mean(b)) > 0.01, "only at how large"),
        (lambda a, b: learning.compare(a, b, "better", margin=0.01).outcome == "holds", "the course's margin"),
        (lambda a, b: abs(np.mean(a) - np.mean(b)) > 1e-9, "only at how large"),
        (lambda a, b: abs(np.mean(a) - np.mean(b)) > 0.004, "only at how large"),
        (lambda a, b: learning.paired_difference(a, b).low > 0, "Being worse is as real as being better"),
        (lambda a, b: learning.compare(a, b, "better").outcome == "holds", "Being worse is as real as being better"),
        (lambda a, b: not learning.paired_difference(a, b).excludes(0), "other way round"),
        (lambda a, b: True, "to everything"),
        (lambda a, b: False, "to everything"),
        # answers of another kind
        (lambda a, b: str(learning.paired_difference(a, b).excludes(0)), "without quotation marks"),
        (lambda a, b: learning.compare(a, b, "better").outcome, "is text"),
        (lambda a, b: learning.paired_difference(a, b), "neither `True` nor `False`"),
        (lambda a, b: float(np.mean(a) - np.mean(b)), "neither `True` nor `False`"),
        (True, "pass the function itself"),
        (np.True_, "pass the function itself"),
        ("is_real", "pass the function itself"),
    ],
)
def test_a_wrong_decision_is_met_by_the_name_of_its_rule(answer: Any, told: str) -> None:
    outcome = q2.judge(answer)
    assert outcome.status == "wrong"
    assert told in outcome.message, outcome.message


def test_every_wrong_rule_errs_on_the_pairs_and_no_two_err_alike() -> None:
    arrays = [(np.array(pair.a), np.array(pair.b)) for pair in decisions.PAIRS.values()]
    answers = {tuple(rule(a, b) for a, b in arrays) for rule in [decisions.right, *decisions.WRONG.values()]}
    assert len(answers) == 1 + len(decisions.WRONG)


@pytest.mark.parametrize(("exercise", "result"), [(q1, 0.02), (q3, 0.6)])
def test_the_result_of_a_call_instead_of_the_function_is_met_by_name(exercise: Any, result: float) -> None:
    outcome = exercise.judge(result)
    assert outcome.status == "wrong" and "pass the function itself" in outcome.message


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
        (lambda h, f, m, r: f"{2 * h / (2 * h + f + m):.2f}", "is text"),
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


def test_the_lesson_trains_at_the_rates_that_the_study_chose() -> None:
    (lesson,) = (ROOT / "lessons").glob("01_*.md")
    text = lesson.read_text(encoding="utf-8")
    for row in STUDY["rows"]:
        (rate,) = re.findall(rf'"{row["model"]}": \(models\..*, ([\d.]+)\),', text)
        assert float(rate) == row["rate"], row["model"]


def test_no_model_of_the_study_was_tuned_at_the_edge_of_its_grid_or_on_fewer_than_three_seeds() -> None:
    for row in STUDY["rows"]:
        assert not row["at_edge"]
        assert all(len(tried["accuracy"]) >= 3 for tried in row["tried"])
        worst = {tried["rate"]: min(tried["accuracy"]) for tried in row["tried"]}
        assert max(worst, key=worst.__getitem__) == row["rate"]
    assert not set(STUDY["seeds"]) & set(STUDY["tuning_seeds"])


def test_the_axis_of_the_three_outcomes_stays_put_while_the_knobs_turn_and_the_margin_has_its_unit() -> None:
    rates = np.random.default_rng(0)
    higher, lower = (list(rates.normal(mean, 0.01, size=20)) for mean in (0.9, 0.895))
    (ruled,) = explored("01", learning=learning, higher=higher, lower=lower)
    assert ruled.units == {"margin": "points"}
    assert ruled.unsteady() == []
