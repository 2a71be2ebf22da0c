"""What a learner does in JupyterLab: open, run, type, look."""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from playwright.sync_api import Locator, Page, Route, expect

SCREENSHOTS = Path(__file__).resolve().parents[2] / "build" / "screenshots"


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
        self.asked_outside: list[str] = []
        self.script_errors: list[str] = []
        page.on("pageerror", lambda error: self.script_errors.append(error.message))
        page.route(lambda address: urlsplit(address).hostname != "127.0.0.1", self._refuse)
        # A workspace of its own: the usual one would bring back the notebooks that were open before.
        page.goto(f"{lab.address}/lab/workspaces/{name.split('_')[0]}/tree/{name}?token={lab.token}")
        self.panel = page.locator(".jp-NotebookPanel:not(.lm-mod-hidden)")
        cells = json.loads((lab.folder / name).read_text())["cells"]
        self.code_cells = sum(cell["cell_type"] == "code" for cell in cells)
        expect(self.panel.locator(".jp-CodeCell")).to_have_count(self.code_cells, timeout=60_000)
        expect(self.panel.locator(".jp-Spinner")).to_have_count(0, timeout=60_000)
        expect(page.locator("#jp-main-statusbar")).to_contain_text("| Idle", timeout=60_000)

    def _refuse(self, route: Route) -> None:
        if route.request.url.startswith("http"):
            self.asked_outside.append(route.request.url)
        route.abort()

    def choose(self, menu: str, entry: str) -> None:
        """Click an entry of the menu bar."""
        self.page.locator(".lm-MenuBar-itemLabel").get_by_text(menu, exact=True).click()
        self.page.locator(".lm-Menu-itemLabel").get_by_text(entry, exact=True).click()

    def run_all(self, seconds: float) -> None:
        """Clear all outputs, run all cells and wait until each has its number."""
        prompts = self.panel.locator(".jp-CodeCell .jp-InputArea-prompt")
        # The cell that installs the course is folded away and shows no prompt; it is the first to run.
        shown = self.code_cells - 1
        self.choose("Edit", "Clear Outputs of All Cells")
        expect(prompts.get_by_text("[ ]:", exact=True)).to_have_count(shown)
        self.choose("Run", "Run All Cells")
        numbered = prompts.get_by_text(re.compile(r"^\[\d+\]:$"))
        expect(numbered).to_have_count(shown, timeout=1000 * seconds)

    def close(self) -> None:
        """Shut the kernel down, with all that it started, and close the page."""
        self.choose("Kernel", "Shut Down Kernel")
        expect(self.page.locator("#jp-main-statusbar")).to_contain_text("No Kernel")
        self.page.close()

    def cell(self, text: str) -> Locator:
        """Return the one code cell whose code contains `text`."""
        found = self.panel.locator(".jp-CodeCell").filter(has=self.page.locator(".cm-content", has_text=text))
        expect(found).to_have_count(1)
        return found

    def type_and_run(self, cell: Locator, code: str) -> None:
        """Replace the code of a cell, run it and wait for the end."""
        cell.locator(".cm-content").click()
        self.page.keyboard.press("ControlOrMeta+A")
        self.page.keyboard.insert_text(code)
        before = cell.locator(".jp-InputArea-prompt").inner_text()
        self.page.keyboard.press("ControlOrMeta+Enter")
        expect(cell.locator(".jp-InputArea-prompt")).not_to_have_text(before)
        expect(cell.locator(".jp-InputArea-prompt")).to_have_text(re.compile(r"\[\d+\]:"), timeout=30_000)

    def picture(self, name: str, of: Locator | None = None) -> None:
        """Save a screenshot, for people to look at."""
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        if of is not None:
            of.scroll_into_view_if_needed()
        (of or self.page).screenshot(path=SCREENSHOTS / f"{name}.png")
