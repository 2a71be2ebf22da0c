"""What is wrong with a notebook: out of step, not run, failing, too large, or too long to read in one look."""

import json
import re
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from tools import prose, visible
from tools.copies import NOT_RUN
from tools.lessons import find, learner, master, same_cells, tags

MOST_BYTES = 1_000_000
MOST_WORDS = 150
MOST_LINES = 20

# What every lesson has: what to look for in the master, and what it is called.
_PARTS = {
    "a prediction": r"classroom\.predict\(",
    "the measured answer to the prediction": r"classroom\.reveal\(",
    "a control to explore": r"classroom\.explore\(",
    "an exercise": r"\b[eE]xercise\(",
    "a verdict": r"classroom\.verdict\(",
    "a quiz": r"classroom\.quiz\(",
    "minutes in the opening": r"(?i)\bminutes\b",
    "what you will be able to do": r"(?i)\b(able to|you can)\b",
    "the statements on trial": r"(?i)\bstatements? on trial\b",
    "take-aways": r"(?im)^#+.*\btake[- ]aways\b",
    "papers with links": r"https?://(arxiv\.org|doi\.org)/",
}


def problems(lesson: Path, root: Path) -> list[str]:
    """Return what is wrong with the notebook of a lesson and with the lesson itself, in words; nothing is run."""
    path = root / "notebooks" / f"{lesson.stem}.ipynb"
    if not path.exists():
        return [f"{path.name} is missing: build it"]
    notebook, derived = nbformat.read(path, as_version=4), learner(lesson, root)
    found = [] if same_cells(notebook, derived) else [f"{path.name} is out of step with its lesson: build it"]
    found += copied(root / NOT_RUN / path.name, derived)
    size = path.stat().st_size
    if size >= MOST_BYTES:
        found.append(f"{path.name} has {size:,} bytes, more than {MOST_BYTES:,}: draw fewer or smaller figures")
    return [*found, *outputs(notebook), *lengths(notebook)]


def copied(path: Path, derived: NotebookNode) -> list[str]:
    """Return what is wrong with a lesson's copy in `learn/`: no result, and the cells that the lesson derives."""
    if not path.exists():
        return [f"{NOT_RUN}/{path.name} is missing: write it with `python -m tools.notebooks copy`"]
    copy = nbformat.read(path, as_version=4)
    found = []
    if not same_cells(copy, derived):
        found = [f"{NOT_RUN}/{path.name} is out of step with its lesson: `python -m tools.notebooks copy`"]
    if any(cell.get("outputs") or cell.get("execution_count") for cell in copy.cells):
        found.append(f"{NOT_RUN}/{path.name} shows results before its cells have run: `python -m tools.notebooks copy`")
    return found


def complaints(lesson: Path, root: Path) -> list[str]:
    """Return what in a lesson's text and code does not serve its reader; its notebook tells which numbers were measured."""
    written, derived = master(lesson), learner(lesson, root)
    found = visible.complaints(derived) + prose.timing(written)
    found += prose.wording(derived, [each.stem for each in find(root, [])])
    path = root / "notebooks" / f"{lesson.stem}.ipynb"
    return found + (prose.numbers(written, nbformat.read(path, as_version=4)) if path.exists() else [])


def outputs(notebook: NotebookNode) -> list[str]:
    """Return the cells that were not run, failed, wrote to stderr, or show an image without alternative text."""
    found = []
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    for position, cell in enumerate(code, 1):
        if cell.execution_count != position:
            found.append(f"cell {cell.id} was not run in order, from a fresh kernel: {_first_line(cell)}")
        for output in cell.outputs:
            if output.output_type == "error":
                found.append(f"cell {cell.id} failed with {output.ename}: {output.evalue}")
            if output.output_type == "stream" and output.name == "stderr":
                found.append(f"cell {cell.id} writes to stderr: {output.text.strip()[:200]}")
            if _bare_image(output):
                found.append(f"cell {cell.id} shows an image without alternative text: use classroom.plots")
    return found


def lengths(notebook: NotebookNode) -> list[str]:
    """Return the cells that are too long to take in at one look."""
    found = []
    for cell in notebook.cells:
        if "folded-solution" in tags(cell) or "instructor" in tags(cell):
            continue
        if cell.cell_type == "markdown" and (words := len(visible.prose(cell.source).split())) >= MOST_WORDS:
            found.append(f"text cell {cell.id} has {words} words, {MOST_WORDS} or more: {_first_line(cell)}")
        lines = [line for line in cell.source.split("\n") if line.strip()]
        if cell.cell_type == "code" and len(lines) > MOST_LINES:
            found.append(f"code cell {cell.id} has {len(lines)} lines, more than {MOST_LINES}: {_first_line(cell)}")
    return found


def missing_parts(lesson: NotebookNode) -> list[str]:
    """Return which parts of "what every lesson has" a lesson lacks."""
    text = "\n\n".join(cell.source for cell in lesson.cells)
    found = [f"the lesson has no sign of {part}" for part, sign in _PARTS.items() if not re.search(sign, text)]
    if not any("instructor" in tags(cell) for cell in lesson.cells):
        found.append("the lesson has no instructor notes (cells tagged instructor)")
    exercises = [cell for cell in lesson.cells if "solution" in tags(cell)]
    if not 2 <= len(exercises) <= 3:
        found.append(f"the lesson has {len(exercises)} exercises (cells tagged solution), not two or three")
    unchecked = [cell for cell in exercises if ".check(" not in cell.source]
    return found + [f"exercise cell {cell.id} does not end with .check(...)" for cell in unchecked]


def _bare_image(output: NotebookNode) -> bool:
    data = output.get("data", {})
    # An <img> brings its alternative text along; a plain PNG, as matplotlib's backend makes it, has none.
    pictures = re.findall(r"<img\b[^>]*>", str(data.get("text/html", "")))
    return "image/png" in data or any(not re.search(r'\balt="[^"]+"', picture) for picture in pictures)


def _first_line(cell: NotebookNode) -> str:
    return json.dumps(str(cell.source).split("\n", 1)[0][:60])
