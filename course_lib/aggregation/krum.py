"""Krum and multi-Krum: trust the vectors that have the nearest neighbours."""

from dataclasses import dataclass
from math import inf
from typing import Any, ClassVar

from torch import Tensor

from course_lib.aggregation.distances import by_content, squared_distances
from course_lib.aggregation.mean import weighted_mean
from course_lib.aggregation.rule import Rule


@dataclass(frozen=True)
class Krum(Rule):
    """The one vector with the lowest score (Blanchard et al. 2017, arXiv 1703.02757). Stands 2 f + 2 < n.

    A vector's score is the sum of its squared distances to the n - f - 2 nearest others: whoever is chosen has honest
    vectors near it, and attackers far away add to no honest score.
    """

    _besides: ClassVar[int] = 3

    def __call__(self, vectors: Tensor, **given: Any) -> Tensor:
        return vectors[self.chosen(vectors)[0]].float().clone()

    def chosen(self, vectors: Tensor) -> list[int]:
        """Return the row that the rule takes, as a list of one."""
        self.finite(vectors)
        return _lowest(vectors, self.attackers)[:1]


@dataclass(frozen=True)
class MultiKrum(Rule):
    """The mean of the `keep` vectors with the lowest scores of Krum (Blanchard et al. 2017). Stands 2 f + 2 < n.

    `keep`: from 1, which is Krum, to n - f - 2 (Damaskinos et al. 2019, "AggregaThor", MLSys); None takes the largest.
    Raises ValueError for what lies outside.
    """

    keep: int | None = None

    _besides: ClassVar[int] = 3

    def __call__(self, vectors: Tensor, **given: Any) -> Tensor:
        kept = self.chosen(vectors)
        return weighted_mean(vectors[kept], [1.0] * len(kept))

    def chosen(self, vectors: Tensor) -> list[int]:
        """Return the rows that the rule averages, in rising order: who is missing was taken for an attacker."""
        self.finite(vectors)
        most = len(vectors) - self.attackers - 2
        keep = most if self.keep is None else self.keep
        if not 1 <= keep <= most:
            raise ValueError(
                f"keep={keep} must lie between 1 and n - attackers - 2 = {most} for n={len(vectors)}: leave it out for {most}"
            )
        return sorted(_lowest(vectors, self.attackers)[:keep])


def krum_ranking(distances: Tensor, attackers: int) -> list[int]:
    """Return the rows of squared distances `(n, n)` from the lowest score to the highest.

    A score is the sum over the n - f - 2 nearest others. Two that are each other's nearest tie where only one neighbour
    counts: then their next neighbours decide, and at last who stands first. The nearest is always counted, also where
    Bulyan asks about so few that n - f - 2 is 0.
    """
    rows = distances.clone().fill_diagonal_(inf).sort(dim=1).values.tolist()
    count = max(1, len(rows) - attackers - 2)
    return sorted(range(len(rows)), key=lambda row: (sum(rows[row][:count]), rows[row]))


def _lowest(vectors: Tensor, attackers: int) -> list[int]:
    order = by_content(vectors)
    return [order[place] for place in krum_ranking(squared_distances(vectors)[order][:, order], attackers)]
