"""Progress bars that say how long is left, and leave the same line behind on every machine."""

import sys
import time
from collections.abc import Callable, Collection, Iterator
from html import escape
from typing import Any, TypeVar

from course_lib.classroom import cards

T = TypeVar("T")

# tqdm's meter without the rate: a learner wants to know when it ends, not how many a second.
_METER = "{percentage:3.0f}%, {elapsed} gone, {remaining} left"


def progress(total: int | None = None, label: str = "Training") -> Callable[[int, int], None]:
    """Return a bar to pass as `rounds.fit(progress=...)`; it is called with (done, total of this run).

    `total`: steps of all runs together, where one bar serves several runs after one another. Nothing goes to stderr, and
    when the bar is full or the cell ends only `label` is left, so that nbval can compare the cell.
    """
    bar: Bar | None = None
    earlier = last = previous = 0

    def advance(done: int, of: int) -> None:
        nonlocal bar, earlier, last, previous
        if bar is None or bar.closed:
            bar, earlier, last, previous = Bar(total or of, label), 0, 0, of
        if done <= last:  # the next run began, perhaps before the last one used all its rounds
            earlier, last = earlier + previous, 0
        last, previous = done, of
        bar.move_to(earlier + done)
        if bar.done >= bar.total:
            bar.close()

    return advance


def track(items: Collection[T], label: str = "Working") -> Iterator[T]:
    """Yield the items, with a progress bar like that of `progress`."""
    bar = Bar(len(items), label)
    try:
        for position, item in enumerate(items, 1):
            yield item
            bar.move_to(position)
    finally:
        bar.close()


class Bar:
    """A bar in the notebook, or one line in a terminal; nothing where output goes to a file."""

    redraw_seconds = 0.2

    def __init__(self, total: int, label: str, clock: Callable[[], float] = time.monotonic) -> None:
        self.total, self.label, self.done, self.closed = max(1, total), label, 0, False
        self._clock, self._started, self._drawn = clock, clock(), clock()
        self._handle: Any = None
        if cards.in_notebook():
            self._open_in_notebook()

    def move_to(self, done: int) -> None:
        """Show that `done` of `total` steps are over."""
        self.done = done
        if self._clock() - self._drawn >= self.redraw_seconds and not self.closed:
            self._drawn = self._clock()
            self._draw(self.meter())

    def meter(self) -> str:
        """Return share, time gone and an estimate of the time left, in words."""
        from tqdm import tqdm

        text: str = tqdm.format_meter(self.done, self.total, self._clock() - self._started, bar_format=_METER)
        return text.strip()

    def close(self) -> None:
        """Leave only the label behind."""
        if not self.closed:
            self.closed = True
            self._draw("")

    def _open_in_notebook(self) -> None:
        import IPython.display
        from IPython.core.getipython import get_ipython

        # What is shown first and last is the same: nbval compares the first, the stored notebook holds the last.
        self._handle = IPython.display.DisplayHandle()
        self._handle.display(self._bundle(""), raw=True)
        shell = get_ipython()
        assert shell is not None  # a notebook has one

        def end(_: Any) -> None:
            shell.events.unregister("post_run_cell", end)
            self.close()

        # A run that stops early, or fails, never fills its bar: the end of the cell closes it.
        shell.events.register("post_run_cell", end)

    def _draw(self, meter: str) -> None:
        if self._handle is not None:
            self._handle.update(self._bundle(meter), raw=True)
        elif sys.stdout.isatty():
            sys.stdout.write(f"\r{self.label}: {meter}".ljust(79) if meter else f"\r{'':79}\r")
            sys.stdout.flush()

    def _bundle(self, meter: str) -> dict[str, str]:
        label = escape(self.label)
        if not meter:
            return {"text/plain": self.label, "text/html": f'<span style="opacity: 0.7">{label}</span>'}
        share = f'<progress value="{self.done}" max="{self.total}"></progress>'
        return {"text/plain": f"{self.label}: {meter}", "text/html": f"{label} {share} {escape(meter)}"}
