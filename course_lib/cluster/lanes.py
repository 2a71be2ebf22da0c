"""Lanes of a Channel: messages of one shape, type, kind and names, agreed on once, so that each travels without a header.

Half of what a small message costs is its header. Where the same message goes the same way again and again, both ends settle
what it is when they open the lane; from then on only its values travel, the receiver is ready before they come, and works on
the first part of a long message while the next is on its way.
"""

import itertools
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from course_lib.cluster.envelope import PACKET_BYTES, TAG, Envelope, seal

if TYPE_CHECKING:
    import torch.distributed as dist

    from course_lib.cluster.traffic import Channel

_tags = itertools.count(TAG + 1)  # each lane has its own: what is sent there meets no other message
_STAMP_BYTES = 16  # before the first values: when they were sent, so that the receiver can tell waiting from talking
_PART_BYTES = 1 << 22  # shorter ones cost more to send than waiting for the first costs


def part_length(like: Tensor) -> int:
    """Return how many values of a message travel together."""
    return _PART_BYTES // like.element_size()


class _Packet:
    """The memory of a lane's messages: a time, and the values, in parts that travel one after the other."""

    def __init__(self, like: Tensor) -> None:
        size = like.numel() * like.element_size()
        self.bytes = torch.empty(_STAMP_BYTES + size, dtype=torch.uint8)
        self.values = self.bytes[_STAMP_BYTES:].view(like.dtype)
        self.shaped = self.values.view(like.shape)
        self.sent_at = self.bytes[:8].view(torch.float64).numpy()
        self.length = part_length(like)
        self.parts = self.values.split(self.length)
        first, *others = (part.nbytes for part in self.parts)
        self.pieces = self.bytes.split([_STAMP_BYTES + first, *others])


class OutLane:
    """The end of a lane that sends. Opening it waits for nobody; see `InLane` for the other end."""

    def __init__(self, channel: "Channel", to: int, like: Tensor, kind: str, sender: str, receiver: str) -> None:
        self._channel, self._to, self._tag, self._packet = channel, to, next(_tags), _Packet(like)
        self._envelope = Envelope(kind, sender, receiver, like.dtype, tuple(like.shape))
        self._header = seal(self._envelope._replace(kind=f"{_opening(kind)}: {self._tag}"))
        self._group = channel.connection(channel.rank, to)
        self._announced: list[dist.Work] = [self._group.send([self._header], to, TAG)]
        self._leaving: list[dist.Work] = []

    def send(self, tensor: Tensor) -> None:
        """Send a tensor, which may change as soon as this returns. Raises ValueError for one that was not agreed on."""
        for number in range(len(self._packet.parts)):
            self.send_part(tensor, number)

    def send_part(self, tensor: Tensor, number: int) -> None:
        """Send part `number` of a tensor, of which the rest may still change: from the first part to the last, each once."""
        kind, sender, receiver, dtype, shape = self._envelope
        if (tensor.shape, tensor.dtype) != (shape, dtype):
            raise ValueError(
                f"the lane for {kind!r} to rank {self._to} takes {shape} of {dtype}, not {tuple(tensor.shape)} of "
                f"{tensor.dtype}: open another lane for it"
            )
        packet = self._packet
        if number == 0:
            self._finish(self._leaving)  # their memory is needed again
            packet.sent_at[0] = time.time()
        packet.parts[number].copy_(tensor.reshape(-1)[number * packet.length :][: packet.length])
        self._leaving.append(self._group.send([packet.pieces[number]], self._to, self._tag))
        if number == len(packet.parts) - 1:
            self._channel.recorder.record(sender, receiver, kind, tensor, crossed=True)

    def wait(self) -> None:
        """Return once the last message has left. Raises WorkerError when the receiver is gone or silent too long."""
        self._finish(self._announced)
        self._finish(self._leaving)

    def _finish(self, works: "list[dist.Work]") -> None:
        for work in works:
            self._channel.wait(work, self._to)
        works.clear()


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
        self._coming: list[dist.Work] = []

    def ready(self) -> None:
        """Get ready for the next message, and go on working: it is then taken the moment it comes."""
        if not self._coming:
            self._coming = [self._group.recv([piece], self._source, self._tag) for piece in self._packet.pieces]

    def wait(self) -> Tensor:
        """Return the next message, in memory that `ready` gives to the one after it.

        Time until it was sent counts as waiting, from then on as talking. Raises WorkerError when its sender is gone or
        silent too long.
        """
        for _ in self.parts():
            pass
        return self._packet.shaped

    def parts(self) -> Iterator[tuple[int, Tensor]]:
        """Yield the parts of the next message as they come, numbered, each a flat vector; see `wait`."""
        self.ready()
        recorder, packet = self._channel.recorder, self._packet
        for number, work in enumerate(self._coming):
            start = time.time()
            self._channel.wait(work, self._source)
            end = time.time()
            sent = min(max(start, float(packet.sent_at[0])), end)  # another machine may have another clock
            if sent > start:
                recorder.spent("waiting", start, sent)
            recorder.spent("talking", sent, end)
            if number == len(packet.parts) - 1:
                self._coming = []
                _, sender, receiver, *_ = self._envelope
                recorder.record(sender, receiver, self._kind, packet.shaped, crossed=True, direction="in")
            yield number, packet.parts[number]


def _opening(kind: str) -> str:
    """Return the kind of the header that opens a lane for messages of `kind`."""
    return f"lane for {kind}"
