"""The learner's own functions, seen from outside: are they still stubs, and where do they fail."""

import ast
import functools
import inspect
import linecache
import textwrap
import traceback
from collections.abc import Callable
from types import FunctionType
from typing import Any


class Raised(Exception):
    """What went wrong inside, or in calling, a learner's function. `unfinished`: it handed back a `...`."""

    def __init__(self, message: str, unfinished: bool = False) -> None:
        super().__init__(message, unfinished)
        self.message, self.unfinished = message, unfinished


def is_untouched(answer: Any) -> bool:
    """Say whether an answer is still the `...` of the lesson."""
    return answer is Ellipsis


def has_stub(function: FunctionType) -> bool:
    """Say whether a function still has a `...` where its code should be.

    A `...` inside an index, such as `x[..., 0]`, is no stub.
    """
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    except (OSError, TypeError, SyntaxError):
        # Without source (typed at a prompt, or part of a longer expression) an empty body is all there is to see.
        return function.__code__.co_code == _empty.__code__.co_code
    if any(isinstance(part, ast.FunctionDef) and _says_nothing(part) for part in tree.body):
        return True
    places = (ast.Expr, ast.Assign, ast.AnnAssign, ast.Return, ast.Lambda)
    values = [
        part.body if isinstance(part, ast.Lambda) else part.value for part in ast.walk(tree) if isinstance(part, places)
    ]
    return any(isinstance(value, ast.Constant) and value.value is Ellipsis for value in values)


def watched(answer: Any, in_place: bool = False) -> Any:
    """Return a learner's function wrapped so that its failures become Raised; any other answer as it is."""
    if not isinstance(answer, FunctionType):
        return answer
    function: Callable[..., Any] = answer

    @functools.wraps(answer)
    def call(*arguments: Any, **named: Any) -> Any:
        try:
            result = function(*arguments, **named)
        except Raised:
            raise
        except (Exception, SystemExit) as error:  # an interrupt is the learner's own wish
            raise Raised(_describe(answer, error)) from error
        if is_untouched(result):
            raise Raised("unfinished", unfinished=True)
        if result is None and not in_place:
            raise Raised(
                f"Not yet. Your function `{answer.__name__}` returned None: end it with `return` and the result."
            )
        return result

    return call


def _says_nothing(function: ast.FunctionDef) -> bool:
    """Say whether a body holds nothing but `pass` and a docstring."""
    return all(
        isinstance(part, ast.Pass) or (isinstance(part, ast.Expr) and isinstance(part.value, ast.Constant))
        for part in function.body
    )


def told(error: BaseException) -> str:
    """Return an exception's kind and message, also where its own `__str__` raises."""
    if isinstance(error, SystemExit):
        return "SystemExit: `exit()` would end the notebook; use `return`"
    try:
        return f"{type(error).__name__}: {error}"
    except Exception:  # noqa: BLE001 (it is the learner's)
        return type(error).__name__


def _describe(function: FunctionType, error: BaseException) -> str:
    file = function.__code__.co_filename
    own = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename == file]
    name = function.__name__
    if not own or own[-1].lineno is None:
        return f"Not yet. Your function could not be called as the exercise calls it: {told(error)}"
    line = linecache.getline(file, own[-1].lineno).strip()
    place = own[-1].lineno - function.__code__.co_firstlineno + 1
    quoted = f", `{line}`" if line else ""
    return f"Not yet. Your function `{name}` raised {told(error)}. It was in line {place}{quoted}."


def _empty() -> None: ...
