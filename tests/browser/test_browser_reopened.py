"""A notebook outlives its kernel: what was there before is there tomorrow, and it says how to go on."""

import json
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, expect

from tests.browser import short
from tests.browser.learner import Lab, Notebook

pytestmark = [pytest.mark.browser, pytest.mark.timeout(600)]

DEAD = "Error displaying widget"


@pytest.fixture(scope="module")
def name(lab: Lab) -> str:
    return short.write(lab.folder)


@pytest.fixture
def used(browser: Browser, lab: Lab, name: str) -> Iterator[Notebook]:
    """A notebook that was run, in which a slider was moved and a guess locked in; then it was saved."""
    notebook = Notebook(browser.new_page(viewport={"width": 1300, "height": 1000}), lab, name)
    notebook.run_all(seconds=120)
    explorer = notebook.cell("classroom.explore(")
    # One of the two copies is in view: the widget's, and not what is kept for later.
    expect(explorer.get_by_role("img")).to_have_count(1)
    handle = explorer.get_by_role("slider", name="level (m)")
    handle.focus()
    handle.press("ArrowRight")
    expect(explorer.get_by_role("img")).to_have_attribute("alt", "A line at level 4, blue, rising by one to the right.")
    guess = notebook.cell("Who wins?")
    guess.get_by_text("FL", exact=True).last.click()
    guess.get_by_role("button", name="Lock in my guess").first.click()
    expect(guess.get_by_text("Locked in: FL. Now run on")).to_be_visible()
    yield notebook
    notebook.page.close()


def check_what_is_left(notebook: Notebook, picture: str) -> None:
    explorer, guess = notebook.cell("classroom.explore("), notebook.cell("Who wins?")
    # Waits also until JupyterLab has given up on the widgets.
    expect(explorer.get_by_text("Here: level 4 m, dashed no, colour sea. Run this cell to get")).to_be_visible(
        timeout=60_000
    )
    expect(explorer.get_by_role("img")).to_have_count(1)
    expect(explorer.get_by_role("img")).to_have_attribute("alt", "A line at level 4, blue, rising by one to the right.")
    expect(guess.get_by_text("Locked in: FL. Run this cell to guess again.")).to_be_visible()
    expect(guess.get_by_text("How large is it?").last).to_be_visible()
    for control in ("slider", "checkbox", "combobox"):  # they are gone
        expect(explorer.get_by_role(control)).to_have_count(0)
    expect(guess.get_by_role("radio").or_(guess.get_by_role("slider"))).to_have_count(0)
    expect(guess.get_by_role("button", name="Lock in my guess")).to_have_count(0)
    for said in notebook.panel.get_by_text(DEAD).all():
        expect(said).to_be_hidden()
    notebook.picture(f"{picture}_explorer", of=explorer)
    notebook.picture(f"{picture}_guess", of=guess)


def test_after_a_restart_and_tomorrow_the_last_figure_and_the_guess_are_there_with_the_way_back(
    used: Notebook, lab: Lab, name: str
) -> None:
    used.choose("Kernel", "Restart Kernel…")
    used.page.locator(".jp-Dialog button.jp-mod-accept").click()
    check_what_is_left(used, "reopened_after_restart")

    used.choose("File", "Save Notebook")
    used.choose("Kernel", "Shut Down Kernel")
    expect(used.page.locator("#jp-main-statusbar")).to_contain_text("No Kernel")
    used.page.goto("about:blank")
    cells = json.loads((lab.folder / name).read_text())["cells"]
    outputs = [output for cell in cells for output in cell.get("outputs", [])]
    assert any(
        "Here: level 4 m" in "".join(output["data"]["text/plain"])
        for output in outputs
        if "text/plain" in output.get("data", {})
    )

    tomorrow = Notebook(used.page, lab, name)
    expect(tomorrow.panel.get_by_text(DEAD).first).to_be_attached(timeout=60_000)
    check_what_is_left(tomorrow, "reopened_tomorrow")

    explorer = tomorrow.cell("classroom.explore(")
    tomorrow.choose("Run", "Run All Cells")
    expect(explorer.get_by_role("slider", name="level (m)")).to_be_visible(timeout=60_000)
    expect(explorer.get_by_text("Run this cell to get the controls")).to_be_hidden()
    guess = tomorrow.cell("Who wins?")
    expect(guess.get_by_text("Locked in: FL. Now run on")).to_be_visible()
    expect(guess.get_by_role("radio", name="FL")).to_be_checked()
    expect(guess.get_by_role("radio", name="FL")).to_be_disabled()
    tomorrow.close()
