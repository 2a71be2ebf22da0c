"""A learning rate by the rule of the course: the same grid for every contender, judged by its worst seed, never at the edge."""

import itertools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from math import inf, isfinite

# Fewer seeds than this, and a rate is chosen that breaks on the next one.
SEEDS = 3


@dataclass(frozen=True)
class Tuned:
    """The setting that was chosen, and what each setting that was tried came to: one score a tuning seed.

    `at_edge`: whether the best setting still lies at an end of the grid, although it was widened as often as allowed.
    """

    best: float
    tried: dict[float, tuple[float, ...]]
    at_edge: bool


def tune(
    measure: Callable[[Sequence[tuple[float, int]]], Iterable[float]], grid: Sequence[float], seeds: Sequence[int], *,
    widen: int = 2,
) -> Tuned:  # fmt: skip
    """Return the setting of a geometric `grid`, such as a learning rate, whose worst score over the seeds is best.

    `measure` is called with pairs (setting, seed) and returns a score for each, more is better, in the same order; a score that
    is not finite is a run that broke. Score on a validation split, and report on other seeds than these. Where the best
    setting is at an end, the grid grows beyond it by its own ratio, `widen` times at most.

    Raises ValueError for a grid that is not increasing by one ratio, fewer than three seeds, or a grid on which all runs broke.
    """
    if len(seeds) < SEEDS:
        raise ValueError(
            f"tuning needs at least {SEEDS} seeds, got {len(seeds)}: one lucky seed chooses a rate that breaks"
        )
    ratio = grid[1] / grid[0] if len(grid) > 1 and grid[0] > 0 else 0.0
    if ratio <= 1 or any(abs(b / a / ratio - 1) > 0.2 for a, b in itertools.pairwise(grid)):
        raise ValueError(
            f"grid={list(grid)} must increase by one ratio from value to value, for example 0.05, 0.1, 0.2"
        )
    tried: dict[float, tuple[float, ...]] = {}
    fresh = list(grid)
    while True:
        jobs = [(setting, seed) for setting in fresh for seed in seeds]
        scores = [float(score) for score in measure(jobs)]
        for position, setting in enumerate(fresh):
            tried[setting] = tuple(scores[position * len(seeds) : (position + 1) * len(seeds)])
        tried = dict(sorted(tried.items()))
        worst = {setting: min(s if isfinite(s) else -inf for s in own) for setting, own in tried.items()}
        best = max(worst, key=worst.__getitem__)
        if worst[best] == -inf:
            raise ValueError(f"every setting broke on some seed: {tried}: take smaller ones")
        lowest, highest = next(iter(tried)), next(reversed(tried))
        at_edge = best in (lowest, highest)
        if not at_edge or not widen:
            return Tuned(best, tried, at_edge)
        widen -= 1
        fresh = [float(f"{best / ratio if best == lowest else best * ratio:.3g}")]
