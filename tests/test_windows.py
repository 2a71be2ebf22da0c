"""On Windows itself: one sentence, no traceback, from the import and from the doctor. Played here by another sys.platform."""

import subprocess
import sys

import pytest

from course_lib import windows


def on_windows(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", f"import runpy, sys\n{code}"], capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize(
    "code",
    ["import course_lib", "from course_lib import data", "import course_lib.rounds",
     "sys.argv[1:] = ['doctor']; runpy.run_module('course_lib', run_name='__main__')"],
)  # fmt: skip
def test_a_script_and_the_doctor_end_with_one_sentence(code: str) -> None:
    done = on_windows(f"sys.platform = 'win32'\n{code}")
    assert (done.returncode, done.stdout, done.stderr) == (1, "", f"{windows.SENTENCE}\n")


def test_in_a_notebook_the_cell_fails_with_the_sentence_alone() -> None:
    cell = "from course_lib import doctor"
    done = on_windows(
        "from IPython.core.interactiveshell import InteractiveShell\nshell = InteractiveShell()\n"
        f"sys.platform = 'win32'\nprint(shell.run_cell({cell!r}).success)"
    )
    assert done.stdout == f"{windows.SENTENCE}\nFalse\n"
    assert done.stderr == ""


def test_here_the_course_imports() -> None:
    assert on_windows("import course_lib").returncode == 0
