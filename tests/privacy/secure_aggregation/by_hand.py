"""The protocol step by step, so that a test can meddle between any two."""

from collections.abc import Iterable

import torch
from torch import Tensor

from course_lib.privacy.secure_aggregation import Client, Quantiser, Server, Settings, insecure_source

COHORT = (0, 1, 2, 3, 4)
QUANTISER = Quantiser(bound=4.0, levels=2**16)


def settings(values: int = 6, threshold: int = 3, largest_weight: int = 10, round_index: int = 0) -> Settings:
    return Settings(COHORT, values, threshold, QUANTISER, largest_weight, round_index)


def vectors(values: int = 6, seed: int = 0) -> dict[int, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {client: torch.randn(values, generator=generator) for client in COHORT}


class ByHand:
    """Five clients and a server; each method takes them one stage further, without the clients in `without`."""

    def __init__(self, agreed: Settings | None = None, seed: int = 1, known: set[bytes] | None = None) -> None:
        self.settings = agreed or settings()
        self.server = Server(self.settings, known, record=True)
        self.clients = {
            client: Client(client, self.settings, insecure_source(seed, client, self.settings.round))
            for client in self.settings.clients
        }
        self.vectors = vectors(self.settings.values)

    def advertise(self, without: Iterable[int] = ()) -> dict[int, bytes]:
        for client in self._active(self.clients, without):
            self.server.receive_keys(client, self.clients[client].advertise())
        return self.server.keys()

    def share(self, without: Iterable[int] = ()) -> dict[int, dict[int, bytes]]:
        keys = self.advertise()
        for client in self._active(keys, without):
            self.server.receive_shares(client, self.clients[client].share(keys))
        return self.server.dealt()

    def mask(self, without: Iterable[int] = ()) -> tuple[list[int], list[int]]:
        dealt = self.share()
        for client in dealt:
            self.clients[client].receive(dealt[client])
        for client in self._active(dealt, without):
            self.server.receive_masked(client, self.clients[client].mask(self.vectors[client]))
        return self.server.request()

    def _active(self, clients: Iterable[int], without: Iterable[int]) -> list[int]:
        return [client for client in clients if client not in set(without)]


def flipped(message: bytes, place: int) -> bytes:
    """Return the message with one bit changed."""
    return message[:place] + bytes([message[place] ^ 1]) + message[place + 1 :]
