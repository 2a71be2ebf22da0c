import re
from typing import Any

import numpy as np
import pytest
import torch

from course_lib.classroom import exercise, plots
from course_lib.compression import Quantise
from course_lib.federated.participation import LAPTOP, OLD_PHONE, PHONE, Devices
from tests.classroom.explored import explored
from tests.classroom.steady import moved


def judge(name: str, answer: Any) -> tuple[str, str]:
    outcome = exercise(name).judge(answer)
    return outcome.status, outcome.message


def untouched_break_even(weights, round_count, clients_per_round, bytes_an_example): ...
def untouched_8_bits(update): ...


@pytest.mark.parametrize(("name", "answer"), [("09.q1", untouched_break_even), ("09.q2", untouched_8_bits)])
def test_an_untouched_answer_is_not_called_wrong(name: str, answer: Any) -> None:
    assert judge(name, ...)[0] == "untouched"
    assert judge(name, answer)[0] == "untouched"


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (lambda w, r, c, b: 4 * w * r * c / b, "one direction"),
        (lambda w, r, c, b: 2 * w * r * c / b, "a byte a weight"),
        (lambda w, r, c, b: w * r * c / b, "weights, not bytes"),
        (lambda w, r, c, b: 8 * w * r * c, "Divide by the bytes of an example"),
        (lambda w, r, c, b: 8 * w * r / b, "one client"),
        (lambda w, r, c, b: 8 * w * c / b, "one round"),
        (lambda w, r, c, b: b / (8 * w * r * c), "upside down"),
        (lambda w, r, c, b: 17, "you return 17"),
        (lambda w, r, c, b: 8 * w * r * c / b if b == 200 else 0, "Right for one run"),
        (lambda w, r, c, b: w / 0, "ZeroDivisionError"),
    ],
)
def test_each_wrong_break_even_is_told_what_is_wrong_with_it(answer: Any, said: str) -> None:
    status, message = judge("09.q1", answer)
    assert status == "wrong"
    assert re.search(said, message), message


@pytest.mark.parametrize(
    "answer", [lambda w, r, c, b: 8 * w * r * c / b, lambda w, r, c, b: -(-8 * w * r * c // b)], ids=["exact", "whole"]
)
def test_the_break_even_may_be_rounded_up_to_whole_examples(answer: Any) -> None:
    status, message = judge("09.q1", answer)
    assert status == "right" and "64,082" in message, message


def eight_bits(update: np.ndarray, rounded: Any = np.round, levels: int = 127, size: Any = np.abs) -> np.ndarray:
    step = size(update).max() / levels
    return rounded(update / step) * step if step > 0 else update


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (lambda u: np.round(u / (np.abs(u).max() / 127)), "whole numbers that travel"),
        (lambda u: eight_bits(u, np.trunc), "cut off"),
        (lambda u: eight_bits(u, np.floor), "rounded down"),
        (lambda u: u, "Nothing is rounded"),
        (lambda u: eight_bits(u, size=np.asarray), "largest \\*\\*size\\*\\*"),
        (lambda u: eight_bits(u, levels=255), "Divide by 127"),
        (lambda u: eight_bits(u, levels=128), "not by 128"),
        (lambda u: u[:2], r"shape \(2,\)"),
        (lambda u: 0 * u + 3, "the server unpacks"),
        (lambda u: np.round(u / (np.abs(u).max() / 127)) * (np.abs(u).max() / 127), "zeros should stay one"),
        (lambda u: u @ u[:2], "ValueError"),
    ],
)
def test_each_wrong_rounding_is_told_what_is_wrong_with_it(answer: Any, said: str) -> None:
    status, message = judge("09.q2", answer)
    assert status == "wrong"
    assert re.search(said, message), message


def test_the_right_rounding_is_what_the_library_does() -> None:
    assert judge("09.q2", eight_bits)[0] == "right"
    update = torch.randn(1000, generator=torch.Generator().manual_seed(0))
    packed, _ = Quantise().pack(update)
    unpacked = Quantise().unpack(packed, len(update)).numpy()
    assert np.allclose(unpacked, eight_bits(update.numpy()), rtol=0, atol=1e-6)


def test_the_axis_of_the_answers_stays_put_while_the_knobs_turn_and_they_have_their_units() -> None:
    (who,) = explored(
        "09", plots=plots, Devices=Devices, Quantise=Quantise, message=4 * 50_890,
        devices=[LAPTOP, PHONE] * 25 + [OLD_PHONE] * 50, LAPTOP=LAPTOP, PHONE=PHONE, OLD_PHONE=OLD_PHONE,
    )  # fmt: skip
    assert who.units == {"deadline": "s", "over_selection": "times", "local_passes": "epochs"}
    extremes = [
        {"deadline": 0.5, "over_selection": 1.0, "local_passes": 10, "partial_work": False, "eight_bits_up": False},
        {"deadline": 5.0, "over_selection": 1.0, "local_passes": 1, "partial_work": True, "eight_bits_up": True},
        {"deadline": 5.0, "over_selection": 3.0, "local_passes": 1, "partial_work": True, "eight_bits_up": True},
    ]
    assert moved(who.fn, *extremes) == []
    for each in extremes:
        drawn = who.fn(**each).figure.axes[0]
        assert all(bar.get_width() <= drawn.get_xlim()[1] for bar in drawn.patches)
