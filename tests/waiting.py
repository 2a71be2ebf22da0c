"""The order of events in tests of processes: who must come second waits for the first, instead of hoping to be slower."""

import time
from collections.abc import Callable


def until(happened: Callable[[], object], seconds: float = 120.0) -> None:
    """Wait until something has happened. Raises AssertionError when it has not after so many seconds: then it never will."""
    end = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < end, f"waited {seconds:g} s in vain"
        time.sleep(0.01)
