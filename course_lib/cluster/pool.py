"""The warm pool: worker processes that outlive a launch, and one store through which they find each other."""

import atexit
import os
import queue
import signal
import socket
import threading
from collections.abc import Callable
from concurrent.futures import Future
from multiprocessing.connection import Connection, Pipe, wait
from typing import Any

import torch.distributed as dist
from loky.backend import get_context
from loky.backend.utils import kill_process_tree

from course_lib.cluster import failures, worker

_START_SECONDS = 120.0  # a cold disk may take long to give up torch

# One thread a worker: a machine's cores are shared by the workers. torch's C++ warnings would land in the cell.
_ENVIRONMENT = {
    name: "1" for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")
} | {"TORCH_CPP_LOG_LEVEL": "ERROR"}


class Worker:
    """The parent's end of one worker process."""

    def __init__(self) -> None:
        self.tasks, tasks = Pipe()
        self.output, output = Pipe(duplex=False)
        self.stacks, stacks = Pipe(duplex=False)
        os.set_blocking(self.output.fileno(), False)
        # loky starts a process that knows nothing of `__main__`: a script needs no guard, a notebook has no file.
        self.process = get_context("loky").Process(
            target=worker.main, args=(tasks, output, stacks, os.getpid()), env=_ENVIRONMENT
        )
        self.ready = False
        self.busy = False
        try:
            self.process.start()
        finally:
            for end in (tasks, output, stacks):
                end.close()

    def alive(self) -> bool:
        return self.process.is_alive()

    def send(self, *messages: bytes | memoryview) -> None:
        for message in messages:
            self.tasks.send_bytes(message)

    def receive(self) -> tuple[bytes, bytes]:
        """Return the next message: its kind and its content. Raises EOFError or OSError when the worker is gone."""
        return self.tasks.recv_bytes(), self.tasks.recv_bytes()

    def read_output(self, limit: int = 1 << 20) -> bytes:
        """Return what the worker has printed since the last call, without waiting."""
        parts = []
        while limit > 0:
            try:
                part = os.read(self.output.fileno(), 65536)
            except BlockingIOError:
                break
            if not part:
                break
            parts.append(part)
            limit -= len(part)
        return b"".join(parts)

    def stack(self, seconds: float = 0.5) -> str:
        """Return where the worker's main thread is, as text; empty if it does not answer."""
        if not self.alive():
            return ""
        os.kill(self.process.pid, signal.SIGUSR1)
        dump = b""
        while self.stacks.poll(seconds if not dump else 0.05):
            part = os.read(self.stacks.fileno(), 65536)
            if not part:
                break
            dump += part
        return failures.readable_stack(dump.decode(errors="replace"))

    def kill(self) -> None:
        """End the process, whatever it does, and those that it started."""
        if self.process.pid is not None and self.alive():
            kill_process_tree(self.process)
        self.process.join()
        for connection in (self.tasks, self.output, self.stacks):
            connection.close()


class _Starter:
    """A thread that starts the processes and never ends.

    Linux ends a worker together with the *thread* that started it, and a notebook may launch from a short-lived one.
    """

    def __init__(self) -> None:
        self._jobs: queue.SimpleQueue[tuple[Future[Any], Callable[[], Any]]] = queue.SimpleQueue()
        threading.Thread(target=self._work, name="cluster starter", daemon=True).start()

    def call(self, function: Callable[[], Any]) -> Any:
        future: Future[Any] = Future()
        self._jobs.put((future, function))
        return future.result()

    def _work(self) -> None:
        while True:
            future, function = self._jobs.get()
            try:
                future.set_result(function())
            except BaseException as error:  # noqa: BLE001 (it is the caller's)
                future.set_exception(error)


class Pool:
    """The worker processes of this process, by rank."""

    def __init__(self) -> None:
        self.owner = os.getpid()
        self.workers: list[Worker] = []
        self._starter = _Starter()
        self._store: dist.TCPStore | None = None
        self._launches = 0

    def team(self, size: int) -> list[Worker]:
        """Return `size` ready workers, the same ones as last time where they still live."""
        for lost in [member for member in self.workers if not member.alive()]:
            self.discard(lost)
        while len(self.workers) < size:
            self._starter.call(lambda: self.workers.append(Worker()))
        team = self.workers[:size]
        _await_ready(team)
        return team

    def discard(self, member: Worker) -> None:
        """End a worker; the next launch that needs its place starts another."""
        if member in self.workers:
            self.workers.remove(member)
        member.kill()

    def meeting_point(self) -> tuple[int, str]:
        """Return the store's port and a prefix that no launch has used: old keys would point to closed connections."""
        if self._store is None:
            # Left to itself, the store would listen on every interface.
            listener = socket.socket()
            listener.bind(("127.0.0.1", 0))
            listener.listen(128)
            port = listener.getsockname()[1]
            self._store = dist.TCPStore(
                "127.0.0.1", port, is_master=True, wait_for_workers=False, master_listen_fd=listener.detach()
            )
        self._launches += 1
        return self._store.port, f"launch {self._launches}"

    def stop(self) -> None:
        if os.getpid() == self.owner:  # a fork of the owner must leave the workers alone
            for member in list(self.workers):
                self.discard(member)
            self._store = None


def _await_ready(team: list[Worker]) -> None:
    waiting: dict[Connection, int] = {member.tasks: rank for rank, member in enumerate(team) if not member.ready}
    while waiting:
        answered = wait(list(waiting), _START_SECONDS)
        if not answered:
            raise failures.hung(min(waiting.values()), _START_SECONDS, {})
        for connection in answered:
            assert isinstance(connection, Connection)
            rank = waiting.pop(connection)
            try:
                team[rank].receive()
            except (EOFError, OSError):
                team[rank].process.join(1)
                raise failures.died(rank, team[rank].process.exitcode) from None
            team[rank].ready = True


_pool: Pool | None = None


def get() -> Pool:
    """Return this process's pool."""
    global _pool
    if _pool is None or _pool.owner != os.getpid():
        _pool = Pool()
    return _pool


@atexit.register
def stop() -> None:
    """End every worker."""
    if _pool is not None:
        _pool.stop()
