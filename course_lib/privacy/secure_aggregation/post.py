"""How messages get from clients to the server and back: handed over within a process, sent between two, counted in both cases."""

from collections.abc import Callable, Iterable, Mapping

import torch
from torch import Tensor

from course_lib.cluster.traffic import Channel, Handle, Recorder
from course_lib.privacy.secure_aggregation.errors import AbortedError

SERVER = "server"


class Post:
    """One process's end: `hosts[client]` is the process of each client, process 0 is the server's.

    All processes must call `collect` and `distribute` in the same order, with the same kinds and clients.
    """

    def __init__(self, recorder: Recorder, channel: Channel | None, hosts: Mapping[int, int]) -> None:
        self.recorder, self.rank = recorder, channel.rank if channel else 0
        self._channel, self._hosts = channel, hosts

    def collect(
        self, kind: str, senders: Iterable[int], make: Callable[[int], Tensor], take: Callable[[int, Tensor], None]
    ) -> None:
        """Send what `make(client)` returns for each hosted sender; on the server, `take(client, message)` gets all, in order."""
        handles: list[Handle] = []
        for client in senders:
            message = make(client) if self._hosts[client] == self.rank else None
            if self.rank == 0:
                take(client, self._recv(client, kind) if message is None else self._hand_over(message, client, kind))
            elif message is not None:
                assert self._channel is not None
                handles.append(self._channel.isend(message, 0, kind=kind, sender=f"client {client}", receiver=SERVER))
        for handle in handles:
            handle.wait()

    def distribute(
        self, kind: str, receivers: Iterable[int], make: Callable[[], Mapping[int, Tensor]],
        take: Callable[[int, Tensor], None],
    ) -> None:  # fmt: skip
        """On the server, send what `make()` returns for each receiver; `take(client, message)` gets those for hosted clients.

        Where `make` raises AbortedError, everybody's call does: an empty message says so.
        """
        receivers, aborted = list(receivers), None
        messages: Mapping[int, Tensor] = {}
        if self.rank == 0:
            try:
                messages = make()
            except AbortedError as error:
                aborted = error
                messages = dict.fromkeys(receivers, torch.zeros(0, dtype=torch.uint8))
        handles = []
        for client in receivers:
            here = self._hosts[client] == self.rank
            if self.rank == 0 and not here:
                assert self._channel is not None
                handles.append(
                    self._channel.isend(
                        messages[client], self._hosts[client], kind=kind, sender=SERVER, receiver=f"client {client}"
                    )
                )
            elif here:
                message = self._hand_out(messages[client], client, kind) if self.rank == 0 else self._recv(client, kind)
                if message.numel():
                    take(client, message)
                else:
                    aborted = aborted or AbortedError("the server ended the round")
        for handle in handles:
            handle.wait()
        if aborted is not None:
            raise aborted

    def _recv(self, client: int, kind: str) -> Tensor:
        assert self._channel is not None
        return self._channel.recv(self._hosts[client] if self.rank == 0 else 0, kind=kind)

    def _hand_over(self, message: Tensor, client: int, kind: str) -> Tensor:
        self.recorder.record(f"client {client}", SERVER, kind, message, crossed=False)
        return message

    def _hand_out(self, message: Tensor, client: int, kind: str) -> Tensor:
        self.recorder.record(SERVER, f"client {client}", kind, message, crossed=False)
        return message
