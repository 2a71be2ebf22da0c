"""The way of a message: through a strategy and a list of stages on the client, and back through them on the server."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from course_lib.federated.stage import Stage, State, Total, Turn
from course_lib.federated.strategy import LocalWork, Strategy

# What a client remembers: of the strategy first, then of each stage.
States = tuple[State, ...]


class Pipeline:
    """A strategy and stages, for a model of so many weights. It holds settings only: what is remembered is handed in and out."""

    def __init__(self, strategy: Strategy, stages: Sequence[Stage], weights: int) -> None:
        self.strategy, self.stages = strategy, tuple(stages)
        # What a message looks like before each stage, and on the wire: the server gets ready for it before it comes.
        self._before = [torch.zeros(strategy.message_size(weights))]
        for stage in self.stages:
            values = self._before[-1].numel()
            blank = stage.blank(values)
            self._before.append(torch.zeros(stage.size(values)) if blank is None else blank)
        self.blank = self._before[-1]
        self.fresh: States = ({},) * (1 + len(self.stages))

    @property
    def together(self) -> frozenset[int]:
        """The clients whose messages are made jointly."""
        return frozenset().union(*(stage.together for stage in self.stages))

    def client(
        self, received: Mapping[int, Tensor], states: Mapping[int, States], works: Mapping[int, LocalWork], turn: Turn
    ) -> dict[int, tuple[Any, States]]:
        """Do the work of one client, or of all that act together; return each one's message, and what it would remember."""
        ...

    def is_remembered(self, message: Any, states: States) -> bool: ...
