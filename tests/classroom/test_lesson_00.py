import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from course_lib import data
from course_lib.classroom import exercise
from tests.classroom.explored import explored

ROOT = Path(__file__).resolve().parents[2]
STUDY = json.loads((ROOT / "course_lib/classroom/studies/three_ways.json").read_text(encoding="utf-8"))


def judge(name: str, answer: Any) -> tuple[str, str]:
    outcome = exercise(name).judge(answer)
    return outcome.status, outcome.message


def untouched_function(weights, participants, rounds): ...


@pytest.mark.parametrize("name", ["00.q1", "00.q2", "00.q3"])
def test_an_untouched_answer_is_not_called_wrong(name: str) -> None:
    assert judge(name, ...)[0] == "untouched"
    assert judge(name, untouched_function)[0] == "untouched"


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (lambda w, p, r: 4 * w * p * r / 1e6, "one direction"),
        (lambda w, p, r: 8 * w * p * r, "in bytes"),
        (lambda w, p, r: 64 * w * p * r / 1e6, "megabits"),
        (lambda w, p, r: 8 * w * p * r / 2**20, r"2\*\*20"),
        (lambda w, p, r: 8 * w * p / 1e6, "one round"),
        (lambda w, p, r: 2 * w * p * r / 1e6, "left out"),
        (lambda w, p, r: 16.2848, "all three arguments"),
        (lambda w, p, r: 1.0, "1.00 MB"),
        (lambda w, p, r: w / 0, "ZeroDivisionError"),
    ],
)
def test_each_wrong_count_of_bytes_is_told_what_is_wrong_with_it(answer: Any, said: str) -> None:
    status, message = judge("00.q1", answer)
    assert status == "wrong"
    assert re.search(said, message), message


def test_the_right_count_of_bytes_is_praised_with_the_runs_figure() -> None:
    status, message = judge("00.q1", lambda w, p, r: 8 * w * p * r / 1_000_000)
    assert status == "right" and "16.3 MB" in message


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (lambda u, s: sum(u) / len(u), "plain mean"),
        (lambda u, s: sum(a * b for a, b in zip(u, s, strict=True)), "Divide by all the images"),
        (lambda u, s: sum(a * b for a, b in zip(u, s, strict=True)) / len(u), "number of owners"),
        (lambda u, s: sum(a * b for a, b in zip(u, reversed(s), strict=True)) / sum(s), "wrong way round"),
        (lambda u, s: (u[0] * s[0] + u[1] * s[1]) / (s[0] + s[1]), "not for three"),
        (lambda u, s: 0.9, "shape"),
        (lambda u, s: torch.tensor([7.0, 7.0]), r"\[7.0, 7.0\]"),
    ],
)
def test_each_wrong_average_is_told_what_is_wrong_with_it(answer: Any, said: str) -> None:
    status, message = judge("00.q2", answer)
    assert status == "wrong"
    assert re.search(said, message), message


@pytest.mark.parametrize(
    "answer",
    [
        lambda u, s: sum(a * b for a, b in zip(u, s, strict=True)) / sum(s),
        lambda u, s: np.average([part.numpy() for part in u], axis=0, weights=s),
    ],
)
def test_any_right_way_to_average_is_accepted(answer: Any) -> None:
    assert judge("00.q2", answer)[0] == "right"


@pytest.mark.parametrize(("answer", "status", "said"), [
    (12, "right", "round 12"),
    (12.0, "right", "round 12"),
    (np.int64(12), "right", "round 12"),
    (torch.tensor(12), "right", "round 12"),
    (11, "wrong", "3,960 MB"),
    (11.1, "wrong", "whole"),
    (22, "wrong", "one direction"),
    (23, "wrong", "one direction"),
    (45, "wrong", "one hospital"),
    (89, "wrong", "one message"),
    (3, "wrong", "bytes already"),
    (13, "wrong", "4,680 MB"),
    (float("nan"), "wrong", "whole"),
    ("12", "wrong", "without quotation marks"),
    ("twelve", "wrong", "is text"),
    (True, "wrong", "no number"),
    ([12], "wrong", "single number"),
    (lambda: 12, "wrong", "is a function"),
])  # fmt: skip
def test_the_break_even_is_the_first_round_that_has_sent_more(answer: Any, status: str, said: str) -> None:
    found, message = judge("00.q3", answer)
    assert found == status and said in message, message


@pytest.mark.parametrize(("name", "answer"), [("00.q1", 16.3), ("00.q2", torch.tensor([0.9, 0.1]))])
def test_the_result_of_a_call_instead_of_the_function_is_met_by_name(name: str, answer: Any) -> None:
    status, message = judge(name, answer)
    assert status == "wrong" and "pass the function itself" in message


def test_megabytes_or_an_average_as_text_are_met_by_name() -> None:
    assert "is text" in judge("00.q1", lambda w, p, r: "16.3")[1]
    assert "is an update" in judge("00.q2", lambda u, s: "0.9, 0.1")[1]


def test_the_lesson_trains_at_the_rates_that_the_study_chose() -> None:
    (lesson,) = (ROOT / "lessons").glob("00_*.md")
    text = lesson.read_text(encoding="utf-8")
    for row in STUDY["rows"][:3]:
        (rate,) = re.findall(rf'"{row["way"]}": plans\.[^"]*?learning_rate=([\d.]+)', text)
        assert float(rate) == row["rate"], row["contender"]


def test_no_contender_of_the_study_was_tuned_at_the_edge_of_its_grid_or_on_fewer_than_three_seeds() -> None:
    for row in STUDY["rows"]:
        assert not row["at_edge"]
        assert all(len(tried["accuracy"]) >= 3 for tried in row["tried"])
        worst = {tried["rate"]: min(tried["accuracy"]) for tried in row["tried"]}
        assert max(worst, key=worst.__getitem__) == row["rate"]
    assert not set(STUDY["seeds"]) & set(STUDY["tuning_seeds"])


def test_the_axes_and_the_colours_of_the_owners_stay_put_while_the_knobs_turn() -> None:
    (owners,) = explored("00", data=data, train=data.load("mnist5k")[0])
    assert list(owners.controls) == ["owners", "alpha"]
    assert owners.unsteady() == []
    scales = {owners.fn(count, alpha)[0].axes[0].images[0].get_clim() for count in (2, 12) for alpha in (0.1, 100.0)}
    assert len(scales) == 1
