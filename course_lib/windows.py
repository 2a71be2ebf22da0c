"""On Windows itself the course does not run, since its workers need a Unix; it says so in one sentence instead of a traceback."""

import sys
from typing import NoReturn

SENTENCE = (
    "This course does not run on Windows itself, but in WSL, the Linux that comes with it: three commands, in README.md "
    "under 'On Windows'."
)


class NotOnWindows(ImportError):
    """The import of `course_lib` on Windows, in a notebook."""

    def _render_traceback_(self) -> list[str]:
        # What IPython shows in place of a traceback.
        return [str(self)]


def refuse() -> NoReturn:
    """End the import with the sentence: a cell fails, so that those below do not run; a script or the doctor exits with 1."""
    if "IPython" in sys.modules:
        raise NotOnWindows(SENTENCE)
    raise SystemExit(SENTENCE)
