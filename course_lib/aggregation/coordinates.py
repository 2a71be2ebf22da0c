"""Rules that look at one coordinate at a time: the median, and the mean without the extremes."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from course_lib.aggregation.rule import Rule

_COLUMNS = 4096  # sorted at a time, so that no second copy of all vectors is needed


@dataclass(frozen=True)
class CoordinateMedian(Rule):
    """The median of each coordinate (Yin et al. 2018, arXiv 1803.01498, definition 1). Stands 2 f < n.

    For an even number it is the mean of the two middle values; `torch.median` takes the lower one.
    """

    def __call__(self, vectors: Tensor, **given: Any) -> Tensor:
        self.finite(vectors)
        return coordinate_median(vectors)


@dataclass(frozen=True)
class TrimmedMean(Rule):
    """The mean of each coordinate without its f smallest and f largest values (Yin et al. 2018, definition 2).

    Stands 2 f < n. It cuts exactly f on each side. A share rounded down, int(beta n), cuts nothing of n = 4 at beta =
    0.2.
    """

    def __call__(self, vectors: Tensor, **given: Any) -> Tensor:
        self.finite(vectors)
        kept = (values[:, self.attackers : len(vectors) - self.attackers] for values in sorted_columns(vectors))
        return torch.from_numpy(np.concatenate([values.mean(1, dtype=np.float64) for values in kept])).float()


def coordinate_median(vectors: Tensor) -> Tensor:
    """Return the median `(d,)` of each coordinate of `vectors: (n, d)`."""
    n = len(vectors)
    middle = (values[:, (n - 1) // 2 : n // 2 + 1] for values in sorted_columns(vectors))
    return torch.from_numpy(np.concatenate([values.mean(1, dtype=np.float64) for values in middle])).float()


def sorted_columns(vectors: Tensor) -> Iterator[np.ndarray]:
    """Yield the values of each coordinate of `vectors: (n, d)`, rising, NaN last, in blocks `(columns, n)`.

    Up to f NaN and infinities of either sign thus stand among the f outermost values of a side, like other extremes.
    NumPy sorts short rows of floats about twenty times as fast as torch.
    """
    for block in vectors.split(_COLUMNS, dim=1):
        yield np.sort(block.T.contiguous().numpy(), axis=1)
