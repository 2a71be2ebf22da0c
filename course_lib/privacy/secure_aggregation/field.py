"""Vectors of real numbers as whole numbers that are added without rounding, and wrap round at 2^32.

A masked sum cannot be rounded, or its masks would not cancel: clients round their values to whole steps before masking. The ring
is that of 32-bit words, so a sum is exact as long as it does not wrap round, which is checked before anything is sent.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

MODULUS = 2**32
Ring = NDArray[np.uint32]


@dataclass(frozen=True)
class Quantiser:
    """Values between -`bound` and `bound` in `levels` steps; what lies beyond is cut off there, and counted.

    Every client must use the same one. Raises ValueError for a bound that is not finite and positive, or fewer than 2 levels.
    """

    bound: float
    levels: int = 2**16

    def __post_init__(self) -> None:
        if not (math.isfinite(self.bound) and self.bound > 0):
            raise ValueError(f"bound={self.bound} must be finite and above 0: the largest value that is sent unchanged")
        if isinstance(self.levels, bool) or not isinstance(self.levels, int) or self.levels < 2:
            raise ValueError(f"levels={self.levels!r} must be a whole number of at least 2, such as 2**16")

    @classmethod
    def finest(cls, bound: float, clients: int, largest_weight: int = 1) -> "Quantiser":
        """Return the one with as many levels as the ring holds for so many clients. Raises ValueError where it holds none."""
        levels = (MODULUS - 1) // (clients * largest_weight)
        if levels < 2:
            raise ValueError(
                f"{clients} clients x weight {largest_weight} leave no levels below the modulus {MODULUS}: "
                "lower the weights, for example by dividing all by the same number"
            )
        return cls(bound, levels)

    @property
    def step(self) -> float:
        """The distance between two neighbouring levels."""
        return 2 * self.bound / (self.levels - 1)

    def check_room(self, clients: int, largest_weight: int) -> None:
        """Raise ValueError where a weighted sum over so many clients could wrap round, and would then be wrong in silence."""
        largest = clients * largest_weight * self.levels
        if largest >= MODULUS:
            most = (MODULUS - 1) // (clients * largest_weight)
            raise ValueError(
                f"{clients} clients x largest weight {largest_weight} x {self.levels} levels = {largest}, which must stay "
                f"below the modulus {MODULUS}: use at most {most} levels, or smaller weights"
            )

    def encode(self, vector: Tensor, weight: int = 1) -> tuple[Ring, int]:
        """Return `weight * vector` in steps, uint32 `(m,)`, and how many of its values were cut off at the bound.

        The weight comes in before the rounding, so at most half a step is lost on each value, whatever the weight.
        Raises ValueError for NaN or infinity: behind a mask the server could not see them, and they have no step.
        """
        values = vector.detach().cpu().numpy().astype(np.float64)
        if not np.isfinite(values).all():
            spoilt = int((~np.isfinite(values)).sum())
            raise ValueError(
                f"{spoilt} of {values.size} values are NaN or infinite: the server cannot see that in a masked message, so "
                "leave this client out of the round, or lower its learning rate"
            )
        beyond = int((np.abs(values) > self.bound).sum())
        steps = np.rint(np.clip(values, -self.bound, self.bound) * (weight / self.step))
        # A negative number becomes its distance below 2^32: two's complement.
        return steps.astype(np.int64).astype(np.uint32), beyond

    def decode(self, total: Ring) -> NDArray[np.float64]:
        """Return the sum `(m,)` that the ring's numbers stand for: those from 2^31 on are negative."""
        return total.view(np.int32).astype(np.float64) * self.step
