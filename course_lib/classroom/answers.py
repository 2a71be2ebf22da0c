"""What kind of thing an answer is: a checker asks for a number, a truth or a function, and each other kind is met by name."""

from collections.abc import Callable
from numbers import Real
from typing import Any

from course_lib.classroom.exercises import Wrong, short


def number(answer: Any) -> Any:
    """Return a number as Python's own, also one of numpy or torch. Raises Wrong for text, True, a function and anything else."""
    answer = _plain(answer)
    if isinstance(answer, str):
        raise Wrong(f"{short(answer)} is text: write the number without quotation marks.")
    if isinstance(answer, bool):
        raise Wrong(f"`{answer}` is no number: a number belongs here.")
    if callable(answer):
        raise Wrong(f"{short(answer)} is a function: a number belongs here, such as what the function returns.")
    if not isinstance(answer, Real):
        raise Wrong(f"{short(answer)} is no number: a single number belongs here.")
    return answer


def truth(answer: Any) -> bool:
    """Return True or False, also one of numpy or torch. Raises Wrong for anything else, such as the text "False"."""
    answer = _plain(answer)
    if isinstance(answer, str):
        raise Wrong(
            f"{short(answer)} is text, and any text counts as true: write `True` or `False` without quotation marks."
        )
    if not isinstance(answer, bool):
        raise Wrong(f"{short(answer)} is neither `True` nor `False`: one of these belongs here.")
    return answer


def function(answer: Any) -> Callable[..., Any]:
    """Return a function. Raises Wrong for anything else, such as the result of calling it."""
    if not callable(answer):
        raise Wrong(f"{short(answer)} is no function: pass the function itself, its name without brackets after it.")
    called: Callable[..., Any] = answer
    return called


def _plain(answer: Any) -> Any:
    """Return a single value of numpy or torch as Python's own, anything else as it is."""
    single = getattr(answer, "shape", None) is not None and tuple(answer.shape) == ()
    return answer.item() if single else answer
