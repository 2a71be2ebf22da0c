import re
from typing import Any

import pytest

from course_lib.classroom import exercise


def judge(name: str, answer: Any) -> tuple[str, str]:
    outcome = exercise(name).judge(answer)
    return outcome.status, outcome.message


def untouched(weights, clients, participation, rounds): ...


def cohort(clients: int, share: float) -> int:
    return max(1, round(share * clients))


@pytest.mark.parametrize("name", ["07.q1", "07.q2"])
def test_an_untouched_answer_is_not_called_wrong(name: str) -> None:
    assert judge(name, ...)[0] == "untouched"
    assert judge(name, untouched)[0] == "untouched"


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (lambda w, k, c, r: 4 * w * cohort(k, c) * r / 1e6, "one direction"),
        (lambda w, k, c, r: 8 * w * cohort(k, c) * r, "in bytes"),
        (lambda w, k, c, r: 64 * w * cohort(k, c) * r / 1e6, "megabits"),
        (lambda w, k, c, r: 2 * w * cohort(k, c) * r / 1e6, "weight takes 4 bytes"),
        (lambda w, k, c, r: 8 * w * k * r / 1e6, "all clients"),
        (lambda w, k, c, r: 8 * w * r / 1e6, "one client"),
        (lambda w, k, c, r: 8 * w * cohort(k, c) / 1e6, "one round"),
        (lambda w, k, c, r: 8 * w * cohort(k, c) * r / 2**20, r"2\*\*20"),
        (lambda w, k, c, r: 8 * w * round(k * c) * r / 1e6, "C = 0, one client"),
        (lambda w, k, c, r: 8 * w * max(1, round(100 * c)) * r / 1e6, "all four arguments"),
        (lambda w, k, c, r: 8 * w * max(1, int(k * c)) * r / 1e6, "`round`, not `int`"),
        (lambda w, k, c, r: 1.0, "1.0 MB"),
    ],
)
def test_each_wrong_count_of_bytes_is_told_what_is_wrong_with_it(answer: Any, said: str) -> None:
    status, message = judge("07.q1", answer)
    assert status == "wrong"
    assert re.search(said, message), message


def test_the_right_count_of_bytes_is_set_beside_the_data() -> None:
    status, message = judge("07.q1", lambda w, k, c, r: 8 * w * cohort(k, c) * r / 1e6)
    assert status == "right" and "1,387 MB" in message


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (lambda table, k: min(table, key=table.get), "C = 1 needs the fewest rounds"),
        (lambda table, k: min(table, key=lambda c: table[c] * c * k), "no client"),
        (lambda table, k: 0.0, "850"),
        (
            lambda table, k: min(table, key=lambda c: table[c] * max(10, c * k)),
            "one client update, not none and not ten",
        ),
        (lambda table, k: 0.2, "Multiply each"),
        (lambda table, k: min(table[c] * cohort(k, c) for c in table), "Return a C"),
        (lambda table, k: min(table, key=lambda c: table[c] * cohort(100, c)), "Did you use `clients`"),
        (
            lambda table, k: min(table, key=lambda c: table[c] * cohort(k, c)) if 1 in table and 0.2 in table else 0.1,
            "850",
        ),
    ],
)
def test_each_wrong_choice_of_participation_is_told_what_is_wrong_with_it(answer: Any, said: str) -> None:
    status, message = judge("07.q2", answer)
    assert status == "wrong"
    assert re.search(said, message), message


def test_the_fewest_client_updates_in_the_paper_are_with_one_client_a_round() -> None:
    status, message = judge("07.q2", lambda table, k: min(table, key=lambda c: table[c] * cohort(k, c)))
    assert status == "right" and "316 updates" in message
