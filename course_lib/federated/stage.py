"""A stage of a message's way: what a client does to it before it leaves, and what the server does when it has come.

Attacks, user-level privacy, compression, momentum and faults are such stages. A client goes through the list of them
(`Plan.stages`) from first to last after its strategy, the server back, and the loop knows none of them by name. Secure aggregation
and rules that stand attackers are none: they decide how a round's messages are brought together, which is the loop's.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

# Named vectors that a client or the server keeps from round to round. Nobody else sees them.
State = dict[str, Tensor]


@dataclass(frozen=True)
class Turn:
    """A stage's turn in a round, counted from 0, of the run with this seed.

    `cohort`: how many clients are to answer; `expected`: how many answer on average; `required`: with fewer the round does not
    count; `said`: what the server's half of the stage told all clients with the model, `(announces,)`.
    """

    round_index: int
    seed: int
    cohort: int
    expected: float
    required: int
    said: Tensor


@dataclass(frozen=True)
class Total:
    """What the server has after a round: `mean: (m,)` of `count` messages that weigh `weight` together."""

    mean: Tensor
    count: int
    weight: float


class Stage:
    """A stage that changes nothing; a real one is a frozen dataclass of settings that overrides what it does.

    `together`: the clients whose messages it makes jointly, each from all of theirs; one process hosts them.
    `alike`: whether every client must count alike in the mean, whatever it holds.
    `counts_empty`: whether a round in which no message came is a step like any other.
    `announces`: how many numbers its server half sends to all clients with the model.
    """

    alike: ClassVar[bool] = False

    @property
    def together(self) -> Collection[int]:
        return ()

    @property
    def counts_empty(self) -> bool:
        return False

    @property
    def announces(self) -> int:
        return 0

    def size(self, values: int) -> int:
        """Return how many numbers it makes of a message of `values` numbers."""
        return values

    def blank(self, values: int) -> Tensor | None:
        """Return what a message looks like on the wire, if not as a vector of `size(values)` float32."""
        return None

    def client(self, vector: Tensor, client: int, state: State, turn: Turn) -> tuple[Any, State]:
        """Return a client's message made from `vector: (m,)`, and what the client remembers of it (`state` is {} at first)."""
        return vector, state

    def colluders(self, vectors: Mapping[int, Tensor], turn: Turn) -> Mapping[int, Any]:
        """Return the messages of the clients in `together` that take part in the round, made from all their vectors."""
        return vectors

    def read(self, message: Tensor, values: int) -> Tensor:
        """Return the vector `(values,)` that a message stands for, as far as the server can see it."""
        return message

    def announce(self, state: State) -> Tensor:
        """Return what the server tells all clients of a round, `(announces,)`."""
        return torch.zeros(0)

    def server_start(self) -> State:
        """Return what the server remembers before the first round."""
        return {}

    def server(self, total: Total, state: State, turn: Turn) -> tuple[Tensor, State]:
        """Return what the server makes of the mean `(m,)` of all messages, and what it remembers."""
        return total.mean, state
