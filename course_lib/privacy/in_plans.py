"""What a plan says of secure aggregation. It stands apart from the protocol, so that a plan imports no cryptography."""

from dataclasses import dataclass
from math import isfinite


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
