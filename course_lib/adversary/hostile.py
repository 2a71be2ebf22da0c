"""Attackers among the clients: the stage of a round at which chosen clients craft what they send."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from course_lib.adversary.attack import Attack
from course_lib.adversary.setting import Setting
from course_lib.federated.stage import Stage, Turn
from course_lib.learning import keys

# An attacker that sees everybody's updates sits with everybody in one process.
_EVERYBODY = range(2**62)


@dataclass(frozen=True)
class Hostile(Stage):
    """The attackers of `by` send what they craft from their honest updates; the others' messages pass as they are."""

    by: Attack

    @property
    def together(self) -> Collection[int]:
        if self.by.model is None:
            return ()
        return _EVERYBODY if self.by.omniscient else self.by.clients

    def colluders(self, vectors: Mapping[int, Tensor], turn: Turn) -> Mapping[int, Any]:
        hostile = [client for client in vectors if client in self.by.clients]
        if not hostile:
            return vectors
        others = [vectors[client] for client in vectors if client not in self.by.clients]
        setting = Setting(
            turn.cohort, len(hostile), turn.round_index, keys.generator(turn.seed, "attack", turn.round_index),
            benign=torch.stack(others) if self.by.omniscient and others else None,
        )  # fmt: skip
        crafted = self.by.craft(torch.stack([vectors[client] for client in hostile]), setting)
        return {**vectors, **dict(zip(hostile, crafted, strict=True))}
