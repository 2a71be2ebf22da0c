"""Watch what each notebook takes while nbval runs it: a learner has two cores, 2 GB and no patience."""

import threading
import time
from collections.abc import Generator
from typing import Any

import psutil
import pytest

SECONDS, GIGABYTES = 60.0, 2.0


class Watch:
    """Seconds and peak memory of one notebook: its kernel and every process below it."""

    def __init__(self, kernel: psutil.Process) -> None:
        self.kernel, self.peak, self.started = kernel, 0, time.perf_counter()
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)
        self._thread.start()

    def _sample(self) -> None:
        while not self._done.wait(0.25):
            self.peak = max(self.peak, family_memory(self.kernel))

    def end(self) -> tuple[float, float]:
        """Return the seconds since the start, and the peak in GB."""
        seconds = time.perf_counter() - self.started
        self._done.set()
        self._thread.join()
        return seconds, self.peak / 1e9


def family_memory(parent: psutil.Process) -> int:
    """Return the bytes that a process and all below it hold; what processes share counts once at most."""
    try:
        family = [parent, *parent.children(recursive=True)]
    except psutil.NoSuchProcess:
        return 0
    total = 0
    for process in family:
        try:
            memory = process.memory_full_info()
            # Libraries are shared among workers: on Linux a process counts its part of them, elsewhere only its own pages.
            total += getattr(memory, "pss", memory.uss)
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return total


def over_budget(seconds: float, gigabytes: float) -> str | None:
    """Return what is wrong with a notebook that takes this much, or None."""
    if seconds > SECONDS:
        return f"took {seconds:.0f} s, more than {SECONDS:g}: fewer seeds, fewer rounds or a stored study"
    if gigabytes > GIGABYTES:
        return f"held {gigabytes:.2f} GB, more than {GIGABYTES:g}: fewer workers at a time, or smaller data"
    return None


_watches: dict[str, Watch] = {}
_taken: dict[str, tuple[float, float]] = {}


def _notebook(item: pytest.Item | None) -> Any:
    return item.parent if item is not None and hasattr(item.parent, "kernel") else None


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, Any, Any]:
    notebook = _notebook(item)
    if notebook is not None and notebook.name not in _watches:
        _watches[notebook.name] = Watch(psutil.Process(notebook.kernel.km.provisioner.pid))
    return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> Generator[None, Any, Any]:
    notebook = _notebook(item)
    last = notebook is not None and notebook.name in _watches and _notebook(nextitem) is not notebook
    if last:
        _taken[notebook.name] = _watches[notebook.name].end()
    result = yield
    if last and (problem := over_budget(*_taken[notebook.name])):
        pytest.fail(f"{notebook.name} {problem}", pytrace=False)
    return result


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if _taken:
        terminalreporter.section(f"what notebooks take: at most {SECONDS:.0f} s and {GIGABYTES:.0f} GB")
        for name, (seconds, gigabytes) in _taken.items():
            terminalreporter.write_line(f"{name:<40} {seconds:5.1f} s {gigabytes:5.2f} GB")
