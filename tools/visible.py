"""What a learner sees of a lesson, counted: lines of code and how many of them are the method, words, cells.

Visible are the lines of code cells that are not folded and not the cell that installs the course; blank lines and comments do
not count. A visible line serves, rather than being the method, if it belongs to an import, or to a statement that words
something (an f-string) or calls `print`, `exercise`, or something of `classroom`, `plots`, `doctor`, `pd`, `axes` or `figure`;
`classroom.track` and `classroom.progress`, which only watch over a loop, do not make it serve. Of a compound statement (`for`, `with`, `def`) each
statement in its body is judged by itself, and its own first lines in the same way.
"""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass

from nbformat import NotebookNode

from tools.lessons import FOLD, tags

MOST_COLUMNS = 95
LEAST_METHOD = 0.6  # of the visible lines
_SERVING = {"print", "exercise", "classroom", "plots", "doctor", "pd", "axes", "figure"}
_WATCHING = {"track", "progress"}


@dataclass(frozen=True)
class Count:
    """Visible lines of code, those of them that are the method, folded cells, words of text, and all cells."""

    code: int
    method: int
    folded: int
    words: int
    cells: int


def count(notebook: NotebookNode) -> Count:
    """Count a learner's notebook."""
    code = method = folded = words = 0
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            words += 0 if "folded-solution" in tags(cell) else len(prose(cell.source).split())
        elif FOLD in tags(cell):
            folded += 1
        elif "install" not in tags(cell):
            all_lines = set(_lines(cell.source))
            code += len(all_lines)
            method += len(all_lines - serving(cell.source))
    return Count(code, method, folded, words, len(notebook.cells))


def complaints(notebook: NotebookNode) -> list[str]:
    """Return the lines that are too wide, titles without a fold, and a notebook of which most visible code only serves."""
    found = []
    for cell in notebook.cells:
        if cell.cell_type != "code" or "install" in tags(cell):
            continue
        if wide := [line for line in cell.source.split("\n") if len(line) > MOST_COLUMNS]:
            found.append(
                f"code cell {cell.id} has {len(wide)} line{'s' * (len(wide) > 1)} of more than {MOST_COLUMNS} columns, the first of them: "
                f"{wide[0].strip()[:60]}"
            )
        if re.match(r"# ?@title", cell.source) and FOLD not in tags(cell):
            found.append(f"code cell {cell.id} has a @title and is not tagged {FOLD}")
    seen = count(notebook)
    if seen.method < LEAST_METHOD * seen.code:
        found.append(
            f"of {seen.code} visible lines of code only {seen.method} are the method, less than {LEAST_METHOD:.0%}: fold what "
            f"serves (tag {FOLD}), or use classroom.table and classroom.plots"
        )
    return found


def serving(source: str) -> set[int]:
    """Return the numbers of the lines that tabulate, plot, print or import."""
    return {number for node in ast.parse(source).body for number in _serving(node)} & set(_lines(source))


def prose(text: str) -> str:
    """Return a text cell's words without its markup, formulas in code, addresses and ways in."""
    text = re.sub(r"```.*?```|<!--.*?-->", "", text, flags=re.DOTALL)
    text = re.sub(r"!\[[^\]]*\]\([^)]*\)", "", text)
    text = re.sub(r"^\[Open in .*$", "", text, flags=re.MULTILINE)  # the ways in, which no author writes
    text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", text)
    return re.sub(r"<[^>]+>|[|#*`-]", " ", text)


def _lines(source: str) -> Iterator[int]:
    """Return the numbers of the lines that hold code."""
    for number, line in enumerate(source.split("\n"), 1):
        if line.strip() and not line.strip().startswith("#"):
            yield number


def _serving(node: ast.stmt) -> Iterator[int]:
    body = [inner for name in ("body", "orelse", "finalbody") for inner in getattr(node, name, [])]
    if not body:
        if isinstance(node, ast.Import | ast.ImportFrom) or _serves(node):
            yield from range(node.lineno, (node.end_lineno or node.lineno) + 1)
        return
    for inner in body:
        yield from _serving(inner)
    # The first lines, such as `for name, run in classroom.track(runs):`, without the body.
    head = [part for part in ast.iter_child_nodes(node) if part not in body]
    if any(_serves(part) for part in head):
        yield from range(node.lineno, body[0].lineno)


def _serves(node: ast.AST) -> bool:
    for part in ast.walk(node):
        if isinstance(part, ast.JoinedStr):
            return True
        if isinstance(part, ast.Call):
            path = ast.unparse(part.func).split("(")[0].split(".")
            if path[0] in _SERVING and path[-1] not in _WATCHING:
                return True
    return False
