"""How much privacy a run has spent: epsilon of the Poisson-subsampled Gaussian mechanism, worked out by Opacus's accountants.

"rdp": Rényi differential privacy (Mironov et al. 2019, arXiv 1908.10530, section 3.3), quick and somewhat too high. "prv":
numerical composition (Gopi et al. 2021, arXiv 2106.02848), tight to 0.01. Both are for neighbours that differ by one unit
added or removed. One ledger belongs to one unit of privacy, an example or a user, for the whole run: an accountant that is
made anew each round forgets what was spent.
"""

import warnings
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import lru_cache
from math import ceil, inf, isfinite, log, sqrt
from operator import index
from typing import Any, Literal, NamedTuple, get_args

from course_lib.privacy.guarantee import Guarantee, Unit

Accountant = Literal["prv", "rdp"]

_POINTS = (
    2**21
)  # the most that PRV may spread a loss over: beyond, it takes GBs and minutes, for an epsilon that is no promise
_PRV_ERROR = 0.01  # Opacus's default
_LARGEST_NOISE = 1e6


class Steps(NamedTuple):
    """Steps of one kind: noise with a standard deviation of `noise_multiplier` x the bound is added to the sum over units that
    were each drawn with probability `sample_rate`."""

    noise_multiplier: float
    sample_rate: float
    steps: int


class Spent(NamedTuple):
    """An epsilon, the accountant that gave it, and why that is another than the one asked for (else empty)."""

    epsilon: float
    accountant: Accountant
    fallback: str = ""


def spent(
    noise_multiplier: float, sample_rate: float, steps: int, delta: float, accountant: Accountant = "prv"
) -> Spent:
    """Return the epsilon after `steps` equal steps. Raises ValueError for what is outside its range."""
    return spent_by([Steps(noise_multiplier, sample_rate, steps)], delta, accountant)


def spent_by(history: Iterable[tuple[float, float, int]], delta: float, accountant: Accountant = "prv") -> Spent:
    """Return the epsilon after steps of several kinds `(noise_multiplier, sample_rate, steps)`, in whatever order.

    It is 0 before the first step and infinite without noise. Where PRV fails, the answer is RDP's and says so.
    """
    if not 0 < delta < 1:
        raise ValueError(f"delta={delta} must lie between 0 and 1: well below 1 / n, for example 1e-5")
    if accountant not in get_args(Accountant):
        raise ValueError(f"accountant={accountant!r} must be one of {', '.join(get_args(Accountant))}")
    return _spent(_merged(history), float(delta), accountant)


@dataclass(frozen=True)
class Ledger:
    """What was spent so far on one unit of privacy; `after` returns the ledger with more steps on it."""

    history: tuple[Steps, ...] = ()

    def after(self, noise_multiplier: float, sample_rate: float, steps: int = 1) -> "Ledger":
        """Return the ledger after `steps` more."""
        return replace(self, history=_merged([*self.history, (noise_multiplier, sample_rate, steps)]))

    def spent(self, delta: float, accountant: Accountant = "prv") -> Spent:
        """Return the epsilon of all steps together."""
        return spent_by(self.history, delta, accountant)

    def allows(
        self, budget: float, delta: float, noise_multiplier: float, sample_rate: float, steps: int = 1,
        accountant: Accountant = "prv",
    ) -> bool:  # fmt: skip
        """Say, before they are taken, whether `steps` more would keep epsilon within `budget`."""
        return self.after(noise_multiplier, sample_rate, steps).spent(delta, accountant).epsilon <= budget

    def guarantee(
        self, delta: float, unit: Unit, trusted: str, units: int | None = None, accountant: Accountant = "prv"
    ) -> Guarantee:
        """Return the epsilon with all that has to be said with it."""
        epsilon, by, fallback = self.spent(delta, accountant)
        return Guarantee(epsilon, delta, unit, trusted, by, fallback, units)


def noise_for(
    target_epsilon: float, sample_rate: float, steps: int, delta: float, accountant: Accountant = "prv",
    tolerance: float = 1e-3,
) -> float:  # fmt: skip
    """Return a noise multiplier with which `steps` steps spend at most `target_epsilon`, by the same accountant.

    It is the least such one but for the relative `tolerance`, and never below. Raises ValueError for a target that no
    noise reaches: RDP cannot tell less than about 0.1 at a delta of 1e-5, PRV not less than 0.01.
    """
    if not target_epsilon > 0:
        raise ValueError(f"target_epsilon={target_epsilon} must be above 0, for example 3")

    def over(noise: float) -> bool:
        return spent(noise, sample_rate, steps, delta, accountant).epsilon > target_epsilon

    if not over(0.0):  # no steps, nobody is drawn, or any epsilon will do
        return 0.0
    low, high = 0.0, 1.0
    while over(high):
        low, high = high, 2 * high
        if high > _LARGEST_NOISE:
            raise ValueError(
                f"target_epsilon={target_epsilon} is less than the {accountant} accountant can tell for any noise: ask for "
                "more, or take the PRV accountant"
            )
    while high - low > tolerance * high:  # `high` always keeps to the target, by a look at itself
        middle = (low + high) / 2
        low, high = (middle, high) if over(middle) else (low, middle)
    return high


def steps_within(
    budget: float, noise_multiplier: float, sample_rate: float, delta: float, accountant: Accountant = "prv", *,
    each: int = 1, at_most: int = 100_000, before: Ledger | None = None,
) -> int:  # fmt: skip
    """Return how many rounds of `each` steps keep epsilon within `budget`: the run stops before the one that would exceed it.

    `before`: what was spent already. No more than `at_most` rounds are tried.
    """
    if not budget >= 0:
        raise ValueError(f"budget={budget} must be 0 or more")
    ledger = before or Ledger()

    def fits(rounds: int) -> bool:
        return ledger.allows(budget, delta, noise_multiplier, sample_rate, rounds * each, accountant)

    if not fits(1):
        return 0
    good, bad = 1, 2
    while bad <= at_most and fits(bad):
        good, bad = bad, 2 * bad
    bad = min(bad, at_most + 1)
    while bad - good > 1:
        middle = (good + bad) // 2
        good, bad = (middle, bad) if fits(middle) else (good, middle)
    return good


def _merged(history: Iterable[tuple[float, float, int]]) -> tuple[Steps, ...]:
    """Return one entry for each kind of step: their order does not matter. Steps that reveal nothing are left out."""
    counts: dict[tuple[float, float], int] = {}
    for noise, rate, steps in history:
        if not noise >= 0 or noise == inf:
            raise ValueError(f"noise_multiplier={noise} must be a number of 0 or more, for example 1.0")
        if not 0 <= rate <= 1:
            raise ValueError(f"sample_rate={rate} must lie between 0 and 1: the expected batch over all examples")
        if index(steps) < 0:
            raise ValueError(f"steps={steps} must be 0 or more")
        if steps and rate:
            kind = (float(noise), float(rate))
            counts[kind] = counts.get(kind, 0) + index(steps)
    return tuple(Steps(noise, rate, steps) for (noise, rate), steps in counts.items())


@lru_cache(maxsize=4096)
def _spent(history: tuple[Steps, ...], delta: float, accountant: Accountant) -> Spent:
    if not history:
        return Spent(0.0, accountant)
    if any(step.noise_multiplier == 0 for step in history):
        return Spent(inf, accountant)
    if accountant == "rdp":
        return Spent(_rdp(history, delta), "rdp")
    try:
        return Spent(_prv(history, delta), "prv")
    except (ArithmeticError, MemoryError, RuntimeError, ValueError) as error:
        return Spent(_rdp(history, delta), "rdp", f"PRV failed: {str(error).rstrip('.') or type(error).__name__}")


def _rdp(history: tuple[Steps, ...], delta: float) -> float:
    from opacus.accountants import RDPAccountant
    from opacus.accountants.analysis.rdp import get_privacy_spent

    total = sum(_rdp_of_one(steps.noise_multiplier, steps.sample_rate) * steps.steps for steps in history)
    with warnings.catch_warnings():  # the best order may be the last of Opacus's: then the bound is merely less tight
        warnings.filterwarnings("ignore", message="Optimal order is the")
        epsilon, _ = get_privacy_spent(orders=RDPAccountant.DEFAULT_ALPHAS, rdp=total, delta=delta)
    return max(0.0, float(epsilon))


@lru_cache(maxsize=1024)
def _rdp_of_one(noise: float, rate: float) -> Any:
    """Return what one step costs at each of Opacus's orders. Costs add up, so that many steps take no longer than one."""
    from opacus.accountants import RDPAccountant
    from opacus.accountants.analysis.rdp import compute_rdp

    return compute_rdp(q=rate, noise_multiplier=noise, steps=1, orders=RDPAccountant.DEFAULT_ALPHAS)


def _prv(history: tuple[Steps, ...], delta: float) -> float:
    from opacus.accountants import PRVAccountant

    # Opacus spreads the loss over [-L, L], where L is RDP's epsilon at a far smaller delta, on a grid of this mesh.
    mesh = _PRV_ERROR / sqrt(sum(steps.steps for steps in history) * log(12_000 / delta) / 2)
    points = 2 * (_rdp(history, delta / 4000) + 3) / mesh
    if not points <= _POINTS:
        raise ValueError(f"it would need {ceil(points) if isfinite(points) else points:,} points")
    accountant = PRVAccountant()
    accountant.history = [tuple(steps) for steps in history]
    with warnings.catch_warnings():  # at its ends the density is 0 or overflows; what comes out is looked at below
        warnings.simplefilter("ignore")
        epsilon = float(accountant.get_epsilon(delta, eps_error=_PRV_ERROR))
    if not isfinite(epsilon):
        raise ArithmeticError(f"it returned {epsilon}")
    return max(0.0, epsilon)
