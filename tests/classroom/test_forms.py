"""Many guesses on one sheet: unset at first, locked by one button, kept, and scored beside what was measured."""

import json
from pathlib import Path

import pytest

from course_lib.classroom import forms
from course_lib.learning import CANNOT_TELL

LINES = {"masks": "updates are masked", "noise": "noise is added", "skew": "clients differ"}
CHOICES = ("nothing", "a little", "much")


@pytest.fixture(autouse=True)
def nothing_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forms, "_asked", {})
    monkeypatch.delenv("JPY_SESSION_NAME", raising=False)


def ask() -> forms.Sheet:
    forms.predict_all("turns", "What does it cost?", LINES, CHOICES)
    return forms._asked["turns"]


def test_the_sheet_says_in_words_what_can_be_guessed(capsys: pytest.CaptureFixture[str]) -> None:
    ask()
    said = capsys.readouterr().out
    assert "What does it cost? (nothing / a little / much)" in said and "- noise is added: ..." in said


def test_guesses_start_unset_and_one_button_locks_in_those_that_were_chosen() -> None:
    sheet = ask()
    form = forms.Form(sheet)
    assert all(menu.value == "choose ..." for menu in form.menus.values())
    form.button.click()
    assert "Choose on one line" in form.answer.value and sheet.guessed == {}
    form.menus["masks"].value = "nothing"
    assert sheet.guessed == {}, "choosing is no commitment"
    form.button.click()
    assert sheet.guessed == {"masks": "nothing"}
    assert "Locked in: 1 of 3" in form.answer.value
    assert all(menu.disabled for menu in form.menus.values()) and form.button.disabled
    form.again.click()
    assert sheet.guessed == {} and not form.button.disabled


def test_what_was_measured_comes_back_beside_the_guess_with_the_score(capsys: pytest.CaptureFixture[str]) -> None:
    ask().lock({"masks": "nothing", "noise": "nothing", "skew": "much"})
    capsys.readouterr()
    forms.reveal_all("turns", {"masks": "nothing", "noise": "much", "skew": CANNOT_TELL}, "Turns")
    said = capsys.readouterr().out
    lines = {name: next(line for line in said.splitlines() if line.startswith(text)) for name, text in LINES.items()}
    assert lines["masks"].endswith("✓") and lines["noise"].endswith("✗") and CANNOT_TELL in lines["skew"]
    assert "1 of 2 guesses were right" in said


def test_without_a_guess_the_result_is_shown_all_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    ask()
    capsys.readouterr()
    forms.reveal_all("turns", {"masks": "nothing"})
    said = capsys.readouterr().out
    assert "nothing" in said and "locked in no guess" in said


def test_guesses_outlive_the_kernel(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("JPY_SESSION_NAME", str(tmp_path / "15_the_dial.ipynb"))
    ask().lock({"noise": "much"})
    kept = json.loads((tmp_path / ".15_the_dial.guesses.json").read_text(encoding="utf-8"))
    assert kept == {"turns/noise": "much"}
    monkeypatch.setattr(forms, "_asked", {})  # a new kernel
    assert ask().guessed == {"noise": "much"}
    ask().lock({})
    monkeypatch.setattr(forms, "_asked", {})
    assert ask().guessed == {}


def test_bad_sheets_guesses_and_results_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="two or more different choices"):
        forms.predict_all("turns", "?", LINES, ("same", "same"))
    with pytest.raises(ValueError, match="needs lines"):
        forms.predict_all("turns", "?", {}, CHOICES)
    with pytest.raises(ValueError, match="'huge' cannot be guessed"):
        ask().lock({"masks": "huge"})
    with pytest.raises(ValueError, match="measured='huge'"):
        forms.reveal_all("turns", {"masks": "huge"})
    monkeypatch.setenv("COURSE_STRICT_EXERCISES", "1")
    with pytest.raises(ValueError, match="no sheet 'other' was asked"):
        forms.reveal_all("other", {})
