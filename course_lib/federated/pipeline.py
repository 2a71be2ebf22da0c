"""The way of a message: through a strategy and a list of stages on the client, and back through them on the server."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from course_lib.federated.stage import Stage, State, Total, Turn
from course_lib.federated.strategy import LocalWork, Strategy

# What is remembered: of the strategy first, then of each stage.
States = tuple[State, ...]


NOTHING = torch.zeros(0)


class Pipeline:
    """A strategy and stages, for a model of so many weights. It holds settings only: what is remembered is handed in and out."""

    def __init__(self, strategy: Strategy, stages: Sequence[Stage], weights: int) -> None:
        self.strategy, self.stages = strategy, tuple(stages)
        # What a message looks like before each stage, and in the end on the wire: the server gets ready for it before it comes.
        self._before = [torch.zeros(strategy.message_size(weights))]
        for stage in self.stages:
            values = self._before[-1].numel()
            blank = stage.blank(values)
            self._before.append(torch.zeros(stage.size(values)) if blank is None else blank)
        self.blank, self.values = self._before[-1], self._before[-1].numel()
        self.fresh: States = ({},) * (1 + len(self.stages))
        self.alike = any(stage.alike for stage in self.stages)
        self.counts_empty = any(stage.counts_empty for stage in self.stages)

    def acts_jointly(self, client: int) -> bool:
        """Return whether a client's message is made together with those of others: one process must host them all."""
        return any(client in stage.together for stage in self.stages)

    def messages(
        self, received: Tensor, states: Mapping[int, States], works: Mapping[int, LocalWork], turn: Turn
    ) -> dict[int, tuple[Any, States]]:
        """Do the work of one client, or of all that act together; return each one's message, and what it would remember.

        A stage that finds something else than it expects, because a stage before it has gone wrong, lets it pass.
        """
        received, said = self.heard(received)
        sent: dict[int, Any] = {}
        remembered: dict[int, list[State]] = {}
        for client, work in works.items():
            sent[client], own = self.strategy.client(received, states[client][0], work)
            remembered[client] = [own]
        for position, (stage, expected) in enumerate(zip(self.stages, self._before, strict=False), start=1):
            turn = replace(turn, said=said[position - 1])
            joint = {client: sent[client] for client in works if client in stage.together}
            sent |= stage.colluders(joint, turn) if joint else {}
            for client in works:
                own = states[client][position]
                if client not in joint and is_like(sent[client], expected):
                    sent[client], own = stage.client(sent[client], client, own, turn)
                remembered[client].append(own)
        return {client: (sent[client], tuple(remembered[client])) for client in works}

    def unpacked(self, message: Tensor) -> Tensor:
        """Return the vector that a message on the wire stands for, as far as the server can see it."""
        for stage, expected in zip(reversed(self.stages), reversed(self._before[:-1]), strict=True):
            message = stage.read(message, expected.numel())
        return message

    def read(self, message: Tensor, server: States, steps: int, rate: float) -> Tensor:
        """Return the vector that the server averages, from a message, the steps asked of its client and the rate of each."""
        return self.strategy.read(self.unpacked(message), server[0], steps, rate)

    def server_start(self, theta: Tensor) -> States:
        """Return what the server remembers before the first round, for weights `theta: (d,)`."""
        return (self.strategy.server_start(theta), *(stage.server_start() for stage in self.stages))

    def download(self, theta: Tensor, server: States) -> Tensor:
        """Return what the server sends to each client of a round: what the strategy does, and what stages announce."""
        model = self.strategy.download(theta, server[0])
        if not any(stage.announces for stage in self.stages):
            return model
        return torch.cat([model, *(stage.announce(own) for stage, own in zip(self.stages, server[1:], strict=True))])

    def heard(self, received: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Return the strategy's part of what a client received, and what each stage announced."""
        counts = [stage.announces for stage in self.stages]
        if not any(counts):
            return received, [NOTHING] * len(counts)
        model, *said = received.split([len(received) - sum(counts), *counts])
        return model, said

    def server(
        self, theta: Tensor, total: Total, server: States, share: float, turn: Turn
    ) -> tuple[Tensor, States]:  # fmt: skip
        """Return new weights `(d,)` and what the server remembers, from what came; `share` as in `Strategy.server`."""
        kept: list[State] = []
        for stage, own in zip(reversed(self.stages), reversed(server[1:]), strict=True):
            mean, own = stage.server(total, own, turn)
            total = replace(total, mean=mean)
            kept.insert(0, own)
        theta, own = self.strategy.server(theta, total.mean, server[0], share)
        return theta, (own, *kept)


def is_like(message: Any, blank: Tensor) -> bool:
    """Return whether this is a tensor of the shape and type of `blank`."""
    return isinstance(message, Tensor) and (message.shape, message.dtype) == (blank.shape, blank.dtype)
