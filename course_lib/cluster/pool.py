"""The warm pool: worker processes that outlive a launch, and one store through which they find each other."""

import atexit
import json
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from datetime import timedelta
from multiprocessing.connection import Pipe, wait
from typing import Any

import psutil
import torch.distributed as dist

from course_lib.cluster import failures, start, transport, worker
from course_lib.cluster.starter import Starter

_START_SECONDS = 120.0  # a cold disk may take long to give up torch
_REACH_ONESELF = timedelta(seconds=10)  # over loopback; torch would try for five minutes
_ANSWER_SECONDS = 5.0  # for a warm worker to answer: it may be busy with taking leave of the last launch

_ENVIRONMENT = {
    # One thread a worker: they share the machine's cores.
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "VECLIB_MAXIMUM_THREADS": "1",
    # A machine's own name may not resolve, and nobody outside is to listen.
    "GLOO_SOCKET_IFNAME": transport.LOOPBACK_INTERFACE,
    # Warnings about a peer that is gone would land in the cell, next to the error that names it.
    "TORCH_CPP_LOG_LEVEL": "ERROR",
    "PYTHONIOENCODING": "utf-8:backslashreplace",
}


class Worker:
    """The parent's end of one worker process."""

    def __init__(self) -> None:
        self.tasks, tasks = Pipe()
        self.output, output = Pipe(duplex=False)
        self.stacks, stacks = Pipe(duplex=False)
        os.set_blocking(self.output.fileno(), False)
        self.ready = False
        self.hung_up = False
        self.busy = False
        pipes = {"tasks_descriptor": tasks.fileno(), "stacks_descriptor": stacks.fileno()}
        arguments = json.dumps(pipes | {"path": import_path(), "parent": os.getpid()})
        with tasks, output, stacks:
            self.process = subprocess.Popen(
                [sys.executable, "-P", start.__file__, arguments], env=os.environ | _ENVIRONMENT, stdin=subprocess.DEVNULL,
                stdout=output.fileno(), stderr=output.fileno(), pass_fds=pipes.values(),
            )  # fmt: skip

    def alive(self) -> bool:
        """Return whether the process runs."""
        return self.process.poll() is None

    def exit_code(self) -> int | None:
        """Return how the process ended, negative for a signal; None if it has not ended after ten seconds."""
        try:
            return self.process.wait(10)  # it may have hung up long before it is gone, on a busy machine
        except subprocess.TimeoutExpired:
            return None

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
        """Return where the worker's main thread is, or was when it crashed; empty if there is no telling."""
        if self.alive():
            os.kill(self.process.pid, signal.SIGUSR1)
        dump = b""
        while self.stacks.poll(0.05 if dump else seconds):
            part = os.read(self.stacks.fileno(), 65536)
            if not part:
                break
            dump += part
        return failures.readable_stack(dump.decode(errors="replace"))

    def kill(self) -> None:
        """End the process, whatever it does, and those that it started."""
        with suppress(psutil.NoSuchProcess):
            own = psutil.Process(self.process.pid)
            for process in [*own.children(recursive=True), own] if self.alive() else []:
                with suppress(psutil.NoSuchProcess):
                    process.kill()
        self.process.wait()
        for connection in (self.tasks, self.output, self.stacks):
            connection.close()


def import_path() -> list[str]:
    """Return where this process looks for modules."""
    return [str(place) for place in sys.path]


class Pool:
    """The worker processes of this process, by rank."""

    def __init__(self) -> None:
        self.owner = os.getpid()
        self.workers: list[Worker] = []
        self._starter = Starter()
        self._store: dist.TCPStore | None = None
        self._launches = 0

    def team(self, size: int) -> list[Worker]:
        """Return `size` ready workers, the same ones as last time where they still live."""
        self._starter.call(self.discard_lost)  # there, so that it comes after what an interrupted launch left to start
        try:
            # A process that was just killed may still look alive, and one that was stopped always does: ask.
            for member in self.workers[:size]:
                member.ready = False
                with suppress(OSError):
                    member.send(worker.PING)
            _hear(self.workers[:size], _ANSWER_SECONDS)
            for member in [member for member in self.workers[:size] if not member.ready]:
                self._discard(member)
            while len(self.workers) < size:
                self._starter.call(lambda: self.workers.append(Worker()))
            _hear(self.workers[:size], _START_SECONDS)
            for rank, member in enumerate(self.workers[:size]):
                if member.hung_up:
                    exit_code = member.exit_code()  # waits: a process lets go of its pipes before it is gone
                    raise failures.died_starting(rank, exit_code, member.read_output().decode(errors="replace"))
                if not member.ready:
                    said = member.read_output().decode(errors="replace")
                    raise failures.not_started(rank, _START_SECONDS, said)
        except BaseException:  # an interrupt too: who has not answered by now may be half-way through it
            self.discard_lost()
            raise
        return self.workers[:size]

    def discard_lost(self) -> None:
        """End the workers that are dead, not up yet, or busy with a launch that is over."""
        for member in [member for member in self.workers if member.busy or not member.ready or not member.alive()]:
            self._discard(member)

    def _discard(self, member: Worker) -> None:
        member.kill()
        self.workers.remove(member)  # last: an interrupt in between leaves it to the next launch

    def meeting_point(self) -> tuple[int, str]:
        """Return the store's port and a prefix that no launch has used: old keys would point to closed connections."""
        if self._store is None:
            # Left to itself, the store would listen on every interface.
            listener = socket.socket()
            listener.bind(("127.0.0.1", 0))
            listener.listen(128)
            port = listener.getsockname()[1]
            try:
                self._store = dist.TCPStore(
                    "127.0.0.1", port, is_master=True, wait_for_workers=False, master_listen_fd=listener.detach(),
                    timeout=_REACH_ONESELF,
                )  # fmt: skip
            except dist.DistNetworkError as error:
                raise RuntimeError(
                    "processes of this machine cannot reach each other at 127.0.0.1: allow such connections in the firewall "
                    "or security software, nothing leaves this machine; `python -m course_lib doctor` checks it"
                ) from error
        self._launches += 1
        return self._store.port, f"launch {self._launches}"

    def stop(self) -> None:
        if os.getpid() == self.owner:  # a fork of the owner must leave the workers alone
            for member in list(self.workers):
                self._discard(member)
            self._store = None


def _hear(team: list[Worker], seconds: float) -> None:
    """Wait until each worker has said that it is ready, that it is not, or nothing any more."""
    waiting: dict[Any, Worker] = {member.tasks: member for member in team if not member.ready}
    until = time.monotonic() + seconds
    while waiting:
        answered = wait(list(waiting), max(0.0, until - time.monotonic()))
        if not answered:
            break
        for connection in answered:
            member = waiting.pop(connection)
            try:
                member.ready = member.receive()[0] == worker.READY
            except (EOFError, OSError):
                member.hung_up = True


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
