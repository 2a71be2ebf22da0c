import math
import re
from typing import Any

import numpy as np
import pytest

from course_lib import classroom, data, learning
from course_lib.classroom import exercise, plots
from tests.classroom.explored import explored


def judge(name: str, answer: Any) -> tuple[str, str]:
    outcome = exercise(name).judge(answer)
    return outcome.status, outcome.message


def untouched(accuracies): ...


def right_tenth(values: list[float]) -> float:
    tenth = max(1, round(len(values) / 10))
    return sum(sorted(values)[:tenth]) / tenth


@pytest.mark.parametrize("name", ["10.q1", "10.q2"])
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


@pytest.mark.parametrize("name", ["10.q1", "10.q2"])
def test_a_call_in_place_of_the_function_is_named(name: str) -> None:
    assert "pass the function itself" in judge(name, 0.55)[1]


@pytest.mark.parametrize(
    ("name", "answer"),
    [
        ("10.q1", lambda accuracies: "0.55"),
        ("10.q2", lambda *numbers: "2.6"),
    ],
)
def test_a_number_returned_as_text_is_named(name: str, answer: Any) -> None:
    assert "without quotation marks" in judge(name, answer)[1]


@pytest.fixture(scope="module")
def clients() -> dict[str, Any]:
    """What the lesson has at hand when it explores and tabulates: the deal, and each client's accuracy in the stored study."""
    train, _ = data.load("mnist5k", test_fraction=0.7)
    rows = classroom.stored("personal")["rows"]
    return {
        "train": train,
        "deal": lambda seed: data.partitions.dirichlet(train.y, 30, 0.3, seed),
        "accuracy": {(row["skew"], row["way"]): np.array(row["clients"]) / 100 for row in rows},
        "personal": ["fine-tuned, 1 pass", "fine-tuned, 5 passes", "FedPer", "Ditto, pull 0.1", "Ditto, pull 1"],
    }


def test_the_axis_of_accuracy_stays_put_while_one_looks_at_client_after_client(clients: dict[str, Any]) -> None:
    (who,) = explored("10", plots=plots, np=np, **clients)
    assert list(who.controls) == ["client", "seed"]
    assert who.unsteady() == []


def change(clients: dict[str, Any], way: str) -> np.ndarray:
    """Points against the shared model, (seed, client)."""
    return 100 * (clients["accuracy"]["mixtures", way] - clients["accuracy"]["mixtures", "shared"])


def test_alone_is_better_the_more_often_the_fewer_digits_a_client_holds(clients: dict[str, Any]) -> None:
    held = np.array([[digits(clients["train"].y[part]) for part in clients["deal"](seed)] for seed in range(8)])
    better = change(clients, "alone") >= 1
    shares = [better[held <= 3].mean(), better[held == 4].mean(), better[held >= 5].mean()]
    assert shares[0] > 1.5 * shares[1] > 1.5 * shares[2]


def digits(labels: Any) -> int:
    """How many digits make up nine tenths of the labels."""
    counts = np.sort(np.bincount(labels, minlength=10))[::-1]
    return int(np.searchsorted(counts.cumsum(), 0.9 * counts.sum()) + 1)


def test_a_single_pass_harms_where_the_last_batch_is_small(clients: dict[str, Any]) -> None:
    last = np.array([[(len(part) - 1) % 10 + 1 for part in clients["deal"](seed)] for seed in range(8)])
    lost = change(clients, "fine-tuned, 1 pass")
    by_seed = [float(own[small].mean() - own[~small].mean()) for own, small in zip(lost, last <= 3, strict=True)]
    assert learning.interval(by_seed).high < 0
    assert lost[last > 3].mean() > -1


def test_what_is_said_of_the_cameras_is_in_the_study() -> None:
    stored = classroom.stored("cameras")
    looks = {row["way"]: np.array(row["clients"]) for row in stored["rows"]}
    assert (looks["shared BatchNorm"] < looks["shared"]).mean() > 0.8
    assert [one["way"] for one in stored["tuning"] if one["at_edge"]] == ["shared BatchNorm"]
