"""Steps before a rule that make honest vectors more alike, so that skewed data looks less like an attack."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from course_lib.aggregation.distances import by_content, squared_distances
from course_lib.aggregation.rule import Rule, refuse_too_few

_COLUMNS = 4096


@dataclass(frozen=True)
class NearestNeighbourMixing(Rule):
    """Each vector becomes the mean of the n - f nearest to it, itself included.

    Source: Allouah et al. 2023 (arXiv 2302.01772, algorithm 2). Returns `(n, d)`. With f = 0 all become the mean of
    all. Stands 2 f < n. A vector that is not finite stays as it is, for the rule to see.
    """

    def __call__(self, vectors: Tensor, **given: Any) -> Tensor:
        finite, order = self.finite(vectors), torch.tensor(by_content(vectors))
        near = squared_distances(vectors)[:, order].argsort(dim=1, stable=True)[:, : len(vectors) - self.attackers]
        shares = torch.zeros(len(vectors), len(vectors), dtype=torch.float64)
        shares.scatter_(1, order[near], 1 / near.shape[1])
        mixed = torch.empty_like(vectors)
        for into, block in zip(mixed.split(_COLUMNS, dim=1), vectors.split(_COLUMNS, dim=1), strict=True):
            # 0 times infinity is NaN, so what nobody takes must not be there.
            into.copy_(shares @ block.double().masked_fill(~finite[:, None], 0.0))
        mixed[~finite] = vectors[~finite]
        return mixed


@dataclass(frozen=True)
class Bucketing:
    """Vectors are dealt at random into buckets of `size`, and each bucket is averaged.

    Source: Karimireddy et al. 2022 (arXiv 2006.09365, algorithm 1). Returns `(ceil(n / size), d)`; f attackers spoil at
    most f buckets. `generator` deals, keyed by seed and round. A size of 1 changes nothing. Raises ValueError for a
    size below 1 or no generator.
    """

    size: int = 2

    def __post_init__(self) -> None:
        if self.size < 1:
            raise ValueError(f"size={self.size} must be at least 1 vector a bucket")

    def __call__(self, vectors: Tensor, generator: torch.Generator | None = None, **given: Any) -> Tensor:
        if self.size == 1:
            return vectors
        if generator is None:
            raise ValueError("bucketing needs a generator, such as learning.keys.generator(seed, 'bucketing', round)")
        dealt = torch.randperm(len(vectors), generator=generator).split(self.size)
        return torch.stack([vectors[bucket].double().mean(0).to(vectors.dtype) for bucket in dealt])


@dataclass(frozen=True)
class Mixed:
    """A rule with a step before it: `Mixed(NearestNeighbourMixing(2), Krum(2))` is used like a rule.

    Its condition is that of both: among buckets, as many attackers as before are left in fewer vectors. Raises
    ValueError for what either refuses, and for a step and a rule that count on different numbers of attackers.
    """

    step: NearestNeighbourMixing | Bucketing
    rule: "Rule | Mixed"

    def __post_init__(self) -> None:
        if isinstance(self.step, NearestNeighbourMixing) and self.step.attackers != self.rule.attackers:
            raise ValueError(
                f"the step counts on attackers={self.step.attackers} and the rule on {self.rule.attackers}: give both the same"
            )

    @property
    def attackers(self) -> int:
        """How many of the vectors may be anything at all."""
        return self.rule.attackers

    @property
    def needs(self) -> tuple[str, ...]:
        """What is taken by name beside the vectors."""
        own = ("generator",) if self._bucket > 1 else ()
        return tuple(dict.fromkeys((*own, *self.rule.needs)))

    @property
    def least(self) -> int:
        """The smallest number of vectors that is accepted."""
        of_step = self.step.least if isinstance(self.step, NearestNeighbourMixing) else 1
        return max((self.rule.least - 1) * self._bucket + 1, of_step)

    def stands(self, n: int) -> int:
        """Return how many attackers among `n` clients the two can be set to stand."""
        of_rule = self.rule.stands(-(-n // self._bucket))
        return min(of_rule, self.step.stands(n)) if isinstance(self.step, NearestNeighbourMixing) else of_rule

    def __call__(self, vectors: Tensor, **given: Any) -> Tensor:
        """Return the rule's result `(d,)` for what the step makes of `vectors: (n, d)`."""
        refuse_too_few(self, len(vectors))
        return self.rule(self.step(vectors, **given), **given)

    @property
    def _bucket(self) -> int:
        return self.step.size if isinstance(self.step, Bucketing) else 1
