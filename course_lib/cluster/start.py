"""The file that a worker process runs. It imports torch, which takes a second, only once it is safe from both accidents
of that second: an interrupt that is meant for the parent, and the parent's end."""

import ctypes
import json
import os
import signal
import sys
import threading
import time


def start(path: list[str], parent: int, tasks_descriptor: int, stacks_descriptor: int) -> None:
    """Become a worker of the process `parent`, which looks for modules in `path`."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Jupyter interrupts the whole process group; the parent decides
    _die_with(parent)
    sys.path[:] = path
    from course_lib.cluster.worker import serve

    serve(tasks_descriptor, stacks_descriptor)


def _die_with(parent: int) -> None:
    """Let this process end with its parent, however that ends and whatever this one is doing."""
    if sys.platform == "linux":
        set_parent_death_signal = 1
        ctypes.CDLL(None).prctl(set_parent_death_signal, signal.SIGKILL)
    else:
        threading.Thread(target=_watch, args=(parent,), daemon=True).start()
    if os.getppid() != parent:  # it died before we asked
        os._exit(1)


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)


if __name__ == "__main__":
    start(**json.loads(sys.argv[1]))
