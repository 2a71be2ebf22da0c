"""Momentum at the clients, as a stage of a round."""

from dataclasses import dataclass

from torch import Tensor

from course_lib.aggregation.momentum import client_momentum
from course_lib.federated.stage import Stage, State, Turn


@dataclass(frozen=True)
class ClientMomentum(Stage):
    """Each client sends a running mean of its updates, see `aggregation.momentum.client_momentum`."""

    beta: float

    def client(self, vector: Tensor, client: int, state: State, turn: Turn) -> tuple[Tensor, State]:
        message, memory = client_momentum(vector, state.get("momentum"), self.beta)
        return message, {"momentum": memory}
