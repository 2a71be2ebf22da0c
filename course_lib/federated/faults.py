"""Clients that send something else than their message: by accident, so each on its own and without a plan."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from course_lib.federated.stage import Stage, State, Turn

# Called with a client's message and the number of the round, from 1; returns what is sent instead: anything.
Fault = Callable[[Tensor, int], Any]


@dataclass(frozen=True)
class Faults(Stage):
    """The stage at which some clients' messages go wrong."""

    of: Mapping[int, Fault]

    def client(self, vector: Tensor, client: int, state: State, turn: Turn) -> tuple[Any, State]:
        return (self.of[client](vector, turn.round_index + 1) if client in self.of else vector), state
