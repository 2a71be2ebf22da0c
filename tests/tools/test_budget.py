"""A notebook that takes too long or holds too much fails, and the table says what each one took."""

import importlib.util
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import nbformat
import psutil
import pytest

ROOT = Path(__file__).parents[2]
WATCH = (ROOT / "conftest.py").read_text(encoding="utf-8")
# The kernel holds 0.2 GB, and a process that it starts 0.3 GB more.
GREEDY = """import subprocess, sys, time
own = b"x" * 200_000_000
child = subprocess.run([sys.executable, "-c", "import time; own = b'x' * 300_000_000; time.sleep(4)"])"""


def watched(folder: Path, limits: str) -> subprocess.CompletedProcess[str]:
    """Run a notebook with nbval, with other limits for seconds, gigabytes and seconds on average."""
    # However slow and busy this machine is, it counts as the one that is meant.
    own = WATCH.replace("45.0, 2.0, 30.0", limits).replace("2400.0", "0.001").replace("CORES = 2.0", "CORES = 0.001")
    (folder / "conftest.py").write_text(own, encoding="utf-8")
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
        ("60.0, 2.0, 60.0", ""),
        ("1.0, 2.0, 30.0", r"greedy.ipynb took \d+ s, more than 1:"),
        ("60.0, 0.4, 60.0", r"greedy.ipynb held 0\.\d+ GB, more than 0.4:"),
    ],
)
def test_a_notebook_is_held_to_its_seconds_and_gigabytes(tmp_path: Path, limits: str, complaint: str) -> None:
    run = watched(tmp_path, limits)
    assert (run.returncode != 0) == bool(complaint), run.stdout
    assert re.search(complaint, run.stdout)
    found = re.findall(r"^greedy.ipynb +([\d.]+) s +([\d.]+) GB$", run.stdout, re.MULTILINE)
    assert len(found) == 1, run.stdout
    seconds, gigabytes = map(float, found[0])
    assert 4 < seconds < 60
    assert 0.5 < gigabytes < 1.0


@pytest.fixture
def budget() -> ModuleType:
    """The watch as a module of its own, which has seen no notebook."""
    spec = importlib.util.spec_from_file_location("budget", ROOT / "conftest.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_machine_half_as_fast_gets_twice_the_seconds_and_no_more_memory(budget: ModuleType) -> None:
    assert budget.over_budget(45, 2.0, 1.0) is None and budget.over_budget(90, 2.0, 2.0) is None
    assert "took 46 s, more than 45" in budget.over_budget(46, 2.0, 1.0)
    assert "took 91 s, more than 90" in budget.over_budget(91, 2.0, 2.0)
    assert "held 2.10 GB" in budget.over_budget(1, 2.1, 2.0)
    assert budget.slowness() >= 1


def test_cores_that_others_keep_busy_are_not_there_for_the_notebook(budget: ModuleType) -> None:
    assert budget.crowding(10.0, 0.0, 2) == budget.crowding(10.0, 20.0, 4) == 1.0
    assert budget.crowding(10.0, 10.0, 2) == budget.crowding(10.0, 30.0, 4) == 2.0
    assert budget.crowding(10.0, 0.0, 1) == 2.0
    assert budget.crowding(10.0, 20.0, 2) == 10.0  # not without end


WORK = r"""import subprocess, sys, time
spin = "import time\nwhile time.process_time() < 1: pass"
subprocess.run([sys.executable, "-c", spin], check=True)
living = subprocess.Popen([sys.executable, "-c", spin + "\nprint(flush=True)\ntime.sleep(600)"], stdout=subprocess.PIPE)
living.stdout.readline()
exec(spin)
print(flush=True)
time.sleep(600)"""


@pytest.mark.slow
def test_what_a_notebook_s_processes_compute_is_not_put_down_to_others(budget: ModuleType) -> None:
    before = budget.busy_seconds()
    with subprocess.Popen([sys.executable, "-c", WORK], stdout=subprocess.PIPE) as process:
        parent = psutil.Process(process.pid)
        try:
            assert process.stdout is not None
            process.stdout.readline()
            computed = budget.family_seconds(
                parent
            )  # a second each: the child that has ended, the one that lives, its own
            assert 2.8 < computed < 6
            assert budget.busy_seconds() - before > 0.8 * computed  # whatever others do besides
        finally:
            for one in budget.family(parent):
                one.kill()


def test_a_course_is_held_to_its_mean(budget: ModuleType) -> None:
    budget._taken.update(long=(44.0, 1.0, 1.0), short=(40.0, 1.0, 2.0))
    assert budget.over_mean() is None  # too few to be a course
    budget._taken["other"] = (26.0, 1.0, 1.0)
    assert budget.over_mean() is None
    budget._taken["other"] = (27.0, 1.0, 1.0)
    assert "take 30 s on average, more than 30: shorten the longest" in budget.over_mean()


@pytest.mark.slow
def test_the_summary_says_where_the_time_went(tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text(WATCH, encoding="utf-8")
    (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers = slow\n", encoding="utf-8")
    text = "import pytest\n\n@pytest.mark.slow\ndef test_one(): pass\n\ndef test_other(): pass\n"
    (tmp_path / "test_both.py").write_text(text, encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--rootdir={tmp_path}", "."]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    counts = dict(re.findall(r"^(\S+) +[\d.]+ s +(\d+) tests$", done.stdout, re.MULTILINE))
    assert counts == {"slow": "1", "quick": "1", ".": "2"}
