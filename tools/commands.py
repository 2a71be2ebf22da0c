"""Which commands measure a lesson's verdicts again, read off the lesson: its stored studies reach a verdict through names.

A name depends on a study that its value was looked up in (`classroom.stored("skew")`), and on whatever the names that it was made
from depend on. What a lesson trains itself, and a verdict that depends on no study, is measured again by building the lesson.
"""

import ast
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

_STUDIES = "course_lib/classroom/studies"
_LIVE = ("fit", "launch")  # rounds.fit and cluster.launch: what comes back was measured in the lesson


def commands(cells: Iterable[str], lesson: str, root: Path) -> dict[int, list[tuple[str, ...]]]:
    """Return, for each statement with a verdict in the code cells of a lesson, the commands that measure it, one tuple a verdict."""
    known: dict[str, set[str]] = {}
    found: dict[int, list[tuple[str, ...]]] = {}
    for part in (part for cell in cells for part in _parsed(cell)):
        used = _studies(part, known)
        for name in _changed(part):
            known[name] = used if _names_anew(part) else known.get(name, set()) | used
        for call in _verdicts(part):
            sources = _studies(call, known)
            again = [_command(study, root) for study in sorted(sources - {*_LIVE})]
            if not again or sources & {*_LIVE}:
                again.append(f"python -m tools.notebooks build {lesson} --force")
            found.setdefault(ast.literal_eval(call.args[0]), []).append(tuple(dict.fromkeys(again)))
    return found


def _parsed(cell: str) -> list[ast.stmt]:
    lines = ["" if line.lstrip().startswith(("%", "!")) else line for line in cell.split("\n")]
    return ast.parse("\n".join(lines)).body


def _studies(part: ast.AST, known: Mapping[str, set[str]]) -> set[str]:
    """Return the studies that a piece of code looks up, or that the names in it depend on, and `_LIVE` where something was trained."""
    found: set[str] = set()
    for node in ast.walk(part):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
            found |= known.get(node.id, set())
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            if node.func.attr == "stored":
                found |= {ast.literal_eval(argument) for argument in node.args}
            elif node.func.attr in _LIVE:
                found.add(node.func.attr)
    return found


def _names_anew(part: ast.stmt) -> bool:
    """Return whether a statement gives names a value that owes nothing to what they meant before."""
    return isinstance(part, ast.FunctionDef) or (
        isinstance(part, ast.Assign)
        and not any(
            isinstance(node, ast.Subscript | ast.Attribute) and isinstance(node.ctx, ast.Store)
            for node in ast.walk(part)
        )
    )


def _changed(part: ast.stmt) -> Iterator[str]:
    """Yield the names that a statement gives a value, defines or, with a method or an index, may change; not those that live inside a
    function or a comprehension."""
    if isinstance(part, ast.FunctionDef):
        yield part.name
        return
    left: list[ast.AST] = [part]
    while left:
        node = left.pop()
        match node:
            case ast.Name(id=name, ctx=ast.Store()) | ast.FunctionDef(name=name):
                yield name
            case ast.Subscript(value=ast.Name(id=name), ctx=ast.Store()):
                yield name
            case ast.Call(
                func=ast.Attribute(value=ast.Name(id=name), attr="append" | "update" | "extend" | "setdefault")
            ):
                yield name
        if not isinstance(node, ast.FunctionDef | ast.Lambda | ast.comprehension):
            left += ast.iter_child_nodes(node)


def _verdicts(part: ast.AST) -> Iterator[ast.Call]:
    for node in ast.walk(part):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "verdict":
            yield node


def _command(study: str, root: Path) -> str:
    stored = json.loads((root / _STUDIES / f"{study}.json").read_text(encoding="utf-8"))
    return str(stored["command"])
