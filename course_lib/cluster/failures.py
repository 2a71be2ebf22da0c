"""What went wrong in which worker: packed where it happens, judged and put into words in the parent."""

import re
import signal
import time
import traceback
from dataclasses import dataclass
from types import TracebackType
from typing import Literal

from torch.distributed import DistError

from course_lib.cluster import transport

Cause = Literal["raised", "died", "hung"]

# How gloo and its store complain about somebody else: a peer that is gone, or silent for longer than the time-out.
_ABOUT_A_PEER = re.compile("gloo|connectFullMesh|Application timeout", re.IGNORECASE)
_TIME_OUT = re.compile(r"timed? ?out", re.IGNORECASE)
# Frames of these files at the top of a stack mean that the process waits for another one.
_WAITING_IN = re.compile(r"torch/distributed/|course_lib/cluster/")
_STACK_LINE = re.compile(r'^  File "(?P<file>.*)", line (?P<line>\d+|\?\?\?) in (?P<name>.*)$')


class WorkerError(RuntimeError):
    """A worker failed.

    `rank`: which one. `cause`: "raised" an exception, "died" (its process ended), or "hung" (silent past the time-out).
    `worker_traceback`: where it was, as text; empty where that is not known. `original`: the exception it raised, where
    it could be sent here, else None.
    """

    def __init__(
        self, message: str, rank: int = -1, cause: Cause = "raised", worker_traceback: str = "",
        original: BaseException | None = None,
    ) -> None:  # fmt: skip
        super().__init__(message)
        self.rank, self.cause, self.worker_traceback, self.original = rank, cause, worker_traceback, original


@dataclass
class Failure:
    """An exception in a worker, as it travels to the parent."""

    at: float  # time.monotonic(), one clock for all processes of a machine
    summary: str
    about_a_peer: bool
    timed_out: bool
    trace: traceback.TracebackException | str
    original: BaseException | None


def pack(error: BaseException, own_files: tuple[str, ...]) -> memoryview:
    """Return the exception as bytes, without the leading frames of `own_files`."""
    frames: TracebackType | None = error.__traceback__
    while frames is not None and frames.tb_frame.f_code.co_filename in own_files:
        frames = frames.tb_next
    # Lines are looked up where it is printed: the text of notebook cells is only known in the notebook's own process.
    trace = traceback.TracebackException(type(error), error, frames, lookup_lines=False, compact=True)
    summary = "".join(traceback.format_exception_only(error)).strip()
    failure = Failure(time.monotonic(), summary, _is_about_a_peer(error), is_time_out(error), trace, error)
    try:
        data = transport.dumps(failure)
        transport.loads(bytes(data))  # an exception may pickle well and yet fail to come back
    except Exception:  # noqa: BLE001 (its own pickling may raise anything)
        failure.trace, failure.original = "".join(trace.format()), None
        data = transport.dumps(failure)
    return data


def _is_about_a_peer(error: BaseException | None) -> bool:
    """Return whether a failure of another process started this exception, or one that it was raised from."""
    while error is not None:
        if isinstance(error, DistError) or (type(error) is RuntimeError and _ABOUT_A_PEER.search(str(error))):
            return True
        error = error.__cause__ or error.__context__
    return False


def raised(rank: int, failure: Failure, hint: str = "") -> WorkerError:
    """Return the error for a rank that raised an exception."""
    text = failure.trace if isinstance(failure.trace, str) else "".join(failure.trace.format())
    message = f"rank {rank} raised {failure.summary}\n{hint}\nOn rank {rank}:\n{text.rstrip()}"
    return WorkerError(message, rank, "raised", text, failure.original)


def died(rank: int, exit_code: int | None, last_words: str = "") -> WorkerError:
    """Return the error for a rank whose process ended: `exit_code` is negative for a signal."""
    message = f"rank {rank} died: {_end(exit_code)}. The workers were stopped; the next launch starts new ones."
    if last_words:
        message += f"\n\nRank {rank} was here:\n{last_words.rstrip()}"
    return WorkerError(message, rank, "died", last_words)


def not_started(rank: int, seconds: float, said: str) -> WorkerError:
    """Return the error for a process that is still trying to come up."""
    message = f"rank {rank} did not start within {seconds:g} seconds: is the machine out of memory, or very busy?"
    return WorkerError(f"{message}\n{said}".rstrip(), rank, "hung", said)


def died_starting(rank: int, exit_code: int | None, said: str) -> WorkerError:
    """Return the error for a process that ended before it was up."""
    message = f"rank {rank} died while it started: {_end(exit_code)}. What it said:\n{said or '(nothing)'}"
    return WorkerError(message.rstrip(), rank, "died", said)


def _end(exit_code: int | None) -> str:
    if exit_code is None:
        return "its process is gone"
    if exit_code >= 0:
        return f"its process ended with exit code {exit_code}"
    how = f"its process was ended by {signal.Signals(-exit_code).name}"
    return how + " (sent by hand, or by the operating system when memory runs out)" * (exit_code == -signal.SIGKILL)


def hung(rank: int, timeout: float, stacks: dict[int, str]) -> WorkerError:
    """Return the error for a rank that was silent past the time-out, given the stacks of all that had not returned."""
    where = stacks.get(rank, "")
    others = [other for other in sorted(stacks) if other != rank]
    message = [f"rank {rank} hung: no answer within timeout={timeout:g} seconds, so the workers were stopped."]
    if others:
        message.append(f"Not back either: rank {', '.join(map(str, others))}.")
    message.append("If it was only slow, pass a larger timeout, or let it call cluster.report now and then.")
    if where:
        message.append(f"\nRank {rank} was here:\n{where.rstrip()}")
    return WorkerError("\n".join(message), rank, "hung", where)


def lost(own: int, peer: int | None, error: RuntimeError) -> WorkerError:
    """Return the error for rank `own` that waited for `peer` in vain, from gloo's. None: it waited for several at once."""
    whom, rank = ("another rank", -1) if peer is None else (f"rank {peer}", peer)
    said = str(error).rpartition("] ")[2].partition(". ")[0]  # without the line of gloo's source, and its advice
    if is_time_out(error):
        advice = "is it stuck? If it is only slow, pass a larger timeout"
        return WorkerError(f"rank {own} waited for {whom} in vain ({said}): {advice}", rank, "hung", original=error)
    advice = "it has ended or left, so look at what it printed"
    return WorkerError(f"rank {own} lost {whom} ({said}): {advice}", rank, "died", original=error)


def is_time_out(error: BaseException) -> bool:
    """Return whether a rank gave up waiting for another."""
    return _is_about_a_peer(error) and bool(_TIME_OUT.search(str(error)))


def suspect(stacks: dict[int, str]) -> int:
    """Return which of the silent ranks to name: the first one that does not itself wait for another."""
    return min(stacks, key=lambda rank: (_waits(stacks[rank]), rank))


def _waits(stack: str) -> bool:
    innermost = stack.rstrip().rsplit('\n  File "', 1)[-1].split('"', 1)[0]
    return bool(_WAITING_IN.search(innermost))


def readable_stack(dump: str) -> str:
    """Return the main thread's part of a faulthandler dump as Python prints a traceback: innermost frame last."""
    main_thread = dump.split("hread 0x")[-1]
    found = [match for line in main_thread.splitlines() if (match := _STACK_LINE.match(line))]
    frames = [
        traceback.FrameSummary(match["file"], int(match["line"]), match["name"])
        for match in reversed(found)
        if match["line"].isdigit()
    ]
    # The first frames are those of the process's own start.
    own = [i for i, frame in enumerate(frames) if frame.filename.endswith("course_lib/cluster/worker.py")]
    if own and own[-1] + 1 < len(frames) and not _WAITING_IN.search(frames[own[-1] + 1].filename):
        frames = frames[own[-1] + 1 :]
    return "".join(traceback.format_list(frames))
