"""A tiny lesson becomes a notebook: derived, run, repeatable, and complained about where it should be."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbformat import NotebookNode

from tools import lessons, notebooks, review

ROOT = Path(__file__).resolve().parent.parent

HEAD = """\
---
jupytext:
  text_representation: {extension: .md, format_name: myst}
kernelspec: {display_name: Python 3, language: python, name: python3}
---

"""
TINY = (
    HEAD
    + """\
# A tiny lesson

About 5 minutes.

+++ {"tags": ["instructor"]}

Say nothing of the answer 42.

+++

```{code-cell} ipython3
from course_lib import classroom

bar = classroom.progress(total=3, label="Three steps")
for step in classroom.track([1, 2, 3], "Counting"):
    bar(step, 3)
classroom.predict("sum", "What is the sum?", slider=(0, 10, 1, "apples"))
```

```{code-cell} ipython3
:tags: [solution]

def check(add):
    assert add(1, 2) == 3, "one and two make three"


def add(a, b):
    # BEGIN SOLUTION
    return a + b
    # END SOLUTION


sums = classroom.Exercise("Sums", check, hints=["Use +."], solution="    return a + b")
sums.check(add)
```

```{code-cell} ipython3
:tags: [solution, nbval-ignore-output]

# BEGIN SOLUTION
# STUB: total = ...  # a whole number
# STUB: colour = ...
total = 3
colour = "blue"
# END SOLUTION
sums.check(lambda a, b: total)
```

The end.
"""
)


@pytest.fixture
def course(tmp_path: Path) -> Path:
    """A course of one lesson, under the address of the real one."""
    (tmp_path / "lessons").mkdir()
    (tmp_path / "notebooks").mkdir()
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    write(tmp_path, TINY)
    return tmp_path


@pytest.fixture(scope="module")
def tiny_notebook(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The notebook of the tiny lesson, built once for the tests that start from a built one."""
    root = tmp_path_factory.mktemp("built")
    (root / "lessons").mkdir()
    shutil.copy(ROOT / "pyproject.toml", root)
    path = notebooks.build(write(root, TINY), root)
    assert path is not None
    return path


@pytest.fixture
def built(course: Path, tiny_notebook: Path) -> Path:
    """The course of one lesson, its notebook built."""
    shutil.copy(tiny_notebook, course / "notebooks")
    return course


def write(course: Path, text: str) -> Path:
    lesson = course / "lessons" / "00_tiny.md"
    lesson.write_text(text, encoding="utf-8")
    return lesson


def command(course: Path, *arguments: str) -> int:
    return notebooks.main([*arguments, "--root", str(course)])


def stored(course: Path) -> NotebookNode:
    notebook: NotebookNode = nbformat.read(course / "notebooks" / "00_tiny.ipynb", as_version=4)
    return notebook


def derived(course: Path) -> NotebookNode:
    return lessons.learner(course / "lessons" / "00_tiny.md", course)


def test_the_learners_notebook_holds_stubs_and_folds_the_solutions_away(course: Path) -> None:
    cells = derived(course).cells
    first = next(cell for cell in cells if "def add" in cell.source)
    assert "def add(a, b):\n    ...\n" in first.source and "return a + b\n" not in first.source
    assert first.metadata.tags == ["exercise"]
    folded = cells[cells.index(first) + 1]
    assert folded.cell_type == "markdown"
    assert folded.source.startswith("<details><summary>Solution</summary>\n\n```python\ndef check")
    assert "    return a + b\n" in folded.source and "SOLUTION" not in folded.source


def test_a_stub_can_be_written_out(course: Path) -> None:
    cell = next(cell for cell in derived(course).cells if cell.source.startswith("total"))
    assert cell.source == "total = ...  # a whole number\ncolour = ...\nsums.check(lambda a, b: total)"
    assert cell.metadata.tags == ["exercise", "nbval-ignore-output"]


def test_the_instructors_notes_are_left_out_of_the_learners_notebook_only(course: Path) -> None:
    assert "answer 42" not in json.dumps(derived(course))
    assert "answer 42" in json.dumps(lessons.master(course / "lessons" / "00_tiny.md"))


def test_the_opening_has_badges_with_the_address_that_pyproject_holds(course: Path) -> None:
    project = (course / "pyproject.toml").read_text()
    (course / "pyproject.toml").write_text(
        re.sub(r'^repository = ".*"$', 'repository = "https://github.com/someone/course"', project, flags=re.MULTILINE)
    )
    opening, install = derived(course).cells[:2]
    assert opening.source.startswith("# A tiny lesson\n\n[![Open in Colab]")
    assert "https://colab.research.google.com/github/someone/course/blob/main/notebooks/00_tiny.ipynb" in opening.source
    assert "https://mybinder.org/v2/gh/someone/course/main?urlpath=lab/tree/notebooks/00_tiny.ipynb" in opening.source
    assert opening.source.endswith("About 5 minutes.")
    assert '"git+https://github.com/someone/course"' in install.source


def install(course: Path, present: bool, **environment: str) -> list[str]:
    """Run the install cell where `course_lib` is or is not installed; return what it would have installed."""
    # -S leaves out the installed packages, so nothing but the standard library is found.
    program = (
        "import subprocess\nsubprocess.run = lambda command, check: print(command[-1])\n"
        + derived(course).cells[1].source
    )
    options = [] if present else ["-S", "-I"]
    process = subprocess.run(
        [sys.executable, *options, "-c", program],
        env=environment,
        cwd=course,
        capture_output=True,
        text=True,
        check=True,
    )
    return process.stdout.split()


def test_the_first_code_cell_installs_the_course_where_it_is_missing(course: Path) -> None:
    assert install(course, present=False) == [f"git+{lessons.repository(course)}"]
    assert install(course, present=False, COURSE_LIB_SOURCE="course.whl") == ["course.whl"]


def test_the_first_code_cell_does_nothing_where_the_course_is_installed(course: Path) -> None:
    assert install(course, present=True) == []


def test_cells_have_the_same_names_each_time(course: Path) -> None:
    assert [cell.id for cell in derived(course).cells] == [f"00_tiny-{index}" for index in range(8)]


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


def test_stored_outputs_are_the_text_and_html_twins_without_timings_or_widget_names(built: Path) -> None:
    notebook = stored(built)
    shown = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    texts = [output.data["text/plain"] for output in shown]
    assert texts[:3] == ["Counting", "Three steps", "○ Your guess: What is the sum? (a number from 0 to 10 apples)"]
    assert all(text.startswith("○ Not attempted yet") for text in texts[3:]) and len(texts) == 5
    assert {kind for output in shown for kind in output.data} == {"text/plain", "text/html"}
    assert set(notebook.metadata) == {"kernelspec", "language_info"}
    assert all("execution" not in cell.metadata for cell in notebook.cells)


@pytest.mark.slow
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


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (HEAD + "No title.\n", "the first cell must be text that starts with the lesson's '# Title'"),
        (TINY.replace("    # END SOLUTION\n", ""), "needs matching lines # BEGIN SOLUTION and # END SOLUTION"),
        (TINY.replace("    # BEGIN SOLUTION\n", ""), "needs matching lines # BEGIN SOLUTION and # END SOLUTION"),
        (HEAD, "the lesson has no cells"),
    ],
)
def test_a_lesson_that_cannot_become_a_notebook_is_named_with_the_remedy(course: Path, text: str, message: str) -> None:
    lesson = write(course, text)
    with pytest.raises(lessons.LessonError, match=f"00_tiny.md: .*{re.escape(message)}"):
        lessons.learner(lesson, course)


def test_an_unknown_lesson_is_named_with_the_known_ones(course: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command(course, "build", "07") == 1
    assert "no lesson '07'; there are: 00_tiny" in capsys.readouterr().err
