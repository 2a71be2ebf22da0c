"""What an exercise says to an answer that is untouched, wrong, broken or right."""

import re
import runpy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from course_lib import classroom
from course_lib.classroom import Exercise, Wrong, exercises

HINTS = ["Count twice.", "Then divide."]


def check_half(half: Callable[[float], float]) -> str:
    if half(3) == 1:
        raise Wrong("Half of 3 is not whole: use `/`, not `//`.")
    assert half(3) == 1.5, f"half of 3 came out as {half(3)}"
    return "Half of 3 is 1.5."


HALF = Exercise("Half", check_half, hints=HINTS, solution="    return x / 2\n")


def number(check: Callable[[Any], str | None]) -> Exercise:
    return Exercise("A number", check, hints=HINTS, solution="answer = 3")


def said(exercise: Exercise, *answers: Any) -> tuple[str, str]:
    outcome = exercise.judge(*answers)
    return outcome.status, outcome.message


def untouched(x: float) -> Any: ...


def untouched_with_docstring(x: float) -> Any:
    """Return half of x."""


def untouched_in_the_middle(x: float) -> Any:
    result: Any = ...
    return result + 1


def untouched_return(x: float) -> Any:
    return ...


def raises(x: float) -> float:
    twice = 2 * x
    return twice / 0


def forgets_to_return(x: float) -> Any:
    print(x / 2)


def slices(x: float) -> float:
    return torch.tensor([[x / 2]])[..., 0].item()


@pytest.mark.parametrize(
    "answer",
    [
        ...,
        untouched,
        untouched_with_docstring,
        untouched_in_the_middle,
        untouched_return,
        lambda x: ...,
        lambda x: Ellipsis,
    ],
)
def test_an_untouched_answer_is_not_attempted_rather_than_wrong(answer: Any) -> None:
    status, message = said(HALF, answer)
    assert status == "untouched" and message.startswith("Not attempted yet")


@pytest.mark.parametrize("answer", [[1, ...], (..., 2), {"a": ...}])
def test_an_answer_with_one_part_untouched_is_not_attempted(answer: Any) -> None:
    assert said(number(lambda parts: None), answer)[0] == "untouched"


def test_a_function_without_source_is_still_seen_to_be_untouched(tmp_path: Path) -> None:
    (tmp_path / "typed.py").write_text("def stub(x): ...\ndef half(x): return x / 2")
    typed = runpy.run_path(str(tmp_path / "typed.py"))
    (tmp_path / "typed.py").unlink()
    assert said(HALF, typed["stub"])[0] == "untouched"
    assert said(HALF, typed["half"])[0] == "right"


def test_an_ellipsis_inside_an_index_is_no_stub() -> None:
    assert said(HALF, slices)[0] == "right"


def test_a_right_answer_is_praised_with_what_the_checker_adds() -> None:
    assert said(HALF, lambda x: x / 2) == ("right", "Correct. Half of 3 is 1.5.")


def test_the_praise_stands_alone_when_the_checker_adds_nothing() -> None:
    assert said(number(lambda given: None), 3) == ("right", "Correct.")


def test_a_wrong_answer_is_told_what_is_wrong_with_it() -> None:
    assert said(HALF, lambda x: x // 2) == ("wrong", "Not yet. Half of 3 is not whole: use `/`, not `//`.")


def test_a_failed_assertion_of_the_checker_is_a_wrong_answer_with_its_message() -> None:
    # pytest rewrites the message of an assertion in a test file, so only its beginning is ours.
    status, message = said(HALF, lambda x: x + 1)
    assert status == "wrong" and message.startswith("Not yet. half of 3 came out as 4")


def test_a_bare_assertion_still_says_that_the_answer_is_wrong() -> None:
    def check(given: int) -> None:
        raise AssertionError

    assert said(number(check), 1) == ("wrong", "Not yet. That is not the answer.")


def test_an_error_inside_the_learners_function_is_shown_with_its_line_and_nothing_crashes() -> None:
    status, message = said(HALF, raises)
    assert status == "wrong"
    assert message == (
        "Not yet. Your function `raises` raised ZeroDivisionError: division by zero. "
        "It was in line 3, `return twice / 0`."
    )


def test_an_assertion_inside_the_learners_function_is_not_taken_for_the_checkers() -> None:
    def careful(x: float) -> float:
        raise AssertionError("x must be even")

    assert "Your function `careful` raised AssertionError: x must be even" in said(HALF, careful)[1]


def test_a_function_with_the_wrong_number_of_parameters_is_told_how_it_is_called() -> None:
    status, message = said(HALF, lambda: 1)
    assert status == "wrong" and "takes 0 positional arguments but 1 was given" in message


def test_a_function_without_return_is_told_to_return_unless_it_works_in_place() -> None:
    assert "returned None: end it with `return`" in said(HALF, forgets_to_return)[1]

    def check_clear(clear: Callable[[list[int]], None]) -> None:
        numbers = [1]
        clear(numbers)
        assert not numbers

    in_place = Exercise("Clear", check_clear, hints=HINTS, solution="numbers.clear()", in_place=True)
    assert said(in_place, lambda numbers: numbers.clear())[0] == "right"


def test_an_answer_of_a_strange_kind_gets_a_sentence_instead_of_a_crash() -> None:
    def check(given: float) -> None:
        if given + 1 != 4:
            raise Wrong("No.")

    status, message = said(number(check), "three")
    assert status == "wrong"
    assert "could make nothing of your answer `'three'` (str): TypeError" in message


def test_answers_can_be_given_by_name() -> None:
    def check(*, width: int, height: int) -> None:
        if (width, height) != (2, 3):
            raise Wrong("Swap them.")

    exercise = Exercise("Box", check, hints=HINTS, solution="2, 3")
    assert exercise.judge(width=2, height=3).status == "right"
    assert exercise.judge(width=3, height=2).message == "Not yet. Swap them."
    assert exercise.judge(width=2, height=...).status == "untouched"


def test_check_shows_a_symbol_with_the_words(capsys: pytest.CaptureFixture[str]) -> None:
    for answer in (..., lambda x: x // 2, lambda x: x / 2):
        HALF.check(answer)
    first, second, third = capsys.readouterr().out.splitlines()
    assert (first[0], second[0], third[0]) == ("○", "✗", "✓")


def test_hints_come_one_after_another_and_the_last_one_stays(capsys: pytest.CaptureFixture[str]) -> None:
    exercise = number(lambda given: None)
    for _ in range(3):
        exercise.hint()
    assert capsys.readouterr().out.splitlines() == [
        "→ Hint 1 of 2: Count twice.", "→ Hint 2 of 2: Then divide.", "→ Hint 2 of 2: Then divide.",
    ]  # fmt: skip


def test_the_solution_is_shown_without_the_indentation_it_has_in_the_lesson(capsys: pytest.CaptureFixture[str]) -> None:
    HALF.solution()
    assert capsys.readouterr().out == "return x / 2\n"


@pytest.mark.parametrize("answer", [..., lambda x: x // 2])
def test_where_solutions_are_tested_anything_but_right_raises(answer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COURSE_STRICT_EXERCISES", "1")
    HALF.check(lambda x: x / 2)
    with pytest.raises(AssertionError, match="Half: Not"):
        HALF.check(answer)


def test_an_exercise_without_hints_or_solution_is_refused() -> None:
    with pytest.raises(ValueError, match="'Half' needs at least one hint and a solution"):
        Exercise("Half", check_half, hints=[], solution="x / 2")
    with pytest.raises(ValueError, match="needs at least one hint and a solution"):
        Exercise("Half", check_half, hints=HINTS, solution=" ")


def test_an_exercise_is_found_by_lesson_and_name() -> None:
    assert classroom.exercise("00.q1") is exercises.exercises("00")["q1"]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("00.q99", "lesson 00 has no exercise 'q99'; it has: q1, q2"),
        ("99.q1", "no exercises for lesson '99'"),
        ("q1", "no exercises for lesson 'q1'; write '00' for lesson 00"),
    ],
)
def test_an_unknown_exercise_is_named_with_what_there_is(name: str, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        classroom.exercise(name)


class Shy:
    """A learner's own class that is not finished."""

    def __repr__(self) -> str:
        raise RuntimeError("not written yet")


def leaves(x: float) -> float:
    raise SystemExit(3)


def test_an_answer_that_would_end_the_notebook_or_cannot_be_shown_gets_a_sentence() -> None:
    status, message = said(HALF, leaves)
    assert status == "wrong" and "raised SystemExit: `exit()` would end the notebook; use `return`" in message
    status, message = said(number(lambda answer: answer + 1), Shy())
    assert status == "wrong" and "of type `Shy`, whose `__repr__` raises an error" in message


@pytest.mark.parametrize(
    ("kind", "answer", "message"),
    [
        (classroom.answers.number, "8", "`'8'` (str) is text: write the number without quotation marks"),
        (classroom.answers.number, True, "`True` is no number"), (classroom.answers.number, said, "is a function"),
        (classroom.answers.number, [8], "a single number belongs here"),
        (classroom.answers.truth, "False", "any text counts as true"), (classroom.answers.truth, 1, "neither `True` nor"),
        (classroom.answers.function, 1.5, "`1.5` (float) is no function: pass the function itself"),
    ],
)  # fmt: skip
def test_an_answer_of_the_wrong_kind_is_met_by_name(kind: Callable[[Any], Any], answer: Any, message: str) -> None:
    with pytest.raises(Wrong, match=re.escape(message)):
        kind(answer)


def test_single_values_of_numpy_and_torch_are_taken_for_plain_ones() -> None:
    assert [classroom.answers.number(one) for one in (8, np.int64(8), torch.tensor(8.0), 8.0)] == [8] * 4
    assert [classroom.answers.truth(one) for one in (False, np.False_, torch.tensor(False))] == [False] * 3


def test_a_wrong_and_an_untouched_answer_are_told_where_to_ask_for_a_hint(capsys: pytest.CaptureFixture[str]) -> None:
    for answer in (..., "surely wrong"):
        classroom.exercise("00.q1").check(answer)
        assert 'type `exercise("00.q1").hint()` in a new cell' in capsys.readouterr().out
