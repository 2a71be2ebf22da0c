"""Verdicts are cards on the statements of one list, with the numbers and the outcome of the ruler on them."""

import re

import pytest

from course_lib import classroom, learning
from course_lib.classroom.statements import STATEMENTS, statement

HIGH, LOW = [0.95, 0.94, 0.96, 0.95, 0.95], [0.90, 0.91, 0.90, 0.89, 0.90]
HOLDS = learning.compare(HIGH, LOW, "better")
FAILS = learning.compare(LOW, HIGH, "better")
OPEN = learning.compare(HIGH, HIGH, "better")


def test_the_list_holds_statements_1_to_26_each_a_different_sentence() -> None:
    assert list(STATEMENTS) == list(range(1, 27))
    assert len(set(STATEMENTS.values())) == 26
    assert all(text.endswith(".") for text in STATEMENTS.values())


@pytest.mark.parametrize(
    ("finding", "symbol", "outcome"),
    [(HOLDS, "✓", "holds"), (FAILS, "✗", "does not hold here"), (OPEN, "?", "cannot tell")],
)
def test_a_verdict_shows_statement_number_and_outcome(
    finding: learning.Finding, symbol: str, outcome: str, capsys: pytest.CaptureFixture[str]
) -> None:
    classroom.verdict(13, finding, "FL against one machine")
    assert capsys.readouterr().out == (
        f"{symbol} Statement 13. {statement(13)}\nCompared: FL against one machine.\nMeasured: {finding}\nVerdict: {outcome}.\n"
    )


@pytest.mark.parametrize(
    ("findings", "kind", "ending"),
    [
        ({"a": HOLDS, "b": HOLDS}, "holds", "holds"),
        ({"a": FAILS, "b": FAILS}, "does not hold here", "does not hold here"),
        ({"a": OPEN, "b": OPEN}, "cannot tell", "cannot tell"),
        ({"a": HOLDS, "b": FAILS, "c": OPEN}, "holds if", "holds if: a (does not hold here: b; cannot tell: c)"),
        ({"a": FAILS, "b": OPEN}, "cannot tell", "cannot tell (does not hold here: a; cannot tell: b)"),
    ],
)
def test_several_settings_are_listed_each_with_its_outcome(
    findings: dict[str, learning.Finding], kind: str, ending: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert classroom.verdicts.judge(findings) == (kind, ending)
    classroom.verdict(13, findings)
    shown = capsys.readouterr().out
    assert shown.endswith(f"Verdict: {ending}.\n")
    for setting, finding in findings.items():
        assert f"- {setting}: {finding}: {finding.outcome}\n" in shown


@pytest.mark.parametrize("number", [0, 27, "9"])
def test_an_unknown_statement_is_named_with_the_known_numbers(number: int) -> None:
    with pytest.raises(ValueError, match=re.escape(f"no statement {number!r}: they are numbered 1 to 26")):
        classroom.verdict(number, HOLDS)


def test_a_verdict_needs_a_measurement() -> None:
    with pytest.raises(ValueError, match="say what was measured on statement 1"):
        classroom.verdict(1, {})
