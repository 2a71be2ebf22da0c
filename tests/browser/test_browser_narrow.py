"""At 200% zoom, and by keyboard alone, all that a lesson shows can be read and used."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, ViewportSize, expect

from tests.browser import short
from tests.browser.learner import Lab, Notebook

pytestmark = [pytest.mark.browser, pytest.mark.timeout(600)]

# What a browser does to a laptop's 1280 by 800 at 200%. JupyterLab's side bar stays open, which leaves half of that.
ZOOMED: ViewportSize = {"width": 640, "height": 400}
_BOX = "[role=group][tabindex='0']"

# For each output in view: what of it lies beyond its right edge and is in no box that scrolls by itself.
_BEYOND = f"""() => [...document.querySelectorAll(".jp-NotebookPanel:not(.lm-mod-hidden) .jp-OutputArea-output")]
    .filter(output => output.offsetParent)
    .flatMap(output => {{
        const edge = output.getBoundingClientRect().left + output.clientWidth + 1;
        return [...output.querySelectorAll("*")]
            .filter(part => part.getBoundingClientRect().right > edge && !part.parentElement.closest("{_BOX}"))
            .map(part => `${{part.tagName}} ${{part.className}}: ${{part.textContent.slice(0, 60)}}`)
            .concat(output.scrollWidth > output.clientWidth ? [`it scrolls: ${{output.textContent.slice(0, 60)}}`] : []);
    }})"""


@pytest.fixture(scope="module")
def notebook(browser: Browser, lab: Lab) -> Iterator[Notebook]:
    """The short notebook at 200% zoom, all of its cells run."""
    page = browser.new_page(viewport=ZOOMED, device_scale_factor=2)
    notebook = Notebook(page, lab, short.write(lab.folder, "97_narrow.ipynb"))
    notebook.run_all(seconds=120)
    expect(notebook.cell("classroom.explore(").get_by_role("slider", name="level (m)")).to_be_visible()
    yield notebook
    notebook.close()


def test_a_quiz_is_answered_by_keyboard_and_arrow_keys_only_move(notebook: Notebook) -> None:
    quiz = notebook.cell("classroom.quiz(")
    first = quiz.get_by_role("group", name="What leaves a client in FedAvg?")
    one, other = first.get_by_role("button").all()
    said = quiz.get_by_role("status").first
    one.focus()
    for key, now in [("ArrowDown", other), ("ArrowUp", one), ("ArrowRight", other), ("ArrowRight", other)]:
        notebook.page.keyboard.press(key)
        expect(now).to_be_focused()
        expect(said).to_be_empty()
    right, wrong = first.get_by_role("button", name="an update"), first.get_by_role("button", name="its <examples>")
    for choice, key, answer in [(wrong, " ", "✗ They stay where they are."), (right, "Enter", "✓ One each round.")]:
        choice.focus()
        notebook.page.keyboard.press(key)
        expect(said).to_have_text(answer)
        expect(choice).to_be_focused()


def test_nothing_overflows_the_narrow_page(notebook: Notebook) -> None:
    quiz, guess = notebook.cell("classroom.quiz("), notebook.cell("Who wins?")
    for choice in quiz.locator(".MCButton").all():
        choice.click()
    guess.get_by_role("radio", name="FL").click()
    guess.get_by_role("button", name="Lock in my guess").first.click()
    expect(guess.get_by_text("Locked in: FL. Now run on")).to_be_visible()
    assert notebook.page.evaluate(_BEYOND) == []
    for cell, name in [(guess, "guess"), (quiz, "quiz"), (notebook.cell("classroom.verdict("), "table_and_verdict")]:
        notebook.picture(f"narrow_{name}", of=cell)


def test_a_line_to_guess_on_is_there_to_its_last_word_and_its_menu_has_it_as_name(notebook: Notebook) -> None:
    sheet = notebook.cell("predict_all(")
    cut = """label => label.scrollWidth > label.clientWidth + 1 || label.scrollHeight > label.clientHeight + 1"""
    lines = sheet.locator(".widget-dropdown > label").all()
    assert len(lines) == 2 and not any(line.evaluate(cut) for line in lines)
    sheet.get_by_role("combobox", name="(against the plain mean)").select_option("within a point")
    sheet.get_by_role("button", name="Lock in my guesses").click()
    expect(sheet.get_by_text("Locked in: 1 of 2")).to_be_visible()
    notebook.picture("narrow_sheet", of=sheet)


def test_a_table_that_is_wider_than_the_page_scrolls_by_keyboard(notebook: Notebook) -> None:
    box = notebook.panel.get_by_role("group", name="A wide table")
    assert box.evaluate("box => box.scrollWidth > box.clientWidth"), "this table is too narrow to test"
    box.focus()
    notebook.page.keyboard.press("ArrowRight")
    notebook.page.wait_for_function("box => box.scrollLeft > 0", arg=box.element_handle())
    expect(box).to_be_focused()
