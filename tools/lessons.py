"""From a lesson, which authors write, to the notebooks that are derived from it.

A lesson is a MyST Markdown notebook, `lessons/NN_name.md`. It is the master: it holds the solutions and the instructor's
notes. Cells are told apart by their tags:

- `solution` (code): the lines between `# BEGIN SOLUTION` and `# END SOLUTION` become `...` in the learner's notebook, or the
  lines written as `# STUB: code` between the marks; the solved cell follows, folded away;
- `instructor`: left out of the learner's notebook. The notes are read in the lesson itself, so nothing collects them;
- `fold` (code): serves rather than teaches, so the learner sees its first line, `# @title What it does`, and its output;
  the rest of the source is one click away.
"""

import copy
import re
import tomllib
from pathlib import Path
from typing import Any

import nbformat
from nbformat import NotebookNode

from course_lib import windows
from tools.copies import NOT_RUN

BEGIN, END, STUB = "# BEGIN SOLUTION", "# END SOLUTION", "# STUB:"
FOLD, TITLE = "fold", "# @title"

_INSTALL = """\
# On Colab and the like, this installs the course. Where it is installed already, it does nothing.
import importlib.util, os, subprocess, sys

if sys.platform == "win32":
    class NotOnWindows(Exception):
        def _render_traceback_(self):  # what IPython shows in place of a traceback
            return [str(self)]

    raise NotOnWindows("{windows}")
if importlib.util.find_spec("course_lib") is None:
    source = os.environ.get("COURSE_LIB_SOURCE", "{source}")
    subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", source], check=True)"""


class LessonError(Exception):
    """A lesson that cannot be turned into a notebook; the message names the lesson and the remedy."""


def repository(root: Path) -> str:
    """Return the repository's address, which pyproject.toml alone holds."""
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return str(project["urls"]["repository"]).rstrip("/")


def find(root: Path, names: list[str]) -> list[Path]:
    """Return the lessons whose file names start with one of `names`, or all. Raises LessonError for a name without one."""
    lessons = sorted((root / "lessons").glob("[0-9][0-9]_*.md"))
    for name in names:
        if not any(lesson.stem.startswith(name) for lesson in lessons):
            raise LessonError(
                f"no lesson {name!r}; there are: {', '.join(lesson.stem for lesson in lessons) or 'none'}"
            )
    return [lesson for lesson in lessons if not names or any(lesson.stem.startswith(name) for name in names)]


def master(lesson: Path) -> NotebookNode:
    """Return the lesson with its solutions in place, as a notebook that has not been run."""
    return _finish(lesson, [_solved(cell) for cell in _read(lesson)])


def learner(lesson: Path, root: Path) -> NotebookNode:
    """Return what learners open, not yet run: the ways in, a cell that installs the course, exercises for solutions."""
    opening, *cells = _read(lesson)
    if opening.cell_type != "markdown" or not opening.source.startswith("# "):
        raise LessonError(f"{lesson.name}: the first cell must be text that starts with the lesson's '# Title'")
    address = repository(root)
    title, _, rest = opening.source.partition("\n")
    opening.source = f"{title}\n\n{_ways_in(address, lesson.stem)}\n{rest}".rstrip()
    install = nbformat.v4.new_code_cell(_INSTALL.format(source=f"git+{address}", windows=windows.SENTENCE))
    install.metadata.update(tags=["install"], jupyter={"source_hidden": True})
    derived = [opening, install]
    for cell in cells:
        if "instructor" in tags(cell):
            continue
        if FOLD in tags(cell):
            _fold(cell, lesson)
        derived.append(_exercise(cell, lesson) if "solution" in tags(cell) else cell)
        if "solution" in tags(cell):
            derived.append(_folded_solution(cell))
    return _finish(lesson, derived)


def tags(cell: NotebookNode) -> list[str]:
    """Return a cell's tags."""
    found: list[str] = cell.metadata.get("tags", [])
    return found


def same_cells(one: NotebookNode, other: NotebookNode) -> bool:
    """Say whether two notebooks ask for the same thing: cells, tags and metadata, whatever the outputs."""

    def asked(notebook: NotebookNode) -> list[Any]:
        return [(cell.id, cell.cell_type, cell.source, cell.metadata) for cell in notebook.cells]

    return asked(one) == asked(other) and one.metadata == other.metadata


def _read(lesson: Path) -> list[NotebookNode]:
    import jupytext

    # Dedicated cell ids come later: jupytext's are random.
    cells: list[NotebookNode] = jupytext.read(lesson, fmt="md:myst").cells
    if not cells:
        raise LessonError(f"{lesson.name}: the lesson has no cells")
    return cells


def _finish(lesson: Path, cells: list[NotebookNode]) -> NotebookNode:
    for index, cell in enumerate(cells):
        cell.id = f"{lesson.stem}-{index}"[-64:]
    notebook: NotebookNode = nbformat.v4.new_notebook(cells=cells)
    notebook.metadata.update(
        kernelspec={"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"},
        language_info={"name": "python", "file_extension": ".py", "mimetype": "text/x-python"},
    )
    notebook.nbformat_minor = 5
    return notebook


def _ways_in(address: str, stem: str) -> str:
    # In words: a badge is a picture from the internet, and broken without it.
    slug = address.removeprefix("https://github.com/")
    colab = f"https://colab.research.google.com/github/{slug}/blob/main/{NOT_RUN}/{stem}.ipynb"
    binder = f"https://mybinder.org/v2/gh/{slug}/main?urlpath=lab/tree/{NOT_RUN}/{stem}.ipynb"
    return f"[Open in Colab]({colab}) · [Open in Binder]({binder})"


def _solved(cell: NotebookNode) -> NotebookNode:
    solved = copy.deepcopy(cell)
    if "solution" in tags(cell):
        marks = (BEGIN, END, STUB)
        solved.source = "\n".join(line for line in cell.source.split("\n") if not line.strip().startswith(marks))
    return solved


def _exercise(cell: NotebookNode, lesson: Path) -> NotebookNode:
    exercise = copy.deepcopy(cell)
    pattern = re.compile(rf"^(?P<indent>[ \t]*){BEGIN}\n(?P<body>.*?)^[ \t]*{END}[ \t]*$", re.MULTILINE | re.DOTALL)
    exercise.source, found = pattern.subn(_stub, cell.source)
    if not found or BEGIN in exercise.source or END in exercise.source:
        raise LessonError(
            f"{lesson.name}: a cell tagged solution needs matching lines {BEGIN} and {END}:\n{cell.source}"
        )
    exercise.metadata["tags"] = ["exercise" if tag == "solution" else tag for tag in tags(cell)]
    return exercise


def _stub(match: re.Match[str]) -> str:
    lines = [line.strip().removeprefix(STUB) for line in match["body"].split("\n") if line.strip().startswith(STUB)]
    return "\n".join(match["indent"] + line.removeprefix(" ") for line in lines or ["..."])


def _fold(cell: NotebookNode, lesson: Path) -> None:
    """Hide a cell's source in JupyterLab, on Colab and on a site made with MyST, which know nothing of each other."""
    first, _, rest = cell.source.partition("\n")
    if cell.cell_type != "code" or "solution" in tags(cell):
        raise LessonError(f"{lesson.name}: only code that is no exercise can be tagged {FOLD}:\n{cell.source}")
    if not first.removeprefix(TITLE).strip() or not first.startswith(TITLE) or not rest.strip():
        raise LessonError(
            f"{lesson.name}: a cell tagged {FOLD} starts with a line that says what the code below it does, "
            f"'{TITLE} Draw the curves', not with:\n{first}"
        )
    cell.metadata.update(jupyter={"source_hidden": True}, cellView="form", tags=[*tags(cell), "hide-input"])


def _folded_solution(cell: NotebookNode) -> NotebookNode:
    text = f"<details><summary>Solution</summary>\n\n```python\n{_solved(cell).source}\n```\n\n</details>"
    folded: NotebookNode = nbformat.v4.new_markdown_cell(text)
    folded.metadata["tags"] = ["folded-solution"]
    return folded
