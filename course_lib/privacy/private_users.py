"""Rounds that hide single clients: user-level privacy as a stage of a round."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from course_lib.federated.stage import Stage, State, Total, Turn
from course_lib.learning import keys
from course_lib.privacy.user_level import UserLevel


@dataclass(frozen=True)
class PrivateUsers(Stage):
    """Each client clips its update, all count alike, and the noised sum is divided by how many clients answer on average.

    Where clients add the noise, each adds what is due if no more than `Plan.required` of them come, so dropouts never leave too little.
    """

    by: UserLevel
    alike: ClassVar[bool] = True

    @property
    def counts_empty(self) -> bool:
        return self.by.noise_by == "server"

    @property
    def announces(self) -> int:
        return int(self.by.adaptive is not None)

    def size(self, values: int) -> int:
        return self.by.size(values)

    def announce(self, state: State) -> Tensor:
        return torch.tensor([self.by.bound(state)] * self.announces)

    def client(self, vector: Tensor, client: int, state: State, turn: Turn) -> tuple[Tensor, State]:
        bound = float(turn.said) if self.announces else self.by.clipping_norm
        generator = keys.generator(turn.seed, "client noise", turn.round_index, client)
        return self.by.client(vector, bound, turn.required, generator), state

    def server(self, total: Total, state: State, turn: Turn) -> tuple[Tensor, State]:
        generator = keys.generator(turn.seed, "server noise", turn.round_index)
        mean, kept = self.by.server(total.mean * total.count, turn.expected, state, generator)
        return mean, dict(kept)
