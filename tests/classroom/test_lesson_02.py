"""The checkers of lesson 02: right, untouched, and what each likely slip is told."""

from collections.abc import Callable
from typing import Any

import pytest

from course_lib.classroom import plots
from course_lib.classroom.lessons.lesson_02 import q1, q2, q3, speed_up
from course_lib.distributed import scaling
from tests.classroom.explored import explored


def _stub(*_: Any) -> Any: ...


@pytest.mark.parametrize("exercise", [q1, q2, q3])
def test_an_untouched_exercise_counts_as_not_attempted(exercise: Any) -> None:
    assert exercise.judge(_stub).status == "untouched"
    assert exercise.judge(...).status == "untouched"


@pytest.mark.parametrize(
    "answer",
    [
        lambda r, s, n: ((r + s) % n, (r + s + 1) % n),
        lambda r, s, n: [(r + s) % n, (r + s + 1) % n],
        lambda r, s, n: ((r + s - 1) % n, (r + s) % n),  # begins with another chunk, which is as good
    ],
)
def test_any_schedule_that_leaves_every_sum_with_everybody_is_right(answer: Callable[..., Any]) -> None:
    assert q1.judge(answer).status == "right"


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (lambda r, s, n: ((r - s) % n, (r - s - 1) % n), "ring to the right"),
        (lambda r, s, n: (r + s, r + s + 1), "% workers"),
        (lambda r, s, n: ((r + s) % n, (r + s) % n), "the same one"),
        (lambda r, s, n: ((r + s) % n, (r + s + 2) % n), "different parts"),
        (lambda r, s, n: (r, (r + 1) % n), "made of"),
        (lambda r, s, n: ((r - s) % n, (r - s + 1) % n), "made of"),
        (lambda r, s, n: (r + s) % n, "two chunk numbers"),
        (lambda r, s, n: ((r + s) % n / 1, (r + s + 1) % n / 1), "whole"),
        (lambda r, s, n: ((r + s) % n, (r + s + 1) // (n - n)), "ZeroDivisionError"),
    ],
)
def test_a_wrong_schedule_is_told_where_it_goes_wrong(answer: Callable[..., Any], told: str) -> None:
    outcome = q1.judge(answer)
    assert outcome.status == "wrong"
    assert told in outcome.message


@pytest.mark.parametrize(
    "answer", [lambda w, n: 8 * w * (n - 1) / n, lambda w, n: 8 * w * (1 - 1 / n), lambda w, n: 8 * (n - 1) * (w / n)]
)
def test_the_rings_bytes_may_be_computed_in_any_way(answer: Callable[..., Any]) -> None:
    assert q2.judge(answer).status == "right"


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (lambda w, n: 8 * w * (n - 1), "all workers"),
        (lambda w, n: 4 * w * (n - 1) / n, "one trip"),
        (lambda w, n: 2 * w * (n - 1) / n, "4 bytes"),
        (lambda w, n: 64 * w * (n - 1) / n, "bits"),
        (lambda w, n: 8 * w * (n - 1) / n / 1e6, "megabytes"),
        (lambda w, n: 8 * w, "twice the gradient"),
        (lambda w, n: 4 * w * (n - 1), "root"),
        (lambda w, n: 8 * w * n / (n - 1), "n - 1 steps"),
        (lambda w, n: 4 * w / n, "one chunk"),
        (lambda w, n: 6_000_000 if n == 4 else 320_000 if n == 3 else 0, "Count"),
        (lambda w, n: 8 * w * (n - 1) / n + (n == 1), "alone"),
        (lambda w, n: w / 0, "ZeroDivisionError"),
        (lambda w, n: "many", "is text"),
    ],
)
def test_a_wrong_number_of_bytes_is_told_what_it_is(answer: Callable[..., Any], told: str) -> None:
    outcome = q2.judge(answer)
    assert outcome.status == "wrong"
    assert told in outcome.message


@pytest.mark.parametrize(
    "answer", [lambda n: min(0.05 * n, 0.8), lambda n: 0.05 * n if n < 16 else 0.8, lambda n: 0.05 * min(n, 16)]
)
def test_the_limited_linear_rule_may_be_written_in_any_way(answer: Callable[..., Any]) -> None:
    assert q3.judge(answer).status == "right"


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (lambda n: 0.05 * n, "breaks down"),
        (lambda n: 0.05, "grow with the batch"),
        (lambda n: min(0.05 * n**0.5, 0.8), "square-root"),
        (lambda n: 0.05 / n, "shrinks"),
        (lambda n: 0.05 * 25 * n, "25 times too high"),
        (lambda n: 0.05 * n / 25, "25 times too low"),
        (lambda n: max(0.05 * n, 0.8), "smaller of the two"),
        (lambda n: min(0.05 * n, 0.4), "too low"),
        (lambda n: 0.1 * n, "yours is 0.1"),
        (lambda n: [0.05], "is no number"),
    ],
)
def test_a_wrong_learning_rate_is_told_what_is_wrong_with_it(answer: Callable[..., Any], told: str) -> None:
    outcome = q3.judge(answer)
    assert outcome.status == "wrong"
    assert told in outcome.message


@pytest.mark.parametrize("exercise", [q1, q2, q3])
def test_the_solution_that_is_shown_passes_its_own_check(exercise: Any) -> None:
    arguments = {q1: "rank, step, workers", q2: "weights, workers", q3: "workers"}[exercise]
    scope: dict[str, Any] = {}
    exec(f"def answer({arguments}):\n{exercise.code}", scope)
    assert exercise.judge(scope["answer"]).status == "right"


@pytest.mark.parametrize("exercise", [q1, q2, q3])
def test_a_call_in_place_of_the_function_is_named(exercise: Any) -> None:
    assert "pass the function itself" in exercise.judge(0.4).message


@pytest.mark.parametrize(("exercise", "answer"), [(q2, lambda w, n: "6e6"), (q3, lambda n: "0.05")])
def test_a_number_returned_as_text_is_named(exercise: Any, answer: Callable[..., Any]) -> None:
    assert "without quotation marks" in exercise.judge(answer).message


def test_the_ring_and_the_axes_stay_where_they_are_while_controls_move() -> None:
    alone = [1.0, 1.1, 1.2, 1.3, 1.4]
    points = {n: [0.1 + one / n for one in alone] for n in (1, 2)}
    law = scaling.amdahl(*zip(*((n, one) for n, own in points.items() for one in own), strict=True))
    networks = {"here": (float("inf"), 0.0), "this computer": (float("inf"), 0.0), "home": (5e6, 2e-2)}
    found = explored("02", plots=plots, law=law, points=points, networks=networks, speed_up=speed_up)
    assert [list(each.controls) for each in found] == [["workers", "step"], ["network", "images", "overlap"]]
    for each in found:
        assert each.unsteady() == [], each.fn.__name__


def test_a_slow_network_eats_the_speed_up_and_overlap_gives_some_of_it_back() -> None:
    law = scaling.amdahl([1, 1, 1, 2, 2, 2], [1.0, 1.01, 0.99, 0.5, 0.51, 0.49])  # nearly all of it is shared
    fast, slow = (float("inf"), 0.0), (1e6, 0.0)
    assert speed_up(law, 4, 1.0, fast, 1e6, 0.0).mean == pytest.approx(4, rel=0.05)
    # A ring of four sends 1.5 MB: 1.5 seconds beside a quarter of a second of computing.
    assert speed_up(law, 4, 1.0, slow, 1e6, 0.0).mean == pytest.approx(1 / 1.75, rel=0.05)
    assert speed_up(law, 4, 1.0, slow, 1e6, 1.0).mean == pytest.approx(1 / 1.5, rel=0.05)
    assert speed_up(law, 1, 1.0, slow, 1e6, 0.0).mean == pytest.approx(1)


def test_where_no_law_fits_there_is_nothing_to_extrapolate() -> None:
    found = explored("02", plots=plots, law=None, points={}, networks={"this computer": ()}, speed_up=speed_up)
    assert [list(each.controls) for each in found] == [["workers", "step"]]
