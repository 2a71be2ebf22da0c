"""The geometric median: the point with the smallest sum of distances to all vectors."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from course_lib.aggregation.coordinates import coordinate_median
from course_lib.aggregation.mean import weighted_mean
from course_lib.aggregation.rule import Rule

_COLUMNS = 4096
_STILL = 1e-9  # no weight changes by more than that in a pass: the median is found


@dataclass(frozen=True)
class GeometricMedian(Rule):
    """The smoothed geometric median by Weiszfeld's passes (Pillutla et al. 2022, arXiv 1912.13445, algorithm 2).

    Stands 2 f < n. Every vector pulls with the same force wherever it lies, so one that is far away gains nothing by
    it. A pass is a mean with weights 1 / distance.

    `smoothing`: no distance counts as less than this. `passes`: at most so many; a handful comes near, and they end
    when nothing moves. They begin at the coordinate median, which attackers cannot take far away either.
    """

    passes: int = 1000
    smoothing: float = 1e-6

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.passes < 1 or not self.smoothing > 0:
            raise ValueError(
                f"passes={self.passes} must be at least 1 and smoothing={self.smoothing} above 0: leave them out for "
                "1000 and 1e-6"
            )

    def __call__(self, vectors: Tensor, **given: Any) -> Tensor:
        vectors = vectors[self.finite(vectors)]  # what is infinitely far pulls in no direction
        # v = start + the sum of shares_i (x_i - start): the inner products of all (x_i - start) give every distance of a
        # pass, in n² steps and not n d. Seen from the median and in double precision, no digits are lost that count.
        products, shares = _products(vectors), torch.zeros(len(vectors), dtype=torch.float64)
        for _ in range(self.passes):
            along = (products * shares).sum(1)
            distances = ((along * shares).sum() - 2 * along + products.diagonal()).clamp(min=self.smoothing**2).sqrt()
            before, shares = shares, (1 / distances) / (1 / distances).sum()
            if float((shares - before).abs().max()) <= _STILL:
                break
        return weighted_mean(vectors, shares.tolist())


def _products(vectors: Tensor) -> Tensor:
    """Return the inner products `(n, n)` of `vectors: (n, d)` as seen from their coordinate median."""
    start, products = coordinate_median(vectors), torch.zeros(len(vectors), len(vectors), dtype=torch.float64)
    for block, centre in zip(vectors.split(_COLUMNS, dim=1), start.split(_COLUMNS), strict=True):
        seen = block.double() - centre
        products += seen @ seen.T
    return products
