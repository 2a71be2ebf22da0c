"""Whatever happens to a worker: one clear error that names it, nothing left behind, and the next launch works."""

import ctypes
import importlib
import os
import shutil
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
import torch
import torch.distributed as dist

from course_lib import cluster
from course_lib.cluster.traffic import Channel, Recorder
from tests.waiting import until

pytestmark = pytest.mark.slow

# One or two on a quiet machine. What is told here, the time-out of 60 seconds would tell otherwise.
SECONDS_TO_NOTICE = 20.0


def rounds(count: int = 10_000) -> None:
    """Work in step, as a training loop does, and say so from time to time."""
    for number in range(count):
        dist.all_reduce(torch.ones(1000))
        if number % 10 == 0:
            cluster.report(os.getpid())
        time.sleep(0.002)


def rank_1_does(deed: Callable[[], object]) -> None:
    dist.barrier()
    if dist.get_rank() == 1:
        deed()
    dist.all_reduce(torch.ones(1))


def fail() -> None:
    raise ValueError("the batch of rank 1 is bad")


def wait_for_ever() -> None:
    time.sleep(10_000)


def spin_for_ever() -> None:
    while True:
        pass


@contextmanager
def failing(rank: int, cause: str, match: str, workers: int = 2, within: float = SECONDS_TO_NOTICE) -> Iterator[None]:
    """Expect a WorkerError about this rank in time, after which nobody is left busy and the next launch works."""
    cluster.launch(dist.get_rank, workers=workers)  # warm, so that only noticing takes time, not starting
    started = time.monotonic()
    with pytest.raises(cluster.WorkerError, match=match) as caught:
        yield
    assert time.monotonic() - started < within
    assert (caught.value.rank, caught.value.cause) == (rank, cause)
    assert str(caught.value).startswith(f"rank {rank} ")
    assert cluster.launch(dist.get_rank, workers=workers) == list(range(workers))


def test_the_rank_that_raised_is_named_not_those_that_lost_it():
    with failing(1, "raised", "ValueError: the batch of rank 1 is bad"):
        cluster.launch(rank_1_does, fail)


def test_an_exception_comes_with_the_worker_s_traceback_and_without_the_library_s_frames():
    with pytest.raises(cluster.WorkerError) as caught:
        cluster.launch(rank_1_does, fail)
    lines = caught.value.worker_traceback.splitlines()
    assert [line.split(", in ")[1] for line in lines if line.startswith("  File")] == ["rank_1_does", "fail"]
    assert 'raise ValueError("the batch of rank 1 is bad")' in caught.value.worker_traceback
    assert caught.value.worker_traceback.rstrip() in str(caught.value)
    assert isinstance(caught.value.original, ValueError)


def test_workers_that_only_raised_stay_warm():
    before = cluster.launch(os.getpid)
    with pytest.raises(cluster.WorkerError):
        cluster.launch(rank_1_does, fail)
    assert cluster.launch(os.getpid) == before


@pytest.fixture
def everybody_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a first failure the others get as long as they need to say what happened to them."""
    monkeypatch.setattr(importlib.import_module("course_lib.cluster.launch"), "_SETTLE", 60.0)


def test_the_first_of_two_that_raise_is_named(tmp_path: Path, everybody_answers: None) -> None:
    note = tmp_path / "the first one is on its way"

    class FirstError(Exception):
        def __reduce__(self) -> tuple[type, tuple[str]]:  # packed: when it was raised has been noted
            note.touch()
            return FirstError, ("of two",)

    def both() -> None:
        if dist.get_rank() == 1:
            raise FirstError("of two")
        until(note.exists)
        raise KeyError("the second")

    with failing(1, "raised", "FirstError: of two"):
        cluster.launch(both)


def test_a_worker_that_raises_while_another_never_comes_back_is_named_and_the_other_is_stopped():
    def mixed() -> None:
        if dist.get_rank() == 2:
            raise KeyError("the answer")
        if dist.get_rank() == 1:
            spin_for_ever()
        dist.barrier()

    with failing(2, "raised", "KeyError: 'the answer'", workers=3):
        cluster.launch(mixed, workers=3)


def test_a_time_out_of_the_function_s_own_is_not_taken_for_one_of_the_cluster():
    def download() -> None:
        if dist.get_rank() == 1:
            raise TimeoutError("the download timed out")
        spin_for_ever()

    with failing(1, "raised", "the download timed out"):
        cluster.launch(download)


def test_an_exception_that_cannot_travel_is_still_told():
    class Stubborn(Exception):
        def __init__(self, one: int, two: int) -> None:
            super().__init__(f"{one} and {two}")
            self.lock = threading.Lock()

    def stubborn() -> None:
        raise Stubborn(1, 2)

    with failing(0, "raised", r"Stubborn: 1 and 2[\s\S]*in stubborn"):
        cluster.launch(stubborn, workers=1)


def test_a_result_that_cannot_travel_is_named():
    with failing(0, "raised", "the result, a lock, cannot be sent back"):
        cluster.launch(threading.Lock, workers=1)


def test_a_worker_killed_in_the_middle_of_a_round_is_named():
    killed: list[float] = []

    def kill_rank_1(rank: int, pid: int) -> None:
        if rank == 1 and not killed:
            killed.append(time.monotonic())
            os.kill(pid, signal.SIGKILL)

    with failing(1, "died", "ended by SIGKILL"):
        cluster.launch(rounds, on_report=kill_rank_1)
    assert killed


def test_a_worker_that_ends_its_own_process_is_named():
    with failing(1, "died", "exit code 3"):
        cluster.launch(rank_1_does, lambda: os._exit(3))


def test_a_worker_that_crashes_says_where():
    with failing(1, "died", r"SIGSEGV[\s\S]*in rank_1_does"):
        cluster.launch(rank_1_does, lambda: ctypes.string_at(0))


def test_a_death_that_a_peer_reports_in_its_own_words_is_still_the_death():
    def translated() -> None:
        try:
            rank_1_does(lambda: os.kill(os.getpid(), signal.SIGKILL))
        except RuntimeError as error:
            raise ValueError("training failed") from error

    with failing(1, "died", "SIGKILL", workers=3):
        cluster.launch(translated, workers=3)


def test_a_worker_that_leaves_its_children_behind_is_noticed_all_the_same():
    def abandon() -> None:
        if (child := os.fork()) == 0:  # holds every pipe of the worker open
            time.sleep(300)
            os._exit(0)
        cluster.report(child)
        os.kill(os.getpid(), signal.SIGKILL)

    children: list[int] = []
    try:
        with failing(0, "died", "SIGKILL"):
            cluster.launch(abandon, workers=1, on_report=lambda _rank, child: children.append(child))
        assert psutil.Process(children[0]).status() != psutil.STATUS_ZOMBIE
    finally:
        for child in children:
            os.kill(child, signal.SIGKILL)


@pytest.mark.parametrize("accident", [signal.SIGKILL, signal.SIGSTOP])
def test_a_worker_lost_between_launches_is_replaced(accident):
    before = cluster.launch(os.getpid)
    os.kill(before[1], accident)
    after = cluster.launch(os.getpid)
    assert len(set(after)) == 2 and before[1] not in after


def test_a_worker_that_cannot_start_says_why(tmp_path, monkeypatch):
    cluster.shutdown()
    (tmp_path / "torch.py").write_text("raise ImportError('this torch is broken')")
    with monkeypatch.context() as changed:
        changed.syspath_prepend(tmp_path)
        with pytest.raises(cluster.WorkerError, match=r"died while it started[\s\S]*this torch is broken"):
            cluster.launch(os.getpid)
    assert len(cluster.launch(os.getpid)) == 2


def test_a_worker_that_ends_while_it_starts_is_told_with_how_it_ended(tmp_path, monkeypatch):
    cluster.shutdown()
    # The pipes go before the process does, as when the operating system takes a large process apart.
    (tmp_path / "torch.py").write_text(
        "import os, time\nos.closerange(3, 100)\ntime.sleep(0.5)\nos.kill(os.getpid(), 9)"
    )
    with monkeypatch.context() as changed:
        changed.syspath_prepend(tmp_path)
        with pytest.raises(cluster.WorkerError, match=r"rank 0 died while it started: .* by SIGKILL") as caught:
            cluster.launch(os.getpid, workers=1)
    assert caught.value.cause == "died"


@pytest.mark.parametrize("deed", [wait_for_ever, spin_for_ever, lambda: os.kill(os.getpid(), signal.SIGSTOP)])
def test_a_worker_that_hangs_while_others_wait_for_it_is_named(deed):
    with failing(1, "hung", "within timeout=3 seconds", workers=3, within=3 + SECONDS_TO_NOTICE):
        cluster.launch(rank_1_does, deed, workers=3, timeout=3)  # which they have for joining, too


def test_a_hung_worker_s_place_in_the_code_is_told():
    with pytest.raises(cluster.WorkerError) as caught:
        cluster.launch(rank_1_does, wait_for_ever, timeout=3)
    assert "time.sleep(10_000)" in caught.value.worker_traceback
    assert caught.value.worker_traceback in str(caught.value) + "\n"


def test_a_launch_in_which_nobody_says_anything_for_too_long_has_hung():
    with failing(0, "hung", "within timeout=0.5 seconds", within=0.5 + SECONDS_TO_NOTICE):
        cluster.launch(wait_for_ever, workers=1, timeout=0.5, joined=False)


def test_a_slow_launch_that_reports_now_and_then_has_not_hung():
    def slow() -> str:
        for _ in range(16):
            time.sleep(0.25)
            cluster.report("still here")
        return "done"

    assert cluster.launch(slow, workers=1, timeout=3, joined=False) == ["done"]


def test_ranks_that_all_wait_for_another_are_told_so(everybody_answers: None) -> None:
    def everybody_listens() -> None:
        channel = Channel(Recorder())
        channel.recv(1 - channel.rank, kind="news")

    with pytest.raises(cluster.WorkerError, match="every rank waited for another"):
        cluster.launch(everybody_listens, timeout=2)


def test_a_rank_that_gave_up_waiting_comes_before_one_that_lost_it_and_was_quicker_to_say_so(
    tmp_path: Path, everybody_answers: None
) -> None:
    note = tmp_path / "the other one has failed"

    class LostError(RuntimeError):
        def __reduce__(self) -> tuple[type, tuple[str]]:  # packed: when it was raised has been noted
            note.touch()
            return RuntimeError, ("lost",)

    def one_gives_up() -> None:
        if dist.get_rank() == 0:
            until(note.exists)
            raise RuntimeError("[gloo/pair.cc:1] Timed out waiting 1000ms for recv operation to complete")
        try:
            raise RuntimeError("[gloo/pair.cc:2] Connection closed by peer [127.0.0.1]:1")
        except RuntimeError as error:
            raise LostError from error

    with failing(0, "raised", "every rank waited for another"):
        cluster.launch(one_gives_up)


def test_a_rank_that_returned_too_early_is_told():
    with failing(0, "raised", "rank 1 had already returned"):
        cluster.launch(lambda: dist.barrier() if dist.get_rank() == 0 else None)


def test_an_error_in_on_report_ends_the_launch_and_comes_through():
    def refuse(_rank: int, _value: object) -> None:
        raise LookupError("no such bar")

    with pytest.raises(LookupError, match="no such bar"):
        cluster.launch(rounds, on_report=refuse)
    assert cluster.launch(dist.get_rank) == [0, 1]


# What follows happens to the parent, so each parent is a script of its own.

# A process started in the background ignores interrupts, and so do all that it starts: `make test &` must not fail for that.
SCRIPT = """
import os, signal, time, torch, torch.distributed as dist
from course_lib import cluster

signal.signal(signal.SIGINT, signal.default_int_handler)

def busy():
    cluster.report(os.getpid())
    while True:
        if dist.get_rank() == 0: dist.all_reduce(torch.ones(1))  # waits for rank 1, which works

def say(rank, pid): print(pid, flush=True)
"""


@contextmanager
def script(tmp_path: Path, text: str) -> Iterator["subprocess.Popen[str]"]:
    file = tmp_path / "script.py"
    file.write_text(SCRIPT + textwrap.dedent(text))
    process = subprocess.Popen(
        [sys.executable, file], stdout=subprocess.PIPE, text=True, start_new_session=True, env=os.environ
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def printed_processes(process: "subprocess.Popen[str]", count: int) -> list[psutil.Process]:
    assert process.stdout is not None
    return [psutil.Process(int(process.stdout.readline())) for _ in range(count)]


def test_an_interrupt_of_the_process_group_stops_the_workers_and_the_next_launch_works(tmp_path, all_end):
    with script(
        tmp_path,
        """
        try:
            cluster.launch(busy, on_report=say)
        except KeyboardInterrupt:
            print("interrupted", flush=True)
        print(cluster.launch(dist.get_rank))
        """,
    ) as process:
        workers = printed_processes(process, 2)
        os.killpg(process.pid, signal.SIGINT)  # as Jupyter and a terminal do: workers get it too
        all_end(workers)
        assert process.communicate(timeout=60)[0] == "interrupted\n[0, 1]\n"


def test_an_interrupt_while_the_workers_start_leaves_none_behind(tmp_path, worker_processes, all_end):
    with script(
        tmp_path,
        """
        try:
            print("starting", flush=True)
            cluster.launch(busy, on_report=say)
        except KeyboardInterrupt:
            print("interrupted", flush=True)
        print(cluster.launch(dist.get_rank))
        """,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "starting\n"
        until(lambda: len(worker_processes(process.pid)) == 2)
        workers = worker_processes(process.pid)
        os.killpg(process.pid, signal.SIGINT)
        all_end(workers)
        assert process.communicate(timeout=60)[0].endswith("interrupted\n[0, 1]\n")


@pytest.mark.parametrize("what", ["busy", "idle"])
def test_no_worker_outlives_a_parent_that_is_killed(tmp_path, what, all_end):
    idle = "[say(0, pid) for pid in cluster.launch(os.getpid)]; time.sleep(1000)"
    with script(tmp_path, "cluster.launch(busy, on_report=say)" if what == "busy" else idle) as process:
        workers = printed_processes(process, 2)
        process.kill()
        all_end(workers)


def test_no_worker_outlives_a_parent_killed_while_they_start(tmp_path, worker_processes, all_end):
    with script(tmp_path, "cluster.launch(busy)") as process:
        until(lambda: len(worker_processes(process.pid)) == 2)
        workers = worker_processes(process.pid)
        process.kill()
        all_end(workers)


def test_a_fork_of_a_process_that_is_in_the_middle_of_a_launch_can_launch_and_leaves_the_first_one_alone(tmp_path):
    with script(
        tmp_path,
        """
        import sys, threading
        at_work, over = threading.Event(), sys.argv[0] + " over"
        def slow():
            cluster.report("at work")
            while not os.path.exists(over): time.sleep(0.05)
            return os.getpid()
        first = []
        thread = threading.Thread(
            target=lambda: first.extend(cluster.launch(slow, on_report=lambda *_: at_work.set(), timeout=240))
        )
        thread.start()
        at_work.wait()
        if (child := os.fork()) == 0:
            print("in the fork", cluster.launch(dist.get_rank), flush=True)
            cluster.shutdown()
            os._exit(0)
        print("the fork ended with", os.waitpid(child, 0)[1])
        open(over, "w").close()
        thread.join()
        print("the first found", len(set(first)))
        """,
    ) as process:
        said, _ = process.communicate(timeout=240)
        assert said == "in the fork [0, 1]\nthe fork ended with 0\nthe first found 2\n"


def test_launches_in_several_threads_take_turns_and_each_gets_its_own_results():
    found: dict[int, list[int]] = {}

    def one(number: int) -> None:
        found[number] = cluster.launch(lambda: number * 10 + dist.get_rank())

    threads = [threading.Thread(target=one, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert found == {number: [number * 10, number * 10 + 1] for number in range(4)}


def test_a_machine_that_cannot_reach_itself_is_told_so_within_seconds(tmp_path: Path) -> None:
    cut_off = ["unshare", "--map-root-user", "--net"]  # a network of its own, in which even loopback is down
    if not shutil.which("unshare") or subprocess.run([*cut_off, "true"], capture_output=True, check=False).returncode:
        pytest.skip("this system does not let us cut a process off from its network")
    script = tmp_path / "script.py"
    script.write_text("from course_lib import cluster\ncluster.launch(print, workers=2)\n", encoding="utf-8")
    done = subprocess.run(
        [*cut_off, sys.executable, str(script)], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 1
    assert "cannot reach each other at 127.0.0.1: allow such connections" in done.stderr.splitlines()[-1]
