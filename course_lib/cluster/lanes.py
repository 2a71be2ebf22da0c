"""Lanes of a Channel: messages of one shape, type, kind and names, agreed on once, so that each travels without a header.

Half of what a small message costs is its header. Where the same message goes the same way in every round, both ends settle
what it is when they open the lane; from then on only its values travel, and the receiver can be ready before they come.
"""

import itertools
import time
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from course_lib.cluster.envelope import PACKET_BYTES, TAG, Envelope, seal

if TYPE_CHECKING:
    import torch.distributed as dist

    from course_lib.cluster.traffic import Channel

_tags = itertools.count(TAG + 1)  # each lane has its own: what is sent there meets no other message
_STAMP_BYTES = 8


class _Packet:
    """The memory of a lane's messages: their values, and behind them when they were sent, which tells waiting from talking."""

    def __init__(self, like: Tensor) -> None:
        size = like.numel() * like.element_size()
        self.bytes = torch.empty(size + -size % _STAMP_BYTES + _STAMP_BYTES, dtype=torch.uint8)
        self.values = self.bytes[:size].view(like.dtype).view(like.shape)
        self.sent_at = self.bytes[-_STAMP_BYTES:].view(torch.float64).numpy()


class OutLane:
    """The end of a lane that sends. Opening it waits for nobody; see `InLane` for the other end."""

    def __init__(self, channel: "Channel", to: int, like: Tensor, kind: str, sender: str, receiver: str) -> None:
        self._channel, self._to, self._tag, self._packet = channel, to, next(_tags), _Packet(like)
        self._envelope = Envelope(kind, sender, receiver, like.dtype, tuple(like.shape))
        self._header = seal(self._envelope._replace(kind=f"{_opening(kind)}: {self._tag}"))
        self._group = channel.connection(channel.rank, to)
        self._leaving: list[dist.Work] = [self._group.send([self._header], to, TAG)]

    def send(self, tensor: Tensor) -> None:
        """Send a tensor, which may change as soon as this returns. Raises ValueError for one that was not agreed on."""
        kind, sender, receiver, dtype, shape = self._envelope
        if (tensor.shape, tensor.dtype) != (shape, dtype):
            raise ValueError(
                f"the lane for {kind!r} to rank {self._to} takes {shape} of {dtype}, not {tuple(tensor.shape)} of "
                f"{tensor.dtype}: open another lane for it"
            )
        self.wait()
        self._packet.values.copy_(tensor)
        self._packet.sent_at[0] = time.time()
        self._leaving.append(self._group.send([self._packet.bytes], self._to, self._tag))
        self._channel.recorder.record(sender, receiver, kind, tensor, crossed=True)

    def wait(self) -> None:
        """Return once the last message has left. Raises WorkerError when the receiver is gone or silent too long."""
        while self._leaving:
            self._channel.wait(self._leaving.pop(), self._to)


class InLane:
    """The end of a lane that receives. Opening it waits for the sender.

    Raises RuntimeError where the sender opens another lane, or sends something else: both sides must act in the same order.
    """

    def __init__(self, channel: "Channel", source: int, like: Tensor, kind: str) -> None:
        self._channel, self._source, self._kind, self._packet = channel, source, kind, _Packet(like)
        header = torch.empty(PACKET_BYTES, dtype=torch.uint8)
        self._group = channel.connection(source, channel.rank)
        channel.wait(self._group.recv([header], source, TAG), source)
        self._envelope = channel.understood(header, source, _opening(kind), like)
        self._tag = int(self._envelope.kind.rpartition(": ")[2])
        self._coming: dist.Work | None = None

    def ready(self) -> None:
        """Get ready for the next message, and go on working: it is then taken the moment it comes."""
        self._coming = self._group.recv([self._packet.bytes], self._source, self._tag)

    def wait(self) -> Tensor:
        """Return the next message, in memory that `ready` gives to the one after it.

        Time until it was sent counts as waiting, from then on as talking. Raises WorkerError when its sender is gone or
        silent too long.
        """
        if self._coming is None:
            self.ready()
        assert self._coming is not None
        recorder, start = self._channel.recorder, time.time()
        self._channel.wait(self._coming, self._source)
        self._coming, end = None, time.time()
        sent = min(max(start, float(self._packet.sent_at[0])), end)  # another machine may have another clock
        if sent > start:
            recorder.spent("waiting", start, sent)
        recorder.spent("talking", sent, end)
        _, sender, receiver, *_ = self._envelope
        recorder.record(sender, receiver, self._kind, self._packet.values, crossed=True, direction="in")
        return self._packet.values


def _opening(kind: str) -> str:
    """Return the kind of the header that opens a lane for messages of `kind`."""
    return f"lane for {kind}"
