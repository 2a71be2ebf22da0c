"""Messages packed on their way to the server: compression as a stage of a round."""

from dataclasses import dataclass

import torch
from torch import Tensor

from course_lib.compression import Compression
from course_lib.federated.stage import Stage, State, Turn


@dataclass(frozen=True)
class Packed(Stage):
    """Each client packs its message and remembers what that lost; the server unpacks."""

    by: Compression

    def blank(self, values: int) -> Tensor:
        return torch.zeros(self.by.size(values), dtype=torch.uint8)

    def client(self, vector: Tensor, client: int, state: State, turn: Turn) -> tuple[Tensor, State]:
        packed, lost = self.by.pack(vector, state.get("lost"))
        return packed, {} if lost is None else {"lost": lost}

    def read(self, message: Tensor, values: int) -> Tensor:
        return self.by.unpack(message, values)
