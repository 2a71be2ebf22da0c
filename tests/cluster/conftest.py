"""What tests of real processes share."""

import time
from collections.abc import Callable, Iterator

import psutil
import pytest

from course_lib import cluster
from course_lib.cluster import start


@pytest.fixture(scope="module", autouse=True)
def own_workers() -> Iterator[None]:
    yield
    cluster.shutdown()


@pytest.fixture
def worker_processes() -> Callable[..., list[psutil.Process]]:
    """A function that lists the worker processes of this process, or of the one whose id it gets."""

    def listed(parent: int | None = None) -> list[psutil.Process]:
        found = []
        for process in psutil.Process(parent).children(recursive=True):
            try:
                if start.__file__ in process.cmdline():
                    found.append(process)
            except psutil.NoSuchProcess:
                continue
        return found

    return listed


@pytest.fixture
def all_end() -> Callable[..., None]:
    """A function that waits for processes to end, and fails if one is left."""

    def awaited(processes: list[psutil.Process], seconds: float = 60.0) -> None:
        assert processes, "there must have been processes to begin with"
        until = time.monotonic() + seconds
        while left := [process for process in processes if process.is_running() and process.status() != "zombie"]:
            assert time.monotonic() < until, f"still running: {left}"
            time.sleep(0.05)

    return awaited
