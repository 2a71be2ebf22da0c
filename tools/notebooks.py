"""Build `notebooks/` and `learn/` from `lessons/`, and hold them in step.

    python -m tools.notebooks build [00 01 ...]       write and run the notebooks that are not up to date (--force: all)
    python -m tools.notebooks copy [00 01 ...]        write the copies in learn/ alone, without running anything
    python -m tools.notebooks check [00 01 ...]       say what is wrong with the notebooks, without running them
    python -m tools.notebooks solutions [00 01 ...]   run the lessons with their solutions in; every check must pass
    python -m tools.notebooks report [00 01 ...]      count what a learner sees of each: lines of code, words, cells

A notebook is up to date when it asks for exactly what its lesson derives (see `tools.lessons`) and was run without an
error. Outputs are stored without timings and without the state of widgets, so that building again changes nothing that
did not change. A lesson's copy in `learn/` has the same cells and no results: learners start from it, so that none is on the
page before its cell has run.
"""

import argparse
import os
import re
import sys
import time
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from tools.copies import NOT_RUN
from tools.lessons import LessonError, find, learner, master, same_cells
from tools.review import complaints, missing_parts, outputs, problems
from tools.visible import count

ROOT = Path(__file__).resolve().parent.parent
CELL_SECONDS = 120
_WIDGET = "application/vnd.jupyter.widget-view+json"


class CellFailedError(Exception):
    """A cell that raised or ran too long; the message is its source and its traceback."""


def build(lesson: Path, root: Path, *, force: bool = False) -> Path | None:
    """Write and run the notebook of one lesson; return its path, or None where it was up to date.

    Raises CellFailedError for a cell that raises or exceeds 120 s; the old notebook is then left as it was.
    """
    path = root / "notebooks" / f"{lesson.stem}.ipynb"
    notebook = learner(lesson, root)
    if not force and path.exists():
        stored = nbformat.read(path, as_version=4)
        if same_cells(stored, notebook) and not outputs(stored):
            return None
    path.parent.mkdir(exist_ok=True)
    run(notebook, path.parent)
    nbformat.validate(notebook)
    part = path.with_suffix(".part")
    nbformat.write(notebook, part)
    part.replace(path)
    return path


def copy(lesson: Path, root: Path) -> bool:
    """Write the notebook of one lesson as learners start from it, not run; say whether that changed anything."""
    path = root / NOT_RUN / f"{lesson.stem}.ipynb"
    text = nbformat.writes(learner(lesson, root)) + "\n"
    if path.exists() and path.read_text(encoding="utf-8") == text:
        return False
    path.parent.mkdir(exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return True


def solve(lesson: Path, root: Path) -> None:
    """Run a lesson with its solutions in place. Raises CellFailedError unless every check passes."""
    folder = root / "notebooks"
    folder.mkdir(exist_ok=True)
    run(master(lesson), folder, COURSE_STRICT_EXERCISES="1")


def run(notebook: NotebookNode, folder: Path, **environment: str) -> None:
    """Run a notebook in a fresh kernel of this Python, in `folder`; the outputs are stored in it, in a repeatable form."""
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
    from traitlets.config import Config

    metadata = nbformat.from_dict(notebook.metadata)
    # This environment's kernel, even where the user has another one called python3.
    variables = os.environ | {"JUPYTER_PREFER_ENV_PATH": "1", "MPLBACKEND": "agg"} | environment
    os.environ["JUPYTER_PREFER_ENV_PATH"] = "1"
    client = NotebookClient(
        notebook, timeout=CELL_SECONDS, kernel_name="python3", store_widget_state=False, record_timing=False,
        coalesce_streams=True, resources={"metadata": {"path": str(folder)}},
        config=Config(KernelManager={"transport_encryption": "auto"}),  # or the kernel warns that it is not
    )  # fmt: skip
    try:
        client.execute(env=variables)
    except (CellExecutionError, CellTimeoutError, DeadKernelError) as error:
        raise CellFailedError(re.sub(r"\x1b\[[0-9;]*m", "", str(error))) from None
    notebook.metadata = metadata
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
        if cell.cell_type == "code":
            # Without a kernel a widget is only an error message: what it showed is kept in the output under it.
            cell.outputs = [output for output in cell.outputs if _WIDGET not in output.get("data", {})]


def main(arguments: list[str] | None = None) -> int:
    """Run one of the commands; return 0 when there is nothing to complain about."""
    parser = argparse.ArgumentParser(prog="python -m tools.notebooks", description="Build and check the notebooks.")
    parser.add_argument("command", choices=["build", "copy", "check", "solutions", "report"])
    parser.add_argument("names", nargs="*", help="lessons, such as 00; all when left out")
    parser.add_argument("--force", action="store_true", help="build: run even what is up to date")
    parser.add_argument("--root", type=Path, default=ROOT, help="the folder that holds lessons/ and notebooks/")
    chosen = parser.parse_args(arguments)
    try:
        lessons = find(chosen.root, chosen.names)
    except LessonError as error:
        print(error, file=sys.stderr)
        return 1
    if chosen.command == "report":
        return _report(lessons, chosen.root)
    return max([_carry_out(chosen.command, lesson, chosen.root, chosen.force) for lesson in lessons], default=0)


def _report(lessons: list[Path], root: Path) -> int:
    print(f"{'lesson':<26}{'code lines':>12}{'the method':>12}{'folded cells':>14}{'words':>8}{'cells':>7}")
    for lesson in lessons:
        try:
            seen = count(learner(lesson, root))
        except LessonError as error:
            print(error, file=sys.stderr)
            return 1
        share = f"{seen.method} ({seen.method / max(1, seen.code):.0%})"
        print(f"{lesson.stem:<26}{seen.code:>12}{share:>12}{seen.folded:>14}{seen.words:>8,}{seen.cells:>7}")
    return 0


def _carry_out(command: str, lesson: Path, root: Path, force: bool) -> int:
    started = time.perf_counter()
    found: list[str] = []
    done = "nothing to say against it"
    try:
        if command == "build":
            done = "built and run" if build(lesson, root, force=force) else "up to date"
            copy(lesson, root)
        elif command == "copy":
            done = "written, not run" if copy(lesson, root) else "up to date"
        elif command == "solutions":
            solve(lesson, root)
            done = "every check passes"
        if command in ("build", "check"):
            found = problems(lesson, root)
        if command == "check":
            found += missing_parts(master(lesson)) + complaints(lesson, root)
    except (LessonError, CellFailedError) as error:
        found = [str(error)]
    for problem in found:
        print(f"{lesson.stem}: {problem}", file=sys.stderr)
    if not found:
        print(f"{lesson.stem}: {done} ({time.perf_counter() - started:.1f} s)")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
