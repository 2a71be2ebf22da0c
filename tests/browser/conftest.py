"""A real JupyterLab on loopback, seen through a real Chromium that can reach nothing else."""

import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, sync_playwright

from tests.browser.learner import LAPTOP, Lab, Notebook
from tools import copies, lessons

ROOT = Path(__file__).resolve().parents[2]
_FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--no-first-run",
]  # fmt: skip


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium without a window. Where there is none, the tests are skipped, except in CI, where they fail."""
    path = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if path is None:
        reason = "no Chromium found: install it (Debian: apt-get install chromium) to run the browser tests"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=path, args=_FLAGS)
        yield chromium
        chromium.close()


@pytest.fixture(scope="module")  # not longer: kernels and their workers would still be there in other tests
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """JupyterLab as `make lab` starts it, on a learner's copies and with nobody's settings."""
    home = tmp_path_factory.mktemp("lab")
    shutil.copytree(ROOT / copies.NOT_RUN, home / copies.NOT_RUN)
    copies.copy(home)
    folder = home / copies.FOLDER
    _settle(home / "settings")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    lab = Lab(f"http://127.0.0.1:{port}", secrets.token_hex(16), folder)
    command = [
        sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", "--ServerApp.ip=127.0.0.1",
        f"--ServerApp.port={port}", "--ServerApp.port_retries=0", f"--IdentityProvider.token={lab.token}",
        f"--ServerApp.root_dir={folder}", f"--LabApp.user_settings_dir={home / 'settings'}",
        f"--LabApp.workspaces_dir={home / 'workspaces'}", "--LabApp.expose_app_in_browser=True",
    ]  # fmt: skip
    places = {name: str(home / name.lower()) for name in ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "IPYTHONDIR")}
    with (home / "server.log").open("w") as log:
        server = subprocess.Popen(
            command, env=os.environ | places | {"JUPYTER_PREFER_ENV_PATH": "1"}, stdout=log, stderr=subprocess.STDOUT
        )  # fmt: skip
    try:
        _wait_for(lab, server, home / "server.log")
        yield lab
    finally:
        server.terminate()
        server.wait(timeout=60)


def _settle(settings: Path) -> None:
    """No questions on the first start, and every cell on the page, also where it has been scrolled out of view."""
    for plugin, values in {
        "apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},
        "notebook-extension/tracker": {"windowingMode": "none"},
    }.items():
        path = settings / "@jupyterlab" / f"{plugin}.jupyterlab-settings"
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps(values))


def _wait_for(lab: Lab, server: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 180
    while time.monotonic() < deadline and server.poll() is None:
        try:
            urllib.request.urlopen(f"{lab.address}/api/status?token={lab.token}", timeout=5).close()
            return
        except OSError:
            time.sleep(0.2)
    pytest.fail(f"JupyterLab did not start:\n{log.read_text()[-3000:]}")


@pytest.fixture(scope="module")
def open_notebook(browser: Browser, lab: Lab) -> Iterator[Notebook]:
    """Lesson 00, solved, all of its cells run."""
    (lesson,) = lessons.find(ROOT, ["00"])
    notebook = Notebook(browser.new_page(viewport=LAPTOP), lab, f"{lesson.stem}.ipynb")
    notebook.picture("00_as_it_opens")
    notebook.solve(lesson)
    notebook.run_all(seconds=400)
    yield notebook
    notebook.close()
