"""A guess is asked for, kept, and comes back beside the result."""

import re
from pathlib import Path
from typing import Any

import pytest
from ipywidgets import Button, FloatSlider, IntSlider, RadioButtons

from course_lib import classroom
from course_lib.classroom import predictions


@pytest.fixture(autouse=True)
def nothing_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(predictions, "_asked", {})
    monkeypatch.delenv("JPY_SESSION_NAME", raising=False)


@pytest.fixture
def notebook(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A notebook that a Jupyter server runs; returns where its guesses are kept."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("JPY_SESSION_NAME", str(tmp_path / "00_two_ways.ipynb"))
    return tmp_path / ".00_two_ways.guesses.json"


def restart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(predictions, "_asked", {})


def ask_size() -> predictions.Prediction:
    classroom.predict("size", "How large is it?", slider=(0, 10, 0.5, "MB"))
    return predictions._asked["size"]


def ask_winner() -> predictions.Prediction:
    classroom.predict("winner", "Who wins?", choices=["DML", "FL"])
    return predictions._asked["winner"]


def test_a_question_says_in_words_what_can_be_guessed(capsys: pytest.CaptureFixture[str]) -> None:
    ask_size()
    ask_winner()
    assert capsys.readouterr().out.splitlines() == [
        "○ Your guess: How large is it? (a number from 0 to 10 MB)", "○ Your guess: Who wins? (DML / FL)",
    ]  # fmt: skip


def test_the_slider_and_the_button_lock_in_a_guess_that_comes_back(capsys: pytest.CaptureFixture[str]) -> None:
    prediction = ask_size()
    _, slider, button, answer, _ = predictions.panel(prediction).children
    assert isinstance(slider, FloatSlider) and isinstance(button, Button)
    slider.value = 4.5
    assert prediction.guess is None, "moving the slider is no commitment"
    button.click()
    assert prediction.guess == 4.5
    assert "Locked in: 4.5 MB" in answer.value
    capsys.readouterr()
    classroom.reveal("size", 3, unit="MB")
    assert capsys.readouterr().out == "→ You guessed 4.5 MB. Measured: 3 MB. You were 1.5 MB away.\n"


def test_the_button_asks_for_a_choice_before_it_locks_one_in() -> None:
    prediction = ask_winner()
    _, radio, button, answer, _ = predictions.panel(prediction).children
    assert isinstance(radio, RadioButtons)
    button.click()
    assert "Choose one first" in answer.value
    assert prediction.guess is None
    radio.value = "FL"
    button.click()
    assert prediction.guess == "FL"


@pytest.mark.parametrize(
    ("measured", "shown"),
    [("FL", "✓ You guessed: FL. Measured: FL.\n"), ("DML", "◐ You guessed: FL. Measured: DML.\n")],
)
def test_a_choice_comes_back_beside_what_was_measured(
    measured: str, shown: str, capsys: pytest.CaptureFixture[str]
) -> None:
    ask_winner().lock("FL")
    capsys.readouterr()
    classroom.reveal("winner", measured)
    assert capsys.readouterr().out == shown


def test_both_numbers_are_written_the_same_way(capsys: pytest.CaptureFixture[str]) -> None:
    ask_size().lock(4)
    capsys.readouterr()
    classroom.reveal("size", 3.14159, unit="MB", spec=".1f")
    assert capsys.readouterr().out == "→ You guessed 4.0 MB. Measured: 3.1 MB. You were 0.9 MB away.\n"


def test_without_a_guess_the_measurement_is_shown_all_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    ask_size()
    capsys.readouterr()
    classroom.reveal("size", 3, unit="MB")
    classroom.reveal("a question whose cell was skipped", 3, unit="MB")
    first, second = capsys.readouterr().out.splitlines()
    assert first == second
    assert first.startswith("→ Measured: 3 MB. You locked in no guess this time")


def test_a_slider_that_was_not_moved_cannot_be_locked_in() -> None:
    prediction = ask_size()
    _, slider, button, answer, _ = predictions.panel(prediction).children
    assert not slider.readout
    button.click()
    assert prediction.guess is None
    assert "Move the slider first" in answer.value
    slider.value = 2
    assert slider.readout
    slider.value = 0
    button.click()
    assert prediction.guess == 0, "moved away and back, the lowest value is a guess"


def test_a_guess_stays_locked_and_visible_until_the_learner_guesses_again() -> None:
    ask_size().lock(4.5)
    prediction = ask_size()
    _, slider, button, answer, again = predictions.panel(prediction).children
    assert (slider.value, slider.disabled, button.disabled, again.layout.display) == (4.5, True, True, None)
    assert "Locked in: 4.5 MB" in answer.value
    again.click()
    assert prediction.guess is None
    assert (slider.disabled, button.disabled, again.layout.display, answer.value) == (False, False, "none", "")


def test_what_a_saved_notebook_keeps_says_what_was_locked_in_or_how_to_guess() -> None:
    prediction = ask_size()
    kept: list[tuple[str, str]] = []
    prediction.keep = lambda text, html: kept.append((text, html))
    fresh = prediction.kept()
    assert fresh[0] == "○ Your guess: How large is it? (a number from 0 to 10 MB)"
    assert fresh[1].endswith("Run this cell to make your guess.</div>")
    prediction.lock(4.5)
    assert kept[-1][0].endswith("(a number from 0 to 10 MB) Locked in: 4.5 MB.")
    assert "Locked in: 4.5 MB. Run this cell to guess again." in kept[-1][1]
    prediction.unlock()
    assert kept[-1] == fresh


def test_a_guess_survives_a_restart_and_is_forgotten_on_request(
    notebook: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ask_winner().lock("FL")
    restart(monkeypatch)
    assert ask_winner().guess == "FL"
    capsys.readouterr()
    classroom.reveal("winner", "FL")
    assert capsys.readouterr().out == "✓ You guessed: FL. Measured: FL.\n"
    predictions._asked["winner"].unlock()
    restart(monkeypatch)
    assert ask_winner().guess is None


def test_a_stored_guess_that_the_question_no_longer_offers_is_asked_for_anew(
    notebook: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for stored in ('{"winner": "nobody"}', '{"winner": 3}', '{"winner": ["FL"]}', "[1]", "not JSON"):
        notebook.write_text(stored)
        restart(monkeypatch)
        assert ask_winner().guess is None


def test_without_a_jupyter_server_no_guess_is_read_or_written(notebook: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    notebook.write_text('{"winner": "FL"}')
    monkeypatch.delenv("JPY_SESSION_NAME")
    prediction = ask_winner()
    assert prediction.guess is None
    prediction.lock("DML")
    assert notebook.read_text() == '{"winner": "FL"}'


def test_where_solutions_are_tested_a_key_that_was_never_asked_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COURSE_STRICT_EXERCISES", "1")
    ask_size()
    with pytest.raises(ValueError, match="no prediction 'seize' was asked; asked so far: size"):
        classroom.reveal("seize", 3)


def test_a_measurement_that_is_no_choice_is_named_with_the_choices() -> None:
    ask_winner()
    with pytest.raises(ValueError, match="measured='both' is not one of the choices of 'winner': DML, FL"):
        classroom.reveal("winner", "both")


def test_a_guess_outside_the_question_is_refused() -> None:
    with pytest.raises(ValueError, match="'nobody' is not a choice; the choices are: DML, FL"):
        ask_winner().lock("nobody")
    with pytest.raises(ValueError, match=re.escape("11 is off the scale from 0 to 10")):
        ask_size().lock(11)


def test_a_question_needs_either_choices_or_a_scale() -> None:
    for options in ({}, {"choices": ["a", "b"], "slider": (0, 1, 1, "")}):
        with pytest.raises(ValueError, match="'x' needs either choices"):
            classroom.predict("x", "?", **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("choices", [[], ["one"], ["same", "same"]])
def test_choices_must_leave_a_choice(choices: list[str]) -> None:
    with pytest.raises(ValueError, match="two or more different choices"):
        classroom.predict("x", "?", choices=choices)


@pytest.mark.parametrize("scale", [(1, 1, 1, ""), (0, 10, 0, ""), (0, 10, 11, "")])
def test_a_scale_must_have_room_for_a_guess(scale: tuple[float, float, float, str]) -> None:
    with pytest.raises(ValueError, match="low < high and a step between"):
        classroom.predict("x", "?", slider=scale)


@pytest.mark.parametrize(
    ("step", "kind", "digits"), [(1, IntSlider, "d"), (0.5, FloatSlider, ".1f"), (1.0, FloatSlider, ".0f")]
)
def test_a_slider_shows_as_many_digits_as_its_step_has(step: float, kind: type, digits: str) -> None:
    slider: Any = predictions.panel(predictions.Prediction("?", slider=(0, 10, step, "MB"))).children[1]
    assert (type(slider), slider.readout_format) == (kind, digits)
