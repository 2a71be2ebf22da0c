"""Messages packed on their way: compression as a stage of a round."""

from dataclasses import dataclass

import torch
from torch import Tensor

from course_lib.compression import Compression, Sign
from course_lib.federated.stage import Stage, State, Total, Turn
from course_lib.learning import keys


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


@dataclass(frozen=True)
class Voted(Packed):
    """Each client packs signs, and the server goes where the majority points: every client counts alike."""

    by: Sign
    alike = True

    def server(self, total: Total, state: State, turn: Turn) -> tuple[Tensor, State]:
        return self.by.vote(total.mean, coins(len(total.mean), turn.seed, turn.round_index)), state


class Carried(Stage):
    """Between workers, a message leaves its sender as it is, and the all-reduce packs it: this is where it remembers what was lost."""


def packed(by: Compression, exchange: str) -> Stage:
    """Return the stage that packs messages so."""
    if exchange == "all-reduce":
        return Carried()
    return Voted(by) if isinstance(by, Sign) else Packed(by)


def coins(values: int, seed: int, round_index: int) -> Tensor:
    """Return the coins `(values,)` that decide the ties of a round's vote."""
    return torch.rand(values, generator=keys.generator(seed, "ties", round_index)) < 0.5
