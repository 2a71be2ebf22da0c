"""What a learner does in JupyterLab: open, type, run, look."""

import json
import re
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from playwright.sync_api import Locator, Page, Route, ViewportSize, expect

from tools import lessons

SCREENSHOTS = Path(__file__).resolve().parents[2] / "build" / "screenshots"

LAPTOP: ViewportSize = {"width": 1280, "height": 800}
# Milliseconds for what takes one or two seconds on a quiet machine: a busy one is slow, and that is no fault of a lesson.
PATIENCE = 180_000
expect.set_options(timeout=60_000)

# JupyterLab's own notes: what each code cell says, whether it is folded away or on the page or not.
_CODE_CELLS = "jupyterapp.shell.currentWidget.content.widgets.filter(one => one.model.type === 'code')"
_SHOWN = f"() => {_CODE_CELLS}.map(one => one.model.toJSON())"
_NUMBERS = f"() => {_CODE_CELLS}.map(one => one.model.executionCount)"
_TYPE = f"([at, code]) => {_CODE_CELLS}[at].model.sharedModel.setSource(code)"
_RUN = f"""at => {{
    const content = jupyterapp.shell.currentWidget.content;
    content.activeCellIndex = content.widgets.indexOf({_CODE_CELLS}[at]);
    return jupyterapp.commands.execute("notebook:run-cell");
}}"""


@dataclass
class Lab:
    """A running JupyterLab: where it listens, its token, and the folder it shows."""

    address: str
    token: str
    folder: Path


class Notebook:
    """A notebook open in JupyterLab, driven as a learner would."""

    def __init__(self, page: Page, lab: Lab, name: str) -> None:
        self.page = page
        self.page.set_default_timeout(PATIENCE)
        self.asked_outside: list[str] = []
        self.script_errors: list[str] = []
        self.page.on("pageerror", lambda error: self.script_errors.append(error.message))
        self.page.route(lambda address: urlsplit(address).hostname != "127.0.0.1", self._refuse)
        # A workspace of its own: the usual one would bring back the notebooks that were open before.
        self.page.goto(f"{lab.address}/lab/workspaces/{name.split('_')[0]}/tree/{name}?token={lab.token}")
        self.panel = self.page.locator(".jp-NotebookPanel:not(.lm-mod-hidden)")
        cells = json.loads((lab.folder / name).read_text(encoding="utf-8"))["cells"]
        self.code_cells = [cell for cell in cells if cell["cell_type"] == "code"]
        expect(self.panel.locator(".jp-CodeCell")).to_have_count(len(self.code_cells), timeout=PATIENCE)
        expect(self.panel.locator(".jp-Spinner")).to_have_count(0, timeout=PATIENCE)
        expect(self.page.locator("#jp-main-statusbar")).to_contain_text("| Idle", timeout=PATIENCE)

    def _refuse(self, route: Route) -> None:
        if route.request.url.startswith("http"):
            self.asked_outside.append(route.request.url)
        route.abort()

    def choose(self, menu: str, entry: str) -> None:
        """Click an entry of the menu bar."""
        self.page.locator(".lm-MenuBar-itemLabel").get_by_text(menu, exact=True).click()
        self.page.locator(".lm-Menu-itemLabel").get_by_text(entry, exact=True).click()

    def solve(self, lesson: Path) -> None:
        """Put the lesson's own solution into each exercise."""
        solved = [cell.source for cell in lessons.master(lesson).cells if "solution" in lessons.tags(cell)]
        exercises = [at for at, cell in enumerate(self.code_cells) if "exercise" in cell["metadata"].get("tags", [])]
        for at, code in zip(exercises, solved, strict=True):
            self.page.evaluate(_TYPE, [at, code])

    def run_all(self, seconds: float) -> None:
        """Clear all outputs, run all cells and wait until each has its number.

        Raises AssertionError, with the cell, for one that fails, writes to stderr or has not ended after so many seconds.
        """
        self.choose("Edit", "Clear Outputs of All Cells")
        self.choose("Run", "Run All Cells")
        deadline = time.monotonic() + seconds
        while not all(numbers := self.page.evaluate(_NUMBERS)):
            assert (wrong := self.failures()) == [], wrong
            waiting = self.named(next(at for at, number in enumerate(numbers) if not number))
            assert time.monotonic() < deadline, f"not done after {seconds:g} s: {waiting}"
            self.page.wait_for_timeout(1000)
        assert (wrong := self.failures()) == [], wrong

    def named(self, at: int) -> str:
        """Return how a message calls the code cell at a position."""
        return f"code cell {at + 1}, {self.code_cells[at]['source'][0].strip()!r}"

    def shown(self) -> list[dict[str, Any]]:
        """Return the code cells as JupyterLab would store them now: source, number, outputs."""
        cells: list[dict[str, Any]] = self.page.evaluate(_SHOWN)
        return cells

    def failures(self) -> list[str]:
        """Return what failed or was written to stderr, cell by cell."""
        found = []
        for at, cell in enumerate(self.shown()):
            for output in cell["outputs"]:
                if output["output_type"] == "error":
                    found.append(f"{self.named(at)} failed with {output['ename']}: {output['evalue']}")
                if output.get("name") == "stderr":
                    found.append(f"{self.named(at)} wrote to stderr: {''.join(output['text'])}")
        return found

    def unsolved(self) -> list[str]:
        """Return the exercises that are not called correct, with what they say instead."""
        found = []
        for at, cell in enumerate(self.shown()):
            if "exercise" not in cell["metadata"].get("tags", []):
                continue
            said = ["".join(output.get("data", {}).get("text/plain", "")) for output in cell["outputs"]]
            if not any(text.startswith("✓ Correct") for text in said):
                found.append(f"{self.named(at)} says {said}")
        return found

    def close(self) -> None:
        """Shut the kernel down, with all that it started, and close the page."""
        self.choose("Kernel", "Shut Down Kernel")
        expect(self.page.locator("#jp-main-statusbar")).to_contain_text("No Kernel")
        self.page.close()

    def _positions(self, text: str) -> list[int]:
        return [at for at, cell in enumerate(self.code_cells) if text in "".join(cell["source"])]

    def cells(self, text: str) -> list[Locator]:
        """Return the code cells whose code, folded or not, contains `text`."""
        return [self.panel.locator(".jp-CodeCell").nth(at) for at in self._positions(text)]

    def cell(self, text: str) -> Locator:
        """Return the one code cell whose code contains `text`."""
        (cell,) = self.cells(text)
        return cell

    def run(self, text: str) -> None:
        """Run the one cell whose code contains `text` again, and wait for the end."""
        (at,) = self._positions(text)
        self.page.evaluate(_RUN, at)

    def type_and_run(self, cell: Locator, code: str) -> None:
        """Replace the code of a cell, run it and wait for the end."""
        cell.locator(".cm-content").click()
        self.page.keyboard.press("ControlOrMeta+A")
        self.page.keyboard.insert_text(code)
        before = cell.locator(".jp-InputArea-prompt").inner_text()
        self.page.keyboard.press("ControlOrMeta+Enter")
        expect(cell.locator(".jp-InputArea-prompt")).not_to_have_text(before)
        expect(cell.locator(".jp-InputArea-prompt")).to_have_text(re.compile(r"\[\d+\]:"))

    def picture(self, name: str, of: Locator | None = None) -> None:
        """Save a screenshot, for people to look at."""
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        if of is not None:
            of.scroll_into_view_if_needed()
        (of or self.page).screenshot(path=SCREENSHOTS / f"{name}.png")
