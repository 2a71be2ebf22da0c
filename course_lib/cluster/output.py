"""What workers print, put in order: whole lines, each labelled with its rank."""

import sys
import time

from course_lib.printing import printable


class Relay:
    """Prints the workers' lines in the parent.

    Lines come rank by rank, so that a short launch prints the same on every machine: rank 0's as they come, those of
    rank r once all lower ranks have returned, or after `patience` seconds, so that a long launch is not silent.
    """

    def __init__(self, world: int, patience: float = 3.0) -> None:
        self._partial = [b""] * world
        self._lines: list[list[tuple[float, str]]] = [[] for _ in range(world)]
        self._done = [False] * world
        self._patience = patience

    def feed(self, rank: int, data: bytes) -> None:
        """Take what `rank` has written."""
        *lines, self._partial[rank] = (self._partial[rank] + data).split(b"\n")
        now = time.monotonic()
        self._lines[rank] += [(now, _shown(line)) for line in lines]

    def finish(self, rank: int) -> None:
        """Note that `rank` writes no more."""
        if self._partial[rank]:
            self.feed(rank, b"\n")
        self._done[rank] = True

    def show(self, everything: bool = False) -> None:
        """Print the lines whose turn has come."""
        due, turn = [], True
        oldest = time.monotonic() - self._patience
        for rank, lines in enumerate(self._lines):
            count = len(lines) if turn or everything else sum(arrived < oldest for arrived, _ in lines)
            due += [f"[rank {rank}] {line}\n" for _, line in lines[:count]]
            del lines[:count]
            turn = turn and self._done[rank]
        if due:
            sys.stdout.write(printable("".join(due)))
            sys.stdout.flush()


def _shown(line: bytes) -> str:
    """Return what a terminal would leave standing of a line: a progress bar writes over itself."""
    return line.rstrip(b"\r").rsplit(b"\r", 1)[-1].decode(errors="replace")
