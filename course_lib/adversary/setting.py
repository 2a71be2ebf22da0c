"""What an attacker knows in a round, and what an attack is made of."""

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from course_lib.data import Dataset


@dataclass(frozen=True)
class Setting:
    """A round as the attackers see it.

    `n`: clients of the round, of which `f` attack. `generator`: keyed by seed and round, for attacks that draw.
    `benign: (n - f, m)`: the others' updates, where the attackers see them; None where they know only their own.

    Raises ValueError for an `f` that does not lie between 0 and n, or another number of benign updates.
    """

    n: int
    f: int
    round: int
    generator: torch.Generator
    benign: Tensor | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.f <= self.n:
            raise ValueError(f"f={self.f} attackers must lie between 0 and n={self.n}, the clients of the round")
        if self.benign is not None and len(self.benign) != self.n - self.f:
            raise ValueError(f"{len(self.benign)} benign updates, but n={self.n} and f={self.f}: pass n - f of them")

    def seen(self, honest: Tensor) -> Tensor:
        """Return the honest updates that attackers can reckon with: the others', or their own `(f, m)`."""
        return honest if self.benign is None else self.benign


class DataPoisoning(Protocol):
    """What an attacker does to its own examples before it trains as honestly as anyone."""

    def poison(self, dataset: Dataset, generator: torch.Generator) -> Dataset:
        """Return the examples that the attacker trains on."""


class ModelPoisoning(Protocol):
    """What attackers send in place of their honest updates."""

    def craft(self, honest: Tensor, setting: Setting) -> Tensor:
        """Return what is sent `(f, m)` in place of `honest: (f, m)`."""
