"""Verdicts are cards on the statements of one list, with the numbers and the outcome of the ruler on them."""

import re
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from course_lib import classroom, learning
from course_lib.classroom import cards, verdicts
from course_lib.study.statements import STATEMENTS, statement

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
        ({"a": HOLDS, "b": OPEN}, "holds if", "holds if: a. Cannot tell: b"),
        (
            {"once, IID": OPEN, "a, b": HOLDS, "c": FAILS, "d, e": HOLDS, "f": OPEN},
            "holds if",
            "holds if: a, b; d, e. Does not hold here: c. Cannot tell: once, IID; f",
        ),
        ({"a": OPEN, "b": FAILS}, "cannot tell", "cannot tell in general. Does not hold here: b. Cannot tell: a"),
    ],
)
def test_several_settings_are_listed_each_with_its_outcome(
    findings: dict[str, learning.Finding], kind: str, ending: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert verdicts.judge(findings) == (kind, ending)
    classroom.verdict(13, findings)
    symbol, *lines = capsys.readouterr().out.splitlines()
    assert symbol == f"{dict(zip(SYMBOLS, '✓✗?◐', strict=True))[kind]} Statement 13. {statement(13)}"
    assert lines[-1] == f"Verdict: {ending}."
    for line, (setting, finding) in zip(lines[1:-2], findings.items(), strict=True):
        assert line.startswith(f"- {setting}. {finding.outcome.capitalize()}: ")


SYMBOLS = ("holds", "does not hold here", "cannot tell", "holds if")


def differences(p: float, sign: float = 1.0, n: int = 8) -> list[float]:
    """One difference a seed, whose mean is off 0 with this two-sided p-value."""
    shape = np.linspace(-1, 1, n)
    return (sign * 0.01 * (shape + stats.t.isf(p / 2, n - 1) * stats.sem(shape))).tolist()


def better(p: float, sign: float = 1.0) -> learning.Finding:
    return learning.compare(differences(p, sign), [0.0] * 8, "better")


def test_several_settings_are_corrected_for_each_other_and_the_card_says_so(
    capsys: pytest.CaptureFixture[str],
) -> None:
    barely = better(0.03)
    assert barely.outcome == "holds"
    classroom.verdict(13, {"barely, alone": barely})
    assert "Verdict: holds." in capsys.readouterr().out
    classroom.verdict(13, {"barely": barely, "less": better(0.04), "clear": better(1e-6)})
    shown = capsys.readouterr().out
    assert shown.endswith(
        "Corrected for 3 comparisons (Holm): intervals of 97.5% to 98.3%.\n"
        "Verdict: holds if: clear. Cannot tell: barely; less.\n"
    )
    assert "Holm" not in shown.splitlines()[2], "said once, not on each line"
    wide = replace(barely, level=0.975)
    assert f"- barely. Cannot tell: {wide}\n" in shown, "the interval on the card is the corrected one"


def test_a_correction_is_that_of_the_ruler_for_differences_and_ratios_of_every_claim() -> None:
    less, zero = differences(0.03, -1.0), [0.0] * 8
    findings = {
        "better": better(1e-4),
        "no worse": learning.compare(less, zero, "no worse", margin=0.001),
        "equal": learning.compare(zero, differences(0.01), "equal", margin=0.03),
        "ratio": learning.compare_ratio([2.0, 2.1, 1.9, 2.0, 2.2], [1.0, 1.1, 1.0, 0.9, 1.0], "better", margin=0.7),
    }
    assert verdicts.corrected(findings) == learning.holm(findings)
    assert {finding.among for finding in verdicts.corrected(findings).values()} == {4}


def test_what_leaves_nothing_to_luck_is_no_comparison_and_stays_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    bytes_sent, barely = learning.exact(3, holds=False, unit="bytes"), better(0.04)
    alone = {"counted": bytes_sent, "barely": barely}
    assert verdicts.corrected(alone) == alone
    classroom.verdict(12, alone)
    assert "Corrected" not in capsys.readouterr().out
    with_another = verdicts.corrected(alone | {"clear": better(1e-6)})
    assert with_another["counted"] == bytes_sent
    assert with_another["barely"].among == 2, "the exact one does not count"
    assert list(with_another) == ["counted", "barely", "clear"]


def test_what_a_table_has_corrected_is_not_corrected_twice() -> None:
    table = learning.holm({name: better(p) for name, p in {"a": 1e-6, "b": 1e-4, "c": 0.01, "d": 0.3}.items()})
    assert verdicts.corrected(table) == table
    part = {name: table[name] for name in ("b", "c")}
    assert verdicts.corrected(part) == part, "the larger family is the stricter"
    three = learning.holm({"a": better(1e-6), "b": better(1e-4), "c": better(0.01)})
    part = {name: three[name] for name in ("b", "c")}  # at the same levels as two alone
    assert verdicts.corrected(part) == part, "of two families at one level, the larger is named"


def test_corrected_for_too_few_is_corrected_anew_together_with_the_others(capsys: pytest.CaptureFixture[str]) -> None:
    two = learning.holm({"a": better(0.012), "b": better(0.03)})
    assert [finding.outcome for finding in two.values()] == ["holds", "holds"]
    found = verdicts.corrected(two | {"c": better(0.5)})
    assert found == learning.holm({"a": better(0.012), "b": better(0.03), "c": better(0.5)})
    classroom.verdict(13, two | {"c": better(0.5)})
    assert capsys.readouterr().out.endswith(
        "Corrected for 3 comparisons (Holm): intervals of 97.5% to 98.3%.\nVerdict: holds if: a. Cannot tell: b; c.\n"
    )


def test_a_share_beside_other_settings_is_refused_and_alone_is_not(capsys: pytest.CaptureFixture[str]) -> None:
    share = learning.compare_share(18, 20, chance=0.5)
    with pytest.raises(ValueError, match="'guessed' is a share, which cannot be corrected for the others"):
        classroom.verdict(11, {"guessed": share, "a": HOLDS})
    classroom.verdict(11, {"guessed": share})
    assert capsys.readouterr().out.endswith("Verdict: holds.\n")


def test_in_a_notebook_the_settings_are_a_list(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    monkeypatch.setattr(cards, "show", lambda text, html: seen.append(html))
    classroom.verdict(13, {"a < b": HOLDS, "c": FAILS}, "one & two")
    (html,) = seen
    assert html.count("<ul") == 1 and html.count("<li>") == 2
    assert "<li>a &lt; b. <b>Holds</b>: +5.0 " in html
    assert "Compared: one &amp; two.<br>Measured:<ul" in html
    assert "</ul>Corrected for 2 comparisons (Holm): intervals of 95% to 97.5%.<br>Verdict: holds if: a &lt; b." in html


@pytest.mark.parametrize("number", [0, 27, "9"])
def test_an_unknown_statement_is_named_with_the_known_numbers(number: int) -> None:
    with pytest.raises(ValueError, match=re.escape(f"no statement {number!r}: they are numbered 1 to 26")):
        classroom.verdict(number, HOLDS)


def test_a_verdict_needs_a_measurement() -> None:
    with pytest.raises(ValueError, match="say what was measured on statement 1"):
        classroom.verdict(1, {})
