"""Lesson 06's checkers meet right answers, untouched ones and plausible wrong ones; its studies support its prose."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from course_lib import learning
from course_lib.classroom import exercise, plots
from course_lib.classroom.lessons import outages
from course_lib.distributed import cost, failures
from tests.classroom.explored import explored

STUDIES = Path(__file__).resolve().parents[2] / "course_lib/classroom/studies"


def study(name: str) -> dict[str, Any]:
    return json.loads((STUDIES / f"{name}.json").read_text(encoding="utf-8"))


def judge(name: str, answer: Any) -> tuple[str, str]:
    outcome = exercise(name).judge(answer)
    return outcome.status, outcome.message


def untouched_latest(names, is_good): ...
def untouched_interval(save, between, a_round): ...
def untouched_price(machines, hours, an_hour, gigabytes, a_gigabyte, accuracy): ...


@pytest.mark.parametrize(
    ("name", "answer"), [("06.q1", untouched_latest), ("06.q2", untouched_interval), ("06.q3", untouched_price)]
)
def test_an_untouched_answer_is_not_called_wrong(name: str, answer: Any) -> None:
    assert judge(name, ...)[0] == "untouched"
    assert judge(name, answer)[0] == "untouched"


def by_number(name: str) -> int:
    return int(name.split("-")[1])


def by_hand(names: list[str], is_good: Any) -> Any:
    best = ""
    for name in names:
        if is_good(name) and (not best or by_number(name) > by_number(best)):
            best = name
    return best


def newest_first(names: list[str], is_good: Any) -> Any:
    for name in sorted(names, key=by_number, reverse=True):
        if is_good(name):
            return name
    return ""


@pytest.mark.parametrize("answer", [
    by_hand, newest_first, lambda names, good: max(filter(good, names), key=by_number, default=""),
    lambda names, good: next((n for n in sorted(names, key=by_number)[::-1] if good(n)), ""),
])  # fmt: skip
def test_the_latest_good_checkpoint_may_be_found_in_several_ways(answer: Any) -> None:
    assert judge("06.q1", answer)[0] == "right"


@pytest.mark.parametrize(("answer", "said"), [
    (lambda names, good: max(names, key=by_number), "if it cannot be read"),
    (lambda names, good: sorted(names, key=by_number)[-2], "damaged as well"),
    (lambda names, good: max(filter(good, names)), "order of text"),
    (lambda names, good: max(filter(good, names), key=by_number) if names else "", "ValueError"),
    (lambda names, good: sorted(filter(good, names), key=by_number)[1], "less work is lost"),
    (lambda names, good: max(map(by_number, filter(good, names)), default=0), "return the name"),
    (lambda names, good: max(filter(good, names), key=by_number, default="none"), "return an empty text"),
    (lambda names, good: max(filter(good, names), key=by_number), "ValueError|empty"),
    (lambda names, good: good("round-1"), "takes a name from the list"),
])  # fmt: skip
def test_each_wrong_choice_of_a_checkpoint_is_told_what_is_wrong_with_it(answer: Any, said: str) -> None:
    status, message = judge("06.q1", answer)
    assert status == "wrong" and re.search(said, message), message


@pytest.mark.parametrize("answer", [
    lambda c, m, r: max(1, round((2 * c * m) ** 0.5 / r)), lambda c, m, r: max(1, int((2 * c * m) ** 0.5 / r)),
    lambda c, m, r: max(1, -int(-((2 * c * m) ** 0.5) // r)), lambda c, m, r: max(1, round(failures.young_interval(c, m) / r)),
])  # fmt: skip
def test_the_interval_may_be_rounded_either_way(answer: Any) -> None:
    status, message = judge("06.q2", answer)
    assert status == "right", message


@pytest.mark.parametrize(("answer", "said"), [
    (lambda c, m, r: max(1, round((2 * c * m) ** 0.5)), "seconds: divide"),
    (lambda c, m, r: max(1, round((c * m) ** 0.5 / r)), "without the 2"),
    (lambda c, m, r: max(1, round(2 * c * m / r)), "without the square root"),
    (lambda c, m, r: max(1, round(m / r)), "once for each failure"),
    (lambda c, m, r: max(1, round(c / r)), "as often as a save takes"),
    (lambda c, m, r: (2 * c * m) ** 0.5 / r, "whole ones"),
    (lambda c, m, r: round((2 * c * m) ** 0.5 / r), "at least 1"),
    (lambda c, m, r: 1000, r"that is 10\.0 rounds"),
    (lambda c, m, r: "10", "is text"),
])  # fmt: skip
def test_each_wrong_interval_is_told_what_is_wrong_with_it(answer: Any, said: str) -> None:
    status, message = judge("06.q2", answer)
    assert status == "wrong" and re.search(said, message), message


@pytest.mark.parametrize("answer", [
    lambda n, h, p, g, q, a: (n * h * p + g * q) / (100 * (a - 0.1)), lambda n, h, p, g, q, a: (n * h * p + g * q) / (100 * a - 10),
    lambda n, h, p, g, q, a: np.float64(n * h * p + g * q) / np.float64(100 * a - 10),
])  # fmt: skip
def test_the_price_of_a_point_may_be_written_in_several_ways(answer: Any) -> None:
    assert judge("06.q3", answer)[0] == "right"


@pytest.mark.parametrize(("answer", "said"), [
    (lambda n, h, p, g, q, a: (h * p + g * q) / (100 * (a - 0.1)), "rent of one machine"),
    (lambda n, h, p, g, q, a: (n * h * p + g * q) / (a - 0.1), "a point is a hundredth"),
    (lambda n, h, p, g, q, a: (n * h * p + g * q) / (100 * a), "guessing has 10% already"),
    (lambda n, h, p, g, q, a: n * h * p / (100 * (a - 0.1)), "without the network"),
    (lambda n, h, p, g, q, a: g * q / (100 * (a - 0.1)), "without the machines"),
    (lambda n, h, p, g, q, a: 100 * (a - 0.1) / (n * h * p + g * q), "upside down"),
    (lambda n, h, p, g, q, a: n * h * p + g * q, "the whole bill"), (lambda n, h, p, g, q, a: 7, "a point costs"),
])  # fmt: skip
def test_each_wrong_price_is_told_what_is_wrong_with_it(answer: Any, said: str) -> None:
    status, message = judge("06.q3", answer)
    assert status == "wrong" and re.search(said, message), message


USED = {row["way"]: [cost.Usage(**run["usage"]) for run in row["runs"]] for row in study("bill")["rows"]}
SAVED = study("when_to_save")
SAVES = outages.Saves(SAVED)


def bills(way: str, at: cost.Prices) -> list[cost.Bill]:
    return [usage.bill(at) for usage in USED[way]]


def test_axes_stay_put_while_prices_and_the_cost_of_a_save_change_and_hold_what_is_drawn() -> None:
    valley, priced = explored(
        "06", plots=plots, np=np, failures=failures, cost=cost, saving=SAVES, used=USED, bills=bills,
    )  # fmt: skip
    assert valley.unsteady() == [] and priced.unsteady() == []
    assert valley.units == {"save": "rounds"}
    for save in (0.1, 3):
        [axes] = valley.fn(save=save).figure.axes
        lowest, highest = axes.get_ylim()
        means = [np.mean(SAVES.overhead(every, save)) for every in SAVES.trained]
        assert lowest < min(means) and max(means) < highest
    for prices in (
        {},
        {"machine_hour": 0.003},
        {"machine_hour": 3.0, "between_machines": 3.0, "to_the_internet": 3.0, "own_link": 3.0},
    ):
        [axes] = priced.fn(**prices).figure.axes
        assert all(axes.get_xlim()[0] < bar.get_width() < axes.get_xlim()[1] for bar in axes.patches)


def test_the_valley_is_flat_as_the_lesson_says() -> None:
    """Saving twice as often as Young says costs a few per cent of the rounds; half as often, nobody can tell."""
    young = failures.young_interval(1.0, SAVES.between)
    best = min(SAVES.trained, key=lambda every: abs(every - young))
    found = learning.holm(
        {
            str(every): learning.compare(
                SAVES.overhead(every, 1.0), SAVES.overhead(best, 1.0), "better", unit="per cent"
            )
            for every in (best // 2, 2 * best)
        }
    )
    assert [finding.outcome for finding in found.values()] == ["holds", "cannot tell"]
    assert all(finding.interval and finding.interval.mean < 7 for finding in found.values())


def test_half_and_twice_youngs_interval_cost_little_more_in_the_exercise_as_its_praise_says() -> None:
    at = {every: failures.expected_seconds(1.0, 60 * every, 30.0, 86_400.0) for every in (19, 38, 76)}
    assert min(at, key=lambda every: at[every]) == 38 and max(at.values()) < 1.02 * at[38]


def test_real_runs_lost_what_the_formula_expects() -> None:
    """In the middle of the grid; a failed round is lost whole, which the formula knows nothing of."""
    for every in (5, 10, 20):
        found = learning.interval(SAVES.overhead(every, 1.0), level=0.99)
        expected = 100 * (failures.expected_seconds(1, every, 1.0, SAVED["between_failures"]) - 1)
        assert found.low < expected + 5 and expected - 5 < found.high


def test_one_machine_is_cheapest_at_the_lessons_prices_as_the_lesson_says() -> None:
    totals = {way: np.array([one.total for one in bills(way, cost.Prices())]) for way in USED}
    for way, own in totals.items():
        assert way == "one machine" or (own > totals["one machine"]).all()
