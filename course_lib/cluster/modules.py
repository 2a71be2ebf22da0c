"""The modules that somebody is at work on: not Python's own, not installed. Their files may change under a running process."""

import os
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import PurePath
from typing import Any

_INSTALLED = {"site-packages", "dist-packages"}


def is_own(name: str) -> bool:
    """Return whether the imported module `name` is a file that is not installed; the course counts if it is a working copy."""
    if name.partition(".")[0] in sys.stdlib_module_names:
        return False
    known = _facts(name)
    places = [known.get("__file__"), *known.get("__path__", ())]  # a folder may be a package without a file
    place = next(filter(None, places), None)
    return place is not None and not _INSTALLED & set(PurePath(place).parts)


class Sources:
    """The files of this process's own modules, as they were when it read them."""

    def __init__(self) -> None:
        self._read: dict[str, tuple[int, int] | None] = {}

    def note(self, since: float) -> None:
        """Take down the files of modules imported since the time `since`, in seconds of the machine's clock."""
        for name in list(sys.modules):
            file = _facts(name).get("__file__")
            if file and file not in self._read and is_own(name):
                stamp = _stamp(file)
                # Written while it was read: nobody knows which of the two versions was.
                self._read[file] = stamp if stamp is not None and stamp[0] <= since * 1e9 else None

    def changed(self) -> bool:
        """Return whether a file says something else now, or is gone."""
        return any(stamp is None or _stamp(file) != stamp for file, stamp in self._read.items())


def _facts(name: str) -> Mapping[str, Any]:
    """Return what a module holds, without asking it: some of torch's answer any question with an error."""
    return getattr(sys.modules.get(name), "__dict__", {})


def _stamp(file: str) -> tuple[int, int] | None:
    with suppress(OSError):
        found = os.stat(file)
        return found.st_mtime_ns, found.st_size
    return None
