"""Does an implementation keep its promise? Two ways to find that it does not; neither can prove that it does.

Exactly: release two data sets that differ by one unit, with the same randomness, and measure how far apart the results lie
(the sensitivity that the noise was sized for). By chance: train with and without a canary many times, guess which was which,
and turn the share of right guesses into an epsilon that is too small with a stated probability only (Jagielski et al. 2020,
arXiv 2006.07709, section 4; Nasr et al. 2021, arXiv 2101.04535).
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from math import inf, isnan, log
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from course_lib.learning import keys

Data = TypeVar("Data")


@dataclass(frozen=True)
class Sensitivity:
    """The largest distance between releases of neighbours that was measured, beside the largest that was declared."""

    declared: float
    measured: float
    pairs: int

    @property
    def holds(self) -> bool:
        """Whether no pair lay further apart than declared, but for the rounding of 32-bit sums."""
        return self.measured <= self.declared * (1 + 1e-4)

    def __str__(self) -> str:
        said = "within" if self.holds else "BEYOND"
        return f"measured {self.measured:.4g} over {self.pairs} pairs of neighbours, {said} the declared {self.declared:.4g}"


def sensitivity(release: Callable[[Data], Tensor], pairs: Iterable[tuple[Data, Data]], declared: float) -> Sensitivity:
    """Return how far apart `release` puts neighbouring data sets; it must use the same randomness each time.

    The same noise then cancels, and what is left is what one unit changes. Look for pairs that make it large: a lonely unit, a
    gradient against all others. Raises ValueError without a pair, or where one data set released twice gives two results.
    """
    measured, count, first = 0.0, 0, True
    for one, other in pairs:
        here = release(one)
        if first and not torch.equal(release(one), here):
            raise ValueError("the release gave two results for one data set: key its randomness, so that it can cancel")
        first = False
        distance = float((here.double() - release(other).double()).norm())
        measured, count = max(measured, inf if isnan(distance) else distance), count + 1
    if not count:
        raise ValueError(
            "there is no pair of neighbours: give at least one, such as the data with and without a canary"
        )
    return Sensitivity(declared, measured, count)


@dataclass(frozen=True)
class LowerBound:
    """An epsilon that the mechanism exceeds, with the stated confidence: right and wrong guesses on data of their own.

    `true_positives`, `false_positives`: shares (0 to 1) of runs with and without the canary that were taken for runs with it;
    `threshold`, `above`: the rule that was fixed before: a score above (or below) it means the canary was there.
    """

    epsilon: float
    confidence: float
    true_positives: float
    false_positives: float
    threshold: float
    above: bool
    runs: int

    def __str__(self) -> str:
        return (
            f"epsilon >= {self.epsilon:.2f} with {100 * self.confidence:.0f}% confidence ({100 * self.true_positives:.1f}% "
            f"found, {100 * self.false_positives:.1f}% false alarms in {self.runs} runs)"
        )


def lower_bound(
    with_canary: Tensor, without: Tensor, delta: float, confidence: float = 0.95, seed: int = 0
) -> LowerBound:
    """Return a lower bound on epsilon from the scores `(k,)` of runs with a canary and `(k',)` of runs without.

    Half of the runs, drawn at random, choose the rule: which threshold, and whether large or small scores mean that the canary
    was there. The other half judge it, so that choosing the best of many costs no confidence. Both error rates are bounded as
    Clopper and Pearson (1934) do, at half the risk each; then epsilon is at least log((TPR - delta) / FPR) and, for the runs
    without, log((TNR - delta) / FNR) (Kairouz et al. 2015, arXiv 1311.0776, theorem 2.1).

    Raises ValueError for fewer than 4 runs of a kind, a score that is not a number, or a share out of range.
    """
    if not 0 <= delta < 1 or not 0 < confidence < 1:
        raise ValueError(
            f"delta={delta} and confidence={confidence} must lie between 0 and 1, for example 1e-5 and 0.95"
        )
    kinds = [np.asarray(scores, dtype=float).ravel() for scores in (with_canary, without)]
    if min(map(len, kinds)) < 4:
        raise ValueError(
            f"{len(kinds[0])} runs with and {len(kinds[1])} without a canary are too few: repeat at least 4"
        )
    if any(np.isnan(scores).any() for scores in kinds):
        raise ValueError("a score is not a number: leave runs that broke out, and say how many")
    (choose_in, judge_in), (choose_out, judge_out) = (_halves(scores, seed, kind) for kind, scores in enumerate(kinds))
    threshold, above = _best_rule(choose_in, choose_out, delta)
    taken = [int(((scores > threshold) == above).sum()) for scores in (judge_in, judge_out)]
    epsilon = _epsilon(taken[0], len(judge_in), taken[1], len(judge_out), delta, 1 - confidence)
    shares = taken[0] / len(judge_in), taken[1] / len(judge_out)
    return LowerBound(epsilon, confidence, *shares, threshold, above, len(judge_in) + len(judge_out))


def clopper_pearson(hits: int, trials: int, risk: float) -> tuple[float, float]:
    """Return bounds on a probability after `hits` of `trials`; each is wrong with a probability of at most `risk`.

    Clopper and Pearson 1934, doi 10.2307/2331986.
    """
    from scipy.special import betaincinv

    low = float(betaincinv(hits, trials - hits + 1, risk)) if hits else 0.0
    high = float(betaincinv(hits + 1, trials - hits, 1 - risk)) if hits < trials else 1.0
    return low, high


def _halves(scores: np.ndarray, seed: int, kind: int) -> tuple[np.ndarray, np.ndarray]:
    order = torch.randperm(len(scores), generator=keys.generator(seed, "audit", kind)).numpy()
    return scores[order[: len(order) // 2]], scores[order[len(order) // 2 :]]


def _best_rule(inside: np.ndarray, outside: np.ndarray, delta: float) -> tuple[float, bool]:
    """Return the rule that promises most on these runs, were it judged on as many."""
    best = (-1.0, 0.0, True)
    for threshold in np.quantile(np.concatenate([inside, outside]), np.linspace(0, 1, 201)):
        above = int((inside > threshold).sum()), int((outside > threshold).sum())
        for rule, (hits, alarms) in (
            (True, above),
            (False, (len(inside) - above[0], len(outside) - above[1])),
        ):
            promise = _epsilon(hits, len(inside), alarms, len(outside), delta, 0.05)
            best = max(best, (promise, float(threshold), rule))
    return best[1], best[2]


def _epsilon(hits: int, inside: int, alarms: int, outside: int, delta: float, risk: float) -> float:
    """Return the epsilon that so many right guesses and false alarms prove, 0 if none."""
    found, _ = clopper_pearson(hits, inside, risk / 2)
    _, alarmed = clopper_pearson(alarms, outside, risk / 2)
    # One pair of bounds serves both directions: found and not alarmed, or the other way round.
    ratios = [(found - delta, alarmed), (1 - alarmed - delta, 1 - found)]
    return max([log(high / low) for high, low in ratios if high > low > 0], default=0.0)
