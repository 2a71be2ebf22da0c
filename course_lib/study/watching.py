"""How the runs of a study are followed: what workers tell the parent, and how the progress is shown."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Sign:
    """What a worker tells the parent about a run: that it begins, or that it is over, and what went wrong."""

    key: str
    over: bool
    trouble: str = ""


class Watch:
    """What the parent knows of the runs: which are over, and which worker is at which."""

    def __init__(self, total: int, over: set[str], show: Callable[[int, int], None]) -> None:
        self.total, self.over, self.show = total, over, show
        self.at: dict[int, str] = {}
        self.failures: dict[str, str] = {}
        if over:
            show(len(over), total)

    def hear(self, rank: int, sign: Any) -> None:
        """Take in what a worker reports; what `fit` itself reports is no concern of the study."""
        if not isinstance(sign, Sign):
            return
        if not sign.over:
            self.at[rank] = sign.key
            return
        self.at.pop(rank, None)
        self.over.add(sign.key)
        if sign.trouble:
            self.failures[sign.key] = sign.trouble
        self.show(len(self.over), self.total)


@contextmanager
def shown(progress: Callable[[int, int], None] | None, done: int, total: int) -> Iterator[Callable[[int, int], None]]:
    """Provide what shows the progress: the caller's own, or a bar; nothing is shown where output goes to a file."""
    if progress is not None:
        yield progress
        return
    from tqdm import tqdm

    seen = sys.stdout.isatty() or "ipykernel" in sys.modules
    layout = "{desc} {percentage:3.0f}% |{bar}| {n_fmt} of {total_fmt} runs, {elapsed} gone, {remaining} left"
    with tqdm(
        desc="Study", total=total, initial=done, file=sys.stdout, leave=False, smoothing=0, bar_format=layout, disable=not seen
    ) as bar:  # fmt: skip

        def move(now: int, _: int) -> None:
            bar.update(now - bar.n)

        yield move
