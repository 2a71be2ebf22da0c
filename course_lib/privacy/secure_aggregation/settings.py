"""What all parties of one secure aggregation must agree on beforehand; nothing of it is secret."""

from dataclasses import dataclass

from course_lib.privacy.secure_aggregation.field import MODULUS, Quantiser

EXTRAS = 2  # numbers that travel behind the values: the client's weight, and how many of its values were cut off


def usual_threshold(clients: int) -> int:
    """Return the smallest threshold above two thirds of the clients."""
    return 2 * clients // 3 + 1


@dataclass(frozen=True)
class Settings:
    """One round's cohort and numbers.

    `clients`: the ids of the cohort; `values`: how many numbers each sends; `threshold`: how many clients must answer in every
    stage, and how many together could bare one of them; `largest_weight`: weights are whole numbers from 1 to this one;
    `round`: is mixed into every derived key, so that messages of one round are of no use in another.

    Raises ValueError for what cannot work, with the numbers.
    """

    clients: tuple[int, ...]
    values: int
    threshold: int
    quantiser: Quantiser
    largest_weight: int = 1
    round: int = 0

    def __post_init__(self) -> None:
        n = len(self.clients)
        if n < 2 or len(set(self.clients)) != n or not all(0 <= client < 2**32 - 1 for client in self.clients):
            raise ValueError(f"clients={self.clients} must be two or more different ids from 0 on")
        if not n / 2 < self.threshold <= n:
            # Two groups of this size without a common member could be told different lists of survivors.
            raise ValueError(
                f"threshold={self.threshold} must be above half of the {n} clients, and at most all: at half or below, a "
                f"server could get both shares of a client from two groups; {usual_threshold(n)} is usual"
            )
        if self.values < 1 or n * self.values >= MODULUS:
            raise ValueError(
                f"values={self.values} must be 1 or more, and for {n} clients below {MODULUS // n}: send longer vectors in parts"
            )
        if isinstance(self.largest_weight, bool) or not isinstance(self.largest_weight, int) or self.largest_weight < 1:
            raise ValueError(f"largest_weight={self.largest_weight!r} must be a whole number of at least 1")
        if not 0 <= self.round < 2**63:
            raise ValueError(f"round={self.round} must be 0 or more")
        self.quantiser.check_room(n, self.largest_weight)

    @property
    def size(self) -> int:
        """How many numbers of the ring a masked message holds."""
        return self.values + EXTRAS

    def context(self, purpose: str, *parts: int) -> bytes:
        """Return what a derived key is for: no key of one purpose, round or pair is ever that of another."""
        return b"|".join([b"secure aggregation", purpose.encode(), *map(b"%d".__mod__, (self.round, *parts))])
