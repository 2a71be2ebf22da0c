"""A learner's way through lesson 00, in a real browser. Screenshots are left in build/screenshots."""

import re

import pytest
from playwright.sync_api import expect

from tests.browser.axe import grave
from tests.browser.learner import Notebook

pytestmark = [pytest.mark.browser, pytest.mark.timeout(600)]


def test_all_cells_run_without_an_error_or_a_warning_and_the_solutions_are_correct(open_notebook: Notebook) -> None:
    assert open_notebook.unsolved() == []
    outputs = open_notebook.panel.locator(".jp-OutputArea-output")
    assert outputs.count() > 10
    for kind in ("error", "stderr"):
        expect(open_notebook.panel.locator(f'[data-mime-type="application/vnd.jupyter.{kind}"]')).to_have_count(0)
    expect(open_notebook.panel.get_by_text("Error displaying widget")).to_have_count(0)
    open_notebook.picture("00_after_all_cells")


def test_axe_finds_nothing_serious_in_what_the_lesson_shows(open_notebook: Notebook) -> None:
    assert grave(open_notebook.page) == []


def test_nothing_is_asked_of_the_internet(open_notebook: Notebook) -> None:
    assert open_notebook.asked_outside == []


def test_every_figure_has_alternative_text(open_notebook: Notebook) -> None:
    figures = open_notebook.panel.locator(".jp-OutputArea-output img:visible")
    assert figures.count() >= 3
    for figure in figures.all():
        assert len((figure.get_attribute("alt") or "").split()) >= 8


def test_moving_a_slider_changes_the_figure(open_notebook: Notebook) -> None:
    cell = open_notebook.cell("classroom.explore(")
    figure = cell.locator(".jp-OutputArea-output img:visible")
    before, described = figure.get_attribute("src"), figure.get_attribute("alt")
    assert before is not None and described is not None
    open_notebook.picture("00_explore_before", of=cell)

    handle = cell.locator(".noUi-handle").first
    handle.focus()
    handle.press("ArrowRight")
    expect(figure).not_to_have_attribute("src", before)
    expect(figure).not_to_have_attribute("alt", described)
    open_notebook.picture("00_explore_after", of=cell)


def test_a_guess_is_locked_in_and_comes_back_beside_the_result(open_notebook: Notebook) -> None:
    question = open_notebook.cell('"Which way sends')
    question.get_by_role("radio", name="federated").click()
    question.get_by_role("button", name="Lock in my guess").last.click()  # the first is for accuracy
    expect(question.get_by_text("Locked in: federated. Now run on")).to_be_visible()
    open_notebook.picture("00_prediction", of=question)

    answer = open_notebook.cell('classroom.reveal("bytes"')
    expect(answer.locator(".jp-OutputArea-output").last).to_contain_text("You locked in no guess")
    open_notebook.run('classroom.reveal("bytes"')
    expect(answer.locator(".jp-OutputArea-output").last).to_contain_text("You guessed: federated")


def test_an_exercise_answers_an_untouched_a_wrong_and_a_right_attempt(open_notebook: Notebook) -> None:
    cell = open_notebook.cell('exercise("00.q3").check(')
    for name, code, message in [
        ("untouched", "...", r"○ Not attempted yet"),
        ("wrong", "11", r"✗ Not yet\. Eleven rounds"),
        ("right", "12", r"✓ Correct\."),
    ]:
        open_notebook.type_and_run(cell, f'rounds_until_more = {code}\n\nexercise("00.q3").check(rounds_until_more)')
        expect(cell.locator(".jp-OutputArea-output")).to_have_count(1)
        expect(cell.locator(".jp-OutputArea-output")).to_have_text(re.compile(message))
        open_notebook.picture(f"00_exercise_{name}", of=cell)


def test_an_error_in_an_answer_is_explained_and_does_not_crash(open_notebook: Notebook) -> None:
    cell = open_notebook.cell('exercise("00.q2").check(')
    open_notebook.type_and_run(
        cell, 'def average(updates, sizes):\n    return updates / 0\n\nexercise("00.q2").check(average)'
    )
    expect(cell.locator(".jp-OutputArea-output")).to_contain_text("Your function average raised TypeError")
    expect(cell.locator(".jp-OutputArea-output")).to_contain_text("It was in line 2, return updates / 0.")


def test_the_quiz_explains_the_choice_that_is_clicked(open_notebook: Notebook) -> None:
    cell = open_notebook.cell("classroom.quiz(")
    choices = cell.locator(".MCButton")
    assert choices.count() >= 6
    expect(cell.get_by_text("run this cell to answer")).to_have_count(0)
    said = set()
    for choice in choices.all()[:3]:
        choice.click()
        said.add(cell.locator(".Feedback").first.inner_text())
    assert len(said) == 3
    assert {text[0] for text in said} == {"✓", "✗"}
    open_notebook.picture("00_quiz", of=cell)


def test_no_script_failed_on_the_way(open_notebook: Notebook) -> None:
    assert open_notebook.script_errors == []


def test_the_solution_unfolds(open_notebook: Notebook) -> None:
    folded = open_notebook.panel.locator("details").first
    expect(folded.locator("pre")).to_be_hidden()
    folded.locator("summary").click()
    expect(folded.locator("pre")).to_be_visible()
    open_notebook.picture("00_solution", of=folded)
