"""What a run spends of privacy, round by round: how often the noised sums of a plan look at one example or at one client."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from course_lib.privacy.accounting import Accountant, Ledger, steps_within
from course_lib.privacy.example_level import ExampleLevel
from course_lib.privacy.guarantee import Guarantee, Unit
from course_lib.privacy.in_plans import Budget
from course_lib.privacy.user_level import UserLevel


@dataclass(frozen=True)
class Spending:
    """What a private run does to one unit of privacy: `steps[r]` noised sums by the end of round r + 1, each of which the unit is in
    with probability `sample_rate`. Of units that differ, it is the one that is looked at most often."""

    unit: Unit
    units: int
    trusted: str
    noise_multiplier: float
    sample_rate: float
    steps: tuple[int, ...]
    delta: float
    accountant: Accountant = "prv"

    def epsilon(self, done: int) -> float:
        """Return epsilon after so many rounds; 0 before the first."""
        return self._ledger(done).spent(self.delta, self.accountant).epsilon

    def guarantee(self, done: int) -> Guarantee:
        """Return epsilon after so many rounds with all that has to be said with it."""
        return self._ledger(done).guarantee(self.delta, self.unit, self.trusted, self.units, self.accountant)

    def rounds_within(self, epsilon: float) -> int:
        """Return how many rounds keep within `epsilon`: the run stops before the one that would go beyond."""
        if not self.steps or self.epsilon(len(self.steps)) <= epsilon:
            return len(self.steps)
        most = steps_within(
            epsilon, self.noise_multiplier, self.sample_rate, self.delta, self.accountant, at_most=self.steps[-1]
        )
        return sum(steps <= most for steps in self.steps)

    def _ledger(self, done: int) -> Ledger:
        steps = self.steps[done - 1] if done else 0
        return Ledger().after(self.noise_multiplier, self.sample_rate, steps) if steps else Ledger()


def spending(
    privacy: ExampleLevel | UserLevel, budget: Budget | None, pooled: bool, sizes: Sequence[int],
    taken: Sequence[Mapping[int, int]], participation: float,
) -> Spending:  # fmt: skip
    """Return what a run spends whose participants hold `sizes: (n,)` examples and take `taken[r][participant]` steps in round r."""
    user = isinstance(privacy, UserLevel)
    units = len(sizes) if user else sum(sizes)
    delta = budget.delta if budget and budget.delta else 0.1 / units
    if isinstance(privacy, UserLevel):
        trusted = "the server" if privacy.noise_by == "server" else "the clients, each with its share"
        return Spending(
            "user", units, trusted, privacy.noise_multiplier, participation, tuple(range(1, len(taken) + 1)), delta
        )
    so_far, most = [0] * len(sizes), []
    for now in taken:
        for participant, steps in now.items():
            so_far[participant] += steps
        most.append(max(so_far))
    trusted = "the owner of the pooled data" if pooled else "each client for its own examples"
    return Spending("example", units, trusted, privacy.noise_multiplier, privacy.sample_rate, tuple(most), delta)
