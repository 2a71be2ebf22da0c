"""How a statement on trial came out."""

from typing import Literal, get_args

from course_lib.classroom import cards
from course_lib.classroom.statements import statement

Holds = Literal["holds", "holds if", "does not hold here"]
_CARDS: dict[Holds, str] = {"holds": "right", "holds if": "partly", "does not hold here": "wrong"}


def verdict(number: int, measured: str, holds: Holds, condition: str = "") -> None:
    """Show a statement, what was measured, and the verdict that the lesson computed from it.

    `measured`: in words, with the tolerance ("within 1 point of pooled training"), so that it reads the same on every
    machine and nbval can compare it. `condition`: what a "holds if" depends on, or where a "does not hold here" was seen.
    Raises ValueError for an unknown number or verdict, for nothing measured, and for "holds if" without a condition.
    """
    text = statement(number)
    if holds not in get_args(Holds):
        raise ValueError(f"holds={holds!r} must be one of: {', '.join(get_args(Holds))}")
    if not measured.strip():
        raise ValueError(f"say what was measured on statement {number}")
    if holds == "holds if" and not condition.strip():
        raise ValueError(f"'holds if' on statement {number} needs its condition")
    outcome = f"{holds} {condition}".strip() if holds == "holds if" else holds + (f": {condition}" if condition else "")
    cards.show_card(_CARDS[holds], f"Statement {number}. {text}\nMeasured: {measured}\nVerdict: {outcome}.")
