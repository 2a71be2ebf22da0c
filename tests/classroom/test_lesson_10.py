import math
import re
from typing import Any

import pytest

from course_lib.classroom import exercise


def judge(name: str, answer: Any) -> tuple[str, str]:
    outcome = exercise(name).judge(answer)
    return outcome.status, outcome.message


def untouched(accuracies): ...


def right_tenth(values: list[float]) -> float:
    tenth = max(1, round(len(values) / 10))
    return sum(sorted(values)[:tenth]) / tenth


def right_voices(losses: list[float], q: float) -> list[float]:
    powers = [loss**q for loss in losses]
    return [power / sum(powers) for power in powers]


@pytest.mark.parametrize("name", ["10.q1", "10.q2", "10.q3"])
def test_an_untouched_answer_is_not_called_wrong(name: str) -> None:
    assert judge(name, ...)[0] == "untouched"
    assert judge(name, untouched)[0] == "untouched"


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (min, "worst client alone"),
        (lambda a: sorted(a)[1], "second worst"),
        (lambda a: sum(sorted(a)[: len(a) // 10]), "You added"),
        (lambda a: sum(sorted(a)[-2:]) / 2, "best two"),
        (lambda a: sum(a[:2]) / 2, "first two in the list"),
        (lambda a: sum(a) / len(a), "mean over all"),
        (lambda a: sum(sorted(a)[:3]) / 3, "you get 0.586667"),
        (lambda a: sum(sorted(a)[:2]) / 2, "at least one client"),
        (lambda a: sum(sorted(a)[: len(a) // 10]) / (len(a) // 10), "ZeroDivisionError"),
    ],
)
def test_each_wrong_worst_tenth_is_told_what_is_wrong_with_it(answer: Any, said: str) -> None:
    status, message = judge("10.q1", answer)
    assert status == "wrong"
    assert re.search(said, message), message


@pytest.mark.parametrize(
    "answer", [right_tenth, lambda a: sum(sorted(a)[: math.ceil(len(a) / 10)]) / math.ceil(len(a) / 10)]
)
def test_any_way_to_take_a_tenth_of_at_least_one_is_right(answer: Any) -> None:
    assert judge("10.q1", answer)[0] == "right"


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (lambda o, s, g, r, p: o - r * g, "plain SGD"),
        (lambda o, s, g, r, p: o - r * (g + p * (s - o)), "sign of the pull"),
        (lambda o, s, g, r, p: o - r * (g + p * o), "towards zero"),
        (lambda o, s, g, r, p: o - r * g - p * (o - s), "learning rate scales"),
        (lambda o, s, g, r, p: o + r * (g + p * (o - s)), "uphill"),
        (lambda o, s, g, r, p: s - r * (g + p * (o - s)), "own weights"),
        (lambda o, s, g, r, p: o - r * (g + 2 * p * (o - s)), "Twice too strong"),
        (lambda o, s, g, r, p: g + p * (o - s), "That is the slope"),
        (lambda o, s, g, r, p: 0.0, "it is 2.6"),
        (lambda o, s, g, r, p: 2.6, "all five arguments"),
    ],
)
def test_each_wrong_step_of_ditto_is_told_what_is_wrong_with_it(answer: Any, said: str) -> None:
    status, message = judge("10.q2", answer)
    assert status == "wrong"
    assert re.search(said, message), message


def test_a_step_of_ditto_is_right_in_either_form() -> None:
    assert judge("10.q2", lambda o, s, g, r, p: o - r * (g + p * (o - s)))[0] == "right"
    assert judge("10.q2", lambda o, s, g, r, p: (1 - r * p) * o + r * p * s - r * g)[0] == "right"


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (lambda losses, q: [loss**q for loss in losses], "Divide by their sum"),
        (lambda losses, q: [loss / sum(losses) for loss in losses], "left out q"),
        (lambda losses, q: [loss * q for loss in losses], "Multiplying by q"),
        (lambda losses, q: right_voices(losses, -q), "well off already"),
        (lambda losses, q: [1 / len(losses)] * len(losses), "only for q = 0"),
        (lambda losses, q: right_voices([math.exp(loss) for loss in losses], q), "0.048, 0.190, 0.762"),
        (lambda losses, q: right_voices(losses, 2), "q = 0 every client counts alike"),
        (lambda losses, q: right_voices(losses, 2 if q else 0), "not for q = 1"),
        (lambda losses, q: [sum(losses)], "one for each client"),
        (lambda losses, q: 1.0, "could make nothing of"),
    ],
)
def test_each_wrong_voice_is_told_what_is_wrong_with_it(answer: Any, said: str) -> None:
    status, message = judge("10.q3", answer)
    assert status == "wrong"
    assert re.search(said, message), message


def test_the_right_voices_are_praised() -> None:
    status, message = judge("10.q3", right_voices)
    assert status == "right" and "worst-off" in message


@pytest.mark.parametrize("name", ["10.q1", "10.q2", "10.q3"])
def test_a_call_in_place_of_the_function_is_named(name: str) -> None:
    assert "pass the function itself" in judge(name, 0.55)[1]


@pytest.mark.parametrize(
    ("name", "answer"),
    [
        ("10.q1", lambda accuracies: "0.55"),
        ("10.q2", lambda *numbers: "2.6"),
        ("10.q3", lambda losses, q: ["0.05", "0.2", "0.75"]),
    ],
)
def test_a_number_returned_as_text_is_named(name: str, answer: Any) -> None:
    assert "without quotation marks" in judge(name, answer)[1]
