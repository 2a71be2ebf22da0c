"""Every message between participants, counted where it leaves and where it enters, and where the time went."""

import time
from math import prod
from weakref import WeakKeyDictionary

import torch
import torch.distributed as dist
from torch import Tensor

from course_lib.cluster import failures
from course_lib.cluster.envelope import HEADER_BYTES, PACKET_BYTES, ROOM, TAG, Envelope, seal, unseal
from course_lib.cluster.lanes import InLane, OutLane
from course_lib.cluster.recorder import Message, Recorder, Span
from course_lib.cluster.timeline import frame, timeline_frame, timeline_picture, timeline_text

__all__ = [
    "HEADER_BYTES", "Channel", "Expected", "Handle", "InLane", "Message", "OutLane", "Recorder", "Span",
    "frame", "timeline_frame", "timeline_picture", "timeline_text",
]  # fmt: skip


class Handle:
    """A message on its way: keeps its memory alive until `wait` has seen it leave."""

    def __init__(self, channel: "Channel", to: int, works: list["dist.Work"], kept: list[Tensor]) -> None:
        self._channel, self._to, self._works, self._kept = channel, to, works, kept

    def wait(self) -> None:
        """Return once the receiver has taken the message. Raises WorkerError when it is gone or silent too long."""
        for name, work in zip(("waiting", "talking"), self._works, strict=False):
            start = time.time()
            self._channel.wait(work, self._to)
            self._channel.recorder.spent(name, start, time.time())
        self._works, self._kept = [], []


class Expected:
    """A message that this process is ready for; `wait` returns it. `remark` is then what its kind said after a colon."""

    def __init__(self, channel: "Channel", source: int, kind: str, like: Tensor) -> None:
        self._channel, self._source, self._kind, self._like = channel, source, kind, like
        self.remark = ""
        size = like.numel() * like.element_size()
        self._parts = [torch.empty(PACKET_BYTES, dtype=torch.uint8)]
        if size > ROOM:
            self._parts.append(torch.empty(size, dtype=torch.uint8))
        self._works = [channel.group.recv([part], source, TAG) for part in self._parts]

    def wait(self) -> Tensor:
        """Return the tensor once it is here.

        Raises RuntimeError when it is not what was expected, and WorkerError when its sender is gone or silent too long.
        """
        start = time.time()
        self._channel.wait(self._works[0], self._source)
        arrived = time.time()
        self._channel.recorder.spent("waiting", start, arrived)
        envelope = self._channel.understood(self._parts[0], self._source, self._kind, self._like)
        if len(self._works) > 1:
            self._channel.wait(self._works[1], self._source)
            self._channel.recorder.spent("talking", arrived, time.time())
        size = self._like.numel() * self._like.element_size()
        inside = self._parts[0][HEADER_BYTES : HEADER_BYTES + size]
        self.remark = envelope.kind.partition(": ")[2]
        return self._channel.accept(envelope, self._parts[1] if size > ROOM else inside, self._kind)


class Channel:
    """Sends and receives tensors between the processes of a gloo group, and records each.

    A header of HEADER_BYTES goes before each payload, so that a receiver has to know nothing but whom to listen to; a
    payload of up to PACKET_BYTES - HEADER_BYTES travels with it. Time until the header is through, that is until both
    sides are there, counts as waiting, the transfer of a larger payload as talking. Ranks are those within the group.
    """

    def __init__(self, recorder: Recorder, group: "dist.ProcessGroup | None" = None) -> None:
        """Join `group`, by default everybody's. Raises RuntimeError where no group has been joined."""
        if group is None:
            if not dist.is_initialized():
                raise RuntimeError("a Channel needs a process group: use it in a function run by cluster.launch")
            group = dist.group.WORLD
        assert group is not None
        self.recorder, self.group = recorder, group
        self.rank, self.world = group.rank(), group.size()
        self._downwards: dist.ProcessGroup | None = None
        self._to: dict[tuple[object, ...], OutLane] = {}
        self._from: dict[tuple[object, ...], InLane] = {}
        self._packet = torch.empty(PACKET_BYTES, dtype=torch.uint8)
        self._packet_bytes = self._packet.numpy()

    def send(
        self, tensor: Tensor, to: int, *, kind: str, sender: str | None = None, receiver: str | None = None
    ) -> None:
        """Send a tensor of any shape to rank `to`; return once it has been taken."""
        self.isend(tensor, to, kind=kind, sender=sender, receiver=receiver).wait()

    def isend(
        self, tensor: Tensor, to: int, *, kind: str, sender: str | None = None, receiver: str | None = None
    ) -> Handle:
        """Start sending; the tensor must not change before the handle's `wait` has returned."""
        self._check(to, "send to")
        sender, receiver = sender or f"worker {self.rank}", receiver or f"worker {to}"
        packet = seal(Envelope(kind, sender, receiver, tensor.dtype, tuple(tensor.shape)))
        payload = tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8)
        if payload.numel() <= ROOM:
            packet = packet.clone()
            packet[HEADER_BYTES : HEADER_BYTES + payload.numel()] = payload
            parts = [packet]
        else:
            parts = [packet, payload]
        works = [self.group.send([part], to, TAG) for part in parts]
        self.recorder.record(sender, receiver, kind, tensor, crossed=True)
        return Handle(self, to, works, parts)

    def recv(self, source: int, *, kind: str) -> Tensor:
        """Return the next tensor from rank `source`.

        Raises RuntimeError when it is not of this kind, and WorkerError when its sender is gone or silent too long.
        """
        self._check(source, "receive from")
        start = time.time()
        self.wait(self.group.recv([self._packet], source, TAG), source)
        arrived = time.time()
        self.recorder.spent("waiting", start, arrived)
        envelope = self.understood(self._packet, source, kind)
        size = prod(envelope.shape) * envelope.dtype.itemsize
        if size <= ROOM:
            payload = self._packet[HEADER_BYTES : HEADER_BYTES + size].clone()
        else:
            payload = torch.empty(size, dtype=torch.uint8)
            self.wait(self.group.recv([payload], source, TAG), source)
            self.recorder.spent("talking", arrived, time.time())
        return self.accept(envelope, payload, kind)

    def expect(self, source: int, *, kind: str, like: Tensor) -> Expected:
        """Get ready for the next tensor from rank `source`, of the shape and type of `like`, and go on working.

        A message that finds its receiver ready is taken at once; one that does not keeps gloo's threads busy asking, at the
        expense of whatever the processes compute meanwhile.
        """
        self._check(source, "receive from")
        return Expected(self, source, kind, like)

    def open_out(
        self, to: int, like: Tensor, *, kind: str, sender: str | None = None, receiver: str | None = None
    ) -> OutLane:
        """Open a lane to rank `to` for messages of the shape and type of `like`; that rank must `open_in` in the same order.

        A group's first lane must be opened by all its ranks at the same time, which connects them a second time.
        """
        self._check(to, "send to")
        return OutLane(self, to, like, kind, sender or f"worker {self.rank}", receiver or f"worker {to}")

    def open_in(self, source: int, like: Tensor, *, kind: str) -> InLane:
        """Open this end of the lane that rank `source` opens next, once that has been done."""
        self._check(source, "receive from")
        return InLane(self, source, like, kind)

    def lane_to(self, to: int, like: Tensor, *, kind: str, number: int = 0) -> OutLane:
        """Return a lane that stays: the one that an earlier call for such messages opened, or a new one. `number` tells several apart."""
        key = (to, kind, number, like.shape, like.dtype)
        if key not in self._to:
            self._to[key] = self.open_out(to, like, kind=kind)
        return self._to[key]

    def lane_from(self, source: int, like: Tensor, *, kind: str, number: int = 0) -> InLane:
        """Return this end of the lane that rank `source` gets from `lane_to`."""
        key = (source, kind, number, like.shape, like.dtype)
        if key not in self._from:
            self._from[key] = self.open_in(source, like, kind=kind)
        return self._from[key]

    def connection(self, sender: int, receiver: int) -> "dist.ProcessGroup":
        """Return the group through which lanes from `sender` to `receiver` go: upwards this one's, downwards a second one's.

        gloo's own thread cannot take what comes over a connection to which another thread is just writing, and keeps asking
        until it can, which costs milliseconds where processors are few.
        """
        if self._downwards is None:
            self._downwards = _joined_again(self.group)
        return self.group if sender < receiver else self._downwards

    def wait(self, work: "dist.Work", peer: int) -> None:
        """Return once a send to `peer`, or a receive from it, is done. Raises WorkerError where that will not be."""
        try:
            work.wait()
        except RuntimeError as error:
            raise failures.lost(self.rank, peer, error) from error

    def understood(self, packet: Tensor, source: int, kind: str, like: Tensor | None = None) -> Envelope:
        """Return what a packet's header says. Raises RuntimeError where it announces something else than expected."""
        envelope = unseal(packet[:HEADER_BYTES].numpy().tobytes())
        if envelope.kind.partition(": ")[0] != kind:
            raise RuntimeError(
                f"rank {self.rank} expected {kind!r} from rank {source}, but {envelope.sender} sent "
                f"{envelope.kind!r}: both sides must send and receive in the same order"
            )
        if like is not None and (envelope.shape, envelope.dtype) != (tuple(like.shape), like.dtype):
            raise RuntimeError(
                f"rank {self.rank} expected {tuple(like.shape)} of {like.dtype}, but {envelope.sender} sent "
                f"{envelope.shape} of {envelope.dtype}"
            )
        return envelope

    def accept(self, envelope: Envelope, payload: Tensor, kind: str) -> Tensor:
        """Return the tensor that arrived as bytes, and record it."""
        tensor = payload.view(envelope.dtype).reshape(envelope.shape)
        self.recorder.record(envelope.sender, envelope.receiver, kind, tensor, crossed=True, direction="in")
        return tensor

    def _check(self, rank: int, verb: str) -> None:
        if rank == self.rank:
            raise ValueError(f"rank {rank} cannot {verb} itself: it already has the tensor")
        if not 0 <= rank < self.world:
            raise ValueError(f"cannot {verb} rank {rank}: ranks go from 0 to {self.world - 1}")


def _joined_again(group: "dist.ProcessGroup") -> "dist.ProcessGroup":
    """Return a second group of the same processes, with the same time-out: the same one as long as the first lives."""
    if group not in _second:
        ranks = dist.get_process_group_ranks(group)
        timeout = group._get_backend(torch.device("cpu")).options._timeout
        _second[group] = dist.new_group(ranks, timeout=timeout, backend="gloo", use_local_synchronization=True)
    return _second[group]


_second: "WeakKeyDictionary[dist.ProcessGroup, dist.ProcessGroup]" = WeakKeyDictionary()
