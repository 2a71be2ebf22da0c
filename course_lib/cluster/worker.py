"""The worker's side of a launch: a process that waits for a function, joins gloo, runs it and sends back its result."""

import faulthandler
import os
import random
import signal
import sys
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from io import TextIOWrapper
from multiprocessing.connection import Connection
from typing import Any

import psutil
import torch
import torch.distributed as dist

from course_lib.cluster import failures, modules, transport

RELEASE = b""  # the parent has every rank's result: the group can go
PING = b"?"  # the parent wants to hear READY, or OUTDATED: a module that this process has imported was edited
READY, OUTDATED, REPORT, RESULT, RAISED = b"ready", b"outdated", b"report", b"result", b"failure"

# After its result a worker stays in the group until the others have theirs, for this many seconds at most: closing its
# connections then tells a rank that still waits for it that nobody will come.
LINGER = 1.0
_FRESH_SEED = torch.default_generator.initial_seed()


@dataclass(frozen=True)
class Settings:
    """What a worker needs to know to join a launch."""

    rank: int
    world: int
    port: int
    prefix: str
    timeout: float
    path: list[str]
    folder: str
    joined: bool


@dataclass
class _Pipe:
    """The way to the parent; threads of the worker's function may report too, so messages are sent one at a time."""

    connection: Connection
    lock: threading.Lock
    rank: int = -1
    in_launch: bool = False

    def send(self, kind: bytes, payload: bytes | memoryview = b"") -> None:
        with self.lock:
            self.connection.send_bytes(kind)
            self.connection.send_bytes(payload)


_parent: _Pipe | None = None


def current_rank() -> int | None:
    """Return this worker's rank, None outside a launched worker."""
    return _parent.rank if _parent is not None else None


def report(value: Any) -> None:
    """Hand `value` to the launch's `on_report` while the worker goes on; outside a launched worker, do nothing."""
    if _parent is not None and _parent.in_launch:
        _parent.send(REPORT, transport.dumps(value))


def serve(tasks_descriptor: int, stacks_descriptor: int) -> None:
    """Carry out launches until the parent closes its end."""
    global _parent
    faulthandler.enable(stacks_descriptor)
    faulthandler.register(signal.SIGUSR1, stacks_descriptor)
    for stream in (sys.stdout, sys.stderr):
        assert isinstance(stream, TextIOWrapper)
        stream.reconfigure(line_buffering=True)
    sources = modules.Sources()
    sources.note(psutil.Process().create_time())
    output, silence = os.dup(1), os.open(os.devnull, os.O_WRONLY)
    _speak_to(silence)
    tasks = Connection(tasks_descriptor)
    _parent = _Pipe(tasks, threading.Lock())
    try:
        _parent.send(READY)
        while True:
            settings = tasks.recv_bytes()
            if settings == PING:
                _parent.send(OUTDATED if sources.changed() else READY)
            if settings in (PING, RELEASE):
                continue
            began = time.time()
            _speak_to(output)
            kind, payload = _carry_out(transport.loads(settings), tasks)
            _speak_to(silence)
            sources.note(began)
            _parent.in_launch = False
            _parent.send(kind, payload)
            del payload
            if kind == RESULT:
                tasks.poll(LINGER)
            if dist.is_initialized():
                dist.destroy_process_group()
    except (EOFError, OSError):
        os._exit(0)  # the parent is gone or done; a thread that the launched function left behind must not keep us


def _carry_out(settings: Settings, tasks: Connection) -> tuple[bytes, memoryview]:
    """Run one function; return the kind of answer and the answer."""
    assert _parent is not None
    common, own = tasks.recv_bytes(), tasks.recv_bytes()
    try:
        _prepare(settings)
        _parent.rank, _parent.in_launch = settings.rank, True
        if settings.joined:
            _join(settings)
        fn, args = transport.loads(common)
        args += transport.loads(own)
        del common, own
        result = fn(*args)
        return RESULT, _packed(result)
    except BaseException as error:  # noqa: BLE001 (it is the parent's)
        return RAISED, failures.pack(error, own_files=(__file__,))


def _join(settings: Settings) -> None:
    timeout = timedelta(seconds=settings.timeout)
    store = dist.TCPStore("127.0.0.1", settings.port, is_master=False, wait_for_workers=False, timeout=timeout)
    dist.init_process_group(
        "gloo", store=dist.PrefixStore(settings.prefix, store), rank=settings.rank, world_size=settings.world,
        timeout=timeout,
    )  # fmt: skip


def _packed(result: Any) -> memoryview:
    try:
        return transport.dumps(result)
    except Exception as error:  # noqa: BLE001 (pickling may raise anything)
        raise TypeError(
            f"the result, a {type(result).__name__}, cannot be sent back ({error}): return numbers, tensors or "
            "plain containers of them"
        ) from None


def _prepare(settings: Settings) -> None:
    """Make this process look like a fresh one in the parent's place, whatever ran here before."""
    sys.path[:] = settings.path
    with suppress(OSError):
        os.chdir(settings.folder)
    torch.set_num_threads(1)
    torch.set_default_dtype(torch.float32)
    torch.set_grad_enabled(True)
    torch.manual_seed(_FRESH_SEED)
    random.seed(settings.rank)


def _speak_to(descriptor: int) -> None:
    """Send what this process writes, from Python or from C, to `descriptor`."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(Exception):
            stream.flush()
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
