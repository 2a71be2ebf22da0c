"""Verdicts are stable cards on the statements of one list."""

import re

import pytest

from course_lib import classroom
from course_lib.classroom.statements import STATEMENTS, statement
from course_lib.classroom.verdicts import Holds


def test_the_list_holds_statements_1_to_26_each_a_different_sentence() -> None:
    assert list(STATEMENTS) == list(range(1, 27))
    assert len(set(STATEMENTS.values())) == 26
    assert all(text.endswith(".") for text in STATEMENTS.values())


@pytest.mark.parametrize(
    ("holds", "condition", "symbol", "ending"),
    [
        ("holds", "", "✓", "Verdict: holds."),
        ("holds", "three seeds", "✓", "Verdict: holds: three seeds."),
        ("holds if", "the data is skewed", "◐", "Verdict: holds if the data is skewed."),
        ("does not hold here", "", "✗", "Verdict: does not hold here."),
        ("does not hold here", "with 4 owners", "✗", "Verdict: does not hold here: with 4 owners."),
    ],
)
def test_a_verdict_shows_statement_measurement_and_outcome(
    holds: Holds, condition: str, symbol: str, ending: str, capsys: pytest.CaptureFixture[str]
) -> None:
    classroom.verdict(9, "0 bytes of raw data", holds, condition)
    assert capsys.readouterr().out == (
        f"{symbol} Statement 9. {statement(9)}\nMeasured: 0 bytes of raw data\n{ending}\n"
    )


@pytest.mark.parametrize("number", [0, 27, "9"])
def test_an_unknown_statement_is_named_with_the_known_numbers(number: int) -> None:
    with pytest.raises(ValueError, match=re.escape(f"no statement {number!r}: they are numbered 1 to 26")):
        classroom.verdict(number, "x", "holds")


def test_a_verdict_of_another_kind_is_refused() -> None:
    with pytest.raises(ValueError, match="holds='maybe' must be one of: holds, holds if, does not hold here"):
        classroom.verdict(1, "x", "maybe")  # type: ignore[arg-type]


def test_a_verdict_needs_a_measurement_and_a_condition_where_it_has_an_if() -> None:
    with pytest.raises(ValueError, match="say what was measured on statement 1"):
        classroom.verdict(1, " ", "holds")
    with pytest.raises(ValueError, match="'holds if' on statement 1 needs its condition"):
        classroom.verdict(1, "x", "holds if")
