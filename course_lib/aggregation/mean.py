"""The mean of many updates `(n, d)`, weighted."""

from collections.abc import Iterable

import torch
from torch import Tensor


class RunningMean:
    """A weighted mean of vectors `(d,)` that keeps one vector, not all of them.

    It sums in double precision, so the rounding of a sum of float32 updates does not grow with their number.
    """

    def __init__(self) -> None:
        self._sum = torch.zeros(0, dtype=torch.float64)
        self._weight = 0.0

    def add(self, update: Tensor, weight: float) -> None:
        """Add one update `(d,)`, which counts `weight` times. Raises ValueError for a weight that is not positive."""
        if not weight > 0:
            raise ValueError(f"weight={weight} must be above 0: leave out a client that saw no example")
        if not self._weight:
            self._sum = torch.zeros(update.shape, dtype=torch.float64)
        self._sum.add_(update, alpha=weight)
        self._weight += weight

    def mean(self) -> Tensor:
        """Return the mean `(d,)` in float32. Raises ValueError where nothing was added."""
        if not self._weight:
            raise ValueError("the mean of no updates is not defined: add at least one")
        return (self._sum / self._weight).float()


def weighted_mean(updates: Iterable[Tensor], weights: Iterable[float]) -> Tensor:
    """Return the mean `(d,)` of updates `(n, d)` weighted by `weights: (n,)`.

    With weights = examples seen this is the server's step of FedAvg (McMahan et al. 2017, arXiv 1602.05629, algorithm 1).
    Raises ValueError for no updates, a weight that is not positive, or different lengths.
    """
    total = RunningMean()
    for update, weight in zip(updates, weights, strict=True):
        total.add(update, weight)
    return total.mean()
