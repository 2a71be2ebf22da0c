"""What is wrong with a notebook or a lesson is said, cell by cell and part by part."""

from pathlib import Path

import nbformat
import pytest

from tests.tools.tiny import HEAD, TINY, command, stored, write
from tools import lessons, notebooks, review


def test_what_is_wrong_with_a_notebook_is_said_cell_by_cell(course: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(
        course,
        TINY
        + '\n```{code-cell} ipython3\nimport sys\nprint("careless", file=sys.stderr)\n```\n'
        + "\n" + "word " * 150 + "\n"
        + "\n```{code-cell} ipython3\n" + "x = 1\n" * 21 + "```\n"
        + '\n```{code-cell} ipython3\nfrom IPython.display import HTML\nHTML("<img src=x>")\n```\n',
    )  # fmt: skip
    assert command(course, "build") == 1
    complaints = capsys.readouterr().err
    for part in ["writes to stderr: careless", "has 150 words", "has 21 lines", "image without alternative text"]:
        assert part in complaints


def test_a_notebook_that_was_not_run_or_failed_is_never_up_to_date(built: Path) -> None:
    complete = stored(built)
    assert review.outputs(complete) == []

    cleared = stored(built)
    for cell in cleared.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    assert len(review.outputs(cleared)) == 4 and "was not run" in review.outputs(cleared)[0]

    failed = stored(built)
    failed.cells[-2].execution_count = 1
    failed.cells[3].outputs.append(nbformat.v4.new_output("error", ename="Oops", evalue="no", traceback=[]))
    assert any("failed with Oops: no" in problem for problem in review.outputs(failed))
    nbformat.write(failed, built / "notebooks" / "00_tiny.ipynb")
    assert notebooks.build(built / "lessons" / "00_tiny.md", built) is not None


def test_a_notebook_that_is_too_large_is_named_with_its_size(built: Path) -> None:
    notebook = stored(built)
    notebook.cells[3].outputs.append(nbformat.v4.new_output("stream", name="stdout", text="x" * 1_000_000))
    nbformat.write(notebook, built / "notebooks" / "00_tiny.ipynb")
    [problem] = review.problems(built / "lessons" / "00_tiny.md", built)
    assert "more than 1,000,000" in problem


def test_a_notebook_that_does_not_exist_is_a_problem(course: Path) -> None:
    assert review.problems(course / "lessons" / "00_tiny.md", course) == ["00_tiny.ipynb is missing: build it"]


def test_the_parts_that_a_lesson_lacks_are_named(course: Path) -> None:
    missing = review.missing_parts(lessons.master(course / "lessons" / "00_tiny.md"))
    assert "the lesson has no sign of a verdict" in missing
    assert "the lesson has no sign of a quiz" in missing
    assert not any("prediction" in part and "answer" not in part for part in missing)
    assert not any("instructor" in part or "exercise" in part for part in missing)

    bare = write(course, HEAD + "# Nothing\n")
    missing = review.missing_parts(lessons.master(bare))
    assert "the lesson has no instructor notes (cells tagged instructor)" in missing
    assert "the lesson has 0 exercises (cells tagged solution), not two or three" in missing
