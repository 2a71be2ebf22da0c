"""What the robust rules share: how many attackers of how many clients, and a look at what came in."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor


@dataclass(frozen=True)
class Rule(ABC):
    """A rule that makes one vector `(d,)` of `n` vectors `(n, d)`, up to `attackers` of which may be anything at all.

    `rule(vectors)` gives every client the same say: a weight is a number that an attacker would lie about. What a rule
    takes by name beside the vectors is in `needs`. A vector with NaN or infinity in it is an attacker's, and counts as
    one.

    Raises ValueError for fewer vectors than `least`, or more vectors with NaN or infinity than `attackers`.
    """

    attackers: int = 0

    needs: ClassVar[tuple[str, ...]] = ()
    _for_each: ClassVar[int] = 2  # the condition is n >= _for_each * attackers + _besides
    _besides: ClassVar[int] = 1

    def __post_init__(self) -> None:
        if self.attackers < 0:
            raise ValueError(f"attackers={self.attackers} must be 0 or more: how many of the clients may be hostile")

    @property
    def least(self) -> int:
        """The smallest number of vectors that the rule accepts for its `attackers`."""
        return self._for_each * self.attackers + self._besides

    def stands(self, n: int) -> int:
        """Return how many attackers among `n` clients the rule can be set to stand."""
        return max(0, (n - self._besides) // self._for_each)

    @abstractmethod
    def __call__(self, vectors: Tensor, **given: Any) -> Tensor:
        """Return the rule's result for `vectors: (n, d)`."""

    def finite(self, vectors: Tensor) -> Tensor:
        """Return which of `vectors: (n, d)` are finite, `(n,)`. Raises ValueError for what the rule refuses."""
        if vectors.dim() != 2 or not vectors.is_floating_point():
            raise ValueError(
                f"vectors are {vectors.dtype} of shape {tuple(vectors.shape)}, they must be floats (n, d): one row a client"
            )
        refuse_too_few(self, len(vectors))
        rows = torch.isfinite(vectors).all(1)
        if (broken := len(rows) - int(rows.sum())) > self.attackers:
            raise ValueError(
                f"{broken} of {len(rows)} vectors hold NaN or infinity, but attackers={self.attackers}: raise it, or leave "
                "those vectors out"
            )
        return rows


class Gathered:
    """A round's vectors, kept until the rule makes one of them; it is filled like a `RunningMean`, and weights do not count."""

    def __init__(self, rule: Any, given: Mapping[str, Any]) -> None:
        self._rule, self._given = rule, given
        self._vectors: list[Tensor] = []

    def add(self, update: Tensor, weight: float) -> None:
        """Add one update `(d,)`."""
        self._vectors.append(update.clone())

    def mean(self) -> Tensor:
        """Return the rule's result `(d,)`. Raises ValueError for what the rule refuses."""
        return self._rule(torch.stack(self._vectors), **self._given)


def refuse_too_few(rule: Any, n: int) -> None:
    """Raise ValueError where `n` vectors are fewer than the rule needs."""
    if n < rule.least:
        raise ValueError(
            f"{type(rule).__name__} with attackers={rule.attackers} needs at least {rule.least} vectors, got {n}: take more "
            f"clients a round, or count on at most {rule.stands(n)} attackers"
        )
