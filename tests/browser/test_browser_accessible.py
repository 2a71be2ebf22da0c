"""What a lesson shows has names and contrast, in the light and in the dark theme."""

import json
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, expect

from tests.browser import short
from tests.browser.axe import grave
from tests.browser.learner import Lab, Notebook

pytestmark = [pytest.mark.browser, pytest.mark.timeout(600)]


@pytest.fixture(scope="module", params=["JupyterLab Light", "JupyterLab Dark"])
def notebook(request: pytest.FixtureRequest, browser: Browser, lab: Lab) -> Iterator[Notebook]:
    """The short notebook, all of its cells run, in the light and in the dark theme."""
    settings = lab.folder.parent / "settings" / "@jupyterlab" / "apputils-extension" / "themes.jupyterlab-settings"
    settings.write_text(json.dumps({"theme": request.param}))
    page = browser.new_page(viewport={"width": 1300, "height": 1000})
    notebook = Notebook(page, lab, short.write(lab.folder))
    notebook.run_all(seconds=120)
    expect(page.locator("body")).to_have_attribute("data-jp-theme-name", request.param)
    expect(notebook.cell("classroom.explore(").get_by_role("slider", name="level (m)")).to_be_visible(timeout=30_000)
    yield notebook
    notebook.close()


def test_axe_finds_nothing_serious_in_what_is_shown(notebook: Notebook) -> None:
    notebook.cell("classroom.quiz(").get_by_role("button", name="an update").click()
    assert grave(notebook.page) == []


def test_code_in_a_quiz_stands_on_what_is_around_it(notebook: Notebook) -> None:
    # axe leaves this undecided: the theme's own box behind code would be dark on dark.
    for code in notebook.cell("classroom.quiz(").locator(".Quiz code").all():
        expect(code).to_have_css("background-color", "rgba(0, 0, 0, 0)")
        around = code.evaluate("code => getComputedStyle(code.parentElement).color")
        expect(code).to_have_css("color", around)


def test_every_control_has_a_name(notebook: Notebook) -> None:
    explorer, guess = notebook.cell("classroom.explore("), notebook.cell("Who wins?")
    expect(explorer.get_by_role("checkbox", name="dashed")).to_be_visible()
    expect(explorer.get_by_role("combobox", name="colour")).to_be_visible()
    expect(guess.get_by_role("slider", name="How large is it?")).to_be_visible()
    expect(guess.get_by_role("radio", name="DML")).to_be_visible()
