"""What learners open is derived from the lesson: stubs, folded solutions, the ways in, an install cell."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from course_lib import windows
from tests.tools.tiny import HEAD, TINY, command, derived, write
from tools import lessons, visible


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


def test_the_opening_has_the_ways_in_without_results_at_the_address_that_pyproject_holds(course: Path) -> None:
    project = (course / "pyproject.toml").read_text(encoding="utf-8")
    (course / "pyproject.toml").write_text(
        re.sub(r'^repository = ".*"$', 'repository = "https://github.com/someone/course"', project, flags=re.MULTILINE)
    )
    opening, install = derived(course).cells[:2]
    assert opening.source.startswith("# A tiny lesson\n\n[Open in Colab](")
    assert "https://colab.research.google.com/github/someone/course/blob/main/learn/00_tiny.ipynb" in opening.source
    assert "https://mybinder.org/v2/gh/someone/course/main?urlpath=lab/tree/learn/00_tiny.ipynb" in opening.source
    assert "![" not in opening.source, "a picture from the internet is broken without it"
    assert visible.prose(opening.source).split() == ["A", "tiny", "lesson", "About", "5", "minutes."]
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


def test_on_windows_itself_the_first_code_cell_says_one_sentence_and_installs_nothing(course: Path) -> None:
    cell = derived(course).cells[1].source
    program = (
        "import subprocess, sys\nsubprocess.run = print\nfrom IPython.core.interactiveshell import InteractiveShell\n"
        f"shell = InteractiveShell()\nsys.platform = 'win32'\nprint(shell.run_cell({cell!r}).success)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == (f"{windows.SENTENCE}\nFalse\n", "")


FOLDED = """
```{code-cell} ipython3
:tags: [fold, nbval-ignore-output]

# @title Draw the curves
print("a curve")
```
"""


def test_serving_code_is_folded_in_jupyterlab_on_colab_and_on_a_site(course: Path) -> None:
    write(course, TINY + FOLDED)
    cell = derived(course).cells[-1]
    assert cell.source == '# @title Draw the curves\nprint("a curve")'
    assert cell.metadata == {
        "jupyter": {"source_hidden": True},
        "cellView": "form",
        "tags": ["fold", "nbval-ignore-output", "hide-input"],
    }
    # The master, which instructors read, shows everything.
    assert "jupyter" not in lessons.master(course / "lessons" / "00_tiny.md").cells[-1].metadata


def test_a_notebook_whose_cell_was_unfolded_by_hand_is_out_of_step(course: Path) -> None:
    write(course, TINY + FOLDED)
    unfolded = derived(course)
    del unfolded.cells[-1].metadata["jupyter"]
    assert not lessons.same_cells(unfolded, derived(course))


def test_cells_have_the_same_names_each_time(course: Path) -> None:
    assert [cell.id for cell in derived(course).cells] == [f"00_tiny-{index}" for index in range(8)]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (HEAD + "No title.\n", "the first cell must be text that starts with the lesson's '# Title'"),
        (TINY.replace("    # END SOLUTION\n", ""), "needs matching lines # BEGIN SOLUTION and # END SOLUTION"),
        (TINY.replace("    # BEGIN SOLUTION\n", ""), "needs matching lines # BEGIN SOLUTION and # END SOLUTION"),
        (HEAD, "the lesson has no cells"),
        (TINY + FOLDED.replace("# @title Draw the curves\n", ""), "says what the code below it does"),
        (TINY + FOLDED.replace(" Draw the curves", ""), "says what the code below it does"),
        (TINY + FOLDED.replace('print("a curve")\n', ""), "says what the code below it does"),
        (TINY.replace("[solution]", "[solution, fold]"), "only code that is no exercise can be tagged fold"),
    ],
)
def test_a_lesson_that_cannot_become_a_notebook_is_named_with_the_remedy(course: Path, text: str, message: str) -> None:
    lesson = write(course, text)
    with pytest.raises(lessons.LessonError, match=f"00_tiny.md: .*{re.escape(message)}"):
        lessons.learner(lesson, course)


def test_an_unknown_lesson_is_named_with_the_known_ones(course: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command(course, "build", "07") == 1
    assert "no lesson '07'; there are: 00_tiny" in capsys.readouterr().err
