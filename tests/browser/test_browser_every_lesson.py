"""Every lesson after the first, with its solutions typed in and run in a real browser. Screenshots are left in build/screenshots."""

import re
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
from playwright.sync_api import Browser, expect

from tests.browser.learner import LAPTOP, Lab, Notebook
from tests.tools.tiny import ROOT, TINY
from tools import lessons

pytestmark = [pytest.mark.browser, pytest.mark.timeout(900)]


@pytest.fixture(params=lessons.find(ROOT, [])[1:], ids=lambda lesson: lesson.stem)
def lesson(request: pytest.FixtureRequest, browser: Browser, lab: Lab) -> Iterator[Notebook]:
    notebook = Notebook(browser.new_page(viewport=LAPTOP), lab, f"{request.param.stem}.ipynb")
    assert notebook.panel.locator(".jp-OutputArea-output").count() == 0, "a result is there before its cell has run"
    notebook.solve(request.param)
    notebook.run_all(seconds=600)
    yield notebook
    notebook.close()


def test_it_runs_without_an_error_is_solved_shows_its_figures_and_its_controls_work(
    lesson: Notebook, request: pytest.FixtureRequest
) -> None:
    number = request.node.callspec.params["lesson"].stem[:2]
    assert lesson.unsolved() == []
    expect(lesson.panel.get_by_text("Error displaying widget")).to_have_count(0)

    figures = lesson.panel.locator(".jp-OutputArea-output img:visible")
    assert figures.count() >= 3
    for index, figure in enumerate(figures.all()):
        assert len((figure.get_attribute("alt") or "").split()) >= 8
        lesson.picture(f"{number}_figure_{index}", of=figure)
    for index, table in enumerate(lesson.panel.locator(".jp-OutputArea-output table").all()):
        lesson.picture(f"{number}_table_{index}", of=table)

    explorers = lesson.cells("classroom.explore(")
    assert explorers
    for index, cell in enumerate(explorers):
        figure = cell.locator(".jp-OutputArea-output img:visible")
        described = figure.get_attribute("alt")
        assert described is not None
        if cell.locator(".noUi-handle").count():
            handle = cell.locator(".noUi-handle").first
            handle.focus()
            at_the_end = handle.get_attribute("aria-valuenow") == handle.get_attribute("aria-valuemax")
            handle.press("ArrowLeft" if at_the_end else "ArrowRight")
        else:
            chooser = cell.locator(".widget-dropdown select").first
            options = chooser.locator("option").all_inner_texts()
            chosen = chooser.evaluate("element => element.selectedOptions[0].text")
            chooser.select_option(label=next(option for option in options if option != chosen))
        expect(figure).not_to_have_attribute("alt", described)
        lesson.picture(f"{number}_explore_{index}", of=cell)
    for kind in ("error", "stderr"):  # in what a control has drawn as well
        expect(lesson.panel.locator(f'[data-mime-type="application/vnd.jupyter.{kind}"]')).to_have_count(0)
    assert lesson.script_errors == []
    assert lesson.asked_outside == []


def test_an_exercise_that_is_not_solved_and_a_cell_that_fails_are_named(
    browser: Browser, lab: Lab, tmp_path: Path
) -> None:
    lesson = tmp_path / "99_tiny.md"
    lesson.write_text(TINY + "\n```{code-cell} ipython3\nhalf = 1 / 0\n```\n", encoding="utf-8")
    nbformat.write(lessons.learner(lesson, ROOT), lab.folder / "99_tiny.ipynb")
    notebook = Notebook(browser.new_page(viewport=LAPTOP), lab, "99_tiny.ipynb")
    failure = "code cell 5, 'half = 1 / 0' failed with ZeroDivisionError: division by zero"
    for solved in (False, True):
        if solved:
            notebook.solve(lesson)
        with pytest.raises(AssertionError, match=re.escape(failure)):
            notebook.run_all(seconds=120)
        said = notebook.unsolved()
        assert len(said) == (0 if solved else 2)
        assert solved or said[0].startswith("code cell 3, 'def check(add):' says ['○ Not attempted yet")
    notebook.close()
