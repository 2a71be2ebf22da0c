"""What a plan says of secure aggregation and of a budget. It stands apart, so that a plan imports no cryptography and no Opacus."""

from dataclasses import dataclass
from math import inf, isfinite


@dataclass(frozen=True)
class SecureAggregation:
    """The server of a round learns the weighted sum of its clients' messages and no single one (Bonawitz et al. 2017, eprint 2017/281).

    `bound`: values of a message beyond it, in either direction, are cut off and counted; those within are rounded to whole
    steps, as fine as the ring has room for. `threshold`: the share of a cohort that must stay to the end, above a half; with
    fewer the round ends without a sum. `insecure_seed`: keys and masks that repeat, and protect nothing.
    Clients that a fleet loses in a round leave after they have dealt their shares, so their masks have to be recovered.
    Raises ValueError for a bound that is not finite and positive, or a threshold outside (0.5, 1].
    """

    bound: float = 1.0
    threshold: float = 2 / 3
    insecure_seed: int | None = None

    def __post_init__(self) -> None:
        if not (isfinite(self.bound) and self.bound > 0):
            raise ValueError(f"bound={self.bound} must be finite and above 0: the largest value that is sent unchanged")
        if not 0.5 < self.threshold <= 1:
            raise ValueError(
                f"threshold={self.threshold} must be above 0.5 and at most 1: at a half or below, two groups of clients could "
                "be told different things"
            )


@dataclass(frozen=True)
class Budget:
    """Where a run's privacy has to end: it stops before the round that would take epsilon beyond this.

    `delta`: by default a tenth of 1 / n, for n examples or clients. Raises ValueError for an epsilon that is not above 0, or a delta
    outside (0, 1).
    """

    epsilon: float = inf
    delta: float | None = None

    def __post_init__(self) -> None:
        if not self.epsilon > 0:
            raise ValueError(f"epsilon={self.epsilon} must be above 0, for example 3")
        if self.delta is not None and not 0 < self.delta < 1:
            raise ValueError(f"delta={self.delta} must lie between 0 and 1: well below 1 / n, for example 1e-5")
