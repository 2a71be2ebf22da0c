"""What one process saw: its messages, counted, and its timeline."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

from torch import Tensor

Span = tuple[str, float, float]


@dataclass(frozen=True)
class Message:
    """One message as one process saw it: `bytes` of payload, `crossed` if it went from one process to another."""

    round: int
    sender: str
    receiver: str
    kind: str
    bytes: int
    crossed: bool
    direction: Literal["out", "in"] = "out"


class Recorder:
    """Keeps one process's messages and its timeline.

    `messages`: in the order they left or entered. `payloads`: their tensors, where `keep_payloads` asked for copies.
    `spans`: (name, start, end) in seconds of the machine's clock, never overlapping; names are "computing", "talking",
    "waiting", or a learner's own. `round`: the number that new messages get.
    """

    def __init__(self, keep_payloads: bool = False) -> None:
        self.keep_payloads = keep_payloads
        self.round = 0
        self.messages: list[Message] = []
        self.payloads: list[Tensor] = []
        self.spans: list[Span] = []
        self._open: list[str] = []
        self._since = 0.0

    def record(
        self, sender: str, receiver: str, kind: str, tensor: Tensor, crossed: bool,
        direction: Literal["out", "in"] = "out",
    ) -> None:  # fmt: skip
        """Count one message: the bytes of its tensor, headers left out."""
        size = tensor.numel() * tensor.element_size()
        self.messages.append(Message(self.round, sender, receiver, kind, size, crossed, direction))
        if self.keep_payloads:
            self.payloads.append(tensor.detach().clone())

    def spent(self, name: str, start: float, end: float) -> None:
        """Put the time from `start` to `end`, which has just passed, down to `name`: a quicker `phase`."""
        if self._open and start > self._since:
            self.spans.append((self._open[-1], self._since, start))
        self.spans.append((name, start, end))
        self._since = end

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Put what happens inside down to `name` in the timeline; an inner phase interrupts the outer one."""
        self._close_span()
        self._open.append(name)
        try:
            yield
        finally:
            self._close_span()
            self._open.pop()

    def _close_span(self) -> None:
        now = time.time()
        if self._open and now > self._since:
            self.spans.append((self._open[-1], self._since, now))
        self._since = now
