"""Exercises that check themselves: `check`, `hint`, `solution`.

A lesson's exercises are declared in `course_lib/classroom/lessons/lesson_NN.py`, where tests can reach them.
"""

import functools
import importlib
import os
import textwrap
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from types import EllipsisType, FunctionType, ModuleType
from typing import Any, Literal

from course_lib.classroom import cards
from course_lib.classroom.attempts import Raised, has_stub, is_untouched, told, watched

# Set to 1 when the solutions themselves are run: anything but a right answer then raises.
STRICT = "COURSE_STRICT_EXERCISES"
UNTOUCHED = "Not attempted yet: put your answer in place of the `...`, then run this cell again."

Status = Literal["right", "wrong", "untouched"]
_CARDS: dict[Status, str] = {"right": "right", "wrong": "wrong", "untouched": "waiting"}


class Wrong(Exception):
    """Raised by a checker for a wrong answer; its message tells the learner what is wrong with it."""


@dataclass(frozen=True)
class Outcome:
    """What came of one attempt."""

    status: Status
    message: str


class Exercise:
    """One exercise.

    `check`: called with the learner's answers; raises Wrong (or AssertionError) with what is wrong, returns None or a
    sentence that is added to the praise. Learners' functions arrive wrapped, so that an error inside one is told apart from
    an error of the checker. `in_place`: the learner's function works on its arguments and returns nothing.
    `solution`: the code that goes between the solution marks of the lesson, word for word.
    """

    def __init__(
        self, title: str, check: Callable[..., str | None], *, hints: Sequence[str], solution: str,
        in_place: bool = False,
    ) -> None:  # fmt: skip
        if not hints or not solution.strip():
            raise ValueError(f"the exercise {title!r} needs at least one hint and a solution")
        self.title, self.hints, self.code = title, tuple(hints), solution.strip("\n")
        self.name = ""  # such as "00.q1", once `exercise` has found it
        self._check, self._in_place, self._hints_given = check, in_place, 0

    def judge(self, *answers: Any, **named: Any) -> Outcome:
        """Return what there is to say about the answers; never raises for any answer."""
        watch = functools.partial(watched, in_place=self._in_place)
        try:
            if any(map(_not_attempted, [*answers, *named.values()])):
                return Outcome("untouched", UNTOUCHED)
            praise = self._check(*map(watch, answers), **{name: watch(answer) for name, answer in named.items()})
        except Raised as raised:
            return Outcome("untouched", UNTOUCHED) if raised.unfinished else Outcome("wrong", raised.message)
        except (Wrong, AssertionError) as wrong:
            return Outcome("wrong", f"Not yet. {str(wrong) or 'That is not the answer.'}")
        except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever a strange answer leads to, the learner gets a sentence
            given = ", ".join(short(answer) for answer in [*answers, *named.values()])
            return Outcome("wrong", f"Not yet. The check could make nothing of your answer {given}: {told(error)}")
        return Outcome("right", f"Correct. {praise or ''}".rstrip())

    def check(self, *answers: Any, **named: Any) -> None:
        """Show whether the answers are right and, where they are not, what is wrong with them.

        Raises AssertionError for anything but a right answer where COURSE_STRICT_EXERCISES=1 (to test solutions).
        """
        outcome = self.judge(*answers, **named)
        further = f'\nFor a hint, type `exercise("{self.name}").hint()` in a new cell.'
        ask = outcome.status != "right" and self.name
        cards.show_card(_CARDS[outcome.status], outcome.message + (further if ask else ""))
        if outcome.status != "right" and is_strict():
            raise AssertionError(f"{self.title}: {outcome.message}")

    def hint(self) -> None:
        """Show the next hint; after the last one, the last one again."""
        position = min(self._hints_given, len(self.hints) - 1)
        self._hints_given = position + 1
        cards.show_card("told", f"Hint {position + 1} of {len(self.hints)}: {self.hints[position]}")

    def solution(self) -> None:
        """Show one way to solve it."""
        code = textwrap.dedent(self.code)
        cards.show(code, **{"text/markdown": f"```python\n{code}\n```"})

    def __repr__(self) -> str:
        return f"Exercise({self.title!r}): .check(your answer), .hint(), .solution()"


def is_strict() -> bool:
    """Say whether solutions are being tested, rather than a learner helped."""
    return os.environ.get(STRICT) == "1"


def exercise(name: str) -> Exercise:
    """Return an exercise by lesson and name, for example `exercise("00.q1")`.

    Raises ValueError, naming what there is, for a lesson or an exercise that does not exist.
    """
    lesson, _, question = name.partition(".")
    found = exercises(lesson)
    if question not in found:
        raise ValueError(f"lesson {lesson} has no exercise {question!r}; it has: {', '.join(found)}")
    found[question].name = name
    return found[question]


def exercises(lesson: str) -> dict[str, Exercise]:
    """Return the exercises of a lesson, such as "00", by name. Raises ValueError for an unknown lesson."""
    return {name: value for name, value in vars(lesson_module(lesson)).items() if isinstance(value, Exercise)}


def lesson_module(lesson: str) -> ModuleType:
    """Return the module that declares a lesson's exercises and quiz. Raises ValueError for an unknown lesson."""
    path = f"course_lib.classroom.lessons.lesson_{lesson}"
    try:
        return importlib.import_module(path)
    except ModuleNotFoundError as error:
        if error.name != path:
            raise
        raise ValueError(f"there are no exercises for lesson {lesson!r}; write '00' for lesson 00") from None


def _not_attempted(answer: Any) -> bool:
    if isinstance(answer, FunctionType):
        return has_stub(answer)
    parts: Iterable[Any] = ()
    if isinstance(answer, list | tuple):
        parts = answer
    elif isinstance(answer, dict):
        parts = answer.values()
    return is_untouched(answer) or any(isinstance(part, EllipsisType) for part in parts)


def short(answer: Any) -> str:
    """Return an answer as a message quotes it: what it looks like, cut off where it is long, and its type."""
    try:
        text = repr(answer)
    except (Exception, SystemExit):  # noqa: BLE001 - a learner's own class may have a `__repr__` that does not work yet
        return f"of type `{type(answer).__name__}`, whose `__repr__` raises an error"
    return f"`{text if len(text) <= 80 else text[:77] + '...'}` ({type(answer).__name__})"
