import re
from math import inf
from typing import Any

import numpy as np
import pytest
import torch

from course_lib.classroom import exercise
from course_lib.compression import Quantise


def judge(name: str, answer: Any) -> tuple[str, str]:
    outcome = exercise(name).judge(answer)
    return outcome.status, outcome.message


def untouched_break_even(weights, round_count, clients_per_round, bytes_an_example): ...
def untouched_goes_on(arrivals, wanted): ...
def untouched_8_bits(update): ...


@pytest.mark.parametrize(
    ("name", "answer"), [("09.q1", untouched_break_even), ("09.q2", untouched_goes_on), ("09.q3", untouched_8_bits)]
)
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


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (lambda a, n: max(a), "wait for everybody"),
        (lambda a, n: sorted(a)[n] if n < len(a) else inf, "fourth answer"),
        (lambda a, n: min(a), "first answer"),
        (lambda a, n: sorted(a)[n - 2], "second answer"),
        (lambda a, n: max(x for x in a if x < inf), "slowest that answers at all"),
        (lambda a, n: sum(sorted(a)[:n]), "you return 3.5"),
        (lambda a, n: sorted(x for x in a if x < inf)[:n][-1], "that is `inf`"),
        (lambda a, n: sorted(a)[min(n, len(a)) - 1], "wait for ever"),
        (lambda a, n: sorted(a)[n - 1], "IndexError"),
    ],
)
def test_each_wrong_moment_is_told_what_is_wrong_with_it(answer: Any, said: str) -> None:
    status, message = judge("09.q2", answer)
    assert status == "wrong"
    assert re.search(said, message), message


def test_the_right_moment_may_be_found_either_way() -> None:
    for answer in (
        lambda a, n: sorted(a)[n - 1] if n <= len(a) else inf,
        lambda a, n: min((x for x in a if sum(y <= x for y in a) >= n), default=inf),
    ):
        status, message = judge("09.q2", answer)
        assert status == "right" and "Ask more" in message, message


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
    status, message = judge("09.q3", answer)
    assert status == "wrong"
    assert re.search(said, message), message


def test_the_right_rounding_is_what_the_library_does() -> None:
    assert judge("09.q3", eight_bits)[0] == "right"
    update = torch.randn(1000, generator=torch.Generator().manual_seed(0))
    packed, _ = Quantise().pack(update)
    unpacked = Quantise().unpack(packed, len(update)).numpy()
    assert np.allclose(unpacked, eight_bits(update.numpy()), rtol=0, atol=1e-6)
