"""As far from the mean as an update can go without standing out: min-max and min-sum."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from course_lib.adversary.setting import Setting
from course_lib.aggregation import weighted_mean
from course_lib.aggregation.distances import squared_distances

_HALVINGS = 60


@dataclass(frozen=True)
class MinMax:
    """Mean + gamma x direction, no further from any update than two honest ones are from each other.

    Source: Shejwalkar and Houmansadr 2021 ("Manipulating the Byzantine", NDSS, algorithm 1); it needs to know no rule.
    `direction` (their "perturbation"): "deviation" (minus the standard deviation), "unit" (against the mean) or "sign"
    (against its signs). The largest gamma is found by bisection. One attacker that sees only itself has nowhere to go.
    Raises ValueError for another direction.
    """

    direction: str = "deviation"

    def __post_init__(self) -> None:
        _refuse(self.direction)

    def craft(self, honest: Tensor, setting: Setting) -> Tensor:
        """Return the same vector for all attackers, `(f, m)`."""
        seen = setting.seen(honest)
        limit = float(squared_distances(seen).max())
        return _as_far_as(lambda distances: float(distances.max()) <= limit, seen, self.direction).repeat(
            len(honest), 1
        )


@dataclass(frozen=True)
class MinSum:
    """The same with sums: its squared distances add up to no more than those of the honest update furthest out.

    Source: the same. Raises ValueError for another direction.
    """

    direction: str = "deviation"

    def __post_init__(self) -> None:
        _refuse(self.direction)

    def craft(self, honest: Tensor, setting: Setting) -> Tensor:
        """Return the same vector for all attackers, `(f, m)`."""
        seen = setting.seen(honest)
        limit = float(squared_distances(seen).sum(1).max())
        return _as_far_as(lambda distances: float(distances.sum()) <= limit, seen, self.direction).repeat(
            len(honest), 1
        )


def _as_far_as(allowed: Callable[[Tensor], bool], seen: Tensor, direction: str) -> Tensor:
    """Return mean + gamma x direction `(m,)` for the largest gamma whose squared distances to `seen` are allowed."""
    mean = weighted_mean(seen, [1.0] * len(seen))
    way = _way(direction, seen, mean).double()
    # |mean + gamma way - x|² = |mean - x|² + 2 gamma way (mean - x) + gamma² |way|²: the search needs no vectors.
    steps = (mean - row.double() for row in seen)
    apart = [(float(step @ step), float(way @ step)) for step in steps]
    (at_mean, slope), bend = torch.tensor(apart, dtype=torch.float64).T, float(way @ way)
    low, high = 0.0, 1.0 if bend > 0 else 0.0
    while high and allowed(at_mean + 2 * high * slope + high**2 * bend):
        low, high = high, 2 * high
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        fits = allowed(at_mean + 2 * middle * slope + middle**2 * bend)
        low, high = (middle, high) if fits else (low, middle)
    return (mean.double() + low * way).float()


def _way(direction: str, seen: Tensor, mean: Tensor) -> Tensor:
    if direction == "deviation":
        return -seen.var(0, correction=0).sqrt()
    return -mean / mean.norm().clamp(min=torch.finfo(mean.dtype).tiny) if direction == "unit" else -mean.sign()


def _refuse(direction: str) -> None:
    if direction not in ("deviation", "unit", "sign"):
        raise ValueError(f"direction={direction!r} is unknown: take 'deviation', 'unit' or 'sign'")
