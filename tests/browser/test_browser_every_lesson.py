"""Every lesson after the first, run from top to bottom in a real browser. Screenshots are left in build/screenshots."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from tests.browser.learner import Lab, Notebook

pytestmark = [pytest.mark.browser, pytest.mark.timeout(600)]

NAMES = [path.name for path in sorted((Path(__file__).parents[2] / "notebooks").glob("*.ipynb"))][1:]


@pytest.fixture(params=NAMES)
def lesson(request: pytest.FixtureRequest, browser: Browser, lab: Lab) -> Iterator[Notebook]:
    page = browser.new_page(viewport={"width": 1300, "height": 1000})
    notebook = Notebook(page, lab, request.param)
    notebook.run_all(seconds=240)
    yield notebook
    notebook.close()


def test_it_runs_without_an_error_shows_its_figures_and_its_controls_work(
    lesson: Notebook, request: pytest.FixtureRequest
) -> None:
    number = str(request.node.callspec.params["lesson"])[:2]
    for kind in ("error", "stderr"):
        expect(lesson.panel.locator(f'[data-mime-type="application/vnd.jupyter.{kind}"]')).to_have_count(0)
    expect(lesson.panel.get_by_text("Error displaying widget")).to_have_count(0)

    figures = lesson.panel.locator(".jp-OutputArea-output img")
    assert figures.count() >= 3
    for index, figure in enumerate(figures.all()):
        assert len((figure.get_attribute("alt") or "").split()) >= 8
        lesson.picture(f"{number}_figure_{index}", of=figure)
    for index, table in enumerate(lesson.panel.locator(".jp-OutputArea-output table").all()):
        lesson.picture(f"{number}_table_{index}", of=table)

    controls = lesson.panel.locator(".jp-CodeCell").filter(has=lesson.page.locator(".noUi-handle, .widget-dropdown"))
    explorers = [cell for cell in controls.all() if "classroom.explore(" in cell.locator(".cm-content").inner_text()]
    assert explorers
    for index, cell in enumerate(explorers):
        figure = cell.locator(".jp-OutputArea-output img")
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
        expect(figure).not_to_have_attribute("alt", described, timeout=30_000)
        lesson.picture(f"{number}_explore_{index}", of=cell)
    assert lesson.script_errors == []
