"""What a launch does when all goes well, and what it refuses to do."""

import os
import random
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch
import torch.distributed as dist

from course_lib import cluster
from tests.waiting import until

pytestmark = pytest.mark.slow

_unpacked: list[str] = []


class Marked:
    """Remembers, in the process that unpacks it, that it was there."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__ |= state
        _unpacked.append(self.name)


def identity() -> tuple[int, int, int]:
    return dist.get_rank(), dist.get_world_size(), os.getpid()


def sum_of_ranks() -> float:
    total = torch.tensor(float(dist.get_rank()))
    dist.all_reduce(total)
    return total.item()


def markers_here(_own: Marked) -> list[str]:
    dist.barrier()
    return _unpacked


def test_each_rank_is_a_process_of_its_own_and_results_come_in_rank_order():
    results = cluster.launch(identity, workers=3)
    assert [(rank, world) for rank, world, _ in results] == [(0, 3), (1, 3), (2, 3)]
    assert len({os.getpid(), *(pid for *_, pid in results)}) == 4


def test_different_world_sizes_work_in_turn():
    assert [cluster.launch(sum_of_ranks, workers=workers) for workers in (4, 2, 1, 4)] == [
        [6.0] * 4, [1.0] * 2, [0.0], [6.0] * 4,
    ]  # fmt: skip


def test_the_second_launch_uses_the_same_processes_and_is_quick():
    cluster.shutdown()
    started = time.perf_counter()
    first = cluster.launch(identity)
    cold = time.perf_counter() - started
    warm = []
    for _ in range(20):
        started = time.perf_counter()
        assert cluster.launch(identity) == first
        warm.append(time.perf_counter() - started)
    assert min(warm) < cold / 10  # about a fiftieth, however quick the machine


def test_closures_and_lambdas_are_sent_by_value():
    factor = torch.tensor([2.0, 3.0])

    def scaled(by: float) -> torch.Tensor:
        return factor * by * (dist.get_rank() + 1)

    first, second = cluster.launch(scaled, 10)
    assert first.tolist() == [20, 30] and second.tolist() == [40, 60]
    assert cluster.launch(lambda text: text * 2, "ab", workers=1) == ["abab"]


def test_what_a_rank_is_given_reaches_its_own_process_only():
    given = [(Marked(f"for rank {rank}"),) for rank in range(3)]
    assert cluster.launch(markers_here, workers=3, per_rank=given) == [["for rank 0"], ["for rank 1"], ["for rank 2"]]


def test_common_arguments_come_before_those_of_the_rank():
    assert cluster.launch(lambda *args: args, 1, 2, per_rank=[("a",), ("b", "c")]) == [(1, 2, "a"), (1, 2, "b", "c")]


def test_reports_arrive_while_the_workers_run_in_each_rank_s_order():
    heard: list[tuple[int, int]] = []

    def counts() -> None:
        for value in range(3):
            cluster.report(value)
        dist.barrier()

    cluster.launch(counts, on_report=lambda rank, value: heard.append((rank, value)))
    assert [value for rank, value in heard if rank == 0] == [0, 1, 2]
    assert [value for rank, value in heard if rank == 1] == [0, 1, 2]


def test_a_slow_on_report_does_not_make_the_workers_look_hung():
    cluster.launch(
        lambda: cluster.report(1), workers=1, timeout=3, joined=False, on_report=lambda _rank, _value: time.sleep(4)
    )


def test_a_report_outside_a_worker_does_nothing():
    cluster.report("nobody listens")


def test_every_launch_finds_the_random_generators_freshly_seeded():
    def draws() -> tuple[list[float], float]:
        return torch.rand(2).tolist(), random.random()

    assert cluster.launch(draws) == cluster.launch(draws)


def test_workers_run_one_thread_and_forget_what_the_last_launch_changed():
    def change() -> None:
        torch.set_num_threads(2)
        torch.set_default_dtype(torch.float64)
        os.chdir("/")
        sys.path.insert(0, "/nowhere")

    cluster.launch(change)
    state = cluster.launch(lambda: (torch.get_num_threads(), os.getcwd(), torch.get_default_dtype(), sys.path))
    for *settings, path in state:
        assert settings == [1, os.getcwd(), torch.float32]
        assert "/nowhere" not in path


def test_a_module_found_only_after_the_pool_started_is_found_by_the_workers_too(tmp_path, monkeypatch):
    cluster.launch(identity)
    (tmp_path / "learners_own.py").write_text("def answer():\n    return 42\n")
    monkeypatch.syspath_prepend(tmp_path)
    import learners_own

    assert cluster.launch(learners_own.answer) == [42, 42]


def test_workers_stay_warm_when_the_thread_that_launched_them_ends(worker_processes):
    cluster.shutdown()
    found: list[list[Any]] = []
    thread = threading.Thread(target=lambda: found.append(cluster.launch(identity)))
    thread.start()
    thread.join()
    # Python's thread ends a moment before the system's, which could take the workers with it.
    until(lambda: thread.native_id not in {one.id for one in psutil.Process().threads()})
    assert cluster.launch(identity) == found[0]


def test_launches_from_two_threads_take_turns():
    results: list[list[float]] = []
    threads = [threading.Thread(target=lambda: results.append(cluster.launch(sum_of_ranks))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [[1.0, 1.0]] * 4


def test_many_launches_leave_no_files_threads_processes_or_memory_behind(worker_processes):
    data = torch.zeros(250_000)  # one megabyte each way: a leak of it would show

    def echo(tensor: torch.Tensor) -> torch.Tensor:
        dist.all_reduce(tensor)
        return tensor

    def used() -> list[tuple[int, int, float]]:
        cluster.launch(os.getpid, joined=False)  # a worker answers once it has left the group of the launch before
        everybody = [psutil.Process(), *sorted(worker_processes(), key=lambda process: process.pid)]
        return [(p.num_fds(), p.num_threads(), p.memory_info().rss / 1e6) for p in everybody]

    def no_more_than_before() -> bool:
        return all(
            files <= files_before and threads <= threads_before and megabytes < megabytes_before + 15
            for (files, threads, megabytes), (files_before, threads_before, megabytes_before)
            in zip(used(), before, strict=True)
        )  # fmt: skip

    for _ in range(5):
        cluster.launch(echo, data)
    before = used()
    for _ in range(50):
        cluster.launch(echo, data)
    until(no_more_than_before, 30)  # connections that were closed there are closed here a moment later


def test_nothing_listens_beyond_loopback_while_a_launch_runs(worker_processes, tmp_path):
    listening: list[str] = []

    def look(_rank: int, _value: object) -> None:
        for process in [psutil.Process(), *worker_processes()]:
            sockets = process.net_connections(kind="inet")
            listening.extend(socket.laddr.ip for socket in sockets if socket.status == psutil.CONN_LISTEN)

        (tmp_path / f"{len(list(tmp_path.iterdir()))} looks").touch()

    def talk() -> None:
        dist.barrier()
        cluster.report("now")
        until(lambda: len(list(tmp_path.iterdir())) == 2)

    cluster.launch(talk, on_report=look)
    assert len(listening) >= 6  # the store and both ends of gloo, each seen twice
    assert set(listening) == {"127.0.0.1"}


def test_shutdown_ends_every_worker(worker_processes, all_end):
    cluster.launch(identity)
    processes = worker_processes()
    cluster.shutdown()
    all_end(processes)
    assert worker_processes() == []


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"workers": 0}, ValueError, "workers=0"),
        ({"workers": 2.0}, ValueError, "workers=2.0"),
        ({"workers": True}, ValueError, "workers=True"),
        ({"per_rank": [(1,)]}, ValueError, "1 entries for workers=2"),
        ({"per_rank": [(1,), 2]}, TypeError, r"per_rank\[1\] is a int"),
        ({"timeout": 0}, ValueError, "timeout=0"),
        ({"timeout": float("nan")}, ValueError, "timeout=nan"),
        ({"timeout": float("inf")}, ValueError, "timeout=inf"),
        ({"per_rank": [(1,), (threading.Lock(),)]}, TypeError, r"cannot send per_rank\[1\].*lock"),
    ],
)
def test_what_cannot_work_is_refused_before_any_process_starts(arguments, error, message, worker_processes):
    cluster.shutdown()
    with pytest.raises(error, match=message):
        cluster.launch(identity, **arguments)
    assert worker_processes() == []


def test_a_result_instead_of_a_function_is_refused():
    with pytest.raises(TypeError, match="pass the function itself"):
        cluster.launch(3)  # type: ignore[arg-type]


def test_a_launch_inside_a_worker_says_that_this_cannot_be():
    with pytest.raises(cluster.WorkerError, match=r"called inside a worker \(rank 0\)"):
        cluster.launch(lambda: cluster.launch(identity), workers=1)


def test_a_launch_inside_on_report_says_that_this_cannot_be():
    def again(_rank: int, _value: object) -> None:
        cluster.launch(identity)

    with pytest.raises(RuntimeError, match="inside on_report"):
        cluster.launch(lambda: cluster.report(1), workers=1, on_report=again)
    assert cluster.launch(sum_of_ranks) == [1.0, 1.0]


def test_outside_any_cluster_this_process_is_rank_0_of_1():
    assert cluster.join() == (0, 1)
    assert cluster.launch(cluster.join) == [(0, 2), (1, 2)]


def test_a_script_without_a_guard_launches_its_own_functions_and_leaves_nothing_behind(tmp_path: Path):
    script = tmp_path / "script.py"
    script.write_text(
        textwrap.dedent("""
            import os, sys, torch, torch.distributed as dist
            from course_lib import cluster

            class Result:
                def __init__(self, value): self.value = value

            def work(): return Result(dist.get_rank()), os.getpid()

            first = cluster.launch(work)
            child = os.fork()
            if child == 0:
                sys.exit()  # runs its exit handlers: they must leave the parent's workers alone
            os.waitpid(child, 0)
            second = cluster.launch(work)
            print([result.value for result, _ in first], [pid for _, pid in first] == [pid for _, pid in second])
            print(*(pid for _, pid in second))
        """)
    )
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    same, pids = done.stdout.splitlines()
    assert same == "[0, 1] True"
    assert not any(psutil.pid_exists(int(pid)) for pid in pids.split())
