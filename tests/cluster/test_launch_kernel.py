"""Launches from cells of a real Jupyter kernel."""

import signal
from collections.abc import Callable, Iterator

import psutil
import pytest

from tests.cluster.kernel import Kernel

pytestmark = pytest.mark.slow

DEFINITIONS = """
import os, sys, time, torch, torch.distributed as dist
from course_lib import cluster

FACTOR = 3

class Answer:
    def __init__(self, value): self.value = value

def work(value):
    print("working on", value)
    print("and complaining", file=sys.stderr)
    os.system("echo from a program")
    dist.barrier()
    return Answer(value * FACTOR)

def busy():
    cluster.report(os.getpid())
    while True:
        dist.all_reduce(torch.ones(1))

def fail():
    raise ValueError("wrong")  # a line of the cell
"""


@pytest.fixture(scope="module")
def kernel() -> Iterator[Kernel]:
    kernel = Kernel()
    kernel.run(DEFINITIONS)
    yield kernel
    kernel.close()


def test_functions_and_classes_typed_in_a_cell_work_and_what_they_print_reaches_it_in_order(kernel):
    said = "[rank {0}] working on 5\n[rank {0}] and complaining\n[rank {0}] from a program\n"
    expected = said.format(0) + said.format(1) + "[15, 15]\n"
    for _ in range(3):
        assert kernel.run("print([answer.value for answer in cluster.launch(work, 5)])") == expected


def test_a_function_typed_again_is_the_one_that_runs(kernel):
    kernel.run("FACTOR = 10")
    assert kernel.run("print(cluster.launch(work, 5)[1].value)").endswith("50\n")


def test_a_class_that_was_sent_away_and_came_back_is_the_cell_s_own_and_sees_its_names(kernel):
    kernel.run(
        """
        class Scaled:
            rate = 1
            def now(self): return FACTOR * self.rate
        def there(one): one.rate = 2; return one, Scaled
        before, now = Scaled, Scaled.now
        one, cls = cluster.launch(there, Scaled(), workers=1)[0]
        """.replace("\n        ", "\n")
    )
    assert kernel.run("print(cls is before is Scaled is type(one), Scaled.now is now)") == "True True\n"
    kernel.run("FACTOR = 7")
    assert kernel.run("print(Scaled().now(), one.now())") == "7 14\n"
    kernel.run("Scaled.rate = 5")
    assert kernel.run("print(cluster.launch(lambda: Scaled().now(), workers=1))") == "[35]\n"


def test_an_error_in_a_cell_s_function_shows_the_line_of_the_cell(kernel):
    with pytest.raises(
        AssertionError, match=r"WorkerError: rank \d raised ValueError: wrong[\s\S]*# a line of the cell"
    ):
        kernel.run("cluster.launch(fail)")


def check_interrupt(kernel: Kernel, all_end: Callable[..., None]) -> None:
    workers: list[psutil.Process] = []

    def interrupt(text: str) -> None:
        workers.extend(psutil.Process(int(pid)) for pid in text.split())
        if len(workers) == 2:
            kernel.manager.interrupt_kernel()

    with pytest.raises(AssertionError, match="KeyboardInterrupt"):
        kernel.run("cluster.launch(busy, on_report=lambda rank, pid: print(pid))", interrupt)
    all_end(workers)
    assert kernel.run("print(cluster.launch(dist.get_rank))") == "[0, 1]\n"


def test_an_interrupted_cell_stops_its_workers_and_the_next_launch_works(kernel, all_end):
    check_interrupt(kernel, all_end)


def test_a_kernel_of_a_jupyter_in_the_background_which_ignores_interrupts_can_still_be_interrupted(all_end):
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # as after `nohup jupyter lab &`, whose kernels inherit it
    try:
        kernel = Kernel()
    finally:
        signal.signal(signal.SIGINT, before)
    try:
        kernel.run(DEFINITIONS)
        check_interrupt(kernel, all_end)
    finally:
        kernel.close()


@pytest.mark.parametrize("end", ["killed while busy", "killed while idle", "restarted"])
def test_no_process_outlives_its_kernel(end, all_end):
    kernel = Kernel()
    try:
        kernel.run(DEFINITIONS + "cluster.launch(work, 1)")
        if end == "killed while busy":
            kernel.client.execute("cluster.launch(busy, on_report=lambda rank, pid: print(rank))")
            while kernel.client.get_iopub_msg(timeout=60)["msg_type"] != "stream":
                pass  # until a worker says that it is at work
        processes = kernel.process().children(recursive=True)
        assert len(processes) == 2
        if end == "restarted":
            kernel.manager.shutdown_kernel()
        else:
            kernel.process().kill()  # the kernel alone, not its process group
        all_end(processes)
    finally:
        kernel.close()
