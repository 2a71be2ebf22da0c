"""The thread that starts the worker processes."""

import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any


class Starter:
    """A thread that starts the processes and never ends.

    Linux ends a worker together with the *thread* that started it, and a notebook may launch from a short-lived one.
    """

    def __init__(self) -> None:
        self._jobs: queue.SimpleQueue[tuple[Future[Any], Callable[[], Any]]] = queue.SimpleQueue()
        threading.Thread(target=self._work, name="cluster starter", daemon=True).start()

    def call(self, function: Callable[[], Any]) -> Any:
        """Return what the function returns in the thread, or raise what it raises there."""
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
