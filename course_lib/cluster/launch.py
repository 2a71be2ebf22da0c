"""Run a function in real processes, from a notebook as well as from a script."""

import math
import os
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from multiprocessing.connection import wait
from typing import Any

from course_lib.cluster import failures, pool, transport, worker
from course_lib.cluster.failures import Failure, WorkerError
from course_lib.cluster.output import Relay

_SETTLE = 1.0  # seconds that the other ranks get to fail or return after the first failure: the first may be an echo
_TICK = 0.2  # seconds between looks at processes that say nothing
_lock = threading.Lock()
_launching_thread: int | None = None


def launch(
    fn: Callable[..., Any], *args: Any, workers: int = 2, per_rank: Sequence[tuple[Any, ...]] | None = None,
    timeout: float = 60.0, on_report: Callable[[int, Any], None] | None = None, joined: bool = True,
) -> list[Any]:  # fmt: skip
    """Run `fn(*args)` in `workers` processes joined by gloo and return the result of each rank, in rank order.

    `per_rank`: one tuple a rank, appended to that rank's arguments and sent to the process of that rank alone.
    `timeout`: seconds that one collective, send or receive may take, and that all ranks together may stay silent: not
    print, report or return. Starting the processes does not count.
    `on_report`: called here with (rank, value) for every `cluster.report(value)` in a worker.
    `joined`: False leaves out gloo: each process works on its own, and `cluster.join` there returns (0, 1).
    Workers stay warm for the next launch, unless a module of yours that they imported was edited. Launches from several threads
    take turns, and each finds torch's and Python's random generators freshly seeded.
    What workers print appears here, rank by rank. Tensors arrive as copies.

    Raises ValueError or TypeError for arguments that cannot work, before any process starts; WorkerError, naming the
    rank, when a worker raises, dies or hangs. Then, and on KeyboardInterrupt, workers still busy are killed.
    """
    global _launching_thread
    _check(fn, workers, per_rank, timeout)
    common, own = _packed(fn, args, workers, per_rank)
    if _launching_thread == threading.get_ident():
        raise RuntimeError("cluster.launch was called inside on_report: let the first launch return before the next")
    with _lock:
        try:
            _launching_thread = threading.get_ident()
            return _run(common, own, timeout, on_report, joined)
        finally:
            _launching_thread = None


def _forked() -> None:
    """In a fork, forget the launch that another thread of the parent was at: nobody here would ever end it."""
    global _lock, _launching_thread
    _lock, _launching_thread = threading.Lock(), None


os.register_at_fork(after_in_child=_forked)


def shutdown() -> None:
    """End all workers; the next launch starts new ones, which import edited modules afresh."""
    with _lock:
        pool.stop()


def _check(fn: Any, workers: Any, per_rank: Sequence[tuple[Any, ...]] | None, timeout: float) -> None:
    if (rank := worker.current_rank()) is not None:
        raise RuntimeError(
            f"cluster.launch was called inside a worker (rank {rank}): workers cannot launch workers; "
            "call it from the notebook or the script"
        )
    if not callable(fn):
        raise TypeError(f"launch needs a function to run, not {fn!r}: pass the function itself, without calling it")
    if not isinstance(workers, int) or isinstance(workers, bool) or workers < 1:
        raise ValueError(f"workers={workers!r}: pass a whole number of processes, 1 or more")
    if per_rank is not None and len(per_rank) != workers:
        raise ValueError(f"per_rank has {len(per_rank)} entries for workers={workers}: pass one tuple for each rank")
    for rank, given in enumerate(per_rank or ()):
        if not isinstance(given, tuple):
            raise TypeError(f"per_rank[{rank}] is a {type(given).__name__}: pass a tuple of that rank's arguments")
    if not 0 < timeout < math.inf:
        raise ValueError(f"timeout={timeout!r}: pass a number of seconds, above 0 and finite")


def _packed(
    fn: Any, args: tuple[Any, ...], workers: int, per_rank: Sequence[tuple[Any, ...]] | None
) -> tuple[memoryview, list[memoryview]]:
    """Return what every rank gets, and what each rank gets for itself."""
    what = "the function and its arguments"
    try:
        common = transport.dumps((fn, args))
        own = []
        for rank, given in enumerate(per_rank or [()] * workers):
            what = f"per_rank[{rank}]"
            own.append(transport.dumps(given))
    except Exception as error:
        raise TypeError(
            f"launch cannot send {what} to the workers ({error}): open files, locks, generators and connections stay in "
            "the process that made them; pass plain data and open such things inside the function"
        ) from error
    return common, own


def _run(
    common: memoryview, own: list[memoryview], timeout: float, on_report: Callable[[int, Any], None] | None,
    joined: bool,
) -> list[Any]:  # fmt: skip
    workers = pool.get()
    team = workers.team(len(own))
    port, prefix = workers.meeting_point()
    launched = _Launch(team, timeout, on_report)
    try:
        for rank, own_arguments in enumerate(own):
            settings = worker.Settings(rank, len(own), port, prefix, timeout, pool.import_path(), os.getcwd(), joined)
            launched.start(rank, transport.dumps(settings), common, own_arguments)
        return launched.collect()
    finally:
        workers.discard_lost()  # whatever ended the launch: who has not answered is in a state that nobody knows


class _Launch:
    """One launch in progress, seen from the parent."""

    def __init__(
        self, team: list[pool.Worker], timeout: float, on_report: Callable[[int, Any], None] | None
    ) -> None:  # fmt: skip
        self.team, self.timeout, self.on_report = team, timeout, on_report
        self.pending: set[int] = set()
        self.results: dict[int, Any] = {}
        self.failed: dict[int, Failure] = {}
        self.dead: list[int] = []
        self.relay = Relay(len(team))
        self.last_sign = time.monotonic()

    def start(self, rank: int, *messages: memoryview) -> None:
        member = self.team[rank]
        member.busy = True
        self.pending.add(rank)
        try:
            member.send(*messages)
        except OSError:
            self._bury(rank)

    def collect(self) -> list[Any]:
        """Return every rank's result. Raises WorkerError for the rank that is to blame."""
        self.last_sign = time.monotonic()
        try:
            while self.pending and not (self.failed or self.dead or self._silent()):
                self._look(_TICK)
            self._settle()
            if self.failed or self.dead or self.pending:
                raise self._verdict()
        finally:
            for rank in self.pending:
                self.relay.feed(rank, self.team[rank].read_output())
                self.relay.finish(rank)
            self.relay.show(everything=True)
        for member in self.team:
            with suppress(OSError):  # it has just died: its result is here, and the next launch replaces it
                member.send(worker.RELEASE)
        return [self.results[rank] for rank in range(len(self.team))]

    def _look(self, seconds: float) -> None:
        """Wait for a sign of life and take in what has come."""
        ends: dict[Any, int] = {}
        for rank in self.pending:
            ends[self.team[rank].tasks] = ends[self.team[rank].output] = rank
        came = wait(list(ends), seconds)
        for rank in sorted({ends[end] for end in came}):
            self._hear(rank, self.team[rank].tasks in came)
            self.last_sign = time.monotonic()  # only now: on_report may take its time
        # A process that the worker started may hold its pipes open: then its end shows only here.
        for rank in [rank for rank in self.pending if not (self.team[rank].alive() or self.team[rank].tasks.poll())]:
            self._bury(rank)
        self.relay.show()

    def _hear(self, rank: int, has_message: bool) -> None:
        member = self.team[rank]
        self.relay.feed(rank, member.read_output())
        if not has_message:
            return
        try:
            kind, content = member.receive()
        except (EOFError, OSError):
            self._bury(rank)
            return
        self.relay.feed(rank, member.read_output())
        try:
            value = transport.loads_back(content)
        except Exception as error:
            raise WorkerError(
                f"rank {rank} sent a {kind.decode()} that cannot be read here: {error!r}", rank
            ) from error
        if kind == worker.REPORT:
            if self.on_report is not None:
                self.relay.show()
                self.on_report(rank, value)
            return
        member.busy = False
        self.pending.discard(rank)
        self.relay.finish(rank)
        (self.failed if kind == worker.RAISED else self.results)[rank] = value

    def _bury(self, rank: int) -> None:
        self.relay.feed(rank, self.team[rank].read_output())
        self.relay.finish(rank)
        self.pending.discard(rank)
        self.dead.append(rank)

    def _silent(self) -> bool:
        return time.monotonic() - self.last_sign > self.timeout

    def _settle(self) -> None:
        """Wait a little for those that are not back: the first failure may be an echo of one that is still to come."""
        until = time.monotonic() + _SETTLE
        while self.pending and (left := until - time.monotonic()) > 0:
            self._look(min(left, _TICK))

    def _verdict(self) -> WorkerError:
        """Return the error for the rank that failed first of itself, not for those that only lost their peer."""
        first = sorted(self.failed, key=lambda rank: self.failed[rank].at)
        own = [rank for rank in first if not self.failed[rank].about_a_peer]
        if own:
            return failures.raised(own[0], self.failed[own[0]])
        if self.dead:
            rank, member = self.dead[0], self.team[self.dead[0]]
            return failures.died(rank, member.exit_code(), member.stack())
        # Whoever gives up waiting closes its connections, so that others may lose it before it has said so itself.
        first = [rank for rank in first if self.failed[rank].timed_out] or first
        timed_out = not first or self.failed[first[0]].timed_out
        if self.pending and timed_out:
            stacks = {rank: self.team[rank].stack() for rank in sorted(self.pending)}
            return failures.hung(failures.suspect(stacks), self.timeout, stacks)
        hint = ""
        if self.results:
            back = ", ".join(map(str, sorted(self.results)))
            hint = f"(rank {back} had already returned: every rank must take part in every collective)\n"
        elif timed_out and len(self.team) > 1:
            hint = "(every rank waited for another: what one sends, another must receive, in the same order)\n"
        return failures.raised(first[0], self.failed[first[0]], hint)
