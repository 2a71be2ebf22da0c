"""A notebook is run when it must be, repeats exactly, and fails with what failed."""

import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from tests.tools.tiny import TINY, command, stored, write
from tools import lessons, review

pytestmark = pytest.mark.slow


def test_a_notebook_is_built_once_and_again_only_when_its_lesson_changes(
    course: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command(course, "build") == 0
    assert "built and run" in capsys.readouterr().out
    path = course / "notebooks" / "00_tiny.ipynb"
    first = path.read_bytes()

    write(course, TINY.replace("answer 42", "answer 43"))
    assert command(course, "build") == 0, "what learners do not see changes nothing"
    assert "up to date" in capsys.readouterr().out
    assert command(course, "build", "--force") == 0
    assert path.read_bytes() == first, "running again stores the same bytes"

    write(course, TINY.replace("The end.", "The very end."))
    assert command(course, "check") == 1
    assert "out of step with its lesson" in capsys.readouterr().err
    assert command(course, "build") == 0
    assert "The very end." in path.read_text()
    assert review.problems(course / "lessons" / "00_tiny.md", course) == []


def test_the_copy_to_start_from_has_the_cells_and_no_results_and_is_held_in_step(
    built: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lesson, path = built / "lessons" / "00_tiny.md", built / "learn" / "00_tiny.ipynb"
    path.unlink()
    assert any("learn/00_tiny.ipynb is missing" in problem for problem in review.problems(lesson, built))
    assert command(built, "copy") == 0
    assert "written, not run" in capsys.readouterr().out
    assert review.problems(lesson, built) == []
    copied = nbformat.read(path, as_version=4)
    nbformat.validate(copied)
    assert lessons.same_cells(copied, stored(built))
    assert all((cell.outputs, cell.execution_count) == ([], None) for cell in copied.cells if cell.cell_type == "code")

    path.write_bytes((built / "notebooks" / "00_tiny.ipynb").read_bytes())
    assert any("shows results before its cells have run" in problem for problem in review.problems(lesson, built))
    assert command(built, "copy") == 0 and review.problems(lesson, built) == []

    write(built, TINY.replace("The end.", "The very end."))
    assert any("learn/00_tiny.ipynb is out of step" in problem for problem in review.problems(lesson, built))


def test_stored_outputs_are_the_text_and_html_twins_without_timings_or_widget_names(built: Path) -> None:
    notebook = stored(built)
    shown = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    texts = [output.data["text/plain"] for output in shown]
    assert texts[:3] == ["Counting", "Three steps", "○ Your guess: What is the sum? (a number from 0 to 10 apples)"]
    assert all(text.startswith("○ Not attempted yet") for text in texts[3:]) and len(texts) == 5
    assert {kind for output in shown for kind in output.data} == {"text/plain", "text/html"}
    assert set(notebook.metadata) == {"kernelspec", "language_info"}
    assert all("execution" not in cell.metadata for cell in notebook.cells)


def test_nbval_finds_the_same_outputs_when_it_runs_the_notebook(built: Path) -> None:
    process = subprocess.run(
        [sys.executable, "-m", "pytest", "--nbval", "-q", "-p", "no:cacheprovider", f"--rootdir={built}", "notebooks"],
        cwd=built, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert process.returncode == 0, process.stdout
    assert "4 passed" in process.stdout


def test_the_master_passes_every_check(course: Path) -> None:
    assert command(course, "solutions", "00") == 0


@pytest.mark.parametrize("wrong", [("return a + b", "return a - b"), ("total = 3", "total = ...")])
def test_a_master_with_a_wrong_or_a_missing_solution_fails(
    course: Path, wrong: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    write(course, TINY.replace(*wrong))
    assert command(course, "solutions") == 1
    assert "Sums: Not" in capsys.readouterr().err


def test_a_cell_that_raises_fails_the_build_with_its_traceback_and_keeps_the_old_notebook(
    built: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = (built / "notebooks" / "00_tiny.ipynb").read_bytes()
    write(built, TINY + "\n```{code-cell} ipython3\nbroken = 1 / 0\n```\n")
    assert command(built, "build") == 1
    complaint = capsys.readouterr().err
    assert "broken = 1 / 0" in complaint and "ZeroDivisionError: division by zero" in complaint
    assert "\x1b" not in complaint
    assert (built / "notebooks" / "00_tiny.ipynb").read_bytes() == before
