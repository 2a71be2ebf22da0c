"""Many runs: plans x seeds, stored as they finish, and what they say with confidence intervals; and the ledger of what was found."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from course_lib.study.grid import StudyError, run
    from course_lib.study.results import Study, load
    from course_lib.study.tuning import Tuned, tune

__all__ = ["Study", "StudyError", "Tuned", "load", "run", "tune"]

_AT = {"StudyError": "grid", "run": "grid", "Study": "results", "load": "results", "Tuned": "tuning", "tune": "tuning"}


def __getattr__(name: str) -> Any:
    """Import a name when it is first used: whoever looks up a statement need not wait for torch."""
    if name not in _AT:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_AT[name]}"), name)
