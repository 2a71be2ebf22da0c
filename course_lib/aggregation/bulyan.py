"""Bulyan: choose whole vectors first, then values coordinate by coordinate."""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from course_lib.aggregation.coordinates import sorted_columns
from course_lib.aggregation.distances import by_content, squared_distances
from course_lib.aggregation.krum import krum_ranking
from course_lib.aggregation.rule import Rule


@dataclass(frozen=True)
class Bulyan(Rule):
    """Bulyan over Krum (El Mhamdi et al. 2018, arXiv 1802.07927). Stands 4 f + 3 <= n.

    An attacker may stay near the honest vectors and yet be far off in one coordinate of many: no distance of whole
    vectors shows it. So Krum chooses theta = n - 2 f vectors, one at a time from those that are left, and each
    coordinate of the result is the mean of those theta - 2 f values that lie nearest to their median.
    """

    _for_each: ClassVar[int] = 4
    _besides: ClassVar[int] = 3

    def __call__(self, vectors: Tensor, **given: Any) -> Tensor:
        chosen = vectors[self.chosen(vectors)]
        keep = len(chosen) - 2 * self.attackers
        means = [_mean_near_the_median(values, keep) for values in sorted_columns(chosen)]
        return torch.from_numpy(np.concatenate(means)).float()

    def chosen(self, vectors: Tensor) -> list[int]:
        """Return the n - 2 f rows that Krum chooses one after the other, in rising order."""
        self.finite(vectors)
        distances, left = squared_distances(vectors), by_content(vectors)
        chosen: list[int] = []
        while len(chosen) < len(vectors) - 2 * self.attackers:
            chosen.append(left.pop(krum_ranking(distances[left][:, left], self.attackers)[0]))
        return sorted(chosen)


def _mean_near_the_median(values: np.ndarray, keep: int) -> np.ndarray:
    """Return the mean of the `keep` values nearest to the median of each rising row of `values: (columns, n)`."""
    wide = values.astype(np.float64)
    n = wide.shape[1]
    median = wide[:, (n - 1) // 2 : n // 2 + 1].mean(1, keepdims=True)
    # In a rising row the nearest values stand side by side: it remains to find where they begin.
    reach = np.maximum(median - wide[:, : n - keep + 1], wide[:, keep - 1 :] - median)
    window = reach.argmin(1)[:, None] + np.arange(keep)
    return np.take_along_axis(wide, window, axis=1).mean(1)
