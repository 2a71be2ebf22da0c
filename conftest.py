"""Watch what each notebook takes while nbval runs it: a learner has two cores, 2 GB and no patience. Say where the time goes.

Seconds are those of a quiet machine: one that trains more slowly, has a single core, or is shared with others meanwhile, gets as
many more.
"""

import os
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Generator
from contextlib import suppress
from typing import Any

import psutil
import pytest

# Each notebook's limits, and the mean of the seconds of all.
SECONDS, GIGABYTES, MEAN_SECONDS = 45.0, 2.0, 30.0
# The machine for which the seconds are meant: SGD steps a second of one core, batches of 10 through the 2NN; and its cores.
STEPS_A_SECOND = 2400.0
CORES = 2.0


class Watch:
    """Seconds and peak memory of one notebook: its kernel and every process below it."""

    def __init__(self, kernel: psutil.Process) -> None:
        self.slow = slowness()
        self.kernel, self.peak, self.started = kernel, 0, time.perf_counter()
        self.others = busy_seconds() - family_seconds(kernel)
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)
        self._thread.start()

    def _sample(self) -> None:
        while not self._done.wait(0.25):
            self.peak = max(self.peak, family_memory(self.kernel))

    def end(self) -> tuple[float, float, float]:
        """Return the seconds since the start, the peak in GB, and how much slower than meant the machine was for the notebook."""
        seconds = time.perf_counter() - self.started
        others = busy_seconds() - family_seconds(self.kernel) - self.others
        self._done.set()
        self._thread.join()
        return seconds, self.peak / 1e9, max(self.slow, slowness()) * crowding(seconds, others, len(own_cores()))


def family(parent: psutil.Process) -> list[psutil.Process]:
    """Return a process and all below it."""
    try:
        return [parent, *parent.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def family_seconds(parent: psutil.Process) -> float:
    """Return the seconds for which a process and all below it have kept a core busy, with those that have ended."""
    total = 0.0
    for process in family(parent):
        with suppress(psutil.NoSuchProcess, psutil.AccessDenied):
            total += sum(process.cpu_times()[:4])  # its own, and its ended children's
    return total


def own_cores() -> list[int]:
    """Return the cores on which this process may run."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def busy_seconds() -> float:
    """Return the seconds for which these cores have been busy with anything, or lent to another machine, since some moment."""
    every = psutil.cpu_times(percpu=True)
    own = [every[core] for core in own_cores() if core < len(every)] or every  # in a container numbers may not agree
    idle = ("idle", "iowait", "guest", "guest_nice")  # a guest's are in its host's as well
    return sum(sum(core) - sum(getattr(core, name, 0.0) for name in idle) for core in own)


def crowding(seconds: float, others: float, cores: int) -> float:
    """Return how many times fewer cores than meant were left, at least 1, where others kept some busy for `others` seconds in all."""
    left = cores - others / seconds
    return max(1.0, CORES / max(left, 0.2))


def family_memory(parent: psutil.Process) -> int:
    """Return the bytes that a process and all below it hold; what processes share counts once at most."""
    total = 0
    for process in family(parent):
        try:
            memory = process.memory_full_info()
            # Libraries are shared among workers: on Linux a process counts its part of them, elsewhere only its own pages.
            total += getattr(memory, "pss", memory.uss)
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return total


def slowness() -> float:
    """Return how many times as long as meant a core takes for SGD, at least 1; the notebook itself rests meanwhile.

    Only this thread's time on the core counts: how much of it others take just now says nothing of what they take later.
    """
    import torch

    from course_lib import models

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    module = models.mlp().build((1, 28, 28), 10, seed=0)
    weights, images, labels = list(module.parameters()), torch.rand(10, 1, 28, 28), torch.arange(10)
    started = time.thread_time()
    for step in range(1100):
        if step == 100:  # the first steps take longer
            started = time.thread_time()
        loss = torch.nn.functional.cross_entropy(module(images), labels)
        torch._foreach_sub_([weight.data for weight in weights], torch.autograd.grad(loss, weights), alpha=0.1)
    seconds = time.thread_time() - started
    torch.set_num_threads(threads)
    return max(1.0, seconds * STEPS_A_SECOND / 1000)


@pytest.fixture
def as_meant() -> Callable[[float], float]:
    """A function that says what so many seconds of computing here would be on the machine for which they are meant."""
    before = slowness()
    return lambda seconds: seconds / max(before, slowness())


def over_budget(seconds: float, gigabytes: float, slow: float) -> str | None:
    """Return what is wrong with a notebook that takes this much on a machine that is so slow for it, or None."""
    if seconds > SECONDS * slow:
        return f"took {seconds:.0f} s, more than {SECONDS * slow:.3g}: fewer seeds, fewer rounds or a stored study"
    if gigabytes > GIGABYTES:
        return f"held {gigabytes:.2f} GB, more than {GIGABYTES:g}: fewer workers at a time, or smaller data"
    return None


def over_mean() -> str | None:
    """Return what is wrong with the mean of the notebooks that ran, where these are a course and not one or two, or None."""
    quiet = [seconds / slow for seconds, _, slow in _taken.values()]
    if len(quiet) < 3 or sum(quiet) <= MEAN_SECONDS * len(quiet):
        return None
    return f"notebooks take {sum(quiet) / len(quiet):.0f} s on average, more than {MEAN_SECONDS:g}: shorten the longest"


_watches: dict[str, Watch] = {}
_taken: dict[str, tuple[float, float, float]] = {}
_seconds_of: defaultdict[str, float] = defaultdict(float)
_tests_of: Counter[str] = Counter()


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


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    marks = [mark for mark in ("browser", "peers", "slow") if mark in report.keywords]
    kind = "notebooks" if ".ipynb" in report.nodeid else marks[0] if marks else "quick"
    folder = report.nodeid.split("::")[0].rpartition("/")[0] or "."
    for row in (kind, folder):
        _seconds_of[row] += report.duration
        _tests_of[row] += report.when == "call"


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    if over_mean() and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if len(_seconds_of) > 2:
        terminalreporter.section("where the time went: by kind and by folder")
        for row, seconds in sorted(_seconds_of.items(), key=lambda pair: -pair[1]):
            terminalreporter.write_line(f"{row:<40} {seconds:6.1f} s {_tests_of[row]:5d} tests")
    if _taken:
        terminalreporter.section(
            f"what notebooks take: at most {SECONDS:g} s and {GIGABYTES:g} GB, {MEAN_SECONDS:g} s on average"
        )
        for name, (seconds, gigabytes, slow) in _taken.items():
            remark = f"   on a machine {slow:.1f} times as slow as meant" if slow > 1.1 else ""
            terminalreporter.write_line(f"{name:<40} {seconds:5.1f} s {gigabytes:5.2f} GB{remark}")
    if problem := over_mean():
        terminalreporter.write_line(problem, red=True)
