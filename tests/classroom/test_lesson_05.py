"""The checkers of lesson 05, and what its explorer shows."""

import re
from collections.abc import Callable
from math import ceil
from typing import Any

import pytest

from course_lib import classroom
from course_lib.classroom import exercise, plots
from course_lib.cluster.recorder import Span
from course_lib.distributed import pipeline
from tests.classroom.explored import explored

EXERCISES = ["05.q1", "05.q2", "05.q3"]


def judge(name: str, answer: Any) -> tuple[str, str]:
    outcome = exercise(name).judge(answer)
    return outcome.status, outcome.message


def untouched(*numbers: Any) -> Any: ...


@pytest.mark.parametrize("name", EXERCISES)
def test_an_untouched_answer_is_not_called_wrong(name: str) -> None:
    assert judge(name, ...)[0] == "untouched"
    assert judge(name, untouched)[0] == "untouched"


@pytest.mark.parametrize("name", EXERCISES)
def test_a_call_in_place_of_the_function_is_named(name: str) -> None:
    assert "pass the function itself" in judge(name, 0.5)[1]


@pytest.mark.parametrize(
    ("name", "arguments"),
    [("05.q1", "weights, workers, stage"), ("05.q2", "part, bias, rank, workers"), ("05.q3", "stages, limit")],
)
def test_the_solution_that_is_shown_passes_its_own_check(name: str, arguments: str) -> None:
    scope: dict[str, Any] = {}
    exec(f"def answer({arguments}):\n{exercise(name).code}", scope)
    assert judge(name, scope["answer"])[0] == "right"


def step_by_step(weights: int, workers: int, stage: int) -> float:
    own = {"weights": 4.0 * weights, "gradient": 4.0 * weights, "adam": 8.0 * weights}
    for name in ["adam", "gradient", "weights"][:stage]:
        own[name] /= workers
    return sum(own.values())


@pytest.mark.parametrize(
    "answer",
    [
        step_by_step,
        lambda d, n, s: [16 * d, 8 * d + 8 * d / n, 4 * d + 12 * d / n, 16 * d / n][s],
        lambda d, n, s: d * (16 / n if s == 3 else 4 + 12 / n if s == 2 else 8 + 8 / n if s else 16),
    ],
)
def test_bytes_may_be_counted_in_any_way(answer: Callable[..., float]) -> None:
    assert judge("05.q1", answer)[0] == "right"


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (lambda d, n, s: 16 * d / n, "everything dealt out"),  # the misconception: every stage halves everything
        (lambda d, n, s: 16 * d / n if s else 16 * d, "everything dealt out. Only stage 3"),
        (lambda d, n, s: 16 * d, "everything in full"),
        (lambda d, n, s: step_by_step(d, n, s) * n, "all workers hold together"),
        (lambda d, n, s: step_by_step(d, n, s) / 4, "number of values"),
        (lambda d, n, s: [12 * d, 8 * d + 4 * d / n, 4 * d + 8 * d / n, 12 * d / n][s], "one moment"),
        (lambda d, n, s: [16 * d, 12 * d + 4 * d / n, 8 * d + 8 * d / n, 16 * d / n][s], "other way round"),
        (lambda d, n, s: 8 * d / n if s else 16 * d, "Adam's state alone"),
        (lambda d, n, s: step_by_step(d, n, max(0, s - 1)), "everything in full"),
        (lambda d, n, s: step_by_step(d, n, s if s < 3 else 2), "stage before"),
        (lambda d, n, s: [16 * d, 8 * d, 4 * d, 0][s], "own part of it counts"),
        (lambda d, n, s: 5.0, "which of them does this stage divide"),
        (lambda d, n, s: step_by_step(d, n, s) if n > 1 else 0, "A worker alone holds everything"),
    ],
)
def test_each_wrong_number_of_bytes_is_told_what_it_is(answer: Callable[..., float], said: str) -> None:
    status, message = judge("05.q1", answer)
    assert status == "wrong" and said in message, message


@pytest.mark.parametrize(
    "answer",
    [
        lambda part, bias, rank, workers: part + bias / workers,
        lambda part, bias, rank, workers: part + bias if rank == 0 else part,
        lambda part, bias, rank, workers: part + bias * (rank == workers - 1),
    ],
)
def test_a_bias_may_be_shared_or_left_to_any_one_worker(answer: Callable[..., float]) -> None:
    assert judge("05.q2", answer)[0] == "right"


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (lambda part, bias, rank, workers: part + bias, r"holds it 4 times"),  # the lesson's own misconception
        (lambda part, bias, rank, workers: part, "Nobody added"),
        (lambda part, bias, rank, workers: (part + bias) / workers, "not averaged"),
        (lambda part, bias, rank, workers: part / workers + bias / workers, "not averaged"),
        (lambda part, bias, rank, workers: part + bias if rank else part, "All workers but one"),
        (lambda part, bias, rank, workers: part + bias / workers if rank == 0 else part, "a share of the bias"),
        (lambda part, bias, rank, workers: 3.0, "Every product must be in it once"),
        (lambda part, bias, rank, workers: part + bias if rank == 1 else part, "1 workers"),
    ],
)
def test_each_wrong_contribution_is_told_what_the_sum_holds(answer: Callable[..., float], said: str) -> None:
    status, message = judge("05.q2", answer)
    assert status == "wrong" and re.search(said, message), message


@pytest.mark.parametrize(
    "answer",
    [
        lambda p, limit: max(1, ceil((p - 1) / limit - (p - 1) - 1e-9)),
        lambda p, limit: max(1, ceil((p - 1) * (1 - limit) / limit - 1e-9)),
        lambda p, limit: max(1, ceil((p - 1) * (1 - limit) / limit)),
        lambda p, limit: max(1, ceil((p - 1) / limit - p + 1)),
        lambda p, limit: next(m for m in range(1, 1000) if (p - 1) / (m + p - 1) <= limit),
        lambda p, limit: next(m for m in range(1, 1000) if pipeline.bubble(p, m) <= limit + 1e-9),
    ],
)
def test_microbatches_may_be_computed_or_searched(answer: Callable[..., int]) -> None:
    assert judge("05.q3", answer)[0] == "right"


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (lambda p, limit: ceil((p - 1) / limit), "whole length"),
        (lambda p, limit: (p - 1) / limit - (p - 1) + 0.5, "round up"),
        (lambda p, limit: max(1, int((p - 1) / limit - (p - 1)) - 1), "just too few"),
        (lambda p, limit: max(1, ceil((p - 1) / limit - 2 * (p - 1) - 1e-9)), "as if the time were m"),
        (lambda p, limit: 1000, "fewer are enough"),
        (lambda p, limit: 1, r"Solve \(p - 1\)"),
        (lambda p, limit: max(0, ceil((p - 1) / limit - (p - 1) - 1e-9)), "no bubble"),
    ],
)
def test_each_wrong_number_of_microbatches_is_told_what_it_leaves(answer: Callable[..., float], said: str) -> None:
    status, message = judge("05.q3", answer)
    assert status == "wrong" and re.search(said, message), message


def recorded(microbatches: int, schedule: pipeline.Schedule) -> list[tuple[list[list[Span]], int]]:
    """Five steps of two stages with pieces of a second each, as the lesson records them."""
    stages = []
    for stage in range(2):
        spans: list[Span] = [
            (way, 2.0 * k + stage, 2.0 * k + stage + 1) for k, (way, _) in enumerate(schedule(stage, 2, microbatches))
        ]
        stages.append(([list(spans) for _ in range(5)], microbatches))
    return stages


def test_the_axes_stay_put_while_microbatches_and_schedule_move() -> None:
    schedules = {"GPipe": pipeline.gpipe, "1F1B": pipeline.one_forward_one_backward}
    counts = (1, 2, 4, 8, 16)
    runs = {(m, name): recorded(m, schedule) for m in counts for name, schedule in schedules.items()}

    def idle(m: int, name: str) -> list[float]:
        (first, _), (second, _) = runs[m, name]
        return [pipeline.measured_bubble(both) for both in zip(first, second, strict=True)]

    (step,) = explored("05", plots=plots, pipeline=pipeline, SCHEDULES=schedules, runs=runs, idle=idle, counts=counts)
    assert list(step.controls) == ["microbatches", "schedule"]
    assert step.unsteady() == []
    shown = step.fn(microbatches=4, schedule="1F1B")
    assert "formula 20%" in shown.summary and "stage 1" in shown.summary


def test_a_pipelines_picture_says_what_each_stage_did_and_refuses_to_show_nothing() -> None:
    first = [plots.Box("forward", 0, 5.0, 6.0), plots.Box("backward", 0, 8.0, 9.0)]
    second = [plots.Box("forward", 0, 6.0, 7.0), plots.Box("backward", 0, 7.0, 8.0)]
    drawn = plots.pipeline([first, second], "Two stages")
    assert "stage 0: 25% forward, 25% backward, 50% idle" in drawn.summary and drawn.summary.startswith("Two stages.")
    (axes,) = drawn.figure.axes
    assert axes.get_xlim() == (0, 100)
    assert [text.get_text() for text in axes.texts] == ["1"] * 4
    with pytest.raises(ValueError, match="at least one box"):
        plots.pipeline([[], []])


def test_the_lessons_figures_are_those_of_the_stored_study() -> None:
    rows = classroom.stored("sharded")["workers"]
    assert 0.26 < rows["4"]["3"]["over_unsharded"] <= 0.35  # "a little more" than a quarter
    for by_stage in rows.values():
        assert by_stage["1"]["sent"] == by_stage["2"]["sent"] == by_stage["none"]["sent"]
        assert by_stage["3"]["sent"] == pytest.approx(1.5 * by_stage["none"]["sent"])
        assert by_stage["fully_shard"]["on_the_wire"] > 1.2 * by_stage["3"]["on_the_wire"]
