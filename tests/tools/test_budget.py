"""A notebook that takes too long or holds too much fails, and the table says what each one took."""

import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

WATCH = (Path(__file__).parents[2] / "conftest.py").read_text(encoding="utf-8")
# The kernel holds 0.2 GB, and a process that it starts 0.3 GB more.
GREEDY = """import subprocess, sys, time
own = b"x" * 200_000_000
child = subprocess.run([sys.executable, "-c", "import time; own = b'x' * 300_000_000; time.sleep(1.5)"])"""


def watched(folder: Path, limits: str) -> subprocess.CompletedProcess[str]:
    """Run a notebook with nbval, with other limits for seconds and gigabytes."""
    (folder / "conftest.py").write_text(WATCH.replace("60.0, 2.0", limits), encoding="utf-8")
    cells = [nbformat.v4.new_code_cell(source) for source in (GREEDY, "2 + 2")]
    cells[0]["execution_count"] = 1
    cells[1]["execution_count"] = 2
    cells[1]["outputs"] = [nbformat.v4.new_output("execute_result", {"text/plain": "4"}, execution_count=2)]
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=kernel), folder / "greedy.ipynb")
    command = [sys.executable, "-m", "pytest", "--nbval", "-q", "-p", "no:cacheprovider", f"--rootdir={folder}", "."]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("limits", "complaint"),
    [
        ("60.0, 2.0", ""),
        ("1.0, 2.0", r"greedy.ipynb took \d+ s, more than 1:"),
        ("60.0, 0.4", r"greedy.ipynb held 0\.\d+ GB, more than 0.4:"),
    ],
)
def test_a_notebook_is_held_to_its_seconds_and_gigabytes(tmp_path: Path, limits: str, complaint: str) -> None:
    run = watched(tmp_path, limits)
    assert (run.returncode != 0) == bool(complaint), run.stdout
    assert re.search(complaint, run.stdout)
    found = re.findall(r"^greedy.ipynb +([\d.]+) s +([\d.]+) GB$", run.stdout, re.MULTILINE)
    assert len(found) == 1, run.stdout
    seconds, gigabytes = map(float, found[0])
    assert 1.4 < seconds < 30
    assert 0.5 < gigabytes < 1.0
